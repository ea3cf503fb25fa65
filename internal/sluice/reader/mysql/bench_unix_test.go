//go:build unix

package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"ecluse/internal/sluice/engine/mysql/mysqltest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// BenchmarkMaterialRead reads the results of an invented laboratory, beside what
// `mariadb --quick -B` takes to print them and what database/sql takes to hand
// them over as RawBytes.
//
//	ECLUSE_MATERIAL=… go test -run - -bench Material -benchtime 3x ./internal/sluice/reader/mysql
func BenchmarkMaterialRead(b *testing.B) {
	l := newLab(b, "")
	script, err := os.ReadFile(filepath.Join(mysqltest.Material(b), "bench/lab-maria.sql"))
	if err != nil {
		b.Fatal(err)
	}
	l.db.Run(b, "SET @patients = 10000")
	l.db.Run(b, strings.TrimSpace(string(script)))
	const rows = 200000
	columns := "id request_id analysis_code value_num value_text unit ref_low ref_high flag validated_at validated_by comment"
	var body strings.Builder
	body.WriteString("datasets:\n  result:\n    from: '{db}.result'\n    key: [id]\n    columns:\n")
	for _, c := range strings.Fields(columns) {
		fmt.Fprintf(&body, "      %s: technical\n", c)
	}
	p := l.permit(b, body.String())

	b.Run("reader", func(b *testing.B) {
		s := l.openWith(b, p)
		measure(b, rows, func() {
			n := 0
			var after reader.Cursor
			for {
				end, last, err := s.ReadChunk(b.Context(), "result", after, nil, func(r *record.Batch) error { n += r.Rows(); return nil })
				if err != nil {
					b.Fatal(err)
				}
				if last {
					break
				}
				after = end
			}
			if n != rows {
				b.Fatalf("%d rows", n)
			}
		})
	})
	query := "SELECT " + strings.Join(strings.Fields(columns), ", ") + " FROM `" + l.db.Database + "`.result ORDER BY id"
	b.Run("rawbytes", func(b *testing.B) { // database/sql instead of the driver's own rows
		db, err := sql.Open("mysql", os.Getenv("ECLUSE_TEST_MYSQL"))
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		measure(b, rows, func() {
			if n := scanRaw(b, db, query, 12); n != rows {
				b.Fatalf("%d rows", n)
			}
		})
	})
	b.Run("mariadb", func(b *testing.B) {
		c, err := driver.ParseDSN(os.Getenv("ECLUSE_TEST_MYSQL"))
		if err != nil {
			b.Fatal(err)
		}
		host, port, _ := strings.Cut(c.Addr, ":")
		measure(b, rows, func() {
			cmd := exec.CommandContext(b.Context(), "mariadb", "--no-defaults", "--quick", "-B", "-h"+host, "-P"+port, "-u"+c.User, "--default-character-set=utf8mb4", "-e", query)
			cmd.Env = append(os.Environ(), "MYSQL_PWD="+c.Passwd)
			if err := cmd.Run(); err != nil {
				b.Fatal(err)
			}
		})
	})
}

func scanRaw(b *testing.B, db *sql.DB, query string, columns int) (n int) {
	rows, err := db.QueryContext(context.Background(), query)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	raw := make([]sql.RawBytes, columns)
	into := make([]any, columns)
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return n
}

// measure prints rows a second and the client's microseconds of CPU a row.
func measure(b *testing.B, rows int, f func()) {
	b.Helper()
	cpu := func() time.Duration {
		var total time.Duration
		for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
			var r syscall.Rusage
			_ = syscall.Getrusage(who, &r)
			total += time.Duration(r.Utime.Nano() + r.Stime.Nano())
		}
		return total
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start, used := time.Now(), cpu()
	b.ResetTimer()
	for range b.N {
		f()
	}
	n := float64(rows * b.N)
	runtime.ReadMemStats(&after)
	b.ReportMetric(n/time.Since(start).Seconds()/1000, "krows/s")
	b.ReportMetric(float64((cpu()-used).Nanoseconds())/n/1000, "µsCPU/row")
	b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/row")
	b.ReportMetric(0, "ns/op")
}
