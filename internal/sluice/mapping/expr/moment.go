package expr

import (
	"fmt"
	"time"
	_ "time/tzdata" // zones are there on every machine

	"ecluse"
)

// Dates are days since 1970-01-01, times and timestamps microseconds; plus and
// minus infinity pass through everything that does not need a calendar.

const (
	microsPerSecond = int64(1_000_000)
	microsPerDay    = 24 * 60 * 60 * microsPerSecond
)

func infinite(v int64) bool { return v == ecluse.Infinity || v == ecluse.NegInfinity }

func (l *lang) moments() {
	l.add("date", kDate, kinds(kText), func(k *callSite) (Operand, error) { return k.fixedMoment("YYYY-MM-DD", kDate) })
	l.add("time", kTime, kinds(kText), func(k *callSite) (Operand, error) { return k.fixedMoment("HH:MI:SS", kTime) })
	l.add("timestamp", kTimestamp, kinds(kText), func(k *callSite) (Operand, error) { return k.fixedMoment("YYYY-MM-DD HH:MI:SS", kTimestamp) })
	l.add("instant", kInstant, kinds(kText), func(k *callSite) (Operand, error) { return k.fixedMoment("YYYY-MM-DDTHH:MI:SSZ", kInstant) })
	for name, kind := range map[string]ecluse.DataKind{"parse_date": kDate, "parse_time": kTime, "parse_timestamp": kTimestamp} {
		l.add(name, kind, kinds(kText, kText), func(k *callSite) (Operand, error) { return k.parseMoment(kind) })
	}
	for _, kind := range kinds(kDate, kTime, kTimestamp) {
		l.add("format_date", kText, kinds(kind, kText), formatMoment)
	}
	l.add("date_of", kDate, kinds(kTimestamp), func(k *callSite) (Operand, error) {
		return k.moment("date of", kDate, func(v int64) (int64, bool) { return floorDiv(v, microsPerDay), true })
	})
	l.add("time_of", kTime, kinds(kTimestamp), func(k *callSite) (Operand, error) {
		a, err := k.arg(0)
		if err != nil {
			return a, err
		}
		return k.num1("time of", widest(kTime), true, a, func(v int64) (int64, bool) {
			return v - floorDiv(v, microsPerDay)*microsPerDay, !infinite(v)
		}), nil
	})
	l.add("timestamp", kTimestamp, kinds(kDate), func(k *callSite) (Operand, error) {
		return k.moment("midnight", kTimestamp, func(v int64) (int64, bool) { return mulInt(v, microsPerDay) })
	})
	l.add("timestamp", kTimestamp, kinds(kDate, kTime), dateAndTime)
	l.add("wall", kTimestamp, kinds(kInstant, kText), wall)
	l.add("instant", kInstant, kinds(kTimestamp, kText), instantOf)
	l.add("instant", kInstant, kinds(kTimestamp, kText, optionKind), instantOf)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// moment is a kernel that leaves infinities as they are.
func (k *callSite) moment(key string, kind ecluse.DataKind, f func(int64) (int64, bool)) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	return k.num1(key, widest(kind), false, a, func(v int64) (int64, bool) {
		if infinite(v) {
			return v, true
		}
		return f(v)
	}), nil
}

func dateAndTime(k *callSite) (Operand, error) {
	in, err := k.all()
	if err != nil {
		return Operand{}, err
	}
	return k.num2("date and time", widest(kTimestamp), in[0], in[1], func(d, t int64) (int64, bool) {
		if infinite(d) {
			return d, true
		}
		v, ok := mulInt(d, microsPerDay)
		if !ok || t < 0 || t > microsPerDay {
			return 0, false
		}
		return addInt(v, t)
	}), nil
}

// field is a piece of a date's form: a token such as YYYY, or one character.
type field struct {
	token byte // 'Y', 'M', 'D', 'h', 'm', 's', 'f'; 0: the character itself
	char  byte
	width int
}

// layout reads a form such as DD/MM/YYYY HH:MI:SS. Minutes are MI, as in SQL.
func layout(form string) ([]field, error) {
	var out []field
	seen := map[byte]bool{}
next:
	for i := 0; i < len(form); {
		for _, t := range []struct {
			name  string
			token byte
			width int
		}{{"YYYY", 'Y', 4}, {"MM", 'M', 2}, {"DD", 'D', 2}, {"HH", 'h', 2}, {"MI", 'm', 2}, {"SS", 's', 2}, {"US", 'f', 6}} {
			if len(form)-i >= len(t.name) && form[i:i+len(t.name)] == t.name {
				if seen[t.token] {
					return nil, fmt.Errorf("%s given twice", t.name)
				}
				seen[t.token] = true
				out = append(out, field{token: t.token, width: t.width})
				i += len(t.name)
				continue next
			}
		}
		c := form[i]
		if c >= 0x80 || c >= 'A' && c <= 'Z' && c != 'T' && c != 'Z' || c >= 'a' && c <= 'z' && c != 'h' {
			return nil, fmt.Errorf("want YYYY MM DD HH MI SS US and signs between them (h and T stand for themselves)")
		}
		out = append(out, field{char: c, width: 1})
		i++
	}
	return out, nil
}

func needs(form []field, kind ecluse.DataKind) error {
	has := map[byte]bool{}
	for _, f := range form {
		has[f.token] = true
	}
	date, clock := has['Y'] && has['M'] && has['D'], has['h'] && has['m']
	switch {
	case kind != kTime && !date:
		return fmt.Errorf("a date needs YYYY, MM and DD")
	case kind != kDate && !clock:
		return fmt.Errorf("a time needs HH and MI")
	case kind == kDate && (has['h'] || has['m'] || has['s'] || has['f']):
		return fmt.Errorf("a date has no time: use parse_timestamp")
	case kind == kTime && (has['Y'] || has['M'] || has['D']):
		return fmt.Errorf("a time has no date: use parse_timestamp")
	}
	return nil
}

// parts are the numbers of a date and time of day.
type parts struct{ year, month, day, hour, minute, second, micro int }

func (p *parts) at(token byte) *int {
	switch token {
	case 'Y':
		return &p.year
	case 'M':
		return &p.month
	case 'D':
		return &p.day
	case 'h':
		return &p.hour
	case 'm':
		return &p.minute
	case 's':
		return &p.second
	}
	return &p.micro
}

// parse reads s by a form: every digit, nothing before, between or after.
func parse(form []field, s []byte) (p parts, ok bool) {
	p.year, p.month, p.day = 1970, 1, 1
	for _, f := range form {
		if len(s) < f.width {
			return p, false
		}
		if f.token == 0 {
			if s[0] != f.char {
				return p, false
			}
			s = s[1:]
			continue
		}
		n := 0
		for _, c := range s[:f.width] {
			if c < '0' || c > '9' {
				return p, false
			}
			n = n*10 + int(c-'0')
		}
		*p.at(f.token) = n
		s = s[f.width:]
	}
	return p, len(s) == 0 && p.valid()
}

func (p *parts) valid() bool {
	return p.year >= 1 && p.month >= 1 && p.month <= 12 && p.day >= 1 && p.day <= daysIn(p.year, p.month) &&
		p.hour <= 23 && p.minute <= 59 && p.second <= 59
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// value is the parts as a value of a kind.
func (p *parts) value(kind ecluse.DataKind) int64 {
	clock := (int64(p.hour)*3600+int64(p.minute)*60+int64(p.second))*microsPerSecond + int64(p.micro)
	if kind == kTime {
		return clock
	}
	days := time.Date(p.year, time.Month(p.month), p.day, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
	if kind == kDate {
		return days
	}
	return days*microsPerDay + clock
}

// split takes a value of a kind apart; years from 1 to 9999 only.
func (p *parts) split(v int64, kind ecluse.DataKind) bool {
	if kind != kTime && infinite(v) {
		return false
	}
	var clock int64
	switch kind {
	case kDate:
	case kTime:
		if v < 0 || v >= microsPerDay {
			return false
		}
		v, clock = 0, v
	default:
		day := floorDiv(v, microsPerDay)
		v, clock = day, v-day*microsPerDay
	}
	if v < -719162 || v > 2932896 { // 0001-01-01 to 9999-12-31
		return false
	}
	year, month, day := time.Unix(v*24*60*60, 0).UTC().Date()
	p.year, p.month, p.day = year, int(month), day
	p.micro = int(clock % microsPerSecond)
	s := int(clock / microsPerSecond)
	p.hour, p.minute, p.second = s/3600, s/60%60, s%60
	return true
}

// fixedMoment is date('2020-01-31') and the like, read when the mapping is checked.
func (k *callSite) fixedMoment(form string, kind ecluse.DataKind) (Operand, error) {
	s, err := k.fixedText(0)
	if err != nil {
		return Operand{}, err
	}
	f, err := layout(form)
	if err != nil {
		return Operand{}, err
	}
	p, ok := parse(f, []byte(s))
	if !ok {
		return Operand{}, fault(k.args[0], "want %s", form)
	}
	return k.constInt(kind, p.value(kind)), nil
}

func (k *callSite) layout(i int, kind ecluse.DataKind, whole bool) ([]field, string, error) {
	form, err := k.fixedText(i)
	if err != nil {
		return nil, "", err
	}
	f, err := layout(form)
	if err == nil && whole {
		err = needs(f, kind)
	}
	if err != nil {
		return nil, "", fault(k.args[i], "%v", err)
	}
	return f, form, nil
}

func (k *callSite) parseMoment(kind ecluse.DataKind) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	f, form, err := k.layout(1, kind, true)
	if err != nil {
		return Operand{}, err
	}
	return k.textToNum(fmt.Sprintf("parse %s %s", kind, form), widest(kind), true, a, func(s []byte) (int64, bool) {
		p, ok := parse(f, s)
		return p.value(kind), ok
	}), nil
}

func formatMoment(k *callSite) (Operand, error) {
	a, err := k.arg(0)
	if err != nil {
		return a, err
	}
	kind := a.Type.Kind
	f, form, err := k.layout(1, kind, false)
	if err != nil {
		return Operand{}, err
	}
	for _, x := range f {
		if kind == kDate && x.token >= 'a' || kind == kTime && x.token > 0 && x.token < 'a' {
			return Operand{}, fault(k.args[1], "a %s has no such part", kind)
		}
	}
	return k.numToText(fmt.Sprintf("format %s %s", kind, form), widest(kText), true, a, func(dst []byte, v int64) ([]byte, bool) {
		var p parts
		if !p.split(v, kind) {
			return dst, false
		}
		for _, x := range f {
			if x.token == 0 {
				dst = append(dst, x.char)
			} else {
				dst = appendDigits(dst, *p.at(x.token), x.width)
			}
		}
		return dst, true
	}), nil
}

func appendDigits(dst []byte, n, width int) []byte {
	from := len(dst)
	for range width {
		dst = append(dst, '0')
	}
	for i := from + width - 1; n > 0 && i >= from; i-- {
		dst[i] = byte('0' + n%10)
		n /= 10
	}
	return dst
}

// zone is a fixed time zone: argument i.
func (k *callSite) zone(i int) (*time.Location, error) {
	name, err := k.fixedText(i)
	if err != nil {
		return nil, err
	}
	loc, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fault(k.args[i], "want a time zone such as UTC or Europe/Paris")
	}
	return loc, nil
}

// wall is what a clock on the wall of a zone shows at an instant.
func wall(k *callSite) (Operand, error) {
	loc, err := k.zone(1)
	if err != nil {
		return Operand{}, err
	}
	return k.moment("wall "+loc.String(), kTimestamp, func(v int64) (int64, bool) {
		return addInt(v, offset(loc, floorDiv(v, microsPerSecond))*microsPerSecond)
	})
}

// offset is the seconds that a zone is ahead of UTC.
func offset(loc *time.Location, unix int64) int64 {
	_, o := time.Unix(unix, 0).In(loc).Zone()
	return int64(o)
}

// instantOf is the instant at which a zone's clocks show a timestamp. The hour
// that clocks skip in spring has none; the hour they show twice in autumn has
// one only with the option earlier or later.
func instantOf(k *callSite) (Operand, error) {
	loc, err := k.zone(1)
	if err != nil {
		return Operand{}, err
	}
	which := ""
	if len(k.args) == 3 {
		if which, err = k.option(2, "earlier", "later"); err != nil {
			return Operand{}, err
		}
	}
	o, err := k.moment(fmt.Sprintf("instant %s %s", loc, which), kInstant, func(v int64) (int64, bool) {
		s := floorDiv(v, microsPerSecond)
		before, after := offset(loc, s-24*60*60), offset(loc, s+24*60*60)
		early, late := offset(loc, s-before) == before, offset(loc, s-after) == after
		switch {
		case early && late && before != after && which == "":
			return 0, false
		case early && (which != "later" || !late):
			return addInt(v, -before*microsPerSecond)
		case late:
			return addInt(v, -after*microsPerSecond)
		}
		return 0, false
	})
	o.MayMiss = o.MayMiss || loc != time.UTC
	return o, err
}
