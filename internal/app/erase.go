package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/erasure"
	"ecluse/internal/gate"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// erase erases a migration (step 12): an unaccepted load is undone, or given up
// some time after the deadline (erasure.Grace), then both halves of the key and the ciphertext are destroyed and looked for, and both
// gates sign the certificate. It may be called again after a crash at any step:
// each finds what it has done.
func (r *Room) erase(ctx context.Context, m ecluse.MigrationID, deadline time.Time) error {
	l := r.lock
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
	ground, err := r.ground(ctx, m, i)
	if err != nil {
		return err
	}
	if mig.Place.Migration != procedure.Erasing {
		event := journal.Event{Tree: string(m), Type: journal.ErasureBegun, IDs: map[string]string{"reason": strings.ReplaceAll(string(ground.Trigger), " ", "-")}}
		err := l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
			_, err := tx.Move(ctx, m, procedure.Erase, procedure.Lock)
			return err
		})
		if err != nil {
			return err
		}
	}
	even, err := r.evenIfLoaded(ctx, m)
	if err != nil {
		return err
	}
	ids, err := l.recipients(ctx, ground.Plan)
	if err != nil {
		return err
	}
	c, err := erasure.Run(ctx, erasure.Erasure{
		Ground: *ground, Deadline: deadline, EvenIfLoaded: even,
		Loads:   unaccepted{r},
		Source:  keyHolder{r, SourcePlace, procedure.SourceGate, ground.Plan, ids},
		Target:  keyHolder{r, TargetPlace, procedure.TargetGate, ground.Plan, ids},
		Chamber: ciphertext{l, i},
		Places: []erasure.Place{
			{ErasedPlace: evidence.ErasedPlace{Place: "the lock's folder", Held: "sealed chunks", Backups: backups(i.Backups.Lock)}, Dirs: []string{l.dir}},
			{ErasedPlace: evidence.ErasedPlace{Place: "the source gate's folder", Held: "release secret, K, identity of rejects", Backups: backups(i.Backups.SourceGate)}, Dirs: []string{filepath.Join(r.dir, sourceDir)}},
			{ErasedPlace: evidence.ErasedPlace{Place: "the target gate's folder", Held: "wrapped identity and its half of the key", Backups: backups(i.Backups.TargetGate)}, Dirs: []string{filepath.Join(r.dir, targetDir)}},
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
	return r.certify(ctx, m, c)
}

// backups says what the instruction says of a folder's.
func backups(b mandate.Backup) string {
	if b.None() {
		return evidence.NoBackup
	}
	return "the last one expires " + b.String()
}

// recipients are the digests of the recipients that an approved read plan names,
// by what is sealed to them: the keys' ids.
func (l *lock) recipients(ctx context.Context, plan ecluse.Digest) (map[string]ecluse.Digest, error) {
	if plan.IsZero() {
		return nil, nil
	}
	text, err := l.store.Document(ctx, plan)
	if err != nil {
		return nil, err
	}
	read, err := mandate.ParseReadPlan(text)
	if err != nil {
		return nil, err
	}
	return map[string]ecluse.Digest{evidence.ForChunks: read.Recipient, evidence.ForRejects: read.Rejects}, nil
}

// unaccepted undoes what was loaded and not accepted.
type unaccepted struct{ *Room }

func (u unaccepted) Undo(ctx context.Context, m ecluse.MigrationID) error {
	return u.undoUnaccepted(ctx, m)
}

func (u unaccepted) Leave(ctx context.Context, m ecluse.MigrationID, why ecluse.Kind) ([]evidence.LeftPassage, error) {
	p, err := u.openPassage(ctx, m)
	if err != nil {
		return nil, err
	}
	event := journal.Event{Tree: string(m), Type: journal.PassageLeft, IDs: map[string]string{"passage": p.String(), "reason": string(why)}}
	err = u.lock.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if _, err := tx.Move(ctx, m, procedure.Leave, procedure.Lock); err != nil {
			return err
		}
		return endPassage(ctx, tx, m, procedure.Left)
	})
	return []evidence.LeftPassage{{Passage: p, Why: why}}, err
}

// evenIfLoaded tells whether a signatory of the controller had the passage in hand
// erased even if it cannot be taken out of the target.
func (r *Room) evenIfLoaded(ctx context.Context, m ecluse.MigrationID) (bool, error) {
	passages, err := r.lock.store.Passages(ctx, m)
	if err != nil {
		return false, err
	}
	acts, err := r.lock.store.Acts(ctx, m)
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

// left names the passages that were given up, as the journal has it.
func (l *lock) left(ctx context.Context, m ecluse.MigrationID, passages []store.Passage) ([]evidence.LeftPassage, error) {
	if !slices.ContainsFunc(passages, func(p store.Passage) bool { return p.State == procedure.Left }) {
		return nil, nil
	}
	size, err := l.store.Size(ctx, string(m))
	if err != nil {
		return nil, err
	}
	_, leaves, err := l.log.Leaves(ctx, string(m), 0, size)
	if err != nil {
		return nil, err
	}
	var all []evidence.LeftPassage
	for _, p := range passages {
		for _, leaf := range leaves {
			if leaf.Type == evidence.LeafLeft && leaf.IDs["passage"] == p.Passage.String() {
				all = append(all, evidence.LeftPassage{Passage: p.Passage, Why: ecluse.Kind(leaf.IDs["reason"])})
			}
		}
	}
	return all, nil
}

// keyHolder is one gate, as far as keys go.
type keyHolder struct {
	room  *Room
	at    Place
	actor procedure.Actor
	plan  ecluse.Digest
	ids   map[string]ecluse.Digest // of keys, by what is sealed to their recipient
}

func (k keyHolder) Destroy(ctx context.Context, m ecluse.MigrationID) ([]evidence.DestroyedKey, error) {
	if k.at == TargetPlace && k.room.target != nil {
		k.room.target.ForgetLease(m)
	}
	d, err := k.room.homes[k.at].Erase(m, k.plan, string(k.at))
	if err != nil {
		return nil, err
	}
	if err := k.room.lock.Post(ctx, m, gate.ErasureReport, d.Signed); err != nil {
		return nil, err
	}
	var keys []evidence.DestroyedKey
	for _, x := range d.Keys {
		keys = append(keys, evidence.DestroyedKey{Name: x.Name, ID: k.ids[x.Opens], Algorithm: x.Algorithm, Destroyed: d.At})
	}
	return keys, k.room.move(ctx, m, journal.KeyDestroyed, procedure.DestroyKey, k.actor)
}

func (k keyHolder) Left(_ context.Context, m ecluse.MigrationID) ([]string, error) {
	return k.room.homes[k.at].Files(m)
}

// ciphertext is the chamber. What it held stays known by its signed descriptors.
type ciphertext struct {
	*lock
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
type noted struct{ *lock }

func (n noted) Note(ctx context.Context, m ecluse.MigrationID, x erasure.Note) error {
	t, ok := map[erasure.Step]journal.Type{erasure.TextGone: journal.CiphertextRemoved, erasure.LookedOver: journal.ErasureChecked}[x.Step]
	if !ok {
		return nil
	}
	return n.store.Do(ctx, journal.Event{Tree: string(m), Type: t, Numbers: x.Numbers}, nil)
}

// ground says why a migration is erased, and what became of its load.
func (r *Room) ground(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) (*evidence.Certificate, error) {
	l := r.lock
	c := &evidence.Certificate{
		Migration: m, Contract: i.Contract, Instruction: i.Digest(), Trigger: evidence.ByDeadline, Outcome: evidence.NotLoaded, OneRoom: true,
		SourceAdmin: i.Source.AdministeredBy, TargetAdmin: i.Target.AdministeredBy,
		Backups: evidence.Backups{SourceGate: i.Backups.SourceGate.String(), Lock: i.Backups.Lock.String(), TargetGate: i.Backups.TargetGate.String()},
		Tool:    "ecluse " + Version(),
	}
	if manifest, err := l.manifestKept(ctx, m); err != nil {
		return nil, err
	} else if manifest != nil {
		c.Manifest = manifest.Digest()
	}
	acts, err := l.store.Acts(ctx, m)
	if err != nil {
		return nil, err
	}
	if c.Plan, err = l.approvedPlan(ctx, m, acts); err != nil {
		return nil, err
	}
	for _, a := range acts {
		for _, clause := range a.Clauses {
			switch {
			case clause.Verb == evidence.VerbAccept && clause.Kind == evidence.KindReport:
				c.Trigger, c.Act, c.Report, c.Outcome = evidence.ByAcceptance, a.Digest, clause.Subject, evidence.Proven
				return c, r.binary(c)
			case clause.Verb == evidence.VerbErase && clause.Kind == evidence.KindMigration:
				c.Trigger, c.Act = evidence.ByOrder, a.Digest
			}
		}
	}
	passages, err := l.store.Passages(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, x := range passages {
		if x.Kind != ecluse.Dry {
			c.Outcome = evidence.Undone
		}
	}
	if c.Left, err = l.left(ctx, m, passages); err != nil {
		return nil, err
	}
	if len(c.Left) > 0 { // a run before this one gave up
		c.Outcome = evidence.NotUndone
	}
	if c.Trigger == evidence.ByDeadline {
		contract, err := l.contract(ctx, i.Contract)
		if err != nil {
			return nil, err
		}
		now, _, err := l.store.Now(ctx)
		if err != nil {
			return nil, err
		}
		if now.Before(i.EraseBy) && contract.ValidAt(now) != nil {
			c.Trigger = evidence.ByContractEnd
		}
	}
	return c, r.binary(c)
}

// approvedPlan is the read plan that both parties approved: without it nothing can
// have been read.
func (l *lock) approvedPlan(ctx context.Context, m ecluse.MigrationID, acts []store.Act) (ecluse.Digest, error) {
	plan, err := l.store.Current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return plan, err
	}
	by := map[ecluse.Side]bool{}
	for _, a := range acts {
		for _, c := range a.Clauses {
			if c.Verb == evidence.VerbApprove && c.Kind == evidence.KindReadPlan && c.Subject == plan {
				by[a.Side] = true
			}
		}
	}
	if !by[ecluse.Controller] || !by[ecluse.Processor] {
		return ecluse.Digest{}, nil
	}
	return plan, nil
}

// binary is the program's own SHA-256.
func (r *Room) binary(c *evidence.Certificate) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	c.Binary = ecluse.Digest(h.Sum(nil))
	return nil
}

// undoUnaccepted takes out what was loaded and not accepted.
func (r *Room) undoUnaccepted(ctx context.Context, m ecluse.MigrationID) error {
	mig, err := r.lock.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	switch mig.Place.Passage {
	case procedure.Accepted:
		return r.keep(ctx, m)
	case procedure.Loading, procedure.Loaded, procedure.Compared:
		err := r.lock.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.UndoBegun}, func(tx *sqlite.Tx) error {
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
	_, err = r.undo(ctx, m, nil)
	return err
}

// keep lets the target forget an accepted passage's markers. They hold no value:
// a target that cannot be reached for it does not keep keys from being destroyed.
func (r *Room) keep(ctx context.Context, m ecluse.MigrationID) error {
	passages, err := r.lock.store.Passages(ctx, m)
	if err != nil {
		return err
	}
	for _, p := range passages {
		if p.State != procedure.Accepted {
			continue
		}
		t, err := r.targetGate(ctx)
		if err == nil {
			err = t.Keep(ctx, m, p.Passage)
		}
		if err != nil {
			return r.lock.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.PassageStopped, IDs: map[string]string{"passage": p.Passage.String(), "reason": string(ecluse.KindOf(err))}}, nil)
		}
	}
	return nil
}

// keepDescriptors keeps every signed descriptor, and the manifest, as evidence of
// what there was: they hold no record.
func (l *lock) keepDescriptors(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) error {
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
func (l *lock) manifestKept(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
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

// certify states the erasure under both gates' signatures.
func (r *Room) certify(ctx context.Context, m ecluse.MigrationID, c *evidence.Certificate) error {
	var certificate evidence.Signed
	for _, at := range []Place{SourcePlace, TargetPlace} {
		signed, err := r.homes[at].Certify(c)
		if err != nil {
			return err
		}
		certificate = signed
		err = r.lock.store.Do(ctx, journal.Event{
			Tree: string(m), Type: journal.Certified, IDs: map[string]string{"certificate": signed.Digest().String(), "gate": string(r.homes[at].Fingerprint())},
		}, func(tx *sqlite.Tx) error {
			_, err := tx.AddSigned(ctx, kindCertificate, m, evidence.NamespaceStatement, signed)
			return err
		})
		if err != nil {
			return err
		}
	}
	err := r.lock.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.Erased, IDs: map[string]string{"certificate": certificate.Digest().String()}},
		func(tx *sqlite.Tx) error {
			if err := tx.SetCurrent(ctx, m, kindCertificate, certificate.Digest()); err != nil {
				return err
			}
			_, err := tx.Move(ctx, m, procedure.FinishErasure, procedure.Lock)
			return err
		})
	return errors.Join(err, r.lock.chamber.Forget(m))
}

const kindCertificate = "certificate"
