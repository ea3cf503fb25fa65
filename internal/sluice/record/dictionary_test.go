package record_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/record"
)

func columns(types ...ecluse.Type) *record.Schema {
	s := &record.Schema{}
	for i, t := range types {
		s.Fields = append(s.Fields, record.Field{Name: fmt.Sprintf("c%d", i), Type: t})
	}
	return s
}

// repeating is a batch of rows whose values come from so many, beginning at a place.
func repeating(s *record.Schema, rows, first, values int) *record.Batch {
	b := record.NewBatch(s, rows)
	for i := range rows {
		for _, c := range b.Columns {
			v := first + i%values
			switch {
			case i%11 == 3:
				c.AppendNull()
			case c.Type().Kind == ecluse.Bool:
				c.AppendBool(v%2 == 0)
			case record.Fixed(c.Type().Kind):
				c.AppendInt(int64(v))
			default:
				c.AppendString(fmt.Sprint(v) + strings.Repeat("\x00", v%3))
			}
		}
	}
	return b
}

// readBack gives the rows of a stream in one batch, and the rows of each message.
func readBack(tb fatal, in []byte) (*record.Batch, []int) {
	tb.Helper()
	r, err := record.NewStreamReader(bytes.NewReader(in))
	if err != nil {
		tb.Fatal(err)
	}
	all, b, cuts := record.NewBatch(r.Schema(), 0), record.NewBatch(r.Schema(), 0), []int{}
	for {
		err := r.Next(b)
		if err == io.EOF {
			return all, cuts
		}
		if err != nil {
			tb.Fatal(err)
		}
		cuts = append(cuts, b.Rows())
		for i, c := range all.Columns {
			c.AppendRange(b.Columns[i], 0, b.Rows())
		}
	}
}

// Columns of few values travel as dictionaries, whatever comes after their first batch: values
// that are new, more of them than a dictionary holds, others in the place of those.
func TestDictionaries(t *testing.T) {
	s := columns(everyType()...)
	batches := []*record.Batch{
		repeating(s, 1000, 0, 20), repeating(s, 1000, 0, 20), repeating(s, 1000, 10, 90),
		repeating(s, 3000, 0, 3000), repeating(s, 500, 7, 3), repeating(s, 5, 1, 1), repeating(s, 700, 1_000_000, 256),
	}
	in := stream(t, s, nil, batches...)
	want := record.NewBatch(s, 0)
	for _, b := range batches {
		for i, c := range want.Columns {
			c.AppendRange(b.Columns[i], 0, b.Rows())
		}
	}
	got, cuts := readBack(t, in)
	for i := range s.Fields {
		if err := same(want.Columns[i], got.Columns[i]); err != nil {
			t.Errorf("column %s: %v", s.Fields[i].Type, err)
		}
	}
	if len(cuts) < len(batches)+10 || len(cuts) > len(batches)+15 {
		t.Errorf("messages of %d rows", cuts)
	}

	// The public reader finds the same, and dictionaries for all but bool and float.
	r, err := ipc.NewReader(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range s.Fields {
		plain := f.Type.Kind == ecluse.Bool || f.Type.Kind == ecluse.Float
		if got := r.Schema().Field(i).Type.ID() == arrow.DICTIONARY; got == plain {
			t.Errorf("%s travels as %s", f.Type, r.Schema().Field(i).Type)
		}
	}
	row, text := 0, s.Index("c6")
	for r.Next() {
		c := r.RecordBatch().Column(text).(*array.Dictionary)
		for i := range c.Len() {
			null := want.Columns[text].Null(row)
			if c.IsNull(i) != null || !null && c.Dictionary().(*array.String).Value(c.GetValueIndex(i)) != string(want.Columns[text].Bytes(row)) {
				t.Fatalf("row %d differs", row)
			}
			row++
		}
	}
	if r.Err() != nil || row != want.Rows() {
		t.Errorf("%d rows of %d, %v", row, want.Rows(), r.Err())
	}
}

// Whatever the rows, they come out as they went in, and the bytes are the same each time.
func TestDictionariesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := columns(rapid.SliceOfN(rapid.SampledFrom(everyType()), 1, 4).Draw(t, "types")...)
		var batches []*record.Batch
		for range rapid.IntRange(1, 5).Draw(t, "batches") {
			batches = append(batches, repeating(s, rapid.IntRange(0, 900).Draw(t, "rows"), rapid.IntRange(0, 3).Draw(t, "first")*100, rapid.IntRange(1, 400).Draw(t, "values")))
		}
		in := stream(t, s, nil, batches...)
		if !bytes.Equal(in, stream(t, s, nil, batches...)) {
			t.Fatal("two streams of the same rows differ")
		}
		got, _ := readBack(t, in)
		at := 0
		for _, b := range batches {
			part := record.NewBatch(s, 0)
			for i, c := range part.Columns {
				c.AppendRange(got.Columns[i], at, at+b.Rows())
				if err := same(b.Columns[i], c); err != nil {
					t.Fatalf("column %d: %v", i, err)
				}
			}
			at += b.Rows()
		}
	})
}

// A few codes of a long value are more than a batch may hold: they are refused before
// there is room for them.
func TestDictionaryBomb(t *testing.T) {
	s := columns(ecluse.Type{Kind: ecluse.Bytes})
	value := bytes.Repeat([]byte{7}, 1<<20-1)
	b := record.NewBatch(s, 0)
	for range 20 {
		b.Columns[0].AppendBytes(value)
	}
	in := stream(t, s, nil, b)
	if len(in) > 2<<20 {
		t.Fatalf("a value that stands twenty times takes %d bytes", len(in))
	}
	// The same dictionary under a message of 200 rows: an ordinary writer makes it.
	r, err := ipc.NewReader(bytes.NewReader(in))
	if err != nil || !r.Next() {
		t.Fatal(err)
	}
	one := r.RecordBatch().Column(0).(*array.Dictionary)
	codes := array.NewUint8Builder(memory.DefaultAllocator)
	for range 200 {
		codes.Append(0)
	}
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(r.Schema()))
	bomb := array.NewDictionaryArray(one.DataType(), codes.NewArray(), one.Dictionary())
	if err := w.Write(array.NewRecordBatch(r.Schema(), []arrow.Array{bomb}, 200)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := readStream(out.Bytes()); err == nil || !strings.Contains(err.Error(), "more than the") {
		t.Errorf("200 MiB read from %d bytes: %v", out.Len(), err)
	}
}

// A code that names no value is refused, and so are a null in a dictionary and one that
// grows by a part.
func TestDictionaryRefuses(t *testing.T) {
	s := columns(ecluse.Type{Kind: ecluse.Int})
	in := stream(t, s, nil, repeating(s, 40, 0, 4))
	r, err := ipc.NewReader(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	schema := r.Schema()
	typ := schema.Field(0).Type.(*arrow.DictionaryType)
	write := func(opts []ipc.Option, parts ...[2][]int64) []byte { // dictionary, codes; −1: null
		var out bytes.Buffer
		w := ipc.NewWriter(&out, append(opts, ipc.WithSchema(schema))...)
		for _, p := range parts {
			values, codes := array.NewInt64Builder(memory.DefaultAllocator), array.NewUint8Builder(memory.DefaultAllocator)
			for _, v := range p[0] {
				if v < 0 {
					values.AppendNull()
				} else {
					values.Append(v)
				}
			}
			for _, c := range p[1] {
				codes.Append(byte(c))
			}
			a := array.NewDictionaryArray(typ, codes.NewArray(), values.NewArray())
			if err := w.Write(array.NewRecordBatch(schema, []arrow.Array{a}, int64(a.Len()))); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	if rows, err := readStream(write(nil, [2][]int64{{5, 6}, {0, 1}}, [2][]int64{{5, 6, 7}, {0, 2}})); err != nil || rows != 4 {
		t.Errorf("%d rows: %v", rows, err)
	}
	for name, in := range map[string][]byte{
		"a code beyond":        write(nil, [2][]int64{{5, 6}, {0, 2}}),
		"a null in it":         write(nil, [2][]int64{{5, -1}, {0, 1}}),
		"a part of one":        write([]ipc.Option{ipc.WithDictionaryDeltas(true)}, [2][]int64{{5, 6}, {0, 1}}, [2][]int64{{5, 6, 7}, {0, 2}}),
		"more than 256 values": write(nil, [2][]int64{make([]int64, 257), {0, 2}}),
	} {
		if _, err := readStream(in); err == nil {
			t.Errorf("%s: read", name)
		}
	}
}
