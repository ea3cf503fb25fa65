package desk_test

import (
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/desk"
)

// TestParseReservation: what a person types says the difference, why, who and until when.
func TestParseReservation(t *testing.T) {
	t.Parallel()
	got, err := desk.ParseReservation(" table Patient = ids = numbers, padded = marc-tissot, 2030-01-31 ")
	want := evidence.Reservation{Difference: evidence.Difference{Of: "table", Name: "Patient"}, Why: "ids = numbers, padded", Owner: "marc-tissot", Until: "2030-01-31"}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for name, s := range map[string]string{
		"nothing":         "",
		"no reason":       "table patient=marc-tissot,2030-01-31",
		"an empty reason": "table patient= =marc-tissot,2030-01-31",
		"nobody":          "table patient=pads names=,2030-01-31",
		"no day":          "table patient=pads names=marc-tissot",
		"not a day":       "table patient=pads names=marc-tissot,soon",
		"of a row":        "row patient=pads names=marc-tissot,2030-01-31",
		"without a name":  "table =pads names=marc-tissot,2030-01-31",
	} {
		if r, err := desk.ParseReservation(s); ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// FuzzFollowedUp: what is taken of a command line is what evidence takes.
func FuzzFollowedUp(f *testing.F) {
	for _, s := range []string{"table patient=pads names=marc-tissot,2030-01-31", "check by year=a=b=c,2030-01-31", "cables=marc-tissot,2030-01-31", "=,", "a\nb=c,d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := desk.ParseReservation(s); err == nil && r.Check() != nil {
			t.Errorf("%+v", r)
		}
		if p, err := desk.ParseOpenPoint(s); err == nil && p.Check() != nil {
			t.Errorf("%+v", p)
		}
	})
}
