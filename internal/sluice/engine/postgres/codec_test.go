package postgres

import (
	"bytes"
	"io"
	"math"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// everyColumn has a column of each form that COPY's binary side knows.
func everyColumn() []mandate.LoadColumn {
	var out []mandate.LoadColumn
	for _, declared := range []string{
		"boolean", "smallint", "integer", "bigint", "numeric", "numeric(12,3)", "numeric(18,18)", "numeric(18,17)", "numeric(18,0)", "real", "double precision",
		"text", "character varying(20)", "character(4)", "uuid", "bytea", "date", "time without time zone",
		"timestamp without time zone", "timestamp(3) with time zone",
	} {
		c := ecluse.Column{Name: declared}
		describe(&c, declared)
		out = append(out, mandate.LoadColumn{Name: declared, Type: c.Type, Declared: declared})
	}
	return out
}

// draw adds a random value that the column's form can hold.
func draw(t *rapid.T, c *record.Column, f *Field) {
	if rapid.IntRange(0, 5).Draw(t, "null") == 0 {
		c.AppendNull()
		return
	}
	whole := func(limit int64) int64 { return rapid.Int64Range(-limit, limit-1).Draw(t, f.Name) }
	switch f.wire {
	case wireBool:
		c.AppendBool(rapid.Bool().Draw(t, f.Name))
	case wireInt2:
		c.AppendInt(whole(1 << 15))
	case wireInt4:
		c.AppendInt(whole(1 << 31))
	case wireInt8, wireTime:
		c.AppendInt(rapid.Int64().Draw(t, f.Name))
	case wireNumeric:
		if f.Type.Kind == ecluse.Decimal {
			c.AppendInt(rapid.Int64Range(1-pow10[f.Type.Precision], pow10[f.Type.Precision]-1).Draw(t, f.Name))
			return
		}
		c.AppendString(rapid.StringMatching(`-?[1-9][0-9]{0,30}(\.[0-9]{1,40})?|-?0\.[0-9]{0,12}[1-9]|NaN|Infinity|-Infinity|0`).Draw(t, f.Name))
	case wireFloat4:
		c.AppendFloat(float64(rapid.Float32().Draw(t, f.Name)))
	case wireFloat8:
		c.AppendFloat(rapid.Float64().Draw(t, f.Name))
	case wirePadded:
		c.AppendString(strings.TrimRight(rapid.String().Draw(t, f.Name), " "))
	case wireUUID:
		c.AppendString(rapid.StringMatching(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`).Draw(t, f.Name))
	case wireBytes:
		c.AppendBytes(rapid.SliceOf(rapid.Byte()).Draw(t, f.Name))
	case wireDate:
		c.AppendInt(rapid.SampledFrom([]int64{0, -1, 2932896, -2440588, ecluse.Infinity, ecluse.NegInfinity, whole(1 << 30)}).Draw(t, f.Name))
	case wireTimestamp:
		c.AppendInt(rapid.SampledFrom([]int64{0, -1, ecluse.Infinity, ecluse.NegInfinity, whole(1 << 62)}).Draw(t, f.Name))
	default:
		c.AppendString(rapid.String().Draw(t, f.Name))
	}
}

// decodeAll decodes an answer that comes in pieces of the given sizes, over and
// over.
func decodeAll(fields []Field, answer []byte, pieces ...int) (*record.Batch, error) {
	all := record.NewBatch(Schema(fields), 0)
	batch := record.NewBatch(Schema(fields), 0)
	d, err := NewDecoder(fields, func(full *record.Batch) (*record.Batch, error) {
		if full != nil {
			for i, c := range full.Columns {
				all.Columns[i].AppendRange(c, 0, full.Rows())
			}
		}
		return batch, nil
	})
	if err != nil {
		return nil, err
	}
	for i := 0; len(answer) > 0; i++ {
		n := min(max(pieces[i%len(pieces)], 1), len(answer))
		if _, err := d.Write(answer[:n]); err != nil {
			return nil, err
		}
		answer = answer[n:]
	}
	if err := d.Again(); err != nil {
		return nil, err
	}
	return all, d.Close()
}

// differ compares batches, whose values cannot be printed.
func differ(a, b *record.Batch) string {
	if a.Rows() != b.Rows() || !a.Schema.Equal(b.Schema) {
		return "other rows or columns"
	}
	for i := range a.Columns {
		for row := range a.Rows() {
			x, y := a.Columns[i], b.Columns[i]
			switch {
			case x.Null(row) != y.Null(row):
				return a.Schema.Fields[i].Name + ": null"
			case record.Fixed(x.Type().Kind) && x.Int(row) != y.Int(row):
				return a.Schema.Fields[i].Name + ": another number"
			case !record.Fixed(x.Type().Kind) && !bytes.Equal(x.Bytes(row), y.Bytes(row)):
				return a.Schema.Fields[i].Name + ": other bytes"
			}
		}
	}
	return ""
}

func TestCopyRoundTrip(t *testing.T) {
	copier := NewCopier(ecluse.TableName{Name: "every"}, everyColumn())
	if copier.text {
		t.Fatal("a column has no binary form")
	}
	rapid.Check(t, func(t *rapid.T) {
		in := record.NewBatch(Schema(copier.fields), 0)
		rows := rapid.IntRange(0, 20).Draw(t, "rows")
		for range rows {
			for i := range copier.fields {
				draw(t, in.Columns[i], &copier.fields[i])
			}
		}
		answer, err := io.ReadAll(copier.Rows(in, 0, rows, nil))
		if err != nil {
			t.Fatal(err)
		}
		out, err := decodeAll(copier.fields, answer, rapid.SliceOfN(rapid.IntRange(1, 100), 1, 5).Draw(t, "pieces")...)
		if err != nil {
			t.Fatal(err)
		}
		if d := differ(in, out); d != "" {
			t.Fatal(d)
		}
	})
}

func TestEncoderSkips(t *testing.T) {
	copier, batch := NewCopier(ecluse.TableName{Name: "result"}, labColumns()), labBatch(100)
	e := copier.Rows(batch, 10, 20, func(row int) bool { return row%2 == 0 })
	answer, err := io.ReadAll(iotestOneByte{e})
	if err != nil || e.Rows() != 5 {
		t.Fatalf("%d rows, %v", e.Rows(), err)
	}
	out, err := decodeAll(copier.fields, answer, 7)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{11, 13, 15, 17, 19}, out.Columns[0].Ints()); diff != "" {
		t.Error(diff)
	}
}

// iotestOneByte reads in the smallest pieces.
type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:1]) }

func TestDecoderRefuses(t *testing.T) {
	head := append([]byte(copySignature), 0, 0, 0, 0, 0, 0, 0, 0)
	end := []byte{0xff, 0xff}
	row := func(values ...[]byte) []byte {
		out := []byte{0, byte(len(values))}
		for _, v := range values {
			out = append(append(out, 0, 0, 0, byte(len(v))), v...)
		}
		return out
	}
	decimal := func(digits ...byte) []byte { return append([]byte{0, byte(len(digits) / 2)}, digits...) }
	for _, c := range []struct {
		name, declared string
		answer         []byte
		want           string
	}{
		{"another signature", "text", slices.Concat([]byte("PGCOPY\r\n\xff\r\n\x00"), make([]byte, 8), end), "does not allow"},
		{"flags", "text", slices.Concat([]byte(copySignature), []byte{0, 1, 0, 0, 0, 0, 0, 0}, end), "does not allow"},
		{"an endless extension", "text", slices.Concat([]byte(copySignature), []byte{0, 0, 0, 0, 0x7f, 0, 0, 0}), "does not allow"},
		{"no end", "text", slices.Concat(head, row([]byte("a"))), "in the middle"},
		{"half a row", "text", slices.Concat(head, []byte{0, 1, 0, 0, 0, 9, 'a'}), "in the middle"},
		{"two fields", "text", slices.Concat(head, row([]byte("a"), []byte("b")), end), "does not allow"},
		{"a length below nothing", "text", slices.Concat(head, []byte{0, 1, 0xff, 0xff, 0xff, 0xfe}, end), "does not allow"},
		{"rows after the end", "text", slices.Concat(head, end, row([]byte("a"))), "does not allow"},
		{"not UTF-8", "text", slices.Concat(head, row([]byte{'a', 0xe9}), end), "not UTF-8"},
		{"not UTF-8, padded", "character(3)", slices.Concat(head, row([]byte{0xe9, ' '}), end), "not UTF-8"},
		{"a short bigint", "bigint", slices.Concat(head, row([]byte{1, 2, 3}), end), "another length"},
		{"a long boolean", "boolean", slices.Concat(head, row([]byte{1, 1}), end), "another length"},
		{"a short float", "real", slices.Concat(head, row([]byte{1}), end), "another length"},
		{"a short date", "date", slices.Concat(head, row([]byte{1}), end), "another length"},
		{"a short time", "time without time zone", slices.Concat(head, row([]byte{1}), end), "another length"},
		{"a short uuid", "uuid", slices.Concat(head, row([]byte{1}), end), "another length"},
		{"the year 294276", "timestamp with time zone", slices.Concat(head, row([]byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe}), end), "294246"},
		{"a decimal NaN", "numeric(12,3)", slices.Concat(head, row([]byte{0, 0, 0, 0, 0xc0, 0, 0, 0}), end), "NaN"},
		{"more digits than declared", "numeric(12,3)", slices.Concat(head, row(decimal(0xff, 0xff, 0, 0, 0, 4, 0, 1)[:8]), end), "not a numeric"},
		{"a digit of 10,000", "numeric", slices.Concat(head, row([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0x27, 0x10}), end), "not a numeric"},
		{"a sign that is none", "numeric", slices.Concat(head, row([]byte{0, 0, 0, 0, 0x12, 0x34, 0, 0}), end), "not a numeric"},
		{"a ten-thousandth in thousandths", "numeric(12,3)", slices.Concat(head, row([]byte{0, 1, 0xff, 0xff, 0, 0, 0, 4, 0, 1}), end), "more digits"},
		{"nineteen digits", "numeric(18,0)", slices.Concat(head, row([]byte{0, 1, 0, 4, 0, 0, 0, 0, 0, 100}), end), "more digits"},
	} {
		col := ecluse.Column{}
		describe(&col, c.declared)
		w, _ := readAs(col.Type, c.declared)
		_, err := decodeAll([]Field{{"value", col.Type, w}}, c.answer, 1000)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestUnfit(t *testing.T) {
	columns := everyColumn()
	copier := NewCopier(ecluse.TableName{Name: "every"}, columns)
	fill := func(declared string, put func(*record.Column)) *record.Batch {
		b := record.NewBatch(Schema(copier.fields), 2)
		for i, c := range columns {
			b.Columns[i].AppendNull()
			if c.Declared == declared {
				put(b.Columns[i])
			} else {
				b.Columns[i].AppendNull()
			}
		}
		return b
	}
	number := func(n int64) func(*record.Column) { return func(c *record.Column) { c.AppendInt(n) } }
	text := func(s string) func(*record.Column) { return func(c *record.Column) { c.AppendString(s) } }
	for _, c := range []struct {
		declared string
		put      func(*record.Column)
		want     string
	}{
		{"smallint", number(32767), ""},
		{"smallint", number(32768), stateRange},
		{"integer", number(-1 << 31), ""},
		{"integer", number(1 << 31), stateRange},
		{"text", text("é"), ""},
		{"text", text("a\x00b"), stateCharacter},
		{"character(4)", text("\x00"), stateCharacter},
		{"uuid", text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), ""},
		{"uuid", text("a0eebc999c0b4ef8bb6d6bb9bd380a11"), stateForm},
		{"uuid", text("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1z"), stateForm},
		{"numeric", text("-12.50"), ""},
		{"numeric", text("12,50"), stateForm},
		{"numeric", text(""), stateForm},
		{"numeric", text("1e"), stateForm},
		{"numeric", text("."), stateForm},
		{"date", number(ecluse.Infinity), ""},
		{"date", number(math.MaxInt32), ""},
		{"date", number(math.MaxInt32 + epochDays), stateMoment},
		{"timestamp without time zone", number(ecluse.NegInfinity), ""},
		{"timestamp without time zone", number(ecluse.NegInfinity + 1), stateMoment},
		{"real", func(c *record.Column) { c.AppendFloat(math.Inf(1)) }, ""},
		{"real", func(c *record.Column) { c.AppendFloat(1e300) }, stateRange},
		{"bytea", func(c *record.Column) { c.AppendBytes([]byte{0}) }, ""},
	} {
		var want []Unfit
		if c.want != "" {
			want = []Unfit{{1, c.declared, c.want}}
		}
		if diff := cmp.Diff(want, copier.Unfit(fill(c.declared, c.put))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.declared, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	columns := everyColumn()
	fields := NewCopier(ecluse.TableName{Name: "every"}, columns).fields
	messages, lab := labRows()
	f.Add(slices.Concat(messages[0], messages[1], messages[len(messages)-1]), uint8(1), uint8(0))
	every := record.NewBatch(Schema(fields), 3)
	for i := range every.Columns {
		every.Columns[i].AppendNull()
		switch {
		case record.Fixed(every.Columns[i].Type().Kind):
			every.Columns[i].AppendInt(1)
		case fields[i].wire == wireUUID:
			every.Columns[i].AppendString("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
		default:
			every.Columns[i].AppendString("12.5")
		}
	}
	seed, err := io.ReadAll((&Copier{fields: fields}).Rows(every, 0, 2, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, uint8(40), uint8(0))
	for i := range fields { // one column each
		one := &record.Batch{Schema: Schema(fields[i : i+1]), Columns: every.Columns[i : i+1]}
		seed, err := io.ReadAll((&Copier{fields: fields[i : i+1]}).Rows(one, 0, 2, nil))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed, uint8(3), uint8(i))
	}
	f.Fuzz(func(t *testing.T, answer []byte, piece, column uint8) {
		i := int(column) % len(fields)
		for _, fs := range [][]Field{fields, lab, fields[i : i+1]} {
			whole, err := decodeAll(fs, answer, len(answer)+1)
			parts, err2 := decodeAll(fs, answer, int(piece))
			if (err == nil) != (err2 == nil) {
				t.Fatalf("whole: %v; in pieces of %d: %v", err, piece, err2)
			}
			if err != nil {
				continue
			}
			if d := differ(whole, parts); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1", "10000", "-99990000.0001", "0.00000001", "1e40", "1.5e-3", "+7", "00012.300", "NaN", "Infinity", "-Infinity", ".5", "5.", "1e131071", "1e-16383", "1e-20000"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 200 {
			return
		}
		packed, ok := appendNumberBinary(nil, []byte(s))
		if !ok {
			return
		}
		text, err := appendNumber(nil, packed[4:])
		if err != nil {
			t.Fatalf("%q is not read back: %v", s, err)
		}
		if strings.HasSuffix(s, "Infinity") || s == "NaN" {
			if string(text) != s {
				t.Fatalf("%q came back as %q", s, text)
			}
			return
		}
		if _, exp, ok := cutExponent([]byte(s)); !ok || exp > 1000 || exp < -1000 {
			return // too long for big.Rat
		}
		want, ok := new(big.Rat).SetString(s)
		got, ok2 := new(big.Rat).SetString(string(text))
		if !ok || !ok2 || want.Cmp(got) != 0 {
			t.Fatalf("%q came back as %q", s, text)
		}
	})
}

// FuzzDeclared: any declared type is read, and one without numbers stays as it is.
func FuzzDeclared(f *testing.F) {
	for _, s := range []string{"", "(", ")(", "numeric(10,3)", "timestamp(3) without time zone", `"odd(3)"`, "numeric(,)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if words, numbers := parseDeclared(s); len(numbers) == 0 && words != s || len(numbers) > 0 && len(words) >= len(s) {
			t.Errorf("%q is %q and %v", s, words, numbers)
		}
	})
}
