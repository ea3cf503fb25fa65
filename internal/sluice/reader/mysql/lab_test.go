package mysql

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/mysql/mysqltest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// lab is an old laboratory's database with the two accounts a gate has.
type lab struct {
	db      *mysqltest.DB
	world   *mandatetest.World
	config  Config
	account engine.Account // that reads
}

func newLab(t testing.TB, ddl string) *lab {
	t.Helper()
	l := &lab{db: mysqltest.New(t), world: mandatetest.New(t)}
	if ddl != "" {
		l.db.Run(t, ddl)
	}
	var inspect engine.Account
	l.config.Catalogue, inspect = l.db.Account(t)
	l.config.Read, l.account = l.db.Account(t)
	l.config.Schemas = []string{l.db.Database}
	l.db.Run(t, engine.InspectGrants(inspect, l.config.Schemas))
	return l
}

func (l *lab) source(t testing.TB) *Source {
	t.Helper()
	s, err := New(l.config)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// permit has an instruction signed and approved; {db} in it is the database. The
// account gets the grants that go with it.
func (l *lab) permit(t testing.TB, body string) mandate.ReadPermit {
	t.Helper()
	catalogue, err := l.source(t).Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := l.world.ReadPermit(t, catalogue, engine.Dialect{}, strings.ReplaceAll(body, "{db}", l.db.Database))
	l.grant(t, p.Plan())
	return p
}

func (l *lab) grant(t testing.TB, plan *mandate.ReadPlan) {
	t.Helper()
	script, err := engine.ReadGrants(plan, l.account)
	if err != nil {
		t.Fatal(err)
	}
	l.db.Run(t, script)
	t.Cleanup(func() {
		for _, line := range strings.Split(script, "\n") {
			if drop, ok := strings.CutPrefix(line, "--   DROP DATABASE "); ok {
				l.db.Run(t, "DROP DATABASE IF EXISTS "+drop)
			}
		}
	})
}

func (l *lab) open(t testing.TB, body string) reader.Session {
	t.Helper()
	return l.openWith(t, l.permit(t, body))
}

func (l *lab) openWith(t testing.TB, p mandate.ReadPermit) reader.Session {
	t.Helper()
	s, err := l.source(t).Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// chunk is what one ReadChunk gave.
type chunk struct {
	rows [][]string
	end  reader.Cursor
	last bool
}

func readChunk(ctx context.Context, s reader.Session, d ecluse.DatasetID, after, until reader.Cursor) (c chunk, err error) {
	c.end, c.last, err = s.ReadChunk(ctx, d, after, until, func(b *record.Batch) error {
		for i := range b.Rows() {
			row := make([]string, len(b.Columns))
			for j, col := range b.Columns {
				row[j] = show(col, i)
			}
			c.rows = append(c.rows, row)
		}
		return nil
	})
	return c, err
}

// readAll reads a dataset chunk by chunk.
func readAll(t testing.TB, s reader.Session, d ecluse.DatasetID) []chunk {
	t.Helper()
	var all []chunk
	var after reader.Cursor
	for {
		c, err := readChunk(t.Context(), s, d, after, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		if c.last {
			return all
		}
		after = c.end
	}
}

func allRows(t testing.TB, s reader.Session, d ecluse.DatasetID) [][]string {
	t.Helper()
	var rows [][]string
	for _, c := range readAll(t, s, d) {
		rows = append(rows, c.rows...)
	}
	return rows
}

// show writes a value exactly: integers as they are stored.
func show(c *record.Column, i int) string {
	switch k := c.Type().Kind; {
	case c.Null(i):
		return "NULL"
	case k == ecluse.Float:
		return strconv.FormatFloat(c.Float(i), 'g', -1, 64)
	case k == ecluse.Bytes:
		return hex.EncodeToString(c.Bytes(i))
	case record.Fixed(k):
		return strconv.FormatInt(c.Int(i), 10)
	}
	return string(c.Bytes(i))
}

func figures(t testing.TB, s reader.Session, check string) string {
	t.Helper()
	b, err := s.Check(t.Context(), check)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for i := range b.Rows() {
		var row []string
		for _, c := range b.Columns {
			row = append(row, show(c, i))
		}
		out = append(out, strings.Join(row, "|"))
	}
	return strings.Join(out, " ")
}

func md5Of(hexed string) [16]byte {
	b, _ := hex.DecodeString(hexed)
	return md5.Sum(b)
}

func wantRows(t testing.TB, got [][]string, want ...string) {
	t.Helper()
	lines := make([]string, len(got))
	for i, r := range got {
		lines[i] = strings.Join(r, "|")
	}
	if g, w := strings.Join(lines, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("rows\n%s\nwant\n%s", g, w)
	}
}

func wantError(t testing.TB, err error, kind ecluse.Kind, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want %s %q", kind, parts)
	}
	text := err.Error()
	var e *ecluse.Error
	if ecluse.KindOf(err) != kind {
		t.Errorf("kind %s of %v; want %s", ecluse.KindOf(err), err, kind)
	}
	if as(err, &e) {
		text += " " + e.Next
	}
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("error %q does not say %q", text, p)
		}
	}
}
