package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"ecluse"
)

// ServerError is what is kept of an error of the server. Its message, detail,
// hint and context hold values of rows and never leave this package.
type ServerError struct {
	State      string // SQLSTATE
	Table      ecluse.TableName
	Column     string
	Constraint string

	line   int64  // of the row in a COPY, from 1
	copied string // the name of its column
}

func (e *ServerError) Error() string {
	var b strings.Builder
	if e.Table.Name != "" {
		b.WriteString(e.Table.String())
		if e.Column != "" {
			b.WriteString("." + e.Column)
		}
		b.WriteString(": ")
	}
	b.WriteString(meaningOf(e.State).why)
	if e.Constraint != "" {
		b.WriteString(" " + e.Constraint)
	}
	return b.String() + " (" + e.State + ")"
}

// Row tells errors about the rows that were sent, which may be put aside, from
// those after which no other row would fare better.
func (e *ServerError) Row() bool {
	return slices.Contains(RowClasses(), e.State[:2])
}

// RowClasses are the classes of SQLSTATE that Row knows.
func RowClasses() []string { return []string{"21", "22", "23", "38", "39", "44", "54", "P0"} }

// Copied is the place of the row in a COPY that the server refused, from 1, and
// its column if the server names one of columns; 0 when it does not say.
func (e *ServerError) Copied(columns []string) (line int64, column string) {
	if slices.Contains(columns, e.copied) {
		column = e.copied
	}
	return e.line, column
}

// copyPlace finds "COPY table, line 12, column name: value" in what an error says
// of its context, in the language of the server; the value is left behind.
var copyPlace = regexp.MustCompile(`(?m)^COPY .*?, [^ ,]+ ([0-9]+)(?:, [^ ]+ ([^:\n]*))?`)

// meaning is why an error of the server came about and what to do.
type meaning struct{ why, next string }

func meaningOf(state string) meaning {
	switch state {
	case "22001":
		return meaning{why: "text longer than its column"}
	case "22003":
		return meaning{why: "number out of its column's range"}
	case "22007", "22008":
		return meaning{why: "not a date or time of its column's range"}
	case "22021":
		return meaning{why: "text with a character that the database does not hold"}
	case "22P02", "22P03":
		return meaning{why: "not a value of its column's type"}
	case "23502":
		return meaning{why: "missing value"}
	case "23503":
		return meaning{why: "foreign key"}
	case "23505":
		return meaning{why: "unique key"}
	case "23514":
		return meaning{why: "check"}
	case "23P01":
		return meaning{why: "exclusion"}
	case "28000", "28P01":
		return meaning{"the server does not accept this account and password", "check user and password file in gate.yaml, and the server's pg_hba.conf"}
	case "3D000":
		return meaning{"there is no such database", "check the database's name in gate.yaml"}
	case "42501":
		return meaning{"the account lacks a right", "run again what `ecluse gate grants` prints for this plan"}
	case "42P01", "42703", "3F000":
		return meaning{"a table, view or column of the plan is not there", "inspect again, and run what `ecluse gate grants` prints for this plan"}
	case "53100":
		return meaning{"the server's disk is full", "make room and run again: nothing is half done"}
	case "53300":
		return meaning{"the server takes no more connections", "wait, or raise max_connections"}
	case "55P03":
		return meaning{"somebody else held a table for too long", "wait for the other to finish, then run again"}
	case "57014":
		return meaning{"the statement was ended at the server", "ask its administrator which limit or person ended it"}
	case "P0001":
		return meaning{why: "refused by a trigger"}
	}
	switch state[:2] {
	case "21", "22":
		return meaning{why: "value not allowed"}
	case "23":
		return meaning{why: "constraint"}
	case "40":
		return meaning{"others wrote at the same time", "run again: nothing is half done"}
	case "53":
		return meaning{"the server lacks memory, disk or connections", "make room and run again: nothing is half done"}
	case "57":
		return meaning{"the server was stopped", "start it and run again: nothing is half done"}
	}
	return meaning{"the server answered with an error", ""}
}

// strip keeps of an error of the server what names structure.
func strip(e *pgconn.PgError) *ServerError {
	out := &ServerError{
		State: e.Code, Table: ecluse.TableName{Schema: e.SchemaName, Name: e.TableName},
		Column: e.ColumnName, Constraint: e.ConstraintName,
	}
	if place := copyPlace.FindStringSubmatch(e.Where); place != nil {
		if line, err := strconv.ParseInt(place[1], 10, 64); err == nil {
			out.line = line
		}
		out.copied = strings.TrimSpace(place[2])
	}
	if len(out.State) != 5 {
		out.State = "XX000"
	}
	return out
}

// lost tells errors after which the connection is of no use.
func lost(err error) bool {
	var n net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &n) ||
		pgconn.Timeout(err) || strings.Contains(err.Error(), "conn closed")
}

// reason is what may be said of an error that is not the server's.
func reason(err error) string {
	var op *net.OpError
	var n net.Error
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		return "nothing answers there"
	case errors.As(err, &n) && n.Timeout():
		return "the server stopped answering"
	case errors.Is(err, errCopy), errors.Is(err, errUnfinished):
		return err.Error()
	case lost(err):
		return "the connection is lost"
	}
	return "the driver gave up"
}

// Wrap turns an error of the driver into an *ecluse.Error without anything of
// the server's message: only its state and the names it gives. An *ecluse.Error
// passes as it is; nil stays nil.
func Wrap(ctx context.Context, what, where string, err error) error {
	var known *ecluse.Error
	var server *pgconn.PgError
	var value *ValueError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.As(err, &value):
		where = strings.TrimPrefix(fmt.Sprintf("%s, column %s, row %d of the answer", where, value.Column, value.Row), ", ")
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: where, Why: value.Why, Next: value.Next}
	case errors.As(err, &server) && ctx.Err() == nil:
		s := strip(server)
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Next: meaningOf(s.State).next, Err: s}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Why: "the server did not answer in time", Next: "run it again: nothing is lost", Err: ctx.Err()}
	case ctx.Err() != nil:
		return &ecluse.Error{Kind: ecluse.Interrupted, What: what, Where: where, Why: "it was cancelled", Next: "run it again: nothing is lost", Err: ctx.Err()}
	}
	e := &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Why: reason(err)}
	if lost(err) {
		e.Next = "check that the server runs and can be reached, then run it again: nothing is lost"
	}
	return e
}

// Server is the server's error in err's chain, or nil.
func Server(err error) *ServerError {
	var s *ServerError
	if errors.As(err, &s) {
		return s
	}
	var raw *pgconn.PgError
	if errors.As(err, &raw) {
		return strip(raw)
	}
	return nil
}

// ValueError is a value that its column's kind cannot hold, without the value.
type ValueError struct {
	Column string
	Row    int64 // in the answer, from 0
	Why    string
	Next   string
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("column %s, row %d: %s", e.Column, e.Row, e.Why)
}
