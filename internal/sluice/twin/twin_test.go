package twin

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/sluice/record"
)

func kinds() []ecluse.Type {
	return []ecluse.Type{
		{Kind: ecluse.Bool},
		{Kind: ecluse.Int},
		{Kind: ecluse.Decimal, Precision: 9, Scale: 2},
		{Kind: ecluse.Number},
		{Kind: ecluse.Float, Precision: 53},
		{Kind: ecluse.Text},
		{Kind: ecluse.Bytes},
		{Kind: ecluse.Date},
		{Kind: ecluse.Time},
		{Kind: ecluse.Timestamp},
		{Kind: ecluse.Instant},
	}
}

// shown are all values of a batch, as people would read them.
func shown(b *record.Batch) []string {
	var all []string
	for _, c := range b.Columns {
		for i := range c.Len() {
			all = append(all, c.Show(i))
		}
	}
	return all
}

func fill(g *Generator, columns []Column, n int) *record.Batch {
	b := record.NewBatch(Schema(columns), n)
	g.Fill("set", columns, n, b)
	return b
}

// TestSameSeed: rows are the seed's and the schema's, and nothing else's.
func TestSameSeed(t *testing.T) {
	t.Parallel()
	var columns []Column
	for _, k := range kinds() {
		columns = append(columns, Column{Name: string(k.Kind), Type: k})
	}
	words := []string{"DD/MM/YYYY", "P", "GLU"}
	one, again := fill(New([32]byte{1}, words, 300), columns, 300), fill(New([32]byte{1}, words, 300), columns, 300)
	if !slices.Equal(shown(one), shown(again)) {
		t.Error("equal seeds make other rows")
	}
	if other := fill(New([32]byte{2}, words, 300), columns, 300); slices.Equal(shown(one), shown(other)) {
		t.Error("other seeds make equal rows")
	}
	for _, c := range one.Columns {
		if c.Len() != 300 || c.Nulls() == 0 {
			t.Errorf("%s: %d rows, %d nulls", c.Type(), c.Len(), c.Nulls())
		}
	}
}

// TestKeys: a key is unique and never null, and what refers to it mostly finds it.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, typ := range []ecluse.Type{{Kind: ecluse.Text}, {Kind: ecluse.Int}, {Kind: ecluse.Number}, {Kind: ecluse.Decimal, Precision: 9}} {
		columns := []Column{
			{Name: "id", Type: typ, Key: true, KeyName: "patient.id", MaxLength: 10},
			{Name: "mother", Type: typ, RefersTo: "patient.id", MaxLength: 10},
		}
		b := fill(New([32]byte{}, []string{"P", "DD/MM/YYYY"}, 500), columns, 500)
		have := map[string]bool{}
		for i := range 500 {
			have[b.Columns[0].Show(i)] = true
		}
		found := 0
		for i := range 500 {
			if !b.Columns[1].Null(i) && have[b.Columns[1].Show(i)] {
				found++
			}
		}
		if len(have) != 500 || b.Columns[0].Nulls() != 0 || found < 400 || found == 500 {
			t.Errorf("%s: %d keys, %d refer to one", typ, len(have), found)
		}
	}
}

// TestShapes: people are invented, and texts that the mapping names are used.
func TestShapes(t *testing.T) {
	t.Parallel()
	columns := []Column{{Name: "nir", Type: ecluse.Type{Kind: ecluse.Text}, Class: ecluse.NationalID}, {Name: "code", Type: ecluse.Type{Kind: ecluse.Text}, MaxLength: 12}}
	all := shown(fill(New([32]byte{}, []string{"GLU", "DD/MM/YYYY"}, 400), columns, 400))
	nirs := 0
	for _, v := range all[:400] {
		if len(v) == 15 && v[7:10] == "990" {
			nirs++
		}
	}
	if nirs < 100 || !slices.Contains(all, "GLU") || !slices.ContainsFunc(all, func(s string) bool { return len(s) == 10 && s[2] == '/' && s[5] == '/' }) {
		t.Errorf("%d numbers, codes and dates missing", nirs)
	}
	for _, v := range all[400:] {
		if utf8.RuneCountInString(v) > 12 {
			t.Error("a text is longer than declared")
		}
	}
}

func FuzzFill(f *testing.F) {
	f.Add([]byte("seed"), "DD/MM/YYYY", uint8(5), 10, true)
	f.Add([]byte{}, "\xff", uint8(2), -1, false)
	f.Fuzz(func(t *testing.T, seed []byte, word string, kind uint8, most int, key bool) {
		typ := kinds()[int(kind)%len(kinds())]
		columns := []Column{{Name: "c", Type: typ, MaxLength: most, Key: key, KeyName: "k"}, {Name: "r", Type: typ, RefersTo: "k", MaxLength: most}}
		b := fill(New(ecluse.DigestOf(seed), strings.Split(word, " "), 40), columns, 40)
		for _, c := range b.Columns {
			if c.Len() != 40 {
				t.Fatalf("%d rows", c.Len())
			}
			for i := range c.Len() {
				if typ.Kind == ecluse.Text && !c.Null(i) && !utf8.Valid(c.Bytes(i)) {
					t.Fatal("a text is not UTF-8")
				}
			}
		}
	})
}
