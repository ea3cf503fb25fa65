package app

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/reconcile"
)

// Beside is a gate at its own machine: its folder, its database, and the lock as it
// sees it.
type Beside struct {
	dir   string
	place exchange.Place
	home  *gate.Home
	lock  gate.Lock

	// Of a gate without a line; nil on a line.
	held    *os.File     // its folder is this process's alone
	sealing func() error // signs what it said

	mu     sync.Mutex
	source *gate.Source
	target *gate.Target
}

// Close disconnects from the database, and from the server if the lock is on one.
func (b *Beside) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.lock.(interface{ Disconnect() }); ok {
		c.Disconnect()
	}
	var err error
	if b.sealing != nil {
		err = b.sealing()
	}
	switch {
	case b.source != nil:
		err = errors.Join(err, b.source.Close())
	case b.target != nil:
		err = errors.Join(err, b.target.Close())
	}
	if b.held != nil {
		err = errors.Join(err, b.held.Close())
	}
	return err
}

// Source connects the source gate, once.
func (b *Beside) Source() (*gate.Source, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.source != nil {
		return b.source, nil
	}
	c, err := b.config(exchange.SourcePlace)
	if err != nil {
		return nil, err
	}
	db, dialect, err := openSource(c)
	if err != nil {
		return nil, err
	}
	b.source = gate.NewSource(b.home, b.lock, db, dialect, procedure.Digest())
	return b.source, nil
}

// Target connects the target gate, once.
func (b *Beside) Target() (*gate.Target, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.target != nil {
		return b.target, nil
	}
	c, err := b.config(exchange.TargetPlace)
	if err != nil {
		return nil, err
	}
	main, rehearsal, err := openBases(c)
	if err != nil {
		return nil, err
	}
	b.target = gate.NewTarget(b.home, b.lock, main, rehearsal, procedure.Digest())
	return b.target, nil
}

func (b *Beside) config(at exchange.Place) (*config.Gate, error) {
	if b.place != at {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "open gate", Where: filepath.Base(b.dir), Why: "it is the " + string(b.place) + " gate, and this is done at the " + string(at) + " gate",
			Next: "run it where that gate stands",
		}
	}
	return config.Load(b.dir)
}

// RejectsRequest asks for the rows that a passage put aside.
type RejectsRequest struct {
	Migration ecluse.MigrationID
	Passage   string     // "final-1"; empty: the last that began
	Key       ssh.Signer // of one of the controller's people
}

// RejectsView says how many rows were shown, never what they hold.
type RejectsView struct {
	Migration ecluse.MigrationID `json:"migration"`
	Passage   ecluse.Passage     `json:"passage"`
	Rows      int64              `json:"rows"`
	Reported  *int64             `json:"reported,omitempty"` // by the passage's signed report; nil before there is one
	Kept      string             `json:"kept,omitempty"`     // the last day on which they are here, of a migration that was erased
}

// Rejects shows the rows put aside on the laboratory's side, where the source gate
// opens them in memory: nothing of them is kept, printed or journalled here.
func (b *Beside) Rejects(ctx context.Context, q RejectsRequest, each func(*gate.Rejected) error) (*RejectsView, error) {
	s, m, c, p, err := b.aside(ctx, &q)
	if err != nil {
		return nil, err
	}
	v := &RejectsView{Migration: m, Passage: p}
	err = s.Rejects(ctx, m, p, q.Key, func(x *gate.Rejected) error {
		v.Rows++
		return each(x)
	})
	if err != nil {
		return nil, err
	}
	page, err := b.home.Entry(m)
	if err != nil {
		return nil, err
	}
	if page.Kept != nil {
		v.Kept = page.Kept.Until
	}
	said, _, err := b.report(ctx, m, c, &p)
	if said != nil && said.RowsRejected <= v.Rows { // more are of an earlier reading: the gate shows no fewer than it can know of
		v.Reported = &said.RowsRejected
	}
	return v, err
}

// aside finds the passage whose rows are meant.
func (b *Beside) aside(ctx context.Context, q *RejectsRequest) (s *gate.Source, m ecluse.MigrationID, c *exchange.Case, p ecluse.Passage, err error) {
	if s, err = b.Source(); err != nil {
		return
	}
	if m, err = b.migration(q.Migration); err != nil {
		return
	}
	if c, err = b.lock.Case(ctx, m, ecluse.Final); err != nil {
		return
	}
	p, err = passageOf(c, m, q.Passage)
	return
}

// Release lets others see one row put aside, masked.
func (b *Beside) Release(ctx context.Context, q RejectsRequest, d ecluse.DatasetID, row int64) (*evidence.Released, error) {
	s, m, _, p, err := b.aside(ctx, &q)
	if err != nil {
		return nil, err
	}
	return s.Release(ctx, m, p, d, row, q.Key)
}

// migration is the one meant: the one named, or the only one that this gate knows.
func (b *Beside) migration(id ecluse.MigrationID) (ecluse.MigrationID, error) {
	if id != "" {
		return id, nil
	}
	known, err := b.home.Migrations()
	if err != nil {
		return "", err
	}
	if len(known) == 1 {
		return known[0], nil
	}
	return "", &ecluse.Error{Kind: ecluse.Invalid, What: "find the migration", Why: "this gate knows none, or several", Next: "name one with -m ID"}
}

// passageOf finds the passage meant: the one named, or the last that began.
func passageOf(c *exchange.Case, m ecluse.MigrationID, name string) (ecluse.Passage, error) {
	for _, p := range slices.Backward(c.Passages) {
		if name == "" || name == p.String() {
			return p, nil
		}
	}
	why := "no passage has begun, so nothing was put aside"
	if name != "" && len(c.Passages) > 0 {
		why = "that passage never began"
	}
	return ecluse.Passage{}, &ecluse.Error{Kind: ecluse.Invalid, What: "find the passage", Where: string(m), Why: why, Next: "ecluse status names the passage in hand: dry-1, final-1"}
}

// report is the target gate's signed report of a passage, or of the last one that
// has one; nil when there is none.
func (b *Beside) report(ctx context.Context, m ecluse.MigrationID, c *exchange.Case, of *ecluse.Passage) (*gate.LoadStatement, ecluse.Digest, error) {
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	reports, err := b.lock.Posted(ctx, m, exchange.LoadReport)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	for _, signed := range slices.Backward(reports) {
		said := &gate.LoadStatement{}
		if err := evidence.ParseStatement(signed, i.Target.Gate, evidence.ReportFormat, said); err != nil {
			return nil, ecluse.Digest{}, err
		}
		if of == nil || said.Passage == *of {
			return said, signed.Digest(), nil
		}
	}
	return nil, ecluse.Digest{}, nil
}

// ShapesView is exact counts of rows put aside, by reason, column and shape.
type ShapesView struct {
	Migration ecluse.MigrationID `json:"migration"`
	Passage   ecluse.Passage     `json:"passage"`
	Shapes    []reconcile.Shaped `json:"shapes"`
}

// Shapes counts the rows put aside of the last passage that ended: by its exact figures or,
// of a migration that was erased, by the rows that are kept.
func (b *Beside) Shapes(ctx context.Context, q RejectsRequest) (*ShapesView, error) {
	m, err := b.migration(q.Migration)
	if err != nil {
		return nil, err
	}
	page, err := b.home.Entry(m)
	if err != nil {
		return nil, err
	}
	out := &ShapesView{Migration: m}
	if page.Kept != nil && !page.Erased.IsZero() {
		s, err := b.Source()
		if err != nil {
			return nil, err
		}
		out.Passage = page.Kept.Passage
		out.Shapes, err = s.KeptShapes(ctx, m, out.Passage, q.Key)
		if err != nil {
			return nil, err
		}
	} else {
		v, err := b.ReportExact(ctx, m, q.Key)
		if err != nil {
			return nil, err
		}
		out.Passage, out.Shapes = v.Passage, v.Exact.Shapes
	}
	if q.Passage != "" && q.Passage != out.Passage.String() {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "show the rows put aside", Where: q.Passage, Why: "the last report is of " + out.Passage.String(), Next: "leave --passage out"}
	}
	out.Shapes = append([]reconcile.Shaped{}, out.Shapes...)
	return out, nil
}

// ExactReport is a report with the figures behind it, for the laboratory alone.
type ExactReport struct {
	desk.ReportView
	Exact    *reconcile.Report `json:"exact"`
	Findings gate.Findings     `json:"findings,omitempty"` // in free text
	Left     []gate.LeftRows   `json:"left,omitempty"`     // rows that undoings left in the target
}

// ReportExact opens the exact figures of the last report, on the laboratory's side:
// small counts, and which keys of a check differ. What others were shown must follow
// from them.
func (b *Beside) ReportExact(ctx context.Context, id ecluse.MigrationID, key ssh.Signer) (*ExactReport, error) {
	source, err := b.Source()
	if err != nil {
		return nil, err
	}
	m, err := b.migration(id)
	if err != nil {
		return nil, err
	}
	c, err := b.lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return nil, err
	}
	s, digest, err := b.report(ctx, m, c, nil)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read report", Where: string(m), Why: "no passage has ended", Next: "ecluse status"}
	}
	extracts, err := b.lock.Posted(ctx, m, exchange.ExtractReport)
	if err != nil {
		return nil, err
	}
	read, err := gate.LastExtract(extracts, b.home.Fingerprint())
	if err != nil {
		return nil, err
	}
	x, err := source.Exact(ctx, s.Migration, s.Passage, key)
	if err != nil {
		return nil, err
	}
	masked := x.Figures.Public()
	masked.ReadBack = masked.ReadBack.UTC()
	said, err := evidence.EncodeJSON(s.Compared)
	if err != nil {
		return nil, err
	}
	if follows, err := evidence.EncodeJSON(masked); err != nil || x.Report != digest || !bytes.Equal(said, follows) {
		return nil, &ecluse.Error{
			Kind: ecluse.Unverified, What: "open the exact figures", Where: s.Passage.String(), Why: "the signed report does not follow from them", Err: err,
			Next: "do not accept: the target gate signed two accounts of one passage; ecluse undo, and find out why",
		}
	}
	out := &ExactReport{ReportView: desk.ReportView{LoadStatement: s, Extract: read}, Exact: x.Figures}
	if read != nil {
		if out.Findings, err = source.Findings(s.Migration, read.Epoch); err != nil {
			return nil, err
		}
	}
	out.Left, err = b.left(ctx, source, m, c, key)
	return out, err
}

// left opens the lists of rows that undoings left. What others were told must follow from
// them.
func (b *Beside) left(ctx context.Context, source *gate.Source, m ecluse.MigrationID, c *exchange.Case, key ssh.Signer) ([]gate.LeftRows, error) {
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil {
		return nil, err
	}
	said, err := b.lock.Posted(ctx, m, exchange.UndoReport)
	if err != nil {
		return nil, err
	}
	all, err := source.Left(ctx, m, key)
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		follows := false
		for _, signed := range said {
			u := &gate.UndoStatement{}
			if err := evidence.ParseStatement(signed, i.Target.Gate, gate.UndoFormat, u); err != nil {
				return nil, err
			}
			follows = follows || u.Passage == x.Passage && slices.Equal(u.Left, reconcile.MaskGroups(x.Stay))
		}
		if !follows && len(said) > 0 {
			return nil, &ecluse.Error{
				Kind: ecluse.Unverified, What: "open the list of rows left", Where: x.Passage.String(), Why: "the signed statement does not follow from it",
				Next: "the target gate signed two accounts of one undoing: find out why",
			}
		}
	}
	return all, nil
}
