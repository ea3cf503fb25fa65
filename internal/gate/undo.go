package gate

import (
	"context"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/writer"
)

// UndoStatement is undo/v1: what the target gate says of a passage taken out.
type UndoStatement struct {
	evidence.StatementHead
	Passage ecluse.Passage       `json:"passage"`
	System  string               `json:"system"` // that it was taken out of, as the plan names it
	Chunks  int                  `json:"chunks"`
	Rows    int64                `json:"rows"`              // that stood there when it began
	Left    []ecluse.MaskedGroup `json:"left,omitempty"`    // of them, those that stay, because people changed them or refer to them since
	Missing []ecluse.MaskedGroup `json:"missing,omitempty"` // and those that were no longer there
	Stay    string               `json:"stay,omitempty"`    // how many stay in all, as evidence.Told tells it; empty: none
	Tables  []UndoneTable        `json:"tables"`
	At      time.Time            `json:"at"`
	Never   bool                 `json:"never,omitempty"` // it never began here, and never will: not a chunk of it was loaded

	digest ecluse.Digest // of the statement as signed
}

// UndoneTable tells whether a table stands as before, by its sums. How many rows it has is
// not told: the difference would be how few stay. LeftRows has it.
type UndoneTable struct {
	Table ecluse.TableName `json:"table"`
	Equal bool             `json:"equal"`
}

// Taken is the ledger's line about a passage that is taken out again: what stood
// in the target when that began, and, once it is out, how the target stands. With
// it an undoing goes on after an interruption at any point and still says what it
// came to as a whole.
type Taken struct {
	Chunks  int                  `json:"chunks"`
	Rows    int64                `json:"rows"`
	Left    []ecluse.MaskedGroup `json:"left,omitempty"` // what stays, and what was gone, as the statement tells it
	Missing []ecluse.MaskedGroup `json:"missing,omitempty"`
	Tables  []UndoneTable        `json:"tables,omitempty"`
	At      time.Time            `json:"at,omitzero"`  // when it was out; zero: under way
	By      []ecluse.Digest      `json:"by,omitempty"` // the acts that ordered it: they are none of a later passage
}

// Undo takes a passage out of the target. It needs no approval and goes on after
// every deadline; what the controller accepted it leaves. What is taken out is what the target's own markers say this
// passage wrote under the plan that the ledger, or for a passage that never
// began here the lock, names. It may be called again after any interruption, and
// after its end.
func (t *Target) Undo(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, watch sluice.Watch) (*UndoStatement, error) {
	c, err := t.lock.Case(ctx, m, p.Kind)
	if err != nil {
		return nil, err
	}
	by, err := t.home.mayUndo(m, c, p)
	if err != nil {
		return nil, err
	}
	permit, err := t.permitUndo(c, m, p)
	if err != nil {
		return nil, err
	}
	if err := t.count(ctx, m, permit, by); err != nil {
		return nil, err
	}
	page, err := t.home.Entry(m)
	if err != nil {
		return nil, err
	}
	taken := page.Undone[p.String()]
	switch {
	case !taken.At.IsZero(): // only the target's own note that it is over may be missing
		if err := t.over(ctx, permit, undone); err != nil {
			return nil, err
		}
	case taken.Chunks == 0: // nothing had been loaded
		if err := t.over(ctx, permit, undone); err != nil && ecluse.KindOf(err) != ecluse.Refused {
			return nil, err
		}
		if err := t.out(m, &sluice.Undone{Passage: p}); err != nil {
			return nil, err
		}
	default:
		defer t.ForgetLease(m) // what is lent to take out is not for what would be loaded next
		if err := t.takeOut(ctx, c, permit, watch); err != nil {
			return nil, err
		}
	}
	return t.stateUndone(ctx, permit)
}

// permitUndo lets out what this gate's ledger says it loaded. A passage that the
// lock has begun and that never reached this gate is one too: then its markers,
// if there are any, must be of the lock's plan.
func (t *Target) permitUndo(c *exchange.Case, m ecluse.MigrationID, p ecluse.Passage) (mandate.LoadPermit, error) {
	now, err := t.home.Latest()
	if err != nil {
		return mandate.LoadPermit{}, err
	}
	page, err := t.home.Entry(m)
	if err != nil {
		return mandate.LoadPermit{}, err
	}
	plan := page.Plans[p.String()]
	if plan.IsZero() {
		plan = ecluse.DigestOf(c.LoadPlan)
	}
	return mandate.PermitUndo(c.LoadPlan, plan, p, now)
}

// count notes, once, what stands in the target before the first chunk goes.
func (t *Target) count(ctx context.Context, m ecluse.MigrationID, permit mandate.LoadPermit, by []ecluse.Digest) error {
	p := permit.Passage().String()
	page, err := t.home.Entry(m)
	if err != nil || page.Undone[p] != nil {
		return err
	}
	session, err := t.open(ctx, permit)
	if err != nil {
		return err
	}
	defer session.Close()
	if mark := page.Marks[p]; mark != "" { // else it never began in a database
		if err := sluice.Begun(ctx, session, permit.Passage(), mark); err != nil {
			return err
		}
	}
	markers, err := session.Markers(ctx)
	if err != nil {
		return err
	}
	taken := &Taken{Chunks: len(markers), By: by}
	for _, k := range markers {
		for _, rows := range k.Rows {
			taken.Rows += rows
		}
	}
	return t.home.Note(m, func(e *Entry) error {
		e.Undone[p] = taken
		return nil
	})
}

// open opens the database that a permit's passage went into.
func (t *Target) open(ctx context.Context, permit mandate.LoadPermit) (writer.Session, error) {
	base, err := t.baseOf(permit)
	if err != nil {
		return nil, err
	}
	return base.DB.Open(ctx, permit)
}

// takeOut maps what was loaded once more and deletes it by its keys.
func (t *Target) takeOut(ctx context.Context, c *exchange.Case, permit mandate.LoadPermit, watch sluice.Watch) error {
	m, p := permit.Plan().Migration, permit.Passage()
	base, err := t.baseOf(permit)
	if err != nil {
		return err
	}
	l := sluice.Loading{Permit: permit, Target: base.DB, Signer: t.home.signer, Watch: watch}
	if l.ReadPlan, err = mandate.ParseReadPlan(c.ReadPlan); err != nil {
		return err
	}
	k, err := t.check(ctx, base, l.ReadPlan, c.Mapping, c.Frozen)
	if err != nil {
		return err
	}
	if got, want := k.program.Shape().Mapping, permit.Plan().Shape.Mapping; got != want {
		return &ecluse.Error{Kind: ecluse.Differs, What: "undo " + p.String(), Why: "another mapping is in force than the one it was loaded with", Next: "sign that mapping again: " + want.String()}
	}
	l.Program, l.Padded = k.program, k.padded
	source := lender{l.ReadPlan.Source.Gate, l.ReadPlan.Limits.LeaseTime(), t.lease(m)}
	l.Identity = t.opener(m, source, t.home.Latest)
	in := &inlet{lock: t.lock, migration: m, source: source.gate, plan: l.ReadPlan.Digest()}
	if err := in.refresh(ctx); err != nil {
		return err
	}
	l.Inlet, l.Sealed = in, in.sealed()
	if l.Stays, err = t.home.stays(m, p); err != nil {
		return err
	}
	if l.Leave, l.ByKey, err = t.leaves(c, permit); err != nil {
		return err
	}
	page, err := t.home.Entry(m)
	if err != nil {
		return err
	}
	l.Mark = page.Marks[p.String()]
	l.Out = func(ctx context.Context, u *sluice.Undone) error {
		if err := t.sealLeft(ctx, c, permit, l.ReadPlan, u); err != nil {
			return err
		}
		return t.out(m, u)
	}
	_, err = sluice.Undo(ctx, l)
	return err
}

// leaves says what an undoing leaves. In the laboratory's own base what people changed, or
// refer to, is theirs. Of a table that did not stand as it was loaded, something other than
// people altered rows: they go by their keys, until the laboratory works in it, for then
// nobody can tell any more who changed what. In a test base nobody works, and nothing may
// stay.
func (t *Target) leaves(c *exchange.Case, permit mandate.LoadPermit) (leave bool, byKey []ecluse.TableName, err error) {
	m, p := permit.Plan().Migration, permit.Passage()
	page, err := t.home.Entry(m)
	if err != nil {
		return false, nil, err
	}
	e, err := t.home.ending(m, c)
	if err != nil {
		return false, nil, err
	}
	compared := page.Compared[p.String()]
	if compared == nil {
		compared = &Compared{}
	}
	leave = p.Kind == ecluse.Final
	if l := page.loaded(p.String()); leave && (!l.Went.IsZero() || !e.WentAt(l).IsZero()) {
		return leave, nil, nil
	}
	for _, table := range permit.Plan().Tables {
		if !leave || !slices.Contains(compared.Stood, table.Table) {
			byKey = append(byKey, table.Table)
		}
	}
	return leave, byKey, nil
}

// out notes that a passage is out of the target.
func (t *Target) out(m ecluse.MigrationID, u *sluice.Undone) error {
	now, err := t.home.Latest()
	if err != nil {
		return err
	}
	return t.home.Note(m, func(e *Entry) error {
		p := u.Passage.String()
		taken := *e.Undone[p]
		taken.Tables, taken.At = []UndoneTable{}, now
		for _, t := range u.Tables {
			taken.Tables = append(taken.Tables, UndoneTable{t.Table, t.Equal})
		}
		taken.Left, taken.Missing = reconcile.MaskGroups(u.Stay), reconcile.MaskGroups(u.Missing)
		e.Undone[p] = &taken
		return nil
	})
}

// Outcomes of a passage, as a target's tombstone names them.
const (
	undone   = "undone"
	accepted = "accepted"
)

// over replaces a passage's markers in the target by one tombstone.
func (t *Target) over(ctx context.Context, permit mandate.LoadPermit, outcome string) error {
	session, err := t.open(ctx, permit)
	if err != nil {
		return err
	}
	defer session.Close()
	return session.End(ctx, outcome)
}

// Keep leaves a passage that the controller accepted in the target for good: its
// markers go, one line stays. Called again it changes nothing.
func (t *Target) Keep(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage) error {
	c, err := t.lock.Case(ctx, m, p.Kind)
	if err != nil {
		return err
	}
	if err := t.home.mayKeep(m, c, p); err != nil {
		return err
	}
	permit, err := t.permitUndo(c, m, p) // to let go of it needs no more than to take it out
	if err != nil {
		return err
	}
	return t.over(ctx, permit, accepted)
}

// stateUndone says what an undoing came to, under the gate's signature. Called
// again it says the same.
func (t *Target) stateUndone(ctx context.Context, permit mandate.LoadPermit) (*UndoStatement, error) {
	m, p := permit.Plan().Migration, permit.Passage()
	page, err := t.home.Entry(m)
	if err != nil {
		return nil, err
	}
	taken := page.Undone[p.String()]
	s := &UndoStatement{
		StatementHead: evidence.StatementHead{Format: UndoFormat, Migration: m, Plan: permit.Digest()},
		Passage:       p, System: permit.Plan().Target.System, Chunks: taken.Chunks, Rows: taken.Rows,
		Left: taken.Left, Missing: taken.Missing, Stay: evidence.Told(taken.Left), Tables: taken.Tables, At: taken.At, Never: page.never(p.String()),
	}
	signed, err := evidence.SignStatement(t.home.signer, s)
	if err != nil {
		return nil, err
	}
	s.digest = signed.Digest()
	return s, t.lock.Post(ctx, m, exchange.UndoReport, signed)
}
