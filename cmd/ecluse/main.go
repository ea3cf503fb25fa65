// Command ecluse moves a laboratory's data from one software to another under
// signature. See package cli.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"ecluse/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(cli.Run(ctx, cli.Env{Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv}))
}
