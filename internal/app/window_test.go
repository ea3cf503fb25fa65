package app_test

import (
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/procedure"
)

// TestWindowIsOfReading: outside the instruction's window nothing is read, whether
// the lock asks or not, and what was read before is loaded.
func TestWindowIsOfReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = "20:00-06:00 UTC" // it is midnight
		approved, sealed := roomtest.InWindow(t, roomtest.Ready, 200, window), roomtest.InWindow(t, roomtest.Sealed, 200, window)
		time.Sleep(7 * time.Hour)
		r := approved.Open()
		before := place(t, r)
		if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final}); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("reading at seven: %v", err)
		}
		if after := place(t, r); after != before {
			t.Errorf("it stands at %v and stood at %v", after, before)
		}
		if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
			t.Fatal(err)
		}
		s, err := app.Source(approved.Join("room", "source"), r.Lock())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Read(t.Context(), roomtest.Migration, 0, nil); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("a lock that does not ask: %v", err)
		}
		loads := sealed.Open()
		apply(t, loads, ecluse.Final)
		if p := place(t, loads); p.Passage != procedure.Compared {
			t.Errorf("loaded at seven, it stands at %v", p)
		}
	})
}
