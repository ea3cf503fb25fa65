package sqlite

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"ecluse"
)

// fault is what SQLite's code means for whoever reads it, and what they do then.
type fault struct{ why, next string }

// whole is what every fault leaves: a transaction is kept or it is not.
const whole = "nothing is half done: then run the same command again"

// faultOf tells what a code of SQLite's means. SQLite's own words say neither which
// database it is nor what to do.
func faultOf(code int) fault {
	switch code & 0xff { // the rest says where in SQLite it was found
	case lib.SQLITE_FULL:
		return fault{"its disk is full", "make room where the lock's folder is; " + whole}
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return fault{"it may not be written by this user, or its disk is read-only", "let the user that runs this write the lock's folder and what is in it; " + whole}
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return fault{"another process has held it for too long", "end the other process that has the lock's folder open, a copy or a backup of it too; " + whole}
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return fault{"it is damaged, or no database of SQLite's", "stop the server, keep the lock's folder as it is, and bring back its last copy; gates see what is missing since"}
	case lib.SQLITE_CANTOPEN:
		return fault{"it, or a file that SQLite makes beside it, cannot be opened", "let the user that runs this read and write the lock's folder, and see that its disk is there and has room; " + whole}
	case lib.SQLITE_IOERR:
		return fault{fmt.Sprintf("its disk could not be read or written (SQLite's code %d)", code), "see whether the disk is full, then what the system says of it; " + whole}
	}
	return fault{}
}

// failed gives a database error a kind, and words that say what to do where SQLite's do
// not. Those name tables and columns, never values.
func failed(what string, err error) error {
	var known *ecluse.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &ecluse.Error{Kind: ecluse.Interrupted, What: what, Err: err}
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT): // of documents, beside the database
		f := faultOf(lib.SQLITE_FULL)
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: docsFolder, Why: f.why, Next: f.next}
	}
	var own *sqlite.Error
	if errors.As(err, &own) {
		if f := faultOf(own.Code()); f.why != "" {
			return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: fileName, Why: f.why, Next: f.next}
		}
	}
	return &ecluse.Error{Kind: ecluse.Failed, What: what, Err: err}
}
