package postgres_test

import (
	"testing"

	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// BenchmarkRead reads eleven columns through a granted view, chunk after chunk.
func BenchmarkRead(b *testing.B) {
	const rows = 400_000
	d := newDatabase(b).(*database)
	postgrestest.Lab(b, d.Config, rows)
	source := d.Source(b)
	cat, err := source.Catalogue(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	permit := mandatetest.New(b).ReadPermit(b, cat, engine.Dialect{}, "datasets:\n  result: {from: public.result, key: [id], columns: "+postgrestest.LabColumns+"}\n")
	d.Grant(b, permit.Plan())
	s, err := source.Open(b.Context(), permit)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		n, last := 0, false
		for after := reader.Cursor(nil); !last; {
			after, last, err = s.ReadChunk(b.Context(), "result", after, nil, func(batch *record.Batch) error { n += batch.Rows(); return nil })
			if err != nil {
				b.Fatal(err)
			}
		}
		if n != rows {
			b.Fatalf("%d rows", n)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
