//go:build !unix

package chamber

import "os"

// hold does nothing here: an open file cannot be renamed or removed on Windows.
func hold(*os.File) bool { return true }

// release closes the file, so that it can be.
func release(f *os.File) { f.Close() }
