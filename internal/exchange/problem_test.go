package exchange_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/document"
	"ecluse/internal/exchange"
)

// travel puts an error on the line and takes it off again.
func travel(t *testing.T, err error) error {
	t.Helper()
	text, failed := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(err)})
	if failed != nil {
		t.Fatal(failed)
	}
	var a exchange.Answer
	if failed := json.Unmarshal(text, &a); failed != nil {
		t.Fatal(failed)
	}
	return a.Err()
}

// TestProblemTravels: an error says the same on the other side, and what is asked
// of it there is answered the same.
func TestProblemTravels(t *testing.T) {
	for name, err := range map[string]error{
		"plain": &ecluse.Error{Kind: ecluse.Refused, What: "read", Where: "patient", Why: "it is late", Next: "be early", Article: "GDPR art. 29"},
		"with a cause of ours": &ecluse.Error{
			Kind: ecluse.Failed, What: "open", Next: "wait", Err: &ecluse.Error{Kind: ecluse.Failed, What: "open the key", Why: "it is gone", Err: exchange.ErrErased},
		},
		"the cause itself": &ecluse.Error{Kind: ecluse.Refused, What: "look at the clock", Err: exchange.ErrClockBack},
		"a gate away":      exchange.Away("SHA256:x", time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC), exchange.Load),
		"with words below": &ecluse.Error{Kind: ecluse.Unverified, What: "verify", Err: errors.New("no signature")},
	} {
		got := travel(t, err)
		if got.Error() != err.Error() {
			t.Errorf("%s: it says %q, want %q", name, got, err)
		}
		if ecluse.KindOf(got) != ecluse.KindOf(err) {
			t.Errorf("%s: kind %s, want %s", name, ecluse.KindOf(got), ecluse.KindOf(err))
		}
		var a, b *ecluse.Error
		if !errors.As(got, &a) || !errors.As(err, &b) || a.Next != b.Next || a.Article != b.Article {
			t.Errorf("%s: what is next is lost: %+v", name, a)
		}
		for _, c := range []exchange.Cause{exchange.ErrErased, exchange.ErrClockBack, exchange.ErrAway} {
			if errors.Is(got, c) != errors.Is(err, c) {
				t.Errorf("%s: errors.Is(%q) is %v, want %v", name, c, errors.Is(got, c), errors.Is(err, c))
			}
		}
		if again := travel(t, got); again.Error() != got.Error() || ecluse.KindOf(again) != ecluse.KindOf(got) {
			t.Errorf("%s: twice on the line it says %q", name, again)
		}
	}
	if exchange.ProblemOf(nil) != nil || (&exchange.Answer{}).Err() != nil {
		t.Error("no error is a problem")
	}
}

// TestProblemLines: everything wrong in a document is told on the other side, line
// by line.
func TestProblemLines(t *testing.T) {
	lines := document.Problems{
		{File: "contract.yaml", Line: 3, Field: "parties.controller", Why: "is missing", Article: "GDPR art. 28(3)"},
		{File: "contract.yaml", Line: 9, Why: "unknown field"},
	}
	for name, err := range map[string]error{
		"alone":   lines,
		"wrapped": fmt.Errorf("sign: %w", lines),
		"below":   &ecluse.Error{Kind: ecluse.Invalid, What: "sign contract", Why: "two lines are wrong", Next: "correct them", Err: lines},
	} {
		got := travel(t, err)
		var told document.Problems
		if !errors.As(got, &told) {
			t.Errorf("%s: no lines: %v", name, got)
			continue
		}
		if d := cmp.Diff(lines, told); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		if ecluse.KindOf(got) != ecluse.Invalid {
			t.Errorf("%s: kind %s", name, ecluse.KindOf(got))
		}
	}
}

// TestProblemHoldsNoValue: an error that no package of ours put into words says its
// kind alone.
func TestProblemHoldsNoValue(t *testing.T) {
	text, err := json.Marshal(exchange.ProblemOf(errors.New("duplicate key: MARTIN Lucie")))
	if err != nil || strings.Contains(string(text), "MARTIN") {
		t.Errorf("%s, %v", text, err)
	}
}

// TestProblemSteersNoScreen: nothing that somebody else wrote steers the screen that it is
// shown on, a cause that nobody knows neither.
func TestProblemSteersNoScreen(t *testing.T) {
	t.Parallel()
	const clear = "\x1b[2J"
	for _, p := range []exchange.Problem{
		{What: clear}, {What: "a", Where: clear}, {What: "a", Why: clear}, {What: "a", Article: clear}, {What: "a", Because: clear}, {What: "a", Cause: clear},
	} {
		if said := p.Err().Error(); strings.Contains(said, "\x1b") {
			t.Errorf("%+v: %q", p, said)
		}
	}
}
