// Package api is the lock over HTTPS: gates and people reach it, each by a key of
// their own, and nobody else does. route is the only way to register anything.
package api

import (
	"net/http"

	"ecluse/internal/account"
	"ecluse/internal/lock"
)

// Lab is one laboratory on a server.
type Lab struct {
	ID   string
	Lock *lock.Lock
	Door *account.Door
}

// Options are what a server serves.
type Options struct {
	Labs    []Lab
	Version string
}

// New makes the handler of a server.
func New(o Options) (http.Handler, error) { return http.NotFoundHandler(), nil }
