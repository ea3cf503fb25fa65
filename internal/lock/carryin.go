package lock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// CarryIn takes in what a gate without a line said, in its order, as far as the next
// chunk; CarryChunk takes in that chunk and what follows it. What came in before is
// passed over.
func (s *Person) CarryIn(ctx context.Context, signed evidence.Signed) (*exchange.Taken, error) {
	r, err := exchange.ParseReturn(signed, s.Key())
	if err != nil {
		return nil, err
	}
	if _, err := s.carriedFor(ctx, r.Gate); err != nil {
		return nil, err
	}
	x := &returned{Return: r, digest: signed.Digest(), sums: make([][]byte, 1, len(r.Items)+1)}
	for _, it := range r.Items {
		text, err := evidence.EncodeJSON(it)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append(bytes.Clone(x.sums[len(x.sums)-1]), text...))
		x.sums = append(x.sums, sum[:])
	}
	over, err := s.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	s.returned = x // one at a time: whoever comes between begins again
	return s.take(ctx, x)
}

// CarryChunk takes in the chunk that is an item of what a gate said, and what follows.
// While its body comes in, which may take long, others carry in as well: a chunk comes in
// as over a line, and is no part of the order before its item is taken.
func (s *Person) CarryChunk(ctx context.Context, of ecluse.Digest, item int, body io.Reader) (*exchange.Taken, error) {
	r, err := s.returning(ctx, of)
	if err != nil || r.over != nil {
		return r.taken(), err
	}
	c, err := s.store.Carried(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	standing, err := s.Standing(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	// Any other item than the next one is none that this lock asked for.
	if standing == Known && c.Came == r.Number && c.Items == item && item < len(r.Items) && r.Items[item].Kind == exchange.ItemPut {
		it := r.Items[item]
		if err := s.fromGate(ctx, r.Gate, it); err != nil {
			return nil, err
		}
		if _, err := s.Put(ctx, it.Migration, *it.Signed, body); err != nil {
			return nil, err
		}
	}
	over, err := s.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	return s.take(ctx, r)
}

// inTurn waits until nobody else carries out, or takes in what was carried.
func (l *Lock) inTurn(ctx context.Context) (over func(), err error) {
	select {
	case l.carrying <- struct{}{}:
		return func() { <-l.carrying }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// returning is the return that is being taken in, if it is this one.
func (l *Lock) returning(ctx context.Context, of ecluse.Digest) (*returned, error) {
	over, err := l.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	if r := l.returned; r != nil && r.digest == of {
		return r, nil
	}
	return nil, &ecluse.Error{Kind: ecluse.Interrupted, What: "carry in", Where: of.String(), Why: "the server started again meanwhile, or somebody else carries in", Next: "run the same command again"}
}

// returned is what a gate said, being taken in. sums[n] is of its first n items: a return
// that is signed anew with more in it begins with the same.
type returned struct {
	*exchange.Return
	digest ecluse.Digest
	sums   [][]byte
	over   *exchange.Taken // once all of it is in; then there is nothing else
}

func (r *returned) taken() *exchange.Taken {
	if r == nil {
		return nil
	}
	return r.over
}

// take takes in what a gate said as far as the next chunk that is not in; the caller has
// its turn.
func (s *Person) take(ctx context.Context, r *returned) (*exchange.Taken, error) {
	refuse := func(why, next string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "carry in", Where: fmt.Sprintf("return %d of %s", r.Number, r.Gate), Why: why, Next: next}
	}
	c, err := s.store.Carried(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	switch {
	case r.Number > c.Number:
		return nil, refuse(fmt.Sprintf("nothing of that number was carried out: the last was %d", c.Number), "find out where it comes from: this lock's folder may have been put back from a copy")
	case r.Number < c.Came:
		return nil, refuse(fmt.Sprintf("the return to dispatch %d came in before", c.Came), "it is late, and what it says is not taken in; carry out anew")
	case r.Number > c.Came:
		c.Came, c.Items, c.Digest = r.Number, 0, nil
		event := journal.Event{
			Tree: evidence.InstallationTree, Type: journal.CarriedIn, IDs: map[string]string{"gate": string(r.Gate)},
			Numbers: map[string]int64{"number": r.Number, "items": int64(len(r.Items))}, Body: s.carrier(),
		}
		if err := s.store.Do(ctx, event, func(tx *sqlite.Tx) error { return tx.CarriedIn(ctx, r.Gate, c) }); err != nil {
			return nil, err
		}
	}
	if c.Items > len(r.Items) || !bytes.Equal(r.sums[c.Items], c.Digest) {
		return nil, refuse("it does not begin with what came in of it before: the gate's folder was put back from a copy, or another answered", "keep the folder as it is, and call the laboratory's data-protection officer")
	}
	standing, err := s.Standing(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	defer s.tell()
	for c.Items < len(r.Items) {
		it := r.Items[c.Items]
		let, err := s.lets(ctx, standing, it)
		if err != nil {
			return nil, err
		}
		if let && it.Kind == exchange.ItemPut {
			in, err := s.alreadyIn(r.Gate, it)
			if err != nil {
				return nil, err
			}
			if !in {
				return &exchange.Taken{Done: c.Items, Of: len(r.Items)}, nil // this chunk is what is wanted next
			}
		}
		next := store.Carried{Number: c.Number, Came: c.Came, Items: c.Items + 1, Digest: r.sums[c.Items+1]}
		if let {
			err = s.takeItem(ctx, r.Gate, it, next)
		} else {
			err = s.store.CarriedIn(ctx, r.Gate, next)
		}
		if err != nil {
			return nil, err
		}
		c = next
	}
	if s.returned == r { // it may be large, and is over; whoever did not hear so asks again
		s.returned = &returned{digest: r.digest, over: &exchange.Taken{Done: c.Items, Of: len(r.Items)}}
	}
	return &exchange.Taken{Done: c.Items, Of: len(r.Items)}, nil
}

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

// takeItem takes in one thing that a gate said, by the same checks as over a line. What
// the journal would have twice after a crash is in one transaction with how far it came.
func (l *Lock) takeItem(ctx context.Context, gate ecluse.Fingerprint, it exchange.Item, next store.Carried) error {
	if it.Kind == exchange.ItemRecord {
		event, err := l.Seat(gate).event(ctx, *it.Event)
		if err != nil {
			return err
		}
		return l.store.Do(ctx, event, func(tx *sqlite.Tx) error { return tx.CarriedIn(ctx, gate, next) })
	}
	if err := l.takeSigned(ctx, gate, it); err != nil {
		return err
	}
	return l.store.CarriedIn(ctx, gate, next)
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
		return l.closeOnce(ctx, it.Migration, *it.Signed)
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

// closeOnce is Close, unless a crash came after it and before it was noted that it came.
func (l *Lock) closeOnce(ctx context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	stored, err := l.Manifest(ctx, m)
	if err != nil {
		return err
	}
	if stored != nil && bytes.Equal(stored.Body, manifest.Body) {
		mig, err := l.store.Migration(ctx, m)
		if err != nil || mig.Place.Migration != procedure.Reading {
			return err
		}
	}
	return l.Close(ctx, m, manifest)
}
