package sqlite

import (
	"fmt"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// results is a laboratory's table of results, and a chunk of it.
func results(b *testing.B, rows int) (writer.Session, *writer.Chunk, *Target) {
	b.Helper()
	f := sqlitetest.New(b)
	f.Exec(b, `CREATE TABLE result (id INTEGER PRIMARY KEY, request_id INTEGER NOT NULL, analysis_code TEXT NOT NULL, value_num NUMERIC, value_text TEXT,
		unit TEXT, ref_low NUMERIC, ref_high NUMERIC, flag TEXT, validated_at TEXT, validated_by TEXT)`)
	target, session := open(b, f, "result")
	cat, err := target.Catalogue(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	schema := &record.Schema{}
	table, _ := cat.Table(f.Name("result"))
	for _, c := range table.Columns {
		schema.Fields = append(schema.Fields, record.Field{Name: c.Name, Type: c.Type})
	}
	batch, source := record.NewBatch(schema, rows), make([]int32, rows)
	for i := range rows {
		source[i] = int32(i)
		batch.Columns[1].AppendInt(int64(i / 5))
		for c, v := range []string{"GLU", fmt.Sprintf("%d.%03d", i%97, i%1000), "", "mmol/L", "3.9", "5.5", "H", "2014-01-01 10:00:00", "bio12"} {
			if v == "" {
				batch.Columns[2+c].AppendNull()
			} else {
				batch.Columns[2+c].AppendString(v)
			}
		}
	}
	return session, &writer.Chunk{Rows: rows, Tables: []writer.Rows{{Table: f.Name("result"), Batch: batch, Source: source}}}, target
}

// place gives a chunk its place and its rows their ids.
func place(c *writer.Chunk, sequence int) {
	c.Slot = ecluse.Slot{Dataset: "result", Sequence: sequence}
	id := c.Tables[0].Batch.Columns[0]
	id.Reset()
	for i := range c.Rows {
		id.AppendInt(int64(sequence*c.Rows + i))
	}
}

func BenchmarkLoad(b *testing.B) {
	const rows = 131_072
	s, chunk, _ := results(b, rows)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		place(chunk, n)
		n++
		if _, err := s.Load(b.Context(), chunk, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*rows)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkReadBack(b *testing.B) {
	const rows = 131_072
	s, chunk, target := results(b, rows)
	place(chunk, 0)
	if _, err := s.Load(b.Context(), chunk, nil); err != nil {
		b.Fatal(err)
	}
	sc, err := target.Snapshot(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	defer sc.Close()
	var names []string
	for _, f := range chunk.Tables[0].Batch.Schema.Fields {
		names = append(names, f.Name)
	}
	b.ReportAllocs()
	read := 0
	for b.Loop() {
		err := sc.Scan(b.Context(), chunk.Tables[0].Table, names, func(batch *record.Batch) error { read += batch.Rows(); return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "rows/s")
}
