package postgres

import (
	"fmt"
	"io"
	"slices"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// labColumns are the columns of the benchmark's results, all but the comment.
func labColumns() []mandate.LoadColumn {
	k := func(kind ecluse.DataKind, numbers ...int) ecluse.Type {
		t := ecluse.Type{Kind: kind}
		if len(numbers) > 0 {
			t.Precision, t.Scale = numbers[0], numbers[1]
		}
		return t
	}
	return []mandate.LoadColumn{
		{Name: "id", Type: k(ecluse.Int), Declared: "bigint"},
		{Name: "request_id", Type: k(ecluse.Int), Declared: "bigint"},
		{Name: "analysis_code", Type: k(ecluse.Text), Declared: "text"},
		{Name: "value_num", Type: k(ecluse.Decimal, 12, 3), Declared: "numeric(12,3)"},
		{Name: "value_text", Type: k(ecluse.Text), Declared: "text"},
		{Name: "unit", Type: k(ecluse.Text), Declared: "text"},
		{Name: "ref_low", Type: k(ecluse.Decimal, 10, 3), Declared: "numeric(10,3)"},
		{Name: "ref_high", Type: k(ecluse.Decimal, 10, 3), Declared: "numeric(10,3)"},
		{Name: "flag", Type: k(ecluse.Text), Declared: "character(1)"},
		{Name: "validated_at", Type: k(ecluse.Instant), Declared: "timestamp with time zone"},
		{Name: "validated_by", Type: k(ecluse.Text), Declared: "text"},
	}
}

func labBatch(rows int) *record.Batch {
	s := &record.Schema{}
	for _, c := range labColumns() {
		s.Fields = append(s.Fields, record.Field{Name: c.Name, Type: c.Type})
	}
	b := record.NewBatch(s, rows)
	c := b.Columns
	for i := range rows {
		c[0].AppendInt(int64(i))
		c[1].AppendInt(int64(i / 5))
		c[2].AppendString([]string{"GLU", "CREA", "NA", "BHCG"}[i%4])
		c[3].AppendInt(int64(i*2654435761%100003 + 3000))
		if i%5 == 0 {
			c[4].AppendString("Négatif")
		} else {
			c[4].AppendNull()
		}
		c[5].AppendString("mmol/L")
		c[6].AppendInt(3900)
		c[7].AppendInt(5500)
		if i%2 == 0 {
			c[8].AppendNull()
		} else {
			c[8].AppendString("H")
		}
		c[9].AppendInt(1388570400_000000 + int64(i)*60_000_000)
		c[10].AppendString(fmt.Sprintf("bio%02d", i%37))
	}
	return b
}

const benchRows = 8192

func BenchmarkEncode(b *testing.B) {
	copier, batch := NewCopier(ecluse.TableName{Name: "result"}, labColumns()), labBatch(benchRows)
	p := make([]byte, 64<<10)
	b.ReportAllocs()
	for b.Loop() {
		e := copier.Rows(batch, 0, benchRows, nil)
		for {
			if _, err := e.Read(p); err == io.EOF {
				break
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
}

func BenchmarkUnfit(b *testing.B) {
	copier, batch := NewCopier(ecluse.TableName{Name: "result"}, labColumns()), labBatch(benchRows)
	for b.Loop() {
		if copier.Unfit(batch) != nil {
			b.Fatal("values do not fit")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
}

// labRows is what a server sends: a message for each row.
func labRows() (messages [][]byte, fields []Field) {
	copier, batch := NewCopier(ecluse.TableName{Name: "result"}, labColumns()), labBatch(benchRows)
	for row := range benchRows {
		e := copier.Rows(batch, row, row+1, nil)
		e.binaryRow()
		messages = append(messages, e.buf)
	}
	messages[0] = slices.Concat([]byte(copySignature), make([]byte, 8), messages[0])
	return append(messages, []byte{0xff, 0xff}), copier.fields
}

func BenchmarkDecode(b *testing.B) {
	messages, fields := labRows()
	batch := record.NewBatch(Schema(fields), BatchRows)
	b.ReportAllocs()
	for b.Loop() {
		d, err := NewDecoder(fields, func(*record.Batch) (*record.Batch, error) { return batch, nil })
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range messages {
			if _, err := d.Write(m); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchRows), "ns/row")
}
