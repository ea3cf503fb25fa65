// Package desk is a person at their own machine: it composes what they sign from
// what they can read there, signs it with their own key, hands it in, and follows
// what comes of it. It believes of a lock what signatures say; what is shown is in
// views.go.
package desk

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Lock is the lock as a person sees it. Its methods use only nouns of the root,
// evidence and exchange packages, so that a client over HTTPS can fill it.
type Lock interface {
	Me(ctx context.Context) (*exchange.Person, error)
	Rosters(ctx context.Context) ([]evidence.Signed, error)
	Gates(ctx context.Context) ([]exchange.GateView, error)
	// EnrolledGates are gates' papers (gate/v1), signed by each.
	EnrolledGates(ctx context.Context) ([]evidence.Signed, error)
	// GateActs are the acts by which people confirmed and retired them.
	GateActs(ctx context.Context) ([]evidence.Signed, error)

	// Draft says in which role an act can be made now; HandIn takes it in, with the
	// documents it speaks of.
	Draft(ctx context.Context, m ecluse.MigrationID, clauses []evidence.Clause) (*exchange.Draft, error)
	HandIn(ctx context.Context, act evidence.Signed, papers []exchange.Enclosure) (*exchange.Receipt, error)
	// OpenMigration makes the migration of an instruction, signed or not.
	OpenMigration(ctx context.Context, instruction []byte) (ecluse.MigrationID, error)

	Status(ctx context.Context, m ecluse.MigrationID) ([]exchange.Status, error)
	// Current reads the document of a kind in force, nil when there is none; Document
	// any document; Posted what gates handed in.
	Current(ctx context.Context, m ecluse.MigrationID, kind string) ([]byte, error)
	Document(ctx context.Context, d ecluse.Digest) ([]byte, error)
	Posted(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper) ([]evidence.Signed, error)
	// Acts are what people signed of a migration.
	Acts(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error)

	// What gates are asked for.
	Inspect(ctx context.Context, at exchange.Place) (*exchange.Inspection, error)
	Sketch(ctx context.Context, instruction []byte) ([]byte, error)
	CheckMapping(ctx context.Context, m ecluse.MigrationID, mapping []byte, frozen [][]byte) (*exchange.Checked, error)
	Plan(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Plans, error)
	// Twin has invented rows taken through the mapping in force.
	Twin(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error)
	Begin(ctx context.Context, m ecluse.MigrationID, q exchange.Beginning) (*exchange.Begun, error)
	Undo(ctx context.Context, m ecluse.MigrationID) (work string, err error)
	// Look waits until a piece of work has changed since a version, or a while.
	Look(ctx context.Context, work string, since int64) (*exchange.WorkView, error)

	// InTarget is the load plan of the passage that is in the target; zero: none is.
	InTarget(ctx context.Context, m ecluse.MigrationID) (ecluse.Digest, error)
	Due(ctx context.Context) (*exchange.DueView, error)
	Strays(ctx context.Context) (*exchange.Strays, error)
	Evidence(ctx context.Context, m ecluse.MigrationID) (*exchange.Bundle, error)
}

// Visit opens a lock as the person whose key it is; a nil key is whoever the device
// stands for when nobody is named.
type Visit func(ctx context.Context, key ssh.Signer) (Lock, error)

// Desk is a person's machine.
type Desk struct {
	visit Visit
	plans string // folder that plans are written to
	take  func(context.Context, evidence.Signed) (*exchange.RosterReceipt, error)
	roots map[ecluse.Side]ecluse.Fingerprint // nil: this device was told none
	lock  ecluse.Fingerprint                 // the key that signs the journal; with the roots
}

// New makes a desk. take hands in a roster, which needs no person.
func New(visit Visit, plans string, take func(context.Context, evidence.Signed) (*exchange.RosterReceipt, error)) *Desk {
	return &Desk{visit: visit, plans: plans, take: take}
}

// Trust tells the desk which roots the parties have, and which key signs the journal, as
// its own device knows them: rosters, gates and evidence of others are not believed.
func (d *Desk) Trust(roots map[ecluse.Side]ecluse.Fingerprint, lock ecluse.Fingerprint) *Desk {
	d.roots, d.lock = roots, lock
	return d
}

// migration finds the migration meant: the one named, or the only one. What was named is
// what is acted on: a lock that answers with another is not followed.
func migration(ctx context.Context, l Lock, id ecluse.MigrationID) (ecluse.MigrationID, error) {
	const what = "find the migration"
	if id != "" && !id.Valid() {
		return "", &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: "-m", Why: fmt.Sprintf("%q is not a migration's id", id), Next: "ecluse status lists them"}
	}
	all, err := l.Status(ctx, id)
	if err != nil {
		return "", err
	}
	names := make([]string, len(all))
	for i, s := range all {
		if !s.Migration.Valid() || id != "" && s.Migration != id {
			return "", another(what, string(id), fmt.Sprintf("the lock answers with the migration %q", s.Migration))
		}
		names[i] = string(s.Migration)
	}
	switch len(all) {
	case 1:
		return all[0].Migration, nil
	case 0:
		return "", &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: "there is none yet", Next: "ecluse plan --instruction FILE --as KEY"}
	}
	if id != "" {
		return id, nil // told twice is once
	}
	return "", &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: fmt.Sprintf("there are %d: %s", len(all), strings.Join(names, " ")), Next: "name one with -m ID"}
}

// another refuses what a lock shows of another migration than the one meant.
func another(what, where, why string) error {
	return &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: where, Why: why, Next: "nothing was signed or written; find out who changed what the lock shows"}
}

// at opens the lock as nobody in particular and finds the migration meant.
func (d *Desk) at(ctx context.Context, id ecluse.MigrationID) (Lock, ecluse.MigrationID, error) {
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, "", err
	}
	m, err := migration(ctx, l, id)
	return l, m, err
}

// as opens the lock as a person and finds the migration meant.
func (d *Desk) as(ctx context.Context, key ssh.Signer, id ecluse.MigrationID) (Lock, ecluse.MigrationID, error) {
	l, err := d.visit(ctx, key)
	if err != nil {
		return nil, "", err
	}
	m, err := migration(ctx, l, id)
	return l, m, err
}

// Status tells where migrations stand and who must do what next.
func (d *Desk) Status(ctx context.Context, id ecluse.MigrationID) ([]exchange.Status, error) {
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	all, err := l.Status(ctx, id)
	for _, s := range all {
		for i := range s.Next {
			s.Next[i].Command = d.local(s.Next[i].Command)
		}
	}
	return all, err
}

// local puts this machine's folder of plans into a command to copy; a command that is
// not Écluse's is not shown.
func (d *Desk) local(command string) string {
	if !ours(command) {
		return ""
	}
	return strings.ReplaceAll(command, exchange.PlansFolder, filepath.ToSlash(d.plans))
}

// Waits is the command that a migration waits for; empty when there is none.
func (d *Desk) Waits(ctx context.Context, m ecluse.MigrationID) (string, error) {
	all, err := d.Status(ctx, m)
	if err != nil || len(all) == 0 || len(all[0].Next) == 0 {
		return "", err
	}
	return all[0].Next[0].Command, nil
}

// Strays looks for files that belong to no live migration.
func (d *Desk) Strays(ctx context.Context) (*exchange.Strays, error) {
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	return l.Strays(ctx)
}

// Due has the lock do what is due.
func (d *Desk) Due(ctx context.Context) (*exchange.DueView, error) {
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	return l.Due(ctx)
}

// Gates lists the gates that the lock knows.
func (d *Desk) Gates(ctx context.Context) ([]exchange.GateView, error) {
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	return l.Gates(ctx)
}
