package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/chamber"
	"ecluse/internal/gate"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// erase erases a migration (step 12): an unaccepted load is undone, then both
// halves of the key and the ciphertext are destroyed and looked for, and both
// gates sign the certificate. It may be called again after a crash at any step:
// each finds what it has done.
func (r *Room) erase(ctx context.Context, m ecluse.MigrationID) error {
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
	c, err := r.ground(ctx, m, mig.Place, i)
	if err != nil {
		return err
	}
	if mig.Place.Migration != procedure.Erasing {
		event := journal.Event{Tree: string(m), Type: journal.ErasureBegun, IDs: map[string]string{"reason": strings.ReplaceAll(string(c.Trigger), " ", "-")}}
		err := l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
			_, err := tx.Move(ctx, m, procedure.Erase, procedure.Lock)
			return err
		})
		if err != nil {
			return err
		}
	}
	if err := r.undoUnaccepted(ctx, m); err != nil {
		return err
	}
	if err := l.keepDescriptors(ctx, m, i); err != nil {
		return err
	}
	if err := r.destroyKeys(ctx, m, c); err != nil {
		return err
	}
	inventory, err := l.emptyChamber(ctx, m)
	if err != nil {
		return err
	}
	if err := r.lookAfter(ctx, m, inventory, c); err != nil {
		return err
	}
	return r.certify(ctx, m, inventory, c)
}

// ground says why a migration is erased, and what became of its load.
func (r *Room) ground(ctx context.Context, m ecluse.MigrationID, p procedure.Place, i *mandate.Instruction) (*evidence.Certificate, error) {
	l := r.lock
	c := &evidence.Certificate{
		Migration: m, Contract: i.Contract, Instruction: i.Digest(), Trigger: evidence.ByDeadline, Outcome: evidence.NotLoaded, OneRoom: true,
		SourceAdmin: ecluse.Controller,
		Method:      "cryptographic erase (NIST SP 800-88 r2): both halves of the key destroyed; then the ciphertext unlinked",
		Tool:        "ecluse " + Version(),
	}
	plan, err := l.store.Current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return nil, err
	}
	if manifest, err := l.manifestKept(ctx, m); err != nil {
		return nil, err
	} else if manifest != nil {
		c.Manifest = manifest.Digest()
	}
	chunks, err := l.journalled(ctx, m)
	if err != nil {
		return nil, err
	}
	if p.Migration != procedure.Born && p.Migration != procedure.Instructed || len(chunks) > 0 {
		c.Plan = plan
	}
	acts, err := l.store.Acts(ctx, m)
	if err != nil {
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
	case procedure.Loading, procedure.Loaded, procedure.Compared:
		if err := r.begin(ctx, m, procedure.Lock); err != nil {
			return err
		}
		if mig.Place.Kind == ecluse.Dry {
			return r.endPassage(ctx, m, procedure.Undone)
		}
	case procedure.Undoing:
	default:
		return nil
	}
	_, err = r.undo(ctx, m, nil)
	return err
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
	manifest, err := l.chamber.Manifest(m)
	if err != nil {
		return err
	}
	return l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.DocumentStored, Numbers: map[string]int64{"chunks": int64(len(chunks)), "rejects": int64(len(rejects))},
	}, func(tx *sqlite.Tx) error {
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

// destroyKeys has both gates destroy their halves.
func (r *Room) destroyKeys(ctx context.Context, m ecluse.MigrationID, c *evidence.Certificate) error {
	for _, g := range []struct {
		at    Place
		gate  evidence.Gate
		actor procedure.Actor
	}{{SourcePlace, evidence.SourceGate, procedure.SourceGate}, {TargetPlace, evidence.TargetGate, procedure.TargetGate}} {
		if g.at == TargetPlace && r.target != nil {
			r.target.ForgetLease(m)
		}
		s, err := r.homes[g.at].Erase(m, c.Plan, string(g.at))
		if err != nil {
			return err
		}
		if err := r.lock.Post(ctx, m, gate.ErasureReport, s.Signed); err != nil {
			return err
		}
		for _, k := range s.Keys {
			c.Keys = append(c.Keys, evidence.DestroyedKey{Name: k.Name, Holder: g.gate, Algorithm: k.Algorithm, Destroyed: s.At})
		}
		if err := r.move(ctx, m, journal.KeyDestroyed, procedure.DestroyKey, g.actor); err != nil {
			return err
		}
	}
	return nil
}

// emptyChamber unlinks the ciphertext.
func (l *lock) emptyChamber(ctx context.Context, m ecluse.MigrationID) (*chamber.Inventory, error) {
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	inv, err := l.chamber.Erase(m, now)
	if err != nil {
		return nil, err
	}
	return inv, l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.CiphertextRemoved, Numbers: map[string]int64{"chunks": int64(len(inv.Chunks)), "rejects": int64(len(inv.Rejects)), "bytes": inv.Bytes},
	}, nil)
}

// lookAfter searches what was erased, and refuses to certify when it is found.
func (r *Room) lookAfter(ctx context.Context, m ecluse.MigrationID, inv *chamber.Inventory, c *evidence.Certificate) error {
	now, _, err := r.lock.store.Now(ctx)
	if err != nil {
		return err
	}
	at := now.UTC().Truncate(time.Second)
	if at.Before(inv.Erased) {
		at = inv.Erased
	}
	remains, err := r.lock.chamber.Remains(m)
	if err != nil {
		return err
	}
	found := map[string]int64{"files of the migration in the chamber": int64(len(remains))}
	for name, place := range map[string]Place{"keys of the migration at the source gate": SourcePlace, "keys of the migration at the target gate": TargetPlace} {
		found[name] = 0
		if r.homes[place].Holds(m) {
			found[name] = 1
		}
	}
	copies, err := r.copies(inv)
	if err != nil {
		return err
	}
	found["pieces of the ciphertext in the three folders"] = copies
	var names []string
	for name, n := range found {
		if n > 0 {
			return &ecluse.Error{
				Kind: ecluse.Unverified, What: "look for remains", Where: string(m), Why: "there are " + name + " after the erasure",
				Next: "ecluse due tries again; look who keeps copies there",
			}
		}
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c.Looked = append(c.Looked, evidence.LookedFor{What: name, At: at})
	}
	return r.lock.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.ErasureChecked, Numbers: map[string]int64{"found": 0}}, nil)
}

// certify states the erasure under both gates' signatures.
func (r *Room) certify(ctx context.Context, m ecluse.MigrationID, inv *chamber.Inventory, c *evidence.Certificate) error {
	c.Objects = inv.Erasures()
	for _, o := range inv.Rejects {
		c.Objects = append(c.Objects, evidence.ErasedObject{Slot: o.Slot, SHA256: o.SHA256, Size: o.Size, Rows: o.Rows, Erased: inv.Erased})
	}
	slices.SortFunc(c.Objects, func(a, b evidence.ErasedObject) int {
		switch x, y := a.Slot, b.Slot; {
		case x.Dataset != y.Dataset:
			return strings.Compare(string(x.Dataset), string(y.Dataset))
		case x.Sequence != y.Sequence:
			return x.Sequence - y.Sequence
		default:
			return x.Version - y.Version
		}
	})
	c.Erased = c.Looked[len(c.Looked)-1].At
	for _, l := range c.Looked {
		if l.At.After(c.Erased) {
			c.Erased = l.At
		}
	}
	for _, k := range c.Keys {
		if k.Destroyed.After(c.Erased) {
			c.Erased = k.Destroyed
		}
	}
	c.Places = []evidence.ErasedPlace{
		{Place: "lock folder", Held: "sealed chunks", Backups: "none known to the program: copies of ciphertext open no more"},
		{Place: "source gate's folder", Held: "release secret, K, identity of rejects", Backups: "none, by its manual"},
		{Place: "target gate's folder", Held: "wrapped identity and its half of the key", Backups: "none, by its manual"},
	}
	c.Limits = []string{
		"the source database is not touched and still holds its data",
		"a copy of the keys made outside the program before their destruction is not seen",
		"spare cells of solid-state disks and snapshots of a provider cannot be searched: there the destroyed keys are the argument",
	}
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
