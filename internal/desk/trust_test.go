package desk

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate/mandatetest"
)

// lies is a lock that shows whatever a test has it show, and keeps what it is handed.
type lies struct {
	Lock
	status    []exchange.Status
	me        *exchange.Person
	draft     exchange.Draft
	current   map[string][]byte
	documents map[ecluse.Digest][]byte
	plans     *exchange.Plans
	handed    []*evidence.Act
	lock      ssh.Signer
	notYet    time.Duration // by which its clock is behind
}

func (l *lies) Status(context.Context, ecluse.MigrationID) ([]exchange.Status, error) {
	return l.status, nil
}
func (l *lies) Me(context.Context) (*exchange.Person, error) { return l.me, nil }
func (l *lies) Draft(context.Context, ecluse.MigrationID, []evidence.Clause) (*exchange.Draft, error) {
	return &l.draft, nil
}

func (l *lies) Current(_ context.Context, _ ecluse.MigrationID, kind string) ([]byte, error) {
	return l.current[kind], nil
}

func (l *lies) Document(_ context.Context, d ecluse.Digest) ([]byte, error) {
	return l.documents[d], nil
}

func (l *lies) Plan(context.Context, ecluse.MigrationID, ecluse.PassageKind) (*exchange.Plans, error) {
	return l.plans, nil
}

func (l *lies) HandIn(_ context.Context, s evidence.Signed, _ []exchange.Enclosure) (*exchange.Receipt, error) {
	a, err := evidence.ParseAct(s.Body)
	if err != nil {
		return nil, err
	}
	l.handed = append(l.handed, a)
	return &exchange.Receipt{Act: s.Digest()}, nil // and no head: the desk says so, afterwards
}

// lying is a lock that knows a migration's papers, and the desk of a person of it.
func lying(t *testing.T, who func(*mandatetest.World) *mandatetest.Person) (*lies, *Desk, *mandatetest.Migration, ssh.Signer) {
	t.Helper()
	w := mandatetest.New(t)
	p := who(w)
	m := w.Migration(t, catalogue(), mandatetest.Dialect(ecluse.SQLite), "datasets:\n  patient: {from: patient, key: [id], columns: {id: technical}}\n")
	l := &lies{
		status:  []exchange.Status{{Migration: m.ID}},
		draft:   exchange.Draft{Role: p.Roles[0], NotBefore: w.Now},
		current: map[string][]byte{evidence.KindInstruction: m.Papers.Instruction}, documents: map[ecluse.Digest][]byte{},
		plans: &exchange.Plans{Migration: m.ID, Read: m.Papers.ReadPlan},
	}
	for _, s := range m.Papers.Rosters {
		if r, err := evidence.ParseRoster("roster", s.Body); err == nil && r.Side == p.Side {
			l.me = &exchange.Person{ID: p.ID, Side: p.Side, Roles: p.Roles, Roster: s}
		}
	}
	d := New(func(context.Context, ssh.Signer) (Lock, error) { return l, nil }, filepath.Join(t.TempDir(), "plans"), nil)
	return l, d.Trust(map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: w.Root(ecluse.Controller), ecluse.Processor: w.Root(ecluse.Processor)}), m, p.Signer
}

func catalogue() *ecluse.Catalogue {
	return &ecluse.Catalogue{Engine: ecluse.SQLite, Tables: []ecluse.Table{{
		Name: ecluse.TableName{Name: "patient"}, PrimaryKey: []string{"id"}, Columns: []ecluse.Column{{Name: "id", Declared: "INTEGER"}},
	}}}
}

// TestAnotherMigration: what is signed is what was named, whatever the lock answers.
func TestAnotherMigration(t *testing.T) {
	l, d, m, key := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
	honest := l.status
	for name, status := range map[string][]exchange.Status{
		"another": {{Migration: "another-one"}}, "with another": {{Migration: m.ID}, {Migration: "another-one"}}, "a path": {{Migration: "../../x"}}, "none": {{}},
	} {
		l.status = status
		_, err := d.Suspend(t.Context(), Order{Migration: m.ID, Because: "to be sure", Key: key})
		if ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.status = []exchange.Status{{Migration: "../../x"}}
	if _, err := d.Suspend(t.Context(), Order{Because: "to be sure", Key: key}); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("the only one is a path: %v", err)
	}
	if _, err := d.Suspend(t.Context(), Order{Migration: "../../x", Because: "to be sure", Key: key}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("typed: %v", err)
	}
	// The right one, with another's papers behind it.
	l.status = []exchange.Status{{Migration: "another-one"}}
	if _, err := d.Suspend(t.Context(), Order{Migration: "another-one", Because: "to be sure", Key: key}); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another's instruction: %v", err)
	}
	if _, err := d.Plan(t.Context(), PlanRequest{Migration: "another-one"}); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another's plan: %v", err)
	}
	if len(l.handed) > 0 {
		t.Errorf("%d acts were signed", len(l.handed))
	}
	l.status = honest
	if _, err := d.Plan(t.Context(), PlanRequest{Migration: m.ID}); err != nil {
		t.Errorf("its own plan: %v", err)
	}
	files, err := os.ReadDir(d.plans)
	if err != nil || len(files) != 1 || files[0].Name() != string(m.ID)+"-readplan.json" {
		t.Errorf("written: %v, %v", files, err)
	}
}
