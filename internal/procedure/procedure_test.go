package procedure

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/evidence"
)

var (
	controller = Person(ecluse.Controller, ecluse.Signatory)
	operator   = Person(ecluse.Processor, ecluse.Operator)
)

// everyPlace is every combination of states, possible or not.
func everyPlace() []Place {
	var all []Place
	for _, m := range Migrations() {
		for _, p := range Passages() {
			for _, k := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
				for _, held := range []Place{
					{},
					{Suspended: Sides{Controller: true}},
					{Objected: Sides{Processor: true}},
				} {
					held.Migration, held.Passage, held.Kind = m, p, k
					all = append(all, held)
				}
			}
		}
	}
	return all
}

func everyVerb() []Verb {
	var all []Verb
	for _, m := range table() {
		if !slices.Contains(all, m.Verb) {
			all = append(all, m.Verb)
		}
	}
	return all
}

// reachable are the places that moves lead to from the start.
func reachable(may func(Move, Actor) bool) map[Place]bool {
	seen := map[Place]bool{}
	var todo []Place
	for _, k := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
		p := Start()
		p.Kind = k
		seen[p] = true
		todo = append(todo, p)
	}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		for _, m := range table() {
			for _, a := range m.By {
				if !m.fits(p) || p.Held() && !m.Held || !may(m, a) {
					continue
				}
				q := m.apply(p, a)
				for _, k := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
					if q.Passage == None || q.Passage == Undone {
						q.Kind = k // another passage may be planned
					}
					if !seen[q] {
						seen[q] = true
						todo = append(todo, q)
					}
				}
			}
		}
	}
	return seen
}

func anybody(Move, Actor) bool { return true }

// TestEveryMove walks every state, verb and role: what the table lists is done,
// everything else is refused with a reason and changes nothing.
func TestEveryMove(t *testing.T) {
	done, refused := 0, 0
	for _, p := range everyPlace() {
		for _, v := range everyVerb() {
			for _, a := range actors() {
				want := slices.ContainsFunc(table(), func(m Move) bool {
					return m.Verb == v && slices.Contains(m.By, a) && m.fits(p) && (m.Held || !p.Held()) &&
						(v != Resume || p.heldBy(a.Side()))
				})
				q, err := Next(p, v, a)
				if (err == nil) != want {
					t.Fatalf("%v: %s by %s: error %v, want allowed %v", p, v, a, err, want)
				}
				if err == nil {
					done++
					continue
				}
				refused++
				var e *ecluse.Error
				if !errors.As(err, &e) || e.Why == "" || q != p {
					t.Fatalf("%v: %s by %s: error %#v, place %v", p, v, a, err, q)
				}
				if k := e.Kind; k != ecluse.Refused && k != ecluse.WaitsForSign {
					t.Fatalf("%v: %s by %s: kind %s", p, v, a, k)
				}
			}
		}
	}
	if done == 0 || refused < done {
		t.Errorf("%d moves done, %d refused", done, refused)
	}
}

type act struct {
	verb Verb
	by   Actor
}

func follow(t *testing.T, p Place, acts ...act) Place {
	t.Helper()
	for _, a := range acts {
		q, err := Next(p, a.verb, a.by)
		if err != nil {
			t.Fatalf("%s by %s: %v", a.verb, a.by, err)
		}
		p = q
	}
	return p
}

func approved(t *testing.T) Place {
	return follow(
		t, Start(),
		act{SignContract, controller}, act{SignContract, Person(ecluse.Processor, ecluse.Signatory)},
		act{OpenMigration, operator}, act{PlanRead, SourceGate}, act{SignInstruction, controller}, act{PlanRead, SourceGate},
		act{ApproveRead, operator}, act{ApproveRead, controller},
	)
}

func sealed(t *testing.T) Place {
	return follow(t, approved(t), act{BeginReading, SourceGate}, act{StoreChunk, SourceGate}, act{FinishReading, SourceGate})
}

func TestWholeStory(t *testing.T) {
	p := sealed(t)
	p.Kind = ecluse.Dry
	p = follow(t, p, act{PlanLoad, TargetGate}, act{ApproveLoad, operator}, act{BeginLoading, TargetGate}, act{FinishLoading, TargetGate})
	p.Kind = ecluse.Rehearsal
	p = follow(
		t, p, act{PlanLoad, TargetGate}, act{ApproveLoad, operator}, act{BeginLoading, TargetGate}, act{FinishLoading, TargetGate},
		act{Compare, TargetGate}, act{Undo, operator}, act{FinishUndo, TargetGate},
	)
	p.Kind = ecluse.Final
	p = follow(t, p, act{PlanLoad, TargetGate})
	if _, err := Next(p, ApproveLoad, operator); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("an operator approved the final load plan: %v", err)
	}
	p = follow(
		t, p, act{ApproveLoad, controller}, act{BeginLoading, TargetGate}, act{FinishLoading, TargetGate}, act{Compare, TargetGate},
		act{SignReasons, controller}, act{Accept, controller}, act{Erase, Lock}, act{DestroyKey, SourceGate}, act{DestroyKey, TargetGate},
		act{FinishErasure, Lock}, act{Close, Lock},
	)
	if p.Migration != Closed {
		t.Errorf("ends %s", p.Migration)
	}
}

// TestAlwaysErasable: from wherever a migration can get, the lock and the gates
// erase it without anybody's signature, whatever is suspended.
func TestAlwaysErasable(t *testing.T) {
	places := reachable(anybody)
	for p := range places {
		if p.Migration == None {
			continue
		}
		start := p
		for _, a := range []act{{Erase, Lock}, {KeepInUse, Lock}, {Undo, Lock}, {FinishUndo, TargetGate}, {DestroyKey, SourceGate}, {DestroyKey, TargetGate}, {FinishErasure, Lock}, {Close, Lock}} {
			if q, err := Next(p, a.verb, a.by); err == nil {
				p = q
			}
		}
		if p.Migration != Closed {
			t.Errorf("%v cannot be erased: ends at %v", start, p)
		}
	}
	t.Logf("%d places can be reached", len(places))
}

// TestLiveStays: what a laboratory works in is taken out of the target by a person's order
// alone, whatever lock and gates do; erased it is without anybody.
func TestLiveStays(t *testing.T) {
	machines := []Actor{Lock, SourceGate, TargetGate}
	live := Place{Migration: Sealed, Passage: Live, Kind: ecluse.Final}
	seen, todo := map[Place]bool{live: true}, []Place{live}
	for len(todo) > 0 {
		p := todo[0]
		todo = todo[1:]
		for _, v := range everyVerb() {
			q, err := Next(p, v, machines...)
			if err == nil && !seen[q] {
				seen[q] = true
				todo = append(todo, q)
			}
		}
	}
	for p := range seen {
		if p.Passage != Live && p.Passage != InUse {
			t.Errorf("lock and gates alone bring it to %v", p)
		}
	}
	if !seen[Place{Migration: Closed, Passage: InUse, Kind: ecluse.Final}] {
		t.Errorf("it is never erased: %v", keys(seen))
	}
	for _, by := range []Actor{controller, Person(ecluse.Controller, ecluse.DPO)} { // the instruction may name that one a deputy
		if p := follow(t, live, act{Erase, Lock}, act{Undo, by}); p.Passage != Undoing {
			t.Errorf("ordered by %s: %v", by, p)
		}
	}
	for _, by := range []Actor{operator, Person(ecluse.Processor, ecluse.Signatory)} {
		if p, err := Next(live, Undo, by); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("ordered by %s: %v, %v", by, p, err)
		}
	}
}

// TestNothingWithout: take one person's signatures away, and what needs them
// cannot be reached by any sequence of moves.
func TestNothingWithout(t *testing.T) {
	tests := []struct {
		verb Verb
		by   Actor
		goal func(Place) bool
	}{
		{ApproveRead, controller, func(p Place) bool { return p.Migration == Reading }},
		{ApproveRead, operator, func(p Place) bool { return p.Migration == Reading }},
		{SignInstruction, controller, func(p Place) bool { return p.Migration == ReadPlanned }},
		{ApproveLoad, controller, func(p Place) bool { return p.Passage == Loading && p.Kind == ecluse.Final }},
		{Accept, controller, func(p Place) bool { return p.Migration == Accepted }},
		{Erase, Lock, func(Place) bool { return false }},
	}
	for _, tc := range tests {
		for p := range reachable(func(m Move, a Actor) bool { return m.Verb != tc.verb || a != tc.by }) {
			if tc.goal(p) {
				t.Errorf("without %s by %s: reached %v", tc.verb, tc.by, p)
				break
			}
		}
	}
	for _, goal := range tests[:5] {
		if !slices.ContainsFunc(keys(reachable(anybody)), goal.goal) {
			t.Errorf("%s by %s: its goal cannot be reached at all", goal.verb, goal.by)
		}
	}
}

func keys(m map[Place]bool) []Place {
	var all []Place
	for p := range m {
		all = append(all, p)
	}
	return all
}

func TestHeld(t *testing.T) {
	p := follow(t, approved(t), act{BeginReading, SourceGate}, act{Suspend, Person(ecluse.Processor, ecluse.Security)})
	if _, err := Next(p, StoreChunk, SourceGate); err == nil || !strings.Contains(err.Error(), "held by processor") {
		t.Errorf("stored a chunk while suspended: %v", err)
	}
	if _, err := Next(p, Resume, controller); err == nil {
		t.Error("the controller lifted the processor's suspension")
	}
	p = follow(t, p, act{Object, Person(ecluse.Controller, ecluse.DPO)}, act{Resume, Person(ecluse.Processor, ecluse.Signatory)})
	if !p.Held() {
		t.Error("the processor lifted the controller's objection")
	}
	p = follow(t, p, act{Resume, controller}, act{StoreChunk, SourceGate})
	if p.Held() {
		t.Errorf("still held: %v", p)
	}
}

func TestRefusalsSayWho(t *testing.T) {
	planned := follow(t, Start(), act{OpenMigration, operator}, act{SignInstruction, controller}, act{PlanRead, SourceGate})
	tests := []struct {
		name      string
		place     Place
		verb      Verb
		by        []Actor
		kind      ecluse.Kind
		why, next string
	}{
		{"wrong person", planned, ApproveRead, []Actor{Person(ecluse.Processor, ecluse.DPO)}, ecluse.Refused, "processor dpo may not", "controller signatory or processor operator"},
		{"signatures missing", planned, BeginReading, []Actor{SourceGate}, ecluse.WaitsForSign, "the migration is read-planned", "approve the read plan: it takes controller signatory or processor operator"},
		{"twice by one side", follow(t, planned, act{ApproveRead, operator}), ApproveRead, []Actor{operator}, ecluse.Refused, "operator may not", "it takes controller signatory"},
		{"out of order", planned, Accept, []Actor{controller}, ecluse.Refused, "this is done when the migration is sealed and the passage compared or live (final)", ""},
		{"unknown verb", planned, "keep", []Actor{controller}, ecluse.Refused, "not in the procedure", ""},
		{"nobody", planned, Accept, nil, ecluse.Refused, "nobody may not", "controller signatory"},
	}
	for _, tc := range tests {
		_, err := Next(tc.place, tc.verb, tc.by...)
		var e *ecluse.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if e.Kind != tc.kind || !strings.Contains(e.Why, tc.why) || !strings.Contains(e.Next, tc.next) {
			t.Errorf("%s: %s: %q, next %q", tc.name, e.Kind, e.Why, e.Next)
		}
	}
}

// A gate is confirmed by a signatory of the controller and by nobody else, retired
// by one of either party, and never inside a migration.
func TestGates(t *testing.T) {
	for verb, may := range map[Verb][]Actor{
		ConfirmGate: {controller},
		RetireGate:  {controller, Person(ecluse.Processor, ecluse.Signatory)},
	} {
		for _, a := range actors() {
			p, err := Next(Start(), verb, a)
			if want := slices.Contains(may, a); (err == nil) != want || p != Start() {
				t.Errorf("%s by %s: %v, want allowed %v", verb, a, err, want)
			}
			if _, err := Next(approved(t), verb, a); ecluse.KindOf(err) != ecluse.Refused || err == nil {
				t.Errorf("%s by %s inside a migration: %v", verb, a, err)
			}
		}
	}
	a := &evidence.Act{Clauses: []evidence.Clause{
		{Verb: evidence.VerbRefuse, Kind: evidence.KindGate, Subject: ecluse.DigestOf([]byte("old"))},
		{Verb: evidence.VerbSign, Kind: evidence.KindGate, Subject: ecluse.DigestOf([]byte("new"))},
	}}
	got, err := ForAct(a)
	if d := cmp.Diff([]Verb{ConfirmGate, RetireGate}, got); err != nil || d != "" {
		t.Error(err, d)
	}
	a.Clauses[0].Verb = evidence.VerbApprove
	if _, err := ForAct(a); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("approving a gate: %v", err)
	}
}

func TestOptions(t *testing.T) {
	var verbs []Verb
	for _, o := range Options(approved(t)) {
		verbs = append(verbs, o.Verb)
	}
	want := []Verb{
		Inspect, SignInstruction, SignMapping, PlanRead, RefuseRead, LapseRead, BeginReading, PlanLoad,
		Erase, Suspend, Object, Resume,
	}
	if d := cmp.Diff(want, verbs); d != "" {
		t.Error(d)
	}
}

func TestForAct(t *testing.T) {
	a := &evidence.Act{Clauses: []evidence.Clause{
		{Verb: evidence.VerbAccept, Kind: evidence.KindReport},
		{Verb: evidence.VerbAccept, Kind: evidence.KindDispositions},
	}}
	got, err := ForAct(a)
	if d := cmp.Diff([]Verb{SignReasons, Accept}, got); err != nil || d != "" {
		t.Error(err, d)
	}
	a.Clauses[0].Verb = evidence.VerbSuspend
	if _, err := ForAct(a); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("suspending a report: %v", err)
	}
	reason := evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindReason}
	order := evidence.Clause{Verb: evidence.VerbObject, Kind: evidence.KindMigration}
	got, err = ForAct(&evidence.Act{Clauses: []evidence.Clause{order, reason}})
	if d := cmp.Diff([]Verb{Object}, got); err != nil || d != "" {
		t.Error(err, d)
	}
	for _, alone := range [][]evidence.Clause{{reason}, {order, {Verb: evidence.VerbAccept, Kind: evidence.KindReason}}} {
		if _, err := ForAct(&evidence.Act{Clauses: alone}); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%v: %v", alone, err)
		}
	}
	for _, v := range evidence.Verbs() {
		known := false
		for _, k := range []string{evidence.KindContract, evidence.KindInstruction, evidence.KindReadPlan, evidence.KindLoadPlan, evidence.KindReport, evidence.KindMigration} {
			_, ok := ForClause(evidence.Clause{Verb: v, Kind: k})
			known = known || ok
		}
		if !known {
			t.Errorf("no move for the verb %s", v)
		}
	}
}

func TestTableIsWhole(t *testing.T) {
	steps := Steps()
	if len(steps) != 13 {
		t.Fatalf("%d steps", len(steps))
	}
	for i, s := range append(steps, Anytime()) {
		if i < 13 && s.Number != i+1 {
			t.Errorf("step %d has number %d", i+1, s.Number)
		}
		for _, text := range []Text{s.Name, s.What, s.Law, s.Evidence} {
			if text.EN == "" || text.FR == "" {
				t.Errorf("step %d lacks a text: %+v", s.Number, text)
			}
		}
		for _, m := range s.Moves {
			if _, ok := verbs()[m.Verb]; !ok || len(m.By) == 0 || len(m.While) == 0 {
				t.Errorf("step %d: incomplete move %+v", s.Number, m)
			}
		}
	}
	for v := range verbs() {
		if !slices.Contains(everyVerb(), v) {
			t.Errorf("verb %s is in no step", v)
		}
	}
	french := french()
	for _, s := range slices.Concat(Migrations(), Passages()) {
		if french.stateNames[s] == "" {
			t.Errorf("state %s has no French name", s)
		}
	}
	for _, a := range actors() {
		if french.actorNames[a] == "" {
			t.Errorf("%s has no French name", a)
		}
	}
}

// TestGeneratedProcedure: the page is the table. `make docs` writes it.
func TestGeneratedProcedure(t *testing.T) {
	const file = "../../docs/reference/procedure.md"
	if os.Getenv("ECLUSE_UPDATE") != "" {
		if err := os.WriteFile(file, Document(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, Document()) || ecluse.DigestOf(page) != Digest() {
		t.Errorf("%s is not what the table prints; run: make docs", file)
	}
}

// actors lists everyone who can act at all.
func actors() []Actor {
	var all []Actor
	for _, s := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		for _, r := range []ecluse.Role{ecluse.Signatory, ecluse.Operator, ecluse.DPO, ecluse.Security} {
			all = append(all, Person(s, r))
		}
	}
	return append(all, SourceGate, TargetGate, Lock)
}

// TestApproversAreOneTable: who may approve a load plan is as gates and verifiers have it.
func TestApproversAreOneTable(t *testing.T) {
	for _, kind := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
		for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
			for _, role := range []ecluse.Role{ecluse.Signatory, ecluse.Operator, ecluse.DPO, ecluse.Security} {
				_, err := Next(Place{Migration: Sealed, Passage: LoadPlanned, Kind: kind}, ApproveLoad, Person(side, role))
				if may := evidence.MayApproveLoad(kind, side, role); (err == nil) != may {
					t.Errorf("%s passage, %s of the %s: the table says %v, and the procedure %v", kind, role, side, may, err)
				}
			}
		}
	}
}
