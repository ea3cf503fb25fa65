package sqlite

import (
	"testing"

	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// BenchmarkRead reads results of the shape of the benchmark's laboratory: eleven
// columns, three of them decimals.
func BenchmarkRead(b *testing.B) {
	const rows = 300_000
	f := sqlitetest.New(b)
	f.Exec(b, `CREATE TABLE result (id INTEGER PRIMARY KEY, request_id INTEGER NOT NULL, analysis_code TEXT NOT NULL, value_num NUMERIC, value_text TEXT,
		unit TEXT, ref_low NUMERIC, ref_high NUMERIC, flag TEXT, validated_at TEXT, validated_by TEXT, comment TEXT)`)
	f.Exec(b, `INSERT INTO result WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < ?1)
		SELECT i, 1+(i-1)/5, 'GLU'||(i%20), CASE WHEN i%10 THEN (i*2654435761%100003)/1000.0 END, CASE WHEN i%10=0 THEN 'Négatif' END, 'mmol/L', 3.9, 5.5,
		CASE i%6 WHEN 0 THEN 'H' WHEN 1 THEN 'L' WHEN 2 THEN 'N' END, '2014-01-01 10:00:'||(i%60), 'bio'||(i%37), NULL FROM g`, int64(rows))
	source := New(f.Path)
	cat, err := source.Catalogue(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	permit := mandatetest.New(b).ReadPermit(b, cat, engine.Dialect{}, `
datasets:
  result: {from: result, key: [id], columns: {id: technical, request_id: technical, analysis_code: result, value_num: result, value_text: result,
    unit: result, ref_low: result, ref_high: result, flag: result, validated_at: result, validated_by: result}}
`)
	s, err := source.Open(b.Context(), permit)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	b.ReportAllocs()
	b.ResetTimer()
	read := 0
	for b.Loop() {
		var after reader.Cursor
		for last := false; !last; {
			after, last, err = s.ReadChunk(b.Context(), "result", after, nil, func(batch *record.Batch) error {
				read += batch.Rows()
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(read)/b.Elapsed().Seconds(), "rows/s")
}
