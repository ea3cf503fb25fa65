package record

import (
	"encoding/hex"
	"strconv"
	"time"

	"ecluse"
)

// Show is value i for a person to read, on the screen of whoever the value
// belongs to: nothing else may call it. Numbers are exact, bytes hexadecimal, dates
// ISO 8601; null is empty, and told apart by Null.
func (c *Column) Show(i int) string {
	if c.Null(i) {
		return ""
	}
	switch t := c.typ; t.Kind {
	case ecluse.Text, ecluse.Number:
		return string(c.Bytes(i))
	case ecluse.Bytes:
		return hex.EncodeToString(c.Bytes(i))
	case ecluse.Bool:
		return strconv.FormatBool(c.Int(i) != 0)
	case ecluse.Decimal:
		return showDecimal(c.Int(i), t.Scale)
	case ecluse.Float:
		bits := 64
		if t.Precision == 24 {
			bits = 32
		}
		return strconv.FormatFloat(c.Float(i), 'g', -1, bits)
	case ecluse.Date, ecluse.Timestamp, ecluse.Instant:
		return showMoment(t.Kind, c.Int(i))
	case ecluse.Time:
		return showTime(c.Int(i))
	}
	return strconv.FormatInt(c.Int(i), 10)
}

func showDecimal(v int64, scale int) string {
	sign, digits := "", strconv.FormatInt(v, 10)
	if v < 0 {
		sign, digits = "-", digits[1:]
	}
	if scale == 0 {
		return sign + digits
	}
	for len(digits) <= scale {
		digits = "0" + digits
	}
	return sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]
}

func showMoment(k ecluse.DataKind, v int64) string {
	switch {
	case v == ecluse.Infinity:
		return "infinity"
	case v == ecluse.NegInfinity:
		return "-infinity"
	case k == ecluse.Date:
		return time.Unix(v*86_400, 0).UTC().Format("2006-01-02")
	case k == ecluse.Instant:
		return time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.999999Z")
	}
	return time.UnixMicro(v).UTC().Format("2006-01-02T15:04:05.999999")
}

// showTime is a time of day, or as many hours as there are.
func showTime(us int64) string {
	sign, u := "", uint64(us)
	if us < 0 {
		sign, u = "-", -u
	}
	const hour = 3_600_000_000
	hours := strconv.FormatUint(u/hour, 10)
	if len(hours) < 2 {
		hours = "0" + hours
	}
	return sign + hours + time.UnixMicro(int64(u%hour)).UTC().Format(":04:05.999999")
}
