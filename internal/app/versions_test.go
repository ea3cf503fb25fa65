package app_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
)

// TestContractVersions: a second contract of one id names the one in force.
func TestContractVersions(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Contracted, 3)
	r := d.Open()
	first := d.Read("contract.yaml")
	sign := func(text []byte, who string) error {
		_, err := r.Sign(t.Context(), desk.SignRequest{File: "contract.yaml", Text: text, Key: d.Key(who)})
		return err
	}
	second := bytes.Replace(first, []byte("\nend:"), []byte("\n# the second version\nend:"), 1)
	naming := append(second[:len(second):len(second)], "\nreplaces: "+ecluse.DigestOf(first).String()+"\n"...)
	stranger := append(second[:len(second):len(second)], "\nreplaces: "+ecluse.DigestOf(second).String()+"\n"...)
	for text, want := range map[string]string{string(second): "is in force, and it does not name it", string(stranger): "is in force, and it replaces"} {
		if err := sign([]byte(text), roomtest.Julie); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	for _, who := range []string{roomtest.Julie, roomtest.Claire, roomtest.Claire} {
		if err := sign(naming, who); err != nil {
			t.Fatal(err)
		}
	}
	if err := sign(first, roomtest.Julie); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("the version before was signed again: %v", err)
	}
	other := strings.Replace(string(naming), "\nid: ", "\nid: other-", 1)
	if err := sign([]byte(other), roomtest.Julie); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "no version of it is in force") {
		t.Errorf("a first contract that replaces one: %v", err)
	}
}

// TestInstructionVersions: a second instruction names the one in force, and its
// deadline is the migration's: nearer or later, it is the controller's word.
func TestInstructionVersions(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 3)
	r := d.Open()
	text := string(d.Read("instruction.yaml"))
	version := func(eraseBy time.Time, replaces ecluse.Digest) []byte {
		v := replaceLine(text, "erase_by:", " "+eraseBy.Format(time.RFC3339))
		if !replaces.IsZero() {
			v += "\nreplaces: " + replaces.String() + "\n"
		}
		return []byte(v)
	}
	sign := func(text []byte) error {
		_, err := r.Sign(t.Context(), desk.SignRequest{File: "instruction.yaml", Text: text, Key: d.Key(roomtest.Claire)})
		return err
	}
	deadline := func() time.Time {
		s, err := r.Status(t.Context(), roomtest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		return s[0].EraseBy.UTC()
	}
	first, born := ecluse.DigestOf([]byte(text)), deadline()
	near := time.Now().UTC().Truncate(time.Second).AddDate(0, 0, 3)
	for replaces, want := range map[ecluse.Digest]string{
		{}:                              first.String() + " is in force, and it does not name it",
		ecluse.DigestOf([]byte("none")): first.String() + " is in force, and it replaces",
	} {
		if err := sign(version(near, replaces)); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if got := deadline(); !got.Equal(born) {
		t.Errorf("a version that was refused moved the deadline to %s", got)
	}

	second := version(near, first)
	if _, err := r.Plan(t.Context(), desk.PlanRequest{Instruction: second, File: "instruction.yaml", Key: d.Key(roomtest.Marc)}); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a plan of a version that nobody signed: %v", err)
	}
	if got := deadline(); !got.Equal(born) {
		t.Errorf("a version that nobody signed moved the deadline to %s", got)
	}
	if err := sign(second); err != nil {
		t.Fatal(err)
	}
	if got := deadline(); !got.Equal(near) {
		t.Errorf("the deadline is %s, signed was %s", got, near)
	}
	if err := sign(second); err != nil { // again does no harm
		t.Error(err)
	}
	if err := sign([]byte(text)); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("the version before was signed again: %v", err)
	}

	if err := sign(version(time.Now().AddDate(9, 0, 0), ecluse.DigestOf(second))); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "after the last day the contract leaves") {
		t.Errorf("a deadline after the contract's end: %v", err)
	}
	later := born.Add(-time.Hour).Truncate(time.Second)
	third := version(later, ecluse.DigestOf(second))
	if err := sign(third); err != nil {
		t.Fatal(err)
	}
	if got := deadline(); !got.Equal(later) {
		t.Errorf("the deadline is %s, signed was %s", got, later)
	}
	if rows := d.Query("room/lock/control.db", "SELECT at FROM due WHERE kind = 'erase' AND done = 0"); len(rows) != 1 {
		t.Errorf("%d deadlines", len(rows))
	}

	// The nearer deadline erases, with nobody's help.
	near = time.Now().UTC().Add(2 * time.Second).Truncate(time.Second)
	if err := sign(version(near, ecluse.DigestOf(third))); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Until(near.Add(10 * time.Millisecond)))
	runDue(t, r)
	if p := place(t, r); p.Migration != "closed" && p.Migration != "erased" {
		t.Errorf("the migration is %s", p.Migration)
	}
}

// TestUnusedColumns: what is instructed and of no use is told (GDPR art. 5(1)(c)).
func TestUnusedColumns(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Approved, 3)
	r := d.Open()
	text := d.Read("mapping.yaml")
	v, err := r.CheckMapping(t.Context(), d.Join("mapping.yaml"), text)
	if err != nil || len(v.Unused) != 1 || v.Unused[0] != "result.UNITE" { // units come from the table of codes
		t.Fatalf("%v, %v", v, err)
	}
	less := bytes.Replace(text, []byte(", rpps: RPPS"), nil, 1)
	if v, err = r.CheckMapping(t.Context(), d.Join("mapping.yaml"), less); err != nil || len(v.Unused) != 2 || v.Unused[0] != "prescriber.RPPS" {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join("mapping.yaml"), Text: less, Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	if p, err := r.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Dry}); err != nil || len(p.Unused) != 2 {
		t.Errorf("%v, %v", p, err)
	}
}
