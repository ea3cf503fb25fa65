package readertest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// Run runs the whole suite.
func Run(t *testing.T, h Harness) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Harness)
	}{
		{"ZeroPermit", testZeroPermit},
		{"Catalogue", testCatalogue},
		{"Kinds", testKinds},
		{"AsText", testAsText},
		{"ChunksByRows", testChunksByRows},
		{"ChunksByBytes", testChunksByBytes},
		{"CompositeKey", testCompositeKey},
		{"NoKey", testNoKey},
		{"View", testView},
		{"Distinct", testDistinct},
		{"Where", testWhere},
		{"Within", testWithin},
		{"Empty", testEmpty},
		{"OneInstant", testOneInstant},
		{"LaterEpoch", testLaterEpoch},
		{"EmitError", testEmitError},
		{"Cancel", testCancel},
		{"Consistency", testConsistency},
		{"QueriesPerSecond", testQueriesPerSecond},
		{"OutsidePlan", testOutsidePlan},
		{"Privileges", testPrivileges},
		{"PrivilegesDuring", testPrivilegesDuring},
		{"Checks", testChecks},
		{"Ranges", testRanges},
		{"RangesCannot", testRangesCannot},
		{"RangesEnd", testRangesEnd},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, h) })
	}
}

// place is a database with a source, and what a session of it needs.
type place struct {
	Harness
	db     Database
	source reader.Source
}

func newPlace(t *testing.T, h Harness) *place {
	db := h.New(t)
	p := &place{Harness: h, db: db}
	t.Cleanup(func() {
		if p.source != nil {
			p.source.Close()
		}
	})
	return p
}

// table makes a table with rows.
func (p *place) table(t *testing.T, table Table, rows [][]any) {
	t.Helper()
	p.db.Create(t, table)
	if len(rows) > 0 {
		p.db.Insert(t, table, rows)
	}
}

// permit compiles, signs and grants an instruction that begins with "datasets:".
func (p *place) permit(t *testing.T, body string, args ...any) mandate.ReadPermit {
	t.Helper()
	if p.source == nil {
		p.source = p.db.Source(t)
	}
	cat, err := p.source.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	permit := mandatetest.New(t).ReadPermit(t, cat, p.Dialect, fmt.Sprintf(body, args...))
	p.db.Grant(t, permit.Plan())
	return permit
}

// open begins an epoch that ends with the test.
func (p *place) open(t *testing.T, permit mandate.ReadPermit) reader.Session {
	t.Helper()
	s, err := p.source.Open(t.Context(), permit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// name is a table's in an instruction.
func (p *place) name(table string) string { return p.db.Name(table).String() }

// part is one chunk as it was read.
type part struct {
	After, End reader.Cursor
	Last       bool
	Rows       int
	Sum        [sha256.Size]byte // of its rows in their order
}

// chunk reads one chunk, checks the sizes of its batches and gives its rows to
// see.
func chunk(t *testing.T, s reader.Session, dataset ecluse.DatasetID, after, until reader.Cursor, see func(*record.Batch)) part {
	t.Helper()
	p := part{After: after}
	sum := sha256.New()
	end, last, err := s.ReadChunk(t.Context(), dataset, after, until, func(b *record.Batch) error {
		switch {
		case b.Rows() == 0:
			t.Error("an empty batch was emitted")
		case b.Rows() > reader.BatchRows:
			t.Errorf("a batch of %d rows, want at most %d", b.Rows(), reader.BatchRows)
		case b.Rows() > 1 && b.Size() > 2*reader.BatchBytes:
			t.Errorf("a batch of %d bytes, want some %d", b.Size(), reader.BatchBytes)
		}
		for _, c := range b.Columns {
			if c.Len() != b.Rows() {
				t.Fatalf("columns of %d and %d rows in one batch", c.Len(), b.Rows())
			}
		}
		for i := range b.Rows() {
			fmt.Fprintln(sum, Row(b, i))
		}
		p.Rows += b.Rows()
		if see != nil {
			see(b)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("read chunk of %s: %v", dataset, err)
	}
	p.End, p.Last = end, last
	sum.Sum(p.Sum[:0])
	return p
}

// all reads a dataset from its start to its end.
func all(t *testing.T, s reader.Session, dataset ecluse.DatasetID, see func(*record.Batch)) []part {
	t.Helper()
	var parts []part
	var after reader.Cursor
	for {
		p := chunk(t, s, dataset, after, nil, see)
		parts = append(parts, p)
		if p.Last {
			return parts
		}
		if len(p.End) == 0 || cmp.Equal(p.End, after) {
			t.Fatalf("chunk %d of %s does not move on", len(parts), dataset)
		}
		after = p.End
	}
}

// again reads the same parts up to their known ends, in another session, and
// compares.
func again(t *testing.T, s reader.Session, dataset ecluse.DatasetID, parts []part) {
	t.Helper()
	for i, p := range parts {
		if p.End == nil {
			continue // a dataset without rows has no end to go to
		}
		got := chunk(t, s, dataset, p.After, p.End, nil)
		if diff := cmp.Diff(p, got); diff != "" {
			t.Errorf("chunk %d of %s read again (-first +again):\n%s", i, dataset, diff)
		}
	}
}

// texts reads a dataset and returns its rows in order.
func texts(t *testing.T, s reader.Session, dataset ecluse.DatasetID) []string {
	t.Helper()
	var out []string
	all(t, s, dataset, func(b *record.Batch) { out = append(out, Rows(b)...) })
	return out
}

func testZeroPermit(t *testing.T, h Harness) {
	p := newPlace(t, h)
	p.source = p.db.Source(t)
	if _, err := p.source.Open(t.Context(), mandate.ReadPermit{}); ecluse.KindOf(err) != ecluse.Refused || err == nil {
		t.Fatalf("a zero permit gave %v, want a refusal", err)
	}
}

func testCatalogue(t *testing.T, h Harness) {
	p := newPlace(t, h)
	p.table(t, Table{
		Name: "patient", Key: []string{"id"}, Unique: [][]string{{"file_number"}},
		Columns: []Column{{Name: "id", Type: Int, NotNull: true}, {Name: "file_number", Type: Text, NotNull: true}, {Name: "note", Type: Text}},
	}, nil)
	p.table(t, Table{
		Name: "request", Key: []string{"id"}, ForeignKeys: []ForeignKey{{Columns: []string{"patient_id"}, Table: "patient"}},
		Columns: []Column{{Name: "id", Type: Int, NotNull: true}, {Name: "patient_id", Type: Int, NotNull: true}},
	}, nil)
	p.table(t, Table{Name: "request_view", ViewOf: "request", Columns: Columns(Int, "id", "patient_id")}, nil)
	p.source = p.db.Source(t)
	cat, err := p.source.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	twice, err := p.source.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cat, twice); diff != "" {
		t.Errorf("two readings of one schema differ:\n%s", diff)
	}
	if cat.Engine != h.Dialect.Engine() {
		t.Errorf("engine %s, want %s", cat.Engine, h.Dialect.Engine())
	}
	patient, ok := cat.Table(p.db.Name("patient"))
	if !ok {
		t.Fatal("no table patient in the catalogue")
	}
	if diff := cmp.Diff([]string{"id"}, patient.PrimaryKey); diff != "" {
		t.Errorf("primary key:\n%s", diff)
	}
	if diff := cmp.Diff([][]string{{"file_number"}}, patient.Unique); diff != "" {
		t.Errorf("unique keys:\n%s", diff)
	}
	if note, ok := patient.Column("note"); !ok || !note.Nullable || note.Type.Kind != ecluse.Text {
		t.Errorf("column note is %+v", note)
	}
	request, ok := cat.Table(p.db.Name("request"))
	if !ok || len(request.ForeignKeys) != 1 {
		t.Fatalf("table request: %+v", request)
	}
	fk := request.ForeignKeys[0]
	fk.Name, fk.Deferrable = "", false
	if diff := cmp.Diff(ecluse.ForeignKey{Columns: []string{"patient_id"}, References: p.db.Name("patient"), RefColumns: []string{"id"}}, fk); diff != "" {
		t.Errorf("foreign key:\n%s", diff)
	}
	if v, ok := cat.Table(p.db.Name("request_view")); !ok || v.Kind != ecluse.View || len(v.Columns) != 2 {
		t.Errorf("view: %+v", v)
	}
	if _, err := p.source.Estimates(t.Context()); err != nil {
		t.Errorf("estimates: %v", err)
	}
}

func testOutsidePlan(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	s := p.open(t, p.permit(t, "datasets:\n  patient: {from: %q, key: [id], columns: {id: technical}}\n", p.name("patient")))
	_, _, err := s.ReadChunk(t.Context(), "request", nil, nil, func(*record.Batch) error { return nil })
	if err == nil || ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a dataset outside the plan gave %v, want a refusal", err)
	}
	if _, err := s.Check(t.Context(), "nothing"); err == nil || ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a check outside the plan gave %v, want a refusal", err)
	}
}

func testEmitError(t *testing.T, h Harness) {
	p := newPlace(t, h)
	people(t, p)
	s := p.open(t, p.permit(t, "datasets:\n  patient: {from: %q, key: [id], columns: {id: technical}}\n", p.name("patient")))
	stop := errors.New("the disk is full")
	calls := 0
	_, _, err := s.ReadChunk(t.Context(), "patient", nil, nil, func(*record.Batch) error { calls++; return stop })
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("after %d calls: %v, want the caller's own error after one", calls, err)
	}
	if got := texts(t, s, "patient"); len(got) != patients {
		t.Errorf("%d rows after a chunk that was given up, want %d", len(got), patients)
	}
}

func testCancel(t *testing.T, h Harness) {
	p := newPlace(t, h)
	numbered(t, p, 50_000)
	s := p.open(t, p.permit(t, numberedBody, p.name("numbered")))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rows := 0
	_, _, err := s.ReadChunk(ctx, "numbered", nil, nil, func(b *record.Batch) error {
		rows += b.Rows()
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) || ecluse.KindOf(err) != ecluse.Interrupted {
		t.Errorf("a cancelled chunk gave %v (%s), want context.Canceled (interrupted)", err, ecluse.KindOf(err))
	}
	if rows >= 50_000 {
		t.Error("all rows came although the context was cancelled at the first batch")
	}
}

// testQueriesPerSecond: the plan's limit holds from one statement to the next, and
// waiting for it can be cancelled.
func testQueriesPerSecond(t *testing.T, h Harness) {
	const perSecond = 4
	p := newPlace(t, h)
	numbered(t, p, 10)
	s := p.open(t, p.permit(t, numberedBody+"checks:\n  rows: {dataset: numbered, count: true}\nlimits: {rows: 100, bytes: 1GB, queries_per_second: %d}\n", p.name("numbered"), perSecond))
	statements := map[string]func(){
		"checks": func() { figures(t, s, "rows") },
		"chunks": func() { chunk(t, s, "numbered", nil, nil, nil) },
	}
	if h.Dialect.TellsLoad() { // whoever asks who is at work has the same budget
		look := func() {
			if _, err := s.Load(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		statements["looks"] = look
		statements["looks and checks"] = func() {
			if n++; n%2 == 0 {
				look()
				return
			}
			figures(t, s, "rows")
		}
	}
	for name, statement := range statements {
		statement()
		begun := time.Now()
		statement()
		statement()
		if took := time.Since(begun); took < 2*time.Second/perSecond-10*time.Millisecond {
			t.Errorf("%s: two statements at %d a second took %s", name, perSecond, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	begun := time.Now()
	_, err := s.Check(ctx, "rows")
	if err == nil || ecluse.KindOf(err) != ecluse.Interrupted || time.Since(begun) > time.Second/perSecond/2 {
		t.Errorf("cancelled while it waits: %v (%s) after %s", err, ecluse.KindOf(err), time.Since(begun))
	}
}

// testConsistency: what an engine does not do is refused when the plan is compiled,
// and what it does is what the session says.
func testConsistency(t *testing.T, h Harness) {
	p := newPlace(t, h)
	numbered(t, p, 10)
	p.source = p.db.Source(t)
	cat, err := p.source.Catalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(numberedBody, p.name("numbered"))
	for _, word := range []string{mandate.Snapshot, mandate.Locked, mandate.Frozen, mandate.Reread} {
		w := mandatetest.New(t)
		w.Consistency = word
		i, chunks, rejects := w.Instruction(t, "invented", body)
		c, err := mandate.ParseContract("contract.yaml", w.Contract)
		if err != nil {
			t.Fatal(err)
		}
		_, err = mandate.CompileRead(mandate.ReadInputs{
			Contract: c, Instruction: i, Source: cat, Recipient: chunks, Rejects: rejects, Procedure: w.Procedure, Dialect: h.Dialect,
		})
		if !slices.Contains(h.Dialect.Consistencies(), word) {
			if ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "source.consistency") {
				t.Errorf("%s: %v", word, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", word, err)
			continue
		}
		permit := w.ReadPermit(t, cat, h.Dialect, body)
		p.db.Grant(t, permit.Plan())
		s := p.open(t, permit)
		if got := len(texts(t, s, "numbered")); got != 10 {
			t.Errorf("%s: %d rows", word, got)
		}
		if may, err := s.Privileges(t.Context()); err != nil || may.Epoch != word {
			t.Errorf("%s: the session says %+v, %v", word, may, err)
		}
		s.Close()
	}
}
