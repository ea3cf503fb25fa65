package lock

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// lets tells whether a gate of a standing is let say something. One that was retired says
// what it ended, as over a line: the rest is passed over, for an erasure must not wait for it.
func (l *Lock) lets(ctx context.Context, standing Standing, it exchange.Item) (bool, error) {
	switch {
	case standing == Known:
		return true, nil
	case standing != Leaving:
		return false, nil
	case it.Kind == exchange.ItemPost:
		return it.Paper.Ends(), nil
	case it.Kind != exchange.ItemAnswer:
		return false, nil
	}
	w, err := l.store.Work(ctx, it.Work)
	if errors.Is(err, fs.ErrNotExist) { // it was withdrawn and forgotten meanwhile
		return false, nil
	}
	return err == nil && exchange.Verb(w.Verb).Ends(), err
}

// alreadyIn tells whether the very chunk of an item is in the chamber.
func (l *Lock) alreadyIn(gate ecluse.Fingerprint, it exchange.Item) (bool, error) {
	d, err := evidence.ParseDescriptor(*it.Signed, gate)
	if err != nil {
		return false, err
	}
	s, body, err := l.chamber.Get(it.Migration, d.Slot)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return bytes.Equal(s.Body, it.Signed.Body), body.Close()
}

// takeOne takes in one thing that a gate said, by the same checks as over a line, unless it
// is a chunk that is not there. What the journal would have twice after a crash is in one
// transaction with the note that it came.
func (l *Lock) takeOne(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item, standing Standing, note func(*sqlite.Tx) error) (wanted bool, err error) {
	let, err := l.lets(ctx, standing, it)
	switch {
	case err != nil:
		return false, err
	case !let:
	case it.Kind == exchange.ItemRecord:
		event, err := l.Seat(gate).event(ctx, *it.Event)
		if err != nil {
			return false, err
		}
		return false, l.tellOnce(ctx, event, note)
	default:
		if it.Kind == exchange.ItemPut {
			in, err := l.alreadyIn(gate, it)
			if err == nil && !in {
				err = l.mayPut(ctx, gate, it)
			}
			if err != nil || !in {
				return err == nil, err
			}
		}
		if err := l.takeSigned(ctx, gate, it); err != nil {
			return false, err
		}
	}
	return false, l.store.Note(ctx, note)
}

// mayPut refuses a chunk that would not be let in, before it is sent.
func (l *Lock) mayPut(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item) error {
	if err := l.fromGate(ctx, gate, it); err != nil {
		return err
	}
	mig, err := l.store.Migration(ctx, it.Migration)
	if err != nil {
		return err
	}
	_, err = procedure.Next(mig.Place, procedure.StoreChunk, procedure.SourceGate)
	return err
}

// fromGate refuses what is not signed by a gate of its migration.
func (l *Lock) fromGate(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item) error {
	if err := l.Names(ctx, it.Migration, gate); err != nil {
		return err
	}
	return it.Signed.VerifyBy(it.Namespace(), gate)
}

func (l *Lock) takeSigned(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item) error {
	if it.Kind == exchange.ItemAnswer {
		err := l.Seat(gate).Answer(ctx, it.Work, *it.Answer)
		if errors.Is(err, fs.ErrNotExist) { // it was withdrawn and forgotten meanwhile
			return nil
		}
		return err
	}
	if err := l.fromGate(ctx, gate, it); err != nil {
		return err
	}
	switch it.Kind {
	case exchange.ItemPost:
		return l.Post(ctx, it.Migration, it.Paper, *it.Signed)
	case exchange.ItemPut: // the chunk is in: only what a crash kept from the journal is made good
		_, err := l.Put(ctx, it.Migration, *it.Signed, bytes.NewReader(nil))
		return err
	case exchange.ItemClose:
		return l.Close(ctx, it.Migration, *it.Signed)
	case exchange.ItemCosign:
		return l.Cosign(ctx, it.Migration, *it.Signed)
	case exchange.ItemLend:
		err := l.Lend(ctx, it.Migration, *it.Signed)
		if ecluse.KindOf(err) == ecluse.Refused || errors.Is(err, fs.ErrNotExist) { // it came too late, and is asked for again
			return nil
		}
		return err
	}
	return &ecluse.Error{Kind: ecluse.Invalid, What: "carry in", Why: "the gate said something that this program does not know", Next: "let server and gates be of one version"}
}

// tooLate tells whether an item answers what was withdrawn, or ended otherwise, meanwhile:
// nothing comes of it.
func (l *Lock) tooLate(ctx context.Context, it exchange.Item) (bool, error) {
	if it.Kind != exchange.ItemAnswer || strings.HasPrefix(it.Work, "lend-") {
		return false, nil
	}
	w, err := l.store.Work(ctx, it.Work)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil || w.Ended.IsZero() {
		return false, err
	}
	text, err := json.Marshal(it.Answer)
	return !bytes.Equal(text, w.Answer), err // the same: a crash came before it was noted that it came
}
