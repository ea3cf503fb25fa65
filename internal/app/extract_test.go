package app_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/sluice/screen"
)

// withRemarks brings a room to where it can read and load, under a contract and an
// instruction that let the patients' remarks, free text, move too.
func withRemarks(t *testing.T) (*roomtest.Dir, *app.Room) {
	t.Helper()
	ctx := t.Context()
	d := roomtest.At(t, roomtest.Made, patients)
	r := d.Open()
	replace := func(text []byte, old, with string) []byte {
		t.Helper()
		if strings.Count(string(text), old) != 1 {
			t.Fatalf("%q does not stand there once", old)
		}
		return []byte(strings.Replace(string(text), old, with, 1))
	}
	sign := func(name string, text []byte, who string, withPlan bool) {
		t.Helper()
		d.Write(text, name)
		if _, err := r.Sign(ctx, desk.SignRequest{File: d.Join(name), Text: text, WithPlan: withPlan, Key: d.Key(who)}); err != nil {
			t.Fatal(err)
		}
	}
	approve := func(plan, who string) {
		t.Helper()
		text, err := os.ReadFile(plan)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Approve(ctx, text, d.Key(who)); err != nil {
			t.Fatal(err)
		}
	}
	contract := replace(d.Read("contract.yaml"), "sensitive:\n",
		"  - {class: free-text, what: remarks about patients}\nsensitive:\n  - {class: free-text, safeguards: [\"what they hold is counted and told to the laboratory\"]}\n")
	sign("contract.yaml", contract, roomtest.Julie, false)
	sign("contract.yaml", contract, roomtest.Claire, false)
	text, err := demo.Instruction(ecluse.DigestOf(contract), r.Gate(exchange.SourcePlace), r.Gate(exchange.TargetPlace), patients, time.Now().AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	text = replace(text, "NIR: national-id}", "NIR: national-id, REMARQUE: {class: free-text, because: the laboratory reads them before it calls a patient back}}")
	text = replace(text, "passages: {dry: 2,", "passages: {untried: the test reads only, dry: 0,")
	if _, err := r.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final, Instruction: text, File: "instruction.yaml", Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	sign("instruction.yaml", text, roomtest.Claire, true)
	approve(d.Plan("readplan"), roomtest.Marc)
	mapping, frozen, err := demo.Mapping(ecluse.DigestOf(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, table := range frozen {
		d.Write(table, name)
	}
	sign("mapping.yaml", mapping, roomtest.Marc, false)
	p, err := r.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	approve(p.LoadFile, roomtest.Claire)
	return d, r
}

// TestExtractStatement: what a reading found is signed by the source gate and
// reported: rows, columns that came into the source since it was instructed, what
// free text holds. Small counts are masked for all but the laboratory.
func TestExtractStatement(t *testing.T) {
	t.Parallel()
	d, r := withRemarks(t)
	ids := d.Query("ancilab.db", "SELECT NUMPAT FROM PATIENT WHERE DERNVIS >= 20150101 ORDER BY NUMPAT")
	few, many := strings.Join(ids[:3], ","), strings.Join(ids[3:18], ",")
	d.Exec("ancilab.db", "UPDATE PATIENT SET REMARQUE = NULL",
		"UPDATE PATIENT SET REMARQUE = 'Hépatite B, rappeler le 06 12 34 56 78' WHERE NUMPAT IN ("+few+")",
		"UPDATE PATIENT SET REMARQUE = 'écrire à lea@example.org' WHERE NUMPAT IN ("+many+")",
		"ALTER TABLE PATIENT ADD COLUMN EMPREINTE TEXT DEFAULT 'x'", "ALTER TABLE COMPTE ADD COLUMN SECRET2 TEXT",
		"ALTER TABLE COMPTE DROP COLUMN SECRET")
	v := apply(t, r, ecluse.Final)

	want := gate.FreeText{Dataset: "patient", Column: "REMARQUE", Values: "18", NIR: "0", Email: "15", Phone: "<10", Health: "<10"}
	report, err := r.Report(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	for where, x := range map[string]*gate.ExtractStatement{"apply": v.Read, "report": report.Extract} {
		if x == nil {
			t.Fatalf("%s: there is no statement", where)
		}
		if !slices.Equal(x.FreeText, []gate.FreeText{want}) {
			t.Errorf("%s: free text %+v, want %+v", where, x.FreeText, want)
		}
		if !slices.Equal(x.Added, []string{"COMPTE.SECRET2", "PATIENT.EMPREINTE"}) {
			t.Errorf("%s: added %v", where, x.Added)
		}
		if !slices.Equal(x.Gone, []string{"COMPTE.SECRET"}) {
			t.Errorf("%s: gone %v", where, x.Gone)
		}
		if x.Epoch != 1 || x.Chunks == 0 || x.Bytes == 0 || x.Rows["patient"] != int64(len(ids)) {
			t.Errorf("%s: %+v", where, x)
		}
	}
	status, err := r.Status(t.Context(), "")
	if err != nil || len(status) != 1 || status[0].Changed == nil || *status[0].Changed != (exchange.Changed{Added: 2, Gone: 1}) {
		t.Errorf("status %+v, %v", status, err)
	}
	if n := d.Query("room/lock/control.db", `SELECT CAST(text AS TEXT) FROM leaf WHERE CAST(text AS TEXT) LIKE '%"type":"epoch"%'`); len(n) != 1 || !strings.Contains(n[0], `"columns_added":2,"columns_gone":1`) {
		t.Errorf("the journal says %s", n)
	}
	for where, view := range map[string]any{"apply": v, "report": report} {
		text, err := json.Marshal(view)
		if err != nil || strings.Contains(string(text), `"phone":3`) || strings.Contains(string(text), `"health":3`) {
			t.Errorf("%s: a small count is told: %v", where, err)
		}
	}

	exact, err := r.Beside(exchange.SourcePlace).ReportExact(t.Context(), "", d.Key(roomtest.Claire))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := exact.Findings["patient"]["REMARQUE"], (screen.Findings{Values: 18, Email: 15, Phone: 3, Health: 3}); got != want {
		t.Errorf("the laboratory sees %+v, want %+v", got, want)
	}

	if _, err := r.Erase(t.Context(), desk.Order{Because: "looked at", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
	said := 0
	names, err := os.ReadDir(d.Join("evidence", "statements"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "source-") && strings.HasSuffix(n.Name(), ".json") && strings.Contains(string(d.Read("evidence", "statements", n.Name())), `"ecluse":"extract/v1"`) {
			said++
		}
	}
	if said != 1 {
		t.Errorf("%d statements of a reading in the evidence", said)
	}
	if left, err := os.ReadDir(d.Join("room", "source", "migrations")); err != nil || len(left) > 0 {
		t.Errorf("%d folders are left at the source gate, %v", len(left), err)
	}
}
