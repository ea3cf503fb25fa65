package lock

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
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
		if !exchange.SameWork(wanted, known) {
			return wanted, nil
		}
		select {
		case <-moved:
		case <-until.C:
			return wanted, nil
		case <-s.resting:
			return wanted, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
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
	standing, err := l.Standing(ctx, gate)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if standing == Leaving && !exchange.Verb(r.Verb).Ends() {
			continue
		}
		var w exchange.Work
		if err := json.Unmarshal(r.Text, &w); err != nil {
			l.alert(ctx, r.Migration, err)
			continue
		}
		all = append(all, w)
	}
	if standing == Leaving { // it lends nothing
		return all, nil
	}
	open, err := l.store.OpenLeases(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range open {
		text, i, err := l.readInstruction(ctx, x.Migration)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil { // the others of the laboratory go on
			l.alert(ctx, x.Migration, err)
			continue
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
const (
	mostTold       = 1000
	longestDataset = 128
)

// Tell notes how far a piece of work has come.
func (s *Seat) Tell(ctx context.Context, id string, p exchange.Progress) error {
	if err := s.own(ctx, id); err != nil {
		return err
	}
	if !slices.Contains(exchange.Stages(), p.Stage) || len(p.Dataset) > longestDataset {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "note how far work has come", Where: id, Why: "it is no stage, or no dataset, that there is", Next: "let gate and server be of one version"}
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

// errAnswered ends a transaction of what was answered, or withdrawn, before.
var errAnswered = errors.New("it was answered before")

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

// withdraw ends what is asked about a migration and not answered, in the transaction of
// what it is in vain for.
func withdraw(ctx context.Context, tx *sqlite.Tx, m ecluse.MigrationID, v exchange.Verb, why string) error {
	all, err := tx.WorkOf(ctx, m)
	if err != nil {
		return err
	}
	for _, w := range all {
		if !w.Ended.IsZero() || w.Verb != string(v) {
			continue
		}
		text, err := json.Marshal(exchange.Answer{Problem: exchange.ProblemOf(&ecluse.Error{
			Kind: ecluse.Interrupted, What: "carry out the plan", Where: string(m), Why: why, Next: seeStatus,
		})})
		if err != nil {
			return err
		}
		if _, err := tx.EndWork(ctx, w.ID, text); err != nil {
			return err
		}
	}
	return nil
}

// newWork makes a row of something to be asked.
func newWork(gate ecluse.Fingerprint, w exchange.Work) (store.Work, error) {
	w.ID = strings.ToLower(rand.Text())
	text, err := json.Marshal(w)
	return store.Work{ID: w.ID, Gate: gate, Migration: w.Migration, Verb: string(w.Verb), Text: text}, err
}

// ask asks something of a gate and waits for its answer. A gate that is away is not
// waited for, and then nothing stays asked; nor does it when ctx ends. It is for what
// nothing of the lock's comes of, or what the gate handed in before it answered; for the
// rest there is askFor.
func (l *Lock) ask(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (*exchange.Answer, error) {
	a, carried, err := l.asked(ctx, gate, w)
	if err != nil || carried == "" {
		return a, err
	}
	return a, l.forget(ctx, carried)
}

// askFor asks something of a gate, and hands its answer to what comes of it. An answer that
// was carried by hand goes in the transaction in which taken is called, and stays for whoever
// asks the same again when that fails: it costs no second trip. One that cannot be read is
// asked for anew.
func (l *Lock) askFor(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work, comes func(a *exchange.Answer, taken closing) error) error {
	a, carried, err := l.asked(ctx, gate, w)
	if err != nil {
		return err
	}
	err = comes(a, func(ctx context.Context, tx *sqlite.Tx) error {
		if carried == "" { // nobody looks for it again
			return nil
		}
		there, err := tx.TakeWork(ctx, carried)
		if err == nil && !there {
			err = answerTaken(gate, w.Verb)
		}
		return err
	})
	if kind := ecluse.KindOf(err); carried != "" && (kind == ecluse.Invalid || kind == ecluse.Unverified) {
		err = errors.Join(err, l.forget(ctx, carried))
	}
	return err
}

// asked asks something of a gate; carried names an answer that was carried by hand.
func (l *Lock) asked(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (a *exchange.Answer, carried string, err error) {
	if err := l.mayAsk(ctx, gate, w.Verb); err != nil {
		return nil, "", err
	}
	if byHand, err := l.stays(ctx, gate, w); err != nil {
		return nil, "", err
	} else if byHand {
		return l.askByHand(ctx, gate, w)
	}
	a, err = l.askOnLine(ctx, gate, w)
	return a, "", err
}

func (l *Lock) askOnLine(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (*exchange.Answer, error) {
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

// How long a look waits: whoever follows hears how far it has come a few times a second,
// and of its end at once.
const (
	pace     = 250 * time.Millisecond
	lookTime = time.Second
)

// look waits until something about a piece of work has changed since a version, or
// a while.
func (l *Lock) look(ctx context.Context, id string, since int64) (*exchange.WorkView, error) {
	for begun := time.Now(); ; {
		moved := l.moving()
		v, err := l.workView(ctx, id)
		if err != nil {
			return nil, err
		}
		if took := time.Since(begun); v.Answer != nil || took >= lookTime || took >= pace && v.Version > since {
			return v, nil
		}
		t := time.NewTimer(pace)
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

// workView is what is known of a piece of work now.
func (l *Lock) workView(ctx context.Context, id string) (*exchange.WorkView, error) {
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
	if row.Ended.IsZero() {
		return v, nil
	}
	if v.Answer, err = answerOf(row); err != nil {
		v.Answer = &exchange.Answer{Problem: exchange.ProblemOf(err)}
	}
	v.Version++
	return v, nil
}
