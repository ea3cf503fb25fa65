package lock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"ecluse"
	"ecluse/internal/exchange"
)

// Standing is what a gate may come to a lock for.
type Standing int

// The standings.
const (
	Stranger Standing = iota // for nothing
	Leaving                  // to take out what it loaded, to erase and to certify it (exchange.Verb.Ends)
	Known                    // for all that signatures let it do
)

// Standing tells what a gate may come for. One is known that was admitted at the
// lock's own console, or that the controller confirmed and nobody retired since. One
// that was retired and that a migration names comes to destroy its half of the key, and
// for no more.
func (l *Lock) Standing(ctx context.Context, gate ecluse.Fingerprint) (Standing, error) {
	if l.isAdmitted(gate) {
		return Known, nil
	}
	l.mu.Lock()
	known := l.standings
	l.mu.Unlock()
	if known != nil { // until something moves: whoever asks often costs nothing
		return known[gate], nil
	}
	moved := l.moving()
	enrolled, err := l.enrolledNow(ctx)
	if err != nil {
		return Stranger, err
	}
	known = map[ecluse.Fingerprint]Standing{}
	var unsure error // of the gate that asks
	sure := true     // of all
	for _, e := range enrolled {
		s := Stranger
		switch {
		case e.Confirmed:
			s = Known
		case e.let:
			if s, err = l.leaving(ctx, e.Gate); err != nil {
				sure = false
				if e.Gate == gate {
					unsure = err
				}
			}
		}
		known[e.Gate] = max(known[e.Gate], s) // a later paper that nobody confirmed takes nothing from an earlier one
	}
	if known[gate] == Stranger && unsure != nil {
		return Stranger, unsure
	}
	l.mu.Lock()
	if sure && l.moved == moved {
		l.standings = known
	}
	l.mu.Unlock()
	return known[gate], nil
}

// leaving tells whether a retired gate may hold anything of a migration.
func (l *Lock) leaving(ctx context.Context, gate ecluse.Fingerprint) (Standing, error) {
	all, err := l.store.Migrations(ctx)
	if err != nil {
		return Stranger, err
	}
	var unread error
	for _, m := range all {
		source, target, err := l.gates(ctx, m.ID)
		switch {
		case err != nil && lost(err): // others may name it
		case err != nil:
			unread = err
		case gate == source || gate == target:
			return Leaving, nil
		}
	}
	return Stranger, unread
}

// lost tells whether a migration's papers are missing or damaged, and will be tomorrow: not
// whether somebody hung up, or the disk failed, while they were read.
func lost(err error) bool {
	switch ecluse.KindOf(err) {
	case ecluse.WaitsForSign, ecluse.Invalid, ecluse.Unverified:
		return true
	}
	return errors.Is(err, fs.ErrNotExist)
}

// isAdmitted tells whether a gate was admitted at the lock's own console.
func (l *Lock) isAdmitted(gate ecluse.Fingerprint) bool {
	return slices.Contains(l.settings.Gates[exchange.SourcePlace], gate) || slices.Contains(l.settings.Gates[exchange.TargetPlace], gate)
}

// mayAsk refuses to ask of a gate what it is not let in for: nobody would answer.
func (l *Lock) mayAsk(ctx context.Context, gate ecluse.Fingerprint, v exchange.Verb) error {
	s, err := l.Standing(ctx, gate)
	if err != nil || s != Leaving || v.Ends() {
		return err
	}
	return retired(gate, v)
}

// gateAt is the gate at a place: the one that a migration's instruction names or,
// before there is one, the only one there.
func (l *Lock) gateAt(ctx context.Context, m ecluse.MigrationID, at exchange.Place) (ecluse.Fingerprint, error) {
	if m != "" {
		source, target, err := l.gates(ctx, m)
		if at == exchange.TargetPlace {
			return target, err
		}
		return source, err
	}
	all, err := l.Gates(ctx)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(v exchange.GateView) bool { return v.Place != at || !v.Known() })
	if len(all) == 1 {
		return all[0].Gate, nil
	}
	return "", &ecluse.Error{
		Kind: ecluse.Invalid, What: "find the gate", Where: string(at), Why: fmt.Sprintf("this lock knows %d gates there", len(all)),
		Next: "ecluse gate enrol DIR where the database stands, then ecluse gates confirm; or name the migration: -m ID",
	}
}
