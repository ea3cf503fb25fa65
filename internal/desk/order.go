package desk

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
)

// AcceptRequest is the controller's acceptance of the passage in hand.
type AcceptRequest struct {
	Migration    ecluse.MigrationID
	Dispositions map[string]string // what becomes of the rows put aside: "REASON", or "DATASET: REASON"
	ForAll       string            // of every reason without one of its own
	Reservations []evidence.Reservation
	Key          ssh.Signer
}

// Accept accepts the load, by one act: the report, and the dispositions of
// rejects. It is impossible while anything is unexplained.
func (d *Desk) Accept(ctx context.Context, q AcceptRequest) (*Signature, error) {
	l, m, err := d.as(ctx, q.Key, q.Migration)
	if err != nil {
		return nil, err
	}
	all, err := l.Status(ctx, m)
	if err != nil {
		return nil, err
	}
	saysGo := len(all) == 1 && all[0].Place.Passage == procedure.Compared
	report, digest, err := inHand(ctx, l, m)
	if err != nil {
		return nil, err
	}
	if !report.Compared.Equal && len(q.Reservations) == 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "accept", Where: string(m), Why: "the comparison found differences", Article: "GDPR art. 5(1)(d)",
			Next: "ecluse report shows them; ecluse undo takes the passage out; what is explained is accepted with --reserve 'table NAME=why=who follows it up,YYYY-MM-DD'",
		}
	}
	text, err := dispose(m, digest, report, q)
	if err != nil {
		return nil, err
	}
	clauses := []evidence.Clause{{Verb: evidence.VerbAccept, Kind: evidence.KindReport, Subject: digest}}
	var papers []exchange.Enclosure
	if text != nil {
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbAccept, Kind: evidence.KindDispositions, Subject: ecluse.DigestOf(text)})
		papers = append(papers, exchange.Enclosure{Kind: evidence.KindDispositions, Text: text})
	}
	if len(q.Reservations) > 0 {
		r, err := evidence.EncodeJSON(evidence.Reservations{Format: evidence.ReservationsFormat, Migration: m, Report: digest, Differences: q.Reservations})
		if err != nil {
			return nil, err
		}
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbAccept, Kind: evidence.KindReservations, Subject: ecluse.DigestOf(r)})
		papers = append(papers, exchange.Enclosure{Kind: evidence.KindReservations, Text: r})
	}
	whole, err := evidence.EncodeJSON(report)
	if err != nil {
		return nil, err
	}
	with := map[string][]byte{}
	for _, p := range papers {
		with[p.Kind] = p.Text
	}
	if err := evidence.Explained(whole, with[evidence.KindDispositions], with[evidence.KindReservations]); err != nil {
		return nil, err
	}
	s, err := d.sign(ctx, l, q.Key, m, clauses, papers...)
	if err != nil {
		return nil, err
	}
	s.SaysGo = saysGo
	return s, nil
}

// maxDisposition bounds what is said of a reason, in bytes, as evidence does.
const maxDisposition = 300

// dispose writes the dispositions; every reason of every dataset needs one. nil: no row
// was put aside.
func dispose(m ecluse.MigrationID, report ecluse.Digest, s *gate.LoadStatement, q AcceptRequest) ([]byte, error) {
	if len(s.Compared.Rejected) == 0 {
		return nil, nil
	}
	d := evidence.Dispositions{Format: evidence.DispositionsFormat, Migration: m, Report: report}
	used := map[string]bool{}
	var open []string
	for _, g := range s.Compared.Rejected {
		one := string(g.Dataset) + ": " + g.By
		say := cmp.Or(q.Dispositions[one], q.Dispositions[g.By], q.ForAll)
		used[one], used[g.By] = true, true
		if strings.TrimSpace(say) == "" {
			open = append(open, fmt.Sprintf("%q", one))
			continue
		}
		if why := evidence.OneLine(say, maxDisposition); why != "" {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "accept", Where: "--reject " + one, Why: why, Next: "say what becomes of them in a sentence, without personal data"}
		}
		d.Rows = append(d.Rows, evidence.Disposition{Dataset: g.Dataset, By: g.By, Becomes: say})
	}
	if len(open) > 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "accept", Where: string(m), Why: fmt.Sprintf("nobody said what becomes of the rows put aside for %s", strings.Join(open, ", ")),
			Next: "look at them with `ecluse gate rejects` beside the old database, then add --reject 'REASON=what becomes of them' for each, or --all 'what becomes of all of them'",
		}
	}
	for _, k := range slices.Sorted(maps.Keys(q.Dispositions)) {
		if !used[k] {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "accept", Where: "--reject " + k, Why: "no row was put aside for that reason"}
		}
	}
	return evidence.EncodeJSON(d)
}

// Order is a signed act on a migration as a whole.
type Order struct {
	Migration ecluse.MigrationID
	Because   string // signed with the order and kept with it
	Key       ssh.Signer

	// EvenIfLoaded, of an erasure: a load that cannot be taken out of the target
	// stays there, and keys and ciphertext go at once.
	EvenIfLoaded bool
}

// maxReason bounds the reason of an order, in bytes.
const maxReason = 1000

// reasonOf checks the reason of an order: one line, shown on terminals and kept
// as evidence.
func reasonOf(because string) (string, error) {
	text := strings.TrimSpace(because)
	var why string
	switch {
	case text == "":
		why = "it says nothing"
	case len(text) > maxReason:
		why = fmt.Sprintf("it has %d bytes, want at most %d", len(text), maxReason)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }):
		why = "it is not one line of text"
	default:
		return text, nil
	}
	return "", &ecluse.Error{Kind: ecluse.Invalid, What: "read the reason", Where: "--because", Why: why, Next: "say why in a sentence, without personal data"}
}

func (d *Desk) order(ctx context.Context, q Order, v evidence.Verb) (*Signature, error) {
	because, err := reasonOf(q.Because)
	if err != nil {
		return nil, err
	}
	l, m, err := d.as(ctx, q.Key, q.Migration)
	if err != nil {
		return nil, err
	}
	i, err := instructionOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	reason := exchange.Enclosure{Kind: evidence.KindReason, Text: []byte(because)}
	clauses := []evidence.Clause{
		{Verb: v, Kind: evidence.KindMigration, Subject: i.Digest()},
		{Verb: evidence.VerbSign, Kind: evidence.KindReason, Subject: ecluse.DigestOf(reason.Text)},
	}
	if v == evidence.VerbResume {
		stops, err := stopped(ctx, l, m)
		if err != nil {
			return nil, err
		}
		clauses = append(clauses, stops...)
	}
	if q.EvenIfLoaded {
		plan, err := l.InTarget(ctx, m)
		if err != nil {
			return nil, err
		}
		if !plan.IsZero() {
			clauses = append(clauses, evidence.Clause{Verb: evidence.VerbLeave, Kind: evidence.KindLoadPlan, Subject: plan})
		}
	}
	return d.sign(ctx, l, q.Key, m, clauses, reason)
}

// stopped names the acts by which the person's own side stopped a migration, as resuming
// does. Each is read: whoever resumes lifts what they were shown, by the person and for the
// reason that they were shown, and nothing that a lock puts behind it.
func stopped(ctx context.Context, l Lock, m ecluse.MigrationID) ([]evidence.Clause, error) {
	const what = "resume"
	me, err := l.Me(ctx)
	if err != nil {
		return nil, err
	}
	all, err := l.Status(ctx, m)
	if err != nil {
		return nil, err
	}
	var clauses []evidence.Clause
	for _, s := range all {
		for _, h := range s.Held {
			if s.Migration != m || h.Side != me.Side {
				continue
			}
			text, err := l.Document(ctx, h.Act)
			if err != nil {
				return nil, err
			}
			a, err := evidence.ParseAct(text)
			if err != nil {
				return nil, err
			}
			says := map[procedure.Verb]evidence.Verb{procedure.Suspend: evidence.VerbSuspend, procedure.Object: evidence.VerbObject}[h.Verb]
			if ecluse.DigestOf(text) != h.Act || a.Migration != m || a.Side != h.Side || a.Person != h.Person ||
				!slices.ContainsFunc(a.Clauses, func(c evidence.Clause) bool { return c.Verb == says && c.Kind == evidence.KindMigration }) ||
				!a.Has(evidence.VerbSign, evidence.KindReason, ecluse.DigestOf([]byte(h.Because))) {
				return nil, another(what, h.Act.String(), "it is another act than the lock says: by another person, on another migration, or for another reason")
			}
			clauses = append(clauses, evidence.Clause{Verb: evidence.VerbResume, Kind: evidence.KindAct, Subject: h.Act})
		}
	}
	if len(clauses) > evidence.MaxClauses-2 {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: string(m), Why: fmt.Sprintf("%d acts hold it, and one act lifts at most %d", len(clauses), evidence.MaxClauses-2),
			Next: "erase the migration, and begin another",
		}
	}
	return clauses, nil
}

// instructionOf reads the instruction that a lock shows as a migration's, which names it.
func instructionOf(ctx context.Context, l Lock, m ecluse.MigrationID) (*mandate.Instruction, error) {
	text, err := l.Current(ctx, m, evidence.KindInstruction)
	if err != nil {
		return nil, err
	}
	i, err := mandate.ParseInstruction("instruction", text)
	if err != nil {
		return nil, err
	}
	if i.ID != m {
		return nil, another("read the instruction", string(m), fmt.Sprintf("it is of the migration %q", i.ID))
	}
	return i, nil
}

// Object objects to a migration (GDPR art. 28(3), last sentence): it is held.
func (d *Desk) Object(ctx context.Context, q Order) (*Signature, error) {
	return d.order(ctx, q, evidence.VerbObject)
}

// Suspend holds a migration.
func (d *Desk) Suspend(ctx context.Context, q Order) (*Signature, error) {
	return d.order(ctx, q, evidence.VerbSuspend)
}

// Resume lifts one's own side's suspension or objection.
func (d *Desk) Resume(ctx context.Context, q Order) (*Signature, error) {
	return d.order(ctx, q, evidence.VerbResume)
}

// Erase orders erasure, and has it carried out at once.
func (d *Desk) Erase(ctx context.Context, q Order) (*Signature, error) {
	l, m, err := d.as(ctx, q.Key, q.Migration)
	if err != nil {
		return nil, err
	}
	all, err := l.Status(ctx, m)
	if err != nil {
		return nil, err
	}
	s, err := d.order(ctx, q, evidence.VerbErase)
	if err != nil {
		return nil, err
	}
	s.InUse = len(all) == 1 && all[0].Place.Passage == procedure.Live
	done, err := l.Due(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range done.Failed {
		if f.What == due.Erase && f.Migration == s.Migration {
			return nil, &ecluse.Error{
				Kind: f.Kind, What: "erase", Where: string(s.Migration), Why: "the order stands, and this kept it from being carried out: " + f.Why,
				Next: "ecluse due tries again, and so does the lock by itself. A load that cannot be taken out of the target keeps the keys for 72 hours at most; " +
					"a signatory of the controller does not wait: ecluse erase --even-if-loaded --because … --as KEY",
			}
		}
	}
	s.Waits, err = d.waits(ctx, l, s.Migration)
	return s, err
}

// EraseRejects orders rows put aside that outlive the acceptance erased before their day.
// The laboratory's gate, which alone has them, does it when it hears of it.
func (d *Desk) EraseRejects(ctx context.Context, q Order) (*Signature, error) {
	because, err := reasonOf(q.Because)
	if err != nil {
		return nil, err
	}
	l, m, err := d.as(ctx, q.Key, q.Migration)
	if err != nil {
		return nil, err
	}
	kept, err := keptOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	if kept == nil || !kept.Erased.IsZero() {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "order the rows kept erased", Where: string(m), Why: "no rows put aside are kept after the acceptance: they went with the rest, or their day is over",
			Next: "ecluse status",
		}
	}
	reason := exchange.Enclosure{Kind: evidence.KindReason, Text: []byte(because)}
	s, err := d.sign(ctx, l, q.Key, m, []evidence.Clause{
		{Verb: evidence.VerbErase, Kind: evidence.KindKept, Subject: kept.Key},
		{Verb: evidence.VerbSign, Kind: evidence.KindReason, Subject: ecluse.DigestOf(reason.Text)},
	}, reason)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(keptPatience); time.Now().Before(end); {
		if kept, err = keptOf(ctx, l, m); err != nil || kept != nil && !kept.Erased.IsZero() {
			s.Kept = kept
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(keptPatience / 40):
		}
	}
	s.Kept = kept
	return s, nil
}

// keptPatience is how long whoever orders rows erased waits to hear that they are.
const keptPatience = 10 * time.Second

// keptOf is the rows put aside of a migration that outlive it; nil: none.
func keptOf(ctx context.Context, l Lock, m ecluse.MigrationID) (*exchange.Kept, error) {
	all, err := l.Status(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.Migration == m {
			return s.Kept, nil
		}
	}
	return nil, nil
}

// passageOf reads "final-1"; empty is none.
func passageOf(name string) (p ecluse.Passage, err error) {
	if name == "" {
		return p, nil
	}
	kind, number, _ := strings.Cut(name, "-")
	p.Kind = ecluse.PassageKind(kind)
	if p.Number, err = strconv.Atoi(number); err != nil {
		err = &ecluse.Error{Kind: ecluse.Invalid, What: "read the lock's answer", Where: "passage", Why: "it is not a passage's name"}
	}
	return p, err
}
