package app

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/gate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/store"
)

// Status tells where migrations stand and who must do what next.
func (r *Room) Status(ctx context.Context, id ecluse.MigrationID) ([]Status, error) {
	all, err := r.lock.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	list := []Status{}
	for _, m := range all {
		if id != "" && m.ID != id {
			continue
		}
		s := Status{Migration: m.ID, Place: m.Place, EraseBy: m.EraseBy, Read: map[ecluse.DatasetID]int64{}}
		if s.Next, err = r.waited(ctx, m); err != nil {
			return nil, err
		}
		if s.Held, err = r.lock.holds(ctx, m); err != nil {
			return nil, err
		}
		held, err := r.lock.held(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		for _, d := range held {
			s.Chunks++
			s.Bytes += d.Size
			if d.Slot.Dataset != ecluse.KeyDataset {
				s.Read[d.Slot.Dataset] += d.Rows
			}
		}
		passages, err := r.lock.store.Passages(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		for _, p := range passages {
			if p.Ended.IsZero() {
				s.Passage = p.Passage.String()
			}
		}
		list = append(list, s)
	}
	if id != "" && len(list) == 0 {
		_, err := r.lock.store.Migration(ctx, id)
		return nil, err
	}
	return list, nil
}

// steps are what a migration waits for, in the order of the procedure, each with
// the command that does it. Suspending, objecting and the like are always
// possible and not waited for.
var steps = []procedure.Verb{
	procedure.Resume, procedure.SignInstruction, procedure.PlanRead, procedure.ApproveRead, procedure.SignMapping, procedure.PlanLoad,
	procedure.ApproveLoad, procedure.BeginReading, procedure.BeginLoading, procedure.Accept, procedure.Undo, procedure.FinishUndo,
	procedure.Erase, procedure.DestroyKey, procedure.Close,
}

// known is what the next step depends on besides the place.
type known struct {
	mapped bool     // a mapping was signed since the instruction was
	equal  bool     // of a passage that was compared
	aside  []string // for what rows were put aside: each needs a disposition
}

// waited lists what a migration waits for.
func (r *Room) waited(ctx context.Context, m store.Migration) ([]Next, error) {
	var c known
	acts, err := r.lock.store.Acts(ctx, m.ID)
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
	if m.Place.Passage == procedure.Compared {
		report, _, err := r.report(ctx, m.ID)
		if err != nil {
			return nil, err
		}
		c.equal = report.Compared.Equal
		for _, g := range report.Compared.Rejected {
			c.aside = append(c.aside, g.By)
		}
	}
	return r.next(m.ID, m.Place, c), nil
}

// next lists what is waited for.
func (r *Room) next(m ecluse.MigrationID, p procedure.Place, c known) []Next {
	list := []Next{}
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
			if c := r.command(m, p, v, c); c != "" {
				list = append(list, Next{Verb: v, By: by, Command: c})
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
		case procedure.Resume:
			return a.Side() == ecluse.Controller && !p.Suspended.Controller && !p.Objected.Controller ||
				a.Side() == ecluse.Processor && !p.Suspended.Processor && !p.Objected.Processor
		}
		return false
	})
}

// decide is the command that ends a passage that was compared.
func decide(m ecluse.MigrationID, c known) string {
	s := "ecluse report -m " + string(m) + " && ecluse accept -m " + string(m)
	if len(c.aside) > 3 { // too many for one line: the report lists them
		s += " --all '…'"
		c.aside = nil
	}
	for _, why := range c.aside {
		s += " --reject '" + strings.ReplaceAll(why, "'", `'\''`) + "=…'"
	}
	return s + " --as KEY"
}

// command is what to copy for a step; empty when the step is not the one to take.
func (r *Room) command(m ecluse.MigrationID, p procedure.Place, v procedure.Verb, has known) string {
	plan := func(name string) string { return filepath.Join(r.dir, plansDir, fmt.Sprintf("%s-%s.json", m, name)) }
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
	case procedure.Accept:
		if has.equal {
			return decide(m, has)
		}
	case procedure.Undo:
		acceptable := has.equal && p.Kind == ecluse.Final
		switch undo := "ecluse undo -m " + string(m) + " --as KEY"; {
		case p.Passage == procedure.Undoing: // ordered
		case p.Migration == procedure.Erasing:
			return "ecluse due"
		case p.Passage == procedure.Loaded:
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
	case procedure.DestroyKey:
		return "ecluse due"
	case procedure.Close:
		if p.Migration == procedure.Erased {
			return "ecluse evidence DIR -m " + string(m)
		}
	}
	return ""
}

// waits fills in for whom a migration waits after an act.
func (r *Room) waits(ctx context.Context, v *Signature) (err error) {
	if v.Migration != "" {
		v.Waits, err = r.Waits(ctx, v.Migration)
	}
	return err
}

// Waits is the command that a migration waits for; empty when there is none.
func (r *Room) Waits(ctx context.Context, id ecluse.MigrationID) (string, error) {
	m, err := r.lock.store.Migration(ctx, id)
	if err != nil {
		return "", err
	}
	list, err := r.waited(ctx, *m)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0].Command, nil
}

// holds lists what holds a migration: of each side, what it suspended or objected
// to since it last resumed.
func (l *lock) holds(ctx context.Context, m store.Migration) ([]Hold, error) {
	list := []Hold{}
	if !m.Place.Held() {
		return list, nil
	}
	acts, err := l.store.Acts(ctx, m.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range acts {
		h := Hold{Person: a.Person, Side: a.Side, Role: a.Role, Since: a.Recorded}
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
			case c.Verb == evidence.VerbResume:
				list = slices.DeleteFunc(list, func(h Hold) bool { return h.Side == a.Side })
			}
		}
		if h.Verb != "" {
			list = append(list, h)
		}
	}
	return list, nil
}

// held lists the descriptors of the chunks in the chamber.
func (l *lock) held(ctx context.Context, m ecluse.MigrationID) ([]*evidence.Descriptor, error) {
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

// ReportView is what the gates stated of a passage and of the reading before it.
type ReportView struct {
	*gate.LoadStatement
	Extract *gate.ExtractStatement `json:"extract,omitempty"` // nil while reading goes on
}

// Report reads the report of the passage in hand, or the last one.
func (r *Room) Report(ctx context.Context, id ecluse.MigrationID) (*ReportView, error) {
	s, _, err := r.report(ctx, id)
	if err != nil {
		return nil, err
	}
	x, err := r.lock.extract(ctx, s.Migration)
	return &ReportView{s, x}, err
}

// extract is the source gate's statement of its last reading; nil before there is
// one.
func (l *lock) extract(ctx context.Context, m ecluse.MigrationID) (*gate.ExtractStatement, error) {
	source, _, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	all, err := l.signed(ctx, m, string(gate.ExtractReport), evidence.NamespaceStatement)
	if err != nil {
		return nil, err
	}
	var last *gate.ExtractStatement
	for _, s := range all {
		x := &gate.ExtractStatement{}
		if err := evidence.ParseStatement(s, source, evidence.ExtractFormat, x); err != nil {
			return nil, err
		}
		if last == nil || x.Epoch > last.Epoch {
			last = x
		}
	}
	return last, nil
}

// ExactReport is a report with the figures behind it, for the laboratory alone.
type ExactReport struct {
	ReportView
	Exact    *reconcile.Report `json:"exact"`
	Findings gate.Findings     `json:"findings,omitempty"` // in free text
}

// ReportExact opens the exact figures of the report that Report reads, on the
// laboratory's side: small counts, and which keys of a check differ. What others were
// shown must follow from them.
func (r *Room) ReportExact(ctx context.Context, id ecluse.MigrationID) (*ExactReport, error) {
	s, digest, err := r.report(ctx, id)
	if err != nil {
		return nil, err
	}
	read, err := r.lock.extract(ctx, s.Migration)
	if err != nil {
		return nil, err
	}
	source, err := r.sourceGate(ctx)
	if err != nil {
		return nil, err
	}
	x, err := source.Exact(ctx, s.Migration, s.Passage)
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
	out := &ExactReport{ReportView: ReportView{s, read}, Exact: x.Figures}
	if read != nil {
		out.Findings, err = source.Findings(s.Migration, read.Epoch)
	}
	return out, err
}

func (r *Room) report(ctx context.Context, id ecluse.MigrationID) (*gate.LoadStatement, ecluse.Digest, error) {
	m, err := r.migration(ctx, id)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	_, target, err := r.lock.gates(ctx, m)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	all, err := r.lock.signed(ctx, m, string(gate.LoadReport), evidence.NamespaceStatement)
	if err != nil {
		return nil, ecluse.Digest{}, err
	}
	if len(all) == 0 {
		return nil, ecluse.Digest{}, &ecluse.Error{Kind: ecluse.Invalid, What: "read report", Where: string(m), Why: "no passage has ended", Next: "ecluse status"}
	}
	last := all[len(all)-1]
	if current, err := r.lock.store.Current(ctx, m, evidence.KindReport); err != nil {
		return nil, ecluse.Digest{}, err
	} else if !current.IsZero() {
		for _, s := range all {
			if s.Digest() == current {
				last = s
			}
		}
	}
	var s gate.LoadStatement
	return &s, last.Digest(), evidence.ParseStatement(last, target, evidence.ReportFormat, &s)
}
