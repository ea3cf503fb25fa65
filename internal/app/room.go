// Package app is the one place that names concrete parts: a lock, two gates, and
// everything in one room. What is said here in words is done by the packages
// below; what is shown is in views.go.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/config"
	"ecluse/internal/durable"
	"ecluse/internal/gate"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
)

// Room is a lock and both gates on one machine, in three folders that share no
// file. Each part opens its own folder only.
type Room struct {
	dir    string
	lock   *lock
	homes  map[Place]*gate.Home
	source *gate.Source
	target *gate.Target
}

// folder of each part.
const (
	lockDir   = "lock"
	sourceDir = "source"
	targetDir = "target"
	plansDir  = "plans"
)

// Version is the program's, as it was built.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "development"
}

// Init makes the three folders. Both parties' roots are given here and nowhere
// else.
func Init(ctx context.Context, dir string, roots map[ecluse.Side]ecluse.Fingerprint) (*Made, error) {
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "make lock folder", Where: dir, Why: "it is a file, or a folder that is not empty", Next: "name a new folder"}
	}
	made := &Made{Dir: dir}
	err := whole(dir, func(dir string) error { return made.fill(ctx, dir, roots) })
	var known *ecluse.Error
	if err != nil && !errors.As(err, &known) {
		err = &ecluse.Error{Kind: ecluse.Failed, What: "make lock folder", Where: dir, Err: err, Next: "nothing was left behind: name a folder on a disk with room, that you may write"}
	}
	return made, err
}

// whole makes a folder with all that fill puts into it, or none: it is filled
// under another name beside.
func whole(dir string, fill func(dir string) error) (err error) {
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".part-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if err := fill(part); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty folder
		return err
	}
	if err := os.Rename(part, dir); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

// fill makes the folders of a lock and two gates.
func (made *Made) fill(ctx context.Context, dir string, roots map[ecluse.Side]ecluse.Fingerprint) error {
	if err := durable.Mkdir(filepath.Join(dir, plansDir)); err != nil {
		return err
	}
	var err error
	if made.Lock, err = createLock(ctx, filepath.Join(dir, lockDir), roots); err != nil {
		return err
	}
	for _, g := range []struct {
		dir  string
		into *ecluse.Fingerprint
	}{{sourceDir, &made.SourceGate}, {targetDir, &made.TargetGate}} {
		at := filepath.Join(dir, g.dir)
		if err := durable.Mkdir(at); err != nil {
			return err
		}
		h, err := gate.CreateHome(at, "ecluse "+g.dir+" gate", roots, made.Lock)
		if err != nil {
			return err
		}
		*g.into = h.Fingerprint()
		if err := durable.CreateFile(filepath.Join(at, config.FileName+".example"), []byte(config.Example)); err != nil {
			return err
		}
	}
	return nil
}

// Open opens a lock folder. Databases are connected to when they are needed.
func Open(ctx context.Context, dir string) (*Room, error) {
	l, err := openLock(ctx, filepath.Join(dir, lockDir))
	if err != nil {
		return nil, err
	}
	r := &Room{dir: dir, lock: l, homes: map[Place]*gate.Home{}}
	for place, folder := range map[Place]string{SourcePlace: sourceDir, TargetPlace: targetDir} {
		if r.homes[place], err = gate.OpenHome(filepath.Join(dir, folder)); err != nil {
			return nil, errors.Join(err, l.close())
		}
	}
	return r, nil
}

// Close disconnects from everything.
func (r *Room) Close() error {
	var errs []error
	if r.source != nil {
		errs = append(errs, r.source.Close())
	}
	if r.target != nil {
		errs = append(errs, r.target.Close())
	}
	return errors.Join(append(errs, r.lock.close())...)
}

// sourceGate connects the source gate, once.
func (r *Room) sourceGate(ctx context.Context) (*gate.Source, error) {
	if r.source != nil {
		return r.source, nil
	}
	c, err := config.Load(filepath.Join(r.dir, sourceDir))
	if err != nil {
		return nil, err
	}
	db, dialect, err := openSource(c)
	if err != nil {
		return nil, err
	}
	r.source = gate.NewSource(r.homes[SourcePlace], r.lock, db, dialect, procedure.Digest())
	return r.source, nil
}

// targetGate connects the target gate, once.
func (r *Room) targetGate(ctx context.Context) (*gate.Target, error) {
	if r.target != nil {
		return r.target, nil
	}
	c, err := config.Load(filepath.Join(r.dir, targetDir))
	if err != nil {
		return nil, err
	}
	db, dialect, err := openTarget(c)
	if err != nil {
		return nil, err
	}
	r.target = gate.NewTarget(r.homes[TargetPlace], r.lock, db, dialect, procedure.Digest())
	return r.target, nil
}

// Inspect lists a database's structure.
func (r *Room) Inspect(ctx context.Context, at Place) (*Inspection, error) {
	if at == TargetPlace {
		t, err := r.targetGate(ctx)
		if err != nil {
			return nil, err
		}
		c, err := t.Inspect(ctx)
		if err != nil {
			return nil, err
		}
		return r.inspected(ctx, at, c, map[ecluse.TableName]int64{})
	}
	s, err := r.sourceGate(ctx)
	if err != nil {
		return nil, err
	}
	c, estimates, err := s.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	return r.inspected(ctx, at, c, estimates)
}

// inspected journals what was listed: the catalogue's digest is what step 2 keeps.
func (r *Room) inspected(ctx context.Context, at Place, c *ecluse.Catalogue, estimates map[ecluse.TableName]int64) (*Inspection, error) {
	text, err := evidence.EncodeJSON(c)
	if err != nil {
		return nil, err
	}
	v := &Inspection{Digest: ecluse.DigestOf(text), Catalogue: c, Estimates: estimates}
	return v, r.lock.store.Do(ctx, journal.Event{
		Tree: evidence.InstallationTree, Type: journal.Inspected,
		IDs: map[string]string{"catalogue": v.Digest.String(), "place": string(at), "gate": string(r.Gate(at)), "engine": string(c.Engine)},
	}, nil)
}

// lending does something for which the target gate borrows the release secret:
// meanwhile the source gate answers its requests, as it would over a network.
func (r *Room) lending(ctx context.Context, i *mandate.Instruction, do func(context.Context) error) error {
	s, err := r.sourceGate(ctx)
	if err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	done := make(chan struct{})
	g.Go(func() error {
		defer close(done)
		return do(gctx)
	})
	g.Go(func() error {
		for {
			if err := s.Lend(gctx, i); err != nil && gctx.Err() == nil {
				return err
			}
			select {
			case <-done:
				return nil
			default:
			}
			if err := r.lock.Wait(gctx, i.ID); err != nil {
				return nil
			}
		}
	})
	return g.Wait()
}

// migration finds the migration meant: the one named, or the only one.
func (r *Room) migration(ctx context.Context, id ecluse.MigrationID) (ecluse.MigrationID, error) {
	if id != "" {
		_, err := r.lock.store.Migration(ctx, id)
		return id, err
	}
	all, err := r.lock.store.Migrations(ctx)
	if err != nil {
		return "", err
	}
	switch len(all) {
	case 1:
		return all[0].ID, nil
	case 0:
		return "", &ecluse.Error{Kind: ecluse.Invalid, What: "find the migration", Why: "there is none yet", Next: "ecluse plan --instruction FILE --as KEY"}
	}
	names := ""
	for _, m := range all {
		names += " " + string(m.ID)
	}
	return "", &ecluse.Error{Kind: ecluse.Invalid, What: "find the migration", Why: fmt.Sprintf("there are %d:%s", len(all), names), Next: "name one with -m ID"}
}

// instruction reads the instruction in force of a migration.
func (l *lock) instruction(ctx context.Context, m ecluse.MigrationID) (*mandate.Instruction, error) {
	text, err := l.current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: "find the instruction", Where: string(m), Why: "there is none", Next: "ecluse plan --instruction FILE --as KEY"}
	}
	return mandate.ParseInstruction("instruction", text)
}

// contract reads a contract by its digest.
func (l *lock) contract(ctx context.Context, d ecluse.Digest) (*mandate.Contract, error) {
	text, err := l.store.Document(ctx, d)
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: "find the contract", Where: d.String(), Why: "no contract with that digest was signed here",
			Next: "ecluse sign contract.yaml --as KEY, by both parties", Article: "GDPR art. 28(3)", Err: err,
		}
	}
	return mandate.ParseContract("contract", text)
}

// Gate is the fingerprint of the gate at a place: what an instruction must name.
func (r *Room) Gate(at Place) ecluse.Fingerprint { return r.homes[at].Fingerprint() }
