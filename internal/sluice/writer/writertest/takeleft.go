package writertest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// takeAllOut unloads what the markers say is in, in reverse, and then what was left
// because of rows that had been loaded before it.
func takeAllOut(t testing.TB, s writer.Session, chunks ...*writer.Chunk) {
	t.Helper()
	markers, err := s.Markers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var left []writer.Rows
	for n, m := range slices.Backward(markers) {
		i := slices.IndexFunc(chunks, func(c *writer.Chunk) bool { return c.Slot == m.Slot })
		c := stays(chunks[i], m.Refused)
		u, err := s.Unload(t.Context(), c, writer.Unloading{Leave: true})
		if err != nil {
			t.Fatalf("unload chunk %s: %v", m.Slot, err)
		}
		if len(u.Missing) > 0 {
			t.Fatalf("unload chunk %s: missing %v", m.Slot, u.Missing)
		}
		var of []writer.Rows
		for _, x := range u.Left {
			if x.Why != writer.Referred {
				t.Fatalf("unload chunk %s: left %v", m.Slot, x)
			}
			row := c.Tables[x.Table]
			one := writer.Rows{Table: row.Table, Batch: record.NewBatch(row.Batch.Schema, 1), Source: []int32{int32(n)<<16 + x.Source}}
			for i, col := range one.Batch.Columns {
				col.AppendFrom(row.Batch.Columns[i], x.Row)
			}
			of = append(of, one)
			u.Deleted[row.Table]++
		}
		left = append(of, left...)
		if diff := cmp.Diff(m.Rows, u.Deleted, cmpopts.EquateEmpty(), ignoreNone); diff != "" {
			t.Errorf("rows of chunk %s (-marker +there):\n%s", m.Slot, diff)
		}
	}
	u, err := s.TakeLeft(t.Context(), left, writer.Unloading{})
	if err != nil || len(u.Left) > 0 || len(u.Missing) > 0 {
		t.Fatalf("of %d rows that were left: %v, %v", len(left), u, err)
	}
}

// testTakeLeft: of rows that were left, those that people changed or that theirs refer to
// stay; all stay when that cannot be noted.
func testTakeLeft(t *testing.T, h Harness) {
	p := four(t, h)
	chunk := &writer.Chunk{Slot: slot(0), Rows: 4, Tables: []writer.Rows{p.rows(t, patient, [][]any{row(1, nil), row(2, nil), row(3, 4), row(4, nil)}, nil), p.rows(t, keyless, [][]any{{"left", nil}}, nil)}}
	s := p.open(t)
	_, err := s.TakeLeft(t.Context(), chunk.Tables, writer.Unloading{})
	wantKind(t, err, ecluse.Refused, "of a passage that has not begun")
	if _, _, err := s.Begin(t.Context(), nothing); err != nil {
		t.Fatal(err)
	}
	load(t, s, chunk)
	p.db.Exec(t, "UPDATE patient SET mother_id = 900 WHERE id = 1")
	p.db.Insert(t, request, [][]any{row(900, 2)})
	before := p.state(t, s)
	want := []writer.Left{{Row: 0, Source: 0, Why: writer.Changed}, {Row: 1, Source: 1, Why: writer.Referred}}
	stop := errors.New("it could not be noted")
	_, err = s.TakeLeft(t.Context(), chunk.Tables, writer.Unloading{BeforeCommit: func(_ context.Context, u *writer.Unloaded) error {
		if diff := cmp.Diff(want, u.Left); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
		return stop
	}})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	if diff := cmp.Diff(before, p.state(t, s)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	for _, missing := range []int64{0, 2} { // the second time two are gone
		u, err := s.TakeLeft(t.Context(), chunk.Tables, writer.Unloading{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, u.Left); diff != "" || u.Missing[p.db.Name(patient.Name)] != missing {
			t.Errorf("missing %v, left (-want +got):\n%s", u.Missing, diff)
		}
	}
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(900, nil), row(1, 900), row(2, nil)}))
	if n := p.db.Markers(t); n != 1 {
		t.Errorf("%d markers, want the chunk's", n)
	}
	u, err := s.TakeLeft(t.Context(), chunk.Tables, writer.Unloading{ByKey: []ecluse.TableName{p.db.Name(patient.Name)}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:], u.Left); diff != "" {
		t.Errorf("by their keys, left (-want +got):\n%s", diff)
	}
}
