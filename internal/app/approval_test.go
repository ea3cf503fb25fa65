package app_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/words"
)

// remapped has another mapping signed, of the same meaning.
func remapped(t *testing.T, d *roomtest.Dir, r *app.Room) {
	t.Helper()
	text := append(d.Read("mapping.yaml"), "# corrected\n"...)
	d.Write(text, "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: text, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
}

// approvePlan approves the file of a plan that lies to be read.
func approvePlan(t *testing.T, d *roomtest.Dir, r *app.Room, name, who string) error {
	t.Helper()
	text, err := os.ReadFile(d.Plan(name))
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Approve(t.Context(), text, d.Key(who))
	return err
}

// accepted has what was loaded accepted and erased, and its evidence verified by both.
func accepted(t *testing.T, d *roomtest.Dir, r *app.Room) {
	t.Helper()
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	verified(t, d, r)
}

func verified(t *testing.T, d *roomtest.Dir, r *app.Room) {
	t.Helper()
	d.Verify(r)
	if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, "OK\n") {
		t.Errorf("verify.sh:\n%s", out)
	}
}

// TestApproveAnotherPlan: with the final plan in hand, whoever approves the file of the dry
// one by mistake has approved nothing, and the final passage waits for its own approval.
func TestApproveAnotherPlan(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, 40)
	r := d.Open()
	remapped(t, d, r)
	planDry(t, d, r)
	apply(t, r, ecluse.Dry)
	if _, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final}); err != nil {
		t.Fatal(err)
	}
	wantError(t, approvePlan(t, d, r, "loadplan-dry", roomtest.Claire), ecluse.Differs)
	if p := place(t, r); p.Passage != procedure.LoadPlanned || p.Kind != ecluse.Final {
		t.Errorf("stands at %+v", p)
	}
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.WaitsForSign)
	if err := approvePlan(t, d, r, "loadplan-final", roomtest.Claire); err != nil {
		t.Fatal(err)
	}
	apply(t, r, ecluse.Final)
	accepted(t, d, r)
}

// TestControllerApprovesDryRun: what the lock takes as an approval of a dry run, the gate
// and both verifiers take too.
func TestControllerApprovesDryRun(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, 40)
	r := d.Open()
	planFor(t, d, r, ecluse.Dry, roomtest.Claire)
	apply(t, r, ecluse.Dry)
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Claire)
	apply(t, r, ecluse.Rehearsal)
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	apply(t, r, ecluse.Final)
	accepted(t, d, r)
}

// TestBeginsUnderItsApproval: a state alone begins no passage: it takes the act that
// approves exactly its plan.
func TestBeginsUnderItsApproval(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	r := d.Open()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	d.Exec("room/lock/control.db", "UPDATE clause SET subject = '"+ecluse.DigestOf([]byte("another plan")).String()+"' WHERE verb = 'approve' AND kind = '"+evidence.KindLoadPlan+"'")
	r = d.Open()
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.WaitsForSign)
	if p := place(t, r); p.Passage != procedure.LoadApproved {
		t.Errorf("stands at %+v", p)
	}
}

// silent takes what a gate posts and keeps nothing: what the lock would say to it is not
// what a gate may rely on.
type silent struct{ gate.Lock }

func (silent) PutReject(_ context.Context, _ ecluse.MigrationID, _ evidence.Signed, b io.Reader) error {
	_, err := io.Copy(io.Discard, b)
	return err
}

func (silent) Post(context.Context, ecluse.MigrationID, exchange.Paper, evidence.Signed) error {
	return nil
}

// TestOneApprovalOnePassage: whatever its lock asks, a target gate loads no second passage
// under the approval of the first: not beside it, and not after the controller would not
// have it and it was taken out.
func TestOneApprovalOnePassage(t *testing.T) {
	t.Parallel()
	second := ecluse.Passage{Kind: ecluse.Final, Number: 2}
	for name, before := range map[string]func(*testing.T, *roomtest.Dir, *app.Room){
		"undone": func(*testing.T, *roomtest.Dir, *app.Room) {},
		"refused": func(t *testing.T, d *roomtest.Dir, r *app.Room) {
			if _, err := r.NoGo(t.Context(), desk.Order{Because: "two results are those of other patients", Key: d.Key(roomtest.Claire)}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.Twice(t, roomtest.Loaded, 40)
			r := d.Open()
			_, target := gates(t, d, silent{r.Seat(exchange.TargetPlace)})
			_, rows := d.Facts()
			_, err := target.Load(t.Context(), roomtest.Migration, second, 0, nil)
			wantError(t, err, ecluse.Refused)
			if _, in := d.Facts(); in != rows {
				t.Errorf("%d rows where there were %d", in, rows)
			}
			before(t, d, r)
			if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
				t.Fatal(err)
			}
			_, out := d.Facts()
			_, err = target.Load(t.Context(), roomtest.Migration, second, 0, nil)
			wantError(t, err, ecluse.WaitsForSign)
			if _, in := d.Facts(); in != out || out >= rows {
				t.Errorf("%d rows, %d after the undoing, %d before", in, out, rows)
			}
			planFor(t, d, r, ecluse.Final, roomtest.Claire) // the same bytes, approved anew
			if v := apply(t, r, ecluse.Final); v.Passage != second || !v.Reconciled {
				t.Errorf("%+v", v)
			}
			accepted(t, d, r)
		})
	}
}

// TestUndoneAndLoadedAgain: an undo is of its passage. The same plan, approved anew, is
// loaded, whichever side had the first passage undone, and wherever that had come to.
func TestUndoneAndLoadedAgain(t *testing.T) {
	t.Parallel()
	final := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	for name, x := range map[string]struct {
		who    string
		loaded bool
	}{
		"by the operator": {roomtest.Marc, false}, "by the operator, half way": {roomtest.Marc, true}, "by the controller": {roomtest.Claire, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.Twice(t, roomtest.Sealed, 40)
			r := d.Open()
			first := d.Read("room", "plans", string(roomtest.Migration)+"-loadplan-final.json")
			if p, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final); err != nil || p != final {
				t.Fatalf("%s, %v", p, err)
			}
			if x.loaded {
				_, target := gates(t, d, silent{r.Seat(exchange.TargetPlace)})
				if _, err := target.Load(t.Context(), roomtest.Migration, final, 0, nil); err != nil {
					t.Fatal(err)
				}
			}
			all, err := r.Status(t.Context(), roomtest.Migration)
			if err != nil {
				t.Fatal(err)
			}
			for _, refuse := range []evidence.Clause{
				{Verb: evidence.VerbRefuse, Kind: evidence.KindAct, Subject: ecluse.DigestOf(nil)},
				{Verb: evidence.VerbRefuse, Kind: evidence.KindReport, Subject: ecluse.DigestOf(nil)},
			} {
				wantError(t, r.HandIn(t.Context(), roomtest.Migration, d.Key(x.who), []evidence.Clause{refuse}, nil), ecluse.Refused)
			}
			u, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(x.who)})
			if err != nil {
				t.Fatal(err)
			}
			if (u.Rows > 0) != x.loaded {
				t.Errorf("%d rows came out", u.Rows)
			}
			planFor(t, d, r, ecluse.Final, roomtest.Claire)
			if again := d.Read("room", "plans", string(roomtest.Migration)+"-loadplan-final.json"); string(again) != string(first) {
				t.Fatal("it is another plan")
			}
			if v := apply(t, r, ecluse.Final); v.Passage.Number != 2 || !v.Reconciled {
				t.Errorf("%+v", v)
			}
			wantError(t, r.HandIn(t.Context(), roomtest.Migration, d.Key(x.who),
				[]evidence.Clause{{Verb: evidence.VerbRefuse, Kind: evidence.KindAct, Subject: all[0].Approval}}, nil), ecluse.Refused)
			accepted(t, d, r)
		})
	}
}

// TestRefusedBeforeItBegan: a final passage that the target gate refuses before a row of it
// is loaded, for the target is another than its plan says, is taken out of the way by that
// gate's word that it never began, and does not count; one that began does.
func TestRefusedBeforeItBegan(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 40) // one final passage is granted
	r := d.Open()
	d.Exec("novalab.db", "ALTER TABLE patient RENAME COLUMN birth_date TO birth")
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	var e *ecluse.Error
	if !errors.As(err, &e) || !strings.Contains(e.Next, "ecluse undo, then ecluse plan and ecluse approve") {
		t.Fatalf("%v, with the advice %q", err, e.Next)
	}
	d.Exec("novalab.db", "ALTER TABLE patient RENAME COLUMN birth TO birth_date", "ALTER TABLE patient ADD COLUMN note TEXT")
	u, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)})
	if err != nil {
		t.Fatal(err)
	}
	if !u.Undo.Never || u.Rows != 0 {
		t.Errorf("the gate does not say that it never began: %+v", u.Undo)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	if v := apply(t, r, ecluse.Final); v.Passage.Number != 2 || !v.Reconciled {
		t.Errorf("%+v", v)
	}
	if u, err = r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Claire)}); err != nil || u.Undo.Never || u.Rows == 0 {
		t.Fatalf("%+v, %v", u, err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	_, err = r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.Refused)
	_, target := gates(t, d, silent{r.Seat(exchange.TargetPlace)}) // nor does the gate count wrong
	_, err = target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 3}, 0, nil)
	wantError(t, err, ecluse.Refused)
	if _, err := r.Erase(t.Context(), desk.Order{Key: d.Key(roomtest.Helene), Because: "another instruction grants more"}); err != nil {
		t.Fatal(err)
	}
	verified(t, d, r)
}

// TestInstructionFitsGates (AC-15): nobody signs an instruction that names another system than the one its
// gate, as the controller confirmed it, says it stands beside.
func TestInstructionFitsGates(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 3)
	r := d.Open()
	text := d.Read("instruction.yaml")
	sign := func() error {
		_, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("instruction.yaml"), Text: text, Key: d.Key(roomtest.Claire)})
		return err
	}
	for _, x := range []struct {
		system string
		kind   ecluse.Kind
	}{{"NOVALAB-TEST", ecluse.Refused}, {"NOVALAB", ""}} {
		g, signed, err := r.HomeOf(exchange.TargetPlace).Describe(mandate.Gate{
			Place: evidence.TargetGate, System: x.system, StandsAt: "Data centre, Nantes",
			Machine: mandate.Administrators{ecluse.Controller}, Database: mandate.Administrators{ecluse.Controller},
		}, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Enrol(t.Context(), signed); err != nil {
			t.Fatal(err)
		}
		q := desk.GateRequest{Gate: g.Gate, Roots: d.Roots(), Lock: r.LockKey(), Key: d.Key(roomtest.Claire)}
		if _, err := r.ConfirmGate(t.Context(), q, spoken(t, g, words.English)); err != nil {
			t.Fatal(err)
		}
		if err := sign(); err == nil && x.kind != "" || err != nil && (ecluse.KindOf(err) != x.kind || !strings.Contains(err.Error(), "target.system")) {
			t.Errorf("beside %s: %v", x.system, err)
		}
		time.Sleep(1100 * time.Millisecond) // papers name whole seconds
	}
}

// TestDifferenceBeforeSignature: who approves a load plan is shown the last trial before the
// signature, and is told when there is none.
func TestDifferenceBeforeSignature(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, 40)
	r := d.Open()
	for _, x := range []struct {
		kind  ecluse.PassageKind
		since string
	}{{ecluse.Dry, ""}, {ecluse.Final, "dry-1"}} {
		p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: x.kind})
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(p.LoadFile)
		if err != nil {
			t.Fatal(err)
		}
		shown := false
		if _, err := r.ApproveShown(t.Context(), text, d.Key(roomtest.Claire), func(v desk.Difference) error {
			shown = true
			if at := place(t, r); at.Passage != procedure.LoadPlanned {
				t.Errorf("%s: shown when it stands at %+v", x.kind, at)
			}
			if !v.Load || v.ReadSince != nil || (v.Since != nil) != (x.since != "") || v.Since != nil && v.Since.Passage.String() != x.since {
				t.Errorf("%s: shown %+v", x.kind, v)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if at := place(t, r); !shown || at.Passage != procedure.LoadApproved {
			t.Errorf("%s: shown %v, stands at %+v", x.kind, shown, at)
		}
		apply(t, r, x.kind)
	}
}
