package expr

import (
	"errors"
	"fmt"
	"math"

	"ecluse"
)

// Convert brings an operand to a column's type, where that loses nothing by its
// nature: whole numbers, decimals and numbers among themselves. A value that the
// type cannot hold is a Misfit. What else a value needs, the mapping says.
func (c *Compiler) Convert(o Operand, t ecluse.Type) (Operand, error) {
	if o.Null {
		return c.null(t), nil
	}
	from, to := o.Type.Kind, t.Kind
	sf, st := o.Type.Scale, t.Scale
	if to != kDecimal {
		st = 0
	}
	switch {
	case from == kDecimal && to == kDecimal && sf == st:
		return o, nil
	case (from == kInt || from == kDecimal) && (to == kInt || to == kDecimal) && (from != kInt || to != kInt):
		return c.numOr(Misfit, fmt.Sprintf("fit %d to %d", sf, st), t, false, o, func(v int64) (int64, bool) { return rescale(v, sf, st, "exact") }), nil
	case (from == kInt || from == kDecimal) && to == kNumber:
		return c.numToText(fmt.Sprintf("number of %d", sf), t, false, o, func(dst []byte, v int64) ([]byte, bool) { return appendDecimal(dst, v, sf), true }), nil
	case from == kNumber && (to == kInt || to == kDecimal):
		return c.textOr(Misfit, fmt.Sprintf("fit number to %d", st), t, false, o, func(s []byte) (int64, bool) {
			d, scale, ok := parseExact(s)
			if !ok {
				return 0, false
			}
			return rescale(d, scale, st, "exact")
		}), nil
	case from == kInt && to == kFloat:
		return c.numOr(Misfit, "fit float", t, false, o, func(v int64) (int64, bool) {
			return int64(math.Float64bits(float64(v))), v >= -1<<53 && v <= 1<<53
		}), nil
	case from == to && from != Row:
		return o, nil
	}
	return o, errors.New(mismatch(from, to))
}

// mismatch says what to write instead.
func mismatch(from, to ecluse.DataKind) string {
	why := fmt.Sprintf("the column is %s, the expression gives %s", to, from)
	hints := map[[2]ecluse.DataKind]string{
		{kDate, kTimestamp}: "timestamp(x)", {kTimestamp, kDate}: "date_of(x)", {kInstant, kTimestamp}: "wall(x, 'UTC')",
		{kTimestamp, kInstant}: "instant(x, 'UTC')", {kDate, kInstant}: "instant(timestamp(x), 'UTC')", {kInstant, kDate}: "date_of(wall(x, 'UTC'))",
		{kText, kInt}: "to_int(x)", {kText, kDecimal}: "to_decimal(x, 2)", {kText, kNumber}: "to_number(x)", {kText, kFloat}: "to_float(x)",
		{kText, kDate}: "parse_date(x, 'YYYY-MM-DD')", {kText, kTime}: "parse_time(x, 'HH:MI')", {kText, kTimestamp}: "parse_timestamp(x, 'YYYY-MM-DD HH:MI:SS')",
		{kFloat, kDecimal}: "to_decimal(x, 2, half_up)", {kFloat, kInt}: "to_int(to_decimal(x, 0, half_up))", {kFloat, kNumber}: "to_decimal(x, 2, half_up)",
		{kDecimal, kFloat}: "to_float(to_text(x))", {kNumber, kFloat}: "to_float(x)", {kBool, kInt}: "x ? 1 : 0", {kInt, kBool}: "x != 0",
		{kBool, kText}: "x ? 'Y' : 'N'", {kText, kBool}: "x == 'Y'", {kDate, kText}: "format_date(x, 'DD/MM/YYYY')",
		{kTimestamp, kText}: "format_date(x, 'YYYY-MM-DD HH:MI:SS')", {kInstant, kText}: "format_date(wall(x, 'UTC'), 'YYYY-MM-DD HH:MI:SS')",
		{kInt, kText}: "to_text(x)", {kDecimal, kText}: "to_text(x)", {kNumber, kText}: "to_text(x)", {kFloat, kText}: "to_text(x)",
		{Row, kInt}: "a column of the row: x.name",
	}
	if h, ok := hints[[2]ecluse.DataKind{from, to}]; ok {
		return why + ": write " + h
	}
	return why
}
