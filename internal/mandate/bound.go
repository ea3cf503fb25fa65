package mandate

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"ecluse"
)

var exactNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

// bound reads a value of a condition by the column's type and writes it in the
// one form that engines read: a date 2006-01-02, a time 15:04:05, a timestamp
// 2006-01-02T15:04:05, an instant 2006-01-02T15:04:05Z (each with as many digits
// of a second as are not zero, up to 6), a number in plain decimal notation.
func bound(t ecluse.Type, s string) (string, error) {
	switch t.Kind {
	case ecluse.Int:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return "", fmt.Errorf("want a whole number")
		}
		return strconv.FormatInt(n, 10), nil
	case ecluse.Decimal, ecluse.Number, ecluse.Float:
		if !exactNumber.MatchString(s) {
			return "", fmt.Errorf("want a number such as 12.50")
		}
		return s, nil
	case ecluse.Date:
		return inLayout(s, "2006-01-02", "want a date such as 2015-01-31", time.DateOnly)
	case ecluse.Time:
		return inLayout(s, "15:04:05.999999", "want a time such as 08:30:00", "15:04:05.999999", "15:04")
	case ecluse.Timestamp:
		return inLayout(s, "2006-01-02T15:04:05.999999", "want a date, or a date and time such as 2015-01-31T08:30:00",
			time.DateOnly, "2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999")
	case ecluse.Instant:
		return inLayout(s, "2006-01-02T15:04:05.999999Z", "the column holds instants: want a date and time with its offset, such as 2015-01-31T00:00:00+01:00",
			"2006-01-02T15:04:05.999999Z07:00")
	}
	return "", fmt.Errorf("a column of %s has no bounds: use in", t)
}

func inLayout(s, out, want string, layouts ...string) (string, error) {
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil && t.Nanosecond()%1000 == 0 {
			return t.UTC().Format(out), nil
		}
	}
	return "", fmt.Errorf("%s", want)
}

// oneOf reads a value compared exactly.
func oneOf(t ecluse.Type, s string) (string, error) {
	switch t.Kind {
	case ecluse.Text:
		return s, nil
	case ecluse.Bool:
		if s != "true" && s != "false" {
			return "", fmt.Errorf("want true or false")
		}
		return s, nil
	case ecluse.Bytes, ecluse.Float:
		return "", fmt.Errorf("values of a %s column are not compared", t)
	}
	return bound(t, s)
}
