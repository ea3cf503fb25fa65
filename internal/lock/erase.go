package lock

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/erasure"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// erase erases a migration (step 12): a load that the laboratory works in stays, any other
// unaccepted one is undone, or given up some time after the deadline (erasure.Grace), then both halves of the key and the ciphertext are destroyed and looked for, and both
// gates sign the certificate. It may be called again after a crash at any step:
// each finds what it has done.
func (l *Lock) erase(ctx context.Context, m ecluse.MigrationID, deadline time.Time) error {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	if mig.Place.Migration == procedure.Erased || mig.Place.Migration == procedure.Closed {
		return nil
	}
	i, err := l.instruction(ctx, m)
	if err != nil {
		return err
	}
	if drafted, err := l.byHand(ctx, m, i); err != nil || drafted != nil {
		if err != nil {
			return err
		}
		return l.certify(ctx, m, i, drafted)
	}
	ground, err := l.ground(ctx, m, i)
	if err != nil {
		return err
	}
	if mig.Place.Migration != procedure.Erasing {
		err := l.beginErasure(ctx, m, ground.Trigger, mig.Place)
		if errors.Is(err, errMoved) {
			return l.erase(ctx, m, deadline)
		}
		if err != nil {
			return err
		}
	}
	if ground.InUse, err = l.inUse(ctx, m); err != nil {
		return err
	}
	if ground.InUse != nil {
		ground.Outcome = evidence.InUse
	}
	even, err := l.evenIfLoaded(ctx, m)
	if err != nil {
		return err
	}
	ids, err := l.recipientsOf(ctx, ground.Plan)
	if err != nil {
		return err
	}
	probes := func() ([][]byte, error) {
		inv, err := l.chamber.Inventory(m)
		if err != nil || inv == nil {
			return nil, err
		}
		return inv.Probes, nil
	}
	source := &keyHolder{lock: l, at: exchange.SourcePlace, gate: i.Source.Gate, actor: procedure.SourceGate, plan: ground.Plan, ids: ids, probes: probes}
	target := &keyHolder{lock: l, at: exchange.TargetPlace, gate: i.Target.Gate, actor: procedure.TargetGate, plan: ground.Plan, ids: ids, probes: probes}
	c, err := erasure.Run(ctx, erasure.Erasure{
		Ground: *ground, Deadline: deadline, EvenIfLoaded: even, Fetch: l.fetchUntil(i, ground),
		Loads:   unaccepted{l},
		Source:  source,
		Target:  target,
		Chamber: ciphertext{l, i},
		Places: []erasure.Place{
			{
				ErasedPlace: evidence.ErasedPlace{Place: "the lock's folder", Held: "sealed chunks", Backups: backups(i.Backups.Lock)},
				Search: func(ctx context.Context, probes [][]byte) (erasure.Searched, error) {
					return erasure.Search(ctx, []string{l.dir}, probes)
				},
			},
			{ErasedPlace: evidence.ErasedPlace{Place: "the source gate's folder", Held: "release secret, K, identity of rejects", Backups: backups(i.Backups.SourceGate)}, Search: source.search},
			{ErasedPlace: evidence.ErasedPlace{Place: "the target gate's folder", Held: "wrapped identity and its half of the key", Backups: backups(i.Backups.TargetGate)}, Search: target.search},
		},
		Journal: noted{l},
		Now: func(ctx context.Context) (time.Time, error) {
			now, _, err := l.store.Now(ctx)
			return now, err
		},
	})
	if err != nil {
		return err
	}
	c.Kept = source.kept
	if ground.Trigger == evidence.ByAcceptance && i.RejectsUntil != nil && !ground.Disposed.IsZero() {
		c.NotKept = source.unkept
	}
	if c.Stayed, err = l.stayed(ctx, m, i.Target.Gate); err != nil {
		return err
	}
	if err := l.draft(ctx, m, i, c, source.taken); err != nil {
		return err
	}
	return l.certify(ctx, m, i, c)
}

// errMoved is that a migration stands elsewhere than when its ground was judged.
var errMoved = errors.New("it stands elsewhere by now")

// beginErasure moves a migration, from the place at which why it is erased was judged: an
// acceptance that arrives meanwhile is another ground.
func (l *Lock) beginErasure(ctx context.Context, m ecluse.MigrationID, why evidence.Trigger, from procedure.Place) error {
	event := journal.Event{Tree: string(m), Type: journal.ErasureBegun, IDs: map[string]string{"reason": strings.ReplaceAll(string(why), " ", "-")}}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		mig, err := tx.Migration(ctx, m)
		if err != nil {
			return err
		}
		if mig.Place != from {
			return errMoved
		}
		_, err = tx.Move(ctx, m, procedure.Erase, procedure.Lock)
		return err
	})
}

// fetchUntil is until when the source gate may still come for the rows put aside that it
// is to keep; zero: it keeps none.
func (l *Lock) fetchUntil(i *mandate.Instruction, ground *evidence.Certificate) time.Time {
	if ground.Trigger != evidence.ByAcceptance || i.RejectsUntil == nil || ground.Disposed.IsZero() {
		return time.Time{}
	}
	return i.EraseBy
}

// backups says what the instruction says of a folder's.
func backups(b mandate.Backup) string {
	if b.None() {
		return evidence.NoBackup
	}
	return "the last one expires " + b.String()
}

// unaccepted undoes what was loaded and not accepted.
type unaccepted struct{ *Lock }

func (u unaccepted) Undo(ctx context.Context, m ecluse.MigrationID) error {
	return u.undoUnaccepted(ctx, m)
}

func (u unaccepted) Leave(ctx context.Context, m ecluse.MigrationID, why ecluse.Kind) ([]evidence.LeftPassage, error) {
	p, err := u.openPassage(ctx, m)
	if err != nil {
		return nil, err
	}
	event := journal.Event{Tree: string(m), Type: journal.PassageLeft, IDs: map[string]string{"passage": p.String(), "reason": string(why)}}
	err = u.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, m, procedure.Leave, procedure.Lock); err != nil {
			return err
		}
		return endPassage(ctx, tx, m, procedure.Left)
	})
	return []evidence.LeftPassage{{Passage: p, Why: why}}, err
}

// inUse is the passage that the laboratory works in since a go, accepted by nobody; nil
// when there is none. From now on nothing takes it out of the target: with the keys goes
// what undoing it needs.
func (l *Lock) inUse(ctx context.Context, m ecluse.MigrationID) (*evidence.InUsePassage, error) {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	switch mig.Place.Passage {
	case procedure.Live:
		return l.keepInUse(ctx, m)
	case procedure.InUse: // a run before this one said so
	default:
		return nil, nil
	}
	passages, err := l.store.Passages(ctx, m)
	if err != nil {
		return nil, err
	}
	leaves, err := l.leaves(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, p := range passages {
		for _, leaf := range leaves {
			if leaf.Type == evidence.LeafInUse && leaf.IDs["passage"] == p.Passage.String() {
				act, err := ecluse.ParseDigest(leaf.IDs["act"])
				return &evidence.InUsePassage{Passage: p.Passage, Act: act}, err
			}
		}
	}
	return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "erase", Where: string(m), Why: "a load is in use, and the journal does not say which", Next: "bring the lock's folder back from a copy"}
}

func (l *Lock) keepInUse(ctx context.Context, m ecluse.MigrationID) (*evidence.InUsePassage, error) {
	acts, err := l.store.Acts(ctx, m)
	if err != nil {
		return nil, err
	}
	x := &evidence.InUsePassage{}
	if x.Passage, err = l.openPassage(ctx, m); err != nil {
		return nil, err
	}
	for _, a := range acts { // in the order in which they came: the last go stands
		if slices.ContainsFunc(a.Clauses, func(c evidence.Clause) bool { return c.Verb == evidence.VerbGo }) {
			x.Act = a.Digest
		}
	}
	event := journal.Event{Tree: string(m), Type: journal.PassageInUse, IDs: map[string]string{"passage": x.Passage.String(), "act": x.Act.String()}}
	return x, l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, m, procedure.KeepInUse, procedure.Lock); err != nil {
			return err
		}
		return endPassage(ctx, tx, m, procedure.InUse)
	})
}

// evenIfLoaded tells whether a signatory of the controller had the passage in hand
// erased even if it cannot be taken out of the target.
func (l *Lock) evenIfLoaded(ctx context.Context, m ecluse.MigrationID) (bool, error) {
	passages, err := l.store.Passages(ctx, m)
	if err != nil {
		return false, err
	}
	acts, err := l.store.Acts(ctx, m)
	if err != nil {
		return false, err
	}
	for _, a := range acts {
		for _, c := range a.Clauses {
			open := func(p store.Passage) bool { return p.Ended.IsZero() && p.LoadPlan == c.Subject }
			if c.Verb == evidence.VerbLeave && c.Kind == evidence.KindLoadPlan && slices.ContainsFunc(passages, open) {
				return true, nil
			}
		}
	}
	return false, nil
}

// ciphertext is the chamber. What it held stays known by its signed descriptors.
type ciphertext struct {
	*Lock
	instruction *mandate.Instruction
}

func (c ciphertext) Remove(ctx context.Context, m ecluse.MigrationID, now time.Time) (*erasure.Removed, error) {
	if err := c.keepDescriptors(ctx, m, c.instruction); err != nil {
		return nil, err
	}
	inv, err := c.chamber.Erase(m, now)
	if err != nil {
		return nil, err
	}
	out := &erasure.Removed{Objects: inv.Erasures(), Probes: inv.Probes}
	for _, o := range inv.Rejects {
		out.Objects = append(out.Objects, evidence.ErasedObject{Slot: o.Slot, SHA256: o.SHA256, Size: o.Size, Rows: o.Rows, Erased: inv.Erased})
	}
	slices.SortFunc(out.Objects, func(a, b evidence.ErasedObject) int {
		switch x, y := a.Slot, b.Slot; {
		case x.Dataset != y.Dataset:
			return strings.Compare(string(x.Dataset), string(y.Dataset))
		case x.Sequence != y.Sequence:
			return x.Sequence - y.Sequence
		default:
			return x.Version - y.Version
		}
	})
	return out, nil
}

func (c ciphertext) Left(_ context.Context, m ecluse.MigrationID) ([]string, error) {
	return c.chamber.Remains(m)
}

// noted journals the steps that have no event of their own.
type noted struct{ *Lock }

func (n noted) Note(ctx context.Context, m ecluse.MigrationID, x erasure.Note) error {
	t, ok := map[erasure.Step]journal.Type{erasure.TextGone: journal.CiphertextRemoved, erasure.LookedOver: journal.ErasureChecked}[x.Step]
	if !ok {
		return nil
	}
	return n.store.Do(ctx, journal.Event{Tree: string(m), Type: t, Numbers: x.Numbers}, nil)
}

// undoUnaccepted takes out what was loaded and not accepted, but for what the laboratory
// works in.
func (l *Lock) undoUnaccepted(ctx context.Context, m ecluse.MigrationID) error {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	switch mig.Place.Passage {
	case procedure.Accepted:
		return l.keep(ctx, m)
	case procedure.Loading, procedure.Loaded, procedure.Compared, procedure.Declined:
		err := l.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.UndoBegun}, func(tx *sqlite.Tx) error {
			if _, err := tx.Move(ctx, m, procedure.Undo, procedure.Lock); err != nil {
				return err
			}
			return undoOrdered(ctx, tx, m)
		})
		if err != nil || mig.Place.Kind == ecluse.Dry {
			return err
		}
	case procedure.Undoing:
	default:
		return nil
	}
	id, err := l.Undo(ctx, m)
	if err != nil || id == "" {
		return err
	}
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	a, err := l.undone(ctx, m, target, id)
	if err != nil {
		return err
	}
	return a.Err()
}

// undone waits until a load is taken out, but not for a loan that is carried by hand:
// other things are due meanwhile.
func (l *Lock) undone(ctx context.Context, m ecluse.MigrationID, target ecluse.Fingerprint, id string) (*exchange.Answer, error) {
	byHand, err := l.borrowsByHand(ctx, target, m)
	if err != nil {
		return nil, err
	}
	if !byHand {
		return l.await(ctx, target, id, exchange.Undo)
	}
	row, err := l.awaitByHand(ctx, target, exchange.Work{ID: id, Verb: exchange.Undo, Migration: m})
	if err != nil {
		return nil, err
	}
	return answerOf(row)
}

// keep lets the target forget an accepted passage's markers. They hold no value:
// a target that cannot be reached for it does not keep keys from being destroyed.
func (l *Lock) keep(ctx context.Context, m ecluse.MigrationID) error {
	passages, err := l.store.Passages(ctx, m)
	if err != nil {
		return err
	}
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	for _, p := range passages {
		if p.State != procedure.Accepted {
			continue
		}
		if _, err := l.ask(ctx, target, exchange.Work{Verb: exchange.Keep, Migration: m, Passage: p.Passage}); err != nil {
			return l.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.PassageStopped, IDs: map[string]string{"passage": p.Passage.String(), "reason": string(ecluse.KindOf(err))}}, nil)
		}
	}
	return nil
}

// keepDescriptors keeps every signed descriptor, and the manifest, as evidence of
// what there was: they hold no record.
func (l *Lock) keepDescriptors(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) error {
	if inv, err := l.chamber.Inventory(m); err != nil || inv != nil {
		return err
	}
	if err := l.repair(ctx, m, i.Source.Gate); err != nil {
		return err
	}
	chunks, err := l.chamber.List(m)
	if err != nil {
		return err
	}
	rejects, err := l.chamber.Rejects(m)
	if err != nil {
		return err
	}
	late, err := l.rejectEvents(ctx, m, i.Target.Gate) // of a passage that never ended
	if err != nil {
		return err
	}
	defer l.forgetJournalled(m)
	manifest, err := l.chamber.Manifest(m)
	if err != nil {
		return err
	}
	return l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.DocumentStored, Numbers: map[string]int64{"chunks": int64(len(chunks)), "rejects": int64(len(rejects))},
	}, func(tx *sqlite.Tx) error {
		for _, e := range late {
			tx.Also(e)
		}
		for kind, all := range map[string][]evidence.Signed{kindChunk: chunks, kindReject: rejects} {
			for _, s := range all {
				if _, err := tx.AddSigned(ctx, kind, m, evidence.NamespaceChunk, s); err != nil {
					return err
				}
			}
		}
		if manifest == nil {
			return nil
		}
		_, err := tx.AddSigned(ctx, kindManifest, m, evidence.NamespaceManifest, *manifest)
		return err
	})
}

// Kinds under which descriptors and manifest are kept.
const (
	kindChunk    = "chunk"
	kindReject   = "reject"
	kindManifest = "manifest"
)

// manifestKept finds the manifest, in the chamber or among the papers.
func (l *Lock) manifestKept(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	s, err := l.chamber.Manifest(m)
	if err != nil || s != nil {
		return s, err
	}
	all, err := l.signed(ctx, m, kindManifest, evidence.NamespaceManifest)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}
