package exchange

import (
	"errors"
	"strings"
	"time"
	"unicode"

	"ecluse"
	"ecluse/internal/document"
)

// Problem is an error as it travels: what, where, why and what to do next, in the
// words of whoever found it. None of them holds a value of a record.
type Problem struct {
	Kind    ecluse.Kind `json:"kind"`
	What    string      `json:"what"`
	Where   string      `json:"where,omitempty"`
	Why     string      `json:"why,omitempty"`
	Next    string      `json:"next,omitempty"`
	Article string      `json:"article,omitempty"`
	Because string      `json:"because,omitempty"` // the causes below it
	Cause   Cause       `json:"cause,omitempty"`

	Lines document.Problems `json:"lines,omitempty"` // everything wrong in a document
}

// Cause is a cause that whoever receives a problem may ask for (errors.Is).
type Cause string

// The causes.
const (
	ErrErased    Cause = "the key was destroyed"
	ErrClockBack Cause = "the clock stands before a time already seen"
	ErrAway      Cause = "the gate is not connected"
	ErrLapsed    Cause = "the gate's enrolment is over"
	ErrHeld      Cause = "the gate is held at its own console"
	ErrCameIn    Cause = "nothing of it is left to come in"
)

// Error is the cause in words.
func (c Cause) Error() string { return string(c) }

// Away is the error of somebody who waits for a gate that is not connected.
func Away(gate ecluse.Fingerprint, seen time.Time, verb Verb) error {
	why := "gate " + string(gate) + " is not connected"
	if !seen.IsZero() {
		why += ", and was last heard of on " + seen.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return &ecluse.Error{
		Kind: ecluse.Failed, What: "have a gate " + string(verb), Why: why, Err: ErrAway,
		Next: "start it where it stands: ecluse gate run DIR; ecluse gate check DIR says what keeps it from connecting",
	}
}

// ByHand is the error of somebody who waits for what has to be carried by hand.
func ByHand(gate ecluse.Fingerprint, verb Verb) error {
	return &ecluse.Error{
		Kind: ecluse.WaitsForSign, What: "have a gate " + string(verb), Where: string(gate), Why: "no line reaches the source gate: what is asked waits to be carried there",
		Next: "ecluse carry out FOLDER; at the gate: ecluse gate carry GATE-DIR FOLDER; then: ecluse carry in FOLDER, and run the same command again",
	}
}

// ProblemOf puts an error into words that travel. What no package of ours put into
// words says its kind alone: a driver's own words could hold a value.
func ProblemOf(err error) *Problem {
	if err == nil {
		return nil
	}
	p := &Problem{Kind: ecluse.KindOf(err), What: "carry out the work"}
	errors.As(err, &p.Lines)
	for _, c := range []Cause{ErrErased, ErrClockBack, ErrAway, ErrLapsed, ErrHeld, ErrCameIn} {
		if errors.Is(err, c) {
			p.Cause = c
		}
	}
	var e *ecluse.Error
	if !errors.As(err, &e) {
		p.Why = "of something that the gate's own log says more of"
		return p
	}
	p.What, p.Where, p.Why, p.Next, p.Article = e.What, e.Where, e.Why, e.Next, e.Article
	if e.Err != nil && p.Lines == nil {
		p.Because = e.Err.Error()
	}
	return p
}

// Err is the problem as the error it was.
func (p *Problem) Err() error {
	p = p.printable()
	if p.Lines != nil && p.Why == "" {
		return p.Lines
	}
	e := &ecluse.Error{Kind: p.Kind, What: p.What, Where: p.Where, Why: p.Why, Next: p.Next, Article: p.Article}
	switch {
	case p.Lines != nil:
		e.Err = p.Lines
	case p.Because != "" && p.Cause != "":
		e.Err = because{p.Because, p.Cause}
	case p.Because != "":
		e.Err = errors.New(p.Because)
	case p.Cause != "":
		e.Err = p.Cause
	}
	return e
}

// printable is the problem without what would steer the screen that it is shown on:
// whoever sent it is not believed.
func (p *Problem) printable() *Problem {
	c := *p
	for _, s := range []*string{&c.What, &c.Where, &c.Why, &c.Next, &c.Article, &c.Because} {
		*s = Printable(*s)
	}
	c.Cause = Cause(Printable(string(c.Cause)))
	if p.Lines != nil {
		c.Lines = make(document.Problems, len(p.Lines))
		for i, l := range p.Lines {
			l.File, l.Field, l.Why, l.Article = Printable(l.File), Printable(l.Field), Printable(l.Why), Printable(l.Article)
			c.Lines[i] = l
		}
	}
	return &c
}

// Printable replaces what steers a screen in a text that somebody else wrote; line
// breaks stay.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsGraphic(r) {
			return r
		}
		return '?'
	}, s)
}

// because is a chain of causes in words, with the one that can be asked for.
type because struct {
	words string
	cause Cause
}

func (b because) Error() string { return b.words }
func (b because) Unwrap() error { return b.cause }
