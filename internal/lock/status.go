package lock

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// Status tells where migrations stand and who must do what next.
func (l *Lock) Status(ctx context.Context, id ecluse.MigrationID) ([]exchange.Status, error) {
	all, err := l.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	list := []exchange.Status{}
	for _, m := range all {
		if id != "" && m.ID != id {
			continue
		}
		s := exchange.Status{Migration: m.ID, Place: m.Place, EraseBy: m.EraseBy, Read: map[ecluse.DatasetID]int64{}, Held: []exchange.Hold{}, Next: []exchange.Next{}}
		err := l.describe(ctx, m, &s)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil { // of the others all is said
			l.alert(ctx, m.ID, err)
			s.Damaged = exchange.ProblemOf(err)
		}
		list = append(list, s)
	}
	if id != "" && len(list) == 0 {
		_, err := l.store.Migration(ctx, id)
		return nil, err
	}
	return list, nil
}

// describe fills in what papers and chamber say of a migration.
func (l *Lock) describe(ctx context.Context, m store.Migration, s *exchange.Status) error {
	if m.Place.Migration != procedure.Born { // before that there may be none
		_, i, err := l.readInstruction(ctx, m.ID)
		if err != nil {
			return err
		}
		if s.Readings, err = l.readings(ctx, m, i); err != nil {
			return err
		}
		if m.Place.Migration == procedure.Sealed {
			if s.Predicted, err = l.predict(ctx, i, &exchange.Plans{Load: []byte{}}); err != nil {
				return err
			}
		}
	}
	next, err := l.waited(ctx, m)
	if err != nil {
		return err
	}
	holds, err := l.holds(ctx, m)
	if err != nil {
		return err
	}
	s.Next, s.Held = next, holds
	if s.Kept, err = l.keptOf(ctx, m); err != nil {
		return err
	}
	if s.Lapses, err = l.lapses(ctx, m); err != nil {
		return err
	}
	if s.Near, err = l.near(ctx, m, s.Lapses); err != nil {
		return err
	}
	if m.Place.Passage == procedure.Live {
		c, err := l.contract(ctx, m.Contract)
		if err != nil {
			return err
		}
		s.AcceptBy = mandate.ErasedBy(c, &mandate.Instruction{EraseBy: m.EraseBy})
	}
	if s.Carry, err = l.waiting(ctx, m.ID); err != nil {
		return err
	}
	if s.Changed, err = l.changedSource(ctx, m.ID); err != nil {
		return err
	}
	chunks, err := l.held(ctx, m.ID)
	if err != nil {
		return err
	}
	for _, d := range chunks {
		s.Chunks++
		s.Bytes += d.Size
		of, reading := d.Slot.Dataset.Of()
		if of != ecluse.KeyDataset && (reading == 0 || d.Slot.Dataset == of.Changed(reading)) {
			s.Read[of] += d.Rows
		}
	}
	passages, err := l.store.Passages(ctx, m.ID)
	for _, p := range passages {
		if p.Ended.IsZero() {
			s.Passage = p.Passage.String()
		}
	}
	if err == nil && s.Passage != "" {
		if s.Approval, err = inHand(ctx, l.store, m.ID, passages); ecluse.KindOf(err) == ecluse.WaitsForSign {
			return nil
		}
	}
	return err
}

// keptOf is the rows put aside that outlive a migration that is over; nil: there are none.
func (l *Lock) keptOf(ctx context.Context, m store.Migration) (*exchange.Kept, error) {
	if !slices.Contains([]procedure.State{procedure.Erased, procedure.Closed}, m.Place.Migration) {
		return nil, nil
	}
	text, err := l.current(ctx, m.ID, kindCertificate)
	if err != nil || text == nil {
		return nil, err
	}
	kept, erased, err := l.kept(ctx, m.ID, text)
	if err != nil || kept == nil {
		return nil, err
	}
	return &exchange.Kept{KeptRows: *kept, Erased: erased}, nil
}

// readings counts the source's; nil where it is read once, and when all is over.
func (l *Lock) readings(ctx context.Context, m store.Migration, i *mandate.Instruction) (*exchange.Readings, error) {
	if i.Passages.CatchUp == 0 || slices.Contains([]procedure.State{procedure.Erased, procedure.Closed}, m.Place.Migration) {
		return nil, nil
	}
	closed, err := l.lastManifest(m.ID, i)
	if err != nil || closed == nil {
		return &exchange.Readings{Left: i.Passages.CatchUp}, err
	}
	return &exchange.Readings{Closed: closed.Reading + 1, Left: i.Passages.CatchUp - closed.Reading}, nil
}

// changedSource is what the source gate said of its source when the last epoch began; nil
// when nothing had changed outside what is instructed.
func (l *Lock) changedSource(ctx context.Context, m ecluse.MigrationID) (*exchange.Changed, error) {
	epochs, err := l.store.LeavesOf(ctx, string(m), string(journal.EpochBegun))
	if err != nil || len(epochs) == 0 {
		return nil, err
	}
	n := epochs[len(epochs)-1].Numbers
	if c := (exchange.Changed{Added: n[exchange.ColumnsAdded], Gone: n[exchange.ColumnsGone]}); c != (exchange.Changed{}) {
		return &c, nil
	}
	return nil, nil
}

// near lists what ends within a week of a migration that is not over.
func (l *Lock) near(ctx context.Context, m store.Migration, lapses time.Time) ([]exchange.Deadline, error) {
	if slices.Contains([]procedure.State{procedure.Erased, procedure.Closed}, m.Place.Migration) {
		return nil, nil
	}
	contract, err := l.contractText(ctx, m.Contract)
	if err != nil {
		return nil, err
	}
	rosters, err := l.rosters(ctx)
	if err != nil {
		return nil, err
	}
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := mandate.ReadDeadlines(contract, &mandate.Instruction{EraseBy: m.EraseBy}, rosters, now)
	if err != nil {
		return nil, err
	}
	var all []exchange.Deadline
	if x, _ := exchange.Near(string(mandate.OfApproval), "", lapses, now); !lapses.IsZero() && x.Within <= soonLapses {
		all = append(all, x)
	}
	for _, d := range ends {
		if x, near := exchange.Near(string(d.Of), d.Side, d.At, now); near {
			all = append(all, x)
		}
	}
	return all, nil
}

// soonLapses is within how many hours the lapse of an approval, which lasts 72, is told as
// something that ends.
const soonLapses = 48

// lapses is when the first approval of a plan in hand lapses that did not begin yet; zero when
// nothing waits so.
func (l *Lock) lapses(ctx context.Context, m store.Migration) (time.Time, error) {
	items, err := l.store.Items(ctx, m.ID) // by their times
	if err != nil {
		return time.Time{}, err
	}
	for _, it := range items {
		if it.Kind != due.ApprovalLapse {
			continue
		}
		if v, err := l.lapsing(ctx, m.ID, m.Place, it.Subject); err != nil || v != "" {
			return it.At, err
		}
	}
	return time.Time{}, nil
}

// readInstruction reads the instruction in force from the disk, and not from memory: what is
// damaged there is found.
func (l *Lock) readInstruction(ctx context.Context, m ecluse.MigrationID) ([]byte, *mandate.Instruction, error) {
	text, err := l.current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return nil, nil, err
	}
	i, err := mandate.ParseInstruction("instruction", text)
	return text, i, err
}

// alert has the journal know, once while this process runs, that a migration's papers
// cannot be read. What it is about goes on being asked: whoever asks is told why not.
func (l *Lock) alert(ctx context.Context, m ecluse.MigrationID, why error) {
	l.mu.Lock()
	known := l.alerted[m]
	l.alerted[m] = true
	l.mu.Unlock()
	if known || m == "" {
		return
	}
	event := journal.Event{Tree: string(m), Type: journal.Warned, IDs: map[string]string{"kind": "papers-damaged", "reason": string(ecluse.KindOf(why))}}
	if err := l.store.Do(ctx, event, nil); err != nil { // it is tried again
		l.mu.Lock()
		delete(l.alerted, m)
		l.mu.Unlock()
	}
}

// steps are what a migration waits for, in the order of the procedure, each with
// the command that does it. Suspending, objecting and the like are always
// possible and not waited for.
var steps = []procedure.Verb{
	procedure.Resume, procedure.SignInstruction, procedure.PlanRead, procedure.ApproveRead, procedure.SignMapping, procedure.PlanLoad,
	procedure.ApproveLoad, procedure.BeginReading, procedure.EndCatchUp, procedure.BeginLoading, procedure.Go, procedure.Accept, procedure.Undo, procedure.FinishUndo,
	procedure.Erase, procedure.KeepInUse, procedure.DestroyKey, procedure.Close,
}

// known is what the next step depends on besides the place.
type known struct {
	mapped bool     // a mapping was signed since the instruction was
	equal  bool     // of a passage that was compared
	later  bool     // a later reading is open
	aside  []string // for what rows were put aside: each needs a disposition
}

// waited lists what a migration waits for.
func (l *Lock) waited(ctx context.Context, m store.Migration) ([]exchange.Next, error) {
	var c known
	acts, err := l.store.Acts(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range acts {
		for _, clause := range a.Clauses {
			if clause.Verb == evidence.VerbSign && (clause.Kind == evidence.KindInstruction || clause.Kind == evidence.KindMapping) {
				c.mapped = clause.Kind == evidence.KindMapping
			}
		}
	}
	if m.Place.Migration == procedure.Reading {
		reading, err := l.reading(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		c.later = reading > 0
	}
	if p := m.Place.Passage; p == procedure.Compared || p == procedure.Live {
		report, err := l.reportInForce(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		c.equal = report.Compared.Equal
		for _, g := range report.Compared.Rejected {
			if !slices.Contains(c.aside, g.By) { // one word may do for several datasets
				c.aside = append(c.aside, g.By)
			}
		}
	}
	return next(m.ID, m.Place, c), nil
}

// next lists what is waited for.
func next(m ecluse.MigrationID, p procedure.Place, c known) []exchange.Next {
	list := []exchange.Next{}
	for _, v := range steps {
		for _, o := range procedure.Options(p) {
			by := waitedFor(p, o)
			if o.Verb != v || len(by) == 0 {
				continue
			}
			if n := len(list); n > 0 && list[n-1].Verb == v {
				list[n-1].By = append(list[n-1].By, by...)
				continue
			}
			if c := command(m, p, v, c); c != "" {
				list = append(list, exchange.Next{Verb: v, By: by, Command: c})
			}
		}
	}
	return list
}

// waitedFor are those of whom a step is waited for: of the lock what comes by
// itself, and a resumption of the side that holds.
func waitedFor(p procedure.Place, o procedure.Option) []procedure.Actor {
	itself := p.Migration == procedure.Accepted || p.Migration == procedure.Erasing
	return slices.DeleteFunc(slices.Clone(o.By), func(a procedure.Actor) bool {
		switch o.Verb {
		case procedure.Undo, procedure.Erase:
			return (a == procedure.Lock) != itself
		case procedure.Go: // a deputy says it in a signatory's place
			return a != procedure.Person(ecluse.Controller, ecluse.Signatory)
		case procedure.Resume:
			return a.Side() == ecluse.Controller && !p.Suspended.Controller && !p.Objected.Controller ||
				a.Side() == ecluse.Processor && !p.Suspended.Processor && !p.Objected.Processor
		}
		return false
	})
}

// decide is the command that ends a passage that was compared.
func decide(m ecluse.MigrationID, c known, reserved string) string {
	s := "ecluse report -m " + string(m) + " && ecluse accept -m " + string(m)
	if len(c.aside) > 3 { // too many for one line: the report lists them
		s += " --all '…'"
		c.aside = nil
	}
	for _, why := range c.aside {
		s += " --reject '" + strings.ReplaceAll(why, "'", `'\''`) + "=…'"
	}
	return s + reserved + " --as KEY"
}

// command is what to copy for a step; empty when the step is not the one to take.
func command(m ecluse.MigrationID, p procedure.Place, v procedure.Verb, has known) string {
	plan := func(name string) string { return path.Join(exchange.PlansFolder, fmt.Sprintf("%s-%s.json", m, name)) }
	passageOpen := p.Passage != procedure.None && p.Passage != procedure.Undone
	switch v {
	case procedure.SignInstruction:
		if p.Migration == procedure.Born {
			return "ecluse sign instruction.yaml --with-plan --as KEY"
		}
	case procedure.PlanRead:
		if p.Migration == procedure.Instructed {
			return "ecluse plan -m " + string(m)
		}
	case procedure.ApproveRead:
		return "ecluse approve " + plan("readplan") + " --as KEY"
	case procedure.SignMapping:
		if !has.mapped && p.Passage == procedure.None && (p.Migration == procedure.Approved || p.Migration == procedure.Sealed) {
			return "ecluse sign mapping.yaml --as KEY"
		}
	case procedure.PlanLoad:
		if !passageOpen && (p.Migration == procedure.Approved || p.Migration == procedure.Sealed) {
			return "ecluse plan --passage dry -m " + string(m)
		}
	case procedure.ApproveLoad:
		return "ecluse approve " + plan("loadplan-"+string(p.Kind)) + " --as KEY"
	case procedure.BeginReading, procedure.BeginLoading:
		c := "ecluse apply -m " + string(m)
		if p.Kind == ecluse.Dry && passageOpen {
			c += " --dry-run"
		}
		return c
	case procedure.EndCatchUp:
		if has.later && passageOpen {
			return "ecluse apply --end-catch-up -m " + string(m)
		}
	case procedure.Go:
		if p.Passage == procedure.Compared && has.equal {
			return "ecluse report -m " + string(m) + " && ecluse go -m " + string(m) + " --as KEY"
		}
	case procedure.Accept:
		if has.equal {
			return decide(m, has, "")
		}
		if p.Passage == procedure.Live {
			return decide(m, has, " --reserve '…'") // each difference explained
		}
	case procedure.Undo:
		acceptable := has.equal && p.Kind == ecluse.Final
		switch undo := "ecluse undo -m " + string(m) + " --as KEY"; {
		case p.Passage == procedure.Undoing: // ordered
		case p.Migration == procedure.Erasing:
			return "ecluse due"
		case p.Passage == procedure.Loaded, p.Passage == procedure.Declined:
			return undo
		case p.Passage == procedure.Compared && !acceptable:
			return "ecluse report -m " + string(m) + " && " + undo
		}
	case procedure.FinishUndo:
		if p.Migration == procedure.Erasing {
			return "ecluse due"
		}
		return "ecluse undo -m " + string(m) // ordered: it takes nobody's signature
	case procedure.Resume:
		if p.Held() {
			return "ecluse resume -m " + string(m) + " --because … --as KEY"
		}
	case procedure.Erase:
		if p.Migration == procedure.Accepted {
			return "ecluse due"
		}
	case procedure.KeepInUse, procedure.DestroyKey:
		return "ecluse due"
	case procedure.Close:
		if p.Migration == procedure.Erased {
			return "ecluse evidence DIR -m " + string(m)
		}
	}
	return ""
}

// reportInForce is the report of the passage in hand.
func (l *Lock) reportInForce(ctx context.Context, m ecluse.MigrationID) (*figures, error) {
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	d, err := l.store.Current(ctx, m, evidence.KindReport)
	if err != nil {
		return nil, err
	}
	signed, err := l.store.Signed(ctx, d, evidence.NamespaceStatement)
	if err != nil {
		return nil, err
	}
	if len(signed) == 0 {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read report", Where: string(m), Why: "no passage has ended", Next: "ecluse status"}
	}
	return figuresOf(signed[0], target, evidence.ReportFormat)
}

// holds lists what holds a migration: what was suspended or objected to, and not named
// by anybody of the same side who resumed.
func (l *Lock) holds(ctx context.Context, m store.Migration) ([]exchange.Hold, error) {
	list := []exchange.Hold{}
	if !m.Place.Held() {
		return list, nil
	}
	acts, err := l.store.Acts(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range stops(acts) {
		h := exchange.Hold{Act: a.Digest, Person: a.Person, Side: a.Side, Role: a.Role, Since: a.Recorded}
		for _, c := range a.Clauses {
			switch {
			case c.Kind == evidence.KindReason:
				text, err := l.store.Document(ctx, c.Subject)
				if err != nil {
					return nil, err
				}
				h.Because = string(text)
			case c.Kind != evidence.KindMigration:
			case c.Verb == evidence.VerbSuspend:
				h.Verb = procedure.Suspend
			case c.Verb == evidence.VerbObject:
				h.Verb = procedure.Object
			}
		}
		list = append(list, h)
	}
	return list, nil
}

// stops are the acts that hold a migration and were not lifted.
func stops(acts []store.Act) []store.Act {
	lifted := map[string]bool{}
	for _, a := range acts {
		for _, c := range a.Clauses {
			if c.Verb == evidence.VerbResume && c.Kind == evidence.KindAct {
				lifted[string(a.Side)+" "+c.Subject.String()] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(acts), func(a store.Act) bool {
		holds := slices.ContainsFunc(a.Clauses, func(c evidence.Clause) bool {
			return c.Kind == evidence.KindMigration && (c.Verb == evidence.VerbSuspend || c.Verb == evidence.VerbObject)
		})
		return !holds || lifted[string(a.Side)+" "+a.Digest.String()]
	})
}

// allLifted refuses to resume what another act of the same side still stops: gates count
// what is named and nothing else. The resuming act is recorded already.
func allLifted(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	acts, err := tx.Acts(ctx, act.Migration)
	if err != nil {
		return err
	}
	for _, a := range stops(acts) {
		if a.Side == act.Side {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "resume", Where: string(act.Migration), Why: "it does not name the act by which " + a.Person + " stopped it, " + a.Digest.String(),
				Next: "ecluse status shows all that holds it; resume again",
			}
		}
	}
	return nil
}

// held lists the descriptors of the chunks in the chamber.
func (l *Lock) held(ctx context.Context, m ecluse.MigrationID) ([]*evidence.Descriptor, error) {
	source, _, err := l.gates(ctx, m)
	if err != nil {
		return nil, nil // no instruction yet: nothing can be there
	}
	signed, err := l.Slots(ctx, m)
	if err != nil {
		return nil, err
	}
	var all []*evidence.Descriptor
	for _, s := range signed {
		d, err := evidence.ParseDescriptor(s, source)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}
