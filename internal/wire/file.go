package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"ecluse"
)

// File is an operator's certificate and key, in two files (PEM), read again when
// they change. Its pin is the key's: a renewal that keeps the key changes nothing
// for clients, one that does not would lock them all out, and is not taken.
type File struct {
	cert, key string
	warn      func(error)

	mu   sync.Mutex
	read [2]fs.FileInfo // of both files, when they were last read
	pair *tls.Certificate
	pin  Pin
}

// OpenFile reads an operator's certificate and key. warn is told when changed
// files are not taken, once a change; the server then goes on with what it has.
func OpenFile(cert, key string, now func() time.Time, warn func(error)) (*File, error) {
	f := &File{cert: cert, key: key, warn: warn}
	read, err := f.stat()
	if err != nil {
		return nil, err
	}
	if f.pair, err = f.load(); err != nil {
		return nil, err
	}
	if l := f.pair.Leaf; now().After(l.NotAfter) || now().Before(l.NotBefore) {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "read the server's certificate", Where: cert,
			Why:  fmt.Sprintf("it is valid from %s to %s", l.NotBefore.UTC().Format(time.DateTime), l.NotAfter.UTC().Format(time.DateTime)),
			Next: "renew it with the same key, and look at this machine's clock",
		}
	}
	f.read, f.pin = read, PinOf(f.pair.Leaf)
	return f, nil
}

// Pin is the pin of the certificate's key.
func (f *File) Pin() Pin { return f.pin }

// GetCertificate gives the certificate, read again when its files changed.
func (f *File) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	read, err := f.stat()
	if err != nil || sameFiles(read, f.read) {
		return f.pair, nil //nolint:nilerr // a file that is being replaced: the one in memory holds
	}
	f.read = read
	pair, err := f.load()
	if err == nil && PinOf(pair.Leaf) != f.pin {
		err = &ecluse.Error{
			Kind: ecluse.Refused, What: "read the server's certificate again", Where: f.cert,
			Why:  "it has another key, of pin " + PinOf(pair.Leaf).String() + ": every client would be locked out",
			Next: "renew it with the same key; or give every client the new pin and start `ecluse serve` again",
		}
	}
	if err != nil {
		f.warn(err)
		return f.pair, nil
	}
	f.pair = pair
	return pair, nil
}

func (f *File) stat() (both [2]fs.FileInfo, err error) {
	for i, path := range []string{f.cert, f.key} {
		if both[i], err = os.Stat(path); err != nil {
			return both, unreadable(path, err)
		}
	}
	return both, nil
}

func (f *File) load() (*tls.Certificate, error) {
	key, err := readPrivate("read the server's key", f.key)
	if err != nil {
		return nil, err
	}
	cert, err := os.ReadFile(f.cert)
	if err != nil {
		return nil, unreadable(f.cert, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, unreadable(f.cert+", "+f.key, err)
	}
	if pair.Leaf == nil {
		return nil, unreadable(f.cert, errors.New("no certificate"))
	}
	return &pair, nil
}

func unreadable(where string, err error) error {
	return &ecluse.Error{
		Kind: ecluse.Invalid, What: "read the server's certificate", Where: where, Why: "certificate and key cannot be used together",
		Next: "give a certificate (its chain after it) and its private key, both PEM", Err: pathless(err),
	}
}

func sameFiles(a, b [2]fs.FileInfo) bool {
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
