// Package lock is what stands between the two gates: papers, journal, chamber and
// deadlines of one laboratory. It holds no key that opens a chunk and no database
// password. What needs a database it asks of a gate (work.go), which does what
// signatures let it do; what needs a person's key it takes in signed (act.go).
//
// It fills gate.Lock and desk.Lock within one process; a server and its clients fill
// them over HTTPS.
package lock

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/chamber"
	"ecluse/internal/due"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// Lock is one laboratory's lock. Everything in its folder is that controller's and
// nobody else's: there is no query that could mix two.
type Lock struct {
	dir      string
	tool     string // what certificates say of the program
	store    *sqlite.Store
	chamber  *chamber.Chamber
	log      *journal.Log
	signer   ssh.Signer
	settings *settings
	due      *due.Runner
	opened   time.Time

	carrying     chan struct{} // has one while somebody carries out, or in
	returned     *returned     // the last that was not all taken in; held by carrying
	closing      sync.Mutex    // held while a reading is closed, or given up
	mu           sync.Mutex
	resting      chan struct{} // closed when nobody is to wait here any more
	rest         sync.Once
	moved        chan struct{}                          // closed when something was put, asked, lent or answered
	chunks       map[ecluse.MigrationID]map[string]bool // descriptors that the journal knows
	seen         map[ecluse.Fingerprint]time.Time       // when a gate last asked what is wanted
	told         map[string]*told                       // how far gates' work has come
	parsed       map[ecluse.Digest]*evidence.Roster     // rosters that verified
	standings    map[ecluse.Fingerprint]Standing        // of gates that enrolled; nil: to be read again
	papers       map[ecluse.Digest]*gatePaper           // gates' papers that verified
	instructions map[ecluse.Digest]*mandate.Instruction // read and parsed: they never change
	allowed      map[ecluse.MigrationID]chamber.Terms   // by the read plan that each names
	lines        map[ecluse.Fingerprint]exchange.Line   // what gates measured of their way here
	alerted      map[ecluse.MigrationID]bool            // whose damage the journal knows of
	fetched      map[fetcher]*fetches                   // what gates were sent
}

const (
	keyFile      = "lock_key"
	settingsFile = "lock.json"
)

// settings are lock.json: what is said once, when the lock is made.
type settings struct {
	Roots   map[ecluse.Side]ecluse.Fingerprint      `json:"roots"`
	OneRoom bool                                    `json:"one_room,omitempty"` // made together with both gates, on one machine
	Gates   map[exchange.Place][]ecluse.Fingerprint `json:"gates,omitempty"`    // admitted at the lock's own console
}

// Create makes a lock's folder, for two parties known by their roots, and returns
// the fingerprint of the key that signs its journal.
func Create(ctx context.Context, dir string, roots map[ecluse.Side]ecluse.Fingerprint, oneRoom bool) (ecluse.Fingerprint, error) {
	if err := durable.Mkdir(dir); err != nil {
		return "", err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return "", err
	}
	block, err := ssh.MarshalPrivateKey(private, "ecluse lock")
	if err != nil {
		return "", err
	}
	if err := durable.CreateFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(block)); err != nil {
		return "", err
	}
	if err := writeSettings(dir, &settings{Roots: roots, OneRoom: oneRoom}); err != nil {
		return "", err
	}
	s, err := sqlite.Create(ctx, dir, roots)
	if err != nil {
		return "", err
	}
	signer, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		return "", err
	}
	return evidence.FingerprintOf(signer.PublicKey()), s.Close()
}

func writeSettings(dir string, s *settings) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, settingsFile), append(text, '\n'))
}

func readSettings(dir string) (*settings, error) {
	text, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open the lock", Where: settingsFile, Err: err}
	}
	s := &settings{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open the lock", Where: settingsFile, Err: err}
	}
	return s, nil
}

// Admit lets a gate talk to a lock that is not open, by the word of whoever stands
// at the lock's own console. It reads and writes nothing before an instruction that
// the controller signed names it.
func Admit(dir string, at exchange.Place, gate ecluse.Fingerprint) error {
	s, err := readSettings(dir)
	if err != nil {
		return err
	}
	if slices.Contains(s.Gates[at], gate) {
		return nil
	}
	if s.Gates == nil {
		s.Gates = map[exchange.Place][]ecluse.Fingerprint{}
	}
	s.Gates[at] = append(s.Gates[at], gate)
	return writeSettings(dir, s)
}

// Open opens a lock's folder. tool is what its certificates say of the program: name
// and version.
func Open(ctx context.Context, dir, tool string) (*Lock, error) {
	l := &Lock{
		dir: dir, tool: tool, opened: time.Now(), moved: make(chan struct{}), resting: make(chan struct{}), carrying: make(chan struct{}, 1), chunks: map[ecluse.MigrationID]map[string]bool{},
		seen: map[ecluse.Fingerprint]time.Time{}, told: map[string]*told{}, parsed: map[ecluse.Digest]*evidence.Roster{}, papers: map[ecluse.Digest]*gatePaper{}, lines: map[ecluse.Fingerprint]exchange.Line{}, instructions: map[ecluse.Digest]*mandate.Instruction{}, alerted: map[ecluse.MigrationID]bool{}, fetched: map[fetcher]*fetches{}, allowed: map[ecluse.MigrationID]chamber.Terms{},
	}
	var err error
	if l.signer, err = readKey(dir); err != nil {
		return nil, err
	}
	if l.settings, err = readSettings(dir); err != nil {
		return nil, err
	}
	if l.store, err = sqlite.Open(ctx, dir); err != nil {
		return nil, err
	}
	if l.chamber, err = chamber.Open(filepath.Join(dir, "chamber")); err != nil {
		l.store.Close()
		return nil, err
	}
	l.log = journal.New(l.store, l.signer)
	if l.due, err = l.runner(); err != nil {
		return nil, errors.Join(err, l.Shut())
	}
	return l, nil
}

// Shut closes the lock's folder.
func (l *Lock) Shut() error { return l.store.Close() }

// Key is the fingerprint of the key that signs the journal's heads.
func (l *Lock) Key() ecluse.Fingerprint { return evidence.FingerprintOf(l.signer.PublicKey()) }

// Roots are the parties' roots.
func (l *Lock) Roots() map[ecluse.Side]ecluse.Fingerprint { return maps.Clone(l.settings.Roots) }

// Rest answers gates that wait for work at once, from now on: a server that stops would
// have to wait for them.
func (l *Lock) Rest() { l.rest.Do(func() { close(l.resting) }) }

// tell wakes who waits.
func (l *Lock) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.moved)
	l.moved = make(chan struct{})
	l.standings = nil
}

// waitTime is how long Wait waits at most: another process may have written.
const waitTime = 200 * time.Millisecond

// Wait returns when more chunks than so many are in, or the manifest is closed, or
// after a while; of fewer than none, at any move.
func (l *Lock) Wait(ctx context.Context, m ecluse.MigrationID, beyond int) error {
	return l.Await(ctx, m, beyond, waitTime)
}

// Await is Wait for as long as its caller has patience.
func (l *Lock) Await(ctx context.Context, m ecluse.MigrationID, beyond int, longest time.Duration) error {
	t := time.NewTimer(longest)
	defer t.Stop()
	for {
		moved := l.moving()
		if beyond >= 0 {
			more, err := l.more(ctx, m, beyond)
			if err != nil || more {
				return err
			}
		}
		select {
		case <-moved:
			if beyond < 0 {
				return nil
			}
		case <-t.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// more tells whether more chunks than so many are in, or all are.
func (l *Lock) more(ctx context.Context, m ecluse.MigrationID, beyond int) (bool, error) {
	manifest, err := l.chamber.Manifest(m)
	if err != nil {
		return false, err
	}
	if manifest != nil {
		mig, err := l.store.Migration(ctx, m)
		if err != nil || mig.Place.Migration != procedure.Reading { // else it closed the reading before
			return err == nil, err
		}
	}
	all, err := l.chamber.List(m)
	return len(all) > beyond, err
}

// Kinds of documents the store knows that evidence has no name for.
const (
	kindRoster    = "roster"
	kindRecipient = string(exchange.RecipientPaper)
)

// gates reads which gates the instruction in force names.
func (l *Lock) gates(ctx context.Context, m ecluse.MigrationID) (source, target ecluse.Fingerprint, err error) {
	i, err := l.instruction(ctx, m)
	if err != nil {
		return "", "", err
	}
	return i.Source.Gate, i.Target.Gate, nil
}

// ofGates refuses a key that is of no gate of a migration.
func (l *Lock) ofGates(ctx context.Context, m ecluse.MigrationID, by ecluse.Fingerprint, what string) error {
	source, target, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	if by == source || by == target {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: what, Where: string(m), Why: string(by) + " is not a gate of this migration", Article: "GDPR art. 29",
		Next: "let a gate sign that the instruction names",
	}
}

// instruction reads the instruction in force of a migration.
func (l *Lock) instruction(ctx context.Context, m ecluse.MigrationID) (*mandate.Instruction, error) {
	d, err := l.store.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return nil, err
	}
	if d.IsZero() {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: "find the instruction", Where: string(m), Why: "there is none", Next: "ecluse plan --instruction FILE --as KEY"}
	}
	l.mu.Lock()
	i := l.instructions[d]
	l.mu.Unlock()
	if i != nil {
		return i, nil
	}
	text, err := l.store.Document(ctx, d)
	if err != nil {
		return nil, err
	}
	if i, err = mandate.ParseInstruction("instruction", text); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.instructions) > mostRead { // each is read again when it is needed
		clear(l.instructions)
	}
	l.instructions[d] = i
	return i, nil
}

// mostRead bounds how many instructions are remembered.
const mostRead = 200

// contract reads a contract by its digest.
func (l *Lock) contract(ctx context.Context, d ecluse.Digest) (*mandate.Contract, error) {
	text, err := l.store.Document(ctx, d)
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: "find the contract", Where: d.String(), Why: "no contract with that digest was signed here",
			Next: "ecluse sign contract.yaml --as KEY, by both parties", Article: "GDPR art. 28(3)", Err: err,
		}
	}
	return mandate.ParseContract("contract", text)
}

// move makes one move with its event.
func (l *Lock) move(ctx context.Context, m ecluse.MigrationID, t journal.Type, v procedure.Verb, by procedure.Actor) error {
	return l.store.Do(ctx, journal.Event{Tree: string(m), Type: t}, func(tx *sqlite.Tx) error {
		_, err := tx.Move(ctx, m, v, by)
		return err
	})
}
