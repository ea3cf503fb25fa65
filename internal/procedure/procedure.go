// Package procedure is whether: the states of a migration and of its passage in
// hand, and who may move them. They are one table (Steps and Anytime), which
// Next obeys and from which docs/reference/procedure.md is printed; the hash of
// that page is in every plan. A migration that follows another procedure cannot
// be expressed.
//
// The package knows no database and no clock. Whether a signature holds is
// mandate's and evidence's business; what is asked here is whether it may come
// now, and from that role.
package procedure

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"ecluse"
)

// State of a migration, or of its passage in hand.
type State string

// None is before a migration is born, and when no passage is in hand.
const None State = "none"

// The states of a migration, in order.
const (
	Born         State = "born"          // contract in force, instruction named, deadline set
	Instructed   State = "instructed"    // instruction signed
	ReadPlanned  State = "read-planned"  // read plan compiled
	ByController State = "by-controller" // read plan approved by the controller alone
	ByProcessor  State = "by-processor"  // read plan approved by the processor alone
	Approved     State = "approved"      // read plan approved by both
	Reading      State = "reading"
	Sealed       State = "sealed" // everything read is in the chamber; the manifest is closed
	Accepted     State = "accepted"
	Erasing      State = "erasing" // erasure decided; nothing else can happen any more
	Erased       State = "erased"
	Closed       State = "closed" // the evidence bundle stands
)

// The states of a passage; a final one that is accepted is Accepted.
const (
	LoadPlanned  State = "load-planned"
	LoadApproved State = "load-approved"
	Loading      State = "loading"
	Loaded       State = "loaded"
	Compared     State = "compared"
	Live         State = "live"     // after a go: the laboratory works in the new software
	Declined     State = "declined" // after a no-go
	Undoing      State = "undoing"
	Undone       State = "undone"
	Left         State = "left"   // it could not be taken out of the target, and its keys are gone
	InUse        State = "in-use" // live and not accepted when its keys went: it stays
)

// Withdrawn is what a list of passages says of one that never began at the target gate, by
// that gate's signed word: it does not count against the instruction's budget. A migration
// stands as after any undoing then.
const Withdrawn State = "withdrawn"

// Migrations lists the states of a migration in order, None first.
func Migrations() []State {
	return []State{
		None, Born, Instructed, ReadPlanned, ByController, ByProcessor, Approved,
		Reading, Sealed, Accepted, Erasing, Erased, Closed,
	}
}

// Passages lists the states of a passage in order, None first.
func Passages() []State {
	return []State{None, LoadPlanned, LoadApproved, Loading, Loaded, Compared, Live, Declined, Undoing, Undone, Left, InUse, Accepted}
}

// Sides tells which parties did something.
type Sides struct {
	Controller bool `json:"controller,omitempty"`
	Processor  bool `json:"processor,omitempty"`
}

// Any tells whether one of them did.
func (s Sides) Any() bool { return s.Controller || s.Processor }

func (s *Sides) set(side ecluse.Side, v bool) {
	switch side {
	case ecluse.Controller:
		s.Controller = v
	case ecluse.Processor:
		s.Processor = v
	}
}

// Place is where a migration stands. The zero Place is nowhere; Start is where
// every migration begins.
type Place struct {
	Migration State              `json:"migration"`
	Passage   State              `json:"passage"`
	Kind      ecluse.PassageKind `json:"kind,omitempty"` // of the passage in hand, or of the one about to be planned
	Suspended Sides              `json:"suspended,omitzero"`
	Objected  Sides              `json:"objected,omitzero"`
}

// Start is before a migration is born.
func Start() Place { return Place{Migration: None, Passage: None} }

// Held tells whether a party suspended the migration or objected to it: data
// stand still, papers and erasure go on (EU clauses 2021/915, clause 10).
func (p Place) Held() bool { return p.Suspended.Any() || p.Objected.Any() }

// Actor is who makes a move: a person by side and role, or a machine.
type Actor string

// The machines. Lock stands for the deadlines it keeps: nobody gives the order.
const (
	SourceGate Actor = "source gate"
	TargetGate Actor = "target gate"
	Lock       Actor = "lock"
)

// Person is the actor for a role at a side.
func Person(s ecluse.Side, r ecluse.Role) Actor { return Actor(string(s) + " " + string(r)) }

// Side is the person's; empty for machines.
func (a Actor) Side() ecluse.Side {
	side, _, ok := strings.Cut(string(a), " ")
	switch s := ecluse.Side(side); {
	case ok && (s == ecluse.Controller || s == ecluse.Processor):
		return s
	}
	return ""
}

// InTarget are the states of a passage whose rows are in the target and not accepted.
func InTarget() []State { return []State{Loading, Loaded, Compared, Live, Declined, Undoing} }

// Reported are the states of a passage of which there is a report that can be refused.
func Reported() []State { return []State{Compared, Live, Declined} }

// takenOut are those that the lock takes out again by itself, and an operator may: never
// what a laboratory works in.
func takenOut() []State {
	return slices.DeleteFunc(InTarget(), func(s State) bool { return s == Live })
}

// Move is one line of the table: who may do what, from where to where.
type Move struct {
	Verb      Verb
	By        []Actor
	While     []State              // of the migration
	To        State                // of the migration; empty: it stays
	Passage   []State              // of the passage in hand; nil: whatever it is
	PassageTo State                // empty: it stays
	Kinds     []ecluse.PassageKind // of the passage; nil: every kind
	Held      bool                 // may be made while the migration is held
}

func (m *Move) fits(p Place) bool {
	return slices.Contains(m.While, p.Migration) &&
		(m.Passage == nil || slices.Contains(m.Passage, p.Passage)) &&
		(m.Kinds == nil || slices.Contains(m.Kinds, p.Kind))
}

// apply makes the move; by says whose suspension or objection it is.
func (m *Move) apply(p Place, by Actor) Place {
	if m.To != "" {
		p.Migration = m.To
	}
	if m.PassageTo != "" {
		p.Passage = m.PassageTo
	}
	switch m.Verb {
	case Suspend:
		p.Suspended.set(by.Side(), true)
	case Object:
		p.Objected.set(by.Side(), true)
	case Resume:
		p.Suspended.set(by.Side(), false)
		p.Objected.set(by.Side(), false)
	}
	return p
}

// table is the whole of it, step after step, compiled once and never changed.
var table = sync.OnceValue(func() []Move {
	var all []Move
	for _, s := range Steps() {
		all = append(all, s.Moves...)
	}
	return append(all, Anytime().Moves...)
})

// Next makes a move. A person who holds several roles gives them all; the first
// that may is used. The error is an *ecluse.Error: Refused, or WaitsForSign when
// nothing but signatures is missing. It says who may, and when.
func Next(p Place, v Verb, by ...Actor) (Place, error) {
	var moves []Move
	for _, m := range table() {
		if m.Verb != v {
			continue
		}
		moves = append(moves, m)
		if !m.fits(p) || p.Held() && !m.Held {
			continue
		}
		for _, a := range by {
			if slices.Contains(m.By, a) && (v != Resume || p.heldBy(a.Side())) {
				return m.apply(p, a), nil
			}
		}
	}
	return p, refusal(p, v, by, moves)
}

// MayEver tells whether an actor may make a move at all, wherever a migration stands.
func MayEver(v Verb, a Actor) bool {
	return slices.ContainsFunc(table(), func(m Move) bool { return m.Verb == v && slices.Contains(m.By, a) })
}

// Option is something that can be done now, and by whom.
type Option struct {
	Verb Verb
	By   []Actor
}

// Options lists what can be done now, in the table's order.
func Options(p Place) []Option {
	var can []Option
	for _, m := range table() {
		if m.fits(p) && (m.Held || !p.Held()) {
			can = append(can, Option{m.Verb, m.By})
		}
	}
	return can
}

// refusal says why none of the moves of one verb could be made.
func refusal(p Place, v Verb, by []Actor, moves []Move) error {
	e := &ecluse.Error{Kind: ecluse.Refused, What: v.Text().EN}
	if len(moves) == 0 {
		e.Why = fmt.Sprintf("%q is not in the procedure", v)
		return e
	}
	var may []Actor
	var when []string
	fits := false
	for i := range moves {
		m := &moves[i]
		if m.fits(p) {
			fits = true
			may = append(may, m.By...)
		}
	}
	for i := range moves {
		m := &moves[i]
		if !fits {
			may = append(may, m.By...)
		}
		if slices.ContainsFunc(by, func(a Actor) bool { return slices.Contains(m.By, a) }) {
			when = append(when, m.when())
		}
	}
	e.Next = "it takes " + list(may, "or")
	switch {
	case fits && p.Held() && !moves[0].Held:
		e.Why = "the migration is held by " + p.holders()
		e.Next = "the signatory who answers for that side resumes it"
		e.Article = "EU clauses 2021/915, clause 10"
	case fits && moves[0].Verb == Resume && len(when) > 0: // what the other side holds
		e.Why = "the migration is held by " + p.holders()
	case fits:
		e.Why = fmt.Sprintf("%s may not", list(by, "and"))
		e.Article = "GDPR art. 29"
	case len(when) == 0:
		e.Why = fmt.Sprintf("%s may not, and %s", list(by, "and"), p.at())
		e.Article = "GDPR art. 29"
	default:
		e.Why = fmt.Sprintf("%s; this is done %s", p.at(), strings.Join(slices.Compact(when), ", or "))
		e.Next = ""
		if missing := signatures(p, moves); missing != nil {
			e.Kind = ecluse.WaitsForSign
			e.Next = fmt.Sprintf("%s: it takes %s", missing.Verb.Text().EN, list(missing.By, "or"))
		}
	}
	return e
}

// signatures finds the first of the signatures after which one of the moves
// would fit; nil when something else is missing too. Only approvals count: they
// are what a migration waits for.
func signatures(p Place, moves []Move) *Option {
	var first *Option
	for range len(Migrations()) {
		var step *Move
		for i := range table() {
			if m := &table()[i]; (m.Verb == ApproveRead || m.Verb == ApproveLoad) && m.fits(p) {
				step = m
				break
			}
		}
		if step == nil {
			return nil
		}
		if first == nil {
			first = &Option{step.Verb, nil}
			for _, o := range Options(p) {
				if o.Verb == step.Verb {
					first.By = append(first.By, o.By...)
				}
			}
		}
		p = step.apply(p, step.By[0])
		for i := range moves {
			if moves[i].fits(p) {
				return first
			}
		}
	}
	return nil
}

func (m *Move) when() string {
	s := "when the migration is " + list(m.While, "or")
	if m.Passage != nil {
		s += " and the passage " + list(m.Passage, "or")
	}
	if m.Kinds != nil {
		s += " (" + list(m.Kinds, "or") + ")"
	}
	return s
}

func (p Place) at() string {
	s := fmt.Sprintf("the migration is %s", p.Migration)
	if p.Passage != None {
		s += fmt.Sprintf(" and its %s passage %s", p.Kind, p.Passage)
	}
	return s
}

func (p Place) heldBy(s ecluse.Side) bool {
	return s == ecluse.Controller && (p.Suspended.Controller || p.Objected.Controller) ||
		s == ecluse.Processor && (p.Suspended.Processor || p.Objected.Processor)
}

func (p Place) holders() string {
	var who []ecluse.Side
	for _, s := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if p.heldBy(s) {
			who = append(who, s)
		}
	}
	return list(who, "and")
}

// list writes "a, b or c", each once.
func list[T ~string](items []T, last string) string {
	var s []string
	for _, i := range items {
		if !slices.Contains(s, string(i)) {
			s = append(s, string(i))
		}
	}
	if len(s) == 0 {
		return "nobody"
	}
	if len(s) == 1 {
		return s[0]
	}
	return strings.Join(s[:len(s)-1], ", ") + " " + last + " " + s[len(s)-1]
}
