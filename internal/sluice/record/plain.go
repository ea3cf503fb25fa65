package record

import (
	"math"
	"strconv"
	"time"

	"ecluse"
)

// AppendPlain writes the value of a row in the one form that keys of checks and
// conditions of a plan are written in (mandate.ReadCondition). Databases read it too.
func AppendPlain(out []byte, c *Column, row int) []byte {
	switch t := c.Type(); t.Kind {
	case ecluse.Bool:
		return strconv.AppendBool(out, c.Int(row) != 0)
	case ecluse.Int:
		return strconv.AppendInt(out, c.Int(row), 10)
	case ecluse.Decimal:
		return appendUnits(out, c.Int(row), t.Scale)
	case ecluse.Float:
		return appendFloat(out, c.Float(row), t.Precision)
	case ecluse.Date:
		return appendDate(out, c.Int(row))
	case ecluse.Time:
		return appendTime(out, c.Int(row))
	case ecluse.Timestamp:
		return appendMoment(out, c.Int(row), "")
	case ecluse.Instant:
		return appendMoment(out, c.Int(row), "Z")
	}
	return append(out, c.Bytes(row)...)
}

// appendUnits writes a whole number of units of a scale.
func appendUnits(out []byte, v int64, scale int) []byte {
	u := uint64(v)
	if v < 0 {
		out, u = append(out, '-'), -u
	}
	unit := uint64(math.Pow10(scale))
	out = strconv.AppendUint(out, u/unit, 10)
	if scale == 0 {
		return out
	}
	out = append(out, '.')
	end := len(out) + scale
	part := strconv.AppendUint(nil, u%unit, 10)
	for len(out)+len(part) < end {
		out = append(out, '0')
	}
	return append(out, part...)
}

func appendFloat(out []byte, v float64, precision int) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(out, "Infinity"...)
	case math.IsInf(v, -1):
		return append(out, "-Infinity"...)
	case precision == 24:
		return strconv.AppendFloat(out, v, 'g', -1, 32)
	}
	return strconv.AppendFloat(out, v, 'g', -1, 64)
}

func appendDate(out []byte, days int64) []byte {
	if out, ok := appendInfinity(out, days); ok {
		return out
	}
	return appendCalendar(out, time.Unix(days*86_400, 0).UTC(), "-01-02")
}

func appendMoment(out []byte, us int64, zone string) []byte {
	if out, ok := appendInfinity(out, us); ok {
		return out
	}
	return appendCalendar(out, time.UnixMicro(us).UTC(), "-01-02T15:04:05.999999"+zone)
}

func appendInfinity(out []byte, v int64) ([]byte, bool) {
	switch v {
	case ecluse.Infinity:
		return append(out, "infinity"...), true
	case ecluse.NegInfinity:
		return append(out, "-infinity"...), true
	}
	return out, false
}

// appendCalendar says years before the first as the server does: 0044-03-15 BC.
func appendCalendar(out []byte, t time.Time, layout string) []byte {
	year := t.Year()
	if year < 1 {
		year = 1 - year
	}
	for limit := 1000; year < limit && limit > 1; limit /= 10 {
		out = append(out, '0')
	}
	out = t.AppendFormat(strconv.AppendInt(out, int64(year), 10), layout)
	if t.Year() < 1 {
		out = append(out, " BC"...)
	}
	return out
}

// appendTime writes a time of day; 24:00:00, and what no clock shows, as hours.
func appendTime(out []byte, us int64) []byte {
	if us < 0 {
		out, us = append(out, '-'), -us
	}
	hours := us / 3_600_000_000
	if hours < 10 {
		out = append(out, '0')
	}
	out = strconv.AppendInt(out, hours, 10)
	return time.UnixMicro(us%3_600_000_000).UTC().AppendFormat(out, ":04:05.999999")
}
