//go:build !linux

package nettest

import "io"

type nothing struct{}

func (nothing) Close() error { return nil }

// keepPort keeps nothing here: a relay that was cut may find its port taken.
func keepPort() (io.Closer, string, error) { return nothing{}, "127.0.0.1:0", nil }
