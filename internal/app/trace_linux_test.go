package app_test

import (
	"syscall"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/sluice"
)

// BenchmarkTrace finds the altered rows of a target, from the moment that
// the sums differ until the report: the sealed chunks are mapped again and SQLite's table is read back,
// both twice.
func BenchmarkTrace(b *testing.B) {
	const many = 60_000
	d := roomtest.At(b, roomtest.Sealed, many)
	d.Exec("novalab.db", `CREATE TRIGGER tamper AFTER INSERT ON observation WHEN new.id % 150001 = 7 BEGIN
		UPDATE observation SET value = value || '!' WHERE id = new.id; END`)
	for n := 0; b.Loop(); n++ {
		if n > 0 {
			continue // once is enough: the target is as it is
		}
		r := d.Open()
		var begun time.Time
		var before, after syscall.Rusage
		v, err := r.Apply(b.Context(), desk.ApplyRequest{Passage: ecluse.Final, Watch: func(p exchange.Progress) {
			if p.Stage == string(sluice.StageTrace) && begun.IsZero() {
				begun = time.Now()
				_ = syscall.Getrusage(syscall.RUSAGE_SELF, &before)
			}
		}})
		if err != nil {
			b.Fatal(err)
		}
		took := time.Since(begun)
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &after)
		found := v.Load.Compared.Traced
		if len(found) == 0 || found[0].Table.Name != "observation" || begun.IsZero() {
			b.Fatalf("%v, tracing was seen: %v", found, !begun.IsZero())
		}
		rows := 0
		for _, t := range v.Load.Compared.Tables {
			if t.Table.Name == "observation" {
				rows = int(t.Loaded)
			}
		}
		b.ReportMetric(took.Seconds()/float64(rows)*1e6, "s/Mrows")
		cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(cpu)/1e3/float64(rows), "cpu-s/Mrows")
		b.ReportMetric(float64(rows), "rows")
	}
}
