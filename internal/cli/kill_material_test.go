package cli_test

import (
	"context"
	"database/sql"
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
	"ecluse/internal/nettest"
)

// thePair is the migration of examples/blis-openelis.
const thePair ecluse.MigrationID = "blis-openelis-01"

// What goes over the line of the pair, and how fast: so that its passage lasts while
// all faults come.
const (
	pairBytes = 1500 << 10
	pairRate  = 2_000_000 // bits a second
)

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
	t.Cleanup(p.drop)
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

// drop removes both databases and the accounts that run.sh made for them.
func (p *pair) drop() {
	tag := p.source[strings.LastIndex(p.source, "_")+1:]
	p.psql("postgres", "-c", "DROP DATABASE IF EXISTS "+p.database+" WITH (FORCE)", "-c", "DROP ROLE IF EXISTS ecluse_load_"+tag)
	db, err := sql.Open("mysql", os.Getenv("ECLUSE_TEST_MYSQL"))
	if err != nil {
		p.Error(err)
		return
	}
	defer db.Close()
	for _, s := range []string{"DROP DATABASE IF EXISTS " + p.source, "DROP USER IF EXISTS ecluse_catalogue_" + tag + "@'127.0.0.1', ecluse_read_" + tag + "@'127.0.0.1'"} {
		if _, err := db.ExecContext(context.WithoutCancel(p.Context()), s); err != nil {
			p.Error(err)
		}
	}
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

// How long the line is cut: for a moment, and once, with ECLUSE_LONG=1 (scripts/material
// sets it), for a whole minute.
const shortCut = 3 * time.Second

func longCut() time.Duration {
	if os.Getenv("ECLUSE_LONG") != "" {
		return time.Minute
	}
	return shortCut
}

// TestMaterialKill: while the real pair passes, MariaDB to PostgreSQL, the server and
// both gates are killed and the line between them is cut, twice each, in random order.
// What it comes to is what an independent migration reached, each row once; no chunk
// that was in is sealed again, the evidence verifies, and no value is in any file that
// was written meanwhile.
func TestMaterialKill(t *testing.T) {
	p := preparedPair(t)
	stays, moves := p.plant()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute+20*longCut())
	defer cancel()
	x := apart(t, &roomtest.Dir{TB: t, Path: p.work}, nettest.Line{Rate: pairRate})
	faults := slices.Concat(x.everyPart(2*time.Second, longCut()), x.everyPart(2*time.Second, shortCut))
	x.apply(ctx)
	x.suffers(ctx, faults, pairBytes/int64(3*len(faults)))
	x.ends(ctx)
	p.moved(moves)
	p.ended(x.Dir)
	program := filepath.Join(p.work, "ecluse") // of which some word may be a name
	if leaks, err := demo.Find(p.work, func(path string) bool { return path == program }, append(wordsOf(moves), stays)...); err != nil || len(leaks) > 0 {
		t.Errorf("values are in %v, %v", leaks, err)
	}
}

// wordsOf are the names, and those of their words that mean nothing else: the
// mapping splits names.
func wordsOf(names []string) []string {
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

// moved checks that the names looked for did move: else the search means nothing.
func (p *pair) moved(names []string) {
	p.Helper()
	list := strings.ReplaceAll(strings.Join(names, "\x00"), "'", "''")
	n := p.psql(p.database, "-c", "SELECT count(DISTINCT concat_ws(' ', first_name, last_name)) FROM clinlims.person WHERE concat_ws(' ', first_name, last_name) IN ('"+strings.ReplaceAll(list, "\x00", "','")+"')")
	if strings.TrimSpace(n) != strconv.Itoa(len(names)) {
		p.Errorf("%s of the %d names are in the target: this test looks for too little", strings.TrimSpace(n), len(names))
	}
}

// ended checks what a passage came to, and has it accepted, erased and verified.
func (p *pair) ended(d *roomtest.Dir) {
	p.Helper()
	if facts, want := p.psql(p.database, "-f", filepath.Join(p.material, "pair-blis-openelis", "verify.sql")), p.read(filepath.Join(p.material, "pair-blis-openelis", "expected.txt")); facts != want {
		p.Errorf("the facts are\n%s\nwant\n%s", facts, want)
	}
	if twice := p.psql(p.database, "-c", "SELECT dataset, sequence FROM ecluse.marker GROUP BY 1, 2 HAVING count(*) > 1"); twice != "" {
		p.Errorf("chunks marked twice: %s", twice)
	}
	slots, _ := chamber(p.TB, d, thePair)
	onceEach(p.TB, d, thePair, len(slots))
	sameSlots(p.TB, nil, slots)
	d.Write([]byte(ok(p, d, "report")), "said-report.txt")
	d.Write([]byte(ok(p, d, "accept", "--all", "looked at one by one", "--as", d.Join("keys", "claire-aubry"))), "said-accept.txt")
	verified(p.TB, d)
}
