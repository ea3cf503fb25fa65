package app_test

import (
	"os"
	"slices"
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/mandate"
)

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
	d.Exec(
		"ancilab.db", "ALTER TABLE PRESCRIPTEUR RENAME TO ANCIEN", "CREATE TABLE PRESCRIPTEUR (CODE TEXT PRIMARY KEY, NOM VARCHAR(40) NOT NULL, RPPS TEXT, TEL TEXT)",
		"INSERT INTO PRESCRIPTEUR SELECT * FROM ANCIEN", "DROP TABLE ANCIEN",
	)
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
