package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/desk"
	"ecluse/internal/gate"
	"ecluse/internal/sluice/reconcile"
)

// TestRenumberedFields lists what --json says of it: the story has no counter.
func TestRenumberedFields(t *testing.T) {
	t.Parallel()
	r := &ecluse.Renumbering{Since: ecluse.Passage{Kind: ecluse.Dry, Number: 1}, Lost: true, Tables: []ecluse.Renumbered{{Base: true}}}
	r.Also = []ecluse.Renumbering{*r}
	since := &desk.Since{Renumbered: r, Unnumbered: true}
	load := &gate.LoadStatement{Compared: &reconcile.Public{Renumbered: r}}
	for name, v := range map[string]any{
		"apply-renumbered": desk.Applied{Load: load}, "report-renumbered": desk.ReportView{LoadStatement: load},
		"plan-renumbered": desk.Plans{Since: since}, "approve-renumbered": desk.Signature{Since: since},
		"gate-report-renumbered": app.ExactReport{ReportView: desk.ReportView{LoadStatement: load}, Exact: &reconcile.Report{Renumbered: r}},
	} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var all map[string]any
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		if text, err = json.Marshal(numberedOnly(all)); err != nil {
			t.Fatal(err)
		}
		if err := sameFields(name, string(text)); err != nil {
			t.Error(err)
		}
	}
}

// numberedOnly is what an object says of numbers.
func numberedOnly(all map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range all {
		if strings.HasSuffix(name, "numbered") {
			out[name] = v
		} else if in, ok := v.(map[string]any); ok {
			if in = numberedOnly(in); len(in) > 0 {
				out[name] = in
			}
		}
	}
	return out
}
