package chamber

import (
	"bufio"
	"bytes"
	"testing"

	"filippo.io/age"
)

// What the check lets pass, the age library reads as a file with one stanza of
// that kind, or not at all.
func FuzzCheckSealed(f *testing.F) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, id.Recipient())
	if err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(out.Bytes())
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\nx\n--- x\n"))
	f.Add([]byte("age-encryption.org/v1\n-> mlkem768x25519 x\n\n-> X25519 x\n\n--- x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkSealed(bufio.NewReaderSize(bytes.NewReader(b), headerSize)) != nil {
			return
		}
		var seen watch
		_, _ = age.Decrypt(bytes.NewReader(b), &seen)
		if seen.other {
			t.Error("a file of other stanzas passed")
		}
	})
}

// watch is an identity that sees which stanzas a file has.
type watch struct{ other bool }

func (w *watch) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	w.other = len(stanzas) != 1 || stanzas[0].Type != "mlkem768x25519"
	return nil, age.ErrIncorrectIdentity
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("{}\n-----BEGIN SSH SIGNATURE-----\nx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := split(b)
		if err == nil && !bytes.Equal(append(bytes.Clone(s.Body), s.Signature...), b) {
			t.Error("something was lost")
		}
	})
}
