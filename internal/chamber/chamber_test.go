package chamber

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
)

// bench is a chamber and the keys around it.
type bench struct {
	*testing.T
	c      *Chamber
	dir    string
	source ssh.Signer
	target ssh.Signer
	to     *age.HybridRecipient
	terms  Terms
}

func newSigner(tb testing.TB) ssh.Signer {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func setup(t *testing.T) *bench {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{T: t, dir: filepath.Join(t.TempDir(), "chamber"), source: newSigner(t), target: newSigner(t), to: id.Recipient()}
	b.terms = Terms{Migration: "megabus-2026-01", Plan: ecluse.DigestOf([]byte("plan")), Gate: evidence.FingerprintOf(b.source.PublicKey())}
	b.open()
	return b
}

func (b *bench) open() {
	b.Helper()
	c, err := Open(b.dir)
	if err != nil {
		b.Fatal(err)
	}
	b.c = c
}

func (b *bench) seal(content string) []byte {
	b.Helper()
	return sealTo(b.T, content, b.to)
}

func sealTo(t *testing.T, content string, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// describe signs the descriptor of a body; change may spoil it first.
func (b *bench) describe(by ssh.Signer, slot ecluse.Slot, body []byte, change func(*evidence.Descriptor)) evidence.Signed {
	b.Helper()
	d := &evidence.Descriptor{
		Migration: b.terms.Migration, Plan: b.terms.Plan, Epoch: 1, Slot: slot, Rows: 10,
		Size: int64(len(body)), SHA256: ecluse.DigestOf(body), Sum: ecluse.DigestOf([]byte("sum")),
	}
	if change != nil {
		change(d)
	}
	s, err := evidence.SignDescriptor(by, d)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bench) put(slot ecluse.Slot, body []byte, change func(*evidence.Descriptor)) error {
	b.Helper()
	_, err := b.c.Put(b.Context(), b.terms, b.describe(b.source, slot, body, change), bytes.NewReader(body))
	return err
}

func (b *bench) mustPut(slot ecluse.Slot, body []byte, change func(*evidence.Descriptor)) {
	b.Helper()
	if err := b.put(slot, body, change); err != nil {
		b.Fatal(err)
	}
}

// files lists what is on disk, by path in the chamber.
func (b *bench) files() []string {
	b.Helper()
	var all []string
	if err := b.c.walk(func(_, rel string, _ int64) error { all = append(all, rel); return nil }); err != nil {
		b.Fatal(err)
	}
	return all
}

func (b *bench) strays() []Stray {
	b.Helper()
	s, err := b.c.Scan(func(m ecluse.MigrationID) bool { return m == b.terms.Migration })
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func slot(sequence int) ecluse.Slot { return ecluse.Slot{Dataset: "result", Sequence: sequence} }

func last(d *evidence.Descriptor) { d.Last = true }

func TestPutGet(t *testing.T) {
	b := setup(t)
	body := b.seal("rows")
	signed := b.describe(b.source, slot(0), body, nil)
	for range 2 { // the second time it answers with what is stored
		stored, err := b.c.Put(t.Context(), b.terms, signed, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(signed, stored); diff != "" {
			t.Error(diff)
		}
	}
	b.open() // from disk alone
	stored, r, err := b.c.Get(b.terms.Migration, slot(0))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, body) || !bytes.Equal(stored.Body, signed.Body) {
		t.Errorf("not what was put: %v", err)
	}
	if _, err := evidence.ParseDescriptor(stored, b.terms.Gate); err != nil {
		t.Error(err)
	}
	if _, _, err := b.c.Get(b.terms.Migration, slot(1)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty slot: %v", err)
	}
	if _, _, err := b.c.Get("../../etc", slot(1)); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a migration that is a path: %v", err)
	}
}

func TestListAndUsage(t *testing.T) {
	b := setup(t)
	key := ecluse.Slot{Dataset: ecluse.KeyDataset}
	again := slot(1)
	again.Version = 1
	var bytesIn int64
	for _, s := range []ecluse.Slot{slot(0), key, slot(1), again} {
		body := b.seal("rows " + s.String())
		bytesIn += int64(len(body))
		b.mustPut(s, body, nil)
	}
	list, err := b.c.List(b.terms.Migration)
	if err != nil {
		t.Fatal(err)
	}
	var got []ecluse.Slot
	for _, s := range list {
		d, err := evidence.ParseDescriptor(s, b.terms.Gate)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, d.Slot)
	}
	if diff := cmp.Diff([]ecluse.Slot{key, slot(0), slot(1), again}, got); diff != "" {
		t.Error(diff)
	}
	u, err := b.c.Usage(b.terms.Migration)
	if diff := cmp.Diff(Usage{Chunks: 4, Rows: 20, Bytes: bytesIn}, u); diff != "" || err != nil {
		t.Error(err, diff)
	}
	if u, err := b.c.Usage("other-2026-01"); u != (Usage{}) || err != nil {
		t.Errorf("of nothing: %+v %v", u, err)
	}
}

// What is not signed by the gate, not in order, beyond the ceilings, not sealed or
// not the bytes described, is refused and leaves nothing.
func TestPutRefuses(t *testing.T) {
	b := setup(t)
	body := b.seal("rows")
	b.mustPut(slot(0), body, nil)
	before := b.files()
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	pass, err := age.NewScryptRecipient("x")
	if err != nil {
		t.Fatal(err)
	}
	pass.SetWorkFactor(10)
	sum := func(d *evidence.Descriptor) { d.SHA256[0] ^= 1 }
	for name, c := range map[string]struct {
		slot   ecluse.Slot
		body   []byte
		change func(*evidence.Descriptor)
		kind   ecluse.Kind
	}{
		"another migration":     {slot(1), body, func(d *evidence.Descriptor) { d.Migration = "other-2026-01" }, ecluse.Refused},
		"another plan":          {slot(1), body, func(d *evidence.Descriptor) { d.Plan = ecluse.DigestOf(nil) }, ecluse.Refused},
		"out of order":          {slot(2), body, nil, ecluse.Refused},
		"version out of order":  {ecluse.Slot{Dataset: "result", Version: 2}, body, nil, ecluse.Refused},
		"a slot that is taken":  {slot(0), b.seal("other rows"), nil, ecluse.Refused},
		"another digest":        {slot(1), body, sum, ecluse.Unverified},
		"shorter than it says":  {slot(1), body, func(d *evidence.Descriptor) { d.Size++ }, ecluse.Unverified},
		"longer than it says":   {slot(1), body, func(d *evidence.Descriptor) { d.Size-- }, ecluse.Unverified},
		"in clear":              {slot(1), []byte(strings.Repeat("COPY patient FROM stdin;\n", 99)), nil, ecluse.Refused},
		"a short text":          {slot(1), []byte("x"), nil, ecluse.Refused},
		"a classic recipient":   {slot(1), sealTo(t, "rows", classic.Recipient()), nil, ecluse.Refused},
		"a passphrase":          {slot(1), sealTo(t, "rows", pass), nil, ecluse.Refused},
		"two recipients":        {slot(1), sealTo(t, "rows", b.to, other.Recipient()), nil, ecluse.Refused},
		"a header and no more":  {slot(1), body[:100], nil, ecluse.Refused},
		"clear after a version": {slot(1), []byte("age-encryption.org/v1\n-> mlkem768x25519 x\nclear\n"), nil, ecluse.Refused},
	} {
		if err := b.put(c.slot, c.body, c.change); ecluse.KindOf(err) != c.kind || err == nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(before, b.files()); diff != "" {
			t.Fatalf("%s: left behind %s", name, diff)
		}
	}
	signed := b.describe(newSigner(t), slot(1), body, nil)
	if _, err := b.c.Put(t.Context(), b.terms, signed, bytes.NewReader(body)); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("signed by a stranger: %v", err)
	}
	signed = b.describe(b.source, slot(1), body, nil)
	signed.Body = bytes.Replace(signed.Body, []byte(`"rows":10`), []byte(`"rows":11`), 1)
	if _, err := b.c.Put(t.Context(), b.terms, signed, bytes.NewReader(body)); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("changed after its signature: %v", err)
	}
	b.mustPut(slot(1), b.seal("more rows"), last)
	if err := b.put(slot(2), body, nil); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("after the dataset's end: %v", err)
	}
}

func TestCeilings(t *testing.T) {
	b := setup(t)
	first, second := b.seal("rows"), b.seal("rows")
	b.terms.Rows = 19
	b.mustPut(slot(0), first, nil)
	if err := b.put(slot(1), second, nil); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "19") {
		t.Errorf("beyond the rows: %v", err)
	}
	again := slot(0)
	again.Version = 1
	b.mustPut(again, second, nil) // the same rows, read again
	b.terms.Rows, b.terms.Bytes = 0, int64(len(first)+len(second))
	if err := b.put(slot(1), b.seal("x"), nil); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "GDPR art. 29") {
		t.Errorf("beyond the bytes: %v", err)
	}
}

// A sender that stops, or is told to, leaves nothing.
func TestPutInterrupted(t *testing.T) {
	b := setup(t)
	body := b.seal(strings.Repeat("rows", 1<<16))
	signed := b.describe(b.source, slot(0), body, nil)
	lost := errors.New("connection lost")
	_, err := b.c.Put(t.Context(), b.terms, signed, io.MultiReader(bytes.NewReader(body[:100000]), failing{lost}))
	if !errors.Is(err, lost) || len(b.files()) > 0 {
		t.Errorf("%v, %v", err, b.files())
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(lost)
	if _, err := b.c.Put(ctx, b.terms, signed, bytes.NewReader(body)); err == nil || len(b.files()) > 0 {
		t.Errorf("%v, %v", err, b.files())
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Of many that write a slot at the same time, through several chambers on one
// folder, one is first, and all are told which.
func TestSlotIsWrittenOnce(t *testing.T) {
	b := setup(t)
	var wg sync.WaitGroup
	stored := make([]evidence.Signed, 8)
	for i := range stored {
		body := b.seal("rows")
		signed := b.describe(b.source, slot(0), body, nil)
		wg.Go(func() {
			c, err := Open(b.dir) // sweeps while the others write
			if err != nil {
				t.Error(err)
				return
			}
			stored[i], err = c.Put(t.Context(), b.terms, signed, bytes.NewReader(body))
			if err != nil && ecluse.KindOf(err) != ecluse.Refused {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, s := range stored {
		if !bytes.Equal(s.Body, stored[0].Body) {
			t.Error("two were told of different chunks in one slot")
		}
	}
	if s := b.strays(); len(s) > 0 || len(b.files()) != 2 {
		t.Errorf("%v, of %v", s, b.files())
	}
	_, r, err := b.c.Get(b.terms.Migration, slot(0))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	body, err := io.ReadAll(r)
	d, err2 := evidence.ParseDescriptor(stored[0], b.terms.Gate)
	if err != nil || err2 != nil || ecluse.DigestOf(body) != d.SHA256 {
		t.Errorf("the body is not its descriptor's: %v %v", err, err2)
	}
}

// A process that comes second, after it has written all of its chunk, takes it
// back and is told of the first.
func TestSecondIsTold(t *testing.T) {
	b := setup(t)
	first, second := b.seal("rows"), b.seal("rows")
	other, err := Open(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	b.c.step = func(name string) {
		if name == "written" {
			if _, err := other.Put(t.Context(), b.terms, b.describe(b.source, slot(0), first, nil), bytes.NewReader(first)); err != nil {
				t.Error(err)
			}
		}
	}
	stored, err := b.c.Put(t.Context(), b.terms, b.describe(b.source, slot(0), second, nil), bytes.NewReader(second))
	d, err2 := evidence.ParseDescriptor(stored, b.terms.Gate)
	if ecluse.KindOf(err) != ecluse.Refused || err2 != nil || d.SHA256 != ecluse.DigestOf(first) {
		t.Errorf("%v, %v", err, err2)
	}
	if s := b.strays(); len(s) > 0 || len(b.files()) != 2 {
		t.Errorf("%v, of %v", s, b.files())
	}
}

func TestManifest(t *testing.T) {
	b := setup(t)
	body := b.seal("rows")
	b.mustPut(slot(0), body, last)
	m := &evidence.Manifest{Migration: b.terms.Migration, Plan: b.terms.Plan, Epochs: 1, Datasets: []evidence.ManifestDataset{
		{Dataset: "result", Rows: 10, Chunks: []evidence.ManifestChunk{{Slot: slot(0), SHA256: ecluse.DigestOf(body), Rows: 10}}},
	}}
	sign := func(change func(*evidence.Manifest)) evidence.Signed {
		c := *m
		c.Datasets = append([]evidence.ManifestDataset{}, m.Datasets...)
		if change != nil {
			change(&c)
		}
		s, err := evidence.SignManifest(b.source, &c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	refused := map[string]evidence.Signed{
		"another plan":      sign(func(m *evidence.Manifest) { m.Plan = ecluse.DigestOf(nil) }),
		"another migration": sign(func(m *evidence.Manifest) { m.Migration = "other-2026-01" }),
		"a chunk that is none": sign(func(m *evidence.Manifest) {
			m.Datasets[0].Chunks = []evidence.ManifestChunk{{Slot: slot(0), SHA256: ecluse.DigestOf(nil), Rows: 10}}
		}),
	}
	for name, s := range refused {
		if err := b.c.PutManifest(t.Context(), b.terms, s); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if got, err := b.c.Manifest(b.terms.Migration); got != nil || err != nil {
		t.Errorf("before: %v %v", got, err)
	}
	signed := sign(nil)
	for range 2 {
		if err := b.c.PutManifest(t.Context(), b.terms, signed); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.c.PutManifest(t.Context(), b.terms, sign(func(m *evidence.Manifest) { m.Epochs = 2 })); err != nil {
		t.Errorf("the same chunks after another epoch: %v", err)
	}
	if err := b.c.PutManifest(t.Context(), b.terms, sign(func(m *evidence.Manifest) { m.Datasets = nil })); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a second manifest: %v", err)
	}
	b.open()
	got, err := b.c.Manifest(b.terms.Migration)
	if err != nil || !bytes.Equal(got.Body, signed.Body) {
		t.Errorf("not the manifest: %v", err)
	}
	if err := b.put(ecluse.Slot{Dataset: "patient"}, body, nil); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a chunk after the manifest: %v", err)
	}
	b.mustPut(slot(0), body, last) // what is there is answered for ever
}

// TestReadings: chunks come in of the reading that is open and of no other, and each manifest
// leaves what those before it closed as it was.
func TestReadings(t *testing.T) {
	b := setup(t)
	body := b.seal("rows")
	of := func(d ecluse.DatasetID) ecluse.Slot { return ecluse.Slot{Dataset: d} }
	checks := of(ecluse.ChecksDataset)
	refused := func(name string, s ecluse.Slot) {
		t.Helper()
		before := b.files()
		if err := b.put(s, body, last); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "the manifest of its reading is closed, or that of the reading before is not") {
			t.Errorf("%s: %v", name, err)
		}
		if !slices.Equal(b.files(), before) {
			t.Errorf("%s: something was kept", name)
		}
	}
	dataset := func(s ecluse.Slot) evidence.ManifestDataset {
		return evidence.ManifestDataset{Dataset: s.Dataset, Rows: 10, Chunks: []evidence.ManifestChunk{{Slot: s, SHA256: ecluse.DigestOf(body), Rows: 10}}}
	}
	closes := func(reading int, all ...ecluse.Slot) error {
		m := &evidence.Manifest{Migration: b.terms.Migration, Plan: b.terms.Plan, Epochs: reading + 1, Reading: reading}
		for _, s := range all {
			m.Datasets = append(m.Datasets, dataset(s))
		}
		s, err := evidence.SignManifest(b.source, m)
		if err != nil {
			t.Fatal(err)
		}
		return b.c.PutManifest(t.Context(), b.terms, s)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	refused("a later reading's before the first is closed", of("ecluse.changed.1.result"))
	b.mustPut(slot(0), body, last)
	b.mustPut(checks, body, last)
	if err := closes(1, slot(0), checks); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "it closes reading 2, and 0 are closed") {
		t.Errorf("the second reading's manifest before the first's: %v", err)
	}
	must(closes(0, slot(0), checks))

	refused("the first reading's after it was closed", ecluse.Slot{Dataset: "result", Sequence: 0, Version: 1})
	refused("another dataset of the first's", of("patient"))
	refused("a reading's that nobody comes to yet", of("ecluse.changed.2.result"))
	changed, buckets := of("ecluse.changed.1.result"), of("ecluse.buckets.1.result")
	b.mustPut(changed, body, last)
	b.mustPut(buckets, body, last)
	again := checks
	again.Version = 1
	b.mustPut(again, body, last) // counted anew
	if err := closes(1, again, buckets, changed); ecluse.KindOf(err) != ecluse.Unverified || !strings.Contains(err.Error(), "dataset result is not as the reading before left it") {
		t.Errorf("a manifest that drops a dataset: %v", err)
	}
	must(closes(1, slot(0), again, buckets, changed))
	must(closes(1, slot(0), again, buckets, changed)) // the same twice is once
	refused("a reading's after it was closed", ecluse.Slot{Dataset: changed.Dataset, Version: 1})
	if err := closes(0, slot(0), checks); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("the first reading closed again: %v", err)
	}
	if err := closes(3, slot(0), again, buckets, changed); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a reading left out: %v", err)
	}
	if err := closes(2, slot(0), again, buckets, changed, of("patient")); err == nil {
		t.Error("a manifest with a dataset of nowhere is taken")
	}

	b.open() // it is known again from the disk
	got, err := b.c.Manifest(b.terms.Migration)
	must(err)
	if m, err := evidence.ParseManifest(*got, b.terms.Gate); err != nil || m.Reading != 1 {
		t.Errorf("%+v, %v", m, err)
	}
	must(closes(2, slot(0), again, buckets, changed)) // nothing changed since
}

func TestRejects(t *testing.T) {
	b := setup(t)
	terms := b.terms
	terms.Plan, terms.Gate = ecluse.DigestOf([]byte("load plan")), evidence.FingerprintOf(b.target.PublicKey())
	put := func(by ssh.Signer, epoch int, body []byte) error {
		return b.c.PutReject(t.Context(), terms, b.describe(by, slot(3), body, func(d *evidence.Descriptor) { d.Plan, d.Epoch = terms.Plan, epoch }), bytes.NewReader(body))
	}
	bodies := [][]byte{b.seal("a"), b.seal("b"), b.seal("c")}
	for i, epoch := range []int{1, 1, 2} { // the second replaces the first: the chunk was rolled back
		if err := put(b.target, epoch, bodies[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := put(b.source, 1, bodies[0]); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("signed by the other gate: %v", err)
	}
	b.open()
	list, err := b.c.Rejects(terms.Migration)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	for _, s := range list {
		d, err := evidence.ParseDescriptor(s, terms.Gate)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.c.GetReject(terms.Migration, d.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil || r.Close() != nil {
			t.Fatal(err)
		}
		got = append(got, body)
	}
	if diff := cmp.Diff(bodies[1:], got); diff != "" {
		t.Error("not the rejects of each run")
	}
	u, err := b.c.Usage(terms.Migration)
	if want := (Usage{Rejects: 2, Bytes: int64(len(bodies[1]) + len(bodies[2]))}); err != nil || u != want {
		t.Errorf("%+v, %v", u, err)
	}
	terms.Bytes = u.Bytes
	if err := put(b.target, 3, bodies[0]); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("beyond the bytes: %v", err)
	}
	if s := b.strays(); len(s) > 0 {
		t.Error(s)
	}
}

func TestModes(t *testing.T) {
	b := setup(t)
	b.mustPut(slot(0), b.seal("rows"), nil)
	if _, err := b.c.Erase("other-2026-01", time.Now()); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(b.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(b.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b.dir); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a folder others can enter: %v", err)
	}
}

func TestScan(t *testing.T) {
	b := setup(t)
	body := b.seal("rows")
	b.mustPut(slot(0), body, nil)
	if s := b.strays(); len(s) > 0 {
		t.Fatal(s)
	}
	strays := map[string]string{
		"live/forgotten-2020-01/chunks/slots/patient/000000.0":                    "it belongs to no live migration",
		"live/megabus-2026-01/patients.csv":                                       "nothing of the chamber's is called so",
		"live/megabus-2026-01/chunks/objects/" + strings.Repeat("0", 64) + ".age": "no descriptor names it",
		"live/megabus-2026-01/chunks/objects/.part-1":                             "a crash left it",
		"export.xlsx": "nothing of the chamber's is called so",
	}
	for path := range strays {
		path = filepath.Join(b.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]string{}
	for _, s := range b.strays() {
		got[s.Path] = s.Why
	}
	if diff := cmp.Diff(strays, got); diff != "" {
		t.Error(diff)
	}
	for _, s := range b.strays() {
		if own := strings.Contains(s.Path, "/chunks/objects/"); s.Own != own {
			t.Errorf("%s is the migration's own: %v", s.Path, s.Own)
		}
	}
	for path := range strays {
		if err := b.c.Quarantine(Stray{Path: path}); err != nil {
			t.Error(err)
		}
	}
	for _, s := range b.strays() {
		if s.Why != "it is in quarantine" {
			t.Errorf("%+v", s)
		}
	}
	if len(b.strays()) != len(strays) {
		t.Errorf("%d in quarantine of %d", len(b.strays()), len(strays))
	}
	if err := b.c.Quarantine(Stray{Path: "../x"}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a file elsewhere: %v", err)
	}

	damaged := filepath.Join(b.dir, "live/megabus-2026-01/chunks/slots/result/000007.0")
	if err := os.WriteFile(damaged, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := b.strays(); len(s) != len(strays)+1 {
		t.Errorf("a damaged descriptor goes unseen: %+v", s)
	}
	b.open() // which removes nothing while it cannot know what is named
	if err := os.Remove(damaged); err != nil {
		t.Fatal(err)
	}
	object := b.c.chunks(b.terms.Migration).object(&evidence.Descriptor{SHA256: ecluse.DigestOf(body)})
	if err := os.Truncate(object, 10); err != nil {
		t.Fatal(err)
	}
	if s := b.strays(); len(s) != len(strays)+1 {
		t.Errorf("an object cut short goes unseen: %+v", s)
	}
}
