package lock

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
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

// erase erases a migration (step 12): an unaccepted load is undone, or given up
// some time after the deadline (erasure.Grace), then both halves of the key and the ciphertext are destroyed and looked for, and both
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
	ground, err := l.ground(ctx, m, i)
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
		Ground: *ground, Deadline: deadline, EvenIfLoaded: even,
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
	return l.certify(ctx, m, i, c)
}

// backups says what the instruction says of a folder's.
func backups(b mandate.Backup) string {
	if b.None() {
		return evidence.NoBackup
	}
	return "the last one expires " + b.String()
}

// recipientsOf are the digests of the recipients that an approved read plan names,
// by what is sealed to them: the keys' ids.
func (l *Lock) recipientsOf(ctx context.Context, plan ecluse.Digest) (map[string]ecluse.Digest, error) {
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

// left names the passages that were given up, as the journal has it.
func (l *Lock) left(ctx context.Context, m ecluse.MigrationID, passages []store.Passage) ([]evidence.LeftPassage, error) {
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

// keyHolder is one gate, as far as keys go. What a gate says once it is asked only
// once more, after a crash: it says the same.
type keyHolder struct {
	lock   *Lock
	at     exchange.Place
	gate   ecluse.Fingerprint
	actor  procedure.Actor
	plan   ecluse.Digest
	ids    map[string]ecluse.Digest // of keys, by what is sealed to their recipient
	probes func() ([][]byte, error)
	looked *exchange.Searched
}

// destroyed is what a lock reads in a gate's erasure/v1.
type destroyed struct {
	evidence.StatementHead
	Place string `json:"place"`
	Keys  []struct {
		Name      string `json:"name"`
		Opens     string `json:"opens,omitempty"`
		Algorithm string `json:"algorithm"`
	} `json:"keys"`
	At time.Time `json:"at"`
}

func (k *keyHolder) Destroy(ctx context.Context, m ecluse.MigrationID) ([]evidence.DestroyedKey, error) {
	said, err := k.said(ctx, m)
	if err != nil {
		return nil, err
	}
	if said == nil {
		w := exchange.Work{Verb: exchange.Erase, Migration: m, Papers: map[string][]byte{}}
		if !k.plan.IsZero() {
			w.Papers[exchange.PaperReadPlan] = []byte(k.plan.String())
		}
		if _, err := k.lock.ask(ctx, k.gate, w); err != nil {
			return nil, err
		}
		if said, err = k.said(ctx, m); err != nil {
			return nil, err
		}
		if said == nil {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "destroy the keys", Where: string(k.at), Why: "the gate answered and handed in no statement"}
		}
	}
	var keys []evidence.DestroyedKey
	for _, x := range said.Keys {
		keys = append(keys, evidence.DestroyedKey{Name: x.Name, ID: k.ids[x.Opens], Algorithm: x.Algorithm, Destroyed: said.At})
	}
	return keys, k.lock.move(ctx, m, journal.KeyDestroyed, procedure.DestroyKey, k.actor)
}

// said is the gate's own statement that it destroyed its keys; nil before it has
// handed it in.
func (k *keyHolder) said(ctx context.Context, m ecluse.MigrationID) (*destroyed, error) {
	all, err := k.lock.Posted(ctx, m, exchange.ErasureReport)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.VerifyBy(evidence.NamespaceStatement, k.gate) != nil {
			continue // the other gate's
		}
		d := &destroyed{}
		if err := evidence.ParseStatement(s, k.gate, evidence.ErasureFormat, d); err != nil {
			return nil, err
		}
		if d.Place == string(k.at) {
			return d, nil
		}
	}
	return nil, nil
}

// look has the gate search its own folder.
func (k *keyHolder) look(ctx context.Context, m ecluse.MigrationID) (*exchange.Searched, error) {
	if k.looked != nil {
		return k.looked, nil
	}
	probes, err := k.probes()
	if err != nil {
		return nil, err
	}
	w := exchange.Work{Verb: exchange.Search, Migration: m, Papers: map[string][]byte{}}
	exchange.AddNumbered(w.Papers, exchange.PaperProbe, probes)
	a, err := k.lock.ask(ctx, k.gate, w)
	if err != nil {
		return nil, err
	}
	s := &exchange.Searched{}
	if err := json.Unmarshal(a.Papers[exchange.PaperSearched], s); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	k.looked = s
	return s, nil
}

func (k *keyHolder) Left(ctx context.Context, m ecluse.MigrationID) ([]string, error) {
	s, err := k.look(ctx, m)
	if err != nil {
		return nil, err
	}
	return s.Left, nil
}

func (k *keyHolder) search(ctx context.Context, _ [][]byte) (erasure.Searched, error) {
	if k.looked == nil {
		return erasure.Searched{}, &ecluse.Error{Kind: ecluse.Failed, What: "search the gate's folder", Why: "it was not asked"}
	}
	return erasure.Searched{Files: k.looked.Files, Found: k.looked.Found, Unread: k.looked.Unread}, nil
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

// ground says why a migration is erased, and what became of its load.
func (l *Lock) ground(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) (*evidence.Certificate, error) {
	c := &evidence.Certificate{
		Migration: m, Contract: i.Contract, Instruction: i.Digest(), Trigger: evidence.ByDeadline, Outcome: evidence.NotLoaded, OneRoom: l.settings.OneRoom,
		SourceAdmin: i.Source.AdministeredBy, TargetAdmin: i.Target.AdministeredBy,
		Backups: evidence.Backups{SourceGate: i.Backups.SourceGate.String(), Lock: i.Backups.Lock.String(), TargetGate: i.Backups.TargetGate.String()},
		Tool:    l.tool,
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
				return c, binary(c)
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
	return c, binary(c)
}

// approvedPlan is the read plan that both parties approved: without it nothing can
// have been read.
func (l *Lock) approvedPlan(ctx context.Context, m ecluse.MigrationID, acts []store.Act) (ecluse.Digest, error) {
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
func binary(c *evidence.Certificate) error {
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
func (l *Lock) undoUnaccepted(ctx context.Context, m ecluse.MigrationID) error {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return err
	}
	switch mig.Place.Passage {
	case procedure.Accepted:
		return l.keep(ctx, m)
	case procedure.Loading, procedure.Loaded, procedure.Compared:
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
	a, err := l.await(ctx, target, id, exchange.Undo)
	if err != nil {
		return err
	}
	return a.Err()
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

// certify has both gates sign the certificate; each compares what it says of it with
// its own ledger first.
func (l *Lock) certify(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction, c *evidence.Certificate) error {
	text, err := evidence.EncodeJSON(c)
	if err != nil {
		return err
	}
	for _, gate := range []ecluse.Fingerprint{i.Source.Gate, i.Target.Gate} {
		if _, err := l.ask(ctx, gate, exchange.Work{Verb: exchange.Certify, Migration: m, Papers: map[string][]byte{exchange.PaperCertificate: text}}); err != nil {
			return err
		}
	}
	// Both signed the same bytes, or there is none that both did: a run cut short
	// leaves one that a single gate signed.
	all, err := l.Posted(ctx, m, exchange.Certificate)
	if err != nil {
		return err
	}
	by := map[ecluse.Digest]map[ecluse.Fingerprint]bool{}
	var certificate ecluse.Digest
	for _, s := range all {
		key, err := s.Verify(evidence.NamespaceStatement)
		if err != nil {
			return err
		}
		if by[s.Digest()] == nil {
			by[s.Digest()] = map[ecluse.Fingerprint]bool{}
		}
		by[s.Digest()][evidence.FingerprintOf(key)] = true
		if d := s.Digest(); by[d][i.Source.Gate] && by[d][i.Target.Gate] {
			certificate = d
		}
	}
	if certificate.IsZero() {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "certify the erasure", Where: string(m), Why: "the gates signed two certificates, not one", Next: "ecluse due tries again; if it stays so, let server and gates be of one version"}
	}
	err = l.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.Erased, IDs: map[string]string{"certificate": certificate.String()}},
		func(tx *sqlite.Tx) error {
			if err := tx.SetCurrent(ctx, m, kindCertificate, certificate); err != nil {
				return err
			}
			_, err := tx.Move(ctx, m, procedure.FinishErasure, procedure.Lock)
			return err
		})
	return errors.Join(err, l.chamber.Forget(m))
}

const kindCertificate = string(exchange.Certificate)
