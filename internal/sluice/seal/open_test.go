package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// Every way of putting other bytes, or other papers, in a chunk's place is
// refused before the end is acknowledged; most of them before the first row.
func TestOpenRefuses(t *testing.T) {
	id, k := newIdentity(t), newKey()
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
	if _, err := readAll(good.body, &good.d, id, newKey()); ecluse.KindOf(err) != ecluse.Unverified {
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
	id, k := newIdentity(t), newKey()
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
	head := opening(t, metadata(good.d))
	for _, rows := range []int64{150, 199, 201} {
		d := good.d
		d.Rows = rows
		c := claim(encrypt(t, zip.EncodeAll(append(opening(t, metadata(d)), plain[len(head):]...), nil), id.Recipient()), d)
		if got, err := readAll(c.body, &c.d, id, k); ecluse.KindOf(err) != ecluse.Unverified || int64(got) > rows {
			t.Errorf("%d rows announced, %d given: %v", rows, got, err)
		}
	}
	more := metadata(good.d)
	more["note"] = "x"
	c := claim(encrypt(t, zip.EncodeAll(append(opening(t, more), plain[len(plain)-8:]...), nil), id.Recipient()), good.d)
	if _, err := readAll(c.body, &c.d, id, k); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("metadata with another key: %v", err)
	}
}

// opening is the message that opens a stream of what fill gives.
func opening(t *testing.T, meta map[string]string) []byte {
	t.Helper()
	w, err := record.NewStreamWriter(io.Discard, schema())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(fill(record.NewBatch(schema(), 0), 0, 100)); err != nil {
		t.Fatal(err)
	}
	head, err := w.AppendSchema(nil, meta)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func metadata(d evidence.Descriptor) map[string]string {
	return map[string]string{
		"ecluse.migration": string(d.Migration), "ecluse.plan": d.Plan.String(), "ecluse.epoch": fmt.Sprint(d.Epoch),
		"ecluse.dataset": string(d.Slot.Dataset), "ecluse.sequence": fmt.Sprint(d.Slot.Sequence), "ecluse.version": fmt.Sprint(d.Slot.Version),
		"ecluse.rows": fmt.Sprint(d.Rows), "ecluse.last": fmt.Sprint(d.Last),
	}
}

func TestKeyChunk(t *testing.T) {
	id, k := newIdentity(t), newKey()
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

func FuzzOpen(f *testing.F) {
	id, k := newIdentity(f), newKey()
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
	id, k := newIdentity(f), newKey()
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
