package reconcile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ecluse"
	"ecluse/internal/sluice/record"
)

var (
	typeInt     = ecluse.Type{Kind: ecluse.Int}
	typeText    = ecluse.Type{Kind: ecluse.Text}
	typeNumber  = ecluse.Type{Kind: ecluse.Number}
	typeDecimal = ecluse.Type{Kind: ecluse.Decimal, Precision: 18, Scale: 3}
	typeFloat   = ecluse.Type{Kind: ecluse.Float, Precision: 53}
	typeSingle  = ecluse.Type{Kind: ecluse.Float, Precision: 24}
)

// encoded is the canonical encoding of one value: nil, an int64, a float64 or a string.
func encoded(tb testing.TB, t ecluse.Type, v any, padded bool) []byte {
	tb.Helper()
	c := record.NewColumn(t, 1)
	switch v := v.(type) {
	case nil:
		c.AppendNull()
	case int:
		c.AppendInt(int64(v))
	case int64:
		c.AppendInt(v)
	case float64:
		c.AppendFloat(v)
	case string:
		c.AppendString(v)
	}
	f := formOf(c, padded)
	b, ok := f.append(nil, 0)
	if !ok {
		tb.Fatalf("%v of %s has no encoding", v, t)
	}
	return b
}

// The encoding is a format: these bytes stay.
func TestEncoding(t *testing.T) {
	kind := func(k ecluse.DataKind) ecluse.Type { return ecluse.Type{Kind: k} }
	long := strings.Repeat("x", 64)
	for _, c := range []struct {
		typ  ecluse.Type
		v    any
		want string
	}{
		{typeInt, nil, "00"},
		{kind(ecluse.Bool), 0, "01"},
		{kind(ecluse.Bool), 1, "02"},
		{typeInt, 0, "a000"},
		{typeInt, 7, "a007"},
		{typeInt, -7, "e007"},
		{typeInt, 1200, "a20c"},
		{typeInt, 300, "a203"},
		{typeInt, 1001, "a0e907"},
		{typeDecimal, 1200, "9f0c"}, // 1.200 = 12 × 10^-1
		{typeNumber, "1.2", "9f0c"}, //
		{typeNumber, "+1.20", "9f0c"},
		/* a sign and a zero mean nothing */ {typeNumber, "12e-1", "9f0c"},
		{typeNumber, "-0.000", "a000"},
		{typeNumber, "NaN", "03"},
		{typeNumber, "Infinity", "04"},
		{typeNumber, "-Infinity", "05"},
		{typeNumber, "1234567890123456789.5", "060114" + hex.EncodeToString([]byte("12345678901234567895"))},
		{typeNumber, "-1e40", "07500131"},
		{typeInt, int64(math.MinInt64), "070013" + hex.EncodeToString([]byte("9223372036854775808"))},
		{typeInt, int64(math.MaxInt64), "060013" + hex.EncodeToString([]byte("9223372036854775807"))},
		{typeFloat, 1.5, "08000000000000f83f"},
		{typeFloat, math.Copysign(0, -1), "080000000000000000"},
		{typeFloat, math.NaN(), "08000000000000f87f"},
		{typeText, "", "40"},
		{typeText, "GLU", "43474c55"},
		{typeText, long, "0940" + hex.EncodeToString([]byte(long))},
		{kind(ecluse.Bytes), "\x00\x01", "0a020001"},
		{kind(ecluse.Date), 18000, "0ba09902"},
		{kind(ecluse.Time), -1, "0cffffffffffffffff"},
		{kind(ecluse.Timestamp), 1, "0d0100000000000000"},
		{kind(ecluse.Instant), ecluse.Infinity, "0effffffffffffff7f"},
	} {
		if got := hex.EncodeToString(encoded(t, c.typ, c.v, false)); got != c.want {
			t.Errorf("%v %v: %s, want %s", c.typ, c.v, got, c.want)
		}
	}
}

func TestEncodingRules(t *testing.T) {
	same := func(what string, a, b []byte) {
		t.Helper()
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %x and %x", what, a, b)
		}
	}
	other := func(what string, a, b []byte) {
		t.Helper()
		if bytes.Equal(a, b) {
			t.Errorf("%s: both %x", what, a)
		}
	}
	same("char(n) and its padding", encoded(t, typeText, "AB   ", true), encoded(t, typeText, "AB", true))
	same("char(n) of spaces", encoded(t, typeText, "   ", true), encoded(t, typeText, "", true))
	other("varchar and its spaces", encoded(t, typeText, "AB ", false), encoded(t, typeText, "AB", false))
	other("spaces before", encoded(t, typeText, " AB", true), encoded(t, typeText, "AB", true))
	other("null and empty", encoded(t, typeText, nil, true), encoded(t, typeText, "", true))
	same("a real in double precision", encoded(t, typeSingle, 0.1, false), encoded(t, typeSingle, float64(float32(0.1)), false))
	other("a double is not a real", encoded(t, typeFloat, 0.1, false), encoded(t, typeFloat, float64(float32(0.1)), false))
	same("every NaN", encoded(t, typeFloat, math.Float64frombits(0xfff8000000000001), false), encoded(t, typeFloat, math.NaN(), false))
	other("text and number", encoded(t, typeText, "1", false), encoded(t, typeNumber, "1", false))
	other("float and number", encoded(t, typeFloat, 1.0, false), encoded(t, typeNumber, "1", false))
	other("accents", encoded(t, typeText, "e", false), encoded(t, typeText, "é", false))
}

// decodeNumber reads a canonical number back, to judge the encoder by.
func decodeNumber(b []byte) (*big.Rat, bool) {
	r := new(big.Rat)
	var negative bool
	var digits string
	var e int64
	switch {
	case b[0] >= tagNumber:
		negative, e = b[0]&signBit != 0, int64(b[0]&0x3f)-exponent0
		m, n := binary.Uvarint(b[1:])
		if n != len(b)-1 || m%10 == 0 && (m != 0 || b[0] != tagNumber|exponent0) {
			return nil, false
		}
		digits = new(big.Int).SetUint64(m).String()
	case b[0] == tagBig || b[0] == tagBig+1:
		negative = b[0] == tagBig+1
		var n int
		if e, n = binary.Varint(b[1:]); n <= 0 {
			return nil, false
		}
		size, k := binary.Uvarint(b[1+n:])
		if digits = string(b[1+n+k:]); uint64(len(digits)) != size || strings.HasSuffix(digits, "0") {
			return nil, false
		}
	default:
		return nil, false
	}
	if _, ok := r.SetString(digits); !ok {
		return nil, false
	}
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(max(e, -e)), nil))
	if e < 0 {
		scale.Inv(scale)
	}
	r.Mul(r, scale)
	if negative {
		r.Neg(r)
	}
	return r, true
}

// One value has one encoding, whichever kind and form it comes in, and the
// encoding is of that value.
func TestNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.Int64(), rapid.Int64Range(-5000, 5000), rapid.Int64Range(-1e18, 1e18)).Draw(t, "v")
		scale := rapid.IntRange(0, 18).Draw(t, "scale")
		want := new(big.Rat).SetFrac(big.NewInt(v), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
		c := record.NewColumn(ecluse.Type{Kind: ecluse.Decimal, Precision: 18, Scale: scale}, 1)
		c.AppendInt(v)
		f := formOf(c, false)
		got, _ := f.append(nil, 0)
		if r, ok := decodeNumber(got); !ok || r.Cmp(want) != 0 {
			t.Fatalf("%d × 10^-%d encodes to %x", v, scale, got)
		}
		text := want.FloatString(scale + rapid.IntRange(0, 3).Draw(t, "zeros"))
		if form := rapid.IntRange(0, 2).Draw(t, "form"); form == 1 {
			text = big.NewInt(v).String() + "e-" + big.NewInt(int64(scale)).String()
		} else if form == 2 && v >= 0 {
			text = "+00" + text
		}
		if other, ok := appendNumber(nil, []byte(text)); !ok || !bytes.Equal(got, other) {
			t.Fatalf("%s encodes to %x, not %x", text, other, got)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-1.50", "1e-7", "NaN", ".5", "5.", "1e999999", "00012.300e+2", "--1", "1.2.3", "", "e5", "123456789012345678901234567890.5"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, ok := appendNumber(nil, in)
		if !ok || got[0] >= tagNaN && got[0] <= tagNegInf {
			return
		}
		n, _ := parseNumber(in)
		if n.exponent > 5000 || n.exponent < -5000 {
			return
		}
		want, ok := new(big.Rat).SetString(string(in))
		if !ok {
			t.Fatalf("a number to us only, encoded %x", got)
		}
		if r, ok := decodeNumber(got); !ok || r.Cmp(want) != 0 {
			t.Fatalf("%s encodes to %x", in, got)
		}
	})
}

// A row has one reading: rows whose values differ have different encodings, even
// when the same bytes stand across two columns.
func TestRowsAreApart(t *testing.T) {
	types := []ecluse.Type{typeInt, typeText, {Kind: ecluse.Bytes}, typeNumber, typeFloat, {Kind: ecluse.Date}}
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.SliceOfN(rapid.SampledFrom(types), 1, 4).Draw(t, "types")
		row := func(label string) (enc []byte, values []any) {
			for _, typ := range columns {
				c := record.NewColumn(typ, 1)
				var v any
				switch {
				case rapid.IntRange(0, 4).Draw(t, label) == 0:
					c.AppendNull()
				case typ.Kind == ecluse.Number:
					n := rapid.SampledFrom([]string{"1", "2", "10", "0.1"}).Draw(t, label)
					c.AppendString(n)
					v = n
				case record.Fixed(typ.Kind) && typ.Kind != ecluse.Float:
					n := rapid.Int64Range(-3, 3).Draw(t, label)
					c.AppendInt(n)
					v = n
				case typ.Kind == ecluse.Float:
					n := rapid.SampledFrom([]float64{0, 1, 2.5}).Draw(t, label)
					c.AppendFloat(n)
					v = n
				default:
					s := rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'A', 0, 1, '@'}), 0, 3, -1).Draw(t, label)
					c.AppendString(s)
					v = s
				}
				f := formOf(c, false)
				enc, _ = f.append(enc, 0)
				values = append(values, v)
			}
			return enc, values
		}
		a, va := row("a")
		b, vb := row("b")
		equal := true
		for i := range va {
			equal = equal && va[i] == vb[i]
		}
		if bytes.Equal(a, b) != equal {
			t.Fatalf("%v and %v encode to %x and %x", va, vb, a, b)
		}
	})
}

func TestNotANumber(t *testing.T) {
	for _, s := range []string{"", "-", "+", ".", "1.2.3", "1,5", " 1", "1 ", "0x1", "1e", "e1", "1e9999999", "nan", "inf", "1_0", "١"} {
		if got, ok := appendNumber(nil, []byte(s)); ok {
			t.Errorf("%q encodes to %x", s, got)
		}
	}
}
