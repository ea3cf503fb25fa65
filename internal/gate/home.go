package gate

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
)

// Home is a gate's own folder: its key, its ledger and, per migration, its half
// of what opens chunks. Nothing in it is shared with the lock or the other gate,
// and it stays out of backups.
type Home struct {
	dir    string
	signer ssh.Signer

	mu     sync.Mutex
	ledger Ledger
	kept   time.Time // the high-water time as it is on the disk
}

const (
	keyFile    = "gate_key"
	ledgerFile = "ledger.json"
)

// CreateHome makes a gate's folder with a new Ed25519 key, bound to the roots of
// both parties. The roots come from the people at the gate's own console.
func CreateHome(dir, comment string, roots map[ecluse.Side]ecluse.Fingerprint) (*Home, error) {
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if !roots[side].Valid() {
			return nil, &ecluse.Error{
				Kind: ecluse.Invalid, What: "make gate", Where: "--" + string(side),
				Why:  fmt.Sprintf("%q is not a key's fingerprint", roots[side]),
				Next: "take it from `ssh-keygen -lf` of that party's root key: SHA256: and 43 characters",
			}
		}
	}
	if roots[ecluse.Controller] == roots[ecluse.Processor] {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "make gate", Why: "both parties name the same root key", Article: "GDPR art. 28(3)",
			Next: "each party makes a root key of its own",
		}
	}
	if err := durable.Mkdir(filepath.Join(dir, "migrations")); err != nil {
		return nil, err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return nil, err
	}
	if err := durable.CreateFile(filepath.Join(dir, keyFile), pem.EncodeToMemory(block)); err != nil {
		return nil, err
	}
	h := &Home{dir: dir, ledger: Ledger{Roots: roots, Migrations: map[ecluse.MigrationID]*Entry{}}}
	if h.signer, err = ssh.NewSignerFromSigner(private); err != nil {
		return nil, err
	}
	return h, h.save()
}

// OpenHome opens a gate's folder.
func OpenHome(dir string) (*Home, error) {
	text, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open gate", Where: dir, Why: "there is no gate in this folder", Err: pathless(err)}
	}
	h := &Home{dir: dir}
	if h.signer, err = ssh.ParsePrivateKey(text); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "open gate", Where: keyFile, Why: "the gate's key cannot be read", Err: err}
	}
	if err := durable.Sweep(dir); err != nil {
		return nil, err
	}
	text, err = os.ReadFile(filepath.Join(dir, ledgerFile))
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "open gate", Where: ledgerFile, Err: pathless(err),
			Why:  "a gate without its ledger could be made to replay an old plan",
			Next: "bring the ledger back, or make a new gate and have a new instruction signed for it",
		}
	}
	if err := json.Unmarshal(text, &h.ledger); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "open gate", Where: ledgerFile, Why: "the ledger is damaged", Err: err}
	}
	if h.ledger.Migrations == nil {
		h.ledger.Migrations = map[ecluse.MigrationID]*Entry{}
	}
	h.kept = h.ledger.HighWater
	return h, nil
}

// pathless drops the path of a file error: messages name files by their role.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// Fingerprint names the gate: it is what an instruction must say.
func (h *Home) Fingerprint() ecluse.Fingerprint { return evidence.FingerprintOf(h.signer.PublicKey()) }

// PublicKey is the gate's key in authorized_keys form, without a line end.
func (h *Home) PublicKey() string {
	k := ssh.MarshalAuthorizedKey(h.signer.PublicKey())
	return string(k[:len(k)-1])
}

// Roots are the parties' roots, given at this gate's console.
func (h *Home) Roots() map[ecluse.Side]ecluse.Fingerprint {
	h.mu.Lock()
	defer h.mu.Unlock()
	return map[ecluse.Side]ecluse.Fingerprint{
		ecluse.Controller: h.ledger.Roots[ecluse.Controller],
		ecluse.Processor:  h.ledger.Roots[ecluse.Processor],
	}
}

// Sign signs with the gate's key.
func (h *Home) Sign(namespace string, body []byte) (evidence.Signed, error) {
	return evidence.Sign(h.signer, namespace, body)
}

// folder is the gate's folder for a migration, made when absent.
func (h *Home) folder(m ecluse.MigrationID) (string, error) {
	dir := filepath.Join(h.dir, "migrations", string(m))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	return dir, durable.Mkdir(dir)
}

// secret reads a small secret file of a migration; fs.ErrNotExist when absent.
func (h *Home) secret(m ecluse.MigrationID, name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(h.dir, "migrations", string(m), name))
}

// keep writes a secret file of a migration, which must not exist yet.
func (h *Home) keep(m ecluse.MigrationID, name string, secret []byte) error {
	dir, err := h.folder(m)
	if err != nil {
		return err
	}
	return durable.CreateFile(filepath.Join(dir, name), secret)
}

// Files lists what the gate keeps of a migration, by name.
func (h *Home) Files(m ecluse.MigrationID) ([]string, error) {
	dir := filepath.Join(h.dir, "migrations", string(m))
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	})
	return names, err
}

// Destroy removes the gate's whole folder of a migration: its half of the key,
// K, bookmarks and notes. It returns the names of the files that were there.
func (h *Home) Destroy(m ecluse.MigrationID) ([]string, error) {
	names, err := h.Files(m)
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(h.dir, "migrations", string(m))); err != nil {
		return nil, err
	}
	return names, durable.SyncDir(filepath.Join(h.dir, "migrations"))
}

// Holds tells whether anything of a migration is left in the gate's folder.
func (h *Home) Holds(m ecluse.MigrationID) bool {
	_, err := os.Lstat(filepath.Join(h.dir, "migrations", string(m)))
	return err == nil
}

// Ledger is what a gate remembers on its own, so that no server can show it an
// old paper as new. It only ever goes forward.
type Ledger struct {
	Roots      map[ecluse.Side]ecluse.Fingerprint `json:"roots"`
	Rosters    map[ecluse.Side]int                `json:"rosters"`    // highest number seen
	HighWater  time.Time                          `json:"high_water"` // latest time seen
	Migrations map[ecluse.MigrationID]*Entry      `json:"migrations"`
}

// Entry is the ledger's page about a migration.
type Entry struct {
	Instruction ecluse.Digest            `json:"instruction"`
	ReadPlan    ecluse.Digest            `json:"read_plan"`
	ReadBegun   time.Time                `json:"read_begun,omitzero"`
	Epoch       int                      `json:"epoch"`
	Passages    map[string]time.Time     `json:"passages,omitempty"` // "final-1" → begun
	Plans       map[string]ecluse.Digest `json:"plans,omitempty"`    // "final-1" → the load plan that began
	Undone      map[string]*Taken        `json:"undone,omitempty"`   // "final-1" → what was, or is being, taken out again
	Head        []byte                   `json:"head,omitempty"`     // last journal head seen
	Erased      time.Time                `json:"erased,omitzero"`
	Destroyed   []string                 `json:"destroyed,omitempty"` // names of the secrets that were
}

// ErrClockBack is the cause when a gate finds its clock before a time it has seen.
var ErrClockBack = errors.New("the clock stands before a time already seen")

// clockSlack is how far a clock may be corrected backwards without being called
// set back: what time synchronisation does in the ordinary.
const clockSlack = 2 * time.Minute

// clockKept is how often the time seen is made durable: a clock set back while
// the gate is off is found out to within that.
const clockKept = time.Minute

// Now is the gate's clock, never before a time it has seen. A clock set back
// beyond what synchronisation does stops the gate: a deadline must not move.
func (h *Home) Now() (time.Time, error) {
	now := time.Now().UTC().Truncate(time.Second)
	h.mu.Lock()
	defer h.mu.Unlock()
	high := h.ledger.HighWater
	if now.Before(high.Add(-clockSlack)) {
		return high, &ecluse.Error{
			Kind: ecluse.Refused, What: "read the clock", Why: fmt.Sprintf("it says %s, and %s has already been", now.Format(time.RFC3339), high.Format(time.RFC3339)),
			Err: ErrClockBack, Next: "set the clock right; no deadline has moved meanwhile",
		}
	}
	if now.Before(high) {
		return high, nil
	}
	h.ledger.HighWater = now
	if now.Sub(h.kept) < clockKept {
		return now, nil
	}
	return now, h.save()
}

// Entry returns a copy of the ledger's page about a migration.
func (h *Home) Entry(m ecluse.MigrationID) Entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.ledger.Migrations[m]; e != nil {
		return e.clone()
	}
	return Entry{}
}

// Note changes the ledger's page about a migration and makes it durable before
// it returns.
func (h *Home) Note(m ecluse.MigrationID, change func(*Entry) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.ledger.Migrations[m]
	e := Entry{Passages: map[string]time.Time{}, Plans: map[string]ecluse.Digest{}, Undone: map[string]*Taken{}}
	if old != nil {
		e = old.clone()
	}
	if err := change(&e); err != nil {
		return err
	}
	h.ledger.Migrations[m] = &e
	if err := h.save(); err != nil {
		if old == nil {
			delete(h.ledger.Migrations, m)
		} else {
			h.ledger.Migrations[m] = old
		}
		return err
	}
	return nil
}

// clone copies a page, so that a change that fails changes nothing.
func (e *Entry) clone() Entry {
	c := *e
	c.Passages, c.Plans, c.Undone = maps.Clone(e.Passages), maps.Clone(e.Plans), maps.Clone(e.Undone)
	if c.Passages == nil {
		c.Passages = map[string]time.Time{}
	}
	if c.Plans == nil {
		c.Plans = map[string]ecluse.Digest{}
	}
	if c.Undone == nil {
		c.Undone = map[string]*Taken{}
	}
	return c
}

// RosterFloor is the highest roster number seen of a party.
func (h *Home) RosterFloor() map[ecluse.Side]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return maps.Clone(h.ledger.Rosters)
}

// SawRosters raises the floor, durably.
func (h *Home) SawRosters(numbers map[ecluse.Side]int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ledger.Rosters == nil {
		h.ledger.Rosters = map[ecluse.Side]int{}
	}
	higher := false
	for s, n := range numbers {
		if n > h.ledger.Rosters[s] {
			h.ledger.Rosters[s], higher = n, true
		}
	}
	if !higher {
		return nil
	}
	return h.save()
}

// save makes the ledger durable; the caller holds mu, or owns h alone.
func (h *Home) save() error {
	text, err := json.MarshalIndent(&h.ledger, "", "  ")
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
	h.kept = h.ledger.HighWater
	return nil
}
