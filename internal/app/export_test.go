package app

import (
	"context"
	"errors"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/api"
	"ecluse/internal/config"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/lock"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/wire"
)

// OpenLock opens a lock's folder alone.
func OpenLock(ctx context.Context, dir string) (gate.Lock, func() error, error) {
	l, err := lock.Open(ctx, dir, Tool())
	if err != nil {
		return nil, nil, err
	}
	return anybody{l.Seat(""), l}, l.Shut, nil
}

// Lock is the room's lock, as gates see it.
func (r *Room) Lock() gate.Lock { return anybody{r.lock.Seat(""), r.lock} }

// anybody is no gate in particular; what it records, any gate might have.
type anybody struct {
	*lock.Seat
	lock *lock.Lock
}

func (a anybody) Record(ctx context.Context, e exchange.Event) error { return a.lock.Record(ctx, e) }

// Seat is the room's lock as one gate sees it.
func (r *Room) Seat(at exchange.Place) gate.Lock { return r.lock.Seat(r.Gate(at)) }

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

// Target makes a target gate of a folder, with a lock of the caller's choice, whose
// database can be wrapped.
func Target(dir string, l gate.Lock, wrap ...func(*gate.Base)) (*gate.Target, error) {
	h, err := gate.OpenHome(dir)
	if err != nil {
		return nil, err
	}
	c, err := config.Load(dir)
	if err != nil {
		return nil, err
	}
	main, rehearsal, err := openBases(c)
	if err != nil {
		return nil, err
	}
	for _, w := range wrap {
		w(&main)
	}
	return gate.NewTarget(h, l, main, rehearsal, procedure.Digest()), nil
}

// PostgresConfig is how an account of gate.yaml connects.
var PostgresConfig = postgresConfig

// HandIn hands in an act of any clauses with the documents they speak of, past what
// Desk checks before.
func (r *Room) HandIn(ctx context.Context, m ecluse.MigrationID, key ssh.Signer, clauses []evidence.Clause, documents map[string][]byte) error {
	l, err := r.lock.As(ctx, evidence.FingerprintOf(key.PublicKey()))
	if err != nil {
		return err
	}
	me, err := l.Me(ctx)
	if err != nil {
		return err
	}
	roster, err := evidence.ParseRoster("roster", me.Roster.Body)
	if err != nil {
		return err
	}
	draft, err := l.Draft(ctx, m, clauses)
	if err != nil {
		return err
	}
	signed, err := evidence.SignAct(key, &evidence.Act{
		Migration: m, Side: me.Side, Person: me.ID, Role: draft.Role, Roster: roster.Digest(), RosterNumber: roster.Number,
		NotBefore: draft.NotBefore, NotAfter: draft.NotBefore.AddDate(0, 0, 1), Nonce: evidence.NewNonce(), Clauses: clauses,
	})
	if err != nil {
		return err
	}
	var papers []exchange.Enclosure
	for kind, text := range documents {
		papers = append(papers, exchange.Enclosure{Kind: kind, Text: text})
	}
	_, err = l.HandIn(ctx, signed, papers)
	return err
}

// Folder is where a part of a room lies.
func (r *Room) Folder(name string) string { return filepath.Join(r.dir, name) }

// aside makes a move while the room's own gates do not look, and takes back what it
// asks of them: a test has gates of its own.
func (r *Room) aside(ctx context.Context, m ecluse.MigrationID, v exchange.Verb, move func(*mandate.Instruction) error) error {
	r.stop()
	r.wg.Wait()
	defer r.start(ctx)
	text, err := r.lock.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return err
	}
	i, err := mandate.ParseInstruction("instruction", text)
	if err != nil {
		return err
	}
	return errors.Join(move(i), r.lock.Withdraw(ctx, m, v, errors.New("a test does it")))
}

// BeginReading and BeginLoading make the procedure's moves that Begin makes.
func (r *Room) BeginReading(ctx context.Context, m ecluse.MigrationID) error {
	return r.aside(ctx, m, exchange.Read, func(i *mandate.Instruction) error {
		_, err := r.lock.BeginReading(ctx, i)
		return err
	})
}

func (r *Room) BeginLoading(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (p ecluse.Passage, err error) {
	err = r.aside(ctx, m, exchange.Load, func(i *mandate.Instruction) error {
		p, _, err = r.lock.BeginLoading(ctx, i, kind)
		return err
	})
	return p, err
}

// BeginCatchUp makes that which catching up begins with.
func (r *Room) BeginCatchUp(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (p ecluse.Passage, err error) {
	err = r.aside(ctx, m, exchange.Read, func(*mandate.Instruction) error {
		b, err := r.lock.BeginCatchUp(ctx, m, kind)
		if err != nil {
			return err
		}
		p = b.Passage
		return r.lock.Withdraw(ctx, m, exchange.Load, errors.New("a test does it"))
	})
	return p, err
}

// Lab is the room's lock as a laboratory of a server.
func (r *Room) Lab(id string, pin wire.Pin) api.Lab {
	return api.Lab{ID: id, Lock: r.lock, Door: account.NewDoor(ecluse.Digest(pin), id, r.lock, r.lock.Sessions())}
}

// Elsewhere puts the room's gates at work for a lock that they reach by other ways,
// until stop is called.
func (r *Room) Elsewhere(ctx context.Context, reach func(exchange.Place, ssh.Signer) gate.Lock) (stop func()) {
	r.stop()
	r.wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	for at, g := range r.gates {
		g.lock = reach(at, g.home.Signer())
		r.wg.Go(func() { _ = gate.Run(ctx, g.lock, g.work, nil) })
	}
	return func() { cancel(); r.wg.Wait() }
}

// As is the room's lock as somebody sees it.
func (r *Room) As(ctx context.Context, key ssh.Signer) (*lock.Person, error) {
	return r.lock.As(ctx, evidence.FingerprintOf(key.PublicKey()))
}

// Nobody is the room's lock as somebody sees it of whom nothing is known.
func (r *Room) Nobody() *lock.Person { return r.lock.Nobody() }

// CheckOrphans is the part of CheckGate that looks for rows kept that the ledger does not know.
func CheckOrphans(h *gate.Home) []GateFinding {
	x := &checkup{}
	x.orphans(h)
	return x.found
}
