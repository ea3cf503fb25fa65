package app_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/writer"
)

// TestTwin (AC-19): invented rows go through the very mapping, with the source's database
// not even there; nothing is written, every dataset comes through, and the statement is
// the same each time.
func TestTwin(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Approved, 40)
	c := d.Plant()
	if err := os.Remove(d.Join("ancilab.db")); err != nil {
		t.Fatal(err)
	}
	before, _ := d.Facts()
	r := d.Open()
	v, err := r.Twin(t.Context(), roomtest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.Twin(t.Context(), roomtest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	if !v.Passed || len(v.Datasets) != 4 || len(v.Rejected) == 0 || v.Mapping != ecluse.DigestOf(d.Read("mapping.yaml")) {
		t.Errorf("%+v", v.TwinStatement)
	}
	for i, x := range v.Datasets {
		if x.Mapped == 0 || x.Aside == 0 || x.Rows != again.Datasets[i].Rows || x.Aside != again.Datasets[i].Aside {
			t.Errorf("%s: %d mapped and %d put aside of %d; then %+v", x.Dataset, x.Mapped, x.Aside, x.Rows, again.Datasets[i])
		}
	}
	if after, _ := d.Facts(); after != before {
		t.Error("invented rows were written")
	}
	err = filepath.WalkDir(d.Path, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(path, "ancilab.db") {
			return err
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if bytes.Contains(text, []byte(c.Moved)) || bytes.Contains(text, []byte(c.Refused)) {
			t.Errorf("%s holds a value of the source", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFinalWaits (AC-19): no final passage begins, at the lock or at the target gate,
// before its mapping passed on invented rows and, under this instruction, dry or
// in rehearsal; a mapping corrected since is another.
func TestFinalWaits(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, 40)
	r := d.Open()
	begin := func() error {
		_, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final)
		return err
	}
	refused := func(what, words string, err error) {
		t.Helper()
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("never tried", "neither dry nor in rehearsal", begin())

	planDry(t, d, r)
	apply(t, r, ecluse.Dry)
	corrected := append(d.Read("mapping.yaml"), "# corrected\n"...)
	d.Write(corrected, "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: corrected, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	refused("another mapping was tried", "neither dry nor in rehearsal", begin())
	planDry(t, d, r)
	apply(t, r, ecluse.Dry)
	planFor(t, d, r, ecluse.Final, roomtest.Claire)

	// What a lock says of it, a gate does not believe: its own ledger has to know.
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ledger := d.Read("room", "target", "ledger.json")
	if !bytes.Contains(ledger, []byte(`"tried"`)) || !bytes.Contains(ledger, []byte(`"twins"`)) {
		t.Fatal("the ledger knows of nothing tried")
	}
	d.Write(bytes.Replace(ledger, []byte(`"tried"`), []byte(`"was"`), 1), "room", "target", "ledger.json")
	_, err := d.Open().Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	refused("a gate that knows of no try", "neither dry nor in rehearsal", err)
}

// TestRehearsalWaits (AC-19): no row of a person's goes into a test base, by the lock or by
// the target gate, before its mapping passed on invented rows.
func TestRehearsalWaits(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, 40)
	r := d.Open()
	right := d.Read("mapping.yaml")
	wrong := bytes.Replace(right, []byte("family_name: NOM"), []byte(`family_name: {value: "NOM == NOM + 'x' ? NOM : null"}`), 1)
	sign := func(text []byte) {
		d.Write(text, "mapping.yaml")
		if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: text, Key: d.Key(roomtest.Marc)}); err != nil {
			t.Fatal(err)
		}
	}
	sign(wrong)
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Marc)
	refused := func(err error) {
		t.Helper()
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "has not passed on invented rows") || testRows(d) != "0" {
			t.Errorf("%v; %s rows in the test base", err, testRows(d))
		}
	}
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Rehearsal})
	refused(err)

	// What a lock says of it, a gate does not believe: its own ledger has to know.
	sign(append(right, "# corrected\n"...))
	planFor(t, d, r, ecluse.Rehearsal, roomtest.Marc)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ledger := d.Read("room", "target", "ledger.json")
	if !bytes.Contains(ledger, []byte(`"twins"`)) {
		t.Fatal("planning had no invented rows taken through the mapping")
	}
	d.Write(bytes.Replace(ledger, []byte(`"twins"`), []byte(`"was"`), 1), "room", "target", "ledger.json")
	r = d.Open()
	_, err = r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Rehearsal})
	refused(err)
	if _, err := r.Twin(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	apply(t, r, ecluse.Rehearsal)
}

// TestUnmappedIsNotTried: a dry run in which no row of a dataset came through tried nothing
// of what the mapping does with one.
func TestUnmappedIsNotTried(t *testing.T) {
	t.Parallel()
	d := roomtest.Trying(t, roomtest.Sealed, 3)
	r := d.Open()
	text := bytes.Replace(d.Read("mapping.yaml"), []byte("family_name: NOM"), []byte(`family_name: {value: "{'nobody': 'x'}[NOM]", miss: reject}`), 1)
	d.Write(text, "mapping.yaml")
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: text, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	v, err := r.Twin(t.Context(), roomtest.Migration)
	if err != nil || !v.Passed {
		t.Fatalf("on invented rows: %v, %+v", err, v)
	}
	planDry(t, d, r)
	apply(t, r, ecluse.Dry)
	planFor(t, d, r, ecluse.Final, roomtest.Claire)
	_, err = r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final)
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "neither dry nor in rehearsal") {
		t.Errorf("begun: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if ledger := d.Read("room", "target", "ledger.json"); bytes.Contains(ledger, []byte(`"tried"`)) {
		t.Error("the gate's ledger has it as tried")
	}
}

// TestTwinOfOthers: a mapping that passed on other columns than the approved ones, which a
// lock hands out, or against another schema than the target has now, has not passed.
func TestTwinOfOthers(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	refused := func(what string) {
		t.Helper()
		_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "has not passed on invented rows") {
			t.Fatalf("%s: %v", what, err)
		}
	}
	forget := func() {
		if err := r.HomeOf(exchange.TargetPlace).Note(roomtest.Migration, func(e *gate.Entry) error { clear(e.Twins); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	lies := lying{r.Seat(exchange.TargetPlace), func(c *exchange.Case) {
		plan, err := mandate.ParseReadPlan(c.ReadPlan)
		if err != nil {
			t.Error(err)
			return
		}
		for i := range plan.Datasets {
			for n := range plan.Datasets[i].Columns {
				plan.Datasets[i].Columns[n].Declared = "VARCHAR(30)"
			}
		}
		c.ReadPlan = plan.Bytes()
	}}
	target, err := app.Target(d.Join("room", "target"), lies)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if s, err := target.Twin(t.Context(), roomtest.Migration); err != nil || !s.Passed {
		t.Fatalf("on other columns: %v, %+v", err, s)
	}
	refused("it passed on other columns")
	if v, err := r.Twin(t.Context(), roomtest.Migration); err != nil || !v.Passed {
		t.Fatal(err)
	}
	d.Exec("novalab.db", "ALTER TABLE patient ADD COLUMN note TEXT")
	refused("the target changed since")
	if v, err := r.Twin(t.Context(), roomtest.Migration); err != nil || !v.Passed {
		t.Fatal(err)
	}
	if v := apply(t, r, ecluse.Final); !v.Reconciled {
		t.Errorf("%+v", v)
	}
}

// downTarget is a database that goes down when a table is to be read.
type downTarget struct{ writer.Target }

func (downTarget) Rows(context.Context, ecluse.TableName, []string, int) (*record.Batch, error) {
	return nil, &ecluse.Error{Kind: ecluse.Failed, What: "read", Why: "the connection was refused"}
}

// TestTwinLooksUp: what is read of the target for look-ups is named, and a database that is
// down says nothing of the mapping: no statement is signed.
func TestTwinLooksUp(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Approved, 3)
	text := bytes.Replace(d.Read("mapping.yaml"), []byte("from:\n"), []byte("targets: {known: {table: test, key: [code], columns: [label], rows: 5000}}\nfrom:\n"), 1)
	text = bytes.Replace(text, []byte("unit: {value:"), []byte(`status: {value: "known[c.loinc].label", miss: value, default: "'final'"}`+"\n        unit: {value:"), 1)
	text = bytes.Replace(text, []byte(`        status: "pending`), []byte(`#`), 1)
	d.Write(text, "mapping.yaml")
	r := d.Open()
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: text, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	v, err := r.Twin(t.Context(), roomtest.Migration)
	if err != nil || !v.Passed || !slices.Equal(v.LookedUp, []string{"test"}) {
		t.Fatalf("%v, %+v", err, v)
	}
	before, err := r.Lock().Posted(t.Context(), roomtest.Migration, exchange.TwinReport)
	if err != nil {
		t.Fatal(err)
	}
	target, err := app.Target(d.Join("room", "target"), r.Seat(exchange.TargetPlace), func(b *gate.Base) { b.DB = downTarget{b.DB} })
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if s, err := target.Twin(t.Context(), roomtest.Migration); ecluse.KindOf(err) != ecluse.Failed {
		t.Errorf("a database that is down: %v, %+v", err, s)
	}
	after, err := r.Lock().Posted(t.Context(), roomtest.Migration, exchange.TwinReport)
	if err != nil || len(after) != len(before) {
		t.Errorf("%d statements after %d: %v", len(after), len(before), err)
	}
}

// TestTwinHolds: datasets held for look-ups are invented too, unique in what they are
// looked up by, and the statement is posted and journalled as any other.
func TestTwinHolds(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Approved, 3)
	text := bytes.Replace(d.Read("mapping.yaml"), []byte("from:\n"), []byte("hold: {prescriber: {key: [NOM], rows: 5000}}\nfrom:\n"), 1)
	text = bytes.Replace(text, []byte("rpps: RPPS"), []byte(`rpps: {value: "prescriber[NOM].RPPS", miss: "null"}`), 1)
	d.Write(text, "mapping.yaml")
	r := d.Open()
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: text, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	v, err := r.Twin(t.Context(), roomtest.Migration)
	if err != nil || !v.Passed {
		t.Fatalf("a key that is unique in what is held: %v, %+v", err, v)
	}
	said, err := r.Lock().Posted(t.Context(), roomtest.Migration, exchange.TwinReport)
	if err != nil || len(said) < 1 || !bytes.HasPrefix(said[0].Body, []byte(`{"ecluse":"`+evidence.TwinFormat)) {
		t.Errorf("%d statements: %v", len(said), err)
	}
}
