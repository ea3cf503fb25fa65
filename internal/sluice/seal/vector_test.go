package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/stocktest"
)

// The public age and zstd commands open a chunk, and the public Arrow reader
// reads it.
func TestStockTools(t *testing.T) {
	ageCmd := stocktest.Tool(t, "age")
	zstdCmd := stocktest.Tool(t, "zstd")
	id, k := newIdentity(t), newKey()
	c := sealRows(t, header(3), id.Recipient(), k, true, 1000, 5000)
	dir := t.TempDir()
	for name, b := range map[string][]byte{"chunk.age": c.body, "identity.txt": []byte(id.String() + "\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	zipped := run(t, nil, ageCmd, "-d", "-i", filepath.Join(dir, "identity.txt"), filepath.Join(dir, "chunk.age"))
	plain := run(t, zipped, zstdCmd, "-d", "-c")

	r, err := ipc.NewReader(bytes.NewReader(plain))
	if err != nil {
		t.Fatal(err)
	}
	md := r.Schema().Metadata()
	want := map[string]string{
		"ecluse.migration": "megabus-2026-01", "ecluse.plan": c.d.Plan.String(), "ecluse.epoch": "1",
		"ecluse.dataset": "result", "ecluse.sequence": "3", "ecluse.version": "0", "ecluse.rows": "5000", "ecluse.last": "true",
	}
	if diff := cmp.Diff(want, md.ToMap()); diff != "" {
		t.Error(diff)
	}
	rows := int64(0)
	for r.Next() {
		rows += r.RecordBatch().NumRows()
	}
	if rows != 5000 || r.Err() != nil {
		t.Errorf("%d rows, %v", rows, r.Err())
	}
}

func run(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("%s: %v: %s", filepath.Base(name), err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The files of testdata were sealed once; they must open for ever, and what would
// be sealed today must be the same bytes inside. With ECLUSE_UPDATE_VECTORS set new
// ones are made, which is a new format.
func TestVector(t *testing.T) {
	k := &seal.Key{}
	for i := range k {
		k[i] = byte(i)
	}
	if os.Getenv("ECLUSE_UPDATE_VECTORS") != "" {
		writeVector(t, k)
	}
	id, err := age.ParseHybridIdentity(strings.TrimSpace(string(file(t, "identity.txt"))))
	if err != nil {
		t.Fatal(err)
	}
	var d evidence.Descriptor
	if err := json.Unmarshal(file(t, "chunk.json"), &d); err != nil {
		t.Fatal(err)
	}
	body := file(t, "chunk.age")
	if rows, err := readAll(body, &d, id, k); err != nil || rows != 80 {
		t.Fatalf("%d rows: %v", rows, err)
	}
	today := sealRows(t, header(3), id.Recipient(), k, true, 60, 80)
	if today.d.Sum != d.Sum {
		t.Errorf("keyed sum %s, it was %s", today.d.Sum, d.Sum)
	}
	if !bytes.Equal(clearOf(t, today.body, id), clearOf(t, body, id)) {
		t.Error("the Arrow stream inside is not what it was")
	}

	var kd evidence.Descriptor
	if err := json.Unmarshal(file(t, "key.json"), &kd); err != nil {
		t.Fatal(err)
	}
	if got, err := seal.OpenKey(bytes.NewReader(file(t, "key.age")), &kd, id); err != nil || *got != *k {
		t.Errorf("the key's chunk: %v", err)
	}
	if doc, err := seal.OpenBytes(id, "rejects/v1 result/000003.0", file(t, "document.age")); err != nil || string(doc) != "{}\n" {
		t.Errorf("the document: %v", err)
	}
	if c, err := k.OpenCursor("result", 3, file(t, "cursor.bin")); err != nil || string(c) != "(12,7)" {
		t.Errorf("the cursor: %v", err)
	}
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func clearOf(t *testing.T, body []byte, id age.Identity) []byte {
	t.Helper()
	r, err := age.Decrypt(bytes.NewReader(body), id)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeVector(t *testing.T, k *seal.Key) {
	t.Helper()
	id := newIdentity(t)
	c := sealRows(t, header(3), id.Recipient(), k, true, 60, 80)
	h := header(0)
	h.Slot = ecluse.Slot{Dataset: ecluse.KeyDataset}
	var key bytes.Buffer
	s, err := seal.SealKey(&key, h, id.Recipient(), k)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := seal.SealBytes(id.Recipient(), "rejects/v1 result/000003.0", []byte("{}\n"))
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := k.SealCursor("result", 3, []byte("(12,7)"))
	if err != nil {
		t.Fatal(err)
	}
	text := func(d evidence.Descriptor) []byte {
		b, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return append(b, '\n')
	}
	for name, b := range map[string][]byte{
		"identity.txt": []byte(id.String() + "\n"), "chunk.age": c.body, "chunk.json": text(c.d),
		"key.age": key.Bytes(), "key.json": text(describe(h, s, true)), "document.age": doc, "cursor.bin": cursor,
	} {
		if err := os.WriteFile(filepath.Join("testdata", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
