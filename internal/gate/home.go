package gate

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
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
//
// Several processes may have the same folder open: what the ledger says stands
// on the disk alone, and is read each time.
type Home struct {
	dir    string
	signer ssh.Signer
	roots  map[ecluse.Side]ecluse.Fingerprint
	lock   ecluse.Fingerprint

	oneRoom bool // the lock and the other gate stand on this machine

	mu   sync.Mutex
	seen time.Time // the latest time seen by this process; the ledger keeps it by the minute
}

const keyFile = "gate_key"

// CreateHome makes a gate's folder with a new Ed25519 key, bound to the roots of
// both parties and to the key by which the lock signs its journal. They come from
// the people at the gate's own console. In one room the lock and the other gate
// stand on the same machine, and what the gate signs says so.
func CreateHome(dir, comment string, roots map[ecluse.Side]ecluse.Fingerprint, lock ecluse.Fingerprint, oneRoom bool) (*Home, error) {
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
	if !lock.Valid() {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "make gate", Where: "the lock's key", Why: fmt.Sprintf("%q is not a key's fingerprint", lock),
			Next: "take it from what `ecluse init` said of the lock: SHA256: and 43 characters",
		}
	}
	if err := durable.Mkdir(filepath.Join(dir, migrationsDir)); err != nil {
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
	h := &Home{dir: dir, roots: maps.Clone(roots), lock: lock, oneRoom: oneRoom}
	if h.signer, err = ssh.NewSignerFromSigner(private); err != nil {
		return nil, err
	}
	return h, h.save(&Ledger{Roots: roots, Lock: lock, OneRoom: oneRoom, Migrations: map[ecluse.MigrationID]*Entry{}})
}

// OpenHome opens a gate's folder.
func OpenHome(dir string) (*Home, error) {
	text, err := durable.ReadPrivate(filepath.Join(dir, keyFile))
	if errors.Is(err, durable.ErrOthers) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "open gate", Where: keyFile, Err: err, Article: "GDPR art. 32",
			Next: "chmod 600 " + filepath.Join(dir, keyFile) + "; whoever may have read it can act as this gate: when in doubt, retire it and enrol another",
		}
	}
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
	err = h.locked(func(l *Ledger) error {
		h.roots, h.lock, h.oneRoom, h.seen = l.Roots, l.Lock, l.OneRoom, l.HighWater
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = h.EraseKept() // a gate that was off erases before anything else
	return h, err
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
func (h *Home) Roots() map[ecluse.Side]ecluse.Fingerprint { return maps.Clone(h.roots) }

// Sign signs with the gate's key.
func (h *Home) Sign(namespace string, body []byte) (evidence.Signed, error) {
	return evidence.Sign(h.signer, namespace, body)
}

// migrationsDir is the folder, in a gate's own, of the folders of migrations.
const migrationsDir = "migrations"

// within opens the folder of migrations for one of them. Which one, the lock says: an id
// that is none is refused, and no path leads out of the folder.
func (h *Home) within(m ecluse.MigrationID, do func(root *os.Root, name string) error) (err error) {
	if !m.Valid() {
		return notAnID(m)
	}
	root, err := os.OpenRoot(filepath.Join(h.dir, migrationsDir))
	if err != nil {
		return &ecluse.Error{
			Kind: ecluse.Failed, What: "open the gate's folder of migrations", Err: pathless(err),
			Next: "give the user that runs ecluse the right to write the gate's folder; bring the folder back where it is gone",
		}
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return do(root, string(m))
}

func notAnID(m ecluse.MigrationID) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "open the gate's folder", Why: fmt.Sprintf("%q is not a migration's id", m), Article: "GDPR art. 32",
		Next: "nothing was read or removed; find out who changed what the lock asks",
	}
}

// folder is the gate's folder for a migration, made when absent.
func (h *Home) folder(m ecluse.MigrationID) (string, error) {
	err := h.within(m, func(root *os.Root, name string) error {
		if err := root.Mkdir(name, 0o700); !errors.Is(err, fs.ErrExist) {
			return err
		}
		in, err := root.OpenRoot(name) // a link that leads elsewhere is none of ours
		if err != nil {
			return err
		}
		return in.Close()
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(h.dir, migrationsDir, string(m)), durable.SyncDir(filepath.Join(h.dir, migrationsDir))
}

// secret reads a small secret file of a migration; fs.ErrNotExist when absent.
func (h *Home) secret(m ecluse.MigrationID, name string) (text []byte, err error) {
	err = h.within(m, func(root *os.Root, folder string) (err error) {
		text, err = root.ReadFile(filepath.Join(folder, name))
		return err
	})
	return text, err
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
func (h *Home) Files(m ecluse.MigrationID) (names []string, err error) {
	err = h.within(m, func(root *os.Root, folder string) error {
		return fs.WalkDir(root.FS(), folder, func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !e.IsDir() {
				names = append(names, strings.TrimPrefix(path, folder+"/"))
			}
			return err
		})
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
	if err := h.within(m, (*os.Root).RemoveAll); err != nil {
		return nil, err
	}
	return names, durable.SyncDir(filepath.Join(h.dir, migrationsDir))
}

// Holds tells whether anything of a migration is left in the gate's folder.
func (h *Home) Holds(m ecluse.MigrationID) bool {
	return h.within(m, func(root *os.Root, name string) error {
		_, err := root.Lstat(name)
		return err
	}) == nil
}

// Signer is the gate's key: it signs descriptors and statements, and proves to a server
// which gate it is.
func (h *Home) Signer() ssh.Signer { return h.signer }
