package record_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// everyType is a type of each kind.
func everyType() []ecluse.Type {
	return []ecluse.Type{
		{Kind: ecluse.Bool},
		{Kind: ecluse.Int},
		{Kind: ecluse.Decimal, Precision: 12, Scale: 3},
		{Kind: ecluse.Number},
		{Kind: ecluse.Float, Precision: 53},
		{Kind: ecluse.Float, Precision: 24},
		{Kind: ecluse.Text},
		{Kind: ecluse.Bytes},
		{Kind: ecluse.Date},
		{Kind: ecluse.Time},
		{Kind: ecluse.Timestamp},
		{Kind: ecluse.Instant},
	}
}

func genSchema() *rapid.Generator[*record.Schema] {
	return rapid.Custom(func(t *rapid.T) *record.Schema {
		types := rapid.SliceOfN(rapid.SampledFrom(everyType()), 1, 14).Draw(t, "types")
		s := &record.Schema{}
		for i, typ := range types {
			s.Fields = append(s.Fields, record.Field{Name: fmt.Sprintf("c%d", i), Type: typ})
		}
		return s
	})
}

// appendAny adds a drawn value, or a null, to c.
func appendAny(t *rapid.T, c *record.Column) {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		c.AppendNull()
		return
	}
	switch c.Type().Kind {
	case ecluse.Bool:
		c.AppendBool(rapid.Bool().Draw(t, "bool"))
	case ecluse.Decimal:
		c.AppendInt(rapid.Int64Range(-999999999999, 999999999999).Draw(t, "decimal"))
	case ecluse.Float:
		c.AppendInt(int64(math.Float64bits(rapid.Float64().Draw(t, "float"))))
	case ecluse.Text:
		c.AppendString(rapid.String().Draw(t, "text"))
	case ecluse.Number:
		c.AppendString(rapid.SampledFrom([]string{"NaN", "-Infinity", "1.10", "-12345678901234567890.5"}).Draw(t, "number"))
	case ecluse.Bytes:
		c.AppendBytes(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	case ecluse.Date:
		days := rapid.Int64Range(math.MinInt32+1, math.MaxInt32-1)
		c.AppendInt(rapid.OneOf(days, rapid.SampledFrom([]int64{ecluse.Infinity, ecluse.NegInfinity})).Draw(t, "date"))
	default:
		c.AppendInt(rapid.Int64().Draw(t, "int"))
	}
}

func genBatch(t *rapid.T, s *record.Schema) *record.Batch {
	b := record.NewBatch(s, 8)
	for range rapid.IntRange(0, 40).Draw(t, "rows") {
		for _, c := range b.Columns {
			appendAny(t, c)
		}
	}
	return b
}

// fatal is what testing and rapid have in common.
type fatal interface {
	Helper()
	Fatal(args ...any)
}

// stream is a whole stream of batches.
func stream(tb fatal, s *record.Schema, meta map[string]string, batches ...*record.Batch) []byte {
	tb.Helper()
	var tail bytes.Buffer
	w, err := record.NewStreamWriter(&tail, s)
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range batches {
		if err := w.Write(b); err != nil {
			tb.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	head, err := w.AppendSchema(nil, meta)
	if err != nil {
		tb.Fatal(err)
	}
	return append(head, tail.Bytes()...)
}

// same compares two columns value by value.
func same(a, b *record.Column) error {
	if a.Type() != b.Type() || a.Len() != b.Len() || a.Nulls() != b.Nulls() {
		return fmt.Errorf("%v with %d nulls, want %v with %d", b, b.Nulls(), a, a.Nulls())
	}
	for i := range a.Len() {
		switch {
		case a.Null(i) != b.Null(i):
			return fmt.Errorf("row %d: null %v, want %v", i, b.Null(i), a.Null(i))
		case record.Fixed(a.Type().Kind) && a.Int(i) != b.Int(i),
			!record.Fixed(a.Type().Kind) && !bytes.Equal(a.Bytes(i), b.Bytes(i)):
			return fmt.Errorf("row %d differs", i)
		}
	}
	return nil
}

func TestStreamRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSchema().Draw(t, "schema")
		meta := rapid.MapOfN(rapid.StringN(1, 8, -1), rapid.StringN(0, 8, -1), 0, 3).Draw(t, "meta")
		var batches []*record.Batch
		for range rapid.IntRange(0, 3).Draw(t, "batches") {
			batches = append(batches, genBatch(t, s))
		}
		var tail bytes.Buffer
		w, err := record.NewStreamWriter(&tail, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			if err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		head, err := w.AppendSchema(nil, meta)
		if err != nil {
			t.Fatal(err)
		}

		rest := strings.NewReader("what follows")
		src := io.MultiReader(bytes.NewReader(head), &tail, rest)
		r, err := record.NewStreamReader(src)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Schema().Equal(s) {
			t.Fatalf("schema %v, want %v", r.Schema(), s)
		}
		if fmt.Sprint(r.Meta()) != fmt.Sprint(meta) {
			t.Fatalf("meta %v, want %v", r.Meta(), meta)
		}
		got := record.NewBatch(s, 0)
		for _, want := range batches {
			if want.Rows() == 0 {
				continue
			}
			if err := r.Next(got); err != nil {
				t.Fatal(err)
			}
			for i := range want.Columns {
				if err := same(want.Columns[i], got.Columns[i]); err != nil {
					t.Fatalf("column %d: %v", i, err)
				}
			}
		}
		for range 2 {
			if err := r.Next(got); err != io.EOF {
				t.Fatalf("after the last batch: %v", err)
			}
		}
		if rest.Len() != len("what follows") {
			t.Fatal("the reader took bytes that are not its own")
		}
	})
}

// A batch that was read can be appended to: its memory is in order.
func TestReadBatchGoesOn(t *testing.T) {
	s := &record.Schema{Fields: []record.Field{{Name: "t", Type: ecluse.Type{Kind: ecluse.Text}}}}
	in := record.NewBatch(s, 3)
	for _, v := range []string{"a", "b", "c"} {
		in.Columns[0].AppendString(v)
	}
	r, err := record.NewStreamReader(bytes.NewReader(stream(t, s, nil, in)))
	if err != nil {
		t.Fatal(err)
	}
	b := record.NewBatch(s, 0)
	if err := r.Next(b); err != nil {
		t.Fatal(err)
	}
	b.Columns[0].AppendNull()
	b.Columns[0].AppendString("e")
	for i, want := range []string{"a", "b", "c", "", "e"} {
		if got := string(b.Columns[0].Bytes(i)); got != want || b.Columns[0].Null(i) != (want == "") {
			t.Errorf("row %d: %q", i, got)
		}
	}
}

// The public Arrow reader reads what we write.
func TestStreamIsArrow(t *testing.T) {
	s := &record.Schema{}
	for i, typ := range everyType() {
		s.Fields = append(s.Fields, record.Field{Name: fmt.Sprintf("c%d", i), Type: typ})
	}
	b := record.NewBatch(s, 1)
	for _, v := range b.Columns {
		switch {
		case v.Type().Kind == ecluse.Date:
			v.AppendInt(18000)
		case v.Type().Kind == ecluse.Decimal:
			v.AppendInt(-1500)
		case v.Type().Kind == ecluse.Float:
			v.AppendFloat(1.5)
		case record.Fixed(v.Type().Kind):
			v.AppendInt(1)
		default:
			v.AppendString("1.10")
		}
	}
	r, err := ipc.NewReader(bytes.NewReader(stream(t, s, map[string]string{"ecluse.rows": "1"}, b)))
	if err != nil {
		t.Fatal(err)
	}
	rec, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"true", "1", "-1.5", "1.10", "1.5", "1.5", "1.10", "MS4xMA==", "2019-04-14",
		"1us", "1970-01-01T00:00:00.000001", "1970-01-01T00:00:00.000001Z",
	}
	for i, w := range want {
		if got := rec.Column(i).ValueStr(0); got != w {
			t.Errorf("column %d (%s): %s, want %s", i, s.Fields[i].Type, got, w)
		}
	}
	if _, ok := rec.Column(2).(*array.Decimal64); !ok {
		t.Errorf("a decimal travels as %T", rec.Column(2))
	}
	if _, err := r.Read(); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
}

// Equal rows make equal bytes, whatever memory they were in before.
func TestStreamIsDeterministic(t *testing.T) {
	s := labSchema()
	used, fresh := record.NewBatch(s, 10), record.NewBatch(s, 0)
	fillLab(used, 90)
	used.Reset()
	fillLab(used, 37)
	fillLab(fresh, 37)
	meta := map[string]string{"b": "1", "a": "2", "c": "3"}
	if !bytes.Equal(stream(t, s, meta, used), stream(t, s, meta, fresh)) {
		t.Error("two streams of the same rows differ")
	}
}

func TestWriterRefuses(t *testing.T) {
	date := &record.Schema{Fields: []record.Field{{Name: "d", Type: ecluse.Type{Kind: ecluse.Date}}}}
	for _, days := range []int64{math.MaxInt32, math.MinInt32, 1 << 40} {
		b := record.NewBatch(date, 1)
		b.Columns[0].AppendInt(days)
		w, err := record.NewStreamWriter(io.Discard, date)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Write(b); err == nil {
			t.Errorf("%d days written", days)
		}
	}
	for _, typ := range []ecluse.Type{
		{},
		{Kind: "blob"},
		{Kind: ecluse.Decimal},
		{Kind: ecluse.Decimal, Precision: 19},
		{Kind: ecluse.Decimal, Precision: 5, Scale: -1},
		{Kind: ecluse.Float},
		{Kind: ecluse.Text, Precision: 3},
	} {
		if _, err := record.NewStreamWriter(io.Discard, &record.Schema{Fields: []record.Field{{Name: "c", Type: typ}}}); err == nil {
			t.Errorf("a column of type %+v written", typ)
		}
	}
	if _, err := record.NewStreamWriter(io.Discard, &record.Schema{}); err == nil {
		t.Error("a stream without columns written")
	}
	w, err := record.NewStreamWriter(io.Discard, date)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(record.NewBatch(labSchema(), 0)); err == nil {
		t.Error("a batch of other columns written")
	}
}

// Every cut of a stream is an error, and so is a message that is not ours.
func TestReaderRefuses(t *testing.T) {
	s := labSchema()
	b := record.NewBatch(s, 5)
	fillLab(b, 5)
	whole := stream(t, s, nil, b)
	for cut := range len(whole) {
		if _, err := readStream(whole[:cut]); err == nil || errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d of %d: %v", cut, len(whole), err)
		}
	}
	if _, err := readStream(whole[8:]); err == nil {
		t.Error("a stream without its first eight bytes read")
	}
	empty := stream(t, s, nil)
	twice := append(empty[:len(empty)-8], whole...)
	if _, err := readStream(twice); err == nil {
		t.Error("a second schema read")
	}
	lie := append([]byte{0xff, 0xff, 0xff, 0xff}, binary.LittleEndian.AppendUint32(nil, 1<<31-8)...)
	if _, err := readStream(lie); err == nil {
		t.Error("a schema of 2 GiB read")
	}
}

// What a stream says of its own size is not believed before its bytes are there.
func TestReaderMemory(t *testing.T) {
	s := &record.Schema{Fields: []record.Field{{Name: "c", Type: ecluse.Type{Kind: ecluse.Int}}}}
	b := record.NewBatch(s, 1)
	b.Columns[0].AppendInt(7)
	whole := stream(t, s, map[string]string{"k": "v"}, b)
	var before, after runtime.MemStats
	for at := range len(whole) - 3 {
		for _, lie := range []uint32{1 << 27, 1<<31 - 8, 1<<32 - 8} {
			lying := bytes.Clone(whole)
			binary.LittleEndian.PutUint32(lying[at:], lie)
			runtime.ReadMemStats(&before)
			_, _ = readStream(lying)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
				t.Errorf("%d at byte %d of %d: %d bytes taken", lie, at, len(whole), used)
			}
		}
	}
}

// readStream reads a stream to its end and counts its rows.
func readStream(b []byte) (rows int, err error) {
	r, err := record.NewStreamReader(bytes.NewReader(b))
	if err != nil {
		return 0, err
	}
	batch := record.NewBatch(r.Schema(), 0)
	for {
		err := r.Next(batch)
		if err == io.EOF {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows += batch.Rows()
		for _, c := range batch.Columns { // every value can be reached
			for i := range c.Len() {
				if record.Fixed(c.Type().Kind) {
					c.Int(i)
				} else {
					c.Bytes(i)
				}
			}
		}
	}
}

func FuzzStreamReader(f *testing.F) {
	s := &record.Schema{}
	for i, typ := range everyType() {
		s.Fields = append(s.Fields, record.Field{Name: fmt.Sprintf("c%d", i), Type: typ})
	}
	lab := record.NewBatch(labSchema(), 4)
	fillLab(lab, 4)
	f.Add(stream(f, s, map[string]string{"ecluse.rows": "0"}))
	f.Add(stream(f, labSchema(), nil, lab))
	one := &record.Schema{Fields: []record.Field{{Name: "c", Type: ecluse.Type{Kind: ecluse.Text}}}}
	b := record.NewBatch(one, 2)
	b.Columns[0].AppendString("é")
	b.Columns[0].AppendNull()
	f.Add(stream(f, one, nil, b))
	b = record.NewBatch(one, 16)
	for i := range 16 {
		b.Columns[0].AppendString([]string{"é", "b"}[i%2])
	}
	b.Columns[0].AppendNull()
	f.Add(stream(f, one, nil, b, b))
	f.Fuzz(func(t *testing.T, in []byte) {
		_, _ = readStream(in)
	})
}

// labSchema is the eleven columns of the benchmark's results.
func labSchema() *record.Schema {
	text, dec := ecluse.Type{Kind: ecluse.Text}, ecluse.Type{Kind: ecluse.Decimal, Precision: 12, Scale: 3}
	return &record.Schema{Fields: []record.Field{
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
	}}
}

// fillLab adds invented results.
func fillLab(b *record.Batch, rows int) {
	codes := []string{"GLU", "CREA", "NA", "K", "HB", "HIV", "ECBU"}
	flags := []string{"", "H", "L", "N"}
	for i := range rows {
		c := b.Columns
		c[0].AppendInt(int64(i))
		c[1].AppendInt(int64(1 + i/5))
		c[2].AppendString(codes[i%len(codes)])
		if i%7 < 5 {
			c[3].AppendInt(int64(i*2654435761) % 150003)
			c[4].AppendNull()
			c[5].AppendString("mmol/L")
			c[6].AppendInt(3900)
			c[7].AppendInt(5500)
		} else {
			c[3].AppendNull()
			c[4].AppendString("Négatif")
			c[5].AppendNull()
			c[6].AppendNull()
			c[7].AppendNull()
		}
		if f := flags[i%4]; f == "" {
			c[8].AppendNull()
		} else {
			c[8].AppendString(f)
		}
		c[9].AppendInt(1388566800000000 + int64(i/5)*60000000)
		c[10].AppendString(fmt.Sprintf("bio%02d", i%37))
	}
}

func BenchmarkStreamWrite(b *testing.B) {
	batch := record.NewBatch(labSchema(), 8192)
	fillLab(batch, 8192)
	w, err := record.NewStreamWriter(io.Discard, labSchema())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*8192/b.Elapsed().Seconds()/1e6, "Mrows/s")
}

func BenchmarkStreamRead(b *testing.B) {
	batch := record.NewBatch(labSchema(), 8192)
	fillLab(batch, 8192)
	all := make([]*record.Batch, 16)
	for i := range all {
		all[i] = batch
	}
	in := stream(b, labSchema(), nil, all...)
	b.ReportAllocs()
	for b.Loop() {
		r, err := record.NewStreamReader(bytes.NewReader(in))
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			err = r.Next(batch)
		}
	}
	b.ReportMetric(float64(b.N)*16*8192/b.Elapsed().Seconds()/1e6, "Mrows/s")
}
