//go:build !linux

package app

// diskOf cannot be told here.
func diskOf(string) (free int64, remote string) { return -1, "" }
