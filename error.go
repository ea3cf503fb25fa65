package ecluse

import (
	"errors"
	"fmt"
	"strings"
)

// Kind of an error decides what a program does with it: the exit code, the
// answer of the API, whether a retry makes sense.
type Kind string

// The kinds, each with the exit code of the command line.
const (
	Failed       Kind = "failed"      // 1: something broke (network, disk, database)
	Invalid      Kind = "invalid"     // 1: a document or argument is wrong
	Differs      Kind = "differs"     // 2: a plan is not the one that was approved
	Refused      Kind = "refused"     // 3: not allowed by contract, instruction, roster or procedure
	Unverified   Kind = "unverified"  // 4: a signature, digest, proof or comparison does not hold
	WaitsForSign Kind = "waits"       // 5: somebody has to sign first
	Interrupted  Kind = "interrupted" // 1: cancelled; going on later loses nothing
)

// Kinds lists them all.
func Kinds() []Kind {
	return []Kind{Failed, Invalid, Differs, Refused, Unverified, WaitsForSign, Interrupted}
}

// ExitCode is what the command line exits with for k.
func (k Kind) ExitCode() int {
	switch k {
	case Differs:
		return 2
	case Refused:
		return 3
	case Unverified:
		return 4
	case WaitsForSign:
		return 5
	}
	return 1
}

// Error says what, where, why and what to do next. None of its fields may hold a
// record's value: name dataset, ordinal and column instead.
type Error struct {
	Kind    Kind
	What    string // "read instruction", "load chunk result/000012.0"
	Where   string // "instruction.yaml:14: datasets.patient.columns.nir"; may be empty
	Why     string // one sentence, lower case, no full stop
	Next    string // what the reader can do, a sentence or a command to copy; may be empty
	Article string // of law, where one asks for it: "GDPR art. 28(3)(g)"
	Err     error  // cause; may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.What)
	if e.Where != "" {
		b.WriteString(": " + e.Where)
	}
	if e.Why != "" {
		b.WriteString(": " + e.Why)
	}
	if e.Article != "" {
		b.WriteString(" (" + e.Article + ")")
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf finds the kind of err: the outermost *Error in its chain, or Failed.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Failed
}

// Errorf makes an Error of a kind whose cause is formatted like fmt.Errorf.
func Errorf(k Kind, what, format string, args ...any) *Error {
	return &Error{Kind: k, What: what, Err: fmt.Errorf(format, args...)}
}
