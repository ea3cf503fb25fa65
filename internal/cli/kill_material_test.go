package cli_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // to plant canaries in the source

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/demo"
)

// thePair is the migration of examples/blis-openelis.
const thePair ecluse.MigrationID = "blis-openelis-01"

// pair is the real pair, prepared: all is approved, nothing is read.
type pair struct {
	testing.TB
	work     string // where run.sh prepared it
	database string // the target's
	source   string // the old one
	material string
	postgres string // address of the server, without a database
}

// preparedPair has run.sh bring the pair up to its passage.
func preparedPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{TB: t, work: filepath.Join(roomtest.Temp(t), "work"), material: os.Getenv("ECLUSE_MATERIAL")}
	server := os.Getenv("ECLUSE_TEST_POSTGRES")
	if p.material == "" || server == "" || os.Getenv("ECLUSE_TEST_MYSQL") == "" {
		t.Skip("needs ECLUSE_MATERIAL, and the servers of scripts/servers")
	}
	p.postgres = server[:strings.LastIndex(server, "/")]
	c := exec.CommandContext(t.Context(), filepath.Join("..", "..", "examples", "blis-openelis", "run.sh"), "--prepare", p.work)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("run.sh: %v\n%s", err, out)
	}
	_, after, _ := strings.Cut(p.read(filepath.Join(p.work, "room", "target", "gate.yaml")), "database: ")
	p.database, _, _ = strings.Cut(after, ",")
	_, after, _ = strings.Cut(p.read(filepath.Join(p.work, "room", "source", "gate.yaml")), "database: ")
	p.source, _, _ = strings.Cut(after, ",")
	t.Cleanup(func() { p.drop(p.database) })
	return p
}

func (p *pair) read(file string) string {
	p.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		p.Fatal(err)
	}
	return string(text)
}

// psql runs psql on one of the server's databases.
func (p *pair) psql(db string, args ...string) string {
	p.Helper()
	out, err := exec.Command("psql", append([]string{"-XqAt", "-v", "ON_ERROR_STOP=1", p.postgres + "/" + db}, args...)...).Output()
	if err != nil {
		p.Fatalf("psql %s %v: %v", db, args, err)
	}
	return string(out)
}

func (p *pair) drop(db string) {
	p.psql("postgres", "-c", "DROP DATABASE IF EXISTS "+db+" WITH (FORCE)")
}

// copied is a copy of the room as it was prepared, with a target of its own.
func (p *pair) copied(n int) (*roomtest.Dir, string) {
	p.Helper()
	d := &roomtest.Dir{TB: p.TB, Path: filepath.Join(roomtest.Temp(p), "work")}
	if err := os.Mkdir(d.Path, 0o700); err != nil {
		p.Fatal(err)
	}
	for _, name := range []string{"room", "keys"} {
		if out, err := exec.Command("cp", "-a", filepath.Join(p.work, name), d.Path).CombinedOutput(); err != nil {
			p.Fatalf("cp: %v\n%s", err, out)
		}
	}
	db := fmt.Sprintf("%s_%d", p.database, n)
	p.psql("postgres", "-c", "CREATE DATABASE "+db+" TEMPLATE "+p.database)
	p.Cleanup(func() { p.drop(db) })
	p.psql(db, "-f", filepath.Join(p.work, "load-grants.sql"))
	gate := string(d.Read("room", "target", "gate.yaml"))
	d.Write([]byte(strings.ReplaceAll(gate, "database: "+p.database, "database: "+db)), "room", "target", "gate.yaml")
	return d, db
}

// plant puts a canary into columns that nobody instructed, and returns it with
// some names that do move.
func (p *pair) plant() (stays string, moves []string) {
	p.Helper()
	stays = "ZQX-NE-DOIT-PAS-SORTIR"
	db, err := sql.Open("mysql", os.Getenv("ECLUSE_TEST_MYSQL")+p.source)
	if err != nil {
		p.Fatal(err)
	}
	defer db.Close()
	for _, s := range []string{"UPDATE patient SET hash_value = ?, ts = ts", "UPDATE user SET password = ?, ts = ts", "UPDATE patient_custom_data SET field_value = ?, ts = ts"} {
		if _, err := db.ExecContext(p.Context(), s, stays); err != nil {
			p.Fatal(err)
		}
	}
	rows, err := db.QueryContext(p.Context(), "SELECT DISTINCT name FROM patient WHERE char_length(name) >= 12 ORDER BY patient_id % 97, patient_id LIMIT 12")
	if err != nil {
		p.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			p.Fatal(err)
		}
		moves = append(moves, name)
	}
	if err := rows.Err(); err != nil || len(moves) != 12 {
		p.Fatalf("%d names, %v", len(moves), err)
	}
	return stays, moves
}

// TestMaterialKill kills the passage of the real pair, MariaDB to PostgreSQL, at
// ten random moments. After each it goes on, and what it comes to is what an
// independent migration reached, each row once; no chunk that was in is sealed
// again, at most one that was sealed is lost with the process; journal and
// evidence verify, and no value is in any file that was written meanwhile.
// ECLUSE_TEST_SEED repeats the moments of another run.
func TestMaterialKill(t *testing.T) {
	p := preparedPair(t)
	stays, moves := p.plant()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ECLUSE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ECLUSE_TEST_SEED=%d", seed)
	moment := rand.New(rand.NewPCG(seed, 1))

	d, db := p.copied(0)
	whole := run(t, d, "apply")
	if whole.code != 0 {
		t.Fatalf("apply: exit %d\n%s%s", whole.code, whole.out, whole.err)
	}
	p.moved(db, moves)

	for round, left := 1, kills; left > 0; round++ {
		if round > 3*kills {
			t.Fatal("it always ended before it was killed")
		}
		d, db := p.copied(round)
		hits := 0
		// A passage is killed up to five times, and then left to end.
		for hits < min(left, 5) {
			before, was := chamber(t, d, thePair)
			if !killed(t, d, whole.took, moment.Uint64(), "apply") {
				break
			}
			hits++
			after, loose := chamber(t, d, thePair)
			sameSlots(t, before, after)
			if loose > was+1 {
				t.Errorf("%d sealed chunks more are in no slot, want at most one", loose-was)
			}
		}
		left -= hits
		p.goesOn(d)
		p.ended(d, db, round)
		if leaks, err := demo.Find(d.Path, func(string) bool { return false }, append(parts(moves), stays)...); err != nil || len(leaks) > 0 {
			t.Errorf("values are in %v, %v", leaks, err)
		}
	}
}

// parts are the names, and those of their words that mean nothing else: the
// mapping splits names.
func parts(names []string) []string {
	all := slices.Clone(names)
	for _, n := range names {
		for _, w := range strings.Fields(n) {
			if len(w) >= 8 {
				all = append(all, w)
			}
		}
	}
	return all
}

// goesOn applies what is left to apply.
func (p *pair) goesOn(d *roomtest.Dir) {
	p.Helper()
	before, _ := chamber(p.TB, d, thePair)
	r := run(p, d, "apply", "--json")
	d.Write([]byte(r.out+r.err), "said-apply.txt")
	if r.code != 0 { // killed at the very end there is nothing left to apply
		if status := run(p, d, "status").out; !strings.Contains(status, "compared") {
			p.Fatalf("going on: exit %d\n%s%s", r.code, r.err, status)
		}
		return
	}
	var v struct {
		Reconciled bool
		Read       *struct{ Resealed int }
	}
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		p.Fatal(err)
	}
	if !v.Reconciled || v.Read != nil && v.Read.Resealed != 0 {
		p.Errorf("going on: reconciled %v, %+v", v.Reconciled, v.Read)
	}
	after, _ := chamber(p.TB, d, thePair)
	sameSlots(p.TB, before, after)
}

// moved checks that the names looked for did move: else the search means nothing.
func (p *pair) moved(db string, names []string) {
	p.Helper()
	list := strings.ReplaceAll(strings.Join(names, "\x00"), "'", "''")
	n := p.psql(db, "-c", "SELECT count(DISTINCT concat_ws(' ', first_name, last_name)) FROM clinlims.person WHERE concat_ws(' ', first_name, last_name) IN ('"+strings.ReplaceAll(list, "\x00", "','")+"')")
	if strings.TrimSpace(n) != strconv.Itoa(len(names)) {
		p.Errorf("%s of the %d names are in the target: this test looks for too little", strings.TrimSpace(n), len(names))
	}
}

// ended checks what a passage came to, and has it accepted, erased and verified.
func (p *pair) ended(d *roomtest.Dir, db string, round int) {
	p.Helper()
	if facts, want := p.psql(db, "-f", filepath.Join(p.material, "pair-blis-openelis", "verify.sql")), p.read(filepath.Join(p.material, "pair-blis-openelis", "expected.txt")); facts != want {
		p.Errorf("round %d: the facts are\n%s\nwant\n%s", round, facts, want)
	}
	if twice := p.psql(db, "-c", "SELECT dataset, sequence FROM ecluse.marker GROUP BY 1, 2 HAVING count(*) > 1"); twice != "" {
		p.Errorf("round %d: chunks marked twice: %s", round, twice)
	}
	slots, _ := chamber(p.TB, d, thePair)
	onceEach(p.TB, d, thePair, len(slots))
	d.Write([]byte(ok(p, d, "report")), "said-report.txt")
	d.Write([]byte(ok(p, d, "accept", "--all", "looked at one by one", "--as", d.Join("keys", "claire-aubry"))), "said-accept.txt")
	verified(p.TB, d)
}
