package storetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/journal"
)

func whatIsDue(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	schedule := func(act ecluse.Digest, items ...due.Item) error {
		return s.Do(ctx, event(id, journal.DocumentStored), func(tx Tx) error { return tx.Schedule(ctx, act, items...) })
	}
	items, err := s.Items(ctx, id)
	last := len(due.Warnings()) // each comes before it
	if err != nil || len(items) != last+1 || items[last].Kind != due.Erase {
		t.Fatalf("a migration is born with %v, %v", items, err)
	}
	erase := items[last]

	later := erase
	later.At = later.At.Add(time.Hour)
	wantKind(t, "keeping longer without a signature", schedule(ecluse.Digest{}, later), ecluse.Refused)
	do(t, s, event(id, journal.DocumentStored), func(tx Tx) error { return tx.SetDeadline(ctx, id, later.At, ecluse.Digest{1}) })
	m, err := s.Migration(ctx, id)
	if err != nil || !m.EraseBy.Equal(later.At) {
		t.Errorf("deadline %v, %v, want %v", m.EraseBy, err, later.At)
	}
	if next, err := s.Next(ctx); err != nil || next.After(time.Now().Add(due.HuntEvery)) {
		t.Errorf("the first thing due is at %v, %v: not the hunt for files", next, err)
	}

	now, _, err := s.Now(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sooner := due.Item{Kind: due.Erase, Migration: id, At: now.Add(-time.Minute).Truncate(time.Millisecond)}
	lapse := due.Item{Kind: due.ApprovalLapse, Migration: id, Subject: "plan", At: sooner.At.Add(-time.Hour)}
	if err := schedule(ecluse.Digest{}, sooner, lapse); err != nil {
		t.Fatal(err)
	}
	open1, err := s.Due(ctx, now)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]due.Item{lapse, sooner}, open1); d != "" {
		t.Error(d)
	}
	size := len(leaves(t, s, string(id)))
	for range 2 { // twice is once
		if err := s.Done(ctx, lapse); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(leaves(t, s, string(id))); n != size+1 {
		t.Errorf("%d entries for one thing done", n-size)
	}
	stale := sooner
	stale.At = stale.At.Add(-time.Second) // was moved since it was listed
	if err := s.Done(ctx, stale); err != nil {
		t.Fatal(err)
	}
	if err := s.Failed(ctx, sooner, ecluse.Failed); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Due(ctx, now); err != nil || len(left) != 1 || left[0].Kind != due.Erase {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := s.Done(ctx, sooner); err != nil {
		t.Fatal(err)
	}
	if left, err := s.Due(ctx, now); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func leases(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	key := newKey(t)
	request := sign(t, key, evidence.NamespaceStatement, "request")
	answer := sign(t, key, evidence.NamespaceStatement, "sealed secret")
	until := time.Now().Add(15 * time.Minute).UTC().Truncate(time.Millisecond)
	for range 2 {
		do(t, s, event(id, journal.LeaseAsked), func(tx Tx) error { return tx.AskLease(ctx, id, request, until) })
	}
	do(t, s, event(id, journal.LeaseLent), func(tx Tx) error { return tx.LendLease(ctx, id, request.Digest(), answer) })
	wantKind(t, "lending to nobody", s.Do(ctx, event(id, journal.LeaseLent), func(tx Tx) error {
		return tx.LendLease(ctx, id, ecluse.Digest{1}, answer)
	}), ecluse.Invalid)
	all, err := s.Leases(ctx, id)
	if err != nil || len(all) != 1 || string(all[0].Answer.Body) != "sealed secret" || !all[0].Until.Equal(until) {
		t.Fatalf("leases %+v, %v", all, err)
	}
	do(t, s, event(id, journal.LeaseEnded), func(tx Tx) error { return tx.EndLease(ctx, request.Digest()) })
	all, err = s.Leases(ctx, id)
	if err != nil || all[0].Answer.Body != nil || all[0].Ended.IsZero() {
		t.Errorf("after its end: %+v, %v", all, err)
	}
	wantKind(t, "lending after the end", s.Do(ctx, event(id, journal.LeaseLent), func(tx Tx) error {
		return tx.LendLease(ctx, id, request.Digest(), answer)
	}), ecluse.Refused)
}

// trees: whatever the order of events, every tree proves itself at every size.
func trees(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	const other ecluse.MigrationID = "another"
	born(t, s, other)
	log := journal.New(s, newKey(t))
	heads := map[string][]*evidence.Head{}
	for i := range 40 {
		tree := []ecluse.MigrationID{id, other}[i*i%3%2]
		do(t, s, journal.Event{Tree: string(tree), Type: journal.ChunkStored, Numbers: map[string]int64{"rows": int64(i)}}, nil)
		signed, err := log.Head(ctx, string(tree))
		if err != nil {
			t.Fatal(err)
		}
		h, err := evidence.ParseHead(signed.Body)
		if err != nil {
			t.Fatal(err)
		}
		heads[string(tree)] = append(heads[string(tree)], h)
	}
	for tree, hs := range heads {
		newest := hs[len(hs)-1]
		for _, h := range hs {
			proof, err := log.Consistency(ctx, tree, h.Size, newest.Size)
			if err != nil {
				t.Fatal(err)
			}
			if err := evidence.CheckConsistency(proof, newest, h); err != nil {
				t.Error(err)
			}
		}
		if err := log.Check(ctx, tree); err != nil {
			t.Error(err)
		}
		_, err := log.Consistency(ctx, tree, 0, newest.Size+1)
		wantKind(t, "a proof beyond the tree", err, ecluse.Unverified)
	}
	if n, err := s.Size(ctx, "no-such-tree"); n != 0 || err != nil {
		t.Errorf("an unknown tree has %d leaves, %v", n, err)
	}
	if _, err := s.Hashes(ctx, string(id), []int64{1 << 40}); err == nil {
		t.Error("a hash that is not there was found")
	}
}

func heads(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	lock, gate := newKey(t), newKey(t)
	log := journal.New(s, lock)
	head := func() evidence.Signed {
		h, err := log.Head(ctx, string(id))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := head()
	if again := head(); string(again.Signature) != string(first.Signature) {
		t.Error("the head of a tree that has not grown was signed again")
	}
	h, err := evidence.VerifyHead(first, evidence.FingerprintOf(lock.PublicKey()))
	if err != nil {
		t.Fatal(err)
	}
	cosign := func(h *evidence.Head, by ecluse.Fingerprint) error {
		signed, err := evidence.SignHead(gate, h)
		if err != nil {
			t.Fatal(err)
		}
		return log.Cosign(ctx, by, signed)
	}
	print := evidence.FingerprintOf(gate.PublicKey())
	wantKind(t, "another gate's signature", cosign(h, evidence.FingerprintOf(lock.PublicKey())), ecluse.Unverified)
	forged := *h
	forged.Root[0] ^= 1
	wantKind(t, "another root", cosign(&forged, print), ecluse.Unverified)
	for range 2 {
		if err := cosign(h, print); err != nil {
			t.Fatal(err)
		}
	}
	if _, cosigned, err := s.LastHead(ctx, string(id)); err != nil || len(cosigned) != 1 {
		t.Errorf("cosigned %d times, %v", len(cosigned), err)
	}
	do(t, s, event(id, journal.StatementStored), nil)
	head()
	if err := cosign(h, print); err != nil {
		t.Errorf("a head that the journal has grown beyond meanwhile: %v", err)
	}
	forged.Size++
	wantKind(t, "a head that was never signed", cosign(&forged, print), ecluse.Unverified)
	if empty, err := log.Head(ctx, "empty-tree"); err != nil || empty.Body == nil {
		t.Errorf("the head of an empty tree: %v", err)
	}
}

func forgetting(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	body := journal.Act{Side: ecluse.Controller, Person: "zoe-unforgettable", Role: ecluse.Signatory}
	do(t, s, journal.Event{Tree: string(id), Type: journal.ActRecorded, Body: body}, nil)
	log := journal.New(s, newKey(t))
	size, err := s.Size(ctx, string(id))
	if err != nil {
		t.Fatal(err)
	}
	_, all, err := log.Leaves(ctx, string(id), size-1, size)
	if err != nil {
		t.Fatal(err)
	}
	leaf := all[0]
	if b, err := log.Body(ctx, leaf); err != nil || len(b) == 0 || leaf.Body.IsZero() {
		t.Fatalf("body %q, %v", b, err)
	}
	if n, err := s.Forget(ctx, leaf.At); n != 0 || err != nil {
		t.Fatalf("forgot %d, %v: the leaf is not older than that", n, err)
	}
	if n, err := s.Forget(ctx, leaf.At.Add(time.Millisecond)); n != 1 || err != nil {
		t.Fatalf("forgot %d, %v", n, err)
	}
	_, err = log.Body(ctx, leaf)
	wantKind(t, "a forgotten body", err, ecluse.Refused)
	if err := log.Check(ctx, string(id)); err != nil {
		t.Errorf("the tree after forgetting: %v", err)
	}
	said := leaves(t, s, evidence.InstallationTree)
	if last := said[len(said)-1]; last.Type != string(journal.BodiesForgotten) || last.Numbers["bodies"] != 1 {
		t.Errorf("forgetting was journalled as %+v", last)
	}
}
