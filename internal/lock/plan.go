package lock

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// Inspect has a gate list its database's structure; the catalogue's digest is what
// step 2 keeps.
func (l *Lock) Inspect(ctx context.Context, at exchange.Place) (*exchange.Inspection, error) {
	gate, err := l.gateAt(ctx, "", at)
	if err != nil {
		return nil, err
	}
	var v *exchange.Inspection
	err = l.askFor(ctx, gate, exchange.Work{Verb: exchange.Inspect}, func(a *exchange.Answer, taken closing) error {
		v = &exchange.Inspection{Gate: gate, Catalogue: a.Papers[exchange.PaperCatalogue], Estimates: a.Papers[exchange.PaperEstimates]}
		var c ecluse.Catalogue
		if err := json.Unmarshal(v.Catalogue, &c); err != nil {
			return &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
		}
		return l.store.Do(ctx, journal.Event{
			Tree: evidence.InstallationTree, Type: journal.Inspected,
			IDs: map[string]string{"catalogue": ecluse.DigestOf(v.Catalogue).String(), "place": string(at), "gate": string(gate), "engine": string(c.Engine)},
		}, func(tx *sqlite.Tx) error { return taken(ctx, tx) })
	})
	return v, err
}

// Sketch has the source gate compile an instruction that nobody signed: nothing is
// kept but, of a gate without a line, its answer, for whoever looks again within a day.
func (l *Lock) Sketch(ctx context.Context, instruction []byte) ([]byte, error) {
	i, err := mandate.ParseNewInstruction("instruction", instruction)
	if err != nil {
		return nil, err
	}
	contract, err := l.contractText(ctx, i.Contract)
	if err != nil {
		return nil, err
	}
	var plan []byte
	w := exchange.Work{Verb: exchange.Sketch, Papers: map[string][]byte{exchange.PaperContract: contract, exchange.PaperInstruction: instruction}}
	err = l.askFor(ctx, i.Source.Gate, w, func(a *exchange.Answer, _ closing) error {
		plan = a.Papers[exchange.PaperReadPlan]
		return nil
	})
	return plan, err
}

func (l *Lock) contractText(ctx context.Context, d ecluse.Digest) ([]byte, error) {
	if _, err := l.contract(ctx, d); err != nil {
		return nil, err
	}
	return l.store.Document(ctx, d)
}

// CheckMapping has the target gate check a mapping against the read plan in force
// and its own database.
func (l *Lock) CheckMapping(ctx context.Context, m ecluse.MigrationID, mapping []byte, frozen [][]byte) (*exchange.Checked, error) {
	plan, err := l.current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return nil, err
	}
	if plan == nil {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: "check mapping", Why: "no read plan is compiled yet", Next: "ecluse plan"}
	}
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	w := exchange.Work{Verb: exchange.CheckMapping, Migration: m, Papers: map[string][]byte{exchange.PaperReadPlan: plan, exchange.PaperMapping: mapping}}
	exchange.AddNumbered(w.Papers, exchange.PaperFrozen, frozen)
	a, err := l.ask(ctx, target, w)
	if err != nil {
		return nil, err
	}
	v := &exchange.Checked{}
	if err := json.Unmarshal(a.Papers[exchange.PaperShape], v); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	return v, nil
}

// Plan has the gates compile what will leave and, once a mapping is signed, how it
// will enter. Nothing is read or written. A read plan that is approved is compiled
// again and must come out the same.
func (l *Lock) Plan(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Plans, error) {
	i, err := l.instruction(ctx, m)
	if err != nil {
		return nil, err
	}
	p := &exchange.Plans{Migration: m}
	if p.Read, p.Estimates, err = l.readPlan(ctx, i); err != nil {
		return nil, err
	}
	if p.Load, p.Unused, err = l.loadPlan(ctx, m, kind); err != nil {
		return nil, err
	}
	p.Predicted, err = l.predict(ctx, i, p)
	return p, err
}

// recipients has both gates make theirs for an instruction.
func (l *Lock) recipients(ctx context.Context, i *mandate.Instruction, text []byte) ([]evidence.Signed, error) {
	made, err := l.Posted(ctx, i.ID, exchange.RecipientPaper)
	if err != nil {
		return nil, err
	}
	// Both are asked at a time: what is carried to one gate is what the other waits for.
	asked := [2]chan error{make(chan error, 1), make(chan error, 1)}
	for n, gate := range []ecluse.Fingerprint{i.Source.Gate, i.Target.Gate} {
		by := func(s evidence.Signed) bool {
			r, err := evidence.ParseRecipient(s, gate)
			return err == nil && r.Instruction == i.Digest()
		}
		if slices.ContainsFunc(made, by) {
			asked[n] <- nil
			continue
		}
		go func() {
			_, err := l.ask(ctx, gate, exchange.Work{Verb: exchange.MakeRecipient, Migration: i.ID, Papers: map[string][]byte{exchange.PaperInstruction: text}})
			asked[n] <- err
		}()
	}
	source, target := <-asked[0], <-asked[1]
	if target != nil && (source == nil || ecluse.KindOf(source) == ecluse.WaitsForSign) {
		source = target // what is wrong before what only waits
	}
	if source != nil {
		return nil, source
	}
	return l.Posted(ctx, i.ID, exchange.RecipientPaper)
}

// readPlan has the read plan of the instruction in force compiled and puts it in
// force in its turn, unless it is there already.
func (l *Lock) readPlan(ctx context.Context, i *mandate.Instruction) ([]byte, map[ecluse.DatasetID]int64, error) {
	mig, err := l.store.Migration(ctx, i.ID)
	if err != nil {
		return nil, nil, err
	}
	current, err := l.current(ctx, i.ID, evidence.KindReadPlan)
	if err != nil {
		return nil, nil, err
	}
	voids, err := untouched(ctx, l.store, mig)
	if err != nil {
		return nil, nil, err
	}
	over := []procedure.State{procedure.Sealed, procedure.Accepted, procedure.Erasing, procedure.Erased, procedure.Closed}
	if slices.Contains(over, mig.Place.Migration) || mig.Place.Migration == procedure.Reading && !voids {
		return current, nil, nil
	}
	if current != nil && mig.Place.Migration != procedure.Instructed {
		// A gate that is reached by hand compiles again what stands when it reads, no sooner.
		if hand, err := l.noLine(ctx, i.Source.Gate); err != nil || hand {
			return current, nil, err
		}
	}
	contract, err := l.contractText(ctx, i.Contract)
	if err != nil {
		return nil, nil, err
	}
	text, err := l.current(ctx, i.ID, evidence.KindInstruction)
	if err != nil {
		return nil, nil, err
	}
	all, err := l.recipients(ctx, i, text)
	if err != nil {
		return nil, nil, err
	}
	var estimates map[ecluse.DatasetID]int64
	w := exchange.Work{
		Verb: exchange.CompileRead, Migration: i.ID, Signed: all, Papers: map[string][]byte{exchange.PaperContract: contract, exchange.PaperInstruction: text},
	}
	err = l.askFor(ctx, i.Source.Gate, w, func(a *exchange.Answer, taken closing) error {
		if err := json.Unmarshal(a.Papers[exchange.PaperEstimates], &estimates); err != nil {
			return &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
		}
		l.measured(i.Source.Gate, a)
		plan, err := mandate.ParseReadPlan(a.Papers[exchange.PaperReadPlan])
		if err != nil {
			return err
		}
		if current != nil {
			approved, err := mandate.ParseReadPlan(current)
			if err != nil {
				return err
			}
			if _, err := mandate.Equivalent(approved, plan); err == nil && mig.Place.Migration != procedure.Instructed {
				return nil
			}
		}
		current = plan.Bytes()
		return l.store.Do(ctx, journal.Event{
			Tree: string(i.ID), Type: journal.ReadPlanCompiled, IDs: map[string]string{"read_plan": plan.Digest().String(), "instruction": i.Digest().String()},
		}, func(tx *sqlite.Tx) error {
			if voids {
				if err := voidRead(ctx, tx, i.ID); err != nil {
					return err
				}
			}
			if _, err := tx.AddDocument(ctx, evidence.KindReadPlan, i.ID, plan.Bytes()); err != nil {
				return err
			}
			if err := tx.SetCurrent(ctx, i.ID, evidence.KindReadPlan, plan.Digest()); err != nil {
				return err
			}
			if _, err := tx.Move(ctx, i.ID, procedure.PlanRead, procedure.SourceGate); err != nil {
				return err
			}
			return taken(ctx, tx)
		})
	})
	if voids && ecluse.KindOf(err) == ecluse.Invalid { // it is for the instruction to change
		event := journal.Event{Tree: string(i.ID), Type: journal.ApprovalLapsed, IDs: map[string]string{"read_plan": ecluse.DigestOf(current).String()}}
		if did := l.store.Do(ctx, event, func(tx *sqlite.Tx) error { return voidRead(ctx, tx, i.ID) }); did != nil {
			return nil, nil, did
		}
	}
	return current, estimates, err
}

// sealing is what tells whether anything of a migration is sealed, or about to be.
type sealing interface {
	WorkOf(ctx context.Context, m ecluse.MigrationID) ([]store.Work, error)
	LeavesOf(ctx context.Context, tree, typ string) ([]*evidence.Leaf, error)
}

// untouched tells of a migration in which reading was asked for, and no chunk sealed: the
// source can be found to be another than its plan says only then, and the plan is still to
// be had anew.
func untouched(ctx context.Context, in sealing, mig *store.Migration) (bool, error) {
	if _, err := procedure.Next(mig.Place, procedure.VoidRead, procedure.Lock); err != nil {
		return false, nil
	}
	work, err := in.WorkOf(ctx, mig.ID)
	if err != nil || slices.ContainsFunc(work, func(w store.Work) bool { return w.Ended.IsZero() && w.Verb == string(exchange.Read) }) {
		return false, err
	}
	chunks, err := in.LeavesOf(ctx, string(mig.ID), evidence.LeafChunk)
	return len(chunks) == 0, err
}

// voidRead takes such a migration back to its instruction, if nothing was sealed meanwhile.
func voidRead(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID) error {
	mig, err := tx.Migration(ctx, m)
	if err != nil {
		return err
	}
	if still, err := untouched(ctx, tx, mig); err != nil || !still {
		return cmp.Or(err, error(&ecluse.Error{
			Kind: ecluse.Refused, What: "void the read plan", Where: string(m), Why: "the reading has begun again meanwhile", Next: "run the same command again",
		}))
	}
	_, err = tx.Move(ctx, m, procedure.VoidRead, procedure.Lock)
	return err
}

// loadPlan has the load plan compiled; nil while no mapping is signed or the read
// plan is only shown. Instructed columns that the mapping has no use for come with
// it.
func (l *Lock) loadPlan(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (plan []byte, unused []string, err error) {
	c, err := l.Case(ctx, m, kind)
	if err != nil {
		return nil, nil, err
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	if c.Mapping == nil || mig.Place.Migration == procedure.Born || mig.Place.Migration == procedure.Instructed {
		return nil, nil, nil
	}
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	a, err := l.ask(ctx, target, exchange.Work{Verb: exchange.CompileLoad, Migration: m, Passage: ecluse.Passage{Kind: kind}})
	if err != nil {
		return nil, nil, err
	}
	var checked exchange.Checked
	if err := json.Unmarshal(a.Papers[exchange.PaperShape], &checked); err != nil {
		return nil, nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	l.measured(target, a)
	plan = a.Papers[exchange.PaperLoadPlan]
	parsed, err := mandate.ParseLoadPlan(plan)
	if err != nil {
		return nil, nil, err
	}
	if c, err = l.Case(ctx, m, kind); err != nil { // as it stands now: the gate took its time
		return nil, nil, err
	}
	if parsed.Shape.Mapping != ecluse.DigestOf(c.Mapping) {
		return nil, nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "compile the load plan", Where: string(m), Why: "the target gate compiled another mapping than the one that is in force: it was signed meanwhile",
			Next: "run the same command again",
		}
	}
	if kind != ecluse.Dry {
		schema := checked.Schema
		if kind == ecluse.Rehearsal { // the test base's; the twin is held against the real one
			schema = ecluse.Digest{}
		}
		if err := l.twinFor(ctx, m, target, parsed, schema); err != nil {
			return nil, nil, err
		}
	}
	inForce := mig.Place.Kind == kind && mig.Place.Passage != procedure.None && mig.Place.Passage != procedure.Undone
	if inForce && bytes.Equal(c.LoadPlan, plan) {
		return plan, checked.Unused, nil
	}
	digest := ecluse.DigestOf(plan)
	return plan, checked.Unused, l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.LoadPlanCompiled, IDs: map[string]string{"load_plan": digest.String(), "kind": string(kind)},
	}, func(tx *sqlite.Tx) error {
		if _, err := tx.AddDocument(ctx, evidence.KindLoadPlan, m, plan); err != nil {
			return err
		}
		if err := tx.SetCurrent(ctx, m, exchange.KindLoadPlan(kind), digest); err != nil {
			return err
		}
		_, err := tx.PlanLoad(ctx, m, kind, procedure.TargetGate)
		return err
	})
}
