package seal_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"filippo.io/age"
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

func newKey() *seal.Key {
	k := new(seal.Key)
	for i := range k {
		k[i] = byte(rand.Uint32())
	}
	return k
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
	id, k := newIdentity(t), newKey()
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
	id, k, pool := newIdentity(t), newKey(), new(seal.Pool)
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
	id, k := newIdentity(t), newKey()
	a := sealRows(t, header(3), id.Recipient(), k, false, 100, 200)
	h := header(3)
	h.Epoch, h.Slot.Version, h.Plan = 9, 2, ecluse.DigestOf([]byte("another"))
	if b := sealRows(t, h, id.Recipient(), k, true, 100, 200); a.d.Sum != b.d.Sum {
		t.Error("the same rows have another sum in another epoch")
	}
	if b := sealRows(t, header(3), id.Recipient(), k, false, 100, 201); a.d.Sum == b.d.Sum {
		t.Error("a row more and the same sum")
	}
	if b := sealRows(t, header(3), id.Recipient(), newKey(), false, 100, 200); a.d.Sum == b.d.Sum {
		t.Error("another key and the same sum")
	}
	h.Slot.Dataset = "patient"
	if b := sealRows(t, h, id.Recipient(), k, false, 100, 200); a.d.Sum == b.d.Sum {
		t.Error("another dataset and the same sum")
	}
}

func TestWriterRefuses(t *testing.T) {
	id, k := newIdentity(t), newKey()
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

// lab is invented results in the eleven columns of the project's benchmark.
func lab(from, rows int) *record.Batch {
	text, dec := ecluse.Type{Kind: ecluse.Text}, ecluse.Type{Kind: ecluse.Decimal, Precision: 12, Scale: 3}
	b := record.NewBatch(&record.Schema{Fields: []record.Field{
		{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}},
		{Name: "request_id", Type: ecluse.Type{Kind: ecluse.Int}},
		{Name: "analysis_code", Type: text},
		{Name: "value_num", Type: dec},
		{Name: "value_text", Type: text},
		{Name: "unit", Type: text},
		{Name: "ref_low", Type: dec},
		{Name: "ref_high", Type: dec},
		{Name: "flag", Type: text},
		{Name: "validated_at", Type: ecluse.Type{Kind: ecluse.Instant}},
		{Name: "validated_by", Type: text},
	}}, rows)
	r := rand.New(rand.NewPCG(1, uint64(from)))
	codes := []string{"GLU", "CREA", "NA", "K", "HB", "WBC", "PLT", "CRP", "TSH", "FER", "CHOL", "HIV", "ECBU"}
	for i := from; i < from+rows; i++ {
		c, k := b.Columns, r.IntN(len(codes))
		c[0].AppendInt(int64(i))
		c[1].AppendInt(int64(1 + i/5))
		c[2].AppendString(codes[k])
		if k < 11 {
			c[3].AppendInt(r.Int64N(150003))
			c[4].AppendNull()
			c[5].AppendString("mmol/L")
			c[6].AppendInt(int64(1300 * k))
			c[7].AppendInt(int64(4100 * k))
		} else {
			c[3].AppendNull()
			c[4].AppendString("Négatif")
			c[5].AppendNull()
			c[6].AppendNull()
			c[7].AppendNull()
		}
		if r.IntN(2) == 0 {
			c[8].AppendNull()
		} else {
			c[8].AppendString("H")
		}
		c[9].AppendInt(1388566800000000 + int64(i/5)*60000000 + r.Int64N(60)*1000000)
		c[10].AppendString(fmt.Sprintf("bio%02d", r.IntN(37)))
	}
	return b
}

// labChunk is the batches of a chunk, each of other rows: a compressor that sees one again finds
// it whole in its window.
func labChunk() (all []*record.Batch) {
	for n := range 16 {
		all = append(all, lab(n*8192, 8192))
	}
	return all
}

func sealLab(b *testing.B, pool *seal.Pool, dst io.Writer, id *age.HybridIdentity, k *seal.Key, batches []*record.Batch) seal.Sealed {
	b.Helper()
	w := pool.NewWriter(dst, header(0), id.Recipient(), k, batches[0].Schema)
	rows := int64(0)
	for _, batch := range batches {
		if err := w.Write(batch); err != nil {
			b.Fatal(err)
		}
		rows += int64(batch.Rows())
	}
	s, err := w.Close(rows, true)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func perRow(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/16/8192, "ns/row")
}

func BenchmarkSeal(b *testing.B) {
	id, k, pool, batches := newIdentity(b), newKey(), new(seal.Pool), labChunk()
	b.ReportAllocs()
	for b.Loop() {
		s := sealLab(b, pool, io.Discard, id, k, batches)
		b.ReportMetric(float64(s.Size)/float64(s.Rows), "B/row")
	}
	perRow(b)
}

func BenchmarkOpen(b *testing.B) {
	id, k, pool, batches := newIdentity(b), newKey(), new(seal.Pool), labChunk()
	var out bytes.Buffer
	d := describe(header(0), sealLab(b, pool, &out, id, k, batches), true)
	b.ReportAllocs()
	for b.Loop() {
		r, err := pool.Open(bytes.NewReader(out.Bytes()), &d, id, k)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			err = r.Next(batches[0])
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
	}
	perRow(b)
}
