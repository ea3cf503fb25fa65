package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

func newIdentity(tb testing.TB) *age.HybridIdentity {
	tb.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func header(sequence int) seal.Header {
	return seal.Header{
		Migration: "megabus-2026-01", Plan: ecluse.DigestOf([]byte("plan")), Epoch: 1,
		Slot: ecluse.Slot{Dataset: "result", Sequence: sequence},
	}
}

func schema() *record.Schema {
	return &record.Schema{Fields: []record.Field{
		{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}},
		{Name: "value", Type: ecluse.Type{Kind: ecluse.Decimal, Precision: 12, Scale: 3}},
		{Name: "text", Type: ecluse.Type{Kind: ecluse.Text}},
	}}
}

// fill adds invented results from row `from` to row `to`.
func fill(b *record.Batch, from, to int) *record.Batch {
	for i := from; i < to; i++ {
		b.Columns[0].AppendInt(int64(i))
		b.Columns[1].AppendInt(int64(i*7919) % 150003)
		if i%3 == 0 {
			b.Columns[2].AppendNull()
		} else {
			b.Columns[2].AppendString(fmt.Sprintf("Négatif %d", i%11))
		}
	}
	return b
}

// sealed is a chunk and what its gate would sign.
type sealed struct {
	body []byte
	d    evidence.Descriptor
}

func sealRows(tb testing.TB, h seal.Header, to age.Recipient, k *seal.Key, last bool, cuts ...int) sealed {
	tb.Helper()
	var out bytes.Buffer
	w := seal.NewWriter(&out, h, to, k, schema())
	from := 0
	for _, to := range cuts {
		if err := w.Write(fill(record.NewBatch(schema(), to-from), from, to)); err != nil {
			tb.Fatal(err)
		}
		from = to
	}
	s, err := w.Close(int64(from), last)
	if err != nil {
		tb.Fatal(err)
	}
	return sealed{out.Bytes(), describe(h, s, last)}
}

func describe(h seal.Header, s seal.Sealed, last bool) evidence.Descriptor {
	return evidence.Descriptor{
		Migration: h.Migration, Plan: h.Plan, Epoch: h.Epoch, Slot: h.Slot,
		Rows: s.Rows, Last: last, Size: s.Size, SHA256: s.SHA256, Sum: s.Sum,
	}
}

// readAll opens a chunk and reads it to its end; rows that come with an error are
// counted too.
func readAll(body []byte, d *evidence.Descriptor, id age.Identity, k *seal.Key) (rows int, err error) {
	r, err := seal.Open(bytes.NewReader(body), d, id, k)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	b := record.NewBatch(r.Schema(), 0)
	for {
		err := r.Next(b)
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows += b.Rows()
	}
}

func TestRoundTrip(t *testing.T) {
	id, k := newIdentity(t), seal.NewKey()
	rapid.Check(t, func(t *rapid.T) {
		h := header(rapid.IntRange(0, 9).Draw(t, "sequence"))
		var out bytes.Buffer
		w := seal.NewWriter(&out, h, id.Recipient(), k, schema())
		want := record.NewBatch(schema(), 0)
		for range rapid.IntRange(0, 4).Draw(t, "batches") {
			from := want.Rows()
			to := from + rapid.IntRange(0, 3000).Draw(t, "rows")
			fill(want, from, to)
			if err := w.Write(fill(record.NewBatch(schema(), 0), from, to)); err != nil {
				t.Fatal(err)
			}
		}
		last := rapid.Bool().Draw(t, "last")
		s, err := w.Close(int64(want.Rows()), last)
		if err != nil {
			t.Fatal(err)
		}
		if s.Size != int64(out.Len()) || s.SHA256 != ecluse.DigestOf(out.Bytes()) || s.Rows != int64(want.Rows()) {
			t.Fatalf("%+v is not what was written", s)
		}
		d := describe(h, s, last)
		r, err := seal.Open(&out, &d, id, k)
		if err != nil {
			t.Fatal(err)
		}
		got, at := record.NewBatch(schema(), 0), 0
		for err = r.Next(got); err == nil; err = r.Next(got) {
			for i := range got.Rows() {
				for c := range got.Columns {
					g, w := got.Columns[c], want.Columns[c]
					if g.Null(i) != w.Null(at+i) || c < 2 && g.Int(i) != w.Int(at+i) || c == 2 && !bytes.Equal(g.Bytes(i), w.Bytes(at+i)) {
						t.Fatalf("row %d column %d differs", at+i, c)
					}
				}
			}
			at += got.Rows()
		}
		if err != io.EOF || at != want.Rows() || r.Next(got) != io.EOF {
			t.Fatalf("%d rows of %d, then %v", at, want.Rows(), err)
		}
	})
}

// One Pool serves many chunks, several at a time.
func TestPool(t *testing.T) {
	id, k, pool := newIdentity(t), seal.NewKey(), new(seal.Pool)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 6 {
				h := header(g*10 + n)
				var out bytes.Buffer
				w := pool.NewWriter(&out, h, id.Recipient(), k, schema())
				rows := 1000 * (n + 1)
				if err := w.Write(fill(record.NewBatch(schema(), 0), 0, rows)); err != nil {
					t.Error(err)
				}
				s, err := w.Close(int64(rows), false)
				if err != nil {
					t.Error(err)
				}
				d := describe(h, s, false)
				r, err := pool.Open(&out, &d, id, k)
				if err != nil {
					t.Error(err)
					return
				}
				b := record.NewBatch(schema(), 0)
				if err := r.Next(b); err != nil || b.Rows() != rows {
					t.Errorf("%d rows of %d: %v", b.Rows(), rows, err)
				}
				if n%2 == 0 { // some are given up
					if err := r.Next(b); err != io.EOF {
						t.Error(err)
					}
				}
				r.Close()
				if err := r.Next(b); err == nil {
					t.Error("a closed chunk goes on")
				}
			}
		})
	}
	wg.Wait()
}

// Rows that are the same have the same keyed sum in another epoch, version and
// plan, and another under another key or in another dataset.
func TestSum(t *testing.T) {
	id, k := newIdentity(t), seal.NewKey()
	a := sealRows(t, header(3), id.Recipient(), k, false, 100, 200)
	h := header(3)
	h.Epoch, h.Slot.Version, h.Plan = 9, 2, ecluse.DigestOf([]byte("another"))
	if b := sealRows(t, h, id.Recipient(), k, true, 100, 200); a.d.Sum != b.d.Sum {
		t.Error("the same rows have another sum in another epoch")
	}
	if b := sealRows(t, header(3), id.Recipient(), k, false, 100, 201); a.d.Sum == b.d.Sum {
		t.Error("a row more and the same sum")
	}
	if b := sealRows(t, header(3), id.Recipient(), seal.NewKey(), false, 100, 200); a.d.Sum == b.d.Sum {
		t.Error("another key and the same sum")
	}
	h.Slot.Dataset = "patient"
	if b := sealRows(t, h, id.Recipient(), k, false, 100, 200); a.d.Sum == b.d.Sum {
		t.Error("another dataset and the same sum")
	}
}

func TestWriterRefuses(t *testing.T) {
	id, k := newIdentity(t), seal.NewKey()
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	scrypt, err := age.NewScryptRecipient("passphrase")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []age.Recipient{classic.Recipient(), scrypt, nil, (*age.HybridRecipient)(nil)} {
		var out bytes.Buffer
		w := seal.NewWriter(&out, header(0), to, k, schema())
		err := w.Write(fill(record.NewBatch(schema(), 1), 0, 1))
		_, err2 := w.Close(1, true)
		if ecluse.KindOf(err) != ecluse.Refused || ecluse.KindOf(err2) != ecluse.Refused || out.Len() > 0 {
			t.Errorf("sealed to %T: %v, %v", to, err, err2)
		}
		if _, err := seal.SealBytes(to, "label", nil); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("document sealed to %T: %v", to, err)
		}
	}

	var out bytes.Buffer
	w := seal.NewWriter(&out, header(0), id.Recipient(), k, schema())
	if err := w.Write(fill(record.NewBatch(schema(), 1), 0, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(6, true); err == nil || out.Len() > 0 {
		t.Error("sealed with another number of rows than was counted")
	}
	if _, err := w.Close(5, true); err == nil {
		t.Error("sealed twice")
	}
	bad := &record.Schema{Fields: []record.Field{{Name: "x", Type: ecluse.Type{Kind: ecluse.Decimal}}}}
	if err := seal.NewWriter(&out, header(0), id.Recipient(), k, bad).Write(record.NewBatch(bad, 0)); err == nil {
		t.Error("a schema that cannot travel was sealed")
	}
	full := errors.New("no space left")
	w = seal.NewWriter(failing{full}, header(0), id.Recipient(), k, schema())
	if _, err := w.Close(0, true); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// Every way of putting other bytes, or other papers, in a chunk's place is
// refused before the end is acknowledged; most of them before the first row.
func TestOpenRefuses(t *testing.T) {
	id, k := newIdentity(t), seal.NewKey()
	to := id.Recipient()
	classic, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	good := sealRows(t, header(3), to, k, false, 100, 200)
	if rows, err := readAll(good.body, &good.d, id, k); err != nil || rows != 200 {
		t.Fatalf("%d rows: %v", rows, err)
	}
	next := sealRows(t, header(4), to, k, true, 100, 200)
	foreign := header(3)
	foreign.Migration = "other-2026-01"
	stranger := sealRows(t, foreign, to, k, false, 100, 200)

	with := func(change func(*evidence.Descriptor)) *evidence.Descriptor {
		d := good.d
		change(&d)
		return &d
	}
	// of has the ciphertext of another chunk under a descriptor that claims it: what
	// a gate that signed a mistake would do.
	of := func(s sealed, change func(*evidence.Descriptor)) sealed {
		d := with(change)
		d.Size, d.SHA256 = s.d.Size, s.d.SHA256
		return sealed{s.body, *d}
	}
	same := func(*evidence.Descriptor) {}
	splice := append(bytes.Clone(good.body[:len(good.body)/2]), next.body[len(next.body)/2:]...)
	cases := map[string]sealed{
		"another chunk of the dataset (reorder)": {next.body, good.d},
		"half of each (splice)":                  {splice, good.d},
		"another migration":                      {stranger.body, good.d},
		"one byte more":                          {append(bytes.Clone(good.body), 0), good.d},
		"twice":                                  {append(bytes.Clone(good.body), good.body...), good.d},
		"nothing":                                {nil, good.d},

		"signed for another sequence":   of(next, same),
		"signed for another migration":  of(stranger, same),
		"signed with another plan":      of(good, func(d *evidence.Descriptor) { d.Plan = ecluse.DigestOf(nil) }),
		"signed with another epoch":     of(good, func(d *evidence.Descriptor) { d.Epoch = 2 }),
		"signed with another version":   of(good, func(d *evidence.Descriptor) { d.Slot.Version = 1 }),
		"signed with another dataset":   of(good, func(d *evidence.Descriptor) { d.Slot.Dataset = "patient" }),
		"signed with more rows":         of(good, func(d *evidence.Descriptor) { d.Rows++ }),
		"signed with fewer rows":        of(good, func(d *evidence.Descriptor) { d.Rows-- }),
		"signed as the last":            of(good, func(d *evidence.Descriptor) { d.Last = true }),
		"signed with another sum":       of(good, func(d *evidence.Descriptor) { d.Sum[0] ^= 1 }),
		"signed with a monstrous size":  {good.body, *with(func(d *evidence.Descriptor) { d.Size = 1 << 40 })},
		"signed with another SHA-256":   {good.body, *with(func(d *evidence.Descriptor) { d.SHA256[31] ^= 1 })},
		"sealed to another recipient":   sealRows(t, header(3), newIdentity(t).Recipient(), k, false, 200),
		"sealed to a classic recipient": resealed(t, good, id, classic.Recipient()),
		"sealed to a second reader":     resealed(t, good, id, to, newIdentity(t).Recipient()),
		"not an age file":               claim([]byte("COPY public.patient FROM stdin;\n"), good.d),
	}
	for name, c := range cases {
		rows, err := readAll(c.body, &c.d, id, k)
		if ecluse.KindOf(err) != ecluse.Unverified || err == nil {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		}
		if rows > 0 && name != "signed with another sum" {
			t.Errorf("%s: refused after %d rows", name, rows)
		}
	}
	if _, err := readAll(good.body, &good.d, id, seal.NewKey()); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("opened under another key: %v", err)
	}
	for at := range good.body { // every byte, one bit
		bad := bytes.Clone(good.body)
		bad[at] ^= 1 << (at % 8)
		if rows, err := readAll(bad, &good.d, id, k); ecluse.KindOf(err) != ecluse.Unverified || rows > 0 {
			t.Fatalf("bit flipped at %d: %d rows, %v", at, rows, err)
		}
	}
	for cut := 0; cut < len(good.body); cut += 97 {
		if _, err := readAll(good.body[:cut], &good.d, id, k); ecluse.KindOf(err) != ecluse.Unverified {
			t.Fatalf("cut at %d: %v", cut, err)
		}
	}
	for size, why := range map[int64]string{good.d.Size + 1: "cut off", good.d.Size - 1: "longer"} {
		d := with(func(d *evidence.Descriptor) { d.Size = size })
		if _, err := readAll(good.body, d, id, k); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%d bytes for %d: %v", len(good.body), size, err)
		}
	}
	broken := errors.New("connection lost")
	huge := with(func(d *evidence.Descriptor) { d.Size = seal.MaxChunk + 1 })
	if _, err := seal.Open(badReader{broken}, huge, id, k); err == nil || errors.Is(err, broken) {
		t.Errorf("a chunk beyond the largest was read: %v", err)
	}
	if _, err := seal.Open(io.MultiReader(bytes.NewReader(good.body[:100]), badReader{broken}), &good.d, id, k); !errors.Is(err, broken) || ecluse.KindOf(err) != ecluse.Failed {
		t.Errorf("a source that fails: %v", err)
	}
}

type badReader struct{ err error }

func (b badReader) Read([]byte) (int, error) { return 0, b.err }

// claim makes a descriptor that claims body.
func claim(body []byte, d evidence.Descriptor) sealed {
	d.Size, d.SHA256 = int64(len(body)), ecluse.DigestOf(body)
	return sealed{body, d}
}

// resealed seals the chunk's content to other recipients, with a descriptor that
// claims it.
func resealed(t *testing.T, s sealed, id age.Identity, to ...age.Recipient) sealed {
	t.Helper()
	content, err := age.Decrypt(bytes.NewReader(s.body), id)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	return claim(encrypt(t, zipped, to...), s.d)
}

func encrypt(t *testing.T, content []byte, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// What is wrong inside a chunk that is sealed and described as it should be, as
// only its own gate could make one.
func TestOpenRefusesContent(t *testing.T) {
	id, k := newIdentity(t), seal.NewKey()
	good := sealRows(t, header(3), id.Recipient(), k, false, 100, 200)
	content, err := age.Decrypt(bytes.NewReader(good.body), id)
	if err != nil {
		t.Fatal(err)
	}
	zipped, err := io.ReadAll(content)
	if err != nil {
		t.Fatal(err)
	}
	zip, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	unzip, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := unzip.DecodeAll(zipped, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"a frame more":       append(bytes.Clone(zipped), zip.EncodeAll([]byte("more"), nil)...),
		"no end":             zip.EncodeAll(plain[:len(plain)-8], nil),
		"cut within a frame": zipped[:len(zipped)-3],
		"not zstd":           plain,
		"empty":              {},
	} {
		c := claim(encrypt(t, content, id.Recipient()), good.d)
		if _, err := readAll(c.body, &c.d, id, k); ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}

	// Metadata and descriptor agree on a number of rows that is not there.
	head, err := record.AppendSchema(nil, schema(), metadata(good.d))
	if err != nil {
		t.Fatal(err)
	}
	for _, rows := range []int64{150, 199, 201} {
		d := good.d
		d.Rows = rows
		lie, err := record.AppendSchema(nil, schema(), metadata(d))
		if err != nil {
			t.Fatal(err)
		}
		c := claim(encrypt(t, zip.EncodeAll(append(lie, plain[len(head):]...), nil), id.Recipient()), d)
		if got, err := readAll(c.body, &c.d, id, k); ecluse.KindOf(err) != ecluse.Unverified || int64(got) > rows {
			t.Errorf("%d rows announced, %d given: %v", rows, got, err)
		}
	}
	more := metadata(good.d)
	more["note"] = "x"
	if head, err = record.AppendSchema(nil, schema(), more); err != nil {
		t.Fatal(err)
	}
	c := claim(encrypt(t, zip.EncodeAll(append(head, plain[len(plain)-8:]...), nil), id.Recipient()), good.d)
	if _, err := readAll(c.body, &c.d, id, k); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("metadata with another key: %v", err)
	}
}

func metadata(d evidence.Descriptor) map[string]string {
	return map[string]string{
		"ecluse.migration": string(d.Migration), "ecluse.plan": d.Plan.String(), "ecluse.epoch": fmt.Sprint(d.Epoch),
		"ecluse.dataset": string(d.Slot.Dataset), "ecluse.sequence": fmt.Sprint(d.Slot.Sequence), "ecluse.version": fmt.Sprint(d.Slot.Version),
		"ecluse.rows": fmt.Sprint(d.Rows), "ecluse.last": fmt.Sprint(d.Last),
	}
}

func TestKeyChunk(t *testing.T) {
	id, k := newIdentity(t), seal.NewKey()
	h := header(0)
	h.Slot = ecluse.Slot{Dataset: ecluse.KeyDataset}
	var out bytes.Buffer
	s, err := seal.SealKey(&out, h, id.Recipient(), k)
	if err != nil {
		t.Fatal(err)
	}
	d := describe(h, s, true)
	got, err := seal.OpenKey(bytes.NewReader(out.Bytes()), &d, id)
	if err != nil || *got != *k {
		t.Fatalf("not the key: %v", err)
	}
	if rows, err := readAll(out.Bytes(), &d, id, k); err != nil || rows != 1 {
		t.Errorf("a key's chunk is a chunk like others: %d rows, %v", rows, err)
	}

	wrong := d
	wrong.Sum[0] ^= 1
	if _, err := seal.OpenKey(bytes.NewReader(out.Bytes()), &wrong, id); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another sum: %v", err)
	}
	if _, err := seal.OpenKey(bytes.NewReader(out.Bytes()), &d, newIdentity(t)); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another identity: %v", err)
	}
	if _, err := seal.SealKey(&out, header(0), id.Recipient(), k); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a key in another slot: %v", err)
	}
	rows := sealRows(t, header(0), id.Recipient(), k, true, 1)
	if _, err := seal.OpenKey(bytes.NewReader(rows.body), &rows.d, id); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("rows as a key: %v", err)
	}
	h.Slot.Dataset = ecluse.KeyDataset
	rows = sealRows(t, h, id.Recipient(), k, true, 1)
	if _, err := seal.OpenKey(bytes.NewReader(rows.body), &rows.d, id); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("rows in the key's slot: %v", err)
	}
}

// The public age and zstd commands open a chunk, and the public Arrow reader
// reads it.
func TestStockTools(t *testing.T) {
	ageCmd := tool(t, "age", "go install filippo.io/age/cmd/age@v1.3.2")
	zstdCmd := tool(t, "zstd", "apt-get install zstd")
	id, k := newIdentity(t), seal.NewKey()
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

// tool finds a command on the path or in ~/go/bin.
func tool(t *testing.T, name, install string) string {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(home, "go", "bin", name)
	if _, err := os.Stat(own); err == nil {
		return own
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("no %s command; run: %s", name, install)
	}
	return path
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
	if rows, err := readAll(body, &d, id, k); err != nil || rows != 20 {
		t.Fatalf("%d rows: %v", rows, err)
	}
	today := sealRows(t, header(3), id.Recipient(), k, true, 12, 20)
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
	c := sealRows(t, header(3), id.Recipient(), k, true, 12, 20)
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

func FuzzOpen(f *testing.F) {
	id, k := newIdentity(f), seal.NewKey()
	c := sealRows(f, header(3), id.Recipient(), k, true, 3, 5)
	f.Add(c.body)
	f.Add([]byte("age-encryption.org/v1\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		d := claim(body, c.d).d // the digest holds: what lies behind it is reached
		if rows, err := readAll(body, &d, id, k); err == nil && !bytes.Equal(body, c.body) {
			t.Errorf("another body opened: %d rows", rows)
		}
	})
}

// FuzzContent has the content of a chunk made up, under seal and descriptor that
// are in order.
func FuzzContent(f *testing.F) {
	id, k := newIdentity(f), seal.NewKey()
	c := sealRows(f, header(3), id.Recipient(), k, true, 3, 5)
	r, err := age.Decrypt(bytes.NewReader(c.body), id)
	if err != nil {
		f.Fatal(err)
	}
	zipped, err := io.ReadAll(r)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(zipped)
	f.Fuzz(func(t *testing.T, content []byte) {
		got := claim(encrypt(t, content, id.Recipient()), c.d)
		_, _ = readAll(got.body, &got.d, id, k)
	})
}

func BenchmarkSeal(b *testing.B) {
	id, k, pool := newIdentity(b), seal.NewKey(), new(seal.Pool)
	batch := fill(record.NewBatch(schema(), 8192), 0, 8192)
	b.ReportAllocs()
	for b.Loop() {
		w := pool.NewWriter(io.Discard, header(0), id.Recipient(), k, schema())
		for range 16 {
			if err := w.Write(batch); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Close(16*8192, true); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/16/8192, "ns/row")
}

func BenchmarkOpen(b *testing.B) {
	id, k, pool := newIdentity(b), seal.NewKey(), new(seal.Pool)
	batch := fill(record.NewBatch(schema(), 8192), 0, 8192)
	var out bytes.Buffer
	w := pool.NewWriter(&out, header(0), id.Recipient(), k, schema())
	for range 16 {
		if err := w.Write(batch); err != nil {
			b.Fatal(err)
		}
	}
	s, err := w.Close(16*8192, true)
	if err != nil {
		b.Fatal(err)
	}
	d := describe(header(0), s, true)
	b.ReportAllocs()
	for b.Loop() {
		r, err := pool.Open(bytes.NewReader(out.Bytes()), &d, id, k)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			err = r.Next(batch)
		}
		if err != io.EOF {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/16/8192, "ns/row")
}
