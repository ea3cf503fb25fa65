//go:build linux && amd64

package faults

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // to plant canaries in the source

	"ecluse/internal/app/roomtest"
	"ecluse/internal/demo"
)

// servers are database servers that the campaign may kill.
type servers struct {
	dir             string // of scripts/servers
	postgres, mysql string // addresses
}

// pair is the world of the real pair.
type pair struct {
	*world
	changes func(t *testing.T) // the source, once; there is a stage of it then
}

// newPair prepares the pair of examples/blis-openelis on servers of its own.
func newPair(t *testing.T) (*pair, []kind) {
	t.Helper()
	material := os.Getenv("ECLUSE_MATERIAL")
	if material == "" {
		t.Skip("needs ECLUSE_MATERIAL")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "ecluse-faults-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the servers' users pass through
		t.Fatal(err)
	}
	v := &servers{dir: filepath.Join(dir, "servers")}
	script := func(what string) string {
		c := exec.Command(filepath.Join(root, "scripts", "servers"), what)
		c.Env = append(os.Environ(), "ECLUSE_SERVERS="+v.dir)
		out, err := c.Output()
		if err != nil {
			t.Fatalf("scripts/servers %s: %v", what, err)
		}
		return string(out)
	}
	t.Cleanup(func() {
		script("down")
		os.RemoveAll(dir)
	})
	for line := range strings.Lines(script("up")) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		value = strings.Trim(value, "'")
		switch name {
		case "ECLUSE_TEST_POSTGRES":
			v.postgres = strings.TrimSuffix(value, "/postgres?sslmode=disable")
		case "ECLUSE_TEST_MYSQL":
			v.mysql = value
		}
	}
	work := filepath.Join(roomtest.Temp(t), "work")
	c := exec.Command(filepath.Join(root, "examples", "blis-openelis", "run.sh"), "--prepare", work)
	c.Env = append(os.Environ(), "ECLUSE_TEST_POSTGRES="+v.postgres+"/postgres?sslmode=disable", "ECLUSE_TEST_MYSQL="+v.mysql)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("run.sh: %v\n%s", err, out)
	}
	for _, name := range []string{"ecluse", "cache"} { // no part of what a run writes
		if err := os.RemoveAll(filepath.Join(work, name)); err != nil {
			t.Fatal(err)
		}
	}
	source, target := database(t, work, "source"), database(t, work, "target")
	stays, moves := v.plant(t, source)
	// Foreign keys without an index of their own: undoing would go through the whole table for each row.
	for _, column := range []string{"result (parent_id)", "analysis (parent_result_id)", "analysis (parent_analysis_id)", "patient_identity (patient_id)"} {
		v.psql(t, target, "-c", "CREATE INDEX ON clinlims."+column)
	}
	v.psql(t, "postgres", "-c", "ALTER DATABASE "+target+" RENAME TO prepared")
	material = filepath.Join(material, "pair-blis-openelis")
	at := &site{
		operator: "marc-tissot", signatory: "claire-aubry", migration: "blis-openelis-01", plans: "plans",
		fresh: func(r *room) {
			from := "loaded"
			if r.stage.name == approved {
				from = "prepared"
			}
			v.psql(r, "postgres", "-c", "DROP DATABASE IF EXISTS "+target+" WITH (FORCE)", "-c", "CREATE DATABASE "+target+" TEMPLATE "+from)
		},
		facts: func(*room) (string, error) {
			facts, err := v.asked(target, "-f", filepath.Join(material, "verify.sql"))
			if err != nil {
				return "", err
			}
			counts, err := v.asked(target, "-c", everyTable("count(*)"))
			return facts + counts, err
		},
		bareFacts: func(*room) (string, error) {
			return v.asked(target, "-c", everyTable(`count(*) || ' ' || coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text COLLATE "C")), '')`))
		},
		marks: func(*room) ([]string, error) {
			out, err := v.asked(target, "-c", "SELECT dataset || '/' || sequence FROM ecluse.marker")
			return strings.Fields(out), err
		},
		leaks: func(r *room) []string {
			found, err := demo.Find(r.Path, func(string) bool { return false }, append(slices.Clone(moves), stays)...)
			if err != nil {
				r.Error(err)
			}
			return found
		},
	}
	w := &world{stages: map[string]*stage{}}
	w.stages[approved] = &stage{site: at, name: approved, path: work}
	r := newRoom(t, w.stages[approved], roomtest.Temp(t))
	bare, err := at.bareFacts(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.up(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.step(t.Context())
	r.down()
	loadedAt := filepath.Join(roomtest.Temp(t), compared)
	copyOf(t, r.Path, loadedAt)
	v.psql(t, "postgres", "-c", "ALTER DATABASE "+target+" RENAME TO loaded")
	w.stages[compared] = &stage{site: at, name: compared, path: loadedAt, undoes: "final-1"}
	expected, err := os.ReadFile(filepath.Join(material, "expected.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range w.stages {
		s.bare = bare
		w.measure(t, s)
		if !strings.HasPrefix(s.facts, string(expected)) {
			t.Errorf("undisturbed, the facts of %s are\n%s", s.name, s.facts)
		}
	}
	return &pair{world: w, changes: func(t *testing.T) {
		t.Helper()
		night := filepath.Join(root, "examples", "blis-openelis", "evening-source.sql")
		text, err := os.ReadFile(night)
		if err != nil {
			t.Fatal(err)
		}
		c := exec.Command("mariadb", "--no-defaults", "-h127.0.0.1", "-P"+v.mysqlPort(), "-uroot", source)
		c.Stdin = bytes.NewReader(text)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", night, err, out)
		}
		moves = append(moves, "Awa Ngo Bell", "Marie Claire Fouda")
		s := &stage{site: at, name: changed, path: loadedAt, bare: bare, readings: 2}
		w.stages[changed] = s
		w.measure(t, s)
		if strings.HasPrefix(s.facts, string(expected)) {
			t.Error("caught up with, nothing changed")
		}
	}}, pairKinds(v)
}

// everyTable asks something of every table of the target: its rows, each once and no more.
func everyTable(what string) string {
	of := strings.ReplaceAll("SELECT "+what+" AS c FROM %I.%I t", "'", "''")
	return `SELECT format('%s %s', relname, (xpath('/row/c/text()', query_to_xml(format('` + of + `', nspname, relname), false, true, '')))[1])
FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r' AND nspname NOT IN ('pg_catalog', 'information_schema', 'ecluse') ORDER BY 1`
}

// database is the name of the one that a gate has.
func database(t *testing.T, work, gate string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(work, "room", gate, "gate.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "database: ")
	name, _, _ := strings.Cut(after, ",")
	return name
}

// plant puts a canary into columns that nobody instructed, and returns it with names
// that do move.
func (v *servers) plant(t *testing.T, source string) (stays string, moves []string) {
	t.Helper()
	stays = "ZQX-NE-DOIT-PAS-SORTIR"
	db, err := sql.Open("mysql", v.mysql+source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"UPDATE patient SET hash_value = ?, ts = ts", "UPDATE user SET password = ?, ts = ts", "UPDATE patient_custom_data SET field_value = ?, ts = ts"} {
		if _, err := db.Exec(s, stays); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.Query("SELECT DISTINCT name FROM patient WHERE char_length(name) >= 12 ORDER BY patient_id % 97, patient_id LIMIT 12")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		moves = append(moves, name)
	}
	if err := rows.Err(); err != nil || len(moves) != 12 {
		t.Fatalf("%d names, %v", len(moves), err)
	}
	return stays, moves
}

func (v *servers) psql(t testing.TB, db string, args ...string) {
	t.Helper()
	if _, err := v.asked(db, args...); err != nil {
		t.Fatal(err)
	}
}

// asked is psql, of a server that may be down.
func (v *servers) asked(db string, args ...string) (string, error) {
	out, err := exec.Command("psql", append([]string{"-XqAt", "-v", "ON_ERROR_STOP=1", v.postgres + "/" + db}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql %s %v: %w\n%s", db, args, err, out)
	}
	return string(out), nil
}

// mysqlPort is where MariaDB listens.
func (v *servers) mysqlPort() string {
	return strings.TrimSuffix(v.mysql[strings.LastIndex(v.mysql, ":")+1:], ")/")
}

// bounce ends a server as a power cut would and starts it again a while later, on the
// same port.
func (v *servers) bounce(r *room, which string, down time.Duration) {
	file, user, end, ready := filepath.Join(v.dir, "pg", "data", "postmaster.pid"), "postgres", syscall.SIGQUIT, func() error {
		return exec.Command("psql", "-XqAt", v.postgres+"/postgres", "-c", "SELECT 1").Run()
	}
	if which == "mysql" {
		file, user, end, ready = filepath.Join(v.dir, "my", "pid"), "mysql", syscall.SIGKILL, func() error {
			db, err := sql.Open("mysql", v.mysql)
			if err != nil {
				return err
			}
			defer db.Close()
			return db.Ping()
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		r.Error(err)
		return
	}
	var pid int
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		r.Error(err)
		return
	}
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		r.Error(err)
		return
	}
	if err := syscall.Kill(pid, end); err != nil {
		r.Error(err)
	}
	for range 1000 {
		if syscall.Kill(pid, 0) != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(down)
	args := strings.Split(strings.TrimRight(string(command), "\x00"), "\x00")
	if os.Geteuid() == 0 {
		args = append([]string{"setpriv", "--reuid=" + user, "--regid=" + user, "--init-groups", "setsid"}, args...)
	}
	log, err := os.OpenFile(filepath.Join(v.dir, which+"-again.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.Error(err)
		return
	}
	defer log.Close()
	c := exec.Command(args[0], args[1:]...)
	c.Dir, c.Stdout, c.Stderr = filepath.Join(v.dir, map[string]string{"postgres": "pg", "mysql": "my"}[which]), log, log
	if err := c.Start(); err != nil {
		r.Error(err)
		return
	}
	go func() { _ = c.Wait() }()
	for range 600 {
		if ready() == nil {
			if which == "mysql" { // MyISAM is damaged by it: its administrator mends it
				if out, err := exec.Command("mariadb-check", "--no-defaults", "-h127.0.0.1", "-P"+v.mysqlPort(), "-uroot", "-A", "--auto-repair", "--silent").CombinedOutput(); err != nil {
					r.Errorf("mariadb-check: %v\n%s", err, out)
				}
			}
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.Errorf("%s does not come up again", which)
}

// pairKinds are what goes wrong on the pair, in turn.
func pairKinds(v *servers) []kind {
	bouncing := func(which ...string) func(context.Context, *room, *draw) bool {
		return func(ctx context.Context, r *room, d *draw) bool {
			down := d.upTo(2 * time.Second)
			if !d.moment(ctx, r) {
				return false
			}
			for _, one := range which {
				v.bounce(r, one, down)
			}
			return true
		}
	}
	all := []kind{
		{name: "target database killed (PostgreSQL)", strike: bouncing("postgres")},
		{name: "source database killed (MariaDB)", strike: bouncing("mysql")},
		{name: "both databases killed", strike: bouncing("postgres", "mysql")},
		{name: "kill -9: server", strike: killing("server")},
		{name: "kill -9: source gate", strike: killing("source")},
		{name: "kill -9: target gate", strike: killing("target")},
		{name: "kill -9: all at once", strike: killing(processes()...)},
	}
	for _, k := range kinds() {
		if strings.HasPrefix(k.name, "network: ") || strings.HasPrefix(k.name, string(short)) || strings.HasPrefix(k.name, string(killAfter)) {
			all = append(all, k)
		}
	}
	for i := range all {
		all[i].name, all[i].stages = "pair: "+all[i].name, []string{approved}
	}
	return all
}
