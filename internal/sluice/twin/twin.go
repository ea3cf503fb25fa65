// Package twin invents rows of a dataset from its schema alone: names, types, declared
// lengths, keys and what refers to them. It is given no row, and opens nothing: no value
// of a source can be in what it makes. Equal seeds make equal rows.
//
// A part of the rows is what a mapping expects: codes and date formats that the mapping
// itself names, invented people, keys that other datasets refer to. The rest is what a
// mapping meets in the end: nulls, empty and overlong text, hostile text, ends of ranges.
package twin

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Column is one column to invent.
type Column struct {
	Name      string
	Type      ecluse.Type
	Class     ecluse.Class
	MaxLength int      // characters; 0: no limit
	Key       bool     // never null, and unique in the dataset
	RefersTo  string   // the key's name in another dataset, "dataset.column"; empty: to nothing
	KeyName   string   // of a key: what others refer to it by
	Words     []string // that a mapping names for this column: met more often than others
}

// Schema is the columns as rows travel.
func Schema(columns []Column) *record.Schema {
	s := &record.Schema{}
	for _, c := range columns {
		s.Fields = append(s.Fields, record.Field{Name: c.Name, Type: c.Type})
	}
	return s
}

// Generator invents rows.
type Generator struct {
	seed  [32]byte
	words []string // that the mapping names: codes, formats, prefixes
	rows  int      // of each dataset: keys are of these
}

// New makes a generator. words are texts that a mapping and its tables of codes name.
func New(seed [32]byte, words []string, rows int) *Generator {
	return &Generator{seed: seed, rows: max(rows, 1), words: Words(words)}
}

// Words keeps those that can stand in a row.
func Words(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !utf8.ValidString(w) || w == "" || len(w) > 200 })
}

// Fill adds n rows of a dataset to a batch of its Schema.
func (g *Generator) Fill(dataset string, columns []Column, n int, b *record.Batch) {
	for i, c := range columns {
		r := rand.New(rand.NewChaCha8(g.of(dataset, c.Name)))
		for row := range n {
			g.value(r, &c, row, b.Columns[i])
		}
	}
}

// of is the seed of one column: no column's rows depend on another's.
func (g *Generator) of(dataset, column string) [32]byte {
	return ecluse.DigestOf(fmt.Appendf(nil, "%x %q %q", g.seed, dataset, column))
}

func (g *Generator) value(r *rand.Rand, c *Column, row int, to *record.Column) {
	switch {
	case c.Key:
		g.key(c, c.KeyName, row, to)
	case c.RefersTo != "" && r.IntN(10) > 0:
		g.key(c, c.RefersTo, r.IntN(g.rows), to)
	case r.IntN(12) == 0:
		to.AppendNull()
	default:
		g.plain(r, c, to)
	}
}

// key is value n of a key, the same wherever it is referred to.
func (g *Generator) key(c *Column, name string, n int, to *record.Column) {
	switch c.Type.Kind {
	case ecluse.Text, ecluse.Bytes:
		prefix := ""
		if short := g.short(); len(short) > 0 {
			d := g.of(name, "prefix")
			prefix = short[(int(d[0])+n)%len(short)]
		}
		text := prefix + fmt.Sprintf("%06d", n+1)
		if c.MaxLength > 0 && len(text) > c.MaxLength { // the number alone makes it unique
			text = strconv.Itoa(n + 1)
		}
		to.AppendString(text)
	case ecluse.Number:
		to.AppendString(strconv.Itoa(n + 1))
	case ecluse.Float:
		to.AppendFloat(float64(n + 1))
	case ecluse.Bool:
		to.AppendBool(n%2 == 0)
	default:
		to.AppendInt(int64(n) + 1)
	}
}

// short are words that can begin a key: a letter or two.
func (g *Generator) short() []string {
	var all []string
	for _, w := range g.words {
		if len(w) <= 2 && strings.Trim(w, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
			all = append(all, w)
		}
	}
	return all
}

// Ends of what a date or a moment can be: years 1 and 9999.
const (
	firstDay, lastDay = -719162, 2932896
	dayMicros         = 86_400_000_000
)

func (g *Generator) plain(r *rand.Rand, c *Column, to *record.Column) {
	end := r.IntN(10) == 0 // an end of the range
	switch c.Type.Kind {
	case ecluse.Text:
		to.AppendString(within(g.text(r, c), c.MaxLength))
	case ecluse.Bytes:
		b := make([]byte, r.IntN(40))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		if c.MaxLength > 0 && len(b) > c.MaxLength {
			b = b[:c.MaxLength]
		}
		to.AppendBytes(b)
	case ecluse.Number:
		to.AppendString(pick(r, "0", "-1", "12.50", "0.000000000000000001", "98765432109876543210.123456789", strconv.Itoa(r.IntN(100_000))))
	case ecluse.Bool:
		to.AppendBool(r.IntN(2) == 0)
	case ecluse.Float:
		if end {
			to.AppendFloat(pick(r, 0, math.Copysign(0, -1), math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32))
			return
		}
		to.AppendFloat(float64(float32(r.NormFloat64() * 100)))
	case ecluse.Decimal:
		most := int64(math.Pow10(min(max(c.Type.Precision, 1), 18))) - 1
		if end {
			to.AppendInt(pick(r, most, -most, 0))
			return
		}
		to.AppendInt(r.Int64N(min(most, 1_000_000) + 1))
	case ecluse.Date:
		if end {
			to.AppendInt(pick(r, int64(firstDay), lastDay, 0, -1))
			return
		}
		to.AppendInt(int64(r.IntN(36_000)) - 14_000) // 1931 to 2030
	case ecluse.Time:
		if end {
			to.AppendInt(pick(r, int64(0), dayMicros-1))
			return
		}
		to.AppendInt(r.Int64N(dayMicros))
	case ecluse.Timestamp, ecluse.Instant:
		if end {
			to.AppendInt(pick(r, int64(firstDay)*dayMicros, int64(lastDay)*dayMicros, 0, -1))
			return
		}
		to.AppendInt(int64(r.IntN(18_000))*dayMicros + r.Int64N(dayMicros))
	default:
		if end {
			to.AppendInt(pick(r, int64(0), -1, math.MaxInt16, math.MinInt16, math.MaxInt32, math.MinInt32))
			return
		}
		to.AppendInt(int64(r.IntN(1000)))
	}
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// within cuts text to a declared length, in characters.
func within(s string, most int) string {
	if most <= 0 || utf8.RuneCountInString(s) <= most {
		return s
	}
	n := 0
	for i := range s {
		if n == most {
			return s[:i]
		}
		n++
	}
	return s
}

// hostile is text that breaks what is careless: quotes, statements, formulas, controls,
// directions, composed and wide characters, and what only looks empty.
func hostile() []string {
	return []string{
		"", " ", "'", `"`, `\`, "%", "_", ";", "--", "NULL", "null", "0", "-", "O'Brien; DROP TABLE patient;--", "=1+1", "@SUM(A1)",
		"a\tb", "a\nb", "\u00a0", "\u200b", "\u202e", "e\u0301", "ÉÈÇŒ", "ß", "İ", "日本", "\U0001f9ea", "|", ",", "\\N", "99/99/9999", "1e400",
		strings.Repeat("x", 300), strings.Repeat("é", 70),
	}
}

func (g *Generator) text(r *rand.Rand, c *Column) string {
	if len(c.Words) > 0 && r.IntN(2) == 0 {
		return g.word(r, c.Words)
	}
	switch n := r.IntN(20); {
	case n < 4:
		return pick(r, hostile()...)
	case n < 9 && len(g.words) > 0:
		return g.word(r, g.words)
	case c.Class == ecluse.NationalID:
		return nir(r)
	case c.Class == ecluse.Identity || c.Class == ecluse.Prescriber || c.Class == ecluse.Sampler:
		return name(r)
	case n < 14:
		return strconv.FormatFloat(float64(r.IntN(100_000))/pick(r, 1.0, 10.0, 100.0), 'f', -1, 64)
	case n < 17:
		return name(r)
	}
	return strings.ToUpper(name(r)[:3]) + strconv.Itoa(r.IntN(100))
}

// word is a text that the mapping names: as it stands, as the beginning of a number, or,
// where it is a format of dates, a date in it.
func (g *Generator) word(r *rand.Rand, words []string) string {
	w := words[r.IntN(len(words))]
	if date, ok := dated(r, w); ok {
		return date
	}
	if len(w) <= 3 && r.IntN(2) == 0 {
		return w + fmt.Sprintf("%06d", r.IntN(g.rows)+1)
	}
	return w
}

// dated fills a format such as DD/MM/YYYY HH:MI:SS.
func dated(r *rand.Rand, format string) (string, bool) {
	if !strings.Contains(format, "YY") || !strings.Contains(format, "MM") || !strings.Contains(format, "DD") {
		return "", false
	}
	two := func(from, n int) string { return fmt.Sprintf("%02d", from+r.IntN(n)) }
	year := 1930 + r.IntN(100)
	return strings.NewReplacer(
		"YYYY", strconv.Itoa(year), "YY", fmt.Sprintf("%02d", year%100), "MM", two(1, 12), "DD", two(1, 28),
		"HH24", two(0, 24), "HH", two(0, 24), "MI", two(0, 60), "SS", two(0, 60),
	).Replace(format), true
}

// nir has the shape of a French social security number, its key right; its commune, 990,
// is no commune.
func nir(r *rand.Rand) string {
	n := int64(1 + r.IntN(2))
	for _, part := range []struct{ size, v int }{{100, r.IntN(100)}, {100, 1 + r.IntN(12)}, {100, 1 + r.IntN(95)}, {1000, 990}, {1000, 1 + r.IntN(999)}} {
		n = n*int64(part.size) + int64(part.v)
	}
	return fmt.Sprintf("%013d%02d", n, 97-n%97)
}

// name is syllables that make no one's name.
func name(r *rand.Rand) string {
	begin := pick(r, "Vor", "Brul", "Quer", "Zam", "Ploss", "Trev", "Oud", "Yff", "Kerz", "Drou")
	end := pick(r, "lune", "bique", "zant", "oupe", "mire", "flon", "duque", "vois", "trel", "gaze")
	return begin + end
}
