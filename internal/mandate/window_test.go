package mandate

import (
	"testing"
	"time"
)

// FuzzWindow: a window that is read opens, at the time it says or an hour late
// where clocks change, and closes again.
func FuzzWindow(f *testing.F) {
	for _, s := range []string{"", "20:00-06:00 Europe/Paris", "00:00-23:59 UTC", "02:30-02:31 Europe/Paris", "6:00-20:00 UTC", "06:00-06:00 UTC", "06:00-20:00 Local", "20:00-06:00", "20:00-06:00 ../etc", "23:59-00:00 Pacific/Apia"} {
		f.Add(s, int64(1774745000))
	}
	f.Fuzz(func(t *testing.T, s string, unix int64) {
		w, err := ParseWindow(s)
		if err != nil {
			return
		}
		at := time.Unix(unix%(1<<33), 0)
		next := w.Opens(at)
		switch {
		case !w.Open(next):
			t.Errorf("%q does not open at %s", s, next)
		case next.Before(at):
			t.Errorf("%q opens at %s, before %s", s, next, at)
		case w.Open(at) && !next.Equal(at):
			t.Errorf("%q is open at %s, and opens at %s", s, at, next)
		case next.Sub(at) > 49*time.Hour: // a night that clocks take away is followed by another
			t.Errorf("%q opens only at %s after %s", s, next, at)
		}
		if s == "" {
			return
		}
		for m := range 24 * 60 {
			if !w.Open(at.Add(time.Duration(m) * time.Minute)) {
				return
			}
		}
		t.Errorf("%q is always open", s)
	})
}
