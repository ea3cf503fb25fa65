package app_test

import (
	"fmt"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

// TestRefusedIsJournalled: what the lock refuses is an error, changes nothing, and
// leaves one event. What waits for a signature or is wrong leaves none, nor does
// what never reaches the lock: a key that no roster has.
func TestRefusedIsJournalled(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 3)
	r := d.Open()
	leaves := func() []string {
		return d.Query("room/lock/control.db", "SELECT CAST(leaf.text AS TEXT) || coalesce(CAST(body.text AS TEXT), '') FROM leaf LEFT JOIN body USING (tree, idx) ORDER BY leaf.at, tree, idx")
	}
	facts := func() string {
		return fmt.Sprint(place(t, r), d.Query("room/lock/control.db", "SELECT kind || digest FROM document ORDER BY 1"), d.Query("room/lock/control.db", "SELECT digest FROM act ORDER BY 1"))
	}
	instruction := string(d.Read("instruction.yaml"))
	credential := strings.Replace(instruction, "columns: {", "columns: {MOTDEPASSE: identity, ", 1)
	if credential == instruction {
		t.Fatal("the instruction is not as the test thinks")
	}
	own, lab := string(roomtest.Migration), "installation"
	for _, c := range []struct {
		name string
		try  func() error
		kind ecluse.Kind
		tree string
		want []string // of the event
	}{
		{"a password signed", func() error {
			_, err := r.Sign(t.Context(), desk.SignRequest{File: "i.yaml", Text: []byte(credential), Key: d.Key(roomtest.Claire)})
			return err
		}, ecluse.Refused, own, []string{`"verb":"open"`, ecluse.DigestOf([]byte(credential)).String(), `"person":"claire`}},
		{"a password planned", func() error {
			_, err := r.Plan(t.Context(), desk.PlanRequest{File: "i.yaml", Instruction: []byte(credential), Key: d.Key(roomtest.Marc)})
			return err
		}, ecluse.Refused, own, []string{`"verb":"open"`, `"person":"marc`}},
		{"a stranger's key", func() error {
			_, err := r.Sign(t.Context(), desk.SignRequest{File: "i.yaml", Text: d.Read("contract.yaml"), Key: d.Key("root-controller")})
			return err
		}, ecluse.Refused, lab, nil},
		{"the other side's order", func() error {
			_, err := r.Erase(t.Context(), desk.Order{Because: "x", Key: d.Key(roomtest.Marc)})
			return err
		}, ecluse.Refused, own, []string{`"verb":"erase"`, `"person":"marc`}},
		{"a roster by another root", func() error {
			_, err := r.AddRoster(t.Context(), "roster.yaml", d.Read("roster-controller.yaml"), d.Key("root-processor"))
			return err
		}, ecluse.Refused, lab, []string{`"verb":"roster"`}},
		{"a passage too early", func() error {
			_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			return err
		}, ecluse.WaitsForSign, own, nil},
		{"a document that is wrong", func() error {
			_, err := r.Sign(t.Context(), desk.SignRequest{File: "i.yaml", Text: []byte("ecluse: instruction/v1\n"), Key: d.Key(roomtest.Claire)})
			return err
		}, ecluse.Invalid, own, nil},
		{"a held passage", func() error {
			if _, err := r.Approve(t.Context(), d.Read("room", "plans", own+"-readplan.json"), d.Key(roomtest.Marc)); err != nil {
				t.Fatal(err)
			}
			d.Exec("room/lock/control.db", "UPDATE migration SET suspended = 1")
			_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			return err
		}, ecluse.Refused, own, []string{`"verb":"apply"`}},
	} {
		before, n, setUp := facts(), len(leaves()), c.name == "a held passage"
		err := c.try()
		if got := ecluse.KindOf(err); got != c.kind {
			t.Errorf("%s: %v, want it %s", c.name, err, c.kind)
		}
		if !setUp && facts() != before {
			t.Errorf("%s: it left a trace", c.name)
		}
		var events []string
		for _, l := range leaves()[n:] {
			if strings.Contains(l, `"type":"refused"`) {
				events = append(events, l)
			} else if !setUp {
				t.Errorf("%s: journalled %s", c.name, l)
			}
		}
		if (c.want != nil) != (len(events) == 1) {
			t.Errorf("%s: %d events", c.name, len(events))
			continue
		}
		for _, w := range append(c.want, `"tree":"`+c.tree+`"`) {
			if len(events) == 1 && !strings.Contains(events[0], w) {
				t.Errorf("%s: journalled %s, want %s", c.name, events[0], w)
			}
		}
	}

	for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
		v, err := r.Inspect(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		all := leaves()
		if last := all[len(all)-1]; !strings.Contains(last, `"type":"inspected"`) || !strings.Contains(last, v.Digest.String()) || !strings.Contains(last, `"place":"`+string(at)+`"`) {
			t.Errorf("journalled %s", last)
		}
	}
}
