package desk

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	"ecluse/internal/procedure"
)

// lies is a lock that shows whatever a test has it show, and keeps what it is handed.
type lies struct {
	Lock
	status    []exchange.Status
	me        *exchange.Person
	draft     exchange.Draft
	current   map[string][]byte
	documents map[ecluse.Digest][]byte
	plans     *exchange.Plans
	handed    []*evidence.Act
	gates     []evidence.Signed // papers
	acts      []evidence.Signed // on gates
	rosters   []evidence.Signed
	signed    []evidence.Signed // acts of the migration
}

func (l *lies) Status(context.Context, ecluse.MigrationID) ([]exchange.Status, error) {
	return l.status, nil
}
func (l *lies) Me(context.Context) (*exchange.Person, error) { return l.me, nil }
func (l *lies) Draft(context.Context, ecluse.MigrationID, []evidence.Clause) (*exchange.Draft, error) {
	return &l.draft, nil
}

func (l *lies) Current(_ context.Context, _ ecluse.MigrationID, kind string) ([]byte, error) {
	return l.current[kind], nil
}

func (l *lies) Document(_ context.Context, d ecluse.Digest) ([]byte, error) {
	return l.documents[d], nil
}

func (l *lies) Acts(context.Context, ecluse.MigrationID) ([]evidence.Signed, error) {
	return l.signed, nil
}

func (l *lies) EnrolledGates(context.Context) ([]evidence.Signed, error) { return l.gates, nil }
func (l *lies) GateActs(context.Context) ([]evidence.Signed, error)      { return l.acts, nil }
func (l *lies) Rosters(context.Context) ([]evidence.Signed, error)       { return l.rosters, nil }

func (l *lies) Gates(context.Context) ([]exchange.GateView, error) { // whatever is wanted
	return []exchange.GateView{{Gate: "SHA256:thief", Place: exchange.SourcePlace, Confirmed: true, Admitted: true}}, nil
}

func (l *lies) Inspect(context.Context, exchange.Place) (*exchange.Inspection, error) {
	text, err := json.Marshal(catalogue())
	return &exchange.Inspection{Catalogue: text, Estimates: []byte("{}")}, err
}

func (l *lies) Plan(context.Context, ecluse.MigrationID, ecluse.PassageKind) (*exchange.Plans, error) {
	return l.plans, nil
}

func (l *lies) OpenMigration(context.Context, []byte) (ecluse.MigrationID, error) { return "", nil }

func (l *lies) HandIn(_ context.Context, s evidence.Signed, _ []exchange.Enclosure) (*exchange.Receipt, error) {
	a, err := evidence.ParseAct(s.Body)
	if err != nil {
		return nil, err
	}
	l.handed = append(l.handed, a)
	return &exchange.Receipt{Act: s.Digest()}, nil // and no head: the desk says so, afterwards
}

// lying is a lock that knows a migration's papers, and the desk of a person of it.
func lying(t *testing.T, who func(*mandatetest.World) *mandatetest.Person) (*lies, *Desk, *mandatetest.Migration, ssh.Signer) {
	t.Helper()
	w := mandatetest.New(t)
	p := who(w)
	m := w.Migration(t, catalogue(), mandatetest.Dialect(ecluse.SQLite), "datasets:\n  patient: {from: patient, key: [id], columns: {id: technical}}\n")
	l := &lies{
		status:  []exchange.Status{{Migration: m.ID}},
		draft:   exchange.Draft{Role: p.Roles[0], NotBefore: w.Now},
		current: map[string][]byte{evidence.KindInstruction: m.Papers.Instruction}, documents: map[ecluse.Digest][]byte{},
		plans: &exchange.Plans{Migration: m.ID, Read: m.Papers.ReadPlan},
	}
	for _, s := range m.Papers.Rosters {
		if r, err := evidence.ParseRoster("roster", s.Body); err == nil && r.Side == p.Side {
			l.me = &exchange.Person{ID: p.ID, Side: p.Side, Roles: p.Roles, Roster: s}
		}
	}
	d := New(func(context.Context, ssh.Signer) (Lock, error) { return l, nil }, filepath.Join(t.TempDir(), "plans"), nil)
	return l, d.Trust(map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: w.Root(ecluse.Controller), ecluse.Processor: w.Root(ecluse.Processor)}, ""), m, p.Signer
}

func catalogue() *ecluse.Catalogue {
	return &ecluse.Catalogue{Engine: ecluse.SQLite, Tables: []ecluse.Table{{
		Name: ecluse.TableName{Name: "patient"}, PrimaryKey: []string{"id"}, Columns: []ecluse.Column{{Name: "id", Declared: "INTEGER"}},
	}}}
}

// TestAnotherMigration: what is signed is what was named, whatever the lock answers.
func TestAnotherMigration(t *testing.T) {
	l, d, m, key := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
	honest := l.status
	for name, status := range map[string][]exchange.Status{
		"another": {{Migration: "another-one"}}, "with another": {{Migration: m.ID}, {Migration: "another-one"}}, "a path": {{Migration: "../../x"}}, "none": {{}},
	} {
		l.status = status
		_, err := d.Suspend(t.Context(), Order{Migration: m.ID, Because: "to be sure", Key: key})
		if ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}
	l.status = []exchange.Status{{Migration: "../../x"}}
	if _, err := d.Suspend(t.Context(), Order{Because: "to be sure", Key: key}); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("the only one is a path: %v", err)
	}
	if _, err := d.Suspend(t.Context(), Order{Migration: "../../x", Because: "to be sure", Key: key}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("typed: %v", err)
	}
	// The right one, with another's papers behind it.
	l.status = []exchange.Status{{Migration: "another-one"}}
	if _, err := d.Suspend(t.Context(), Order{Migration: "another-one", Because: "to be sure", Key: key}); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another's instruction: %v", err)
	}
	if _, err := d.Plan(t.Context(), PlanRequest{Migration: "another-one"}); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another's plan: %v", err)
	}
	if len(l.handed) > 0 {
		t.Errorf("%d acts were signed", len(l.handed))
	}
	l.status = honest
	if _, err := d.Plan(t.Context(), PlanRequest{Migration: m.ID}); err != nil {
		t.Errorf("its own plan: %v", err)
	}
	files, err := os.ReadDir(d.plans)
	if err != nil || len(files) != 1 || files[0].Name() != string(m.ID)+"-readplan.json" {
		t.Errorf("written: %v, %v", files, err)
	}
}

// TestOwnClockAndRole: from when an act holds, and in which role, is not the lock's to
// choose: what stops is never dated back, what lifts a refusal never ahead.
func TestOwnClockAndRole(t *testing.T) {
	signatory := func(w *mandatetest.World) *mandatetest.Person { return w.Lucy } // signatory and security officer
	for name, c := range map[string]struct {
		apart  time.Duration
		role   ecluse.Role
		lifts  bool
		words  string        // of the refusal
		least  time.Duration // after the order was given
		atMost time.Duration
	}{
		"the lock is behind":                  {apart: -90 * time.Second, role: ecluse.Security, atMost: 0},
		"the lock is ahead":                   {apart: 90 * time.Second, role: ecluse.Signatory, least: 90 * time.Second, atMost: 90 * time.Second},
		"the lock is ahead of what lifts":     {apart: 90 * time.Second, role: ecluse.Signatory, lifts: true},
		"the lock is behind what lifts":       {apart: -90 * time.Second, role: ecluse.Signatory, lifts: true, least: -90 * time.Second, atMost: -90 * time.Second},
		"dated back":                          {apart: -3 * time.Minute, role: ecluse.Signatory, words: "the clock"},
		"dated ahead":                         {apart: time.Hour, role: ecluse.Signatory, words: "the clock"},
		"a role of somebody else's":           {role: ecluse.DPO, words: `"dpo"`},
		"a role in which nobody may":          {role: ecluse.Security, lifts: true, words: `"security"`},
		"no role":                             {words: `""`},
		"a role of theirs, which says little": {role: ecluse.Operator, words: `"operator"`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, d, m, key := lying(t, signatory)
				given := time.Now().UTC().Truncate(time.Second)
				l.draft = exchange.Draft{Role: c.role, NotBefore: given.Add(c.apart)}
				q := Order{Migration: m.ID, Because: "to be sure", Key: key}
				do := d.Suspend
				if c.lifts {
					do = d.Resume
				}
				_, err := do(t.Context(), q)
				if c.words != "" {
					if ecluse.KindOf(err) != ecluse.Unverified || !strings.Contains(err.Error(), c.words) || len(l.handed) > 0 {
						t.Errorf("%v, %d acts signed", err, len(l.handed))
					}
					return
				}
				if len(l.handed) != 1 { // what the desk says of a receipt without a head is another test's
					t.Fatalf("%d acts signed: %v", len(l.handed), err)
				}
				if from := l.handed[0].NotBefore.Sub(given); from < c.least || from > c.atMost {
					t.Errorf("it holds from %s after it was ordered", from)
				}
			})
		})
	}
}

// TestResumeNamesWhatItLifts: the acts that somebody lifts are those that they were shown.
func TestResumeNamesWhatItLifts(t *testing.T) {
	l, d, m, key := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
	stop := func(p *mandatetest.Person, role ecluse.Role, because string) exchange.Hold {
		s := m.Act(t, p, role, []evidence.Clause{
			{Verb: evidence.VerbSuspend, Kind: evidence.KindMigration, Subject: m.Instruction.Digest()},
			{Verb: evidence.VerbSign, Kind: evidence.KindReason, Subject: ecluse.DigestOf([]byte(because))},
		})
		l.documents[s.Digest()] = s.Body
		return exchange.Hold{Act: s.Digest(), Verb: procedure.Suspend, Person: p.ID, Side: p.Side, Role: role, Because: because}
	}
	one, two := stop(m.World.Anne, ecluse.Signatory, "one"), stop(m.World.Paul, ecluse.DPO, "two")
	theirs := stop(m.World.Lucy, ecluse.Signatory, "theirs")
	resume := func(holds ...exchange.Hold) error {
		l.handed, l.status[0].Held = nil, holds
		_, err := d.Resume(t.Context(), Order{Migration: m.ID, Because: "settled", Key: key})
		return err
	}
	_ = resume(one, two, theirs)
	if len(l.handed) != 1 {
		t.Fatalf("%d acts", len(l.handed))
	}
	for _, h := range []exchange.Hold{one, two, theirs} {
		if named := l.handed[0].Has(evidence.VerbResume, evidence.KindAct, h.Act); named != (h.Side == ecluse.Controller) {
			t.Errorf("%s: named %v", h.Because, named)
		}
	}
	swap := func(change func(*exchange.Hold)) exchange.Hold {
		h := one
		change(&h)
		return h
	}
	for name, h := range map[string]exchange.Hold{
		"another act behind the reason": swap(func(h *exchange.Hold) { h.Act = two.Act }),
		"another reason":                swap(func(h *exchange.Hold) { h.Because = "a slip" }),
		"another person":                swap(func(h *exchange.Hold) { h.Person = two.Person }),
		"an objection":                  swap(func(h *exchange.Hold) { h.Verb = procedure.Object }),
		"the other side's":              swap(func(h *exchange.Hold) { h.Act = theirs.Act }),
		"nothing":                       swap(func(h *exchange.Hold) { h.Act = ecluse.DigestOf([]byte("x")) }),
	} {
		if err := resume(h); err == nil || len(l.handed) > 0 {
			t.Errorf("%s: %v, %d acts signed", name, err, len(l.handed))
		}
	}
}

// TestUndoNamesItsPassage: before a passage has a report, whoever orders it undone refuses
// the act that approved its load plan, and none that the lock shows in its stead.
func TestUndoNamesItsPassage(t *testing.T) {
	l, d, m, key := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Jean })
	plan := []byte("a load plan")
	approve := evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(plan)}
	act := func(p *mandatetest.Person, role ecluse.Role, clause evidence.Clause, edits ...func(*evidence.Act)) ecluse.Digest {
		s := m.Act(t, p, role, []evidence.Clause{clause}, edits...)
		l.documents[s.Digest()] = s.Body
		return s.Digest()
	}
	under := act(m.World.Anne, ecluse.Signatory, approve)
	l.current[exchange.KindLoadPlan(ecluse.Final)] = plan
	l.status[0].Passage = "final-1"
	l.status[0].Place = procedure.Place{Migration: procedure.Sealed, Passage: procedure.Loading, Kind: ecluse.Final}
	undo := func(shown ecluse.Digest) error {
		l.handed, l.status[0].Approval = nil, shown
		_, err := d.Undo(t.Context(), UndoRequest{Migration: m.ID, Key: key})
		return err
	}
	_ = undo(under)
	if len(l.handed) != 1 || !l.handed[0].Has(evidence.VerbRefuse, evidence.KindAct, under) || len(l.handed[0].Clauses) != 1 {
		t.Fatalf("%d acts: %+v", len(l.handed), l.handed)
	}
	for name, shown := range map[string]ecluse.Digest{
		"the approval of another plan": act(m.World.Anne, ecluse.Signatory, evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(nil)}),
		"a signature under something":  act(m.World.Anne, ecluse.Signatory, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindInstruction, Subject: ecluse.DigestOf(plan)}),
		"nobody's to give":             act(m.World.Lucy, ecluse.Signatory, approve),
		"of another migration":         act(m.World.Anne, ecluse.Signatory, approve, func(a *evidence.Act) { a.Migration = "another-01" }),
		"nothing":                      {},
	} {
		if err := undo(shown); err == nil || len(l.handed) > 0 {
			t.Errorf("%s: %v, %d acts signed", name, err, len(l.handed))
		}
	}
}

// TestTemplateNamesConfirmedGates: the model of an instruction names those gates of which
// this device itself finds that the controller confirmed them.
func TestTemplateNamesConfirmedGates(t *testing.T) {
	l, d, m, _ := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
	w, lock := m.World, mandatetest.Key(t)
	d.lock, l.rosters = evidence.FingerprintOf(lock.PublicKey()), m.Papers.Rosters
	paper := func(key ssh.Signer, at evidence.Gate) evidence.Signed {
		g := w.Gate(key, lock)
		g.Place = at
		s, err := mandate.SignGate(key, g)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	say := func(p *mandatetest.Person, v evidence.Verb, later time.Duration, s evidence.Signed) {
		l.acts = append(l.acts, m.Act(t, p, ecluse.Signatory, []evidence.Clause{{Verb: v, Kind: evidence.KindGate, Subject: s.Digest()}},
			func(a *evidence.Act) { a.Migration, a.NotBefore = "", a.NotBefore.Add(later) }))
	}
	template := func(source, target string) {
		t.Helper()
		text, err := d.NewInstruction(t.Context(), "quatre-vents-01")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"\nsource: {gate: " + source + ",", "\ntarget: {gate: " + target + ","} {
			if !strings.Contains(text, want) {
				t.Errorf("want %q in\n%s", want, text)
			}
		}
	}
	source, target, waits := paper(w.SourceGate, evidence.SourceGate), paper(w.TargetGate, evidence.TargetGate), paper(mandatetest.Key(t), evidence.TargetGate)
	l.gates = []evidence.Signed{source, target, waits}
	template("", "")
	say(w.Lucy, evidence.VerbSign, 0, source) // the processor confirms none
	template("", "")
	say(w.Anne, evidence.VerbSign, 0, source)
	say(w.Anne, evidence.VerbSign, 0, target)
	template(string(evidence.FingerprintOf(w.SourceGate.PublicKey())), string(evidence.FingerprintOf(w.TargetGate.PublicKey())))
	say(w.Anne, evidence.VerbSign, 0, waits) // two: whoever writes it chooses
	template(string(evidence.FingerprintOf(w.SourceGate.PublicKey())), "")
	say(w.Anne, evidence.VerbRefuse, time.Minute, waits)
	template(string(evidence.FingerprintOf(w.SourceGate.PublicKey())), string(evidence.FingerprintOf(w.TargetGate.PublicKey())))
	d.lock = ""
	template("", "")
}

// TestTemplateSaysOldRoster: when the controller's roster is too old to tell who confirmed
// what, the model of an instruction says that, and not that no gate is confirmed.
func TestTemplateSaysOldRoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, d, m, _ := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
		w, lock := m.World, mandatetest.Key(t)
		d.lock, l.rosters = evidence.FingerprintOf(lock.PublicKey()), m.Papers.Rosters
		s, err := mandate.SignGate(w.SourceGate, w.Gate(w.SourceGate, lock))
		if err != nil {
			t.Fatal(err)
		}
		l.gates = []evidence.Signed{s}
		l.acts = []evidence.Signed{m.Act(t, w.Anne, ecluse.Signatory, []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindGate, Subject: s.Digest()}},
			func(a *evidence.Act) { a.Migration = "" })}
		const says = "\n#   which gates are confirmed cannot be told now: verify the controller's roster: it is older than 30 days, issued on "
		for _, old := range []bool{false, true} {
			text, err := d.NewInstruction(t.Context(), "quatre-vents-01")
			if err != nil {
				t.Fatal(err)
			}
			if names := strings.Contains(text, string(evidence.FingerprintOf(w.SourceGate.PublicKey()))); names == old {
				t.Errorf("old %v: it names the gate: %v", old, names)
			}
			if n := strings.Count(text, says); n != map[bool]int{true: 2}[old] {
				t.Errorf("old %v: it says so %d times:\n%s", old, n, text)
			}
			time.Sleep(evidence.RosterLife)
		}
	})
}

// TestPlanIsReadBeforeItIsSigned: whoever signs an instruction with its plan has had the
// plan on their machine; a lock's word for it is not enough.
func TestPlanIsReadBeforeItIsSigned(t *testing.T) {
	l, d, m, key := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
	l.current[evidence.KindReadPlan] = m.Papers.ReadPlan
	q := SignRequest{File: "instruction.yaml", Text: m.Papers.Instruction, WithPlan: true, Key: key}
	_, err := d.Sign(t.Context(), q)
	if ecluse.KindOf(err) != ecluse.WaitsForSign || !strings.Contains(err.Error(), "1 columns are taken") || len(l.handed) > 0 {
		t.Fatalf("unread: %v, %d acts signed", err, len(l.handed))
	}
	file := filepath.Join(d.plans, string(m.ID)+"-readplan.json")
	if text, err := os.ReadFile(file); err != nil || string(text) != string(m.Papers.ReadPlan) {
		t.Fatalf("written: %v", err)
	}
	if _, _ = d.Sign(t.Context(), q); len(l.handed) != 1 {
		t.Errorf("read: %d acts signed", len(l.handed))
	}
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Sign(t.Context(), q); ecluse.KindOf(err) != ecluse.Differs || len(l.handed) != 1 {
		t.Errorf("another: %v", err)
	}
}

// TestReadSinceBelievesNoLock: what a read plan is held against was approved by both parties,
// by acts that verify under the roots of this device, and is the one they name.
func TestReadSinceBelievesNoLock(t *testing.T) {
	l, d, m, _ := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
	wider := *m.Plan
	wider.Limits.Rows++
	l.plans.Read, l.rosters = wider.Bytes(), m.Papers.Rosters
	l.documents[m.Plan.Digest()] = m.Papers.ReadPlan
	plan := func() (*ReadSince, error) {
		p, err := d.Plan(t.Context(), PlanRequest{Migration: m.ID, Passage: ecluse.Final})
		if err != nil {
			return nil, err
		}
		return p.ReadSince, nil
	}
	if s, err := plan(); s != nil || err != nil {
		t.Errorf("nobody approved anything: %+v, %v", s, err)
	}
	l.signed = m.Papers.Acts
	if s, err := plan(); err != nil || s == nil || s.ReadPlan != m.Plan.Digest() || len(s.Changes) != 1 || s.Changes[0].What != "rows at most" {
		t.Errorf("%+v, %v", s, err)
	}
	jean := slices.DeleteFunc(slices.Clone(m.Papers.Acts), func(s evidence.Signed) bool { return !strings.Contains(string(s.Body), "jean-petit") })
	l.signed = jean
	if s, err := plan(); s != nil || err != nil {
		t.Errorf("one party approved it: %+v, %v", s, err)
	}
	l.signed = slices.Clone(m.Papers.Acts)
	for i := range l.signed {
		l.signed[i].Signature = jean[0].Signature
	}
	if _, err := plan(); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("acts that nobody signed: %v", err)
	}
	l.signed = m.Papers.Acts
	l.documents[m.Plan.Digest()] = wider.Bytes()
	if _, err := plan(); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another plan in its place: %v", err)
	}
	l.plans.Read = m.Papers.ReadPlan
	if s, err := plan(); s != nil || err != nil {
		t.Errorf("the one that is approved: %+v, %v", s, err)
	}
}

// TestApprovesWhatWasShown: how a plan differs is shown before anything is signed, and whoever
// does not go on has signed nothing.
func TestApprovesWhatWasShown(t *testing.T) {
	l, d, m, key := lying(t, func(w *mandatetest.World) *mandatetest.Person { return w.Anne })
	wider := *m.Plan
	wider.Limits.Rows++
	l.rosters, l.signed = m.Papers.Rosters, m.Papers.Acts
	l.documents[m.Plan.Digest()] = m.Papers.ReadPlan
	stop := errors.New("no")
	for _, answer := range []error{stop, nil} {
		shown := 0
		_, err := d.ApproveShown(t.Context(), wider.Bytes(), key, func(v Difference) error {
			if shown++; len(l.handed) > 0 {
				t.Error("it was signed before it was shown")
			}
			if v.Load || v.ReadSince == nil || len(v.ReadSince.Changes) != 1 {
				t.Errorf("shown: %+v", v)
			}
			return answer
		})
		if signed := len(l.handed) == 1 && l.handed[0].Has(evidence.VerbApprove, evidence.KindReadPlan, wider.Digest()); shown != 1 || signed != (answer == nil) {
			t.Errorf("shown %d times, %d acts handed in, %v", shown, len(l.handed), err)
		}
		if answer != nil && !errors.Is(err, stop) {
			t.Error(err)
		}
	}
}
