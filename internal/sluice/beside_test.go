package sluice

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	enginemysql "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/mysql/mysqltest"
	enginepostgres "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/reader/mysql"
	"ecluse/internal/sluice/reader/postgres"
)

// laboratory is a server that is read while the old software is at work on it.
type laboratory struct {
	source  reader.Source
	dialect mandate.Dialect
	table   string
	body    string
	rows    int64
	grant   func(*mandate.ReadPlan)
	ask     func(context.Context) func(statement string) (string, error) // a connection of the software's
}

// quick is how many times longer than beside nobody a small query of the software may
// take, at the 95th percentile, beside a reading that is throttled.
const quick = 3

// besideSoftware reads a laboratory beside its software, without a throttle and with each.
// It tries again when other tests on the same machine came between.
func besideSoftware(t *testing.T, lab laboratory) {
	const (
		while   = 1500 * time.Millisecond
		free    = "limits: {rows: 10000000, bytes: 1TB}\n"
		pausing = "limits: {rows: 10000000, bytes: 1TB, load_pause: 1}\n"
		spacing = "limits: {rows: 10000000, bytes: 1TB, queries_per_second: 4}\n"
	)
	for try := 1; ; try++ {
		stop := lab.work(t)
		time.Sleep(while)
		quiet := stop()
		unbound, _, _ := lab.beside(t, free, 0)
		paused, between, x := lab.beside(t, pausing, while)
		spaced, slowly, y := lab.beside(t, spacing, while)
		t.Logf("p95 of the software's queries: %s; beside a reading %s; beside one that pauses %s (%d rows, %d pauses), that sends four queries a second %s (%d rows)",
			quiet, unbound, paused, between, x.Pauses, spaced, slowly)
		if y.Pauses != 0 || slowly > lab.rows*9/10 {
			t.Errorf("at four queries a second it read %d rows and paused %d times", slowly, y.Pauses)
		}
		stoodStill := x.Pauses > 0 && x.Paused > while/2 && between < lab.rows/2
		if stoodStill && paused <= quick*quiet && spaced <= quick*quiet && unbound > paused*4/5 {
			break
		}
		if try == 5 {
			t.Fatalf("the software is not kept quick, after %d tries", try)
		}
	}
	if _, err := lab.read(t, pausing, nil); err != nil { // whoever else has the server may have it pause
		t.Errorf("beside nobody: %v", err)
	}
}

// beside reads the laboratory while its software is at work: for a while, or (0) until
// everything is read. It gives the software's p95, how many rows had been read when it
// stopped, and what the reading came to.
func (lab laboratory) beside(t *testing.T, limits string, while time.Duration) (p95 time.Duration, rows int64, x *Extracted) {
	t.Helper()
	stop := lab.work(t)
	var progress atomic.Int64
	var reading errgroup.Group
	reading.Go(func() (err error) {
		x, err = lab.read(t, limits, &progress)
		return err
	})
	if while > 0 {
		time.Sleep(while)
		rows, p95 = progress.Load(), stop()
	}
	if err := reading.Wait(); err != nil {
		t.Fatal(err)
	}
	if while == 0 {
		rows, p95 = progress.Load(), stop()
	}
	if x.Rows["result"] != lab.rows {
		t.Errorf("%d rows of %d were read", x.Rows["result"], lab.rows)
	}
	return p95, rows, x
}

// work has users of the software ask for one page of results after the other; stop tells how
// long the slowest twentieth took at the least.
func (lab laboratory) work(t *testing.T) (stop func() time.Duration) {
	t.Helper()
	var over atomic.Bool
	var took [3][]time.Duration
	var users errgroup.Group
	for u := range took {
		ask := lab.ask(t.Context())
		users.Go(func() error {
			for n := 0; !over.Load(); n++ {
				begun, at := time.Now(), int64(n)*7919%lab.rows
				if _, err := ask(fmt.Sprintf("SELECT count(validated_by) FROM %s WHERE id BETWEEN %d AND %d", lab.table, at, at+200)); err != nil {
					return err
				}
				took[u] = append(took[u], time.Since(begun))
			}
			return nil
		})
	}
	return func() time.Duration {
		over.Store(true)
		if err := users.Wait(); err != nil {
			t.Fatal(err)
		}
		all := slices.Concat(took[:]...)
		slices.Sort(all)
		return all[len(all)*95/100]
	}
}

// read takes the laboratory in, onto a shelf.
func (lab laboratory) read(t *testing.T, limits string, progress *atomic.Int64) (*Extracted, error) {
	w := mandatetest.New(t)
	catalogue, err := lab.source.Catalogue(t.Context())
	if err != nil {
		return nil, err
	}
	permit := w.ReadPermit(t, catalogue, lab.dialect, lab.body+limits)
	lab.grant(permit.Plan())
	to := &shelf{marks: map[int]reader.Cursor{}}
	x := extraction(w, &slowSource{ReadPermit: permit}, to)
	x.Open = func(ctx context.Context) (reader.Session, error) { return lab.source.Open(ctx, permit) }
	x.Watch = func(p Progress) {
		if progress != nil {
			progress.Store(p.Rows)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return Extract(ctx, x)
}

func TestBesideSoftwarePostgres(t *testing.T) {
	const rows = 400_000
	c := postgrestest.New(t)
	postgrestest.Lab(t, c, rows)
	catalogue, read := postgrestest.Role(t, c), postgrestest.Role(t, c)
	besideSoftware(t, laboratory{
		source: postgres.New(catalogue, read), dialect: enginepostgres.Dialect{}, table: "public.result", rows: rows,
		body: "datasets:\n  result: {from: public.result, key: [id], columns: " + postgrestest.LabColumns + "}\n",
		grant: func(p *mandate.ReadPlan) {
			script, err := enginepostgres.ReadGrants(p, read.User)
			if err != nil {
				t.Fatal(err)
			}
			postgrestest.Run(t, c, "DROP OWNED BY "+read.User+" CASCADE")
			postgrestest.Script(t, c, script)
		},
		ask: func(ctx context.Context) func(string) (string, error) {
			conn := postgrestest.Connect(t, c)
			return func(s string) (string, error) { return conn.One(ctx, s) }
		},
	})
}

func TestBesideSoftwareMariaDB(t *testing.T) {
	const rows = 400_000
	db := mysqltest.New(t)
	db.Run(t, `CREATE TABLE result (id bigint PRIMARY KEY, analysis_code varchar(20) NOT NULL, value_num decimal(12,3), value_text varchar(200), validated_by varchar(20)) ENGINE=InnoDB;
		INSERT INTO result SELECT seq, ELT(1 + seq % 3, 'GLU', 'CREA', 'NA'), seq % 100003 / 1000, 'Contrôlé sur automate', CONCAT('bio', seq % 37) FROM seq_1_to_400000`)
	catalogue, inspect := db.Account(t)
	read, account := db.Account(t)
	schemas := []string{db.Database}
	db.Run(t, enginemysql.InspectGrants(inspect, schemas))
	source, err := mysql.New(mysql.Config{Catalogue: catalogue, Read: read, Schemas: schemas})
	if err != nil {
		t.Fatal(err)
	}
	besideSoftware(t, laboratory{
		source: source, dialect: enginemysql.Dialect{}, table: "result", rows: rows,
		body: "datasets:\n  result: {from: " + db.Database + ".result, key: [id], columns: {id: technical, analysis_code: result, value_num: result, value_text: result, validated_by: sampler}}\n",
		grant: func(p *mandate.ReadPlan) {
			script, err := enginemysql.ReadGrants(p, account)
			if err != nil {
				t.Fatal(err)
			}
			db.Run(t, script)
			for _, d := range p.Datasets {
				view, err := ecluse.ParseTableName(d.View)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Run(t, "DROP DATABASE IF EXISTS "+enginemysql.Quote(view.Schema)) })
			}
		},
		ask: func(ctx context.Context) func(string) (string, error) {
			conn, err := enginemysql.Connect(ctx, db.Root)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			return func(s string) (string, error) { return conn.One(ctx, s) }
		},
	})
}
