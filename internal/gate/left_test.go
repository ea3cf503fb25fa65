package gate

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice"
)

// TestSlotsOfNotes: every note is found again by its chunk, and nothing else is taken for
// one.
func TestSlotsOfNotes(t *testing.T) {
	n := &notes{t.TempDir()}
	want := []ecluse.Slot{{Dataset: "patient", Sequence: 3}, {Dataset: "patient-2", Sequence: 12, Version: 1}, {Dataset: "result", Sequence: 1_234_567, Version: 10}}
	for _, s := range want {
		if err := n.SetNote(s, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".patient-000001.0.half", "patient-1.0", "patient-000001.00", "-000001.0", "patient"} {
		if err := os.WriteFile(filepath.Join(n.dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := n.Slots()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}

func FuzzSlotOf(f *testing.F) {
	for _, name := range []string{"patient-000003.0", "a-b-000012.1", "patient", "-1.1", "x-000001.-1", "x-9999999999999999999.0"} {
		f.Add(name)
	}
	n := &notes{}
	f.Fuzz(func(t *testing.T, name string) {
		if slot, ok := slotOf(name); ok && slot.Dataset == "" {
			t.Errorf("%q is a note of %v", name, slot)
		}
		want := ecluse.Slot{Dataset: ecluse.DatasetID(strings.ReplaceAll(name, "/", "") + "x"), Sequence: len(name), Version: 2}
		if got, ok := slotOf(n.path(want)); !ok || got != want {
			t.Errorf("the note of %v is read as of %v, %t", want, got, ok)
		}
	})
}

// TestRowsLeftPrintNothing: neither the list nor a row of it shows a key.
func TestRowsLeftPrintNothing(t *testing.T) {
	x := LeftRows{Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}, Rows: []sluice.LeftRow{{
		Table: ecluse.TableName{Name: "patient"}, Key: []sluice.KeyValue{{Column: "id", Value: "ZQX"}},
	}}}
	if s := fmt.Sprintf("%v %+v %#v %s %v", x, &x, x.Rows, x.Rows[0], x.Rows[0].LogValue()); strings.Contains(s, "ZQX") {
		t.Errorf("it prints %s", s)
	}
}

// TestCertificateOfRowsThatStay: the target gate signs no certificate that says otherwise
// than its ledger what stays.
func TestCertificateOfRowsThatStay(t *testing.T) {
	e := &Entry{Undone: map[string]*Taken{
		"final-1": {Left: []ecluse.MaskedGroup{{Dataset: "patient", By: "patient: changed", Count: "<10"}}}, "final-2": {},
	}}
	of := func(n int, rows string) evidence.StayedRows {
		return evidence.StayedRows{Passage: ecluse.Passage{Kind: ecluse.Final, Number: n}, Rows: rows}
	}
	for _, c := range []struct {
		said []evidence.StayedRows
		want bool
	}{
		{[]evidence.StayedRows{of(1, "<10")}, true},
		{nil, false},
		{[]evidence.StayedRows{of(1, "12")}, false},
		{[]evidence.StayedRows{of(2, "<10")}, false},
		{[]evidence.StayedRows{of(1, "<10"), of(2, "<10")}, false},
	} {
		if got := e.stayed(c.said); got != c.want {
			t.Errorf("%v: %t", c.said, got)
		}
	}
}
