package sqlite

import (
	"strings"
	"testing"

	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
)

// A chunk of a table is found by its first row and read in the order it lies in:
// SQLite neither sorts it nor looks through what comes before, whatever indexes
// there are; what it lies within is found by its key.
func TestQueryPlans(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `CREATE TABLE patient (id INTEGER PRIMARY KEY, seen INT); CREATE INDEX by_seen ON patient (seen);
		CREATE TABLE result (patient_id INT, code TEXT); CREATE INDEX by_code ON result (code); CREATE INDEX by_patient ON result (patient_id);
		CREATE TABLE visit (site TEXT, n INT, note TEXT, PRIMARY KEY (site, n)) WITHOUT ROWID; CREATE INDEX by_note ON visit (note);
		INSERT INTO patient VALUES (1, 1); INSERT INTO result VALUES (1, 'a'); INSERT INTO visit VALUES ('a', 1, 'b')`)
	source := New(f.Path)
	cat, err := source.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan := mandatetest.New(t).ReadPermit(t, cat, engine.Dialect{}, `
datasets:
  patient: {from: patient, key: [id], columns: {id: technical}, where: [{column: seen, in: ['1']}]}
  result: {from: result, columns: {code: result}, within: {patient: [patient_id]}, where: [{column: code, in: [a]}]}
  visit: {from: visit, key: [site, n], columns: {site: technical, n: technical, note: result}, where: [{column: note, in: [b]}]}
`).Plan()
	c, err := engine.Open(t.Context(), f.Path, engine.ReadOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for i, want := range []string{
		"SEARCH t USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)",
		"SEARCH t USING INTEGER PRIMARY KEY (rowid>? AND rowid<?); SEARCH t_1 EXISTS USING INTEGER PRIMARY KEY (rowid=?)",
		"SEARCH t USING PRIMARY KEY ((site,n)>(?,?) AND (site,n)<(?,?))",
	} {
		s, err := engine.Select(plan, &plan.Datasets[i])
		if err != nil {
			t.Fatal(err)
		}
		n := len(s.Order)
		sql := s.SQL(0, s.Beyond(1, make([]bool, n)), s.UpTo(n+1, make([]bool, n)))
		var steps []string
		rows, err := c.Query(t.Context(), "EXPLAIN QUERY PLAN "+sql, int64(1), int64(2), int64(3), int64(4))
		if err != nil {
			t.Fatalf("%v\n%s", err, sql)
		}
		for {
			ok, err := rows.Next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			step, _ := rows.Values[3].(string)
			steps = append(steps, step)
		}
		rows.Close()
		if got := strings.Join(steps, "; "); got != want {
			t.Errorf("%s\nis done by %s\nwant %s", sql, got, want)
		}
	}
}
