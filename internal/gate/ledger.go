package gate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/sluice"
)

// ledgerFile is replaced as a whole each time; whoever reads or replaces it holds
// ledgerLock.
const (
	ledgerFile = "ledger.json"
	ledgerLock = "ledger.lock"
)

// Ledger is what a gate remembers on its own, so that no server can show it an
// old paper as new. It only ever goes forward.
type Ledger struct {
	Roots      map[ecluse.Side]ecluse.Fingerprint `json:"roots"`
	Lock       ecluse.Fingerprint                 `json:"lock"`               // the key that signs journal heads
	Place      exchange.Place                     `json:"place,omitempty"`    // of a gate made in one room; others say it when they enrol
	OneRoom    bool                               `json:"one_room,omitempty"` // made together with the lock and the other gate, on one machine
	Rosters    map[ecluse.Side]int                `json:"rosters"`            // highest number seen
	HighWater  time.Time                          `json:"high_water"`         // latest time seen
	Migrations map[ecluse.MigrationID]*Entry      `json:"migrations"`
	Carried    exchange.Came                      `json:"carried,omitzero"` // the last dispatch that was carried here, and how much was answered to it
}

// Entry is the ledger's page about a migration.
type Entry struct {
	Instruction ecluse.Digest            `json:"instruction"`
	ReadPlan    ecluse.Digest            `json:"read_plan"`
	ReadBegun   time.Time                `json:"read_begun,omitzero"`
	Epoch       int                      `json:"epoch"`
	Windows     int                      `json:"windows,omitempty"` // that closed on the reading under way
	Again       Again                    `json:"again,omitzero"`
	Readings    int                      `json:"readings,omitempty"` // of the source, that this gate closed with a manifest, or loaded as of
	Manifest    ecluse.Digest            `json:"manifest,omitzero"`  // the last that this gate closed a reading with
	Passages    map[string]time.Time     `json:"passages,omitempty"` // "final-1" → begun
	Plans       map[string]ecluse.Digest `json:"plans,omitempty"`    // "final-1" → the load plan that began
	Under       map[string]ecluse.Digest `json:"under,omitempty"`    // "final-1" → the act that approved its plan, under which it began
	Marks       map[string]string        `json:"marks,omitempty"`    // "final-1" → what it recorded in its database when it began there
	Undone      map[string]*Taken        `json:"undone,omitempty"`   // "final-1" → what was, or is being, taken out again
	Twins       map[string]ecluse.Digest `json:"twins,omitempty"`    // a mapping, columns and the target's schema (madeOf) → the statement by which it passed on invented rows
	Tried       map[string]string        `json:"tried,omitempty"`    // a mapping and columns (madeOf) → the dry run or rehearsal that it passed in
	Compared    map[string]*Compared     `json:"compared,omitempty"` // "final-1" → how the target stood when it was read back
	Live        map[string]Went          `json:"live,omitempty"`     // "final-1" → the go that was said of it, as seen here
	Dry         []string                 `json:"dry,omitempty"`      // dry runs that came to their end
	Head        []byte                   `json:"head,omitempty"`     // last journal head seen
	Accepted    ecluse.Digest            `json:"accepted,omitzero"`  // the act by which the controller accepted a load, as seen here
	Counted     []ecluse.Digest          `json:"counted,omitempty"`  // acts that end or change something, seen here while a roster entitled who signed them
	Erased      time.Time                `json:"erased,omitzero"`
	Destroyed   []string                 `json:"destroyed,omitempty"`  // names of the secrets that were
	Kept        *Kept                    `json:"kept,omitempty"`       // rows put aside that outlive the migration here
	NotKept     evidence.NotKept         `json:"not_kept,omitempty"`   // why none do, though the instruction states a day
	Certificate ecluse.Digest            `json:"certificate,omitzero"` // that this gate signed
}

// Again is the ledger's line about the last later reading of the source.
type Again struct {
	Reading int       `json:"reading"`
	Begun   time.Time `json:"begun"`
}

// since is when a later reading began; zero: it is to begin.
func (a Again) since(reading int) time.Time {
	if a.Reading != reading {
		return time.Time{}
	}
	return a.Begun
}

// Went is the ledger's line about a go.
type Went struct {
	Act ecluse.Digest `json:"act"`
	At  time.Time     `json:"at"` // from when it holds
}

// Compared is the ledger's line about a passage that was read back and compared.
type Compared struct {
	Reading int                `json:"reading,omitempty"`
	Stood   []ecluse.TableName `json:"stood,omitempty"`   // tables that, as of that reading, stood as they were loaded
	Reports []ecluse.Digest    `json:"reports,omitempty"` // that this gate signed of it
}

// compared notes how the target stood. Of one reading it need not stand so each time:
// what differs later, people changed.
func (e *Entry) compared(l *sluice.Loaded, reading int, report ecluse.Digest) {
	was := e.Compared[l.Passage.String()]
	c := &Compared{Reading: reading, Stood: l.Report.Stood()}
	if was != nil {
		c.Reports = was.Reports
		for _, t := range was.Stood {
			if was.Reading == reading && !slices.Contains(c.Stood, t) {
				c.Stood = append(c.Stood, t)
			}
		}
	}
	if !slices.Contains(c.Reports, report) {
		c.Reports = append(c.Reports, report)
	}
	e.Compared[l.Passage.String()] = c
}

// parseLedger reads a ledger's text. One that lost a part is damaged: to take it
// for empty would be to forget.
func parseLedger(text []byte) (*Ledger, error) {
	damaged := func(why string, err error) (*Ledger, error) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "open gate", Where: ledgerFile, Why: "the ledger is damaged: " + why, Err: err,
			Next: "bring the ledger back, or make a new gate and have a new instruction signed for it",
		}
	}
	l := &Ledger{}
	if err := json.Unmarshal(text, l); err != nil {
		return damaged("it is not a ledger's JSON", err)
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if !l.Roots[side].Valid() {
			return damaged("it names no root of the "+string(side), nil)
		}
	}
	if !l.Lock.Valid() {
		return damaged("it does not name the lock's key", nil)
	}
	if l.Rosters == nil {
		l.Rosters = map[ecluse.Side]int{}
	}
	if l.Migrations == nil {
		l.Migrations = map[ecluse.MigrationID]*Entry{}
	}
	for m, e := range l.Migrations {
		if e == nil {
			return damaged("its page about a migration is empty", nil)
		}
		for _, t := range e.Undone {
			if t == nil {
				return damaged("it does not say what was taken out of the target", nil)
			}
		}
		for _, c := range e.Compared {
			if c == nil {
				return damaged("it does not say how the target stood", nil)
			}
		}
		l.Migrations[m] = e.whole()
	}
	return l, nil
}

// whole gives a page its maps.
func (e *Entry) whole() *Entry {
	if e.Passages == nil {
		e.Passages = map[string]time.Time{}
	}
	if e.Plans == nil {
		e.Plans = map[string]ecluse.Digest{}
	}
	if e.Under == nil {
		e.Under = map[string]ecluse.Digest{}
	}
	if e.Twins == nil {
		e.Twins = map[string]ecluse.Digest{}
	}
	if e.Tried == nil {
		e.Tried = map[string]string{}
	}
	if e.Compared == nil {
		e.Compared = map[string]*Compared{}
	}
	if e.Marks == nil {
		e.Marks = map[string]string{}
	}
	if e.Live == nil {
		e.Live = map[string]Went{}
	}
	if e.Undone == nil {
		e.Undone = map[string]*Taken{}
	}
	return e
}

// locked reads the ledger while no other process can replace it.
func (h *Home) locked(do func(*Ledger) error) (err error) {
	unlock, err := durable.Lock(filepath.Join(h.dir, ledgerLock))
	if err != nil {
		e := &ecluse.Error{Kind: ecluse.Failed, What: "open gate", Where: ledgerLock, Err: pathless(err), Next: "give the user that runs ecluse the right to write the gate's folder"}
		if errors.Is(err, durable.ErrNoLocks) {
			e.Next = "put the gate's folder on a disk of its own machine"
		}
		return e
	}
	defer func() { err = errors.Join(err, unlock()) }()
	text, err := os.ReadFile(filepath.Join(h.dir, ledgerFile))
	if err != nil {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "open gate", Where: ledgerFile, Err: pathless(err),
			Why:  "a gate without its ledger could be made to replay an old plan",
			Next: "bring the ledger back, or make a new gate and have a new instruction signed for it",
		}
	}
	l, err := parseLedger(text)
	if err != nil {
		return err
	}
	return do(l)
}

// save makes a ledger durable; the caller is inside locked, or made the folder.
func (h *Home) save(l *Ledger) error {
	text, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	err = durable.WriteFile(filepath.Join(h.dir, ledgerFile), append(text, '\n'))
	if err != nil {
		return &ecluse.Error{
			Kind: ecluse.Failed, What: "write the gate's ledger", Err: err,
			Next: "make room, or give the user that runs ecluse the right to write the gate's folder; then run the same command again",
		}
	}
	return nil
}

// clockSlack is how far a clock may be corrected backwards without being called
// set back: what time synchronisation does in the ordinary.
const clockSlack = 2 * time.Minute

// clockKept is how often the time seen is made durable: a clock set back while
// the gate is off is found out to within that.
const clockKept = time.Minute

// Now is the gate's clock, never before a time it has seen. A clock set back
// beyond what synchronisation does stops the gate: a deadline must not move.
func (h *Home) Now() (time.Time, error) {
	now, high, err := h.look()
	if err == nil && now.Before(high.Add(-clockSlack)) {
		err = &ecluse.Error{
			Kind: ecluse.Refused, What: "read the clock", Why: fmt.Sprintf("it says %s, and %s has already been", now.Format(time.RFC3339), high.Format(time.RFC3339)),
			Err: exchange.ErrClockBack, Next: "set the clock right; no deadline has moved meanwhile",
		}
	}
	return high, err
}

// Latest is the latest time this gate has seen. What takes data away goes by it:
// a clock set back must not keep what is to go.
func (h *Home) Latest() (time.Time, error) {
	_, high, err := h.look()
	return high, err
}

// look reads the machine's clock, and keeps the latest time seen.
func (h *Home) look() (now, high time.Time, err error) {
	now = time.Now().UTC().Truncate(time.Second)
	h.mu.Lock()
	defer h.mu.Unlock()
	err = h.locked(func(l *Ledger) error {
		for _, t := range []time.Time{now, h.seen, l.HighWater} {
			if t.After(high) {
				high = t
			}
		}
		h.seen = high
		if high.Sub(l.HighWater) < clockKept {
			return nil
		}
		l.HighWater = high
		return h.save(l)
	})
	return now, high, err
}

// Entry is the ledger's page about a migration.
func (h *Home) Entry(m ecluse.MigrationID) (e Entry, err error) {
	return e, h.locked(func(l *Ledger) error {
		if page := l.Migrations[m]; page != nil {
			e = *page
		}
		return nil
	})
}

// Note changes the ledger's page about a migration and makes it durable before
// it returns. A change that fails changes nothing.
func (h *Home) Note(m ecluse.MigrationID, change func(*Entry) error) error {
	if !m.Valid() {
		return notAnID(m)
	}
	return h.locked(func(l *Ledger) error {
		if l.Migrations[m] == nil {
			l.Migrations[m] = (&Entry{}).whole()
		}
		if err := change(l.Migrations[m]); err != nil {
			return err
		}
		return h.save(l)
	})
}

// RosterFloor is the highest roster number seen of each party.
func (h *Home) RosterFloor() (floor map[ecluse.Side]int, err error) {
	return floor, h.locked(func(l *Ledger) error {
		floor = l.Rosters
		return nil
	})
}

// SawRosters raises the floor, durably.
func (h *Home) SawRosters(numbers map[ecluse.Side]int) error {
	return h.locked(func(l *Ledger) error {
		before := maps.Clone(l.Rosters)
		for s, n := range numbers {
			l.Rosters[s] = max(l.Rosters[s], n)
		}
		if maps.Equal(before, l.Rosters) {
			return nil
		}
		return h.save(l)
	})
}

// Migrations lists those that the gate's ledger or folder knows, in order.
func (h *Home) Migrations() ([]ecluse.MigrationID, error) {
	known := map[ecluse.MigrationID]bool{}
	err := h.locked(func(l *Ledger) error {
		for m := range l.Migrations {
			known[m] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	folders, err := os.ReadDir(filepath.Join(h.dir, migrationsDir))
	for _, f := range folders {
		known[ecluse.MigrationID(f.Name())] = true
	}
	return slices.Sorted(maps.Keys(known)), err
}
