package reconcile

import (
	"fmt"
	"testing"

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
