package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
)

func point(what, owner string) evidence.OpenPoint {
	return evidence.OpenPoint{What: what, Owner: owner, Due: "2030-01-31"}
}

// TestGo: a signatory says go with what stays open, accepts later, and both are in
// the evidence.
func TestGo(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, patients)
	r := d.Open()
	v, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire), Open: []evidence.OpenPoint{point("two analysers are connected by hand", roomtest.Marc)}})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Clauses) != 2 || !strings.HasPrefix(v.Clauses[0], "go report ") || !strings.HasPrefix(v.Clauses[1], "sign decision ") {
		t.Errorf("it says %q", v.Clauses)
	}
	if p := place(t, r); p.Passage != procedure.Live || p.Migration != procedure.Sealed {
		t.Fatalf("after the go: %+v", p)
	}
	_, err = r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	nothingLeft(t, d)
	d.Verify(r)
}

// TestGoRefused: by whom it is not said, of another report, with open points that are
// nobody's or of another report.
func TestGoRefused(t *testing.T) {
	t.Parallel()
	d := roomtest.WithDeputy(t, roomtest.Loaded, 60, "paul-somebody")
	r := d.Open()
	for _, who := range []string{roomtest.Helene, roomtest.Julie, roomtest.Marc} {
		_, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(who)})
		wantError(t, err, ecluse.Refused)
		_, err = r.NoGo(t.Context(), desk.Order{Because: "the figures are not read", Key: d.Key(who)})
		wantError(t, err, ecluse.Refused)
	}
	for name, open := range map[string]evidence.OpenPoint{
		"nobody's":        point("cables", "nobody-known"),
		"not a person's":  point("cables", "The IT"),
		"nothing":         point(" ", roomtest.Marc),
		"several lines":   point("a\nb", roomtest.Marc),
		"without its day": {What: "cables", Owner: roomtest.Marc, Due: "soon"},
	} {
		if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire), Open: []evidence.OpenPoint{open}}); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	_, err := r.NoGo(t.Context(), desk.Order{Because: " ", Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Invalid)
	s, err := r.Report(t.Context(), roomtest.Migration, "")
	if err != nil {
		t.Fatal(err)
	}
	report, err := evidence.EncodeJSON(s.LoadStatement)
	if err != nil {
		t.Fatal(err)
	}
	say := func(who string, v evidence.Verb, report ecluse.Digest, kind string, text []byte) error {
		clauses := []evidence.Clause{{Verb: v, Kind: evidence.KindReport, Subject: report}}
		documents := map[string][]byte{}
		if kind != "" {
			clauses = append(clauses, evidence.Clause{Verb: evidence.VerbSign, Kind: kind, Subject: ecluse.DigestOf(text)})
			documents[kind] = text
		}
		return r.HandIn(t.Context(), roomtest.Migration, d.Key(who), clauses, documents)
	}
	own, other := ecluse.DigestOf(report), ecluse.DigestOf([]byte("another"))
	decision := func(of ecluse.Digest) []byte {
		text, err := evidence.EncodeJSON(evidence.Decision{Format: evidence.DecisionFormat, Migration: roomtest.Migration, Report: of, Open: []evidence.OpenPoint{point("cables", roomtest.Marc)}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	// The lock itself refuses, whatever program made the act.
	for name, err := range map[string]error{
		"by the data-protection officer": say(roomtest.Helene, evidence.VerbGo, own, "", nil),
		"by the processor":               say(roomtest.Julie, evidence.VerbGo, own, "", nil),
		"of another report":              say(roomtest.Claire, evidence.VerbGo, other, "", nil),
		"points of another report":       say(roomtest.Claire, evidence.VerbGo, own, evidence.KindDecision, decision(other)),
		"a go with a reason":             say(roomtest.Claire, evidence.VerbGo, own, evidence.KindReason, []byte("because")),
		"a no-go without one":            say(roomtest.Claire, evidence.VerbNoGo, own, "", nil),
		"a no-go with open points":       say(roomtest.Claire, evidence.VerbNoGo, own, evidence.KindDecision, decision(own)),
		"not a decision":                 say(roomtest.Claire, evidence.VerbGo, own, evidence.KindDecision, []byte("{}")),
	} {
		if k := ecluse.KindOf(err); err == nil || k != ecluse.Refused && k != ecluse.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p := place(t, r); p.Passage != procedure.Compared {
		t.Errorf("it stands at %+v", p)
	}
}

// TestNoGo: a deputy whom the instruction names says no-go, nobody accepts then, and the
// passage is undone; a go after all is possible as long as it is not.
func TestNoGo(t *testing.T) {
	t.Parallel()
	d := roomtest.WithDeputy(t, roomtest.Loaded, 60, roomtest.Helene)
	r := d.Open()
	v, err := r.NoGo(t.Context(), desk.Order{Because: "the label printers do not answer", Key: d.Key(roomtest.Helene)})
	if err != nil {
		t.Fatal(err)
	}
	if v.Role != ecluse.DPO {
		t.Errorf("said as %s", v.Role)
	}
	if p := place(t, r); p.Passage != procedure.Declined {
		t.Fatalf("after the no-go: %+v", p)
	}
	_, err = r.Accept(t.Context(), desk.AcceptRequest{ForAll: "by hand", Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
	all, err := r.Status(t.Context(), roomtest.Migration)
	if err != nil || !slices.ContainsFunc(all[0].Next, func(n exchange.Next) bool { return n.Verb == procedure.Undo }) {
		t.Errorf("%v; what is next: %+v", err, all[0].Next)
	}
	if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Helene)}); err != nil {
		t.Fatal(err)
	}
	// The laboratory works in the new software: why that ends is said.
	_, err = r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Invalid)
	s, err := r.Report(t.Context(), roomtest.Migration, "")
	if err != nil {
		t.Fatal(err)
	}
	report, err := evidence.EncodeJSON(s.LoadStatement)
	if err != nil {
		t.Fatal(err)
	}
	err = r.HandIn(t.Context(), roomtest.Migration, d.Key(roomtest.Claire), []evidence.Clause{{Verb: evidence.VerbRefuse, Kind: evidence.KindReport, Subject: ecluse.DigestOf(report)}}, nil)
	wantError(t, err, ecluse.Refused)
	for _, who := range []string{roomtest.Marc, roomtest.Julie} {
		if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(who), Because: "results are printed twice"}); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s takes out what the laboratory works in: %v", who, err)
		}
	}
	// The deputy who could say go may take it back.
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Helene), Because: "results are printed twice"}); err != nil {
		t.Fatal(err)
	}
	if facts, _ := d.Facts(); facts != sealedFacts(t) {
		t.Error("the target does not stand as before")
	}
	if _, err := r.Erase(t.Context(), desk.Order{Because: "the night is over", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
}

// TestLiveStaysUnderARefusedPlan: what was refused of a passage before, under the very plan
// that comes again, does not let a lock take out the passage that people work in now, nor
// load into it.
func TestLiveStaysUnderARefusedPlan(t *testing.T) {
	t.Parallel()
	d := roomtest.Twice(t, roomtest.Ready, 40)
	r := d.Open()
	first, err := r.Seat(exchange.TargetPlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	before := ordered(t, d, first, roomtest.Claire, roomtest.Claire, ecluse.Signatory, roomtest.Migration,
		evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(first.LoadPlan)}, at)
	apply(t, r, ecluse.Final)
	time.Sleep(time.Until(at.Add(time.Second))) // acts name whole seconds
	if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	_, rows := d.Facts()
	_, target := gates(t, d, &lying{Lock: r.Seat(exchange.TargetPlace), change: func(c *exchange.Case) { c.Acts = append(c.Acts, before) }})
	p := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	if _, err := target.Undo(t.Context(), roomtest.Migration, p, nil); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "works in it since") {
		t.Errorf("taken out: %v", err)
	}
	if _, err := target.Load(t.Context(), roomtest.Migration, p, 0, nil); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("loaded into: %v", err)
	}
	if _, left := d.Facts(); left != rows || rows == 0 {
		t.Errorf("%d rows of %d are left", left, rows)
	}
}

// TestLiveStays: what a laboratory works in since a go is not taken out by the deadline, the
// contract's end or an order of erasure. Keys and ciphertext go, and all of the evidence says
// that it is in use, not accepted.
func TestLiveStays(t *testing.T) {
	t.Parallel()
	due := func(d *roomtest.Dir, kind string) {
		d.Late()
		d.Exec("room/lock/control.db", fmt.Sprintf("UPDATE due SET at = %d WHERE kind = '%s' AND done = 0", time.Now().Add(-time.Minute).UnixMilli(), kind))
	}
	for name, end := range map[string]func(*testing.T, *roomtest.Dir, *app.Room){
		"deadline": func(t *testing.T, d *roomtest.Dir, r *app.Room) {
			due(d, "erase")
			runDue(t, r)
		},
		"contract end": func(t *testing.T, d *roomtest.Dir, r *app.Room) {
			due(d, "contract-end")
			runDue(t, r)
		},
		"order": func(t *testing.T, d *roomtest.Dir, r *app.Room) {
			s, err := r.Erase(t.Context(), desk.Order{Because: "the old laboratory is sold", Key: d.Key(roomtest.Helene)})
			if err != nil {
				t.Fatal(err)
			}
			if !s.InUse {
				t.Error("whoever ordered it is not told that the load stays")
			}
		},
		"deadline, at the second attempt": func(t *testing.T, d *roomtest.Dir, r *app.Room) {
			copies := d.Join("room", "lock", "copies")
			if err := os.CopyFS(copies, os.DirFS(d.Join("room", "lock", "chamber"))); err != nil {
				t.Fatal(err)
			}
			due(d, "erase")
			if v, err := r.Due(t.Context()); err != nil || len(v.Failed) != 1 || v.Failed[0].Kind != ecluse.Unverified {
				t.Fatalf("erased beside a copy: %+v, %v", v, err)
			}
			if p := place(t, r); p.Migration != procedure.Erasing || p.Passage != procedure.InUse {
				t.Errorf("it stands at %+v", p)
			}
			if err := os.RemoveAll(copies); err != nil {
				t.Fatal(err)
			}
			runDue(t, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Loaded, 40)
			r := d.Open()
			var warned time.Time
			v, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire), Warn: func(until time.Time) { warned = until }})
			if err != nil {
				t.Fatal(err)
			}
			all, err := r.Status(t.Context(), roomtest.Migration)
			if err != nil {
				t.Fatal(err)
			}
			if by := all[0].AcceptBy; by.IsZero() || !by.Equal(all[0].EraseBy) || !warned.Equal(by) || !v.AcceptBy.Equal(by) {
				t.Errorf("status says until %s, the go %s and %s; the deadline is %s", by, warned, v.AcceptBy, all[0].EraseBy)
			}
			end(t, d, r)
			if p := place(t, r); p.Migration != procedure.Erased || p.Passage != procedure.InUse {
				t.Fatalf("it stands at %+v", p)
			}
			if facts, _ := d.Facts(); facts != loadedFacts(t, 40) {
				t.Error("the laboratory's rows are not what they were")
			}
			nothingLeft(t, d)
			d.Verify(r)
			if all, err = r.Status(t.Context(), roomtest.Migration); err != nil || !all[0].AcceptBy.IsZero() {
				t.Errorf("%v; it can still be accepted by %s", err, all[0].AcceptBy)
			}
			if text := d.Read("evidence", evidence.FileCertificate); !bytes.Contains(text, []byte(`"outcome":"in use, not accepted","in_use":{"passage":{"kind":"final","number":1},"act":"`+v.Act.String()+`"}`)) {
				t.Errorf("%s", text)
			}
			if n := bytes.Count(d.Read("evidence", evidence.FileLeaves), []byte(`"type":"passage-in-use"`)); n != 1 {
				t.Errorf("the journal says it %d times", n)
			}
			const first = "OK\nnote  " + evidence.OneRoomSentence + "\nnote  erased; passage final-1 was not accepted, and stays in the target: it is in use since the controller said go\n"
			if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, first) {
				t.Errorf("verify.sh:\n%s", out)
			}
			if text := evidence.Verify(os.DirFS(d.Join("evidence")), d.Roots()).Text(); !strings.HasPrefix(text, first) {
				t.Errorf("%s", text)
			}
		})
	}
}

// TestReservations: a difference is accepted only when it is explained and followed up by
// somebody, and the certificate says so.
func TestReservations(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, patients)
	d.Exec("novalab.db", `CREATE TRIGGER tamper AFTER INSERT ON patient WHEN new.id % 7 = 3 BEGIN
		UPDATE patient SET family_name = upper(family_name) || ' ' WHERE id = new.id; END`)
	r := d.Open()
	if v := apply(t, r, ecluse.Final); v.Reconciled {
		t.Fatal("rows altered on their way in were found equal")
	}
	why := func(of, name, owner string) []evidence.Reservation {
		return []evidence.Reservation{{Difference: evidence.Difference{Of: of, Name: name}, Why: "the new software pads names", Owner: owner, Until: "2030-01-31"}}
	}
	accept := func(x []evidence.Reservation) error {
		_, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "by hand", Reservations: x, Key: d.Key(roomtest.Claire)})
		return err
	}
	for name, x := range map[string][]evidence.Reservation{
		"none":               nil,
		"of another table":   why("table", "observation", roomtest.Marc),
		"of a check":         why("check", "patient", roomtest.Marc),
		"nobody's":           why("table", "patient", "nobody-known"),
		"more than there is": append(why("table", "patient", roomtest.Marc), why("table", "observation", roomtest.Marc)...),
	} {
		if err := accept(x); ecluse.KindOf(err) != ecluse.Refused || err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := accept(why("table", "patient", roomtest.Marc)); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	nothingLeft(t, d)
	if _, err := r.Evidence(t.Context(), roomtest.Migration, d.Join("reserved")); err != nil {
		t.Fatal(err)
	}
	if text := d.Read("reserved", evidence.FileCertificate); !strings.Contains(string(text), `"outcome":"proven with reservations"`) {
		t.Errorf("%s", text)
	}
	d.Verify(r)
}

// TestWarnings: status and journal tell of an end a week, two days and four hours before
// it, and the gate's console when it runs.
func TestWarnings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := roomtest.At(t, roomtest.Planned, 61) // a number of its own: made by this clock
		all := func() (near []exchange.Deadline) {
			r := d.Open()
			defer r.Close()
			runDue(t, r)
			s, err := r.Status(t.Context(), roomtest.Migration)
			if err != nil {
				t.Fatal(err)
			}
			return s[0].Near
		}
		if near := all(); len(near) > 0 {
			t.Fatalf("a month before: %+v", near)
		}
		i, err := mandate.ParseInstruction("instruction.yaml", d.Read("instruction.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, left := range due.Warnings() {
			time.Sleep(time.Until(i.EraseBy.Add(-left)))
			near := all()
			erase := slices.IndexFunc(near, func(x exchange.Deadline) bool { return x.Of == string(due.Erase) })
			if erase < 0 || near[erase].Within != int(left.Hours()) || !near[erase].At.Equal(i.EraseBy) {
				t.Errorf("%s before: %+v", left, near)
			}
			if !slices.ContainsFunc(near, func(x exchange.Deadline) bool { return x.Of == string(due.RosterAge) && x.Side == ecluse.Controller }) {
				t.Errorf("%s before: nothing of the roster: %+v", left, near)
			}
		}
		for kind, want := range map[string]string{"warn-erase": "3", "warn-roster": "6"} {
			if got := d.Query("room/lock/control.db", "SELECT count(*) FROM due WHERE done <> 0 AND kind = '"+kind+"'"); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %v were told, want %s", kind, got, want)
			}
		}
		r := d.Open()
		defer r.Close()
		ctx, stop := context.WithCancel(t.Context())
		var told []exchange.Deadline
		gate.WatchDeadlines(ctx, r.HomeOf(exchange.SourcePlace), r.Lock(), func(x gate.Doing) {
			told = append(told, *x.Near)
			stop()
		})
		stop()
		if len(told) == 0 || told[0].Within == 0 {
			t.Errorf("the gate's console: %+v", told)
		}
	})
}

// TestCatchUpTooLate: neither lock nor gate begins a later reading for a night before whose end
// something ends.
func TestCatchUpTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := roomtest.CatchingUp(t, roomtest.Loaded, 63, 1) // as above
		time.Sleep(evidence.RosterLife - 36*time.Hour)      // a roster of the stage runs a day less
		r := d.Open()
		_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "falls before") {
			t.Errorf("the lock: %v", err)
		}
		if p := place(t, r); p.Migration != procedure.Sealed || p.Passage != procedure.Compared {
			t.Errorf("it stands at %+v", p)
		}
		source, target := gates(t, d, r.Lock())
		if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "falls before") {
			t.Errorf("the gate: %v", err)
		}
		if err := errors.Join(source.Close(), target.Close(), r.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestPlanTooLate: a gate compiles no plan for a night before whose end something ends.
func TestPlanTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := roomtest.At(t, roomtest.Planned, 62) // as above
		i, err := mandate.ParseInstruction("instruction.yaml", d.Read("instruction.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(i.EraseBy.Add(-10 * time.Hour)))
		r := d.Open()
		defer r.Close()
		_, err = r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
		wantError(t, err, ecluse.Refused)
		if err != nil && !strings.Contains(err.Error(), "falls before") {
			t.Error(err)
		}
		if p := place(t, r); p.Migration != procedure.ByController {
			t.Errorf("it stands at %+v", p)
		}
	})
}
