package app_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/mandate"
)

// otherType gives an instructed column another type.
var otherType = []string{
	"ALTER TABLE PRESCRIPTEUR RENAME TO ANCIEN", "CREATE TABLE PRESCRIPTEUR (CODE TEXT PRIMARY KEY, NOM VARCHAR(40) NOT NULL, RPPS TEXT, TEL TEXT)",
	"INSERT INTO PRESCRIPTEUR SELECT * FROM ANCIEN", "DROP TABLE ANCIEN",
}

// TestChangedReadPlanIsShownAsItsChange: an instructed column that is of another type voids
// the approval; the plan compiled again is shown, to whoever plans and to whoever approves,
// as what changed since the one that both parties approved, and read once they approved it.
func TestChangedReadPlanIsShownAsItsChange(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 40)
	r := d.Open()
	r.Trust(d.Roots(), r.LockKey())
	plan := func() *desk.Plans {
		t.Helper()
		p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	first := plan()
	if first.ReadSince != nil {
		t.Errorf("an approved plan is shown as the difference from %s", first.ReadSince.ReadPlan)
	}
	d.Exec("ancilab.db", otherType...)
	want := []mandate.Change{{Where: "prescriber", What: "column NOM", Before: "prescriber, text, TEXT", After: `prescriber, text, "VARCHAR(40)"`}}
	p := plan()
	if p.ReadPlan == first.ReadPlan || p.ReadSince == nil || p.ReadSince.ReadPlan != first.ReadPlan || !slices.Equal(p.ReadSince.Changes, want) {
		t.Fatalf("planned: %+v", p.ReadSince)
	}
	text, err := os.ReadFile(p.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, who := range []string{roomtest.Claire, roomtest.Marc} {
		s, err := r.Approve(t.Context(), text, d.Key(who))
		if err != nil {
			t.Fatal(err)
		}
		if s.ReadSince == nil || !slices.Equal(s.ReadSince.Changes, want) {
			t.Errorf("%s approved: %+v", who, s.ReadSince)
		}
	}
	if p := planFor(t, d, r, ecluse.Final, roomtest.Claire); p.ReadSince != nil {
		t.Errorf("approved by both: %+v", p.ReadSince)
	}
}

// TestChangedSourceFoundByTheReading: what the source gate finds when it is to read, of a
// source that nobody looked at since the approval, voids the plan as long as nothing is
// sealed: it is compiled and approved again, under an instruction that is changed where it
// has to be, and read.
func TestChangedSourceFoundByTheReading(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stage     roomtest.Stage
		change    []string
		corrected []string // of the instruction: what, by what
	}{
		"of another type":                   {stage: roomtest.Approved, change: otherType},
		"of another type, and a load began": {stage: roomtest.Ready, change: otherType},
		"renamed":                           {roomtest.Approved, []string{"ALTER TABLE PRESCRIPTEUR RENAME COLUMN RPPS TO NUMRPPS"}, []string{"RPPS: prescriber", "NUMRPPS: prescriber"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, c.stage, 40)
			r := d.Open()
			r.Trust(d.Roots(), r.LockKey())
			before, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
			if err != nil {
				t.Fatal(err)
			}
			d.Exec("ancilab.db", c.change...)
			_, err = r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			wantError(t, err, ecluse.Differs)

			if c.stage == roomtest.Ready { // it goes back first
				if p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final}); err != nil || p.ReadPlan != before.ReadPlan {
					t.Errorf("while a load waits: %+v, %v", p, err)
				}
				if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
					t.Fatal(err)
				}
			}
			if c.corrected != nil {
				if _, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final}); ecluse.KindOf(err) != ecluse.Invalid || !strings.Contains(err.Error(), "has no column RPPS") {
					t.Fatalf("under the old instruction: %v", err)
				}
				text := d.Read("instruction.yaml")
				i := strings.Replace(string(text), c.corrected[0], c.corrected[1], 1)
				i = strings.Replace(i, "contract:", "replaces: "+ecluse.DigestOf(text).String()+"\ncontract:", 1)
				m := strings.Replace(string(d.Read("mapping.yaml")), ecluse.DigestOf(text).String(), ecluse.DigestOf([]byte(i)).String(), 1)
				for _, s := range []struct{ file, text, who string }{{"instruction.yaml", i, roomtest.Claire}, {"mapping.yaml", strings.Replace(m, "RPPS", "NUMRPPS", 1), roomtest.Marc}} {
					d.Write([]byte(s.text), s.file)
					if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join(s.file), Text: []byte(s.text), Key: d.Key(s.who)}); err != nil {
						t.Fatal(err)
					}
					_, _ = r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final}) // a mapping is checked against the read plan, and the old one is of another
				}
			}
			p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
			if err != nil {
				t.Fatal(err)
			}
			if p.ReadSince == nil || p.ReadSince.ReadPlan != before.ReadPlan || !slices.ContainsFunc(p.ReadSince.Changes, func(c mandate.Change) bool { return c.Where == "prescriber" }) {
				t.Errorf("planned again: %+v", p.ReadSince)
			}
			text, err := os.ReadFile(p.ReadFile)
			if err != nil {
				t.Fatal(err)
			}
			for _, who := range []string{roomtest.Claire, roomtest.Marc} {
				if _, err := r.Approve(t.Context(), text, d.Key(who)); err != nil {
					t.Fatal(err)
				}
			}
			v, err := r.Apply(t.Context(), desk.ApplyRequest{Plan: text, Passage: ecluse.Final})
			if err != nil || v.RowsRead == 0 {
				t.Fatalf("%+v, %v", v, err)
			}
			if p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final}); err == nil && p.ReadPlan != ecluse.DigestOf(text) {
				t.Errorf("once read, the plan is %s", p.ReadPlan)
			}
		})
	}
}
