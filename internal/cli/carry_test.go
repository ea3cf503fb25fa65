package cli

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/french"
)

// TestRefusedIsSaid: what a return came to is said item by item, and is an error if
// something was refused.
func TestRefusedIsSaid(t *testing.T) {
	t.Parallel()
	in := exchange.CarriedIn{Gate: "SHA256:x", Number: 3, Items: 10, New: 4, Before: 2}
	refused := in
	refused.Refused, refused.Waiting = []exchange.NotIn{{
		Item: 6, Kind: exchange.ItemPut, Migration: "quatre-vents-01",
		Why: exchange.ProblemOf(&ecluse.Error{Kind: ecluse.Refused, What: "store a chunk", Why: "it is held", Next: "resume it"}),
	}}, 3
	left := refused
	left.Again = true
	late := in
	late.Late = 5
	unread := in
	unread.Failed = []exchange.NotCarried{{Folder: "in-000001", Why: exchange.ProblemOf(&ecluse.Error{Kind: ecluse.Unverified, What: "carry in", Why: "it is damaged", Next: "copy it anew"})}}
	for _, c := range []struct {
		in     exchange.CarriedIn
		french bool
		words  []string
		fails  ecluse.Kind
	}{
		{in, false, []string{"4 taken in, 2 there already, 0 refused, 0 wait", "cleared"}, ""},
		{refused, false, []string{"item 7 (put) quatre-vents-01", "it is held", "resume it", "4 taken in, 2 there already, 1 refused, 3 wait", "is over"}, ecluse.Refused},
		{left, false, []string{"stays in the folder"}, ecluse.Refused},
		{in, true, []string{"4 pris, 2 déjà là, 0 refusés, 0 attendent"}, ""},
		{left, true, []string{"élément 7", "1 refusés, 3 attendent", "reste dans le dossier"}, ecluse.Refused},
		{late, false, []string{"5 came too late", "cleared"}, ""},
		{late, true, []string{"5 arrivés trop tard"}, ""},
		{unread, false, []string{"in-000001 stays in the folder", "it is damaged", "copy it anew", "4 taken in"}, ecluse.Unverified},
		{unread, true, []string{"in-000001 reste dans le dossier", "4 pris"}, ecluse.Unverified},
	} {
		var b bytes.Buffer
		err := (&ui{out: &b, french: c.french, sentences: sync.OnceValue(french.New)}).carriedIn(&c.in)
		var code exit
		if failed := errors.As(err, &code); failed != (c.fails != "") || failed && int(code) != c.fails.ExitCode() {
			t.Errorf("%+v: %v", c.in, err)
		}
		for _, w := range c.words {
			if !strings.Contains(b.String(), w) {
				t.Errorf("no %q in %s", w, &b)
			}
		}
	}
}

// TestWhatWaitsForATrip: status says what is asked of a gate without a line, and since when.
func TestWhatWaitsForATrip(t *testing.T) {
	t.Parallel()
	for french, want := range map[bool]string{false: "to be carried to the source gate since 2026-05-04", true: "à porter au programme source depuis le 2026-05-04"} {
		var b bytes.Buffer
		u := &ui{out: &b, french: french}
		u.status(exchange.Status{Carry: []exchange.Waiting{{Gate: "SHA256:x", Verb: exchange.Read, Since: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}}})
		if !strings.Contains(b.String(), want) || !strings.Contains(b.String(), ": read") && !strings.Contains(b.String(), " : read") {
			t.Errorf("%s", &b)
		}
	}
}
