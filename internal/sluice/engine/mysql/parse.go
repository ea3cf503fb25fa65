package mysql

import "time"

// digits reads a run of exactly n digits.
func digits(b []byte) (int64, bool) {
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return n, len(b) > 0 && len(b) < 19
}

// parseDecimal reads an exact number as its value without the point, scale
// digits of which stand after it. More digits after the point, or more than 18
// in all, are not a number of the column.
func parseDecimal(b []byte, scale int) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	const most = 1_000_000_000_000_000_000
	var n int64
	seen, point, after := 0, false, 0
	for _, c := range b {
		switch {
		case c == '.' && !point && seen > 0:
			point = true
			continue
		case c < '0' || c > '9':
			return 0, false
		case n >= most/10:
			return 0, false
		}
		n = 10*n + int64(c-'0')
		seen++
		if point {
			after++
		}
	}
	if seen == 0 || after > scale || point && after == 0 {
		return 0, false
	}
	for ; after < scale; after++ {
		if n >= most/10 {
			return 0, false
		}
		n *= 10
	}
	if negative {
		n = -n
	}
	return n, true
}

// appendNumber checks an exact number and appends its text, without the zeros
// that a zerofill column puts before it.
func appendNumber(out, b []byte) ([]byte, bool) {
	if len(b) > 0 && b[0] == '-' {
		out, b = append(out, '-'), b[1:]
	}
	for len(b) > 1 && b[0] == '0' && b[1] != '.' {
		b = b[1:]
	}
	point := -1
	for i, c := range b {
		switch {
		case c == '.' && point < 0 && i > 0:
			point = i
		case c < '0' || c > '9':
			return out, false
		}
	}
	return append(out, b...), len(b) > 0 && point != len(b)-1
}

// parseDate reads YYYY-MM-DD as days since 1970-01-01. A zero or partial date,
// or one that is not in the calendar, is no date.
func parseDate(b []byte) (int64, bool) {
	if len(b) != 10 || b[4] != '-' || b[7] != '-' {
		return 0, false
	}
	y, ok1 := digits(b[:4])
	m, ok2 := digits(b[5:7])
	d, ok3 := digits(b[8:])
	if !ok1 || !ok2 || !ok3 || m < 1 || m > 12 || d < 1 || d > 31 {
		return 0, false
	}
	t := time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC)
	return t.Unix() / 86400, t.Day() == int(d)
}

// parseDatetime reads YYYY-MM-DD HH:MM:SS[.ffffff] as microseconds since
// 1970-01-01 00:00 of the same clock.
func parseDatetime(b []byte) (int64, bool) {
	if len(b) < 19 || b[10] != ' ' {
		return 0, false
	}
	days, ok1 := parseDate(b[:10])
	us, ok2 := clock(b[11:], 23)
	return days*86400_000_000 + us, ok1 && ok2 && b[13] == ':'
}

// parseTime reads [-]HHH:MM:SS[.ffffff] as signed microseconds.
func parseTime(b []byte) (int64, bool) {
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		b = b[1:]
	}
	us, ok := clock(b, 838)
	if negative {
		us = -us
	}
	return us, ok
}

// clock reads HH:MM:SS[.ffffff], hours of two or three digits up to most.
func clock(b []byte, most int64) (int64, bool) {
	colon := 2
	if len(b) > 3 && b[3] == ':' {
		colon = 3
	}
	if len(b) < colon+6 || b[colon] != ':' || b[colon+3] != ':' {
		return 0, false
	}
	h, ok1 := digits(b[:colon])
	m, ok2 := digits(b[colon+1 : colon+3])
	s, ok3 := digits(b[colon+4 : colon+6])
	if !ok1 || !ok2 || !ok3 || h > most || m > 59 || s > 59 {
		return 0, false
	}
	us := ((h*60+m)*60 + s) * 1_000_000
	frac := b[colon+6:]
	if len(frac) == 0 {
		return us, true
	}
	f, ok := digits(frac[1:])
	if frac[0] != '.' || len(frac) > 7 || !ok {
		return 0, false
	}
	for i := len(frac); i < 7; i++ {
		f *= 10
	}
	return us + f, true
}
