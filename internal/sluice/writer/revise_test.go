package writer_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/writer"
)

func rows(t *testing.T, table string, ids ...int32) writer.Rows {
	var values [][]any
	for _, id := range ids {
		values = append(values, []any{int64(id)})
	}
	return writer.Rows{Table: ecluse.TableName{Name: table}, Batch: readertest.Batch(t, readertest.Columns(readertest.Int, "id"), values), Source: ids}
}

func slot(dataset string, n int) ecluse.Slot {
	return ecluse.Slot{Dataset: ecluse.DatasetID(dataset), Sequence: n}
}

// show is a chunk's tables, in order, with their source rows.
func show(c *writer.Chunk) (all []string) {
	for _, t := range c.Tables {
		all = append(all, fmt.Sprintf("%s%v", t.Table, t.Source))
	}
	return all
}

// TestExchange: chunks of one dataset are put together, and datasets stay in the order
// of loading; what goes is in that order, too.
func TestExchange(t *testing.T) {
	r := &writer.Revision{
		Gone: []writer.Part{
			{Slot: slot("request", 3), Rows: 9, Sources: []int32{8}, Tables: []writer.Rows{rows(t, "request", 8)}},
			{Slot: slot("patient", 1), Rows: 5, Sources: []int32{1, 4}, Tables: []writer.Rows{rows(t, "person", 1, 4), rows(t, "patient", 1), rows(t, "number", 1, 4), rows(t, "number", 1)}},
			{Slot: slot("patient", 0), Rows: 10, Sources: []int32{0}, Tables: []writer.Rows{rows(t, "person", 0), rows(t, "patient")}},
		},
		Come: []*writer.Chunk{
			{Slot: slot("patient", 5), Rows: 3, Tables: []writer.Rows{rows(t, "person", 0, 2), rows(t, "patient", 0)}},
			{Slot: slot("patient", 6), Rows: 2, Tables: []writer.Rows{rows(t, "person", 1), rows(t, "patient", 1)}},
			{Slot: slot("empty", 0)},
			{Slot: slot("doctor", 0), Rows: 4, Tables: []writer.Rows{rows(t, "doctor", 3), rows(t, "person", 3), rows(t, "doctor", 2)}},
		},
		Again: []writer.Part{
			{Slot: slot("patient", 0), Rows: 10, Sources: []int32{2, 7, 9}, Tables: []writer.Rows{rows(t, "person", 2, 7, 9), rows(t, "patient", 7)}},
			{Slot: slot("request", 4), Rows: 70, Sources: []int32{66}, Tables: []writer.Rows{rows(t, "request", 66)}},
		},
	}
	x, err := r.Exchange()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"person[0 11 14]", "patient[11]", "number[11 11 14]", "request[23]"}, show(x.Gone)); diff != "" || x.Gone.Rows != 24 {
		t.Errorf("%d go (-want +got):\n%s", x.Gone.Rows, diff)
	}
	if diff := cmp.Diff([]string{"person[0 2 4]", "patient[0 4]", "doctor[8]", "person[8]", "doctor[7]", "person[9 10 11]", "patient[10]", "request[12]"}, show(x.Come)); diff != "" || x.Come.Rows != 13 {
		t.Errorf("%d come (-want +got):\n%s", x.Come.Rows, diff)
	}
	in := map[ecluse.Slot]writer.Marker{
		slot("request", 3): {}, slot("patient", 1): {Refused: []int32{3}}, slot("request", 4): {Refused: []int32{66}},
		slot("patient", 0): {Refused: []int32{2, 6, 7, 9}, Rows: map[ecluse.TableName]int64{{Name: "person"}: 5}},
	}
	for s, m := range in {
		m.Slot = s
		if m.Rows == nil {
			m.Rows = map[ecluse.TableName]int64{}
			for _, t := range []string{"person", "patient", "number", "request"} {
				m.Rows[ecluse.TableName{Name: t}] = 5
			}
		}
		in[s] = m
	}
	stored := func(s ecluse.Slot) (*writer.Marker, error) {
		m, ok := in[s]
		if !ok {
			return nil, nil
		}
		return &m, nil
	}
	out, err := x.Begin(stored)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Come {
		out.Markers = append(out.Markers, c.Marker(nil))
	}
	x.Took(out, []writer.Refusal{{Row: 2}, {Row: 3}, {Row: 4}, {Row: 5}, {Row: 8}, {Row: 11}})
	if diff := cmp.Diff([][]writer.Refusal{{{Row: 2}}, {{Row: 0}, {Row: 1}}, nil, {{Row: 0}, {Row: 3}}}, out.Refused); diff != "" {
		t.Errorf("refused (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]writer.Refusal{{{Row: 9}}, nil}, out.Again); diff != "" {
		t.Errorf("refused again (-want +got):\n%s", diff)
	}
	var refused [][]int32
	for _, m := range out.Markers {
		refused = append(refused, m.Refused)
	}
	want := [][]int32{{8}, {1, 3, 4}, {0, 6, 9}, {}, {2}, {0, 1}, nil, {0, 3}}
	if diff := cmp.Diff(want, refused); diff != "" || out.Markers[2].Rows[ecluse.TableName{Name: "person"}] != 6 || out.Markers[2].Rows[ecluse.TableName{Name: "patient"}] != 1 {
		t.Errorf("%v (-want +got):\n%s", out.Markers[2].Rows, diff)
	}
	// What is in is not offered again.
	in[slot("request", 4)] = writer.Marker{Slot: slot("request", 4), Refused: []int32{65}}
	if _, err := x.Begin(stored); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a row that is in, offered again: %v", err)
	}
}

// TestNextCommands: who is told to load anew is told all the commands, for an undone
// passage's plan and approval are those of no other.
func TestNextCommands(t *testing.T) {
	name := ecluse.TableName{Name: "patient"}
	for _, err := range []error{writer.RefuseAltered(name, 1), writer.RefuseAlong(name, 1), writer.RefuseReferred(nil)} {
		var e *ecluse.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		at := 0
		for _, command := range []string{"ecluse undo", "ecluse plan", "ecluse approve", "ecluse apply"} {
			i := strings.Index(e.Next[at:], command)
			if i < 0 {
				t.Errorf("%q does not say %s after the others", e.Next, command)
				continue
			}
			at += i
		}
	}
}
