package app_test

import (
	"strings"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
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

	if _, err := marc.HandIn(t.Context(), signed, nil); err != nil {
		t.Fatal(err)
	}
	after := kept()
	_, err = marc.HandIn(t.Context(), signed, nil)
	if err == nil || kept() != after {
		t.Errorf("the same act twice: %v", err)
	}
}
