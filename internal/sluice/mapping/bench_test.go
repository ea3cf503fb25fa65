package mapping

import (
	"bytes"
	"fmt"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/mapping/mappingtest"
	"ecluse/internal/sluice/record"
)

// resultLike is the table `result` of bench/lab.sql, 11 of its 12 columns.
const resultLike = "id int, request_id int, analysis_code text, value_num decimal(12,3), value_text text, unit text, " +
	"ref_low decimal(10,3), ref_high decimal(10,3), flag text, validated_at instant, validated_by text"

// benchmarkProgram has one code map, one conversion of units, and the other
// columns as they are.
func benchmarkProgram(tb testing.TB) (*Program, *record.Batch) {
	tb.Helper()
	src := mappingtest.Schema(tb, resultLike)
	var codes bytes.Buffer
	codes.WriteString("local,loinc\n")
	names := []string{"GLU", "CREA", "NA", "K", "HB", "WBC", "PLT", "CRP", "TSH", "FER", "CHOL", "ALT", "AST", "INR", "A1C", "UREA", "BHCG", "HIV", "ECBU", "GRP"}
	for i, n := range names {
		fmt.Fprintf(&codes, "%s,%d-%d\n", n, 1000+i*37, i%10)
	}
	p, err := build(tb, `
tables: {loinc: {file: loinc.csv, sha256: `+ecluse.DigestOf(codes.Bytes()).Hex()+`, key: [local]}}
from:
  d:
    - into: t
      columns:
        id: id
        request_id: request_id
        code: {value: "loinc[analysis_code].loinc", miss: reject}
        value_num: round(value_num * 0.0113, 3, half_up)
        value_text: value_text
        unit: unit
        ref_low: ref_low
        ref_high: ref_high
        flag: flag
        validated_at: validated_at
        validated_by: validated_by
`, Inputs{
		Datasets: map[ecluse.DatasetID]*record.Schema{"d": src}, Frozen: [][]byte{codes.Bytes()},
		Target: target(tb, "t: id int!, request_id int!, code text(20)!, value_num decimal(12,3), value_text text(200), unit text(20), "+
			"ref_low decimal(10,3), ref_high decimal(10,3), flag text(1), validated_at instant, validated_by text(20)"),
	})
	if err != nil {
		tb.Fatal(err)
	}
	b := record.NewBatch(src, 8192)
	texts := []string{"Négatif", "Positif", "Stérile", "A+", "O-", "voir commentaire"}
	for i := range 8192 {
		k := i * 40503 % 20
		c := b.Columns
		c[0].AppendInt(int64(i))
		c[1].AppendInt(int64(1 + i/5))
		c[2].AppendString(names[k])
		if k < 16 {
			c[3].AppendInt(int64(i%90000 + 1000))
			c[4].AppendNull()
		} else {
			c[3].AppendNull()
			c[4].AppendString(texts[i%6])
		}
		c[5].AppendString("mmol/L")
		c[6].AppendInt(3900)
		c[7].AppendInt(5500)
		if i%2 == 0 {
			c[8].AppendNull()
		} else {
			c[8].AppendString("N")
		}
		c[9].AppendInt(1_388_570_400_000_000 + int64(i)*60_000_000)
		c[10].AppendString(fmt.Sprintf("bio%02d", i%37))
	}
	return p, b
}

// BenchmarkApply maps chunks of 16 batches. Aim: 0.4 µs a row, nothing allocated
// per row.
func BenchmarkApply(b *testing.B) {
	p, in := benchmarkProgram(b)
	r := NewRun(p)
	chunk := func() {
		if err := r.Begin("d", nil); err != nil {
			b.Fatal(err)
		}
		for range 16 {
			if err := r.Apply(in); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := r.Output(); err != nil {
			b.Fatal(err)
		}
	}
	chunk()
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		chunk()
		rows += 16 * in.Rows()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
}

// TestApplyAllocates: a chunk allocates the same whatever its rows.
func TestApplyAllocates(t *testing.T) {
	p, in := benchmarkProgram(t)
	r := NewRun(p)
	perChunk := func(batches int) float64 {
		return testing.AllocsPerRun(5, func() {
			if err := r.Begin("d", nil); err != nil {
				t.Fatal(err)
			}
			for range batches {
				if err := r.Apply(in); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.Output(); err != nil {
				t.Fatal(err)
			}
		})
	}
	perChunk(4)
	if one, four := perChunk(1), perChunk(4); four > one || four > 8 {
		t.Errorf("%v allocations for 8,192 rows, %v for 32,768", one, four)
	}
}
