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
		if live := e.Live(plan); live.IsZero() == c.live {
			t.Errorf("%s: live by %s", name, live)
		}
	}
}
