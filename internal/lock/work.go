package lock

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// told is how far a gate's work has come, in memory: it is for display.
type told struct {
	progress []exchange.Progress // the last of each stage, in their order
	version  int64
}

func (t *told) add(p exchange.Progress) {
	t.version++
	at := slices.IndexFunc(t.progress, func(x exchange.Progress) bool { return x.Stage == p.Stage })
	if at < 0 {
		t.progress = append(t.progress, p)
		return
	}
	t.progress[at] = p
}

// How long things wait.
const (
	// askTime is how long Wanted waits for something new.
	askTime = 25 * time.Second
	// away is after how long a gate that was not heard of counts as away: longer
	// than Wanted waits.
	away = 40 * time.Second
	// patience is how long what needs a gate waits for one that is away.
	patience = 10 * time.Second
	// workLife is how long answers are kept for whoever asked.
	workLife = 7 * 24 * time.Hour
)

// Seat is the lock as one gate sees it: gate.Lock.
type Seat struct {
	*Lock
	gate ecluse.Fingerprint
}

// Seat is the lock as a gate sees it.
func (l *Lock) Seat(gate ecluse.Fingerprint) *Seat { return &Seat{l, gate} }

// Wanted lists what is asked of the gate and not answered; when all of it is known
// it waits for more, a while.
func (s *Seat) Wanted(ctx context.Context, known []string) ([]exchange.Work, error) {
	until := time.NewTimer(askTime)
	defer until.Stop()
	for {
		s.see(s.gate)
		moved := s.moving()
		wanted, err := s.wanted(ctx, s.gate)
		if err != nil {
			return nil, err
		}
		if !sameWork(wanted, known) {
			return wanted, nil
		}
		select {
		case <-moved:
		case <-until.C:
			return wanted, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func sameWork(wanted []exchange.Work, known []string) bool {
	return len(wanted) == len(known) && !slices.ContainsFunc(wanted, func(w exchange.Work) bool { return !slices.Contains(known, w.ID) })
}

// moving is closed at the next move.
func (l *Lock) moving() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.moved
}

func (l *Lock) see(gate ecluse.Fingerprint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen[gate] = time.Now()
}

// lastSeen is when a gate was last heard of; zero: not since this lock was opened.
func (l *Lock) lastSeen(gate ecluse.Fingerprint) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[gate]
}

// wanted lists what is asked of a gate, requests for the release secret included.
func (l *Lock) wanted(ctx context.Context, gate ecluse.Fingerprint) ([]exchange.Work, error) {
	rows, err := l.store.OpenWork(ctx, gate)
	if err != nil {
		return nil, err
	}
	var all []exchange.Work
	for _, r := range rows {
		var w exchange.Work
		if err := json.Unmarshal(r.Text, &w); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	open, err := l.store.OpenLeases(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range open {
		text, err := l.current(ctx, x.Migration, evidence.KindInstruction)
		if err != nil {
			return nil, err
		}
		i, err := mandate.ParseInstruction("instruction", text)
		if err != nil {
			return nil, err
		}
		if i.Source.Gate == gate {
			all = append(all, exchange.Work{
				ID: "lend-" + x.Request.Digest().Hex(), Verb: exchange.Lend, Migration: x.Migration,
				Papers: map[string][]byte{exchange.PaperInstruction: text},
			})
		}
	}
	return all, nil
}

// mostTold bounds how much is remembered of how far work has come.
const mostTold = 1000

// Tell notes how far a piece of work has come.
func (s *Seat) Tell(ctx context.Context, id string, p exchange.Progress) error {
	if err := s.own(ctx, id); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.told) > mostTold { // of work long over; what goes on is told again
		clear(s.told)
	}
	t := s.told[id]
	if t == nil {
		t = &told{}
		s.told[id] = t
	}
	t.add(p)
	return nil
}

// Probe measures nothing: gate and lock are one process.
func (s *Seat) Probe(context.Context) (exchange.Line, error) { return exchange.Line{Local: true}, nil }

// own refuses another gate's work.
func (s *Seat) own(ctx context.Context, id string) error {
	w, err := s.store.Work(ctx, id)
	if err != nil {
		return err
	}
	if w.Gate != s.gate {
		return &ecluse.Error{Kind: ecluse.Refused, What: "answer", Where: id, Why: "it was asked of another gate"}
	}
	return nil
}

// Answer ends a piece of work, and what comes of it: the procedure moves on.
// Answering what was answered, or withdrawn, changes nothing.
func (s *Seat) Answer(ctx context.Context, id string, a exchange.Answer) error {
	if strings.HasPrefix(id, "lend-") { // only what kept the gate from lending is said
		return nil
	}
	if err := s.own(ctx, id); err != nil {
		return err
	}
	row, err := s.store.Work(ctx, id)
	if err != nil || !row.Ended.IsZero() {
		return err
	}
	var w exchange.Work
	if err := json.Unmarshal(row.Text, &w); err != nil {
		return err
	}
	defer s.tell()
	err = s.ended(ctx, w, &a)
	switch {
	case err == nil, errors.Is(err, errAnswered):
		return nil
	case ctx.Err() != nil:
		return err // it is said again
	}
	text, err := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(err)})
	if err != nil {
		return err
	}
	_, err = s.store.EndWork(ctx, id, text)
	return err
}

// errAnswered ends a transaction of what was answered, or withdrawn, before.
var errAnswered = errors.New("it was answered before")

// closing ends work in the transaction of what comes of it: an answer that is said
// twice has its consequences once.
type closing func(ctx context.Context, tx *sqlite.Tx) error

// ended is what comes of work that ended.
func (l *Lock) ended(ctx context.Context, w exchange.Work, a *exchange.Answer) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	end := closing(func(ctx context.Context, tx *sqlite.Tx) error {
		open, err := tx.EndWork(ctx, w.ID, text)
		if err == nil && !open {
			err = errAnswered
		}
		return err
	})
	passage := w.Verb == exchange.Read || w.Verb == exchange.Load
	switch {
	case a.Problem != nil && passage && a.Problem.Kind != ecluse.Interrupted: // an interruption leaves no entry
		event := journal.Event{Tree: string(w.Migration), Type: journal.PassageStopped, IDs: map[string]string{"reason": string(a.Problem.Kind)}}
		err = l.store.Do(ctx, event, func(tx *sqlite.Tx) error { return end(ctx, tx) })
	case a.Problem == nil && w.Verb == exchange.Load:
		err = l.endLoading(ctx, w, a, end)
	case a.Problem == nil && w.Verb == exchange.Undo:
		err = l.endUndo(ctx, w, a, end)
	default:
		_, err = l.store.EndWork(ctx, w.ID, text)
	}
	if err != nil {
		return err
	}
	switch {
	case a.Problem != nil && w.Verb == exchange.Read: // what was to be loaded from it waits in vain
		return l.Withdraw(ctx, w.Migration, exchange.Load, &ecluse.Error{
			Kind: ecluse.Interrupted, What: "load", Where: w.Passage.String(), Why: "the reading stopped", Next: "put right what kept it, and run `ecluse apply` again: both go on where they were",
		})
	case a.Problem == nil && passage:
		return l.shown(ctx, w.Migration)
	}
	return nil
}

// shown asks both gates to look at the journal, and waits for neither: each cosigns
// what was written since it began.
func (l *Lock) shown(ctx context.Context, m ecluse.MigrationID) error {
	source, target, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	all, err := l.store.WorkOf(ctx, m)
	if err != nil {
		return err
	}
	for _, gate := range []ecluse.Fingerprint{source, target} {
		asked := func(w store.Work) bool { return w.Ended.IsZero() && w.Gate == gate && w.Verb == string(exchange.Look) }
		if slices.ContainsFunc(all, asked) {
			continue
		}
		row, err := newWork(gate, exchange.Work{Verb: exchange.Look, Migration: m})
		if err != nil {
			return err
		}
		if err := l.store.AskWork(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// Withdraw ends what is asked about a migration and not answered, for a reason.
func (l *Lock) Withdraw(ctx context.Context, m ecluse.MigrationID, v exchange.Verb, why error) error {
	id, err := l.openWork(ctx, m, v)
	if err != nil || id == "" {
		return err
	}
	text, err := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(why)})
	if err != nil {
		return err
	}
	_, err = l.store.EndWork(ctx, id, text)
	return err
}

// newWork makes a row of something to be asked.
func newWork(gate ecluse.Fingerprint, w exchange.Work) (store.Work, error) {
	w.ID = strings.ToLower(rand.Text())
	text, err := json.Marshal(w)
	return store.Work{ID: w.ID, Gate: gate, Migration: w.Migration, Verb: string(w.Verb), Text: text}, err
}

// ask asks something of a gate and waits for its answer. A gate that is away is not
// waited for, and then nothing stays asked; nor does it when ctx ends.
func (l *Lock) ask(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (*exchange.Answer, error) {
	row, err := newWork(gate, w)
	if err != nil {
		return nil, err
	}
	if err := l.store.AskWork(ctx, row); err != nil {
		return nil, err
	}
	l.tell()
	a, err := l.await(ctx, gate, row.ID, w.Verb)
	if err != nil {
		_, withdrawn := l.store.EndWork(context.WithoutCancel(ctx), row.ID, nil)
		l.tell()
		return nil, errors.Join(err, withdrawn)
	}
	return a, a.Err()
}

// await waits until a gate has answered.
func (l *Lock) await(ctx context.Context, gate ecluse.Fingerprint, id string, verb exchange.Verb) (*exchange.Answer, error) {
	begun := time.Now()
	for {
		moved := l.moving()
		row, err := l.store.Work(ctx, id)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		if !row.Ended.IsZero() {
			return answerOf(row)
		}
		if seen := l.lastSeen(gate); time.Since(seen) > away && time.Since(begun) > patience {
			return nil, exchange.Away(gate, seen, verb)
		}
		t := time.NewTimer(time.Second)
		select {
		case <-moved:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, context.Cause(ctx)
		}
		t.Stop()
	}
}

func answerOf(row *store.Work) (*exchange.Answer, error) {
	if row.Answer == nil {
		return nil, &ecluse.Error{Kind: ecluse.Interrupted, What: row.Verb, Why: "it was withdrawn", Next: "run the same command again"}
	}
	a := &exchange.Answer{}
	return a, json.Unmarshal(row.Answer, a)
}

// look waits until something about a piece of work has changed since a version, or
// a while.
func (l *Lock) look(ctx context.Context, id string, since int64) (*exchange.WorkView, error) {
	until := time.NewTimer(time.Second)
	defer until.Stop()
	for {
		moved := l.moving()
		row, err := l.store.Work(ctx, id)
		if err != nil {
			return nil, err
		}
		v := &exchange.WorkView{Gate: row.Gate, Seen: l.lastSeen(row.Gate)}
		v.Away = time.Since(v.Seen) > away && time.Since(l.opened) > patience
		if err := json.Unmarshal(row.Text, &v.Work); err != nil {
			return nil, err
		}
		v.Work.Papers, v.Work.Signed = nil, nil
		l.mu.Lock()
		if t := l.told[id]; t != nil {
			v.Progress, v.Version = slices.Clone(t.progress), t.version
		}
		l.mu.Unlock()
		if !row.Ended.IsZero() {
			if v.Answer, err = answerOf(row); err != nil {
				v.Answer = &exchange.Answer{Problem: exchange.ProblemOf(err)}
			}
			v.Version++
			return v, nil
		}
		if v.Version > since {
			return v, nil
		}
		tick := time.NewTimer(100 * time.Millisecond)
		select {
		case <-moved:
			tick.Stop()
		case <-tick.C:
		case <-until.C:
			tick.Stop()
			return v, nil
		case <-ctx.Done():
			tick.Stop()
			return nil, context.Cause(ctx)
		}
	}
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
		if ecluse.KindOf(err) == ecluse.WaitsForSign {
			continue
		}
		if err != nil {
			return nil, err
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

// Knows tells whether a gate may talk to this lock at all: it was admitted at the
// lock's own console, or the controller confirmed it and nobody retired it since.
func (l *Lock) Knows(ctx context.Context, gate ecluse.Fingerprint) (bool, error) {
	if slices.Contains(l.settings.Gates[exchange.SourcePlace], gate) || slices.Contains(l.settings.Gates[exchange.TargetPlace], gate) {
		return true, nil
	}
	l.mu.Lock()
	known := l.admitted
	l.mu.Unlock()
	if known == nil { // until something moves: whoever asks often costs nothing
		moved := l.moving()
		enrolled, err := l.enrolledNow(ctx)
		if err != nil {
			return false, err
		}
		known = map[ecluse.Fingerprint]bool{}
		for _, e := range enrolled {
			known[e.Gate] = e.Confirmed
		}
		l.mu.Lock()
		if l.moved == moved {
			l.admitted = known
		}
		l.mu.Unlock()
	}
	return known[gate], nil
}

// gateAt is the gate at a place: the one that a migration's instruction names or,
// before there is one, the only one there.
func (l *Lock) gateAt(ctx context.Context, m ecluse.MigrationID, at exchange.Place) (ecluse.Fingerprint, error) {
	if m != "" {
		source, target, err := l.gates(ctx, m)
		if at == exchange.TargetPlace {
			return target, err
		}
		return source, err
	}
	all, err := l.Gates(ctx)
	if err != nil {
		return "", err
	}
	all = slices.DeleteFunc(all, func(v exchange.GateView) bool { return v.Place != at || !v.Known() })
	if len(all) == 1 {
		return all[0].Gate, nil
	}
	return "", &ecluse.Error{
		Kind: ecluse.Invalid, What: "find the gate", Where: string(at), Why: fmt.Sprintf("this lock knows %d gates there", len(all)),
		Next: "ecluse gate enrol DIR where the database stands, then ecluse gates confirm; or name the migration: -m ID",
	}
}

// endLoading notes what a load came to, by the report that the target gate signed.
func (l *Lock) endLoading(ctx context.Context, w exchange.Work, a *exchange.Answer, end closing) error {
	m := w.Migration
	i, err := l.instruction(ctx, m)
	if err != nil {
		return err
	}
	report, s, err := l.statement(ctx, m, exchange.LoadReport, i.Target.Gate, evidence.ReportFormat, a)
	if err != nil {
		return err
	}
	if s.Passage != w.Passage {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "end the passage", Where: w.Passage.String(), Why: "the report is of " + s.Passage.String()}
	}
	rejects, err := l.rejectEvents(ctx, m, i.Target.Gate)
	if err != nil {
		return err
	}
	defer l.forgetJournalled(m)
	numbers := map[string]int64{"rows_read": s.RowsRead, "rows_loaded": s.RowsLoaded, "chunks": int64(s.Chunks)}
	event := journal.Event{
		Tree: string(m), Type: journal.PassageEnded,
		IDs: map[string]string{"passage": w.Passage.String(), "report": report.String()}, Numbers: numbers,
	}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if err := end(ctx, tx); err != nil {
			return err
		}
		for _, e := range rejects {
			tx.Also(e)
		}
		p, err := tx.Move(ctx, m, procedure.FinishLoading, procedure.TargetGate)
		if err != nil {
			return err
		}
		if w.Passage.Kind == ecluse.Dry {
			return tx.SetPassage(ctx, m, w.Passage, p.Passage, true)
		}
		if p, err = tx.Move(ctx, m, procedure.Compare, procedure.TargetGate); err != nil {
			return err
		}
		if err := tx.SetCurrent(ctx, m, evidence.KindReport, report); err != nil {
			return err
		}
		return tx.SetPassage(ctx, m, w.Passage, p.Passage, false)
	})
}

// figures are what a lock looks at in a gate's statement.
type figures struct {
	evidence.StatementHead
	Passage      ecluse.Passage `json:"passage"`
	Chunks       int            `json:"chunks"`
	Rows         int64          `json:"-"`
	RowsRead     int64          `json:"rows_read"`
	RowsLoaded   int64          `json:"rows_loaded"`
	RowsRejected int64          `json:"rows_rejected"`
	Compared     *struct {
		Equal    bool `json:"equal"`
		Rejected []struct {
			By string `json:"by"`
		} `json:"rejected"`
	} `json:"compared"`
}

// statement finds what a gate answered with among what it posted.
func (l *Lock) statement(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper, by ecluse.Fingerprint, format string, a *exchange.Answer) (ecluse.Digest, *figures, error) {
	said, err := ecluse.ParseDigest(string(a.Papers[exchange.PaperStatement]))
	if err != nil {
		return said, nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	all, err := l.Posted(ctx, m, kind)
	if err != nil {
		return said, nil, err
	}
	for _, s := range all {
		if s.Digest() == said {
			f, err := figuresOf(s, by, format)
			return said, f, err
		}
	}
	return said, nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read the gate's answer", Where: said.String(), Why: "the gate has posted no such " + string(kind)}
}

func figuresOf(s evidence.Signed, by ecluse.Fingerprint, format string) (*figures, error) {
	if err := s.VerifyBy(evidence.NamespaceStatement, by); err != nil {
		return nil, err
	}
	var f figures
	if err := json.Unmarshal(s.Body, &f); err != nil || f.Format != format {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read the gate's statement", Why: "it is no " + format, Err: err}
	}
	if format == "undo/v1" { // whose rows are a number; a reading's are by dataset
		var u struct {
			Rows int64 `json:"rows"`
		}
		if err := json.Unmarshal(s.Body, &u); err != nil {
			return nil, err
		}
		f.Rows = u.Rows
	}
	return &f, nil
}
