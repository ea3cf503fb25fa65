package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	driversqlite "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"ecluse"
)

// Strip makes an error of the driver one that may be shown: the engine's result
// code and what its message says of names, never of values. An *ecluse.Error
// passes as it is, and what did not come from SQLite stays in the chain.
func Strip(what, where string, err error) error {
	var ours *ecluse.Error
	var theirs *driversqlite.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ours):
		return err
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &ecluse.Error{Kind: ecluse.Interrupted, What: what, Where: where, Err: err}
	case !errors.As(err, &theirs):
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Err: err}
	}
	e := &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Why: explain(theirs)}
	switch theirs.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		e.Next = "close the program that uses the file, or wait until it is done, and try again"
	case sqlite3.SQLITE_CANTOPEN:
		e.Next = "check the path and the rights on the file and its folder; a file in WAL mode needs the -shm file beside it, or a folder where it can be made"
	case sqlite3.SQLITE_READONLY:
		e.Kind = ecluse.Refused
		e.Next = "give the account the right to write the file and its folder"
	case sqlite3.SQLITE_FULL:
		e.Next = "make room on the disk and run it again: nothing of this transaction was kept"
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		e.Next = "take another copy of the file; PRAGMA integrity_check tells what is wrong with this one"
	}
	return e
}

// Constraint tells a row that the database does not take from a database that
// does not work. Reason names the rule and its columns, and the extended code.
func Constraint(table ecluse.TableName, err error) (reason string, ok bool) {
	var e *driversqlite.Error
	if !errors.As(err, &e) {
		return "", false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return table.String() + ": " + explain(e), true
	}
	return "", false
}

// IsBusy tells that another connection holds the lock.
func IsBusy(err error) bool {
	var e *driversqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

// explain says what a result code means. Only messages made of names of the
// schema are repeated: those of triggers and of unknown kinds may hold values.
func explain(e *driversqlite.Error) string {
	code := e.Code()
	named := func(kind string) string {
		_, names, ok := strings.Cut(e.Error(), " failed: ")
		names, _, ok2 := strings.Cut(names, fmt.Sprintf(" (%d)", code))
		if _, inner, again := strings.Cut(names, " failed: "); again {
			names = inner
		}
		if !ok || !ok2 {
			return fmt.Sprintf("%s (%d)", kind, code)
		}
		return fmt.Sprintf("%s %s (%d)", kind, names, code)
	}
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE:
		return named("unique key")
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return named("primary key")
	case sqlite3.SQLITE_CONSTRAINT_NOTNULL:
		return named("not null")
	case sqlite3.SQLITE_CONSTRAINT_CHECK:
		return named("check")
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Sprintf("foreign key (%d)", code)
	case sqlite3.SQLITE_CONSTRAINT_DATATYPE:
		return fmt.Sprintf("a value of another type than its column (%d)", code)
	case sqlite3.SQLITE_CONSTRAINT_TRIGGER:
		return fmt.Sprintf("a trigger (%d)", code)
	case sqlite3.SQLITE_ERROR:
		for _, p := range []string{"no such table: ", "no such column: ", "no such function: ", "no such collation sequence: "} {
			if _, rest, ok := strings.Cut(e.Error(), p); ok {
				return p + rest
			}
		}
	}
	if s, ok := driversqlite.ErrorCodeString[code]; ok {
		return strings.ToLower(s[:1]) + s[1:]
	}
	if s, ok := driversqlite.ErrorCodeString[code&0xff]; ok {
		return fmt.Sprintf("%s (%d)", strings.ToLower(s[:1])+s[1:], code)
	}
	return fmt.Sprintf("result code %d", code)
}

// ForeignKeyCode is SQLite's code for a foreign key without an answer.
const ForeignKeyCode = sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
