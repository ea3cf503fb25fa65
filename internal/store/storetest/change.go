package storetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
)

// bothOrNeither: no change without its journal entry, no entry without its change.
func bothOrNeither(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	before := len(leaves(t, s, string(id)))
	change := func(tx Tx) error {
		_, err := tx.AddDocument(ctx, "mapping", id, []byte("a mapping"))
		return err
	}
	boom := errors.New("boom")
	refused := map[string]struct {
		e  journal.Event
		fn func(Tx) error
	}{
		"the change fails": {event(id, journal.DocumentStored), func(tx Tx) error { return errors.Join(change(tx), boom) }},
		"an unknown type":  {event(id, "patient-read"), change},
		"an unknown id":    {journal.Event{Tree: string(id), Type: journal.DocumentStored, IDs: map[string]string{"name": "DUPONT"}}, change},
		"an id that is free text": {
			journal.Event{Tree: string(id), Type: journal.DocumentStored, IDs: map[string]string{"document": "Jeanne Dupont"}}, change,
		},
		"a second event is wrong": {event(id, journal.DocumentStored), func(tx Tx) error {
			tx.Also(event(id, "no such type"))
			return change(tx)
		}},
	}
	for name, r := range refused {
		if err := s.Do(ctx, r.e, r.fn); err == nil {
			t.Errorf("%s: done", name)
		}
		docs, err := s.Documents(ctx, id, "")
		if err != nil || len(docs) != 0 {
			t.Errorf("%s: documents %v, %v", name, docs, err)
		}
		if n := len(leaves(t, s, string(id))); n != before {
			t.Errorf("%s: %d leaves, want %d", name, n, before)
		}
	}

	func() {
		defer func() { _ = recover() }()
		_ = s.Do(ctx, event(id, journal.DocumentStored), func(tx Tx) error { _ = change(tx); panic("in the middle") })
	}()
	do(t, s, event(id, journal.DocumentStored), func(tx Tx) error {
		tx.Also(journal.Event{Tree: evidence.InstallationTree, Type: journal.MigrationOpened, IDs: map[string]string{"migration": string(id)}})
		return change(tx)
	})
	docs, err := s.Documents(ctx, id, "mapping")
	if err != nil || len(docs) != 1 || docs[0].Size != int64(len("a mapping")) {
		t.Errorf("documents %v, %v", docs, err)
	}
	installation := leaves(t, s, evidence.InstallationTree)
	if last := installation[len(installation)-1]; last.Type != string(journal.MigrationOpened) {
		t.Errorf("the second event is not there: %v", last)
	}
}

func documents(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir, true)
	ctx := t.Context()
	key := newKey(t)
	body := "ecluse: contract/v1\n"
	var d ecluse.Digest
	do(t, s, event("installation", journal.ContractSigned), func(tx Tx) (err error) {
		if d, err = tx.AddDocument(ctx, "contract", "", []byte(body)); err != nil {
			return err
		}
		_, err = tx.AddSigned(ctx, "contract", "", evidence.NamespaceStatement, sign(t, key, evidence.NamespaceStatement, body))
		return err
	})
	wantKind(t, "a signature of another namespace", s.Do(ctx, event("installation", journal.ContractSigned), func(tx Tx) error {
		_, err := tx.AddSigned(ctx, "contract", "", evidence.NamespaceAct, sign(t, key, evidence.NamespaceStatement, body))
		return err
	}), ecluse.Unverified)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, dir, false)
	defer s.Close()
	got, err := s.Document(ctx, d)
	if err != nil || string(got) != body {
		t.Errorf("document is %q, %v", got, err)
	}
	signed, err := s.Signed(ctx, d, evidence.NamespaceStatement)
	if err != nil || len(signed) != 1 {
		t.Fatalf("signatures: %v, %v", signed, err)
	}
	if err := signed[0].VerifyBy(evidence.NamespaceStatement, evidence.FingerprintOf(key.PublicKey())); err != nil {
		t.Error(err)
	}
	if _, err := s.Document(ctx, ecluse.DigestOf([]byte("never"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown document: %v", err)
	}
}

func rosters(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	add := func(n int) error {
		return s.Do(ctx, event("installation", journal.RosterAccepted), func(tx Tx) error {
			return tx.AddRoster(ctx, store.Roster{Side: ecluse.Controller, Number: n, Digest: ecluse.DigestOf(fmt.Append(nil, n)), Issued: tx.Now()})
		})
	}
	for _, n := range []int{1, 4} {
		if err := add(n); err != nil {
			t.Fatal(err)
		}
	}
	wantKind(t, "a lower number", add(3), ecluse.Refused)
	wantKind(t, "the same number", add(4), ecluse.Refused)
	all, err := s.Rosters(ctx, ecluse.Controller)
	if err != nil || len(all) != 2 || all[1].Number != 4 {
		t.Errorf("rosters %v, %v", all, err)
	}
	if none, err := s.Rosters(ctx, ecluse.Processor); err != nil || len(none) != 0 {
		t.Errorf("the other side's: %v, %v", none, err)
	}
}

func migrations(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	for name, at := range map[string]time.Time{"without a deadline": {}, "with one that has passed": time.Now().Add(-time.Hour)} {
		wantKind(t, "a migration "+name, s.Do(ctx, event("late", journal.Born), func(tx Tx) error {
			return tx.OpenMigration(ctx, "late", ecluse.Digest{1}, at, operator)
		}), ecluse.Refused)
	}
	wantKind(t, "the same id again", s.Do(ctx, event(id, journal.Born), func(tx Tx) error {
		return tx.OpenMigration(ctx, id, ecluse.Digest{1}, deadline(tx), operator)
	}), ecluse.Failed)
	wantKind(t, "a move out of order", s.Do(ctx, event(id, journal.Accepted), func(tx Tx) error {
		_, err := tx.Move(ctx, id, procedure.Accept, controller)
		return err
	}), ecluse.Refused)

	want := procedure.Start()
	for _, a := range []struct {
		verb procedure.Verb
		by   procedure.Actor
		kind ecluse.PassageKind
	}{
		{procedure.OpenMigration, operator, ""},
		{procedure.SignInstruction, controller, ""},
		{procedure.PlanRead, procedure.SourceGate, ""},
		{procedure.PlanLoad, procedure.TargetGate, ecluse.Rehearsal},
		{procedure.Suspend, procedure.Person(ecluse.Processor, ecluse.Security), ""},
		{procedure.Object, procedure.Person(ecluse.Controller, ecluse.DPO), ""},
	} {
		if a.kind != "" {
			want.Kind = a.kind
		}
		next, err := procedure.Next(want, a.verb, a.by)
		if err != nil {
			t.Fatal(err)
		}
		want = next
		if a.verb == procedure.OpenMigration {
			continue // done by fresh
		}
		do(t, s, event(id, journal.DocumentStored), func(tx Tx) (err error) {
			if a.kind != "" {
				_, err = tx.PlanLoad(ctx, id, a.kind, a.by)
			} else {
				_, err = tx.Move(ctx, id, a.verb, a.by)
			}
			return err
		})
		m, err := s.Migration(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, m.Place); d != "" {
			t.Errorf("after %s: %s", a.verb, d)
		}
	}
	plan := ecluse.DigestOf([]byte("plan"))
	for _, d := range []ecluse.Digest{plan, ecluse.DigestOf([]byte("another")), {}} {
		do(t, s, event(id, journal.ReadPlanCompiled), func(tx Tx) error { return tx.SetCurrent(ctx, id, "readplan", d) })
		if got, err := s.Current(ctx, id, "readplan"); err != nil || got != d {
			t.Errorf("in force: %v, %v, want %v", got, err, d)
		}
	}
	if all, err := s.Migrations(ctx); err != nil || len(all) != 1 || !all[0].Ended.IsZero() {
		t.Errorf("migrations %v, %v", all, err)
	}
}

func acts(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	subject := ecluse.DigestOf([]byte("instruction"))
	now := time.Now().UTC().Truncate(time.Second)
	a := &evidence.Act{
		Migration: id, Side: ecluse.Controller, Person: "anne-martin", Role: ecluse.Signatory,
		Roster: ecluse.DigestOf([]byte("roster")), RosterNumber: 1, NotBefore: now, NotAfter: now.Add(time.Hour), Nonce: evidence.NewNonce(),
		Clauses: []evidence.Clause{
			{Verb: evidence.VerbSign, Kind: evidence.KindInstruction, Subject: subject},
			{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: ecluse.DigestOf([]byte("plan"))},
		},
	}
	signed := sign(t, newKey(t), evidence.NamespaceAct, string(a.Text()))
	record := func(tx Tx) error {
		_, err := tx.AddAct(ctx, signed, a)
		return err
	}
	e := journal.Event{Tree: string(id), Type: journal.ActRecorded, Body: journal.Act{Side: a.Side, Person: journal.PersonID(a.Person), Role: a.Role}}
	do(t, s, e, record)
	wantKind(t, "the same act again", s.Do(ctx, e, record), ecluse.Refused)
	all, err := s.Acts(ctx, id)
	if err != nil || len(all) != 1 {
		t.Fatalf("acts %v, %v", all, err)
	}
	if d := cmp.Diff(a.Clauses, all[0].Clauses); d != "" || all[0].Person != a.Person {
		t.Errorf("act by %s: %s", all[0].Person, d)
	}
	if back, err := s.Signed(ctx, all[0].Digest, evidence.NamespaceAct); err != nil || len(back) != 1 || string(back[0].Signature) != string(signed.Signature) {
		t.Errorf("the signed act: %v, %v", back, err)
	}
}

func passages(t *testing.T, open Opener) {
	s := fresh(t, open)
	ctx := t.Context()
	plan, other := ecluse.DigestOf([]byte("plan")), ecluse.DigestOf([]byte("other"))
	begin := func(kind ecluse.PassageKind, plan ecluse.Digest, budget int) (p ecluse.Passage, err error) {
		err = s.Do(ctx, event(id, journal.PassageBegun), func(tx Tx) (err error) {
			p, err = tx.BeginPassage(ctx, id, kind, plan, budget)
			return err
		})
		return p, err
	}
	end := func(p ecluse.Passage) error {
		return s.Do(ctx, event(id, journal.PassageEnded), func(tx Tx) error { return tx.SetPassage(ctx, id, p, procedure.Undone, true) })
	}
	first, err := begin(ecluse.Rehearsal, plan, 2)
	if err != nil || first.String() != "rehearsal-1" {
		t.Fatal(first, err)
	}
	if again, err := begin(ecluse.Rehearsal, plan, 2); err != nil || again != first {
		t.Errorf("going on with the same plan: %v, %v", again, err)
	}
	if err := end(first); err != nil {
		t.Fatal(err)
	}
	if err := end(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ending it twice: %v", err)
	}
	if second, err := begin(ecluse.Rehearsal, other, 2); err != nil || second.Number != 2 {
		t.Errorf("the second: %v, %v", second, err)
	}
	_, err = begin(ecluse.Rehearsal, plan, 2)
	wantKind(t, "a third of two granted", err, ecluse.Refused)
	if final, err := begin(ecluse.Final, plan, 1); err != nil || final.Number != 1 {
		t.Errorf("kinds are counted apart: %v, %v", final, err)
	}
	final := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	if err := s.Do(ctx, event(id, journal.PassageEnded), func(tx Tx) error { return tx.SetPassage(ctx, id, final, procedure.Withdrawn, true) }); err != nil {
		t.Fatal(err)
	}
	if next, err := begin(ecluse.Final, plan, 1); err != nil || next.Number != 2 {
		t.Errorf("one that was withdrawn counts: %v, %v", next, err)
	}
	all, err := s.Passages(ctx, id)
	if err != nil || len(all) != 4 || all[0].Ended.IsZero() || all[0].State != procedure.Undone || all[2].State != procedure.Withdrawn || !all[3].Ended.IsZero() {
		t.Errorf("passages %+v, %v", all, err)
	}
}

// twoProcesses: two stores on one folder write at once; nothing is lost, and the
// trees grow without a gap.
func twoProcesses(t *testing.T, open Opener) {
	dir := t.TempDir()
	one := open(t, dir, true)
	defer one.Close()
	two := open(t, dir, false)
	defer two.Close()
	born(t, one, id)
	const each = 25
	var g errgroup.Group
	for p, s := range []Store{one, two} {
		for w := range 2 {
			g.Go(func() error {
				for i := range each {
					body := fmt.Appendf(nil, "%d %d %d", p, w, i)
					err := s.Do(t.Context(), event(id, journal.DocumentStored), func(tx Tx) error {
						_, err := tx.AddDocument(t.Context(), "mapping", id, body)
						return err
					})
					if err != nil {
						return err
					}
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	docs, err := one.Documents(t.Context(), id, "mapping")
	if err != nil || len(docs) != 4*each {
		t.Errorf("%d documents, %v", len(docs), err)
	}
	if n := len(leaves(t, two, string(id))); n != 4*each+1 {
		t.Errorf("%d leaves, want %d", n, 4*each+1)
	}
	if err := journal.New(two, newKey(t)).Check(t.Context(), string(id)); err != nil {
		t.Error(err)
	}
}

// cancelled: a context that ends in the middle leaves nothing behind, and the
// next write goes through (releases of the driver got this wrong).
func cancelled(t *testing.T, open Opener) {
	s := fresh(t, open)
	before := len(leaves(t, s, string(id)))
	for i := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		err := s.Do(ctx, event(id, journal.DocumentStored), func(tx Tx) error {
			if _, err := tx.AddDocument(ctx, "mapping", id, fmt.Append(nil, i)); err != nil {
				return err
			}
			cancel()
			_, err := tx.AddDocument(ctx, "mapping", id, fmt.Append(nil, i, "more"))
			return err
		})
		cancel()
		if err == nil {
			t.Fatal("a cancelled transaction was committed")
		}
	}
	do(t, s, event(id, journal.DocumentStored), nil)
	docs, err := s.Documents(t.Context(), id, "")
	if err != nil || len(docs) != 0 {
		t.Errorf("left behind: %v, %v", docs, err)
	}
	if n := len(leaves(t, s, string(id))); n != before+1 {
		t.Errorf("%d leaves, want %d", n, before+1)
	}
}
