package evidence

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// TestApproversAreOneTable: verify.sh lists those who may approve as the table does.
func TestApproversAreOneTable(t *testing.T) {
	t.Parallel()
	function := regexp.MustCompile(`(?ms)^approvers\(\) \{.*?^\}$`).Find(Script())
	for _, kind := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
		out, err := exec.Command("sh", "-c", string(function)+"\napprovers "+string(kind)).Output()
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, who := range Approvers(kind) {
			want = append(want, fmt.Sprintf("%s %s", who.Side, who.Role))
		}
		got := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: verify.sh has %q, want %q", kind, got, want)
		}
	}
	if Approvers("other") != nil {
		t.Error("somebody may approve a passage of no kind")
	}
}

// TestVerifyApprovers: a dry run whose plan the controller's signatory approved is as good
// as an operator's, and nobody else's.
func TestVerifyApprovers(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for name, x := range map[string]struct {
		side   ecluse.Side
		person *Person
		key    ssh.Signer
		role   ecluse.Role
		ok     bool
	}{
		"a signatory of the controller": {ecluse.Controller, &c.pAnne, c.anne, ecluse.Signatory, true},
		"an operator of the processor":  {ecluse.Processor, &c.pLuc, c.luc, ecluse.Operator, true},
		"a signatory of the processor":  {ecluse.Processor, &c.pPaul, c.paul, ecluse.Signatory, false},
		"a DPO":                         {ecluse.Controller, &c.pHugo, c.hugo, ecluse.DPO, false},
	} {
		s := newStory(c)
		rosters := map[ecluse.Side]Act{}
		s.act = func(name string, a *Act, by *ssh.Signer) bool {
			rosters[a.Side] = *a
			if name == "try" {
				a.Side, a.Person, a.Role, a.Roster, a.RosterNumber = x.side, x.person.ID, x.role, rosters[x.side].Roster, rosters[x.side].RosterNumber
				*by = x.key
			}
			return true
		}
		bundle := s.tell(t)
		if v := Verify(bundle, c.roots()); v.OK() != x.ok {
			t.Errorf("%s: %s", name, v.Text())
		}
		if out := runScript(t, onDisk(t, bundle), c.roots()); strings.HasPrefix(out, "OK\n") != x.ok {
			t.Errorf("%s: verify.sh:\n%s", name, out)
		}
	}
}

// TestVerifyOneApprovalAPassage: of two final passages under one load plan each began under
// an approval of its own, handed in before.
func TestVerifyOneApprovalAPassage(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for name, x := range map[string]struct {
		again func(w *telling, plan ecluse.Digest)
		ok    bool
	}{
		"approved again": {func(w *telling, plan ecluse.Digest) {
			w.says("again", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{VerbApprove, KindLoadPlan, plan})
			w.begins("final-2", plan)
		}, true},
		"the first goes on": {func(w *telling, plan ecluse.Digest) { w.begins("final-1", plan) }, true},
		"not again":         {func(w *telling, plan ecluse.Digest) { w.begins("final-2", plan) }, false},
		"too late": {func(w *telling, plan ecluse.Digest) {
			w.begins("final-2", plan)
			w.says("again", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{VerbApprove, KindLoadPlan, plan})
		}, false},
	} {
		s := newStory(c)
		var text string
		s.loadPlan = func(plan string) string {
			text = plan
			return plan
		}
		s.decided = func(w *telling, _ ecluse.Digest) {
			if name != "the first goes on" {
				w.do(w.b.AddLoadPlan(ecluse.Passage{Kind: ecluse.Final, Number: 2}, []byte(text)))
			}
			x.again(w, ecluse.DigestOf([]byte(text)))
		}
		bundle := s.tell(t)
		for by, said := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
			if strings.HasPrefix(said, "OK\n") != x.ok {
				t.Errorf("%s, %s:\n%s", name, by, said)
			}
		}
	}
}
