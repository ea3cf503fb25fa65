//go:build !linux

package cli_test

func asProgram() (code int, yes bool) { return 0, false }
