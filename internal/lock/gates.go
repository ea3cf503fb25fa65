package lock

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// kindGate is how what a gate says of itself is kept.
const kindGate = evidence.KindGate

// Bounds of what nobody has confirmed: whoever reaches the server can hand it in.
const (
	maxEnrolling  = 16
	enrollingLife = 24 * time.Hour
)

// Enrol takes in what a gate says of itself, once: it was given this lock's roots and
// key at its console. It gives the gate no right; a signatory of the controller does,
// by the words that the gate shows. It returns the key that signs the journal.
func (l *Lock) Enrol(ctx context.Context, signed evidence.Signed) (ecluse.Fingerprint, error) {
	g, err := mandate.VerifyGate(signed, l.settings.Roots, l.Key())
	if err != nil {
		return "", err
	}
	known, err := l.enrolledNow(ctx)
	if err != nil {
		return "", err
	}
	lapsed := &ecluse.Error{
		Kind: ecluse.Refused, What: "enrol a gate", Where: string(g.Gate), Err: exchange.ErrLapsed,
		Why: fmt.Sprintf("nobody confirmed it within %d hours, or it was retired", enrollingLife/time.Hour), Next: "run `ecluse gate enrol` again",
	}
	for _, e := range known {
		switch {
		case e.Paper != signed.Digest():
		case e.Retired || e.lapsed:
			return "", lapsed
		default:
			return l.Key(), nil
		}
	}
	event := journal.Event{
		Tree: evidence.InstallationTree, Type: journal.StatementStored,
		IDs: map[string]string{"statement": signed.Digest().String(), "kind": kindGate, "gate": string(g.Gate), "place": string(g.Place)},
	}
	err = l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		all, err := l.enrolled(ctx, tx, tx.Now())
		if err != nil {
			return err
		}
		if err := dropLapsed(ctx, tx, all); err != nil {
			return err
		}
		waiting := 0
		for _, e := range all {
			if !e.Confirmed && !e.Retired && !e.lapsed {
				waiting++
			}
		}
		if waiting >= maxEnrolling {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "enrol a gate", Where: string(g.Gate), Why: fmt.Sprintf("%d gates wait to be confirmed already", waiting),
				Next: fmt.Sprintf("have one confirmed or retired (ecluse gates), or try again when the oldest is forgotten, %d hours after it came", enrollingLife/time.Hour),
			}
		}
		_, err = tx.AddSigned(ctx, kindGate, "", evidence.NamespaceGate, signed)
		return err
	})
	if err != nil {
		return "", err
	}
	l.tell()
	return l.Key(), l.store.RemoveDropped(ctx)
}

// enrolment is a gate's paper and what people said of it.
type enrolment struct {
	exchange.GateView
	signed evidence.Signed
	made   time.Time
	lapsed bool // nobody confirmed it in time: it is not shown any more
	let    bool // it was confirmed once, whatever was said since
	empty  bool // of one that lapsed only the digest is left
}

// dropLapsed drops the papers that nobody confirmed in time; their digests stay, for a
// gate that hands its own in again.
func dropLapsed(ctx context.Context, tx *sqlite.Tx, all []enrolment) error {
	for _, e := range all {
		if !e.lapsed || e.empty {
			continue
		}
		if err := tx.DropDocument(ctx, e.Paper); err != nil {
			return err
		}
	}
	return nil
}

// reads is what enrolments are read from: the store, or a change under way.
type reads interface {
	Documents(ctx context.Context, m ecluse.MigrationID, kind string) ([]store.Document, error)
	Signed(ctx context.Context, d ecluse.Digest, namespace string) ([]evidence.Signed, error)
	Acts(ctx context.Context, m ecluse.MigrationID) ([]store.Act, error)
}

// enrolled lists the papers of gates, the oldest first. An act counts from when it
// was recorded, verified, for good: a roster that ran out since must not keep a gate
// from erasing.
func (l *Lock) enrolled(ctx context.Context, from reads, now time.Time) ([]enrolment, error) {
	docs, err := from.Documents(ctx, "", kindGate)
	if err != nil {
		return nil, err
	}
	acts, err := from.Acts(ctx, "")
	if err != nil {
		return nil, err
	}
	var all []enrolment
	for _, d := range docs {
		if d.Size == 0 {
			all = append(all, enrolment{GateView: exchange.GateView{Paper: d.Digest}, lapsed: true, empty: true})
			continue
		}
		p, err := l.gatePaper(ctx, from, d.Digest)
		if err != nil {
			return nil, err
		}
		e := enrolment{signed: p.signed, made: p.gate.Made, GateView: exchange.GateView{
			Gate: p.gate.Gate, Place: exchange.Place(p.gate.Place), Paper: d.Digest, System: p.gate.System, StandsAt: p.gate.StandsAt, NoLine: p.gate.Line == mandate.NoLine,
		}}
		e.let, e.Retired = judged(acts, d.Digest)
		e.Confirmed = e.let && !e.Retired
		e.lapsed = !e.Confirmed && !e.Retired && now.Sub(d.Added) > enrollingLife
		all = append(all, e)
	}
	return all, nil
}

// gatePaper is a paper that verified, with what it says.
type gatePaper struct {
	signed evidence.Signed
	gate   *mandate.Gate
}

// mostPapers bounds how many papers of gates are remembered.
const mostPapers = 1000

// gatePaper reads and verifies a gate's paper, or remembers it: papers never change.
func (l *Lock) gatePaper(ctx context.Context, from reads, d ecluse.Digest) (*gatePaper, error) {
	l.mu.Lock()
	p := l.papers[d]
	l.mu.Unlock()
	if p != nil {
		return p, nil
	}
	signed, err := from.Signed(ctx, d, evidence.NamespaceGate)
	if err != nil {
		return nil, err
	}
	if len(signed) != 1 { // its own gate's, and nobody else's
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read a gate's paper", Where: d.String(), Why: fmt.Sprintf("it has %d signatures", len(signed))}
	}
	g, err := mandate.VerifyGate(signed[0], l.settings.Roots, l.Key())
	if err != nil {
		return nil, err
	}
	p = &gatePaper{signed[0], g}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.papers) > mostPapers { // each is read again when it is needed
		clear(l.papers)
	}
	l.papers[d] = p
	return p, nil
}

func (l *Lock) enrolledNow(ctx context.Context) ([]enrolment, error) {
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	return l.enrolled(ctx, l.store, now)
}

// judged tells what people said of a gate's paper: whether it was ever confirmed, and
// whether it is retired. What a party took back, that party
// alone gives again: the processor, which confirms no gate, never.
func judged(acts []store.Act, paper ecluse.Digest) (let, retired bool) {
	by := map[ecluse.Side]bool{}
	for _, a := range acts {
		switch {
		case slices.Contains(a.Clauses, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindGate, Subject: paper}):
			let = true
			delete(by, a.Side)
		case slices.Contains(a.Clauses, evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindGate, Subject: paper}):
			by[a.Side] = true
		}
	}
	return let, len(by) > 0
}

// EnrolledGates are the papers of gates, with their signatures, for whoever confirms
// or retires one: they verify them by themselves.
func (l *Lock) EnrolledGates(ctx context.Context) ([]evidence.Signed, error) {
	all, err := l.enrolledNow(ctx)
	if err != nil {
		return nil, err
	}
	papers := []evidence.Signed{}
	for _, e := range all {
		if !e.lapsed {
			papers = append(papers, e.signed)
		}
	}
	return papers, nil
}

// gateJudged is what an act on a gate needs: its paper is here.
func (l *Lock) gateJudged(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	docs, err := tx.Documents(ctx, "", kindGate)
	if err != nil {
		return err
	}
	for _, c := range act.Clauses {
		if c.Kind == evidence.KindGate && !slices.ContainsFunc(docs, func(d store.Document) bool { return d.Digest == c.Subject && d.Size > 0 }) {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "hand in an act", Where: c.Subject.String(), Why: "no gate enrolled with that paper here",
				Next: "run `ecluse gate enrol` at the gate's own console first",
			}
		}
	}
	return l.withdrawRetired(ctx, tx)
}

// withdrawRetired ends what is asked of gates that are retired, but for what takes data
// and keys away: whoever waits for the rest would wait for ever.
func (l *Lock) withdrawRetired(ctx context.Context, tx *sqlite.Tx) error {
	all, err := l.enrolled(ctx, tx, tx.Now())
	if err != nil {
		return err
	}
	for _, e := range all {
		if !e.Retired || l.isAdmitted(e.Gate) || confirmed(all, e.Gate) {
			continue
		}
		open, err := tx.OpenWork(ctx, e.Gate)
		if err != nil {
			return err
		}
		for _, w := range open {
			v := exchange.Verb(w.Verb)
			if v.Ends() {
				continue
			}
			text, err := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(retired(e.Gate, v))})
			if err != nil {
				return err
			}
			if _, err := tx.EndWork(ctx, w.ID, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// confirmed tells whether any paper of a gate is.
func confirmed(all []enrolment, gate ecluse.Fingerprint) bool {
	return slices.ContainsFunc(all, func(e enrolment) bool { return e.Gate == gate && e.Confirmed })
}

// retired refuses what is asked of a gate that is let in only to end what it began.
func retired(gate ecluse.Fingerprint, v exchange.Verb) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "have a gate " + string(v), Where: string(gate), Why: "it was retired: it takes out what it loaded, destroys its half of the key and certifies it, and nothing else",
		Next: "let whoever retired it confirm it again (ecluse gates confirm), or have another gate enrolled and a new instruction signed that names it", Article: "GDPR art. 29",
	}
}

// ofGate tells whether a verb is of acts on gates.
func ofGate(v procedure.Verb) bool { return v == procedure.ConfirmGate || v == procedure.RetireGate }

// withGates completes the list of gates by those that enrolled: the paper in force of
// each, or else the last it handed in.
func withGates(all []exchange.GateView, enrolled []enrolment) []exchange.GateView {
	for _, e := range enrolled {
		if e.lapsed {
			continue
		}
		at := slices.IndexFunc(all, func(v exchange.GateView) bool { return v.Gate == e.Gate })
		switch {
		case at < 0:
			all = append(all, e.GateView)
		case !all[at].Confirmed || e.Confirmed:
			v := e.GateView
			v.Admitted, v.Seen = all[at].Admitted, all[at].Seen
			all[at] = v
		}
	}
	for i := range all {
		all[i].NoLine = withoutLine(enrolled, all[i].Gate, all[i].NoLine)
	}
	return all
}

// withoutLine tells whether no line reaches a gate: its last paper says so that the
// controller confirmed, one in force before one that was retired. Of a gate that nobody
// confirmed yet it is what it says.
func withoutLine(all []enrolment, gate ecluse.Fingerprint, says bool) bool {
	var last *enrolment
	for i := range all {
		e := &all[i]
		if e.Gate != gate || !e.let {
			continue
		}
		if last == nil || e.Confirmed && !last.Confirmed || e.Confirmed == last.Confirmed && !e.made.Before(last.made) {
			last = e
		}
	}
	if last == nil {
		return says
	}
	return last.NoLine
}

// gatePapers are the papers, as confirmed, of the gates of a migration.
func (l *Lock) gatePapers(ctx context.Context, of map[ecluse.Fingerprint]evidence.Gate) (map[ecluse.Digest]evidence.Signed, error) {
	all, err := l.enrolledNow(ctx)
	if err != nil {
		return nil, err
	}
	papers := map[ecluse.Digest]evidence.Signed{}
	for _, e := range all {
		if _, ours := of[e.Gate]; ours && (e.Confirmed || e.Retired) {
			papers[e.Paper] = e.signed
		}
	}
	return papers, nil
}

// Gates lists the gates of this lock: those admitted at its own console, those that
// enrolled, confirmed or not, and those that instructions name.
func (l *Lock) Gates(ctx context.Context) ([]exchange.GateView, error) {
	var all []exchange.GateView
	for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
		for _, g := range l.settings.Gates[at] {
			all = append(all, exchange.GateView{Gate: g, Place: at, Admitted: true})
		}
	}
	enrolled, err := l.enrolledNow(ctx)
	if err != nil {
		return nil, err
	}
	all = withGates(all, enrolled)
	migrations, err := l.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range migrations {
		source, target, err := l.gates(ctx, m.ID)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if ecluse.KindOf(err) != ecluse.WaitsForSign && err != nil {
			l.alert(ctx, m.ID, err)
		}
		if err != nil {
			continue
		}
		for at, g := range map[exchange.Place]ecluse.Fingerprint{exchange.SourcePlace: source, exchange.TargetPlace: target} {
			if !slices.ContainsFunc(all, func(v exchange.GateView) bool { return v.Gate == g }) {
				all = append(all, exchange.GateView{Gate: g, Place: at})
			}
		}
	}
	for i := range all {
		all[i].Seen = l.lastSeen(all[i].Gate)
	}
	return all, nil
}
