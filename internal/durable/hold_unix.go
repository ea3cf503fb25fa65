//go:build unix

package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// hold marks an open file as this process's, until it is closed or the process
// ends. The mark follows the file when it is renamed.
func hold(f *os.File) error { return flock(f, unix.LOCK_EX|unix.LOCK_NB) }

// claim is hold, for a file that another may be writing.
func claim(f *os.File) error { return hold(f) }

// wait holds a file as soon as nobody else does.
func wait(f *os.File) error { return flock(f, unix.LOCK_EX) }

func flock(f *os.File, how int) error {
	for {
		switch err := unix.Flock(int(f.Fd()), how); {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrHeld
		default: // some network and user-space file systems
			return fmt.Errorf("%w (%w)", ErrNoLocks, err)
		}
	}
}

// Release lets a held file be renamed or removed; on Unix it always may be.
func Release(*os.File) error { return nil }
