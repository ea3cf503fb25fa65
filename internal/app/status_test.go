package app_test

import (
	"os"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
)

// TestStatusAfterDifference: what differs is proposed to be undone, not accepted;
// an undoing that was interrupted goes on with nobody's key.
func TestStatusAfterDifference(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	r := d.Open()
	before, _ := d.Facts()
	d.Exec("novalab.db", "CREATE TRIGGER alter_them AFTER INSERT ON patient BEGIN UPDATE patient SET family_name = 'x' WHERE rowid = new.rowid; END")
	if v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final}); err != nil || v.Reconciled {
		t.Fatalf("want a difference: %+v, %v", v, err)
	}
	next := func() string {
		t.Helper()
		s, err := r.Waits(t.Context(), roomtest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := next(); !strings.HasSuffix(s, "&& ecluse undo -m quatre-vents-01 --as KEY") {
		t.Errorf("next: %s", s)
	}
	_, err := r.Undo(t.Context(), desk.UndoRequest{})
	wantError(t, err, ecluse.WaitsForSign)

	away := d.Join("elsewhere.db")
	move(t, d.Join("novalab.db"), away)
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err == nil {
		t.Fatal("undone without the target")
	}
	move(t, away, d.Join("novalab.db"))
	r = d.Open()
	if s := next(); s != "ecluse undo -m quatre-vents-01" {
		t.Errorf("next while undoing: %s", s)
	}
	if _, err := r.Undo(t.Context(), desk.UndoRequest{}); err != nil {
		t.Fatal(err)
	}
	if after, _ := d.Facts(); after != before {
		t.Error("the target does not stand as before")
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestNextMapping: a mapping is asked for until one is signed for the instruction.
func TestNextMapping(t *testing.T) {
	t.Parallel()
	for stage, want := range map[roomtest.Stage]string{
		roomtest.Approved: "ecluse plan --passage dry -m quatre-vents-01", roomtest.Sealed: "ecluse apply -m quatre-vents-01",
	} {
		d := roomtest.At(t, stage, 3)
		r := d.Open()
		if s, err := r.Waits(t.Context(), roomtest.Migration); err != nil || s != want {
			t.Errorf("stage %d: next %q, %v, want %q", stage, s, err, want)
		}
		if _, err := r.Object(t.Context(), desk.Order{Because: "a question", Key: d.Key(roomtest.Helene)}); err != nil {
			t.Fatal(err)
		}
		if s, err := r.Waits(t.Context(), roomtest.Migration); err != nil || !strings.HasPrefix(s, "ecluse resume ") {
			t.Errorf("stage %d, held: next %q, %v", stage, s, err)
		}
	}
}
