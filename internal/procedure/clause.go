package procedure

import (
	"fmt"
	"slices"

	"ecluse"
	"ecluse/evidence"
)

// ForClause is the move that a signed clause makes; false when the procedure has
// none for it. Refusing a report is ordering its passage undone, and so is, before there is
// one, refusing the act by which its load plan was approved: of that passage alone, for the
// same plan may be approved again.
func ForClause(c evidence.Clause) (Verb, bool) {
	v, ok := map[[2]string]Verb{
		{string(evidence.VerbSign), evidence.KindContract}:       SignContract,
		{string(evidence.VerbSign), evidence.KindGate}:           ConfirmGate,
		{string(evidence.VerbRefuse), evidence.KindGate}:         RetireGate,
		{string(evidence.VerbSign), evidence.KindInstruction}:    SignInstruction,
		{string(evidence.VerbSign), evidence.KindMapping}:        SignMapping,
		{string(evidence.VerbApprove), evidence.KindReadPlan}:    ApproveRead,
		{string(evidence.VerbRefuse), evidence.KindReadPlan}:     RefuseRead,
		{string(evidence.VerbApprove), evidence.KindLoadPlan}:    ApproveLoad,
		{string(evidence.VerbRefuse), evidence.KindLoadPlan}:     RefuseLoad,
		{string(evidence.VerbSign), evidence.KindDispositions}:   SignReasons,
		{string(evidence.VerbAccept), evidence.KindDispositions}: SignReasons,
		{string(evidence.VerbGo), evidence.KindReport}:           Go,
		{string(evidence.VerbNoGo), evidence.KindReport}:         NoGo,
		{string(evidence.VerbAccept), evidence.KindReservations}: Accept,
		{string(evidence.VerbAccept), evidence.KindReport}:       Accept,
		{string(evidence.VerbRefuse), evidence.KindReport}:       Undo,
		{string(evidence.VerbRefuse), evidence.KindAct}:          Undo,
		{string(evidence.VerbErase), evidence.KindMigration}:     Erase,
		{string(evidence.VerbLeave), evidence.KindLoadPlan}:      AllowLeaving,
		{string(evidence.VerbErase), evidence.KindKept}:          EraseKept,
		{string(evidence.VerbSuspend), evidence.KindMigration}:   Suspend,
		{string(evidence.VerbResume), evidence.KindMigration}:    Resume,
		{string(evidence.VerbResume), evidence.KindAct}:          Resume,
		{string(evidence.VerbObject), evidence.KindMigration}:    Object,
	}[[2]string{string(c.Verb), c.Kind}]
	return v, ok
}

// goesWith tells what moves nothing by itself: a reason, with the order it is given
// for, and what stays open, with its go.
func goesWith(c evidence.Clause, a *evidence.Act) bool {
	if c.Verb != evidence.VerbSign || len(a.Clauses) < 2 {
		return false
	}
	return c.Kind == evidence.KindReason || c.Kind == evidence.KindDecision && evidence.Decides(a)
}

// ForAct lists the moves that an act makes, each once, in the order of the
// steps: clauses signed together hold together, whatever their order.
func ForAct(a *evidence.Act) ([]Verb, error) {
	var verbs []Verb
	for _, c := range a.Clauses {
		v, ok := ForClause(c)
		if !ok && goesWith(c, a) {
			continue
		}
		if !ok {
			return nil, &ecluse.Error{Kind: ecluse.Refused, What: "act", Why: fmt.Sprintf("to %s a %s is not in the procedure", c.Verb, c.Kind)}
		}
		if !slices.Contains(verbs, v) {
			verbs = append(verbs, v)
		}
	}
	at := func(v Verb) int { return slices.IndexFunc(table(), func(m Move) bool { return m.Verb == v }) }
	slices.SortStableFunc(verbs, func(a, b Verb) int { return at(a) - at(b) })
	return verbs, nil
}
