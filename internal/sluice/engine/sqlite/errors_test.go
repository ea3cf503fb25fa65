package sqlite_test

import (
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/engine/sqlite"
	"ecluse/internal/sluice/engine/sqlite/sqlitetest"
)

// No error holds a value, and those of constraints name the rule.
func TestStrip(t *testing.T) {
	f := sqlitetest.New(t)
	f.Exec(t, `
		CREATE TABLE p (id INTEGER PRIMARY KEY, nir TEXT NOT NULL UNIQUE, age INT CONSTRAINT "too old" CHECK (age < 150), site TEXT, n INT, UNIQUE (site, n));
		CREATE TABLE s (a INT PRIMARY KEY, b TEXT) STRICT;
		CREATE TRIGGER refuse BEFORE INSERT ON p WHEN new.site = 'no' BEGIN SELECT raise(ABORT, 'SECRET of the trigger'); END;
		INSERT INTO p VALUES (1, 'SECRET', 1, 'SECRET', 7);
		CREATE TABLE child (p INT NOT NULL REFERENCES p)`)
	c, err := sqlite.Open(t.Context(), f.Path, sqlite.ReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, x := range []struct{ sql, want string }{
		{"INSERT INTO p VALUES (2, 'SECRET', 1, NULL, 0)", "x: unique key p.nir (2067)"},
		{"INSERT INTO p VALUES (3, 'b', 1, 'SECRET', 7)", "x: unique key p.site, p.n (2067)"},
		{"INSERT INTO p VALUES (1, 'c', 1, NULL, 0)", "x: primary key p.id (1555)"},
		{"INSERT INTO p VALUES (4, NULL, 1, NULL, 0)", "x: not null p.nir (1299)"},
		{"INSERT INTO p VALUES (5, 'd', 999, NULL, 0)", "x: check too old (275)"},
		{"INSERT INTO p VALUES (6, 'e', 1, 'no', 0)", "x: a trigger (1811)"},
		{"INSERT INTO s VALUES (1, x'5345435245540000')", "x: a value of another type than its column (3091)"},
		{"INSERT INTO s VALUES ('SECRET', 'a')", "x: a value of another type than its column (3091)"},
		{"INSERT INTO child VALUES (77)", "x: foreign key (787)"},
	} {
		_, err := c.Exec(t.Context(), x.sql)
		reason, ok := sqlite.Constraint(ecluse.TableName{Name: "x"}, err)
		if !ok || reason != x.want {
			t.Errorf("%s: %q, %t, want %q", x.sql, reason, ok, x.want)
		}
	}
	for _, sql := range []string{
		"INSERT INTO p VALUES (2, 'SECRET', 1, NULL, 0)", "SELECT 'SECRET' FROM nowhere", "SELECT nothing, 'SECRET' FROM p", "SELECT 'SECRET", "INSERT INTO p VALUES (6, 'e', 1, 'no', 0)",
		"SELECT abs(-9223372036854775808), 'SECRET'", "SELECT json('SECRET')",
	} {
		_, err := c.Exec(t.Context(), sql)
		err = sqlite.Strip("try", "p", err)
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
