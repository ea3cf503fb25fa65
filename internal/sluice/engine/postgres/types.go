package postgres

import (
	"strconv"
	"strings"

	"ecluse"
)

// wire is how a value stands in COPY's binary form.
type wire uint8

const (
	wireOther wire = iota // no form of its own here: it travels as the server's text
	wireBool
	wireInt2
	wireInt4
	wireInt8
	wireNumeric
	wireFloat4
	wireFloat8
	wireText // its bytes
	wirePadded
	wireUUID
	wireJSONB // a version, then text
	wireBytes
	wireDate
	wireTime
	wireTimestamp
)

// native is a type of the server's own: how it travels and stands in COPY.
type native struct {
	kind ecluse.DataKind
	wire wire
}

// nativeTypes knows types by the words of format_type, without their numbers.
// What is not here, arrays, domains and enums included, travels as its text.
var nativeTypes = map[string]native{
	"boolean":                     {ecluse.Bool, wireBool},
	"smallint":                    {ecluse.Int, wireInt2},
	"integer":                     {ecluse.Int, wireInt4},
	"bigint":                      {ecluse.Int, wireInt8},
	"numeric":                     {ecluse.Number, wireNumeric},
	"real":                        {ecluse.Float, wireFloat4},
	"double precision":            {ecluse.Float, wireFloat8},
	"text":                        {ecluse.Text, wireText},
	"character varying":           {ecluse.Text, wireText},
	"character":                   {ecluse.Text, wirePadded},
	"bpchar":                      {ecluse.Text, wirePadded},
	"name":                        {ecluse.Text, wireText},
	"uuid":                        {ecluse.Text, wireUUID},
	"bytea":                       {ecluse.Bytes, wireBytes},
	"date":                        {ecluse.Date, wireDate},
	"time without time zone":      {ecluse.Time, wireTime},
	"timestamp without time zone": {ecluse.Timestamp, wireTimestamp},
	"timestamp with time zone":    {ecluse.Instant, wireTimestamp},
}

// writtenTypes are more types whose binary form is known when they are written.
var writtenTypes = map[string]native{
	"json":  {ecluse.Text, wireText},
	"xml":   {ecluse.Text, wireText},
	"jsonb": {ecluse.Text, wireJSONB},
}

// parseDeclared takes the numbers out of a declared type: "timestamp(3) without
// time zone" is "timestamp without time zone" and 3.
func parseDeclared(declared string) (words string, numbers []int) {
	open := strings.IndexByte(declared, '(')
	if open < 0 || strings.HasPrefix(declared, `"`) {
		return declared, nil
	}
	inside, after, ok := strings.Cut(declared[open+1:], ")")
	if !ok {
		return declared, nil
	}
	for part := range strings.SplitSeq(inside, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			return declared, nil
		}
		numbers = append(numbers, n)
	}
	return declared[:open] + after, numbers
}

// maxDecimal is the most digits that a Decimal holds.
const maxDecimal = 18

// describe fills in how a column travels from its base type, as format_type
// writes it.
func describe(c *ecluse.Column, base string) {
	words, numbers := parseDeclared(base)
	n, ok := nativeTypes[words]
	if !ok {
		c.Type = ecluse.Type{Kind: ecluse.Text}
		return
	}
	first := 0
	if len(numbers) > 0 {
		first = numbers[0]
	}
	c.Type = ecluse.Type{Kind: n.kind}
	switch n.wire {
	case wireNumeric:
		scale := 0
		if len(numbers) > 1 {
			scale = numbers[1]
		}
		if first > 0 && first <= maxDecimal && scale >= 0 && scale <= first {
			c.Type = ecluse.Type{Kind: ecluse.Decimal, Precision: first, Scale: scale}
		}
	case wireFloat4:
		c.Type.Precision = 24
	case wireFloat8:
		c.Type.Precision = 53
	case wireText:
		c.MaxLength = first
	case wirePadded:
		c.MaxLength, c.Padded = first, true
	case wireTime, wireTimestamp:
		c.FracDigits = 6
		if len(numbers) > 0 {
			c.FracDigits = first
		}
	}
}

// readAs is how a column of a declared type is asked for and read: through its
// own binary form, or, when cast, as its text.
func readAs(t ecluse.Type, declared string) (w wire, cast bool) {
	words, _ := parseDeclared(declared)
	n, known := nativeTypes[words]
	if known && (n.kind == t.Kind || n.kind == ecluse.Number && t.Kind == ecluse.Decimal) {
		return n.wire, false
	}
	switch t.Kind { // domains: their base's form
	case ecluse.Bool:
		return wireBool, false
	case ecluse.Int:
		return wireInt8, false
	case ecluse.Decimal, ecluse.Number:
		return wireNumeric, false
	case ecluse.Float:
		return wireFloat8, false
	case ecluse.Bytes:
		return wireBytes, false
	case ecluse.Date:
		return wireDate, false
	case ecluse.Time:
		return wireTime, false
	case ecluse.Timestamp, ecluse.Instant:
		return wireTimestamp, false
	}
	return wireText, true
}

// writeAs is how a column of a declared type is written in COPY's binary form;
// wireOther when it is not known to have one, and its table is copied as text.
func writeAs(t ecluse.Type, declared string) wire {
	words, _ := parseDeclared(declared)
	n, ok := nativeTypes[words]
	if !ok {
		n, ok = writtenTypes[words]
	}
	if ok && (n.kind == t.Kind || n.kind == ecluse.Number && t.Kind == ecluse.Decimal) {
		return n.wire
	}
	return wireOther
}
