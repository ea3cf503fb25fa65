// Package storetest is the suite that every control database must pass: what is
// promised of one is tested here, on the real thing.
package storetest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/due"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
)

// Documents, Cases, Schedule, Leases and Carrying are what a transaction writes.
type (
	Documents interface {
		AddDocument(ctx context.Context, kind string, m ecluse.MigrationID, body []byte) (ecluse.Digest, error)
		AddSigned(ctx context.Context, kind string, m ecluse.MigrationID, namespace string, s evidence.Signed) (ecluse.Digest, error)
		AddRoster(ctx context.Context, r store.Roster) error
		AddAct(ctx context.Context, s evidence.Signed, a *evidence.Act) (ecluse.Digest, error)
		SetCurrent(ctx context.Context, id ecluse.MigrationID, kind string, d ecluse.Digest) error
	}
	Cases interface {
		OpenMigration(ctx context.Context, id ecluse.MigrationID, contract ecluse.Digest, eraseBy time.Time, by ...procedure.Actor) error
		Move(ctx context.Context, id ecluse.MigrationID, v procedure.Verb, by ...procedure.Actor) (procedure.Place, error)
		PlanLoad(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind, by ...procedure.Actor) (procedure.Place, error)
		BeginPassage(ctx context.Context, id ecluse.MigrationID, kind ecluse.PassageKind, plan ecluse.Digest, budget int) (ecluse.Passage, error)
		SetPassage(ctx context.Context, id ecluse.MigrationID, p ecluse.Passage, state procedure.State, ended bool) error
	}
	Schedule interface {
		Schedule(ctx context.Context, act ecluse.Digest, items ...due.Item) error
		SetDeadline(ctx context.Context, id ecluse.MigrationID, eraseBy time.Time, act ecluse.Digest) error
	}
	Leases interface {
		AskLease(ctx context.Context, m ecluse.MigrationID, request evidence.Signed, until time.Time) error
		LendLease(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest, answer evidence.Signed) error
		EndLease(ctx context.Context, request ecluse.Digest) error
	}
	Carrying interface {
		CarriedOut(ctx context.Context, gate ecluse.Fingerprint, number int64) error
		CarriedIn(ctx context.Context, gate ecluse.Fingerprint, c store.Carried) error
		LeaveCarried(ctx context.Context, gate ecluse.Fingerprint, c store.CarriedLeft) error
		TakeCarried(ctx context.Context, gate ecluse.Fingerprint, number int64, item int) error
		AskCarriedAnew(ctx context.Context, gate ecluse.Fingerprint, m ecluse.MigrationID) error
		ForgetCarried(ctx context.Context, gate ecluse.Fingerprint, before int64) error
	}
)

// Tx is a transaction.
type Tx interface {
	Documents
	Cases
	Schedule
	Leases
	Carrying
	Reads
	Also(e journal.Event)
	Now() time.Time
}

// Reads is what both a store and its transaction answer.
type Reads interface {
	Document(ctx context.Context, d ecluse.Digest) ([]byte, error)
	Documents(ctx context.Context, m ecluse.MigrationID, kind string) ([]store.Document, error)
	Signed(ctx context.Context, d ecluse.Digest, namespace string) ([]evidence.Signed, error)
	Rosters(ctx context.Context, side ecluse.Side) ([]store.Roster, error)
	Migration(ctx context.Context, id ecluse.MigrationID) (*store.Migration, error)
	Migrations(ctx context.Context) ([]store.Migration, error)
	Current(ctx context.Context, id ecluse.MigrationID, kind string) (ecluse.Digest, error)
	Acts(ctx context.Context, id ecluse.MigrationID) ([]store.Act, error)
	Passages(ctx context.Context, id ecluse.MigrationID) ([]store.Passage, error)
	Items(ctx context.Context, m ecluse.MigrationID) ([]due.Item, error)
	Leases(ctx context.Context, m ecluse.MigrationID) ([]store.Lease, error)
	Carried(ctx context.Context, gate ecluse.Fingerprint) (store.Carried, error)
	CarriedLeft(ctx context.Context, gate ecluse.Fingerprint) ([]store.CarriedLeft, error)
}

// Store is a control database under test. A driver whose Do takes its own type
// of transaction is wrapped by its test.
type Store interface {
	Reads
	due.Table
	journal.Store
	account.Store
	Do(ctx context.Context, e journal.Event, fn func(Tx) error) error
	Note(ctx context.Context, fn func(Tx) error) error
	Forget(ctx context.Context, before time.Time) (int64, error)
	Close() error
}

// Opener opens the store of a folder, or makes it when create is set. It fails
// the test itself.
type Opener func(t *testing.T, dir string, create bool) Store

// Run runs the suite.
func Run(t *testing.T, open Opener) {
	for name, test := range map[string]func(*testing.T, Opener){
		"both or neither":      bothOrNeither,
		"documents":            documents,
		"rosters only rise":    rosters,
		"migrations":           migrations,
		"acts come once":       acts,
		"passages are counted": passages,
		"what is due":          whatIsDue,
		"leases":               leases,
		"carried":              carried,
		"left of a return":     carriedLeft,
		"sessions":             sessions,
		"sessions end once":    sessionsEndOnce,
		"sessions are counted": sessionsAreCounted,
		"trees":                trees,
		"heads":                heads,
		"forgetting":           forgetting,
		"two processes":        twoProcesses,
		"cancelled":            cancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

const id ecluse.MigrationID = "megabus-2026-01"

var (
	operator   = procedure.Person(ecluse.Processor, ecluse.Operator)
	controller = procedure.Person(ecluse.Controller, ecluse.Signatory)
)

// fresh makes a store with one migration in it, and closes it after the test.
func fresh(t *testing.T, open Opener) Store {
	t.Helper()
	s := open(t, t.TempDir(), true)
	t.Cleanup(func() { s.Close() })
	born(t, s, id)
	return s
}

func born(t *testing.T, s Store, id ecluse.MigrationID) {
	t.Helper()
	do(t, s, event(id, journal.Born), func(tx Tx) error {
		return tx.OpenMigration(t.Context(), id, ecluse.DigestOf([]byte("contract")), deadline(tx), operator)
	})
}

func deadline(tx Tx) time.Time { return tx.Now().Add(30 * 24 * time.Hour) }

func event(id ecluse.MigrationID, typ journal.Type) journal.Event {
	return journal.Event{Tree: string(id), Type: typ}
}

func do(t *testing.T, s Store, e journal.Event, fn func(Tx) error) {
	t.Helper()
	if err := s.Do(t.Context(), e, fn); err != nil {
		t.Fatal(err)
	}
}

// leaves parses every leaf of a tree.
func leaves(t *testing.T, s Store, tree string) []*evidence.Leaf {
	t.Helper()
	n, err := s.Size(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := s.Leaves(t.Context(), tree, 0, n)
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*evidence.Leaf, len(raw))
	for i, b := range raw {
		if all[i], err = evidence.ParseLeaf(b); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func newKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func sign(t *testing.T, key ssh.Signer, namespace, body string) evidence.Signed {
	t.Helper()
	s, err := evidence.Sign(key, namespace, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantKind(t *testing.T, what string, err error, want ecluse.Kind) {
	t.Helper()
	if err == nil || ecluse.KindOf(err) != want {
		t.Errorf("%s: got %v, want an error of kind %s", what, err, want)
	}
}
