package mandate

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Date is a calendar day, written YYYY-MM-DD. In a contract a day begins and
// ends at midnight UTC.
type Date struct{ day time.Time }

// UnmarshalText reads YYYY-MM-DD.
func (d *Date) UnmarshalText(b []byte) error {
	t, err := time.Parse(time.DateOnly, string(b))
	if err != nil {
		return fmt.Errorf("want a date written YYYY-MM-DD")
	}
	*d = Date{t}
	return nil
}

// MarshalText writes YYYY-MM-DD.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d Date) String() string { return d.day.Format(time.DateOnly) }

// Begins is the day's first instant.
func (d Date) Begins() time.Time { return d.day }

// Ends is the first instant after the day.
func (d Date) Ends() time.Time { return d.day.AddDate(0, 0, 1) }

// Size is a number of bytes: "20GB", "512MiB", "1000000".
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"KB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"B", 1},
	{"", 1},
}

// UnmarshalText reads a whole number with or without a unit.
func (s *Size) UnmarshalText(b []byte) error {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(string(b), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n <= 0 || n > (1<<62)/u.bytes {
			break
		}
		*s = Size(n * u.bytes)
		return nil
	}
	return fmt.Errorf("want a size such as 20GB or 512MiB")
}

// Window is the part of the day in which a source may be read,
// "20:00-06:00 Europe/Paris".
type Window struct {
	from, to int // minutes since midnight
	place    *time.Location
}

// ParseWindow reads a window; the empty text is the whole day.
func ParseWindow(s string) (Window, error) {
	if s == "" {
		return Window{place: time.UTC}, nil
	}
	hours, zone, ok := strings.Cut(s, " ")
	from, to, dash := strings.Cut(hours, "-")
	if !ok || !dash {
		return Window{}, fmt.Errorf("want a window such as 20:00-06:00 Europe/Paris")
	}
	place, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return Window{}, fmt.Errorf("%q is not a time zone such as Europe/Paris", zone)
	}
	w := Window{place: place}
	for _, h := range []struct {
		text    string
		minutes *int
	}{{from, &w.from}, {to, &w.to}} {
		t, err := time.Parse("15:04", h.text)
		if err != nil || len(h.text) != 5 {
			return Window{}, fmt.Errorf("%q is not a time such as 20:00", h.text)
		}
		*h.minutes = t.Hour()*60 + t.Minute()
	}
	if w.from == w.to {
		return Window{}, fmt.Errorf("a window of no length: leave it out to read at any time")
	}
	return w, nil
}

// Open tells whether the window is open at t.
func (w Window) Open(t time.Time) bool {
	if w.place == nil || w.from == w.to {
		return true
	}
	t = t.In(w.place)
	m := t.Hour()*60 + t.Minute()
	if w.from < w.to {
		return w.from <= m && m < w.to
	}
	return m >= w.from || m < w.to
}

// Length is how long the window is; 0 of the whole day.
func (w Window) Length() time.Duration {
	return time.Duration((w.to-w.from+24*60)%(24*60)) * time.Minute
}

// Closes is when the window that is open at t ends; the zero time when it never
// does. It counts minutes by Open, so that it is right on the days when clocks
// change.
func (w Window) Closes(t time.Time) time.Time {
	if w.place == nil || w.from == w.to {
		return time.Time{}
	}
	for t = t.Truncate(time.Minute); w.Open(t); {
		t = t.Add(time.Minute)
	}
	return t
}

// opened is when the window that is open at t opened.
func (w Window) opened(t time.Time) time.Time {
	at := t.Truncate(time.Minute)
	for w.Open(at.Add(-time.Minute)) && t.Sub(at) < 24*time.Hour {
		at = at.Add(-time.Minute)
	}
	return at
}

// Opens is the next instant from t on at which the window is open, t itself when
// it is. On the two days of the year when clocks change it may be an hour late,
// never early.
func (w Window) Opens(t time.Time) time.Time {
	if w.Open(t) {
		return t
	}
	at := t.In(w.place)
	next := time.Date(at.Year(), at.Month(), at.Day(), w.from/60, w.from%60, 0, 0, w.place)
	if next.Before(t) {
		next = time.Date(at.Year(), at.Month(), at.Day()+1, w.from/60, w.from%60, 0, 0, w.place)
	}
	for !w.Open(next) {
		next = next.Add(time.Minute)
	}
	return next
}
