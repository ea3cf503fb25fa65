package gate

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
)

// checked is a mapping as this gate checked it itself, against its own live
// schema.
type checked struct {
	base      *Base // whose schema that is
	program   *mapping.Program
	catalogue *ecluse.Catalogue
	held      []mandate.LoadHeld
	heldKey   []byte // of the digests in held
	codes     map[string]map[string]string
}

// check compiles a mapping against the read plan's datasets and the target.
func (t *Target) check(ctx context.Context, base *Base, plan *mandate.ReadPlan, text []byte, frozen [][]byte) (*checked, error) {
	doc, err := mapping.Parse("mapping", text)
	if err != nil {
		return nil, err
	}
	c := &checked{base: base, codes: map[string]map[string]string{}}
	if c.catalogue, err = base.DB.Catalogue(ctx); err != nil {
		return nil, err
	}
	schemas := map[ecluse.DatasetID]*record.Schema{}
	for i := range plan.Datasets {
		schemas[plan.Datasets[i].Dataset] = sluice.SchemaOf(&plan.Datasets[i])
	}
	c.program, err = mapping.Check(doc, mapping.Inputs{Instruction: plan.Instruction, Datasets: schemas, Frozen: frozen, Target: c.catalogue})
	if err != nil {
		return nil, err
	}
	for _, k := range c.program.Shape().Checks {
		if k.Codes != "" {
			c.codes[k.Codes] = c.program.Codes(k.Codes)
		}
	}
	return c, nil
}

// hold reads and digests the target's tables that a mapping looks codes up in. Which
// tables, the mapping says: they are read once people have signed it, never because a lock
// asks.
func (t *Target) hold(ctx context.Context, m ecluse.MigrationID, papers *exchange.Case, c *checked) (err error) {
	targets := c.program.Shape().Targets
	if len(targets) == 0 {
		return nil
	}
	if err := t.home.mappingSigned(m, papers); err != nil {
		return err
	}
	if c.heldKey, err = t.heldKey(m); err != nil {
		return err
	}
	for _, target := range targets {
		rows, err := c.base.DB.Rows(ctx, target.Table, target.Columns, target.Rows)
		if err != nil {
			return err
		}
		digest, err := reconcile.DigestRows(c.heldKey, rows)
		if err != nil {
			return err
		}
		c.held = append(c.held, mandate.LoadHeld{Table: target.Table, Columns: target.Columns, Rows: rows.Rows(), Digest: digest})
	}
	return nil
}

// heldKey keys those digests: it is derived from this gate's secret of the migration.
func (t *Target) heldKey(m ecluse.MigrationID) ([]byte, error) {
	secret, err := t.home.orCreate(m, secretFile, false)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return hkdf.Key(sha256.New, secret, []byte(m), "ecluse held v1", secretSize)
}

// CheckMapping checks a mapping and says what it reads and writes (step 4), and
// which instructed columns ("dataset.column") it has no use for.
func (t *Target) CheckMapping(ctx context.Context, plan *mandate.ReadPlan, text []byte, frozen [][]byte) (shape ecluse.Shape, unused []string, err error) {
	c, err := t.check(ctx, &t.main, plan, text, frozen)
	if err != nil {
		return shape, nil, err
	}
	return c.program.Shape(), c.program.Unused(), nil
}

// Compile compiles the load plan of a kind of passage (step 9), and says which
// instructed columns its mapping has no use for, and what schema it was compiled for.
func (t *Target) Compile(ctx context.Context, c *exchange.Case, kind ecluse.PassageKind) (*mandate.LoadPlan, exchange.Checked, error) {
	k, plan, _, err := t.compile(ctx, c, kind)
	if err != nil {
		return nil, exchange.Checked{}, err
	}
	return plan, exchange.Checked{Unused: k.program.Unused(), Schema: k.schema()}, nil
}

// Draft compiles what a kind of passage would write and look up if it were planned now,
// from the mapping and the inspected schema alone: no row of the target is read, and
// the tables that codes are looked up in have no digest. It is for granting rights, before
// there is a plan.
func (t *Target) Draft(ctx context.Context, c *exchange.Case, kind ecluse.PassageKind) (*mandate.LoadPlan, error) {
	const what = "draft a load plan"
	if c.ReadPlan == nil {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: what, Why: "no read plan is compiled yet, and it says what a mapping has to read", Next: "ecluse plan"}
	}
	if c.Mapping == nil {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: what, Why: "no mapping is signed yet, and it says what is written", Next: "ecluse sign mapping.yaml --as KEY"}
	}
	nothing := func(context.Context, ecluse.MigrationID, *exchange.Case, *checked) error { return nil }
	_, plan, _, err := t.compileWith(ctx, c, kind, nothing)
	if err != nil {
		return nil, err
	}
	for _, x := range plan.Shape.Targets {
		plan.Held = append(plan.Held, mandate.LoadHeld{Table: x.Table, Columns: x.Columns})
	}
	return plan, nil
}

func (t *Target) compile(ctx context.Context, c *exchange.Case, kind ecluse.PassageKind) (*checked, *mandate.LoadPlan, *mandate.ReadPlan, error) {
	return t.compileWith(ctx, c, kind, t.hold)
}

// compileWith compiles with what hold reads of the tables that codes are looked up in.
func (t *Target) compileWith(ctx context.Context, c *exchange.Case, kind ecluse.PassageKind, hold func(context.Context, ecluse.MigrationID, *exchange.Case, *checked) error) (*checked, *mandate.LoadPlan, *mandate.ReadPlan, error) {
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := names(i.Target.Gate, t.home, "target"); err != nil {
		return nil, nil, nil, err
	}
	read, err := mandate.ParseReadPlan(c.ReadPlan)
	if err != nil {
		return nil, nil, nil, err
	}
	base, err := t.baseToLoad(ctx, kind, i.Target.PreProduction)
	if err != nil {
		return nil, nil, nil, err
	}
	k, err := t.check(ctx, base, read, c.Mapping, c.Frozen)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := hold(ctx, i.ID, c, k); err != nil {
		return nil, nil, nil, err
	}
	plan, err := mandate.CompileLoad(mandate.LoadInputs{
		Instruction: i, ReadPlan: read, Passage: kind, Shape: k.program.Shape(), Target: k.catalogue, Held: k.held,
		Procedure: t.procedure, Dialect: k.base.Dialect,
	})
	return k, plan, read, err
}

// permitted is all a passage needs, once everything is verified.
type permitted struct {
	*checked
	permit      mandate.LoadPermit
	read        *mandate.ReadPlan
	instruction *mandate.Instruction
	rejects     age.Recipient
}

// permit verifies everything and compiles the load plan again. A passage that
// begins is noted in the ledger first.
func (t *Target) permit(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage) (*permitted, error) {
	c, err := t.lock.Case(ctx, m, p.Kind)
	if err != nil {
		return nil, err
	}
	if err := waiting(c.LoadPlan, "load", "ecluse plan --passage "+string(p.Kind)+", then ecluse approve"); err != nil {
		return nil, err
	}
	if err := t.home.upToDate(ctx, t.lock, m); err != nil {
		return nil, err
	}
	trust, err := t.home.trust(m)
	if err != nil {
		return nil, err
	}
	out := &permitted{}
	signed, i, err := papers(c)
	if err != nil {
		return nil, err
	}
	out.instruction = i
	if out.read, err = mandate.ParseReadPlan(c.ReadPlan); err != nil {
		return nil, err
	}
	base, err := t.baseToLoad(ctx, p.Kind, i.Target.PreProduction)
	if err != nil {
		return nil, err
	}
	if out.checked, err = t.check(ctx, base, out.read, c.Mapping, c.Frozen); err != nil {
		return nil, err
	}
	if err := t.hold(ctx, m, c, out.checked); err != nil {
		return nil, err
	}
	page, err := t.home.Entry(m)
	if err != nil {
		return nil, err
	}
	begun := page.Passages[p.String()]
	if err := page.goesOn(ecluse.DigestOf(c.LoadPlan), page.Plans[p.String()], begun); err != nil {
		return nil, err
	}
	if page.Undone[p.String()] != nil {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "load", Where: p.String(), Why: "this passage is being taken out of the target, or was", Next: "ecluse undo to its end; then a new passage"}
	}
	if in := page.standing(p); begun.IsZero() && in != "" {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "load", Where: p.String(), Why: fmt.Sprintf("%s stands in that database, and was not taken out", in), Article: "GDPR art. 5(1)(d)",
			Next: "take that one out first: ecluse undo",
		}
	}
	mapped, schema := out.program.Shape().Mapping, out.schema()
	if p.Kind == ecluse.Rehearsal && begun.IsZero() { // the twin was held against the real one
		k, err := t.check(ctx, &t.main, out.read, c.Mapping, c.Frozen)
		if err != nil {
			return nil, err
		}
		schema = k.schema()
	}
	out.permit, err = mandate.PermitLoad(mandate.LoadPermitInputs{
		Twin: !page.Twins[madeOf(mapped, out.read.Columns(), schema)].IsZero(), Tried: page.Tried[madeOf(mapped, out.read.Columns())] != "",
		Trust: trust, Papers: signed, LoadPlan: c.LoadPlan, Shape: out.program.Shape(), Target: out.catalogue, Held: out.held,
		Procedure: t.procedure, Dialect: out.base.Dialect, Passage: p, Used: page.used(p, !begun.IsZero()), Withdrawn: page.withdrawn(p), BegunAt: begun, Under: page.Under,
	})
	if err != nil {
		return nil, err
	}
	if out.rejects, err = age.ParseHybridRecipient(out.permit.Rejects()); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "load", Why: "the recipient of rejects is not a hybrid one", Err: err}
	}
	if err := t.home.saw(c); err != nil {
		return nil, err
	}
	return out, t.home.Note(m, func(e *Entry) error {
		e.Instruction = i.Digest()
		if begun.IsZero() {
			e.Passages[p.String()], e.Plans[p.String()] = trust.Now, out.permit.Digest()
		}
		if e.Under[p.String()].IsZero() { // of one that an older gate began, too
			e.Under[p.String()] = out.permit.Approval()
		}
		return nil
	})
}

// standing names another passage of the kind, thus of the same database, that began here
// and is not out of it; empty: there is none. Dry runs write nothing.
func (e *Entry) standing(p ecluse.Passage) string {
	for _, name := range slices.Sorted(maps.Keys(e.Passages)) {
		if p.Kind == ecluse.Dry || name == p.String() || !strings.HasPrefix(name, string(p.Kind)+"-") {
			continue
		}
		if taken := e.Undone[name]; taken == nil || taken.At.IsZero() {
			return name
		}
	}
	return ""
}

// withdrawn is how many numbers before a passage's are those of passages of its kind that
// never began here and were undone all the same: refused before a chunk of them was loaded.
func (e *Entry) withdrawn(p ecluse.Passage) (n int) {
	for name := range e.Undone {
		number, ok := strings.CutPrefix(name, string(p.Kind)+"-")
		if x, err := strconv.Atoi(number); ok && err == nil && x < p.Number && e.never(name) {
			n++
		}
	}
	return n
}

// never tells of a passage that is out that it never began here: neither this ledger nor
// the target's own markers know of a chunk of it. It cannot begin any more.
func (e *Entry) never(name string) bool {
	taken := e.Undone[name]
	return taken != nil && taken.Chunks == 0 && e.Passages[name].IsZero()
}

// used is how many passages of a kind are begun, one that is to begin left out.
// Numbers that never came to this gate (their passage was undone before it did)
// count: the lock can take from a budget, not add to it.
func (e *Entry) used(p ecluse.Passage, begun bool) int {
	n := 0
	if !begun {
		n = p.Number - 1
	}
	for _, names := range []iter.Seq[string]{maps.Keys(e.Passages), maps.Keys(e.Undone)} {
		for name := range names {
			if number, ok := strings.CutPrefix(name, string(p.Kind)+"-"); ok {
				if x, err := strconv.Atoi(number); err == nil {
					n = max(n, x)
				}
			}
		}
	}
	return n
}

// padded finds char(n) columns, whose trailing spaces mean nothing.
func (c *checked) padded(table ecluse.TableName, column string) bool {
	if t, ok := c.catalogue.Table(table); ok {
		if col, ok := t.Column(column); ok {
			return col.Padded
		}
	}
	return false
}

// key is a table's primary key.
func (c *checked) key(table ecluse.TableName) []string {
	if t, ok := c.catalogue.Table(table); ok {
		return t.PrimaryKey
	}
	return nil
}

// Result is what a passage came to, stated and signed. What is exact goes sealed to
// the controller's side, and to nobody else.
type Result struct {
	Statement *LoadStatement
	Digest    ecluse.Digest // of the statement
}

// Load carries out the approved load plan of a passage (steps 9 and 10), then
// signs and posts what it came to. It may be called again after any
// interruption.
func (t *Target) Load(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, reading int, watch sluice.Watch) (*Result, error) {
	l, k, err := t.loading(ctx, m, p, reading, watch)
	if err != nil {
		return nil, t.notBegun(m, p, err)
	}
	if err := t.mayLoad(ctx, m, p, reading); err != nil {
		return nil, err
	}
	loaded, err := sluice.Load(ctx, *l)
	if err != nil {
		return nil, err
	}
	out := &Result{}
	out.Statement, out.Digest, err = t.state(ctx, m, k, reading, loaded)
	return out, err
}

// notBegun says what can be done when a passage is refused before it began here because the
// target, or what is compiled from it, is not as it was approved: the plan in hand cannot be
// compiled anew before its passage is out of the way.
func (t *Target) notBegun(m ecluse.MigrationID, p ecluse.Passage, err error) error {
	kind := ecluse.KindOf(err)
	page, unread := t.home.Entry(m)
	if unread != nil || !page.Passages[p.String()].IsZero() || kind != ecluse.Invalid && kind != ecluse.Differs {
		return err
	}
	e := &ecluse.Error{
		Kind: kind, What: "begin passage", Where: p.String(), Why: "it was refused before anything of it was loaded", Err: err,
		Next: "take the change back, and run the same command again; or take the passage out of the way, which does not count then: ecluse undo, then ecluse plan and ecluse approve",
	}
	if p.Kind == ecluse.Dry { // the lock ends it by itself: no gate says that it never began
		e.Next = "take the change back, and run the same command again; or end the dry run, which counts all the same: ecluse undo, then ecluse plan and ecluse approve"
	}
	return e
}

// mayLoad refuses to change a passage that people work in, and to load as of an earlier
// reading of the source than one that this gate loaded as of: a lock that shows an older
// one hides what changed since.
func (t *Target) mayLoad(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, reading int) error {
	refuse := func(why, next string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "load", Where: p.String(), Why: why, Next: next, Article: "GDPR art. 29"}
	}
	page, err := t.home.Entry(m)
	if err != nil {
		return err
	}
	if reading < page.Readings-1 {
		return refuse(fmt.Sprintf("reading %d of the source was asked for, and this gate has loaded as of reading %d", reading+1, page.Readings), "find out who changed what the lock shows; the last reading counts")
	}
	if page.Plans[p.String()].IsZero() {
		return nil // it begins
	}
	c, err := t.lock.Case(ctx, m, p.Kind)
	if err != nil {
		return err
	}
	e, err := t.home.ending(m, c)
	if err != nil {
		return err
	}
	if by := keeps(&e); !by.IsZero() {
		return refuse("the controller has accepted the load: "+by.String(), "nothing is loaded any more")
	}
	if page, err = t.home.Entry(m); err != nil { // a go that was seen just now, too
		return err
	}
	if live := page.Live[p.String()].Act; !live.IsZero() && len(e.Undone(page.loaded(p.String()))) == 0 {
		return refuse("the laboratory works in it since the controller said go: "+live.String(), "accept it, or order it undone: nothing is loaded into it any more")
	}
	return nil
}

// loading puts together what sluice.Load needs.
func (t *Target) loading(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, reading int, watch sluice.Watch) (*sluice.Loading, *permitted, error) {
	k, err := t.permit(ctx, m, p)
	if err != nil {
		return nil, nil, err
	}
	notes, err := t.home.notes(m, p)
	if err != nil {
		return nil, nil, err
	}
	numbers, err := t.home.numbers(m)
	if err != nil {
		return nil, nil, err
	}
	in := &inlet{lock: t.lock, migration: m, source: k.instruction.Source.Gate, plan: k.read.Digest(), reading: reading}
	if err := in.refresh(ctx); err != nil {
		return nil, nil, err
	}
	page, err := t.home.Entry(m)
	if err != nil {
		return nil, nil, err
	}
	begun := func(mark string) error {
		return t.home.Note(m, func(e *Entry) error {
			e.Marks[p.String()] = mark
			return nil
		})
	}
	var sealed map[ecluse.Slot]int64
	if in.closed() != nil { // else more chunks come
		sealed = in.sealed()
	}
	return &sluice.Loading{
		Permit: k.permit, ReadPlan: k.read, Program: k.program, Target: k.base.DB, Inlet: in, Identity: t.opener(m, lender{in.source, k.read.Limits.LeaseTime(), t.lease(m)}, t.home.Now), Rejects: k.rejects,
		Signer: t.home.signer, HeldKey: k.heldKey, Notes: notes, Numbers: numbers, Reading: reading, Codes: k.codes, Padded: k.padded, Key: k.key, Sealed: sealed, Mark: page.Marks[p.String()], Begun: begun, Watch: watch,
	}, k, nil
}

// UndoFormat is the format of UndoStatement.
const UndoFormat = "undo/v1"

// LoadStatement is report/v1: what the target gate says of a passage. Small
// counts grouped by a reason are masked; the exact ones lie sealed with the
// rejects (Exact).
type LoadStatement struct {
	evidence.StatementHead                    // Plan is the load plan's
	ReadPlan               ecluse.Digest      `json:"read_plan"`
	Passage                ecluse.Passage     `json:"passage"`
	System                 string             `json:"system"`            // that was loaded into, as the plan names it
	Reading                int                `json:"reading,omitempty"` // of the source, as of which rows were loaded: 0 the first
	Chunks                 int                `json:"chunks"`
	RowsRead               int64              `json:"rows_read"`
	RowsLoaded             int64              `json:"rows_loaded"`
	RowsRejected           int64              `json:"rows_rejected"`
	Unmapped               []ecluse.DatasetID `json:"unmapped,omitempty"` // datasets with rows of which none came to anything
	Scant                  []ecluse.DatasetID `json:"scant,omitempty"`    // datasets of which more than half the rows were put aside
	Compared               *reconcile.Public  `json:"compared"`
	OneRoom                bool               `json:"one_room"`
	At                     time.Time          `json:"at"`
}

// Aside is what a report tells of the rows put aside.
type Aside struct {
	Rejected []ecluse.MaskedGroup     `json:"rejected"`
	Shapes   []reconcile.PublicShaped `json:"shapes"`
}

// Aside is that part of the report.
func (s *LoadStatement) Aside() Aside {
	a := Aside{Rejected: []ecluse.MaskedGroup{}, Shapes: []reconcile.PublicShaped{}}
	if s.Compared != nil {
		a.Rejected, a.Shapes = append(a.Rejected, s.Compared.Rejected...), append(a.Shapes, s.Compared.Shapes...)
	}
	return a
}

// tries tells whether a passage is a trial that its mapping passed: every dataset with rows
// made some, of none more than half was put aside, no figure differs and, of a rehearsal, all is equal.
func (s *LoadStatement) tries() bool {
	differs := func(c reconcile.PublicCheck) bool { return c.Off > 0 }
	if len(s.Unmapped)+len(s.Scant) > 0 || slices.ContainsFunc(s.Compared.Checks, differs) {
		return false
	}
	return s.Passage.Kind == ecluse.Dry || s.Passage.Kind == ecluse.Rehearsal && s.Compared.Equal
}

// state signs and posts what a passage came to, after it has sealed the exact
// figures for the controller: a report that stands has them beside it.
func (t *Target) state(ctx context.Context, m ecluse.MigrationID, k *permitted, reading int, l *sluice.Loaded) (*LoadStatement, ecluse.Digest, error) {
	now, err := t.home.Now()
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	s := &LoadStatement{
		StatementHead: evidence.StatementHead{Format: evidence.ReportFormat, Migration: m, Plan: k.permit.Digest()},
		ReadPlan:      k.read.Digest(), Passage: l.Passage, System: k.permit.Plan().Target.System, Reading: reading, Chunks: l.Chunks, Unmapped: l.Unmapped(), Scant: l.Scant(), Compared: l.Report.Public(), OneRoom: t.home.oneRoom, At: now,
	}
	s.Compared.ReadBack = s.Compared.ReadBack.UTC()
	s.RowsRead = l.Read
	for _, n := range l.Rows {
		s.RowsLoaded += n
	}
	for _, g := range l.Report.Rejected {
		s.RowsRejected += g.Count
	}
	signed, err := evidence.SignStatement(t.home.signer, s)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	exact := &Exact{StatementHead: evidence.StatementHead{Format: ExactFormat, Migration: m, Plan: k.permit.Digest()}, Passage: l.Passage, Report: signed.Digest(), Figures: l.Report}
	if err := t.sealExact(ctx, k.rejects, reading, exact); err != nil {
		return nil, ecluse.Digest{}, err
	}
	// Noted before anybody can say go of it.
	if err := t.home.Note(m, func(e *Entry) error { e.compared(l, reading, signed.Digest()); return nil }); err != nil {
		return nil, ecluse.Digest{}, err
	}
	if err := t.lock.Post(ctx, m, exchange.LoadReport, signed); err != nil {
		return nil, ecluse.Digest{}, err
	}
	tried, dry := s.tries(), l.Passage.Kind == ecluse.Dry
	return s, signed.Digest(), t.home.Note(m, func(e *Entry) error {
		name := l.Passage.String()
		if dry && !slices.Contains(e.Dry, name) {
			e.Dry = append(e.Dry, name)
		}
		if tried {
			e.Tried[madeOf(k.permit.Plan().Shape.Mapping, k.read.Columns())] = name
		}
		e.Readings = max(e.Readings, reading+1)
		return nil
	})
}
