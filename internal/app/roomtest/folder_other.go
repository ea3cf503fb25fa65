//go:build !linux

package roomtest

import "os"

// folder is where rooms are made.
func folder() string { return os.TempDir() }
