package reconcile

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// labBatch is invented results in the eleven columns of the benchmark.
func labBatch(rows int) (Table, *record.Batch) {
	text, dec := ecluse.Type{Kind: ecluse.Text}, ecluse.Type{Kind: ecluse.Decimal, Precision: 12, Scale: 3}
	s := &record.Schema{Fields: []record.Field{
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
	t := Table{Name: ecluse.TableName{Schema: "public", Name: "result"}}
	for _, f := range s.Fields {
		t.Columns = append(t.Columns, Column{Name: f.Name, Padded: f.Name == "flag"})
	}
	b := record.NewBatch(s, rows)
	codes := []string{"GLU", "CREA", "NA", "K", "HB", "HIV", "ECBU"}
	for i := range rows {
		c := b.Columns
		c[0].AppendInt(int64(8000000 + i))
		c[1].AppendInt(int64(1600000 + i/5))
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
		if i%4 == 0 {
			c[8].AppendNull()
		} else {
			c[8].AppendString("H")
		}
		c[9].AppendInt(1388566800000000 + int64(i/5)*60000000)
		c[10].AppendString(fmt.Sprintf("bio%02d", i%37))
	}
	return t, b
}

func BenchmarkSumBatch(b *testing.B) {
	t, batch := labBatch(8192)
	s := NewSummer(t, [32]byte{1})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.SumBatch(batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8192, "ns/row")
}

func BenchmarkEncode(b *testing.B) {
	t, batch := labBatch(8192)
	s := NewSummer(t, [32]byte{1})
	if err := s.bind(batch); err != nil {
		b.Fatal(err)
	}
	bytes := 0
	for b.Loop() {
		for i := range 8192 {
			if err := s.encode(i, 0, len(s.forms)); err != nil {
				b.Fatal(err)
			}
			bytes += len(s.row)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8192, "ns/row")
	b.ReportMetric(float64(bytes)/float64(b.N)/8192, "B/row")
}

// scans is a table of a target that is made while it is scanned.
type scans func(emit func(*record.Batch) error) error

func (s scans) Scan(_ context.Context, _ ecluse.TableName, _ []string, emit func(*record.Batch) error) error {
	return s(emit)
}
func (scans) Check(context.Context, ecluse.ShapeCheck) (*record.Batch, error) { return nil, nil }
func (scans) At() time.Time                                                   { return time.Time{} }
func (scans) Close() error                                                    { return nil }

// BenchmarkTrace finds one altered row among a million, without what reading and mapping
// cost: rows as loaded are gone through twice, and so are the target's.
func BenchmarkTrace(b *testing.B) {
	const chunks, rows, altered = 16, 1 << 16, 12345
	t, batch := labBatch(rows)
	source := make([]int32, rows)
	for i := range source {
		source[i] = int32(i)
	}
	each := func(do func(chunk int) error) {
		b.Helper()
		for n := range chunks {
			for i, ids := 0, batch.Columns[0].Ints(); i < rows; i++ { // every chunk has ids of its own
				ids[i] = int64(8000000 + n*rows + i)
			}
			if err := do(n); err != nil {
				b.Fatal(err)
			}
		}
	}
	target := scans(func(emit func(*record.Batch) error) error {
		each(func(n int) error {
			if n == chunks/2 {
				batch.Columns[1].Ints()[altered]++
				defer func() { batch.Columns[1].Ints()[altered]-- }()
			}
			return emit(batch)
		})
		return nil
	})
	for b.Loop() {
		tr := NewTracer(t, []string{"id"}, 1)
		each(func(int) error { return tr.Sum(batch) })
		if err := tr.SumTarget(b.Context(), target); err != nil {
			b.Fatal(err)
		}
		for tr.Next() {
			each(func(n int) error { return tr.Expect(Origin{"result", int64(n * rows)}, batch, source) })
			if err := tr.Scan(b.Context(), target); err != nil {
				b.Fatal(err)
			}
		}
		if list, whole := tr.Differences(); !whole || len(list) != 1 || list[0].Ordinal != chunks/2*rows+altered || list[0].Column != "request_id" {
			b.Fatalf("%v, whole %v", list, whole)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/chunks/rows, "ns/row")
}
