package mysql

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// valueError says what is wrong with a value without saying the value.
type valueError struct{ why, next string }

func (e *valueError) Error() string { return e.why }

var (
	errPartialDate = &valueError{"the date is zero, has no month or no day, or is a day that does not exist: it cannot travel as a date", "instruct the column `as: text`; the mapping then says what becomes of such dates"}
	errTime        = &valueError{"the server sent no time of the kind that the column declares", "inspect the source again"}
	errNumber      = &valueError{"the server sent no number of the size that the column declares", "inspect the source again"}
	errNotUTF8     = &valueError{"the stored text holds bytes that its character set does not have", "have the column's character set put right on a copy, or instruct the dataset without it"}
	errKind        = &valueError{"the server sent another kind of value than the column declares", "inspect the source again"}
	errNullKey     = &valueError{"the key is null or of another kind than the column declares", "inspect the source again"}
)

// decodeFunc appends one value, not null, as the driver gives it.
type decodeFunc func(c *record.Column, v driver.Value) error

// columnDecoder decodes one column of a dataset; at is its place in the select
// list, −1 for the ordinal of a distinct value.
type columnDecoder struct {
	name   string
	at     int
	decode decodeFunc
}

func decoderFor(c *mandate.ReadColumn, d declared) (columnDecoder, error) {
	want := d.Type()
	if c.AsText {
		want = ecluse.Type{Kind: ecluse.Text}
	}
	if c.Type != want {
		return columnDecoder{}, &ecluse.Error{
			Kind: ecluse.Invalid, What: "compose the statement of a dataset", Where: "column " + c.Name,
			Why: fmt.Sprintf("the plan has it travel as %s, %s travels as %s", c.Type, c.Declared, want),
		}
	}
	return columnDecoder{name: c.Name, decode: decodeOf(d, c.AsText)}, nil
}

func decodeOf(d declared, asText bool) decodeFunc {
	switch kind := d.Type().Kind; {
	case asText && d.binary():
		return decodeHex
	case asText || kind == ecluse.Text:
		return decodeText
	case kind == ecluse.Bytes:
		return decodeBytes
	case d.base == "bit":
		return decodeBits
	case kind == ecluse.Int:
		return decodeInt
	case kind == ecluse.Decimal:
		return decimalDecoder(d.scale)
	case kind == ecluse.Number:
		return decodeNumber
	case kind == ecluse.Float && d.base == "float":
		return decodeFloat32
	case kind == ecluse.Float:
		return decodeFloat64
	case kind == ecluse.Date:
		return timeDecoder(parseDate, errPartialDate)
	case kind == ecluse.Time:
		return timeDecoder(parseTime, errTime)
	}
	return timeDecoder(parseDatetime, errPartialDate)
}

// Append adds a row to a batch of r.Schema; ordinal is its place in the dataset,
// from 1. It returns roughly how many bytes the row takes. A row that cannot be
// decoded leaves the batch as it was.
func (r *Reading) Append(b *record.Batch, row Row, ordinal int64) (size int, err error) {
	before := b.Rows()
	for _, check := range r.intact {
		if v, ok := row[check.at].(int64); !ok || v != 1 {
			return 0, r.valueError(check.column, ordinal, errNotUTF8)
		}
	}
	for i := range r.columns {
		d, c := &r.columns[i], b.Columns[i]
		size += 9
		if d.at < 0 {
			c.AppendInt(ordinal)
			continue
		}
		v := row[d.at]
		if v == nil {
			c.AppendNull()
			continue
		}
		if raw, ok := v.([]byte); ok {
			size += len(raw)
		}
		if err := d.decode(c, v); err != nil {
			b.Truncate(before)
			return 0, r.valueError(d.name, ordinal, err)
		}
	}
	return size, nil
}

func (r *Reading) valueError(column string, ordinal int64, err error) error {
	e := &ecluse.Error{
		Kind: ecluse.Invalid, What: "read dataset " + string(r.Dataset.Dataset),
		Where: fmt.Sprintf("row %d, column %s", ordinal, column), Why: err.Error(),
	}
	var v *valueError
	if errors.As(err, &v) {
		e.Next = v.next
	}
	return e
}

func decodeText(c *record.Column, v driver.Value) error {
	b, ok := v.([]byte)
	if !ok {
		return errKind
	}
	if !utf8.Valid(b) {
		return errNotUTF8
	}
	c.AppendBytes(b)
	return nil
}

func decodeBytes(c *record.Column, v driver.Value) error {
	b, ok := v.([]byte)
	if !ok {
		return errKind
	}
	c.AppendBytes(b)
	return nil
}

func decodeHex(c *record.Column, v driver.Value) error {
	b, ok := v.([]byte)
	if !ok {
		return errKind
	}
	c.CloseValue(hex.AppendEncode(c.Grow(), b))
	return nil
}

// decodeBits reads bit(n): its bytes, highest first.
func decodeBits(c *record.Column, v driver.Value) error {
	b, ok := v.([]byte)
	if !ok || len(b) > 8 {
		return errKind
	}
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	if c.Type().Kind == ecluse.Number {
		c.CloseValue(strconv.AppendUint(c.Grow(), n, 10))
		return nil
	}
	if n > 1<<63-1 {
		return errNumber
	}
	c.AppendInt(int64(n))
	return nil
}

func decodeInt(c *record.Column, v driver.Value) error {
	n, ok := v.(int64)
	if !ok {
		return errKind
	}
	c.AppendInt(n)
	return nil
}

func decodeNumber(c *record.Column, v driver.Value) error {
	switch v := v.(type) {
	case uint64:
		c.CloseValue(strconv.AppendUint(c.Grow(), v, 10))
	case int64:
		c.CloseValue(strconv.AppendInt(c.Grow(), v, 10))
	case []byte:
		out, ok := appendNumber(c.Grow(), v)
		if !ok {
			return errNumber
		}
		c.CloseValue(out)
	default:
		return errKind
	}
	return nil
}

func decimalDecoder(scale int) decodeFunc {
	return func(c *record.Column, v driver.Value) error {
		b, ok := v.([]byte)
		if !ok {
			return errKind
		}
		n, ok := parseDecimal(b, scale)
		if !ok {
			return errNumber
		}
		c.AppendInt(n)
		return nil
	}
}

func decodeFloat64(c *record.Column, v driver.Value) error {
	f, ok := v.(float64)
	if !ok {
		return errKind
	}
	c.AppendFloat(f)
	return nil
}

// decodeFloat32 reads a float, which the statement widens: every one is a double.
func decodeFloat32(c *record.Column, v driver.Value) error {
	f, ok := v.(float64)
	if !ok {
		return errKind
	}
	if float64(float32(f)) != f {
		return errNumber
	}
	c.AppendFloat(f)
	return nil
}

func timeDecoder(parse func([]byte) (int64, bool), wrong error) decodeFunc {
	return func(c *record.Column, v driver.Value) error {
		b, ok := v.([]byte)
		if !ok {
			return errKind
		}
		n, ok := parse(b)
		if !ok {
			return wrong
		}
		c.AppendInt(n)
		return nil
	}
}
