package sluice

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/sluice/writer"
)

// Inlet is where sealed chunks come from: the chamber, as the target gate sees it.
type Inlet interface {
	// Next returns the latest version of a chunk, waiting for it while the
	// manifest is open. The descriptor's signature is checked.
	Next(ctx context.Context, d ecluse.DatasetID, sequence int) (*evidence.Descriptor, io.ReadCloser, error)
	// Version returns one version of a chunk, the latest or not, without waiting.
	Version(ctx context.Context, s ecluse.Slot) (*evidence.Descriptor, io.ReadCloser, error)
	// Complete waits for the closing manifest and returns it, its signature
	// checked.
	Complete(ctx context.Context) (*evidence.Manifest, error)
	// PutAside stores rejected rows, sealed to the source gate.
	PutAside(ctx context.Context, descriptor evidence.Signed, body io.Reader) error
}

// Notes keeps, at the target gate, what became of each chunk (counts and keyed
// sums, never a value), so that a run that goes on need not open it again. Losing
// one costs time, not truth.
type Notes interface {
	Note(s ecluse.Slot) ([]byte, error) // nil when there is none
	SetNote(s ecluse.Slot, note []byte) error
}

// Numbers keeps, at the target gate, which rows each pass of the migration numbered,
// sealed. Losing it costs the comparison, and the report says so.
type Numbers interface {
	Numbers() ([]byte, error) // nil when there is none
	SetNumbers(text []byte) error
}

// Loading is all that Load needs.
type Loading struct {
	Permit   mandate.LoadPermit
	ReadPlan *mandate.ReadPlan // as approved: the datasets' shapes and checks
	Program  *mapping.Program  // compiled by this gate, equal to the plan's shape
	Target   writer.Target
	Inlet    Inlet
	Identity func(context.Context) (age.Identity, error) // asked for each chunk: what it needs is lent for a while only
	Rejects  age.Recipient                               // of the source gate
	Signer   ssh.Signer                                  // the target gate's key
	HeldKey  []byte                                      // keys the digests of look-up tables; only this gate has it
	Notes    Notes
	Numbers  Numbers
	Codes    map[string]map[string]string         // frozen tables that checks translate keys with: target's code → source's
	Padded   func(ecluse.TableName, string) bool  // char(n) columns of the target
	Key      func(ecluse.TableName) []string      // its primary keys, for tracing; nil: none
	Leave    bool                                 // of Undo: people work in that base; what differs now from how it was loaded is left, and so is what others refer to
	ByKey    []ecluse.TableName                   // of Undo: but of these tables what differs goes; no person changed it
	Reading  int                                  // of the source, as of which rows are loaded: 0 the first; of Undo the markers tell
	Stays    Stays                                // of Undo: keeps what is left
	Out      func(context.Context, *Undone) error // of Undo: told that all is out, before the target forgets the passage; may be nil
	Sealed   map[ecluse.Slot]int64                // rows of each chunk to go through, for progress alone; nil: not known
	Mark     string                               // that this passage recorded in its database when it began; empty: it did not
	Begun    func(mark string) error              // told of it before the first row; may be nil
	Watch    Watch
}

// Loaded is what came of it. Its report is exact: it is for the controller's
// side; reconcile.Report.Public is for the others.
type Loaded struct {
	Passage ecluse.Passage                              `json:"passage"`
	Opened  map[ecluse.DatasetID]reconcile.DatasetCount `json:"opened"`
	Read    int64                                       `json:"read"` // rows of the source, as it is as of the reading that was loaded
	Rows    map[ecluse.TableName]int64                  `json:"rows"` // written, or, of a dry run, mapped
	Made    map[ecluse.DatasetID]int64                  `json:"-"`    // the same, by the dataset they are made of
	Chunks  int                                         `json:"chunks"`
	Report  *reconcile.Report                           `json:"report"` // of a dry run: what was opened and put aside, and the checks, of rows as they would be written
}

// Unmapped are the datasets of which there are rows and none came to anything: what the
// mapping does with one that does was not seen. Rows that a later reading sealed are those
// of their dataset.
func (l *Loaded) Unmapped() []ecluse.DatasetID {
	var all []ecluse.DatasetID
	for chunk, opened := range l.Opened {
		if d, _ := chunk.Of(); opened.Rows > 0 && l.Made[d] == 0 && !isBuckets(chunk) {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Scant are the datasets of which more than half the rows were put aside: what the mapping
// does with the dataset was hardly seen.
func (l *Loaded) Scant() []ecluse.DatasetID {
	rows, aside := map[ecluse.DatasetID]int64{}, map[ecluse.DatasetID]int64{}
	for chunk, opened := range l.Opened {
		if d, _ := chunk.Of(); !isBuckets(chunk) {
			rows[d] += opened.Rows
		}
	}
	for _, g := range l.Report.Rejected {
		aside[g.Dataset] += g.Count
	}
	var all []ecluse.DatasetID
	for d, n := range aside {
		if n > rows[d]/2 {
			all = append(all, d)
		}
	}
	slices.Sort(all)
	return all
}

// Load opens what was sealed for this gate, maps it and, unless the passage is
// dry, loads each chunk in one transaction with its marker, moves sequences,
// reads the target back and compares (steps 9 and 10 of the procedure). It may be
// run again after any interruption: a chunk whose marker is in is not loaded
// twice.
func Load(ctx context.Context, l Loading) (*Loaded, error) {
	plan := l.Permit.Plan()
	if plan == nil || l.Permit.UndoesOnly() {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "load", Why: "there is no permit to load", Article: "GDPR art. 29"}
	}
	ctx, cancel := context.WithDeadlineCause(ctx, l.Permit.NotAfter(),
		&ecluse.Error{Kind: ecluse.Refused, What: "load", Why: "the permit to load has ended", Next: "ask for a new approval of the load plan"})
	defer cancel()

	key, err := l.openKey(ctx)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	defer key.Wipe()
	o := newLoader(l, plan, key)
	if err := o.findLater(ctx); err != nil {
		return nil, causeOf(ctx, err)
	}
	if plan.Passage == ecluse.Dry {
		if err := o.startCounters(ctx); err != nil {
			return nil, causeOf(ctx, err)
		}
		if o.before.Held, err = o.heldVersions(ctx); err != nil {
			return nil, causeOf(ctx, err)
		}
		if err := o.hold(ctx); err != nil {
			return nil, causeOf(ctx, err)
		}
		o.made = map[string]*reconcile.Mapped{}
		for _, c := range plan.Shape.Checks {
			o.made[c.Name] = reconcile.NewMapped(c)
		}
		if err := o.pass(ctx, o.discard); err != nil {
			return nil, causeOf(ctx, err)
		}
		if err := o.compareDry(ctx); err != nil {
			return nil, causeOf(ctx, err)
		}
		o.count()
		return &o.out, o.renumbered()
	}

	session, err := l.Target.Open(ctx, l.Permit)
	if err != nil {
		return nil, causeOf(ctx, err)
	}
	defer session.Close()
	if err := ready(ctx, session); err != nil {
		return nil, err
	}
	var held map[ecluse.DatasetID][]int
	if o.Mark == "" { // it may begin now; what waits for the source waits outside its transaction
		if held, err = o.heldVersions(ctx); err != nil {
			return nil, causeOf(ctx, err)
		}
	}
	if err := o.begin(ctx, session, held); err != nil {
		return nil, causeOf(ctx, err)
	}
	if in := o.applied(); in > o.Reading {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "load", Where: o.Permit.Passage().String(), Why: fmt.Sprintf("the load of reading %d of the source was asked for, and the target has what reading %d changed", o.Reading+1, in+1),
			Next: "load as of the last reading; ask who runs the lock why it asked for another",
		}
	}
	if err := o.hold(ctx); err != nil {
		return nil, causeOf(ctx, err)
	}
	if err := o.revise(ctx, session); err != nil {
		return nil, causeOf(ctx, err)
	}
	if err := o.remember(ctx); err != nil {
		return nil, causeOf(ctx, err)
	}
	o.counters = o.before.start(o.Program) // revising went on from the last
	if err := o.passWhole(ctx, session); err != nil {
		return nil, causeOf(ctx, err)
	}
	if err := o.renumbered(); err != nil {
		return nil, err
	}
	if err := session.MoveSequences(ctx, plan.Shape.Sequences); err != nil {
		return nil, causeOf(ctx, err)
	}
	return &o.out, causeOf(ctx, o.compare(ctx, session))
}

// ready refuses to begin with an account that lacks a right.
func ready(ctx context.Context, session writer.Session) error {
	missing, err := session.Missing(ctx)
	if err != nil || len(missing) == 0 {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "load", Why: fmt.Sprintf("the account lacks %d rights, the first: %s", len(missing), missing[0]),
		Next: "have the database's administrator run what `ecluse gate grants DIR load` prints",
	}
}

// loader is one run of Load.
type loader struct {
	Loading
	plan    *mandate.LoadPlan
	key     *seal.Key
	pool    seal.Pool
	runs    chan *mapping.Run    // two: one is mapped into while the other is written
	asOf    map[int]*mapping.Run // with look-up tables as of an earlier reading, where these changed since
	summers summers              // of mapped rows
	redone  summers              // of what the target left of them
	tables  []reconcile.Table

	markers  map[ecluse.Slot]writer.Marker // chunks that are in, from earlier runs
	emptied  []writer.Marker               // of chunks whose place a later version took
	epoch    int                           // of the chunks gone through
	closed   bool                          // every chunk is in the version that the manifest names
	stale    bool                          // of some another version was loaded
	counters map[string]int64
	numbers  numbering // of this pass
	before   beginning
	loaded   reconcile.Sums
	rejected map[group]int64
	reported map[group]int64
	figures  *figures                     // of rejected rows, for the cross-checks
	made     map[string]*reconcile.Mapped // of a dry run: what each check will count of the rows mapped
	shapes   reconcile.Shapes             // of their values
	slots    map[place]ecluse.Slot        // of every chunk gone through
	loadedAs map[place]ecluse.Slot        // of those of which another version is in
	later    later                        // what readings after the first changed
	out      Loaded
	meter    meter
}

// beginning is what Begin records before the first row.
type beginning struct {
	Sums     reconcile.Sums   `json:"sums"`
	Counters map[string]int64 `json:"counters"` // the highest number in use
	Mark     string           `json:"mark"`     // random: by it the gate knows the database again

	// Held is which version of each chunk of a held dataset the look-up tables are filled
	// from, by its sequence: all of the passage is made, and taken out, with the same.
	Held map[ecluse.DatasetID][]int `json:"held,omitempty"`
}

// start is where the counters stood before the first chunk.
func (b *beginning) start(p *mapping.Program) map[string]int64 {
	counters := map[string]int64{}
	for _, c := range p.Counters() {
		if c.Above {
			counters[c.Name] = b.Counters[c.Name]
		}
	}
	return counters
}

// mapped is a chunk ready to be written.
type mapped struct {
	descriptor *evidence.Descriptor
	out        *mapping.Output
	run        *mapping.Run
	aside      *aside         // the mapping's rejects
	sums       reconcile.Sums // of all its rows; nil in a dry run
	given      given          // which of its rows counters numbered
	noted      *outcome       // of a chunk that an earlier run loaded: then there is nothing else but given
}

// summers sum the rows of each table; they belong to one goroutine.
type summers map[ecluse.TableName]*reconcile.Summer

// sum sums mapped rows, but those made of refused source rows.
func (s summers) sum(tables []mapping.Rows, refused []int32) (reconcile.Sums, error) {
	all := reconcile.Sums{}
	for _, t := range tables {
		sum, err := s[t.Table].SumExcept(t.Batch, t.Source, refused)
		if err != nil {
			return nil, err
		}
		all.Add(sum)
	}
	return all, nil
}

// group is what rows are counted by.
type group struct {
	Dataset ecluse.DatasetID
	By      string
}

func newLoader(l Loading, plan *mandate.LoadPlan, key *seal.Key) *loader {
	o := &loader{
		Loading: l, plan: plan, key: key, runs: make(chan *mapping.Run, 2), asOf: map[int]*mapping.Run{},
		summers: summers{}, redone: summers{}, markers: map[ecluse.Slot]writer.Marker{}, counters: map[string]int64{},
		loaded: reconcile.Sums{}, rejected: map[group]int64{}, reported: map[group]int64{},
		figures: newFigures(l.ReadPlan), slots: map[place]ecluse.Slot{}, loadedAs: map[place]ecluse.Slot{},
		out:   Loaded{Passage: l.Permit.Passage(), Rows: map[ecluse.TableName]int64{}, Made: map[ecluse.DatasetID]int64{}, Opened: map[ecluse.DatasetID]reconcile.DatasetCount{}, Report: &reconcile.Report{}},
		meter: meter{watch: l.Watch, stage: StageLoad},
	}
	for slot, rows := range l.Sealed {
		if slices.Contains(plan.Shape.Order, slot.Dataset) {
			o.meter.now.Expected += rows
		}
	}
	for _, t := range plan.Tables {
		rt := reconcile.Table{Name: t.Table}
		for _, c := range t.Columns {
			rt.Columns = append(rt.Columns, reconcile.Column{Name: c.Name, Padded: l.Padded(t.Table, c.Name)})
		}
		o.tables = append(o.tables, rt)
		for _, s := range []summers{o.summers, o.redone} {
			s[t.Table] = reconcile.NewSummer(rt, key.Sub(seal.UseRows, t.Table.String()))
		}
	}
	return o
}

// startCounters finds where counters would begin, for a run that writes nothing.
func (o *loader) startCounters(ctx context.Context) error {
	if len(o.Program.Counters()) == 0 {
		return nil
	}
	s, err := o.Target.Snapshot(ctx, 1)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, c := range o.Program.Counters() {
		if !c.Above {
			continue
		}
		if o.counters[c.Name], err = highest(ctx, s, c); err != nil {
			return err
		}
	}
	return nil
}

// begin takes the sums of before in the passage's first transaction, or reads
// those taken when it began, and finds out which chunks are in.
func (o *loader) begin(ctx context.Context, session writer.Session, held map[ecluse.DatasetID][]int) error {
	recorded, _, err := session.Begin(ctx, func(ctx context.Context, s reader.Scanner) ([]byte, error) {
		if o.Mark != "" {
			return nil, elsewhere(o.Permit.Passage())
		}
		b := beginning{Counters: map[string]int64{}, Mark: rand.Text(), Held: held}
		var err error
		if b.Sums, err = o.readBack(ctx, s, nil); err != nil {
			return nil, err
		}
		for _, c := range o.Program.Counters() {
			if b.Counters[c.Name], err = highest(ctx, s, c); err != nil {
				return nil, err
			}
		}
		return json.Marshal(b)
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(recorded, &o.before); err != nil {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "go on with the passage", Why: "what it recorded at its beginning cannot be read", Err: err}
	}
	switch {
	case o.Mark != "" && o.before.Mark != o.Mark:
		return elsewhere(o.Permit.Passage())
	case o.Mark == "" && o.Begun != nil:
		if err := o.Begun(o.before.Mark); err != nil {
			return err
		}
	}
	o.counters = o.before.start(o.Program)
	return o.readMarkers(ctx, session)
}

// elsewhere refuses a database in which a passage that this gate loaded never began: what
// was loaded stands in another one, whatever both are called.
func elsewhere(p ecluse.Passage) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "find the passage in its database", Where: p.String(), Why: "it was loaded into a database, and this is another one: it does not have what the passage recorded when it began",
		Next: "let the target gate's gate.yaml name the database that it was loaded into, and run the same command again; if there is no such database any more, a signatory of the controller may order `ecluse erase --even-if-loaded`",
	}
}

// Begun asks a database for the passage that began in it under a mark, and refuses one in
// which it did not. Of one in which it is over only that is known.
func Begun(ctx context.Context, session writer.Session, p ecluse.Passage, mark string) error {
	here := true
	recorded, _, err := session.Begin(ctx, func(context.Context, reader.Scanner) ([]byte, error) {
		here = false
		return nil, elsewhere(p)
	})
	switch {
	case here && ecluse.KindOf(err) == ecluse.Refused: // it is over
		return nil
	case err != nil:
		return err
	}
	var b beginning
	if err := json.Unmarshal(recorded, &b); err != nil || b.Mark != mark {
		return elsewhere(p)
	}
	return nil
}

// pass takes every chunk through, in the plan's order: one is opened and mapped
// while the one before is written.
func (o *loader) pass(ctx context.Context, write func(context.Context, *mapped) error) error {
	g, gctx := errgroup.WithContext(ctx)
	ready := make(chan *mapped)
	o.numbers = beginNumbering(o.Program, o.plan, o.Permit.Passage(), o.counters)
	g.Go(func() error {
		defer close(ready)
		for _, d := range o.plan.Shape.Order {
			for _, id := range o.datasets(d, o.Reading) {
				if err := o.dataset(gctx, id, ready); errors.Is(err, errEpoch) {
					o.stale = true // what was mapped is written first
					return nil
				} else if err != nil {
					return err
				}
			}
		}
		return nil
	})
	g.Go(func() error {
		for m := range ready {
			if m.noted != nil {
				o.take(m.descriptor.Slot.Dataset, m.noted)
				continue
			}
			if err := write(gctx, m); err != nil {
				return err
			}
			if m.run != nil {
				o.runs <- m.run // never blocks: it came from there
			}
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if o.stale {
		return errEpoch
	}
	return o.complete(ctx)
}

// complete checks that exactly the manifest's chunks went through; of others it notes that
// there are some (o.stale).
func (o *loader) complete(ctx context.Context) error {
	m, err := o.Inlet.Complete(ctx)
	if err != nil {
		return err
	}
	if err := o.heldAs(m); err != nil {
		return err
	}
	for _, d := range m.Datasets {
		for _, c := range d.Chunks {
			got, ok := o.slots[place{c.Slot.Dataset, c.Slot.Sequence}]
			if of, _ := d.Dataset.Of(); !ok && !slices.Contains(o.plan.Shape.Order, of) {
				continue // held, checked, or not used by the mapping
			}
			if as, other := o.loadedAs[place{c.Slot.Dataset, c.Slot.Sequence}]; other {
				got = as
			}
			if isBuckets(d.Dataset) {
				got.Version = c.Slot.Version // of a list no row is made, whichever it is
			}
			if got != c.Slot {
				o.stale = true
				return otherVersion(c.Slot, "")
			}
		}
	}
	return nil
}

// dataset maps one dataset's chunks.
func (o *loader) dataset(ctx context.Context, id ecluse.DatasetID, to chan<- *mapped) error {
	o.meter.at(id)
	for sequence, last := 0, false; !last; sequence++ {
		m, err := o.chunk(ctx, id, sequence)
		if err != nil {
			return err
		}
		last = m.descriptor.Last
		o.numbers.Chunks = append(o.numbers.Chunks, numbered{m.descriptor.Slot, m.given})
		if err := hand(ctx, to, m); err != nil {
			return err
		}
	}
	if of, reading := id.Of(); reading > 0 {
		return o.buckets(ctx, layer{of, reading}, to)
	}
	return nil
}

// buckets ends a layer: its marker says that it is in.
func (o *loader) buckets(ctx context.Context, l layer, to chan<- *mapped) error {
	m, err := o.noted(l.dataset.Buckets(l.reading), 0)
	if err != nil {
		return err
	}
	if m == nil {
		m = o.bucketsChunk(l, o.counters)
	}
	return hand(ctx, to, m)
}

func hand(ctx context.Context, to chan<- *mapped, m *mapped) error {
	select {
	case to <- m:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
