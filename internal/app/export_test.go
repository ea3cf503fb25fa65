package app

import (
	"context"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/config"
	"ecluse/internal/gate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/reader"
)

// OpenLock opens a lock's folder alone.
func OpenLock(ctx context.Context, dir string) (gate.Lock, func() error, error) {
	l, err := openLock(ctx, dir)
	if err != nil {
		return nil, nil, err
	}
	return l, l.close, nil
}

// Lock is the room's lock, as gates see it.
func (r *Room) Lock() gate.Lock { return r.lock }

// Source makes a source gate of a folder, with a lock of the caller's choice; its
// database can be wrapped.
func Source(dir string, l gate.Lock, wrap ...func(reader.Source) reader.Source) (*gate.Source, error) {
	h, err := gate.OpenHome(dir)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	db, dialect, err := openSource(c)
	if err != nil {
		return nil, err
	}
	for _, w := range wrap {
		db = w(db)
	}
	return gate.NewSource(h, l, db, dialect, procedure.Digest()), nil
}

// Target makes a target gate of a folder, with a lock of the caller's choice.
func Target(dir string, l gate.Lock) (*gate.Target, error) {
	h, err := gate.OpenHome(dir)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	db, dialect, err := openTarget(c)
	if err != nil {
		return nil, err
	}
	return gate.NewTarget(h, l, db, dialect, procedure.Digest()), nil
}

// PostgresConfig is how an account of gate.yaml connects.
var PostgresConfig = postgresConfig

// HandIn hands in an act of any clauses with the documents they speak of, past
// what Room checks before.
func (r *Room) HandIn(ctx context.Context, m ecluse.MigrationID, key ssh.Signer, clauses []evidence.Clause, documents map[string][]byte) error {
	who, err := r.lock.who(ctx, key)
	if err != nil {
		return err
	}
	var papers []paper
	for kind, text := range documents {
		papers = append(papers, paper{kind, text})
	}
	_, err = r.lock.handIn(ctx, m, who, clauses, papers...)
	return err
}

// Folder is where a part of a room lies.
func (r *Room) Folder(name string) string { return filepath.Join(r.dir, name) }

// BeginReading and BeginLoading make the procedure's moves that Apply makes
// before it opens a gate.
func (r *Room) BeginReading(ctx context.Context, m ecluse.MigrationID) error {
	return r.move(ctx, m, "reading-begun", procedure.BeginReading, procedure.SourceGate)
}

func (r *Room) BeginLoading(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (ecluse.Passage, error) {
	i, err := r.lock.instruction(ctx, m)
	if err != nil {
		return ecluse.Passage{}, err
	}
	return r.beginLoading(ctx, m, i, kind)
}

// NextAt is what a migration that stands somewhere waits for, its report equal or
// not, rows put aside for some reasons.
func (r *Room) NextAt(p procedure.Place, equal bool, aside ...string) []Next {
	return r.next("a-migration", p, known{equal: equal, aside: aside})
}
