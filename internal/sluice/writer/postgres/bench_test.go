package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// labColumns are the benchmark's eleven columns.
var labColumns = []string{
	"id", "request_id", "analysis_code", "value_num", "value_text", "unit", "ref_low", "ref_high", "flag", "validated_at", "validated_by",
}

// BenchmarkLoad loads chunks of 131,072 rows of eleven columns into a table
// without indexes; BenchmarkScan reads them back on two connections.
func BenchmarkLoad(b *testing.B) {
	const rows = 131_072
	d := newDatabase(b).(*database)
	postgrestest.Lab(b, d.Config, rows)
	postgrestest.Run(b, d.Config, "CREATE TABLE loaded AS TABLE result WITH NO DATA")
	target := d.Target(b)
	name := ecluse.TableName{Schema: "public", Name: "loaded"}
	batch, err := target.Rows(b.Context(), ecluse.TableName{Schema: "public", Name: "result"}, labColumns, rows)
	if err != nil {
		b.Fatal(err)
	}
	s := begin(b, d, target, name, labColumns)
	chunk := &writer.Chunk{Rows: rows, Tables: []writer.Rows{{Table: name, Batch: batch, Source: make([]int32, rows)}}}
	for i := range chunk.Tables[0].Source {
		chunk.Tables[0].Source[i] = int32(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		chunk.Slot.Sequence++
		if l, err := s.Load(b.Context(), chunk, nil); err != nil || l.Already {
			b.Fatal(l.Already, err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkUnload takes chunks of 131,072 rows of eleven columns out of a table
// with a primary key: by the key alone, and leaving what somebody changed, of
// which there is nothing. Loading such a chunk is beside it.
func BenchmarkUnload(b *testing.B) {
	const rows = 131_072
	for _, leave := range []bool{false, true} {
		b.Run(fmt.Sprintf("leave=%t", leave), func(b *testing.B) {
			d := newDatabase(b).(*database)
			postgrestest.Lab(b, d.Config, rows)
			postgrestest.Run(b, d.Config, "CREATE TABLE loaded (LIKE result, PRIMARY KEY (id))")
			target := d.Target(b)
			name := ecluse.TableName{Schema: "public", Name: "loaded"}
			batch, err := target.Rows(b.Context(), ecluse.TableName{Schema: "public", Name: "result"}, labColumns, rows)
			if err != nil {
				b.Fatal(err)
			}
			s := begin(b, d, target, name, labColumns)
			chunk := &writer.Chunk{Rows: rows, Tables: []writer.Rows{{Table: name, Batch: batch, Source: make([]int32, rows)}}}
			for i := range chunk.Tables[0].Source {
				chunk.Tables[0].Source[i] = int32(i)
			}
			var loading, unloading time.Duration
			for b.Loop() {
				chunk.Slot.Sequence++
				begun := time.Now()
				if l, err := s.Load(b.Context(), chunk, nil); err != nil || l.Already || len(l.Refused) > 0 {
					b.Fatal(l.Already, l.Refused, err)
				}
				loading += time.Since(begun)
				begun = time.Now()
				if u, err := s.Unload(b.Context(), chunk, writer.Unloading{Leave: leave}); err != nil || u.Deleted[name] != rows {
					b.Fatal(u, err)
				}
				unloading += time.Since(begun)
				b.StopTimer()
				postgrestest.Run(b, d.Config, "VACUUM loaded")
				b.StartTimer()
			}
			b.ReportMetric(float64(rows*b.N)/unloading.Seconds(), "rows/s")
			b.ReportMetric(unloading.Seconds()/loading.Seconds(), "unload/load")
		})
	}
}

// BenchmarkRevise changes 100,000 rows of eleven columns under rows that refer to them:
// all of which the target takes, and one in a hundred refused.
func BenchmarkRevise(b *testing.B) {
	const rows = 100_000
	for _, bad := range []int{0, rows / 100} {
		b.Run(fmt.Sprintf("refused=%d", bad), func(b *testing.B) {
			d := newDatabase(b).(*database)
			postgrestest.Lab(b, d.Config, rows)
			postgrestest.Run(b, d.Config, "CREATE TABLE loaded (LIKE result, PRIMARY KEY (id)); CREATE TABLE refers (id bigint PRIMARY KEY REFERENCES loaded)")
			target := d.Target(b)
			name := ecluse.TableName{Schema: "public", Name: "loaded"}
			batch, err := target.Rows(b.Context(), ecluse.TableName{Schema: "public", Name: "result"}, labColumns, rows)
			if err != nil {
				b.Fatal(err)
			}
			s := begin(b, d, target, name, labColumns)
			old := &writer.Chunk{Rows: rows, Tables: []writer.Rows{{Table: name, Batch: batch, Source: make([]int32, rows)}}}
			for i := range old.Tables[0].Source {
				old.Tables[0].Source[i] = int32(i)
			}
			if l, err := s.Load(b.Context(), old, nil); err != nil || len(l.Refused) > 0 {
				b.Fatal(l.Refused, err)
			}
			wrong := record.NewColumn(batch.Columns[0].Type(), rows)
			for i := range rows {
				if bad > 0 && i%(rows/bad) == 0 {
					wrong.AppendInt(batch.Columns[0].Int(i) + 1) // the next row's
				} else {
					wrong.AppendInt(batch.Columns[0].Int(i))
				}
			}
			refers := "INSERT INTO refers SELECT id FROM loaded WHERE id % 3 = 1"
			if bad > 0 {
				refers = "" // a refused row would leave it without an answer
			}
			postgrestest.Run(b, d.Config, refers)
			again := errors.New("rolled back, to be measured again")
			for b.Loop() {
				next := *old
				next.Slot.Sequence++
				next.Tables = []writer.Rows{{Table: name, Batch: &record.Batch{Schema: batch.Schema, Columns: append([]*record.Column{wrong}, batch.Columns[1:]...)}, Source: old.Tables[0].Source}}
				r := &writer.Revision{Gone: []writer.Part{{Slot: old.Slot, Rows: rows, Sources: old.Tables[0].Source, Tables: old.Tables}}, Come: []*writer.Chunk{&next}}
				_, err := s.Revise(b.Context(), r, func(_ context.Context, out *writer.Revised) error {
					if len(out.Refused[0]) != bad {
						b.Errorf("%d refused", len(out.Refused[0]))
					}
					return again
				})
				if !errors.Is(err, again) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

func BenchmarkScan(b *testing.B) {
	const rows = 400_000
	d := newDatabase(b).(*database)
	postgrestest.Lab(b, d.Config, rows)
	sc, err := d.Target(b).Snapshot(b.Context(), 2)
	if err != nil {
		b.Fatal(err)
	}
	defer sc.Close()
	b.ReportAllocs()
	for b.Loop() {
		err := sc.Scan(b.Context(), ecluse.TableName{Schema: "public", Name: "result"}, labColumns, func(*record.Batch) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// begin begins a passage that writes columns of one table from the dataset "rows".
func begin(t testing.TB, d *database, target writer.Target, table ecluse.TableName, columns []string) writer.Session {
	t.Helper()
	into := ecluse.ShapeTable{Table: table}
	for _, c := range columns {
		into.Columns = append(into.Columns, ecluse.ShapeColumn{Column: c, From: "a"})
	}
	return beginShape(t, target, ecluse.Shape{Datasets: []ecluse.ShapeDataset{{Dataset: "rows", Reads: []string{"a"}, Into: []ecluse.ShapeTable{into}}}})
}

func beginShape(t testing.TB, target writer.Target, shape ecluse.Shape) writer.Session {
	t.Helper()
	cat, err := target.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := target.Open(t.Context(), mandatetest.New(t).LoadPermit(t, shape, cat, engine.Dialect{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	_, _, err = s.Begin(t.Context(), func(context.Context, reader.Scanner) ([]byte, error) { return []byte("{}"), nil })
	if err != nil {
		t.Fatal(err)
	}
	return s
}
