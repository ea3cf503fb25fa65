package evidence

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ecluse"
)

// DecisionFormat is the format of Decision.
const DecisionFormat = "decision/v1"

// Decision is decision/v1: what stays open when the controller says go, signed in
// the same act. Nobody goes live with an open point that is nobody's.
type Decision struct {
	Format    string             `json:"ecluse"`
	Migration ecluse.MigrationID `json:"migration"`
	Report    ecluse.Digest      `json:"report"`
	Open      []OpenPoint        `json:"open"`
}

// OpenPoint is something still to be done after the go, by whom and until when.
type OpenPoint struct {
	What  string `json:"what"`  // one line, without personal data
	Owner string `json:"owner"` // a person's id in a roster
	Due   string `json:"due"`   // YYYY-MM-DD
}

// Bounds of a decision: what somebody reads at night before they sign.
const (
	MaxOpenPoints = 50
	maxLine       = 300 // bytes of one line of it
)

// OneLine says what keeps a text from being one line for people to read; empty
// when it is one.
func OneLine(s string, most int) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "it says nothing"
	case len(s) > most:
		return fmt.Sprintf("it has %d bytes, want at most %d", len(s), most)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "it is not one line of text"
	}
	return ""
}

// isDay tells a date that is written as YYYY-MM-DD.
func isDay(s string) bool {
	day, err := time.Parse(time.DateOnly, s)
	return err == nil && day.Format(time.DateOnly) == s
}

// Check tells what is wrong with a point before it is signed.
func (p OpenPoint) Check() error {
	const what = "check open point"
	if why := OneLine(p.What, maxLine); why != "" {
		return invalid(what, "what is open: %s", why)
	}
	if !ValidPerson(p.Owner) {
		return invalid(what, "%q is not a person's id", p.Owner)
	}
	if !isDay(p.Due) {
		return invalid(what, "%q is not a day such as 2026-12-31", p.Due)
	}
	return nil
}

// Check tells what is wrong with a decision.
func (d *Decision) Check() error {
	const what = "check decision"
	switch {
	case d.Format != DecisionFormat:
		return invalid(what, "it is a %q, want %s", d.Format, DecisionFormat)
	case !d.Migration.Valid() || d.Report.IsZero():
		return invalid(what, "it does not name its migration and its report")
	case len(d.Open) == 0 || len(d.Open) > MaxOpenPoints:
		return invalid(what, "it has %d open points, want 1 to %d", len(d.Open), MaxOpenPoints)
	}
	for _, p := range d.Open {
		if err := p.Check(); err != nil {
			return err
		}
	}
	return nil
}

// ParseDecision reads a decision.
func ParseDecision(text []byte) (*Decision, error) {
	d := &Decision{}
	return d, decodeChecked(text, d, d.Check)
}

// Decides tells an act that says go or no-go.
func Decides(a *Act) bool {
	return slices.ContainsFunc(a.Clauses, func(c Clause) bool { return c.Verb == VerbGo || c.Verb == VerbNoGo })
}

// MayDecide refuses a go or no-go by anybody but a signatory of the controller or a
// deputy whom the controller's instruction names.
func MayDecide(a *Act, deputies []string) error {
	if a.Side == ecluse.Controller && (a.Role == ecluse.Signatory || slices.Contains(deputies, a.Person)) {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "say go or no-go", Where: a.Person, Article: "GDPR art. 29",
		Why:  "it is said by a signatory of the controller, or by a deputy whom the instruction names",
		Next: "let one of them say it; deputies are named in the instruction before reading begins",
	}
}

// Decided checks what an act that says go or no-go says: of one report, a no-go
// with its reason and a go with what stays open. decision is the document that it
// signs; nil when it signs none.
func Decided(a *Act, decision []byte) error {
	const what = "say go or no-go"
	var says, signs []Clause
	for _, c := range a.Clauses {
		switch {
		case c.Verb == VerbGo || c.Verb == VerbNoGo:
			says = append(says, c)
		case c.Kind == KindDecision || c.Kind == KindReason:
			signs = append(signs, c)
		}
	}
	switch {
	case len(says) != 1 || says[0].Kind != KindReport:
		return invalid(what, "one act says it of one report")
	case len(signs) > 1 || len(signs) == 1 && signs[0].Verb != VerbSign:
		return invalid(what, "it signs one document: a reason, or what stays open")
	case says[0].Verb == VerbNoGo:
		if len(signs) != 1 || signs[0].Kind != KindReason {
			return invalid(what, "a no-go signs its reason, and nothing that stays open")
		}
		return nil
	case len(signs) == 0:
		return nil
	case signs[0].Kind != KindDecision:
		return invalid(what, "a go signs what stays open, and no reason")
	}
	d, err := ParseDecision(decision)
	if err != nil {
		return err
	}
	if d.Migration != a.Migration || d.Report != says[0].Subject || ecluse.DigestOf(decision) != signs[0].Subject {
		return invalid(what, "what stays open is said of another report")
	}
	return nil
}
