package cli

import (
	"bytes"
	"strings"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/sluice/reconcile"
)

// TestRowsOfLaterReadings: what a later reading sealed is shown by its dataset's name and
// which reading it was, never by the name under which it lies in the chamber.
func TestRowsOfLaterReadings(t *testing.T) {
	later := ecluse.DatasetID("result").Changed(1)
	for french, want := range map[bool]string{false: "result (reading 2)", true: "result (lecture nº 2)"} {
		for name, show := range map[string]func(*ui, *bytes.Buffer){
			"a row released": func(u *ui, _ *bytes.Buffer) { u.maskedRow(&evidence.MaskedRow{Dataset: later, Ordinal: 12}) },
			"progress":       func(u *ui, b *bytes.Buffer) { b.WriteString(u.progressLine(exchange.Progress{Dataset: later}, 1)) },
			"traced rows": func(u *ui, b *bytes.Buffer) {
				var s strings.Builder
				u.reportTraced(&s, &reconcile.Public{Traced: []reconcile.Difference{{Dataset: later}}})
				b.WriteString(s.String())
			},
			"a row put aside": func(u *ui, _ *bytes.Buffer) { u.rejected(&gate.Rejected{Dataset: later}) },
		} {
			var b bytes.Buffer
			show(&ui{out: &b, french: french}, &b)
			if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "ecluse.changed") {
				t.Errorf("%s: %s, want %s", name, b.String(), want)
			}
		}
	}
	if got := (&ui{}).chunk(ecluse.Slot{Dataset: later, Sequence: 3}); got != "result/000003 (reading 2)" {
		t.Errorf("a chunk is %s", got)
	}
	if row := plainRow(&gate.Rejected{Dataset: later}); row.Dataset != "result" || row.Reading != 1 {
		t.Errorf("in JSON: %+v", row)
	}
}

// TestRowNamed: a row is named as screens show it, and nothing else is taken for one.
func TestRowNamed(t *testing.T) {
	for text, want := range map[string]rowNamed{"result:12": {"result", 12}, "result@2:0": {ecluse.DatasetID("result").Changed(1), 0}} {
		var got rowNamed
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "result", ":1", "@2:1", "result:-1", "result@:1", "result@1:1", "result@0:1", "result@x:1", "result@2", "result@2:", "result:x"} {
		if err := new(rowNamed).UnmarshalText([]byte(text)); ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
