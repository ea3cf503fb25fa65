package app_test

import (
	"strings"
	"sync"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
	"ecluse/internal/wire"
)

// TestHandIn: an act is taken from who signed it, with the documents it speaks of
// and no other. What is not taken leaves neither act nor document.
func TestHandIn(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 3)
	r := d.Open()
	marc, err := r.As(t.Context(), d.Key(roomtest.Marc))
	if err != nil {
		t.Fatal(err)
	}
	claire, err := r.As(t.Context(), d.Key(roomtest.Claire))
	if err != nil {
		t.Fatal(err)
	}
	me, err := marc.Me(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	roster, err := evidence.ParseRoster("roster", me.Roster.Body)
	if err != nil {
		t.Fatal(err)
	}
	plan := d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json")
	clauses := []evidence.Clause{{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: ecluse.DigestOf(plan)}}
	draft, err := marc.Draft(t.Context(), roomtest.Migration, clauses)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := evidence.SignAct(d.Key(roomtest.Marc), &evidence.Act{
		Migration: roomtest.Migration, Side: me.Side, Person: me.ID, Role: draft.Role, Roster: roster.Digest(), RosterNumber: roster.Number,
		NotBefore: draft.NotBefore, NotAfter: draft.NotBefore.AddDate(0, 0, 1), Nonce: evidence.NewNonce(), Clauses: clauses,
	})
	if err != nil {
		t.Fatal(err)
	}
	kept := func() string {
		return strings.Join(append(d.Query("room/lock/control.db", "SELECT digest FROM act ORDER BY 1"), d.Query("room/lock/control.db", "SELECT kind || digest FROM document ORDER BY 1")...), "\n")
	}
	refused := func() int {
		return len(d.Query("room/lock/control.db", `SELECT idx FROM leaf WHERE CAST(text AS TEXT) LIKE '%"type":"refused"%'`))
	}
	before := kept()

	_, err = claire.HandIn(t.Context(), signed, nil)
	wantError(t, err, ecluse.Refused)
	if n := refused(); n != 1 {
		t.Errorf("somebody else's act left %d events", n)
	}
	_, err = r.Nobody().HandIn(t.Context(), signed, nil)
	wantError(t, err, ecluse.WaitsForSign)
	for _, kind := range []string{evidence.KindReason, evidence.KindMapping, evidence.KindInstruction, exchange.KindFrozen, "anything"} {
		_, err = marc.HandIn(t.Context(), signed, []exchange.Enclosure{{Kind: kind, Text: []byte("of something else\n")}})
		wantError(t, err, ecluse.Invalid)
	}
	changed := signed
	changed.Body = append([]byte(nil), signed.Body...)
	changed.Body[len(changed.Body)/2] ^= 1
	if _, err = marc.HandIn(t.Context(), changed, nil); err == nil {
		t.Error("an act changed by a bit was taken in")
	}
	if kept() != before {
		t.Error("what was not taken in left a trace")
	}

	// Handed in by several at once, and again when the answer was lost, it counts once,
	// and each has its receipt.
	n := refused()
	var at sync.WaitGroup
	for range 3 {
		at.Go(func() {
			if got, err := marc.HandIn(t.Context(), signed, nil); err != nil || got.Act != signed.Digest() {
				t.Errorf("handed in at once: %v, %v", got, err)
			}
		})
	}
	at.Wait()
	after := kept()
	got, err := marc.HandIn(t.Context(), signed, nil)
	if err != nil || kept() != after {
		t.Fatalf("the same act twice: %v", err)
	}
	if h, err := evidence.ParseHead(got.Head.Body); err != nil || got.Act != signed.Digest() || h.Tree != string(roomtest.Migration) {
		t.Errorf("its receipt: %+v, %v", got, err)
	}
	if refused() != n {
		t.Error("what counted is journalled as refused")
	}
	// Of somebody else, or with a signature of something else, it is refused as before.
	_, err = claire.HandIn(t.Context(), signed, nil)
	wantError(t, err, ecluse.Refused)
	changed = signed
	changed.Signature = me.Roster.Signature
	if _, err := marc.HandIn(t.Context(), changed, nil); err == nil {
		t.Error("an act without its signature has a receipt")
	}
}

// TestRosterTwice: a roster whose answer was lost is handed in again, and was taken.
func TestRosterTwice(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 3)
	r := d.Open()
	l := r.Lab("room", wire.Pin{}).Lock
	rosters, err := l.Nobody().Rosters(t.Context())
	if err != nil || len(rosters) == 0 {
		t.Fatal(err)
	}
	for _, signed := range rosters {
		if v, err := l.TakeRoster(t.Context(), signed); err != nil || v.Digest != signed.Digest() {
			t.Errorf("the same roster again: %v, %v", v, err)
		}
	}
}
