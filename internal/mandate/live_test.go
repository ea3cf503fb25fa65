package mandate_test

import (
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
)

// TestLiveByTime: what was refused ends a go only when it was refused after it. A load plan
// whose bytes come again was perhaps refused before, of another passage.
func TestLiveByTime(t *testing.T) {
	plan, first, second := ecluse.DigestOf([]byte("plan")), ecluse.DigestOf([]byte("first")), ecluse.DigestOf([]byte("second"))
	type signed struct {
		verb    evidence.Verb
		kind    string
		subject ecluse.Digest
		at      time.Duration
	}
	goes := func(report ecluse.Digest, at time.Duration) signed {
		return signed{evidence.VerbGo, evidence.KindReport, report, at}
	}
	refuses := func(kind string, subject ecluse.Digest, at time.Duration) signed {
		return signed{evidence.VerbRefuse, kind, subject, at}
	}
	for name, c := range map[string]struct {
		acts []signed
		live bool
	}{
		"nothing":                      {nil, false},
		"go":                           {[]signed{goes(first, 0)}, true},
		"its report refused since":     {[]signed{goes(first, 0), refuses(evidence.KindReport, first, time.Minute)}, false},
		"its plan refused since":       {[]signed{goes(first, 0), refuses(evidence.KindLoadPlan, plan, time.Minute)}, false},
		"in the same second":           {[]signed{goes(first, 0), refuses(evidence.KindLoadPlan, plan, 0)}, false},
		"the plan refused before":      {[]signed{refuses(evidence.KindLoadPlan, plan, -time.Minute), goes(first, 0)}, true},
		"refused before and since":     {[]signed{refuses(evidence.KindLoadPlan, plan, -time.Minute), goes(first, 0), refuses(evidence.KindLoadPlan, plan, time.Minute)}, false},
		"refused, and go of another":   {[]signed{goes(first, -2*time.Minute), refuses(evidence.KindReport, first, -time.Minute), goes(second, 0)}, true},
		"both refused":                 {[]signed{goes(first, -2*time.Minute), refuses(evidence.KindReport, first, -time.Minute), goes(second, 0), refuses(evidence.KindReport, second, time.Minute)}, false},
		"another plan refused since":   {[]signed{goes(first, 0), refuses(evidence.KindLoadPlan, second, time.Minute)}, true},
		"its report refused, go again": {[]signed{goes(first, -2*time.Minute), refuses(evidence.KindReport, first, -time.Minute), goes(first, 0)}, true},
	} {
		m := migration(t)
		for _, s := range c.acts {
			clauses := []evidence.Clause{{Verb: s.verb, Kind: s.kind, Subject: s.subject}}
			m.Papers.Acts = append(m.Papers.Acts, m.Act(t, m.World.Anne, ecluse.Signatory, clauses, func(a *evidence.Act) { a.NotBefore = a.NotBefore.Add(s.at) }))
		}
		e := mandate.Ended(m.ReadPermitInputs().Trust, m.ID, m.Papers)
		if live := e.Live(mandate.Loaded{Plan: plan}); live.IsZero() == c.live {
			t.Errorf("%s: live by %s", name, live)
		}
	}
}

// TestLiveAndItsApproval: to refuse the act that approved a plan after a go ends it too.
func TestLiveAndItsApproval(t *testing.T) {
	plan, report := ecluse.DigestOf([]byte("plan")), ecluse.DigestOf([]byte("report"))
	for _, live := range []bool{true, false} {
		m := migration(t)
		add := func(after time.Duration, verb evidence.Verb, kind string, subject ecluse.Digest) ecluse.Digest {
			s := m.Act(t, m.World.Anne, ecluse.Signatory, []evidence.Clause{{Verb: verb, Kind: kind, Subject: subject}}, func(a *evidence.Act) { a.NotBefore = a.NotBefore.Add(after) })
			m.Papers.Acts = append(m.Papers.Acts, s)
			return s.Digest()
		}
		under := add(-time.Minute, evidence.VerbApprove, evidence.KindLoadPlan, plan)
		add(0, evidence.VerbGo, evidence.KindReport, report)
		if !live {
			add(time.Minute, evidence.VerbRefuse, evidence.KindAct, under)
		}
		if e := mandate.Ended(m.ReadPermitInputs().Trust, m.ID, m.Papers); e.Live(mandate.Loaded{Plan: plan, Under: under, Reports: []ecluse.Digest{report}}).IsZero() == live {
			t.Errorf("live by %s, want %v", e.Live(mandate.Loaded{Plan: plan, Under: under, Reports: []ecluse.Digest{report}}), live)
		}
	}
}

// TestUndoRefusesOneApproval: what one side ordered undone, by refusing the act under which
// it began, is not loaded under that act; the same plan approved anew is.
func TestUndoRefusesOneApproval(t *testing.T) {
	m, in := loadInputs(t, ecluse.Final)
	under := in.Acts[len(in.Acts)-1].Digest()
	refuse := m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{{Verb: evidence.VerbRefuse, Kind: evidence.KindAct, Subject: under}})
	in.Acts = append(in.Acts, refuse)
	if _, err := mandate.PermitLoad(in); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("begins under an approval that was refused: %v", err)
	}
	again := in
	again.BegunAt, again.Used, again.Under = in.Now, 1, map[string]ecluse.Digest{"final-1": under}
	if _, err := mandate.PermitLoad(again); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("goes on under an approval that was refused: %v", err)
	}
	anew := m.Act(t, m.World.Anne, ecluse.Signatory, []evidence.Clause{{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(in.LoadPlan)}})
	in.Acts = append(in.Acts, anew)
	if p, err := mandate.PermitLoad(in); err != nil || p.Approval() != anew.Digest() {
		t.Errorf("approved anew: %v", err)
	}
}
