package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// goes withdraws source rows of a chunk, each of which made one row of each table.
func goes(c *writer.Chunk, sources ...int32) writer.Part {
	w := writer.Part{Slot: c.Slot, Rows: c.Rows, Sources: sources}
	for _, t := range c.Tables {
		rows := writer.Rows{Table: t.Table, Batch: record.NewBatch(t.Batch.Schema, 0)}
		for _, source := range sources {
			if int(source) >= len(t.Source) {
				continue
			}
			rows.Source = append(rows.Source, source)
			for c, col := range rows.Batch.Columns {
				col.AppendFrom(t.Batch.Columns[c], int(source))
			}
		}
		w.Tables = append(w.Tables, rows)
	}
	return w
}

func every(n int) []int32 {
	all := make([]int32, n)
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// TestReviseActions: whatever a foreign key does when a row goes, rows that stay are never
// taken along; where it only wants an answer in the end, those whose keys come again are
// changed under them.
func TestReviseActions(t *testing.T) {
	for action, under := range map[string]bool{
		"": true, "DEFERRABLE": true, "DEFERRABLE INITIALLY DEFERRED": true, "ON DELETE CASCADE": false, "ON DELETE SET NULL": false, "ON DELETE RESTRICT": false,
	} {
		t.Run(action, func(t *testing.T) {
			p := newPlace(t, `CREATE TABLE patient (id int PRIMARY KEY, name text, refers int REFERENCES patient `+action+`);
				CREATE TABLE request (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, refers int REFERENCES patient `+action+`);
				CREATE TABLE theirs (refers int REFERENCES patient `+action+`)`)
			shape := shape("patient: id, name, refers", "request: id, refers")
			version := func(n int, name string, mother any) *writer.Chunk {
				return &writer.Chunk{Slot: ecluse.Slot{Dataset: "rows", Sequence: n}, Rows: 3, Tables: []writer.Rows{
					p.rows(t, shape.Datasets[0].Into[0], [][]any{{int64(1), name, nil}, {int64(2), name, mother}, {int64(2 + n), name, int64(1)}}[:2+min(n, 1)]),
					p.rows(t, shape.Datasets[0].Into[1], [][]any{{int64(7), int64(2)}, {int64(8), int64(1)}}),
				}}
			}
			s := beginShape(t, p.target, shape)
			load(t, s, version(0, "old", int64(1)))
			state := func() string {
				return p.one(t, "SELECT string_agg(p::text, ' ' ORDER BY id) FROM public.patient AS p") + p.one(t, "SELECT string_agg(r::text, ' ' ORDER BY id) FROM public.request AS r") +
					p.one(t, "SELECT coalesce(string_agg(refers::text, ' '), '-') FROM public.theirs")
			}
			revise := func(old, next *writer.Chunk) error {
				out, err := s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(old, every(3)...)}, Come: []*writer.Chunk{next}}, nil)
				if err == nil && (out.Already || len(out.Refused[0]) > 0) {
					t.Errorf("already %t, refused %v", out.Already, out.Refused)
				}
				return err
			}
			if err := revise(version(0, "old", int64(1)), version(1, "new", nil)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff("(1,new,) (2,new,) (3,new,1)(7,2) (8,1)-", state()); diff != "" {
				t.Errorf("nobody refers to it (-want +got):\n%s", diff)
			}
			postgrestest.Run(t, p.Config, "INSERT INTO public.theirs VALUES (1)")
			before := state()
			err := revise(version(1, "new", nil), version(2, "newer", int64(1)))
			if !under {
				if ecluse.KindOf(err) != ecluse.Refused || state() != before {
					t.Errorf("it gave %v; before %s, after %s", err, before, state())
				}
				return
			}
			if diff := cmp.Diff("(1,newer,) (2,newer,1) (4,newer,1)(7,2) (8,1)1", state()); diff != "" || err != nil {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestReviseTriggers: what a trigger keeps, or says no to, is refused whole; what triggers
// do beside when rows come is their business, as it is in a load.
func TestReviseTriggers(t *testing.T) {
	p := newPlace(t, `CREATE TABLE patient (id int PRIMARY KEY, "$1" text, lo int); CREATE TABLE count (n int); INSERT INTO count VALUES (0); CREATE TABLE audit (id int PRIMARY KEY REFERENCES patient);
		CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN UPDATE public.count SET n = n + 1; RETURN NULL; END';
		CREATE FUNCTION keeps() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id = 7 THEN RETURN NULL; ELSIF OLD.id = 8 THEN RAISE ''no %'', OLD.lo; END IF; RETURN OLD; END';
		CREATE TRIGGER counted AFTER INSERT ON patient FOR EACH ROW EXECUTE FUNCTION counted();
		CREATE TRIGGER keeps BEFORE DELETE ON patient FOR EACH ROW EXECUTE FUNCTION keeps()`)
	sh := shape("patient: id, $1, lo")
	s := beginShape(t, p.target, sh)
	old := p.chunk(t, 0, sh, [][]any{{int64(1), "a", int64(1)}, {int64(7), "b", int64(2)}, {int64(8), "c", int64(3)}})
	load(t, s, old)
	before := p.one(t, "SELECT string_agg(p::text, ' ' ORDER BY id) FROM public.patient AS p")
	for _, sources := range [][]int32{{1}, {0, 2}} {
		_, err := s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(old, sources...)}, Come: []*writer.Chunk{p.chunk(t, 1, sh, nil)}}, nil)
		if got := p.one(t, "SELECT string_agg(p::text, ' ' ORDER BY id) FROM public.patient AS p"); ecluse.KindOf(err) != ecluse.Refused || got != before {
			t.Errorf("source rows %v: %v, %s", sources, err, got)
		}
	}
	postgrestest.Run(t, p.Config, "INSERT INTO public.audit VALUES (1)")
	out, err := s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(old, 0)}, Come: []*writer.Chunk{p.chunk(t, 1, sh, [][]any{{int64(1), "a", int64(9)}, {int64(2), "a", nil}, {int64(7), "x", nil}})}}, nil)
	if err != nil || len(out.Refused[0]) != 1 || out.Refused[0][0].Reason != "public.patient: unique key patient_pkey (23505)" {
		t.Errorf("%v, %+v", err, out)
	}
	if got := p.one(t, "SELECT string_agg(p::text, ' ' ORDER BY id) FROM public.patient AS p"); got != "(1,a,9) (2,a,) (7,b,2) (8,c,3)" {
		t.Errorf("it holds %s", got)
	}
}

// TestReviseTypesOfTheServersOwn: what does not fit the target's types is put aside before
// it is tried, and what has no equality of its own is known to be as it was loaded.
func TestReviseTypesOfTheServersOwn(t *testing.T) {
	p := newPlace(t, `CREATE TYPE status AS ENUM ('saisi', 'validé'); CREATE DOMAIN whole AS int CHECK (VALUE > 0);
		CREATE TABLE odd (id int PRIMARY KEY, st status, w whole, tags text[], raw json, c char(4), v varchar(3));`)
	sh := shape("odd: id, st, w, tags, raw, c, v")
	s := beginShape(t, p.target, sh)
	old := p.chunk(t, 0, sh, [][]any{{int64(1), "saisi", int64(3), `{a,"b,c",NULL}`, `{"b":1.10}`, "ab", "abc"}, {int64(2), nil, nil, nil, nil, nil, nil}})
	load(t, s, old)
	come := p.chunk(t, 1, sh, [][]any{
		{int64(1), "validé", int64(4), `{}`, `[1]`, "é", "x"}, {int64(3), "annulé", nil, nil, nil, nil, nil}, {int64(4), nil, int64(-1), nil, nil, nil, nil}, {int64(5), nil, nil, nil, nil, nil, "long"}, {int64(2), nil, nil, nil, nil, nil, nil},
	})
	out, err := s.Revise(t.Context(), &writer.Revision{Gone: []writer.Part{goes(old, 0, 1)}, Come: []*writer.Chunk{come}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range out.Refused[0] {
		got = append(got, fmt.Sprintf("%d: %s", r.Row, r.Reason))
	}
	want := []string{"1: public.odd.st: not a value of its column's type (22P02)", "2: public.odd: check whole_check (23514)", "3: public.odd.v: text longer than its column (22001)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if got := p.one(t, "SELECT string_agg(o::text, ' ' ORDER BY id) FROM public.odd AS o"); got != `(1,validé,4,{},[1],"é   ",x) (2,,,,,,)` {
		t.Errorf("it holds %s", got)
	}
}

// TestReviseKilled: a server that ends the connection within a revision keeps nothing of it.
func TestReviseKilled(t *testing.T) {
	p := newPlace(t, "CREATE TABLE patient (id int PRIMARY KEY, name text)")
	sh := shape("patient: id, name")
	s := beginShape(t, p.target, sh)
	old := p.chunk(t, 0, sh, [][]any{{int64(1), "a"}})
	load(t, s, old)
	r := &writer.Revision{Gone: []writer.Part{goes(old, 0)}, Come: []*writer.Chunk{p.chunk(t, 1, sh, [][]any{{int64(1), "b"}})}}
	_, err := s.Revise(t.Context(), r, func(context.Context, *writer.Revised) error {
		postgrestest.Run(t, p.Config, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = '"+p.role.User+"'")
		return nil
	})
	if err == nil {
		t.Error("it was kept by a connection that is gone")
	}
	if got := p.one(t, "SELECT string_agg(p::text, ' ') FROM public.patient AS p") + p.one(t, "SELECT count(*) FROM ecluse.marker"); got != "(1,a)1" {
		t.Errorf("it holds %s", got)
	}
}

// TestReviseWithoutLanguage: an account that may use no language is told which it needs.
func TestReviseWithoutLanguage(t *testing.T) {
	p := newPlace(t, "CREATE TABLE patient (id int PRIMARY KEY); REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
	sh := shape("patient: id")
	s := beginShape(t, p.target, sh)
	r := &writer.Revision{Come: []*writer.Chunk{p.chunk(t, 0, sh, [][]any{{int64(1)}})}}
	if _, err := s.Revise(t.Context(), r, nil); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "plpgsql") {
		t.Errorf("it gave %v", err)
	}
	postgrestest.Run(t, p.Config, "GRANT USAGE ON LANGUAGE plpgsql TO "+p.role.User)
	if _, err := s.Revise(t.Context(), r, nil); err != nil {
		t.Error(err)
	}
}
