package mysql

import (
	"context"
	"crypto/tls"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/go-sql-driver/mysql"

	"ecluse"
)

// Numbers of the servers' errors that are treated by themselves.
const (
	unknownVariable = 1193
	interrupted     = 1317
)

// meaning is why an error of the server came about and what to do. Servers'
// messages hold values of rows (1062, 1292, 1366…) and never leave this package.
type meaning struct{ why, next string }

func meaningOf(number uint16) meaning {
	switch number {
	case 1040, 1203, 1226:
		return meaning{"the server takes no more connections", "wait, or raise max_connections or the account's own limit"}
	case 1044, 1142, 1143, 1227, 1370:
		return meaning{"the account lacks a right", "run again what `ecluse gate grants` prints for this plan"}
	case 1045, 1698:
		return meaning{"the server does not accept this account and password", "check user and password file in gate.yaml, and the host the account may come from"}
	case 1049:
		return meaning{"there is no such database", "check the database's name in gate.yaml, upper and lower case included"}
	case 1053, 1077, 1079:
		return meaning{"the server is shutting down", "start it again; the next run takes a new epoch"}
	case 1054, 1146:
		return meaning{"a table or column of the plan is not there", "inspect the source again: it is not the one the plan was compiled from"}
	case 1102, 1109:
		return meaning{"a name in the statement is not known", ""}
	case 1037, 1038, 1041:
		return meaning{"the server has no memory left for sorting", "give it more (sort_buffer_size, max_session_mem_used), or read when it has less to do"}
	case 1114, 3, 28, 1021:
		return meaning{"the server has no room left for sorting", "free space in its tmpdir"}
	case 1153, 1301:
		return meaning{"a row is larger than the server's max_allowed_packet", "raise max_allowed_packet at the server"}
	case 1205:
		return meaning{"somebody else held a table for too long", "read while nobody works, or wait for the other to finish"}
	case interrupted, 1927, 1969, 3024:
		return meaning{"the statement was ended at the server", "ask its administrator which limit or person ended it"}
	case 1267, 1270, 1271:
		return meaning{"the server cannot compare two columns", ""}
	case 1290, 1792:
		return meaning{"the server is set not to allow this", ""}
	case 1356:
		return meaning{
			"a granted view does not work any more, or its definer lacks a right",
			"run again what `ecluse gate grants DIR read` prints, as an account with SELECT and LOCK TABLES on the tables beneath",
		}
	case 1412:
		return meaning{"a table's structure was changed after the snapshot was taken", "begin again: the next run takes a new epoch"}
	case 126, 127, 144, 145, 1034, 1035, 1194, 1195:
		return meaning{"a table is damaged", "repair it (CHECK TABLE, REPAIR TABLE) on a copy, and let the controller know"}
	}
	return meaning{"the server answered with an error", ""}
}

// Number is the server's error number in err's chain, or 0.
func Number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// WasInterrupted tells the error of a statement that Interrupt ended.
func WasInterrupted(err error) bool { return Number(err) == interrupted }

// Lost tells errors after which the connection is of no use.
func Lost(err error) bool {
	var n net.Error
	return errors.Is(err, mysql.ErrInvalidConn) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &n)
}

// reason is what may be said of an error that is not the server's.
func reason(err error) string {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return "the server's certificate is not one to trust: " + certificate.Err.Error()
	case errors.Is(err, mysql.ErrNativePassword), errors.Is(err, mysql.ErrOldPassword), errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrUnknownPlugin):
		return "the account logs in by a way that is not supported: use mysql_native_password, ed25519 or caching_sha2_password"
	case errors.As(err, &op) && op.Op == "dial":
		return "nothing answers there"
	case Lost(err):
		return "the connection is lost"
	case errors.Is(err, mysql.ErrNoTLS):
		return "the server offers no TLS"
	case errors.Is(err, mysql.ErrPktTooLarge), errors.Is(err, mysql.ErrMalformPkt), errors.Is(err, mysql.ErrPktSync), errors.Is(err, mysql.ErrPktSyncMul):
		return "the server sent what the protocol does not allow"
	}
	return "the driver gave up"
}

// Wrap turns an error of the driver into an *ecluse.Error without anything of
// the server's message: only its number and SQL state. An *ecluse.Error passes
// as it is; nil stays nil.
func Wrap(ctx context.Context, what, where string, err error) error {
	var known *ecluse.Error
	var server *mysql.MySQLError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case ctx.Err() != nil:
		return &ecluse.Error{Kind: ecluse.Interrupted, What: what, Where: where, Why: "it was cancelled", Next: "run it again: nothing is lost", Err: ctx.Err()}
	case errors.As(err, &server):
		m := meaningOf(server.Number)
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Why: m.why, Next: m.next, Err: &ServerError{Number: server.Number, State: string(server.SQLState[:])}}
	}
	e := &ecluse.Error{Kind: ecluse.Failed, What: what, Where: where, Why: reason(err)}
	if Lost(err) {
		e.Next = "check that the server runs and can be reached, then run again: the next run takes a new epoch"
	}
	return e
}

// ServerError is what is kept of an error of the server.
type ServerError struct {
	Number uint16
	State  string
}

func (e *ServerError) Error() string { return fmt.Sprintf("error %d (%s)", e.Number, e.State) }
