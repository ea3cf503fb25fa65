package lock

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// stays tells whether what is asked of a gate stays asked, whoever asked: the gate is
// reached by hand only. Of a target gate nothing does but to make its recipient, which is
// asked together with the source gate's: what it compiles is of now.
func (l *Lock) stays(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (bool, error) {
	if w.Verb == exchange.MakeRecipient {
		return l.borrowsByHand(ctx, gate, w.Migration)
	}
	return l.noLine(ctx, gate)
}

// borrowsByHand tells whether a gate, or the source gate that it borrows from, is reached by
// hand only.
func (l *Lock) borrowsByHand(ctx context.Context, gate ecluse.Fingerprint, m ecluse.MigrationID) (bool, error) {
	if byHand, err := l.noLine(ctx, gate); err != nil || byHand {
		return byHand, err
	}
	source, _, err := l.gates(ctx, m)
	if ecluse.KindOf(err) == ecluse.WaitsForSign {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return l.noLine(ctx, source)
}

// question names what is asked, so that it is known again: the same of the same gate, under
// the same papers in force.
func question(gate ecluse.Fingerprint, w exchange.Work, inForce []ecluse.Digest) (string, error) {
	w.ID = ""
	text, err := json.Marshal(struct {
		Gate    ecluse.Fingerprint
		Work    exchange.Work
		InForce []ecluse.Digest
	}{gate, w, inForce})
	if err != nil {
		return "", err
	}
	return questions + ecluse.DigestOf(text).Hex()[:40], nil
}

// questions begin the ids of what stays asked.
const questions = "carried-"

// restsOn are the digests of the papers that an answer about a migration may rest on; zero
// before there is one.
func (l *Lock) restsOn(ctx context.Context, m ecluse.MigrationID) ([]ecluse.Digest, error) {
	if m == "" {
		return nil, nil
	}
	var all []ecluse.Digest
	for _, kind := range []string{evidence.KindInstruction, evidence.KindReadPlan, evidence.KindMapping} {
		d, err := l.store.Current(ctx, m, kind)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// idle tells why a question to a gate that is reached by hand is asked in vain; empty: it is
// not. What ends something, what a loan or the evidence needs, waits for its trip all the same.
func (l *Lock) idle(ctx context.Context, w *store.Work, now time.Time) (why string, err error) {
	switch verb := exchange.Verb(w.Verb); {
	case verb.Ends(), verb == exchange.Look, verb == exchange.SignBundle:
		return "", nil
	case w.Migration == "": // asked for somebody to look at
		if now.Sub(w.Asked) > workLife {
			return "nobody carried it for a week", nil
		}
		return "", nil
	}
	if over, err := l.isOver(ctx, w.Migration); err != nil || over {
		return "the migration is over", err
	}
	mig, err := l.store.Migration(ctx, w.Migration)
	switch {
	case err != nil:
		return "", err
	case mig.Place.Held():
		return "the migration is held", nil
	case !now.Before(mig.EraseBy):
		return "the migration's deadline has passed", nil
	}
	return "", nil
}

// withdrawIdle withdraws what is asked of a gate in vain, before it is carried out.
func (l *Lock) withdrawIdle(ctx context.Context, gate ecluse.Fingerprint) error {
	all, err := l.store.OpenWork(ctx, gate)
	if err != nil {
		return err
	}
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return err
	}
	for _, row := range all {
		why, err := l.idle(ctx, &row, now)
		if err != nil {
			return err
		}
		if why == "" {
			continue
		}
		if strings.HasPrefix(row.ID, questions) { // whoever asks it again asks anew
			err := l.store.Note(ctx, func(tx *sqlite.Tx) error {
				_, err := tx.EndWork(ctx, row.ID, nil)
				if err == nil {
					_, err = tx.TakeWork(ctx, row.ID)
				}
				return err
			})
			if err != nil {
				return err
			}
			continue
		}
		w := exchange.Work{ID: row.ID, Verb: exchange.Verb(row.Verb), Migration: row.Migration}
		withdrawn := &ecluse.Error{Kind: ecluse.Interrupted, What: "have a gate " + row.Verb, Where: string(row.Migration), Why: "it was withdrawn before it was carried: " + why, Next: "when it can go on, run the same command again"}
		if err := l.ended(ctx, w, &exchange.Answer{Problem: exchange.ProblemOf(withdrawn)}); err != nil && !errors.Is(err, errAnswered) {
			return err
		}
		l.tell()
	}
	return nil
}

// waiting lists what waits to be carried to a source gate without a line about a migration,
// the oldest first; loans, too.
func (l *Lock) waiting(ctx context.Context, m ecluse.MigrationID) ([]exchange.Waiting, error) {
	list := []exchange.Waiting{}
	source, _, err := l.gates(ctx, m)
	if ecluse.KindOf(err) == ecluse.WaitsForSign { // no instruction yet
		return list, nil
	}
	if err != nil {
		return nil, err
	}
	if hand, err := l.noLine(ctx, source); err != nil || !hand {
		return list, err
	}
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := l.store.WorkOf(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, w := range rows {
		if !w.Ended.IsZero() || w.Gate != source {
			continue
		}
		why, err := l.idle(ctx, &w, now)
		if err != nil {
			return nil, err
		}
		if why == "" {
			list = append(list, exchange.Waiting{Gate: source, Verb: exchange.Verb(w.Verb), Since: w.Asked})
		}
	}
	leases, err := l.store.Leases(ctx, m)
	for _, x := range leases {
		if x.Ended.IsZero() && x.Answer.Body == nil {
			list = append(list, exchange.Waiting{Gate: source, Verb: exchange.Lend, Since: x.Asked})
		}
	}
	return list, err
}

// forgetOld forgets an answer that is too old, and tells whether it was.
func (l *Lock) forgetOld(ctx context.Context, row *store.Work) (bool, error) {
	if row.Ended.IsZero() || exchange.Verb(row.Verb).Ends() {
		return false, nil
	}
	now, _, err := l.store.Now(ctx)
	if err != nil || now.Sub(row.Ended) <= answerLife {
		return false, err
	}
	return true, l.forget(ctx, row.ID)
}

// askByHand asks something whose answer may take days. It is asked once; when it was
// answered, whoever asks the same has the answer, until what came of it is kept. A problem
// is told once: then it is asked anew.
func (l *Lock) askByHand(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (_ *exchange.Answer, id string, _ error) {
	papers, err := l.restsOn(ctx, w.Migration)
	if err != nil {
		return nil, "", err
	}
	if id, err = question(gate, w, papers); err != nil {
		return nil, "", err
	}
	w.ID = id
	text, err := json.Marshal(w)
	if err != nil {
		return nil, "", err
	}
	row, err := l.store.Work(ctx, id)
	if err == nil {
		var old bool
		if old, err = l.forgetOld(ctx, row); err == nil && old {
			row, err = nil, fs.ErrNotExist
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := l.store.AskWork(ctx, store.Work{ID: id, Gate: gate, Migration: w.Migration, Verb: string(w.Verb), Text: text}); err != nil {
			return nil, "", err
		}
		l.tell()
	case err != nil:
		return nil, "", err
	}
	if row == nil || row.Ended.IsZero() {
		if row, err = l.awaitByHand(ctx, gate, w); err != nil {
			return nil, "", err
		}
	}
	a, err := answerOf(row)
	if err == nil {
		err = a.Err()
	}
	if err != nil {
		return nil, "", errors.Join(err, l.forget(ctx, id))
	}
	return a, id, nil
}

// forget forgets an answer of which nothing more comes.
func (l *Lock) forget(ctx context.Context, id string) error {
	return l.store.Note(ctx, func(tx *sqlite.Tx) error {
		_, err := tx.TakeWork(ctx, id)
		return err
	})
}

// answerTaken is the error of the second of two who ask the same.
func answerTaken(gate ecluse.Fingerprint, verb exchange.Verb) error {
	return &ecluse.Error{Kind: ecluse.Interrupted, What: "have a gate " + string(verb), Where: string(gate), Why: "somebody who asked the same took the answer", Next: "run the same command again"}
}

// awaitByHand waits for an answer as long as it may come over a line: the gate is on one,
// and borrows nothing from a gate that is not.
func (l *Lock) awaitByHand(ctx context.Context, gate ecluse.Fingerprint, w exchange.Work) (*store.Work, error) {
	hand, err := l.noLine(ctx, gate)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	for {
		wait, cancel := context.WithTimeoutCause(ctx, handPatience, errByHand)
		_, err := l.await(wait, gate, w.ID, w.Verb)
		cancel()
		var row *store.Work
		if err == nil {
			row, err = l.store.Work(ctx, w.ID)
		}
		switch {
		case err == nil:
			return row, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, fs.ErrNotExist):
			return nil, answerTaken(gate, w.Verb)
		case !errors.Is(err, errByHand):
			return nil, err
		}
		borrows, err := l.borrows(ctx, w.Migration)
		if err != nil {
			return nil, err
		}
		switch seen := l.lastSeen(gate); {
		case borrows, hand && time.Since(seen) > away:
			return nil, exchange.ByHand(gate, w.Verb)
		case time.Since(seen) > away && time.Since(begun) > patience:
			return nil, exchange.Away(gate, seen, w.Verb)
		}
	}
}

// borrows tells whether a request for the release secret waits for its answer.
func (l *Lock) borrows(ctx context.Context, m ecluse.MigrationID) (bool, error) {
	if m == "" {
		return false, nil
	}
	asked, err := l.Asked(ctx, m)
	return len(asked) > 0, err
}

// byHand refuses to go on with an erasure while what was asked for it waits to be carried,
// and returns the certificate that both gates are to sign, once there is one: days pass
// between the one signature and the other.
func (l *Lock) byHand(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) (*evidence.Certificate, error) {
	if hand, err := l.noLine(ctx, i.Source.Gate); err != nil || !hand {
		return nil, err
	}
	all, err := l.store.WorkOf(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, w := range all {
		if !w.Ended.IsZero() || w.Gate != i.Source.Gate {
			continue
		}
		switch verb := exchange.Verb(w.Verb); verb {
		case exchange.Erase: // the other half of the key and the ciphertext go first
			target := &keyHolder{lock: l, at: exchange.TargetPlace, gate: i.Target.Gate}
			if said, err := target.said(ctx, m); err != nil || said == nil {
				return nil, err
			}
			if inv, err := l.chamber.Inventory(m); err != nil || inv == nil {
				return nil, err
			}
			if left, err := l.chamber.Remains(m); err != nil || len(left) > 0 {
				return nil, err
			}
			return nil, exchange.ByHand(w.Gate, verb)
		case exchange.Search, exchange.Certify:
			return nil, exchange.ByHand(w.Gate, verb)
		}
	}
	text, err := l.current(ctx, m, kindDraft)
	if err != nil || text == nil {
		return nil, err
	}
	c := &evidence.Certificate{}
	return c, json.Unmarshal(text, c)
}

// lookedByHand tells whether a gate without a line cosigned the journal as it stands.
func (l *Lock) lookedByHand(ctx context.Context, m ecluse.MigrationID, gate ecluse.Fingerprint) (bool, error) {
	if hand, err := l.noLine(ctx, gate); err != nil || !hand {
		return false, err
	}
	s, err := l.Cosigned(ctx, m, gate)
	if err != nil || s == nil {
		return false, err
	}
	h, err := evidence.ParseHead(s.Body)
	if err != nil {
		return false, err
	}
	size, err := l.store.Size(ctx, string(m))
	return h.Size == size, err
}

// draft keeps the certificate that both gates are to sign, where one signs by hand. What the
// gate found in its folder, which it says, is taken with it.
func (l *Lock) draft(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction, c *evidence.Certificate, searched closing) error {
	if hand, err := l.noLine(ctx, i.Source.Gate); err != nil || !hand {
		return err
	}
	text, err := evidence.EncodeJSON(c)
	if err != nil {
		return err
	}
	event := journal.Event{Tree: string(m), Type: journal.DocumentStored, IDs: map[string]string{"document": ecluse.DigestOf(text).String(), "kind": kindDraft}}
	return l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		d, err := tx.AddDocument(ctx, kindDraft, m, text)
		if err != nil {
			return err
		}
		if err := tx.SetCurrent(ctx, m, kindDraft, d); err != nil || searched == nil {
			return err
		}
		return searched(ctx, tx)
	})
}

// answerLife is how long an answer that nobody took is one: the database that it speaks of
// may be another by then. What a gate ended stays ended.
const answerLife = 24 * time.Hour

// handPatience is how long an answer is waited for before it is looked whether it has to
// be carried.
const handPatience = 2 * time.Second

var errByHand = errors.New("it has to be carried")

// kindDraft is a certificate that both gates are still to sign.
const kindDraft = "certificate-draft"
