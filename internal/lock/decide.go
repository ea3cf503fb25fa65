package lock

import (
	"context"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// mayDecide refuses a go or no-go, and to take out what the laboratory works in, in a role
// in which the person may not say it.
func (s *Person) mayDecide(ctx context.Context, act *evidence.Act, r ecluse.Role, p procedure.Place) error {
	verbs, err := movesOf(act, p)
	if err != nil {
		return err
	}
	undoes := p.Passage == procedure.Live && slices.Contains(verbs, procedure.Undo)
	if !undoes && !evidence.Decides(act) {
		return nil
	}
	text, err := s.current(ctx, act.Migration, evidence.KindInstruction)
	if err != nil {
		return err
	}
	if undoes {
		return mayUndoLive(act, r, text)
	}
	return mayDecide(act, r, text)
}

func mayDecide(act *evidence.Act, r ecluse.Role, instruction []byte) error {
	i, err := mandate.ParseInstruction("instruction", instruction)
	if err != nil {
		return err
	}
	as := *act
	as.Role = r
	return evidence.MayDecide(&as, i.Deputies)
}

// mayUndo is asked in the transaction of the act: there is no other way to order it.
func mayUndo(ctx context.Context, tx *sqlite.Tx, act *evidence.Act, v procedure.Verb, p procedure.Place) error {
	if v != procedure.Undo || p.Passage != procedure.Live {
		return nil
	}
	in, err := tx.Current(ctx, act.Migration, evidence.KindInstruction)
	if err != nil {
		return err
	}
	text, err := tx.Document(ctx, in)
	if err != nil {
		return err
	}
	return mayUndoLive(act, act.Role, text)
}

// mayUndoLive refuses that anybody but who could say go takes it back.
func mayUndoLive(act *evidence.Act, r ecluse.Role, instruction []byte) error {
	if err := mayDecide(act, r, instruction); ecluse.KindOf(err) != ecluse.Refused {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "undo", Where: act.Person, Article: "GDPR art. 29",
		Why:  "the laboratory works in it since the go: who may undo it signs for the controller, or is a deputy whom the instruction names",
		Next: "let one of them order it: ecluse undo --because … --as KEY",
	}
}

// decided refuses a go or no-go by somebody who may not say it, of another report than
// that of the passage in hand, or with open points that are nobody's. It stands in the
// transaction of the act: there is no other way to say it.
func decided(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	m := act.Migration
	in, err := tx.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return err
	}
	instruction, err := tx.Document(ctx, in)
	if err != nil {
		return err
	}
	if err := mayDecide(act, act.Role, instruction); err != nil {
		return err
	}
	report := subjectOf(act, evidence.KindReport)
	says := string(evidence.VerbNoGo)
	if act.Has(evidence.VerbGo, evidence.KindReport, report) {
		says = string(evidence.VerbGo)
	}
	if err := reportInHand(ctx, tx, m, report, says); err != nil {
		return err
	}
	var decision []byte
	points := 0
	if d := subjectOf(act, evidence.KindDecision); !d.IsZero() {
		if decision, err = tx.Document(ctx, d); err != nil {
			return err
		}
	}
	if err := evidence.Decided(act, decision); err != nil {
		return err
	}
	if decision != nil {
		x, err := evidence.ParseDecision(decision)
		if err != nil {
			return err
		}
		owners := []string{}
		for _, p := range x.Open {
			owners = append(owners, p.Owner)
		}
		if err := inRoster(ctx, tx, owners); err != nil {
			return err
		}
		points = len(owners)
	}
	if says == string(evidence.VerbGo) {
		if err := showGo(ctx, tx, m, instruction); err != nil {
			return err
		}
	}
	tx.Also(journal.Event{
		Tree: string(m), Type: journal.Decided, IDs: map[string]string{"report": report.String(), "says": says},
		Numbers: map[string]int64{"open": int64(points)},
	})
	return nil
}

// showGo has the target gate look, and waits for nothing: a go that it saw it keeps.
func showGo(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID, instruction []byte) error {
	i, err := mandate.ParseInstruction("instruction", instruction)
	if err != nil {
		return err
	}
	w, err := newWork(i.Target.Gate, exchange.Work{Verb: exchange.Look, Migration: m})
	if err != nil {
		return err
	}
	return tx.AskWork(ctx, w)
}

// inRoster refuses what is to be followed up by somebody who is in neither party's latest
// roster: that is nobody.
func inRoster(ctx context.Context, tx *sqlite.Tx, owners []string) error {
	known := []string{}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		rosters, err := tx.Rosters(ctx, side)
		if err != nil {
			return err
		}
		if len(rosters) == 0 {
			continue
		}
		text, err := tx.Document(ctx, rosters[len(rosters)-1].Digest)
		if err != nil {
			return err
		}
		r, err := evidence.ParseRoster("roster", text)
		if err != nil {
			return err
		}
		for _, p := range r.People {
			known = append(known, p.ID)
		}
	}
	for _, id := range owners {
		if !slices.Contains(known, id) {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "hand in an act", Where: id, Why: "what stays open is to be followed up by that person, who is in neither party's roster",
				Next: "name somebody of a roster, by their id",
			}
		}
	}
	return nil
}
