package app_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"ecluse/internal/app/roomtest"
	"ecluse/internal/stocktest"
)

// identity unwraps a migration's identity by hand, from the two halves of the key
// as the two gates keep them: AES-256-GCM under HKDF-SHA-256 of the target gate's
// secret and what is derived of the release secret for that gate.
func identity(t *testing.T, d *roomtest.Dir) []byte {
	t.Helper()
	m := string(roomtest.Migration)
	own := d.Read("room", "target", "migrations", m, "secret")
	release := halfFor(d, d.Read("room", "source", "migrations", m, "release"))
	wrapped := d.Read("room", "target", "migrations", m, "identity.wrapped")
	open := func(own, release []byte) ([]byte, error) {
		key, err := hkdf.Key(sha256.New, append(bytes.Clone(own), release...), []byte(m), "ecluse identity v1", 32)
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		return gcm.Open(nil, wrapped[:gcm.NonceSize()], wrapped[gcm.NonceSize():], []byte(m))
	}
	for what, halves := range map[string][2][]byte{
		"without the release secret": {own, make([]byte, 32)}, "without the target gate's secret": {make([]byte, 32), release}, "the other way round": {release, own},
	} {
		if _, err := open(halves[0], halves[1]); err == nil {
			t.Errorf("%s the identity opens", what)
		}
	}
	text, err := open(own, release)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestStockAge: the public age command opens the chunks of a real chamber with
// the migration's identity, and with nothing else; zstd and any Arrow reader do
// the rest.
func TestStockAge(t *testing.T) {
	t.Parallel()
	age, zstd := stocktest.Tool(t, "age"), stocktest.Tool(t, "zstd")
	d := roomtest.At(t, roomtest.Sealed, 200)
	id := filepath.Join(t.TempDir(), "identity.txt")
	if err := os.WriteFile(id, append(identity(t, d), '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.txt")
	rejects := d.Read("room", "source", "migrations", string(roomtest.Migration), "rejects-identity")
	if err := os.WriteFile(other, append(rejects, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	c := chunksOf(d)
	for dataset, column := range map[string]string{"patient": "NIR", "result": "VALEUR"} {
		body := c.object(dataset + "/000000.0")
		if out, err := exec.Command(age, "-d", "-i", other, body).Output(); err == nil || len(out) > 0 {
			t.Errorf("%s opens with the identity of rejects", dataset)
		}
		zipped, err := exec.Command(age, "-d", "-i", id, body).Output()
		if err != nil {
			t.Fatalf("age -d: %v", err)
		}
		unzip := exec.Command(zstd, "-d", "-c")
		unzip.Stdin = bytes.NewReader(zipped)
		plain, err := unzip.Output()
		if err != nil {
			t.Fatalf("zstd -d: %v", err)
		}
		r, err := ipc.NewReader(bytes.NewReader(plain))
		if err != nil {
			t.Fatal(err)
		}
		md := r.Schema().Metadata().ToMap()
		if md["ecluse.migration"] != string(roomtest.Migration) || md["ecluse.dataset"] != dataset {
			t.Errorf("metadata %v", md)
		}
		if len(r.Schema().FieldIndices(column)) != 1 {
			t.Errorf("%s has no column %s", dataset, column)
		}
		for _, f := range r.Schema().Fields() {
			if strings.Contains("ADRESSE TEL EMAIL LOGIN MOTDEPASSE COMMENTAIRE BIOLOGISTE", f.Name) {
				t.Errorf("%s was not instructed and is sealed", f.Name)
			}
		}
		rows := int64(0)
		for r.Next() {
			rows += r.RecordBatch().NumRows()
		}
		if r.Err() != nil || rows == 0 {
			t.Errorf("%s: %d rows, %v", dataset, rows, r.Err())
		}
		r.Release()
	}
}
