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

	mu           sync.Mutex
	moved        chan struct{}                          // closed when something was put, asked, lent or answered
	chunks       map[ecluse.MigrationID]map[string]bool // descriptors that the journal knows
	seen         map[ecluse.Fingerprint]time.Time       // when a gate last asked what is wanted
	told         map[string]*told                       // how far gates' work has come
	parsed       map[ecluse.Digest]*evidence.Roster     // rosters that verified
	admitted     map[ecluse.Fingerprint]bool            // confirmed gates; nil: to be read again
	instructions map[ecluse.Digest]*mandate.Instruction // read and parsed: they never change
	lines        map[ecluse.Fingerprint]exchange.Line   // what gates measured of their way here
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
		dir: dir, tool: tool, opened: time.Now(), moved: make(chan struct{}), chunks: map[ecluse.MigrationID]map[string]bool{},
		seen: map[ecluse.Fingerprint]time.Time{}, told: map[string]*told{}, parsed: map[ecluse.Digest]*evidence.Roster{}, lines: map[ecluse.Fingerprint]exchange.Line{}, instructions: map[ecluse.Digest]*mandate.Instruction{},
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

// tell wakes who waits.
func (l *Lock) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.moved)
	l.moved = make(chan struct{})
	l.admitted = nil
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
			more, err := l.more(m, beyond)
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
func (l *Lock) more(m ecluse.MigrationID, beyond int) (bool, error) {
	manifest, err := l.chamber.Manifest(m)
	if err != nil || manifest != nil {
		return manifest != nil, err
	}
	all, err := l.chamber.List(m)
	return len(all) > beyond, err
}

// Kinds of documents the store knows that evidence has no name for.
const (
	kindRoster    = "roster"
	kindRecipient = string(exchange.RecipientPaper)
)

// Case gathers what stands about a migration.
func (l *Lock) Case(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Case, error) {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	c := &exchange.Case{}
	if c.Contract, err = l.store.Document(ctx, mig.Contract); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		kind string
		into *[]byte
	}{
		{evidence.KindInstruction, &c.Instruction},
		{evidence.KindMapping, &c.Mapping},
		{evidence.KindReadPlan, &c.ReadPlan},
		{exchange.KindLoadPlan(kind), &c.LoadPlan},
	} {
		if *d.into, err = l.current(ctx, m, d.kind); err != nil {
			return nil, err
		}
	}
	if c.Mapping, err = l.mappingFor(ctx, mig.Place, kind, c); err != nil {
		return nil, err
	}
	if c.Frozen, err = l.frozen(ctx, m); err != nil {
		return nil, err
	}
	if c.Rosters, err = l.rosters(ctx); err != nil {
		return nil, err
	}
	if c.Recipients, err = l.signed(ctx, m, kindRecipient, evidence.NamespaceRecipient); err != nil {
		return nil, err
	}
	if c.Acts, err = l.acts(ctx, m); err != nil {
		return nil, err
	}
	passages, err := l.store.Passages(ctx, m)
	for _, p := range passages {
		c.Passages = append(c.Passages, p.Passage)
	}
	return c, err
}

// mappingFor is the mapping in force, or, while a passage of that kind is in the
// target, the one it is loaded with: a later one is for the next passage.
func (l *Lock) mappingFor(ctx context.Context, p procedure.Place, kind ecluse.PassageKind, c *exchange.Case) ([]byte, error) {
	inside := []procedure.State{procedure.Loading, procedure.Loaded, procedure.Compared, procedure.Undoing, procedure.Accepted}
	if c.LoadPlan == nil || p.Kind != kind || !slices.Contains(inside, p.Passage) {
		return c.Mapping, nil
	}
	plan, err := mandate.ParseLoadPlan(c.LoadPlan)
	if err != nil {
		return nil, err
	}
	return l.store.Document(ctx, plan.Shape.Mapping)
}

// current reads the document of a kind that is in force; nil when there is none.
func (l *Lock) current(ctx context.Context, m ecluse.MigrationID, kind string) ([]byte, error) {
	d, err := l.store.Current(ctx, m, kind)
	if err != nil || d.IsZero() {
		return nil, err
	}
	return l.store.Document(ctx, d)
}

func (l *Lock) frozen(ctx context.Context, m ecluse.MigrationID) ([][]byte, error) {
	docs, err := l.store.Documents(ctx, m, exchange.KindFrozen)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, d := range docs {
		b, err := l.store.Document(ctx, d.Digest)
		if err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	return all, nil
}

// rosters returns every roster taken in, with its root's signature.
func (l *Lock) rosters(ctx context.Context) ([]evidence.Signed, error) {
	var all []evidence.Signed
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		rs, err := l.store.Rosters(ctx, side)
		if err != nil {
			return nil, err
		}
		for _, r := range rs {
			s, err := l.store.Signed(ctx, r.Digest, evidence.NamespaceRoster)
			if err != nil {
				return nil, err
			}
			all = append(all, s...)
		}
	}
	return all, nil
}

// signed returns every signed document of a kind of a migration.
func (l *Lock) signed(ctx context.Context, m ecluse.MigrationID, kind, namespace string) ([]evidence.Signed, error) {
	docs, err := l.store.Documents(ctx, m, kind)
	if err != nil {
		return nil, err
	}
	var all []evidence.Signed
	for _, d := range docs {
		s, err := l.store.Signed(ctx, d.Digest, namespace)
		if err != nil {
			return nil, err
		}
		all = append(all, s...)
	}
	return all, nil
}

// acts returns the acts of a migration and those on contracts.
func (l *Lock) acts(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	of, err := l.signed(ctx, m, "act", evidence.NamespaceAct)
	if err != nil {
		return nil, err
	}
	installation, err := l.signed(ctx, "", "act", evidence.NamespaceAct)
	return append(installation, of...), err
}

// Post takes in what a gate signed.
func (l *Lock) Post(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper, s evidence.Signed) error {
	if !kind.Known() {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "post", Why: "no gate signs papers of that kind"}
	}
	namespace := kind.Namespace()
	known, err := l.store.Documents(ctx, m, string(kind))
	if err != nil {
		return err
	}
	key, err := s.Verify(namespace)
	if err != nil {
		return err
	}
	by := evidence.FingerprintOf(key)
	for _, d := range known {
		if d.Digest != s.Digest() {
			continue
		}
		signed, err := l.store.Signed(ctx, d.Digest, namespace)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(signed, func(x evidence.Signed) bool { return x.VerifyBy(namespace, by) == nil }) {
			return nil
		}
	}
	if kind != exchange.RecipientPaper { // recipients come before their instruction is signed
		if err := l.ofGates(ctx, m, by, "post "+string(kind)); err != nil {
			return err
		}
	}
	event := journal.Event{
		Tree: string(m), Type: journal.StatementStored,
		IDs: map[string]string{"statement": s.Digest().String(), "kind": string(kind), "gate": string(by)},
	}
	if kind == exchange.Certificate {
		event.Type, event.IDs = journal.Certified, map[string]string{"certificate": s.Digest().String(), "gate": string(by)}
	}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		_, err := tx.AddSigned(ctx, string(kind), m, namespace, s)
		return err
	})
}

// Posted returns what gates handed in of a kind, in the order it came.
func (l *Lock) Posted(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper) ([]evidence.Signed, error) {
	return l.signed(ctx, m, string(kind), kind.Namespace())
}

// Record puts a gate's event into the journal.
func (l *Lock) Record(ctx context.Context, e exchange.Event) error {
	if !slices.Contains(fromGates(), journal.Type(e.Type)) { // the rest is the lock's own to say
		return &ecluse.Error{Kind: ecluse.Refused, What: "record an event", Why: "it is none that a gate tells of"}
	}
	return l.store.Do(ctx, journal.Event{Tree: string(e.Migration), Type: journal.Type(e.Type), IDs: e.IDs, Numbers: e.Numbers}, nil)
}

// fromGates are the events that gates tell of.
func fromGates() []journal.Type {
	return []journal.Type{journal.EpochBegun, journal.RejectsShown, journal.FiguresShown, journal.GateHeld}
}

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

// Ask takes in a request for the release secret.
func (l *Lock) Ask(ctx context.Context, m ecluse.MigrationID, request evidence.Signed) error {
	_, target, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	if err := request.VerifyBy(evidence.NamespaceStatement, target); err != nil {
		return err
	}
	err = l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.LeaseAsked, IDs: map[string]string{"request": request.Digest().String(), "gate": string(target)},
	}, func(tx *sqlite.Tx) error {
		return tx.AskLease(ctx, m, request, tx.Now().Add(exchange.LeaseTime))
	})
	l.tell()
	return err
}

// Asked lists requests that have no answer yet.
func (l *Lock) Asked(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	leases, err := l.store.Leases(ctx, m)
	if err != nil {
		return nil, err
	}
	var open []evidence.Signed
	for _, x := range leases {
		if x.Ended.IsZero() && x.Answer.Body == nil {
			open = append(open, x.Request)
		}
	}
	return open, nil
}

// Lend takes in the source gate's answer.
func (l *Lock) Lend(ctx context.Context, m ecluse.MigrationID, answer evidence.Signed) error {
	source, _, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	if err := answer.VerifyBy(evidence.NamespaceStatement, source); err != nil {
		return err
	}
	var to struct {
		Request ecluse.Digest `json:"request"`
	}
	if err := json.Unmarshal(answer.Body, &to); err != nil {
		return err
	}
	err = l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.LeaseLent, IDs: map[string]string{"request": to.Request.String(), "answer": answer.Digest().String()},
	}, func(tx *sqlite.Tx) error { return tx.LendLease(ctx, m, to.Request, answer) })
	l.tell()
	return err
}

// Lent returns the answer to a request.
func (l *Lock) Lent(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest) (*evidence.Signed, error) {
	leases, err := l.store.Leases(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, x := range leases {
		if x.Request.Digest() == request && x.Answer.Body != nil {
			return &x.Answer, nil
		}
	}
	return nil, nil
}

// Head returns the newest head of a migration's tree, with the proof that it
// continues the tree of size from.
func (l *Lock) Head(ctx context.Context, m ecluse.MigrationID, from int64) (evidence.Signed, [][32]byte, error) {
	head, err := l.log.Head(ctx, string(m))
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	h, err := evidence.ParseHead(head.Body)
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	proof, err := l.log.Consistency(ctx, string(m), from, h.Size)
	out := make([][32]byte, len(proof))
	for i, p := range proof {
		out[i] = p
	}
	return head, out, err
}

// Cosign keeps a gate's signature under a head.
func (l *Lock) Cosign(ctx context.Context, m ecluse.MigrationID, head evidence.Signed) error {
	key, err := head.Verify(evidence.NamespaceHead)
	if err != nil {
		return err
	}
	by := evidence.FingerprintOf(key)
	if err := l.ofGates(ctx, m, by, "cosign head"); err != nil {
		return err
	}
	return l.log.Cosign(ctx, by, head)
}

// Cosigned returns the newest head of a migration's journal that a gate signed.
func (l *Lock) Cosigned(ctx context.Context, m ecluse.MigrationID, by ecluse.Fingerprint) (*evidence.Signed, error) {
	s, err := l.store.Cosigned(ctx, string(m), by)
	if err != nil || s.Body == nil {
		return nil, err
	}
	return &s, nil
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
