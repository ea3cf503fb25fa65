package record_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// No verb, log line or wrapped error prints what a batch holds.
func TestPrintsNoValue(t *testing.T) {
	s := &record.Schema{Fields: []record.Field{
		{Name: "last_name", Type: ecluse.Type{Kind: ecluse.Text}},
		{Name: "weight", Type: ecluse.Type{Kind: ecluse.Int}},
	}}
	b := record.NewBatch(s, 1)
	b.Columns[0].AppendString("CANARI")
	b.Columns[1].AppendInt(271828)
	value := b.Columns[0].Bytes(0)

	var out bytes.Buffer
	for _, v := range []any{b, b.Columns[0], b.Columns[1], value, []any{b, value}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		out.WriteString(fmt.Errorf("row: %v", v).Error())
	}
	for _, canary := range []string{"CANARI", "canari", "271828", fmt.Sprintf("%x", "CANARI"), "67 65 78", "Q0FOQVJJ"} {
		if strings.Contains(out.String(), canary) {
			t.Errorf("%s was printed", canary)
		}
	}
	for _, want := range []string{"batch of 1 rows, 2 columns", "text[1 rows]", "‹6 bytes›"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in what was printed", want)
		}
	}
}

// A column is compared, through every way of filling and emptying it, with a
// plain slice.
func TestColumnModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]ecluse.DataKind{ecluse.Int, ecluse.Text}).Draw(t, "kind")
		c := record.NewColumn(ecluse.Type{Kind: kind}, 2)
		other := record.NewColumn(ecluse.Type{Kind: kind}, 0)
		var model []any // nil, int64 or string
		add := func(c *record.Column, v any) {
			switch v := v.(type) {
			case nil:
				c.AppendNull()
			case int64:
				c.AppendInt(v)
			case string:
				if len(v)%2 == 0 {
					c.AppendString(v)
				} else {
					c.CloseValue(append(c.Grow(), v...))
				}
			}
		}
		draw := func() any {
			switch {
			case rapid.IntRange(0, 3).Draw(t, "null") == 0:
				return nil
			case kind == ecluse.Int:
				return rapid.Int64().Draw(t, "int")
			}
			return rapid.StringN(0, 5, -1).Draw(t, "text")
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(*rapid.T) {
				v := draw()
				add(c, v)
				model = append(model, v)
			},
			"append from": func(*rapid.T) {
				v := draw()
				add(other, v)
				c.AppendFrom(other, other.Len()-1)
				model = append(model, v)
			},
			"truncate": func(*rapid.T) {
				n := rapid.IntRange(0, len(model)+2).Draw(t, "n")
				c.Truncate(n)
				model = model[:min(n, len(model))]
			},
			"reset": func(*rapid.T) {
				c.Reset()
				model = nil
			},
			"": func(t *rapid.T) { compareModel(t, c, model) },
		})
	})
}

func compareModel(t *rapid.T, c *record.Column, model []any) {
	nulls := 0
	if c.Len() != len(model) {
		t.Fatalf("%d values, want %d", c.Len(), len(model))
	}
	for i, want := range model {
		if c.Null(i) != (want == nil) {
			t.Fatalf("row %d: null is %v", i, c.Null(i))
		}
		switch want := want.(type) {
		case nil:
			nulls++
			if record.Fixed(c.Type().Kind) && c.Int(i) != 0 || !record.Fixed(c.Type().Kind) && len(c.Bytes(i)) != 0 {
				t.Fatalf("row %d: a null holds something", i)
			}
		case int64:
			if c.Int(i) != want {
				t.Fatalf("row %d differs", i)
			}
		case string:
			if string(c.Bytes(i)) != want {
				t.Fatalf("row %d differs", i)
			}
		}
	}
	if c.Nulls() != nulls {
		t.Fatalf("%d nulls, want %d", c.Nulls(), nulls)
	}
}

func TestBatch(t *testing.T) {
	s := labSchema()
	b := record.NewBatch(s, 4)
	fillLab(b, 10)
	if b.Rows() != 10 || b.Size() == 0 || b.Column("unit") != b.Columns[5] || b.Column("Unit") != nil || s.Index("none") != -1 {
		t.Error("a batch does not know its own columns")
	}
	b.Truncate(3)
	if b.Rows() != 3 {
		t.Errorf("%d rows after Truncate(3)", b.Rows())
	}
	b.Reset()
	if b.Rows() != 0 {
		t.Errorf("%d rows after Reset", b.Rows())
	}
	if (&record.Batch{Schema: &record.Schema{}}).Rows() != 0 {
		t.Error("a batch without columns has rows")
	}
	if !s.Equal(labSchema()) || s.Equal(&record.Schema{Fields: s.Fields[1:]}) {
		t.Error("schemas compare wrongly")
	}
	other := labSchema()
	other.Fields[3].Type.Scale = 2
	if s.Equal(other) {
		t.Error("another scale is another schema")
	}
}
