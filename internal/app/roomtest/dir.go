package roomtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	_ "modernc.org/sqlite" // to look at what stands in the databases

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/desk"
)

// Join is a path below the room's folder: Join("room", "lock").
func (d *Dir) Join(names ...string) string {
	return filepath.Join(append([]string{d.Path}, names...)...)
}

// Open opens the room, until the test ends or it is opened again: a gate is one
// process.
func (d *Dir) Open() *app.Room {
	d.Helper()
	if d.room != nil {
		d.room.Close()
	}
	r, err := app.Open(d.Context(), d.Join("room"))
	if err != nil {
		d.Fatal(err)
	}
	if d.room == nil {
		d.Cleanup(func() { d.room.Close() })
	}
	d.room = r
	return r
}

// Key is a person's, or "root-controller" and "root-processor".
func (d *Dir) Key(who string) ssh.Signer {
	d.Helper()
	k, err := desk.Signer(d.Join("keys", who), nil)
	if err != nil {
		d.Fatal(err)
	}
	return k
}

// Roots are the parties' root fingerprints.
func (d *Dir) Roots() map[ecluse.Side]ecluse.Fingerprint {
	d.Helper()
	roots := map[ecluse.Side]ecluse.Fingerprint{}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		roots[side] = evidence.FingerprintOf(d.Key("root-" + string(side)).PublicKey())
	}
	return roots
}

// Plan is the path of a plan as `ecluse plan` writes it: "readplan", "loadplan-dry",
// "loadplan-final".
func (d *Dir) Plan(name string) string {
	return d.Join("room", "plans", fmt.Sprintf("%s-%s.json", Migration, name))
}

// Read reads a file below the room's folder.
func (d *Dir) Read(names ...string) []byte {
	d.Helper()
	b, err := os.ReadFile(d.Join(names...))
	if err != nil {
		d.Fatal(err)
	}
	return b
}

// Write writes one.
func (d *Dir) Write(text []byte, names ...string) {
	d.Helper()
	if err := os.WriteFile(d.Join(names...), text, 0o600); err != nil {
		d.Fatal(err)
	}
}

// Exec runs statements on one of the two databases, "ancilab.db" or "novalab.db",
// or on "room/lock/control.db".
func (d *Dir) Exec(db string, statements ...string) {
	d.Helper()
	x, err := sql.Open("sqlite", "file:"+d.Join(db)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		d.Fatal(err)
	}
	defer x.Close()
	for _, s := range statements {
		if _, err := x.ExecContext(d.Context(), s); err != nil {
			d.Fatalf("%s: %v", s, err)
		}
	}
}

// Facts is a hash of every row of the new laboratory, Écluse's own tables aside,
// and the rows it counted. Two targets with the same facts hold the same rows,
// each as often.
func (d *Dir) Facts() (hash string, rows int) {
	d.Helper()
	hash, rows, err := d.FactsOf("novalab.db")
	if err != nil {
		d.Fatal(err)
	}
	return hash, rows
}

// FactsOf is Facts of a database that may be locked by another.
func (d *Dir) FactsOf(name string) (hash string, rows int, err error) {
	db, err := sql.Open("sqlite", "file:"+d.Join(name)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return "", 0, err
	}
	defer db.Close()
	h := sha256.New()
	tables, err := column(d.Context(), db, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'ecluse\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")
	if err != nil {
		return "", 0, err
	}
	for _, table := range tables {
		names, err := column(d.Context(), db, "SELECT name FROM pragma_table_info('"+table+"') ORDER BY name")
		if err != nil {
			return "", 0, err
		}
		one := "quote(\"" + strings.Join(names, "\") || '|' || quote(\"") + "\")"
		all, err := column(d.Context(), db, "SELECT "+one+" FROM \""+table+"\" ORDER BY 1")
		if err != nil {
			return "", 0, err
		}
		for _, row := range all {
			fmt.Fprintf(h, "%s %s\n", table, row)
		}
		rows += len(all)
	}
	return hex.EncodeToString(h.Sum(nil)), rows, nil
}

func column(ctx context.Context, db *sql.DB, query string) ([]string, error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, rows.Err()
}

// Query returns the first column of a query on one of the databases.
func (d *Dir) Query(db, query string) []string {
	d.Helper()
	x, err := sql.Open("sqlite", "file:"+d.Join(db)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		d.Fatal(err)
	}
	defer x.Close()
	all, err := column(d.Context(), x, query)
	if err != nil {
		d.Fatal(err)
	}
	return all
}

// Late makes both gates' clocks have seen a time after every deadline: they go by
// their own, whatever the lock says.
func (d *Dir) Late() {
	d.Helper()
	d.Seen(time.Now().AddDate(2, 0, 0), "source", "target")
}

// Seen makes gates' clocks have seen a time.
func (d *Dir) Seen(at time.Time, parts ...string) {
	d.Helper()
	for _, part := range parts {
		ledger := string(d.Read("room", part, "ledger.json"))
		from := strings.Index(ledger, `"high_water": "`) + len(`"high_water": "`)
		to := from + strings.Index(ledger[from:], `"`)
		d.Write([]byte(ledger[:from]+at.UTC().Format(time.RFC3339)+ledger[to:]), "room", part, "ledger.json")
	}
}

// Verify writes the evidence folder of an erased migration and verifies it.
func (d *Dir) Verify(r *app.Room) {
	d.Helper()
	v, err := r.Evidence(d.Context(), Migration, d.Join("evidence"))
	if err != nil {
		d.Fatal(err)
	}
	if report := evidence.Verify(os.DirFS(v.Dir), d.Roots()); !report.OK() {
		d.Errorf("the evidence does not verify:\n%s", report.Text())
	}
}
