package gate

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/reconcile"
)

// LeftFormat is the format of LeftRows.
const LeftFormat = "left/v1"

// LeftRows is left/v1: what an undoing left in the target, in exact figures, and the first
// of those rows by their keys. The target gate seals it to the source gate, for the
// laboratory alone, and it is erased with the rows put aside. It prints as what it is about.
type LeftRows struct {
	evidence.StatementHead                         // Plan is the load plan's
	Passage                ecluse.Passage          `json:"passage"`
	Stay                   []reconcile.Grouped     `json:"stay"` // all of them, by table and reason
	Rows                   []sluice.LeftRow        `json:"rows"` // the first of them
	Tables                 []reconcile.TableResult `json:"tables"`
}

// More is how many rows stay beside those listed.
func (x *LeftRows) More() int64 {
	n := -int64(len(x.Rows))
	for _, g := range x.Stay {
		n += g.Count
	}
	return n
}

// Format prints "rows left of final-1" whatever the verb.
func (x LeftRows) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "rows left of %s", x.Passage) }

// LogValue says the same to slog.
func (x LeftRows) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(x)) }

// label is the first line inside the sealed paper: it cannot pass for another's.
func (x *LeftRows) label() string {
	return fmt.Sprintf("%s %s %s %s", LeftFormat, x.Migration, x.Passage, x.Plan)
}

// leftPrefix begins the datasets that such lists lie in, among the rejects.
const leftPrefix = "ecluse.left."

// sealLeft hands in what an undoing left; nothing when the target stands as before.
func (t *Target) sealLeft(ctx context.Context, c *exchange.Case, permit mandate.LoadPermit, read *mandate.ReadPlan, u *sluice.Undone) error {
	if len(u.Stay) == 0 && u.Equal() {
		return nil
	}
	to, err := rejectsOf(c, permit, read)
	if err != nil {
		return err
	}
	p := permit.Passage()
	x := &LeftRows{StatementHead: evidence.StatementHead{Format: LeftFormat, Migration: permit.Plan().Migration, Plan: permit.Digest()}, Passage: p, Stay: u.Stay, Rows: u.Left, Tables: u.Tables}
	slot := ecluse.Slot{Dataset: ecluse.DatasetID(leftPrefix + p.String())}
	return t.sealPaper(ctx, to, x.label(), x.StatementHead, p, slot, x)
}

// rejectsOf is what a passage's rejects are sealed to: the recipient that the read plan
// of its load plan names, signed by that plan's source gate. The ledger holds the load
// plan, so no lock can show another.
func rejectsOf(c *exchange.Case, permit mandate.LoadPermit, read *mandate.ReadPlan) (age.Recipient, error) {
	const what = "find the recipient for " + evidence.ForRejects
	if read.Digest() != permit.Plan().ReadPlan {
		return nil, &ecluse.Error{Kind: ecluse.Differs, What: what, Why: "the lock shows another read plan than the one loaded under", Next: "find out who changed it"}
	}
	for _, s := range c.Recipients {
		if s.Digest() != read.Rejects {
			continue
		}
		r, err := evidence.ParseRecipient(s, read.Source.Gate)
		if err != nil {
			return nil, err
		}
		return age.ParseHybridRecipient(r.Recipient)
	}
	return nil, &ecluse.Error{Kind: ecluse.Differs, What: what, Why: "the lock does not show the one that the read plan names", Next: "find out who took it away"}
}

// Left opens the lists of the rows that undoings left in the target, in memory, for whom
// of the controller's people the key is. That they looked is journalled before.
func (s *Source) Left(ctx context.Context, m ecluse.MigrationID, key ssh.Signer) ([]LeftRows, error) {
	const what = "open the list of rows left"
	o, err := s.opening(ctx, what, m, ecluse.Passage{Kind: ecluse.Final})
	if err != nil {
		return nil, err
	}
	defer o.key.Wipe()
	var all []LeftRows
	for _, d := range o.sealed {
		number, ok := strings.CutPrefix(string(d.Slot.Dataset), leftPrefix+string(ecluse.Final)+"-")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: string(d.Slot.Dataset), Why: "it names no passage"}
		}
		p := ecluse.Passage{Kind: ecluse.Final, Number: n}
		shown := evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindShown, Subject: d.SHA256}
		if err := s.attended(ctx, m, key, shown, exchange.Event{Type: "left-shown", IDs: map[string]string{"passage": p.String()}}); err != nil {
			return nil, err
		}
		want := LeftRows{StatementHead: evidence.StatementHead{Format: LeftFormat, Migration: m, Plan: d.Plan}, Passage: p}
		var x LeftRows
		if err := s.openPaper(ctx, what, o, d, p, want.label(), &x); err != nil {
			return nil, err
		}
		if x.StatementHead != want.StatementHead || x.Passage != p || x.More() < 0 {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: p.String(), Why: "inside it says that it is of another passage"}
		}
		all = append(all, x)
	}
	slices.SortFunc(all, func(a, b LeftRows) int { return a.Passage.Number - b.Passage.Number })
	return all, nil
}
