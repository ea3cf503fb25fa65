//go:build unix

package chamber

import (
	"os"

	"golang.org/x/sys/unix"
)

// hold marks an open file as being written, until it is closed or its process
// ends; false when another holds it. The mark follows the file when it is renamed.
func hold(f *os.File) bool {
	return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil
}

// release lets a file be renamed or removed; on Unix it always may be.
func release(*os.File) {}
