package mandate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
)

// TestDeadlineSaid: an end in words.
func TestDeadlineSaid(t *testing.T) {
	d := mandate.Deadline{Of: mandate.OfErasure, At: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	if s := d.String(); s != "the deadline of erasure, 2026-11-30 12:00 UTC" {
		t.Error(s)
	}
}

// TestRosterInOpenWindow: a roster that lapses while a passage goes on in its window counts
// to the window's end, and in no later one; nothing begins under one that lapsed.
func TestRosterInOpenWindow(t *testing.T) {
	w := mandatetest.New(t)
	lapse := w.Now.Add(-24 * time.Hour).Add(evidence.RosterLife)
	clock := func(d time.Duration) string { return lapse.Add(d).UTC().Format("15:04") }
	window := clock(-time.Hour) + "-" + clock(2*time.Hour) + " UTC"
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+fmt.Sprintf("limits: {rows: 1000, bytes: 1TB, window: %q}\n", window))
	in := m.ReadPermitInputs()
	closes := lapse.Truncate(time.Minute).Add(2 * time.Hour)
	for name, c := range map[string]struct {
		now, begun time.Time
		ok         bool
	}{
		"before it lapses":                     {lapse.Add(-30 * time.Minute), w.Now, true},
		"after, in the window":                 {lapse.Add(30 * time.Minute), w.Now, true},
		"a minute before the window's end":     {closes.Add(-time.Minute), w.Now, true},
		"in the next window":                   {lapse.Add(23*time.Hour + 30*time.Minute), w.Now, false},
		"a passage that did not begin":         {lapse.Add(30 * time.Minute), time.Time{}, false},
		"a passage that begins after it lapse": {lapse.Add(30 * time.Minute), lapse.Add(10 * time.Minute), false},
	} {
		in.Now, in.BegunAt = c.now, c.begun
		p, err := mandate.PermitRead(in)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && !p.NotAfter().Equal(closes) {
			t.Errorf("%s: it ends %s, want %s", name, p.NotAfter(), closes)
		}
		trust := in.Trust
		trust.Begun = c.begun
		if err := mandate.Stands(trust, in.Papers); (err == nil) != c.ok {
			t.Errorf("%s: it stands: %v", name, err)
		}
	}
}

// TestInTime: nothing is compiled for a night before whose end, and a day after it,
// something ends.
func TestInTime(t *testing.T) {
	w := mandatetest.New(t)
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	closes := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	late := now.AddDate(0, 2, 0)
	roster := func(side ecluse.Side, expires time.Time) *evidence.Roster {
		return &evidence.Roster{Side: side, Number: 2, Issued: now.AddDate(0, 0, -1), Expires: expires}
	}
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
	for name, c := range map[string]struct {
		window string
		erase  time.Time
		roster time.Time
		why    string // empty: it is in time
	}{
		"far off":                        {"20:00-06:00 UTC", late, late, ""},
		"a day after the window's end":   {"20:00-06:00 UTC", closes.Add(24 * time.Hour), late, ""},
		"less than a day":                {"20:00-06:00 UTC", closes.Add(24*time.Hour - time.Second), late, "the deadline of erasure"},
		"inside the window":              {"20:00-06:00 UTC", closes.Add(-time.Hour), late, "the deadline of erasure"},
		"a roster":                       {"20:00-06:00 UTC", late, closes.Add(time.Hour), "the end of the processor's roster"},
		"no window":                      {"", now.Add(24 * time.Hour), late, ""},
		"no window, and it ends at once": {"", now.Add(23 * time.Hour), late, "the deadline of erasure"},
		"no window, a roster":            {"", late, now.Add(time.Hour), "the end of the processor's roster"},
	} {
		i := *m.Instruction
		i.Limits.Window, i.EraseBy = c.window, c.erase
		err := mandate.InTime(m.Contract, &i, []*evidence.Roster{roster(ecluse.Controller, late), roster(ecluse.Processor, c.roster)}, now)
		if c.why == "" && err != nil || c.why != "" && (ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), c.why)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLapsesInNoOpenWindow: an approval that is 72 hours old inside an open window holds to
// the window's end, of somebody who is still in the roster.
func TestLapsesInNoOpenWindow(t *testing.T) {
	w := mandatetest.New(t)
	approved := w.Now.Add(-time.Hour)
	lapse := approved.Add(mandate.BeginWithin)
	clock := func(d time.Duration) string { return lapse.Add(d).UTC().Format("15:04") }
	open := func(from, to time.Duration) *mandatetest.Migration {
		window := clock(from) + "-" + clock(to) + " UTC"
		return w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+fmt.Sprintf("limits: {rows: 1000, bytes: 1TB, window: %q}\n", window))
	}
	for name, c := range map[string]struct {
		from, to, at time.Duration
		ok           bool
	}{
		"before it lapses":              {-time.Hour, 3 * time.Hour, -30 * time.Minute, true},
		"after, in the window":          {-time.Hour, 3 * time.Hour, 2 * time.Hour, true},
		"in a window that opened after": {time.Hour, 3 * time.Hour, 2 * time.Hour, false},
	} {
		m := open(c.from, c.to)
		in := m.ReadPermitInputs()
		as := func(a *evidence.Act) { a.NotAfter = a.NotBefore.Add(mandate.BeginWithin) }
		approve := []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)}
		in.Acts = append(in.Acts, m.Act(t, w.Anne, ecluse.Signatory, approve, as), m.Act(t, w.Jean, ecluse.Operator, approve, as))
		in.Now = lapse.Add(c.at)
		_, err := mandate.PermitRead(in)
		if (err == nil) != c.ok || !c.ok && ecluse.KindOf(err) != ecluse.WaitsForSign {
			t.Errorf("%s: %v", name, err)
		}
		if at := m.Instruction.Lapses(approved); c.from < 0 != at.After(lapse.Add(2*time.Hour)) {
			t.Errorf("%s: it lapses %s", name, at)
		}
	}
}

// TestReadsInTime: a later reading is a night's work like the first, and one that began goes on
// in no later window in which something ends.
func TestReadsInTime(t *testing.T) {
	w := mandatetest.New(t)
	due := time.Now().UTC().AddDate(0, 0, 20).Truncate(24 * time.Hour).Add(12 * time.Hour) // noon
	window := "limits: {rows: 1000, bytes: 1TB, window: 20:00-06:00 UTC}\n"
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+window+"erase_by: "+due.Format(time.RFC3339)+"\n")
	in := m.ReadPermitInputs()
	night := func(before int) time.Time { return due.AddDate(0, 0, -before).Add(10 * time.Hour) } // 22:00
	for name, c := range map[string]struct {
		now, begun, again time.Time
		later             bool
		ok                bool
	}{
		"the first, in time":                       {now: night(3), ok: true},
		"the first, too late":                      {now: night(1)},
		"it goes on in its window":                 {now: night(1), begun: night(1).Add(-time.Hour), ok: true},
		"it goes on in a later one":                {now: night(2), begun: night(3), ok: true},
		"it goes on in a later one, too late":      {now: night(1), begun: night(3)},
		"a later one, in time":                     {now: night(3), begun: night(5), later: true, ok: true},
		"a later one, too late":                    {now: night(1), begun: night(5), later: true},
		"a later one goes on in its window":        {now: night(1), begun: night(5), again: night(1), later: true, ok: true},
		"a later one goes on in another, too late": {now: night(1), begun: night(5), again: night(2), later: true},
	} {
		in.Now, in.BegunAt, in.Again, in.AgainAt = c.now, c.begun, c.later, c.again
		_, err := mandate.PermitRead(in)
		if late := ecluse.KindOf(err) == ecluse.Refused && strings.Contains(fmt.Sprint(err), "the deadline of erasure"); late == c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBeginsInTime: what was in time when the plan was compiled, and is not any more when its
// passage is to begin, does not begin; one that began goes on.
func TestBeginsInTime(t *testing.T) {
	w := mandatetest.New(t)
	due := w.Now.Add(40 * time.Hour)
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+"erase_by: "+due.Format(time.RFC3339)+"\n")
	read := m.ReadPermitInputs()
	load := m.LoadPermitInputs(t, ecluse.Final, shape(), target(), mandatetest.Dialect(ecluse.PostgreSQL))
	for name, c := range map[string]struct {
		now, begun time.Time
		ok         bool
	}{
		"a day and an hour before": {due.Add(-25 * time.Hour), time.Time{}, true},
		"less than a day":          {due.Add(-23 * time.Hour), time.Time{}, false},
		"begun before that":        {due.Add(-23 * time.Hour), w.Now, true},
	} {
		read.Now, read.BegunAt, load.Now, load.BegunAt, load.Used = c.now, c.begun, c.now, c.begun, 0
		if !c.begun.IsZero() {
			load.Used = 1
		}
		_, one := mandate.PermitRead(read)
		_, other := mandate.PermitLoad(load)
		for _, err := range []error{one, other} {
			if c.ok && err != nil || !c.ok && (ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), "begin passage: invented-1: the deadline of erasure")) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
