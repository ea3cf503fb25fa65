package app

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/chamber"
	"ecluse/internal/durable"
	"ecluse/internal/gate"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// lock is the lock itself, in this process: papers, journal, chamber, deadlines.
// It holds no key that opens a chunk and no database password. It fills
// gate.Lock directly; a server fills it over HTTPS.
type lock struct {
	dir     string
	store   *sqlite.Store
	chamber *chamber.Chamber
	log     *journal.Log
	signer  ssh.Signer
	roots   map[ecluse.Side]ecluse.Fingerprint

	mu     sync.Mutex
	moved  chan struct{}                          // closed when something was put, asked or lent
	chunks map[ecluse.MigrationID]map[string]bool // descriptors that the journal knows
}

var _ gate.Lock = (*lock)(nil)

const (
	lockKeyFile   = "lock_key"
	lockRootsFile = "roots.json"
)

// createLock makes the lock's folder.
func createLock(ctx context.Context, dir string, roots map[ecluse.Side]ecluse.Fingerprint) (ecluse.Fingerprint, error) {
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
	if err := durable.CreateFile(filepath.Join(dir, lockKeyFile), pem.EncodeToMemory(block)); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(roots, "", "  ")
	if err != nil {
		return "", err
	}
	if err := durable.CreateFile(filepath.Join(dir, lockRootsFile), append(text, '\n')); err != nil {
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

// openLock opens it.
func openLock(ctx context.Context, dir string) (*lock, error) {
	l := &lock{dir: dir, moved: make(chan struct{}), chunks: map[ecluse.MigrationID]map[string]bool{}}
	text, err := os.ReadFile(filepath.Join(dir, lockKeyFile))
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "open the lock", Where: dir, Why: "there is no lock in this folder",
			Next: "ecluse init DIR --controller SHA256:… --processor SHA256:…, or name another folder with --lock", Err: err,
		}
	}
	if l.signer, err = ssh.ParsePrivateKey(text); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open the lock", Where: lockKeyFile, Err: err}
	}
	text, err = os.ReadFile(filepath.Join(dir, lockRootsFile))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open the lock", Where: lockRootsFile, Err: err}
	}
	if err := json.Unmarshal(text, &l.roots); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open the lock", Where: lockRootsFile, Err: err}
	}
	if l.store, err = sqlite.Open(ctx, dir); err != nil {
		return nil, err
	}
	if l.chamber, err = chamber.Open(filepath.Join(dir, "chamber")); err != nil {
		l.store.Close()
		return nil, err
	}
	l.log = journal.New(l.store, l.signer)
	return l, nil
}

func (l *lock) close() error { return l.store.Close() }

// tell wakes who waits.
func (l *lock) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.moved)
	l.moved = make(chan struct{})
}

// waitTime is how long Wait waits at most: another process may have written.
const waitTime = 200 * time.Millisecond

// Wait returns when something moved in the lock, or after a while.
func (l *lock) Wait(ctx context.Context, _ ecluse.MigrationID) error {
	l.mu.Lock()
	moved := l.moved
	l.mu.Unlock()
	t := time.NewTimer(waitTime)
	defer t.Stop()
	select {
	case <-moved:
	case <-t.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// Kinds of documents the store knows that evidence has no name for.
const (
	kindRoster    = "roster"
	kindFrozen    = "frozen"
	kindRecipient = "recipient"
)

// kindLoadPlan is how the load plan in force of a kind of passage is kept.
func kindLoadPlan(k ecluse.PassageKind) string { return evidence.KindLoadPlan + "-" + string(k) }

// Case gathers what stands about a migration.
func (l *lock) Case(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*gate.Case, error) {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	c := &gate.Case{}
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
		{kindLoadPlan(kind), &c.LoadPlan},
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
	c.Acts, err = l.acts(ctx, m)
	return c, err
}

// mappingFor is the mapping in force, or, while a passage of that kind is in the
// target, the one it is loaded with: a later one is for the next passage.
func (l *lock) mappingFor(ctx context.Context, p procedure.Place, kind ecluse.PassageKind, c *gate.Case) ([]byte, error) {
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
func (l *lock) current(ctx context.Context, m ecluse.MigrationID, kind string) ([]byte, error) {
	d, err := l.store.Current(ctx, m, kind)
	if err != nil || d.IsZero() {
		return nil, err
	}
	return l.store.Document(ctx, d)
}

func (l *lock) frozen(ctx context.Context, m ecluse.MigrationID) ([][]byte, error) {
	docs, err := l.store.Documents(ctx, m, kindFrozen)
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
func (l *lock) rosters(ctx context.Context) ([]evidence.Signed, error) {
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
func (l *lock) signed(ctx context.Context, m ecluse.MigrationID, kind, namespace string) ([]evidence.Signed, error) {
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
func (l *lock) acts(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	of, err := l.signed(ctx, m, "act", evidence.NamespaceAct)
	if err != nil {
		return nil, err
	}
	installation, err := l.signed(ctx, "", "act", evidence.NamespaceAct)
	return append(installation, of...), err
}

// Post takes in what a gate signed.
func (l *lock) Post(ctx context.Context, m ecluse.MigrationID, kind gate.Paper, s evidence.Signed) error {
	namespace := evidence.NamespaceStatement
	if kind == gate.RecipientPaper {
		namespace = evidence.NamespaceRecipient
	}
	known, err := l.store.Documents(ctx, m, string(kind))
	if err != nil {
		return err
	}
	for _, d := range known {
		if d.Digest == s.Digest() {
			return nil
		}
	}
	key, err := s.Verify(namespace)
	if err != nil {
		return err
	}
	by := evidence.FingerprintOf(key)
	if kind != gate.RecipientPaper { // recipients come before their instruction is signed
		if err := l.ofGates(ctx, m, by, "post "+string(kind)); err != nil {
			return err
		}
	}
	return l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.StatementStored,
		IDs: map[string]string{"statement": s.Digest().String(), "kind": string(kind), "gate": string(by)},
	}, func(tx *sqlite.Tx) error {
		_, err := tx.AddSigned(ctx, string(kind), m, namespace, s)
		return err
	})
}

// Record puts a gate's event into the journal.
func (l *lock) Record(ctx context.Context, e gate.Event) error {
	return l.store.Do(ctx, journal.Event{Tree: string(e.Migration), Type: journal.Type(e.Type), IDs: e.IDs, Numbers: e.Numbers}, nil)
}

// gates reads which gates the instruction in force names.
func (l *lock) gates(ctx context.Context, m ecluse.MigrationID) (source, target ecluse.Fingerprint, err error) {
	i, err := l.instruction(ctx, m)
	if err != nil {
		return "", "", err
	}
	return i.Source.Gate, i.Target.Gate, nil
}

// ofGates refuses a key that is of no gate of a migration.
func (l *lock) ofGates(ctx context.Context, m ecluse.MigrationID, by ecluse.Fingerprint, what string) error {
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
func (l *lock) Ask(ctx context.Context, m ecluse.MigrationID, request evidence.Signed) error {
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
		return tx.AskLease(ctx, m, request, tx.Now().Add(gate.LeaseTime))
	})
	l.tell()
	return err
}

// Asked lists requests that have no answer yet.
func (l *lock) Asked(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
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
func (l *lock) Lend(ctx context.Context, m ecluse.MigrationID, answer evidence.Signed) error {
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
func (l *lock) Lent(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest) (*evidence.Signed, error) {
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
func (l *lock) Head(ctx context.Context, m ecluse.MigrationID, from int64) (evidence.Signed, [][32]byte, error) {
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
func (l *lock) Cosign(ctx context.Context, m ecluse.MigrationID, head evidence.Signed) error {
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
func (l *lock) Cosigned(ctx context.Context, m ecluse.MigrationID, by ecluse.Fingerprint) (*evidence.Signed, error) {
	s, err := l.store.Cosigned(ctx, string(m), by)
	if err != nil || s.Body == nil {
		return nil, err
	}
	return &s, nil
}
