package lock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

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
// passed over. What is refused holds up what follows it of its migration, and of no other;
// it is tried again when the same return is carried in again. Of one that lies beside a
// later one of the same gate only what is left comes in: the rest the later one has, done
// again.
func (s *Person) CarryIn(ctx context.Context, signed evidence.Signed, later bool) (*exchange.Taken, error) {
	over, err := s.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	r, err := exchange.ParseReturn(signed, s.Key())
	if err != nil {
		return nil, err
	}
	if _, err := s.carriedFor(ctx, r.Gate); err != nil {
		return nil, err
	}
	x := &returned{Return: r, digest: signed.Digest(), sums: make([][]byte, 1, len(r.Items)+1), so: exchange.Taken{Of: len(r.Items)}, held: map[ecluse.MigrationID]bool{}, later: later}
	for _, it := range r.Items {
		text, err := evidence.EncodeJSON(it)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(append(bytes.Clone(x.sums[len(x.sums)-1]), text...))
		x.sums = append(x.sums, sum[:])
	}
	s.remember(x)
	return s.take(ctx, x, nil)
}

// CarryChunk takes in the chunk that is an item of what a gate said, and what follows.
// While its body comes in, which may take long, others carry in as well: a chunk comes in
// as over a line, and is no part of the order before its item is taken.
func (s *Person) CarryChunk(ctx context.Context, of ecluse.Digest, item int, body io.Reader) (*exchange.Taken, error) {
	r, wanted, err := s.returning(ctx, of, item)
	if err != nil {
		return nil, err
	}
	var refused error
	if wanted { // any other is none that this lock asked for
		it := r.Items[item]
		_, refused = s.Put(ctx, it.Migration, *it.Signed, body)
		// What does not verify is the body, for the descriptor did before: the same chunk is
		// wanted again, and so it is when the lock has trouble of its own.
		if refused != nil && (!refuses(refused) || ecluse.KindOf(refused) == ecluse.Unverified) {
			return nil, refused
		}
	}
	over, err := s.inTurn(ctx)
	if err != nil {
		return nil, err
	}
	defer over()
	if refused != nil && (s.returned != r || r.so.Done != item) { // somebody else was first
		return nil, refused
	}
	return s.take(ctx, r, refused)
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

// returnedLife is how long a return is kept in memory after its last chunk came: that is
// carried in again from its beginning, whatever of it is in.
const returnedLife = 15 * time.Minute

// remember keeps a return while its chunks come, one at a time: whoever comes between begins
// again. It may be large, and whoever sends it may go away. The caller has its turn.
func (l *Lock) remember(r *returned) {
	if l.returned != nil && l.returned.forget != nil {
		l.returned.forget.Stop()
	}
	r.forget = time.AfterFunc(returnedLife, func() {
		l.carrying <- struct{}{}
		defer func() { <-l.carrying }()
		if l.returned == r {
			l.returned = nil
		}
	})
	l.returned = r
}

// returning is the return that is being taken in, if it is this one, and tells whether an
// item is the chunk that is wanted next.
func (l *Lock) returning(ctx context.Context, of ecluse.Digest, item int) (_ *returned, wanted bool, _ error) {
	over, err := l.inTurn(ctx)
	if err != nil {
		return nil, false, err
	}
	defer over()
	r := l.returned
	if r == nil || r.digest != of {
		return nil, false, &ecluse.Error{Kind: ecluse.Interrupted, What: "carry in", Where: of.String(), Why: "the server started again meanwhile, or somebody else carries in", Next: "run the same command again"}
	}
	r.forget.Reset(returnedLife)
	if r.over || item != r.so.Done || r.Items[item].Kind != exchange.ItemPut {
		return r, false, nil
	}
	standing, err := l.Standing(ctx, r.Gate)
	return r, standing == Known, err
}

// returned is what a gate said, being taken in. sums[n] is of its first n items: a return
// that is signed anew with more in it begins with the same.
type returned struct {
	*exchange.Return
	digest ecluse.Digest
	sums   [][]byte
	so     exchange.Taken              // as far as it was gone through
	held   map[ecluse.MigrationID]bool // of which something was refused; empty: of none
	later  bool                        // a later one lies beside it
	late   bool                        // only what was left of it is being taken in
	forget *time.Timer
	over   bool // all of it was gone through: the rest is forgotten
}

// progress is how far a return was taken in by whoever carried it in before.
type progress struct {
	last  store.Carried // of its gate
	items int           // gone through before
	left  map[int]bool  // of these, not taken in
	anew  map[int]bool  // of these, what the gate was asked for anew since
}

// progressOf finds out how far a return has come, and refuses one that is not the gate's
// latest, unless something of it is left.
func (s *Person) progressOf(ctx context.Context, r *returned) (*progress, error) {
	refuse := func(why, next string) *ecluse.Error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "carry in", Where: fmt.Sprintf("return %d of %s", r.Number, r.Gate), Why: why, Next: next}
	}
	c, err := s.store.Carried(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	all, err := s.store.CarriedLeft(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	p := &progress{left: map[int]bool{}, anew: map[int]bool{}}
	same := true
	for _, x := range all {
		if x.Number == r.Number {
			p.left[x.Item], p.anew[x.Item] = true, x.Anew
			same = same && x.Item < len(r.Items) && bytes.Equal(r.sums[x.Item+1], x.Digest)
		}
	}
	if r.Number == c.Came {
		same = same && c.Items <= len(r.Items) && bytes.Equal(r.sums[min(c.Items, len(r.Items))], c.Digest)
	}
	late := r.later || r.Number < c.Came
	switch {
	case r.Number > c.Number:
		return nil, refuse(fmt.Sprintf("nothing of that number was carried out: the last was %d", c.Number), "find out where it comes from: this lock's folder may have been put back from a copy")
	case !same:
		return nil, refuse("it does not begin with what came in of it before: the gate's folder was put back from a copy, or another answered", "keep the folder as it is, and call the laboratory's data-protection officer")
	case late && len(p.left) == 0 && !r.late:
		e := refuse("a later return lies beside it", "carry in the later one, whole")
		if r.Number < c.Came {
			e = refuse(fmt.Sprintf("the return to dispatch %d came in before", c.Came), "it is late, and what it says is not taken in; carry out anew")
		}
		e.Err = exchange.ErrCameIn
		return nil, e
	case late: // of an earlier one only what is left
		p.items, r.late = len(r.Items), true
	case r.Number > c.Came:
		c.Came, c.Items, c.Digest = r.Number, 0, nil
		event := journal.Event{
			Tree: evidence.InstallationTree, Type: journal.CarriedIn, IDs: map[string]string{"gate": string(r.Gate)},
			Numbers: map[string]int64{"number": r.Number, "items": int64(len(r.Items))}, Body: s.carrier(),
		}
		err := s.store.Do(ctx, event, func(tx *sqlite.Tx) error {
			if err := tx.CarriedIn(ctx, r.Gate, c); err != nil {
				return err
			}
			return tx.ForgetCarried(ctx, r.Gate, r.Number)
		})
		if err != nil {
			return nil, err
		}
	default:
		p.items = c.Items
	}
	p.last = c
	return p, nil
}

// take goes on through what a gate said as far as the next chunk that is not in; the caller
// has its turn. refused is what keeps the next item, a chunk, from coming in.
func (s *Person) take(ctx context.Context, r *returned, refused error) (*exchange.Taken, error) {
	if r.over {
		return r.now(), nil
	}
	p, err := s.progressOf(ctx, r)
	if err != nil {
		return nil, err
	}
	standing, err := s.Standing(ctx, r.Gate)
	if err != nil {
		return nil, err
	}
	defer s.tell()
	for r.so.Done < len(r.Items) {
		wanted, err := s.takeNext(ctx, r, p, standing, refused)
		if err != nil {
			return nil, err
		}
		if wanted {
			return r.now(), nil
		}
		refused = nil
	}
	so := r.now()
	if s.returned == r { // it may be large, and is over; whoever did not hear so asks again
		s.remember(&returned{digest: r.digest, so: *so, over: true})
	}
	return so, nil
}

// now is how far it was gone through, as the caller's own.
func (r *returned) now() *exchange.Taken {
	so := r.so
	so.Refused = slices.Clone(so.Refused)
	return &so
}

// takeNext takes in the next thing that a gate said, or leaves it, and tells whether it is a
// chunk that is wanted instead.
func (s *Person) takeNext(ctx context.Context, r *returned, p *progress, standing Standing, refused error) (wanted bool, err error) {
	n := r.so.Done
	it := r.Items[n]
	before, left := n < p.items, p.left[n]
	if before && !left {
		r.so.Done++
		return false, nil
	}
	m, err := s.about(ctx, it)
	if err != nil {
		return false, err
	}
	note := func(tx *sqlite.Tx) error {
		if before {
			return tx.TakeCarried(ctx, r.Gate, r.Number, n)
		}
		return tx.CarriedIn(ctx, r.Gate, store.Carried{Came: r.Number, Items: n + 1, Digest: r.sums[n+1]})
	}
	held, late := r.held[m], false
	if p.anew[n] {
		refused = &ecluse.Error{
			Kind: ecluse.Refused, What: "carry in", Where: string(m), Why: "the gate was asked for it anew since it was refused: it would be done twice",
			Next: "carry what was carried out last to the gate: it does it again",
		}
	}
	if !held && refused == nil {
		if late, err = s.tooLate(ctx, it); err != nil {
			return false, err
		}
		if wanted, refused = s.takeOne(ctx, r.Gate, it, standing, note); wanted {
			return true, nil
		}
	}
	switch {
	case held:
		r.so.Waiting++
	case refused == nil:
		if late {
			r.so.Late++
		} else {
			r.so.New++
		}
		r.so.Done++
		return false, nil
	case ctx.Err() != nil, !refuses(refused):
		return false, refused // it is tried again
	default:
		r.held[m] = true
		r.so.Refused = append(r.so.Refused, exchange.NotIn{Item: n, Kind: it.Kind, Migration: m, Why: exchange.ProblemOf(refused)})
	}
	r.so.Done++
	if p.anew[n] {
		return false, nil
	}
	return false, s.leave(ctx, r, n, m, before, note)
}

// leave notes that an item was not taken in, to be tried again; of a migration that is over
// nothing comes in any more.
func (s *Person) leave(ctx context.Context, r *returned, n int, m ecluse.MigrationID, before bool, note func(*sqlite.Tx) error) error {
	over, err := s.isOver(ctx, m)
	if err != nil {
		return err
	}
	r.so.Again = r.so.Again || !over
	if before && !over {
		return nil
	}
	return s.store.Note(ctx, func(tx *sqlite.Tx) error {
		if !over {
			if err := tx.LeaveCarried(ctx, r.Gate, store.CarriedLeft{Number: r.Number, Item: n, Migration: m, Digest: r.sums[n+1]}); err != nil {
				return err
			}
		}
		return note(tx)
	})
}

// refuses tells whether an error is about what was said, and not the lock's own trouble.
func refuses(err error) bool {
	switch ecluse.KindOf(err) {
	case ecluse.Failed, ecluse.Interrupted:
		return false
	}
	return true
}

// about is the migration that an item is about; empty: none, or what was asked is forgotten.
func (l *Lock) about(ctx context.Context, it exchange.Item) (ecluse.MigrationID, error) {
	if it.Kind != exchange.ItemAnswer {
		return it.Migration, nil
	}
	w, err := l.store.Work(ctx, it.Work)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return w.Migration, nil
}

// isOver tells whether a migration is over, or never was.
func (l *Lock) isOver(ctx context.Context, m ecluse.MigrationID) (bool, error) {
	return isOver(ctx, l.store, m)
}

// migrations are looked up in a store, or in a transaction of it.
type migrations interface {
	Migration(ctx context.Context, m ecluse.MigrationID) (*store.Migration, error)
}

func isOver(ctx context.Context, in migrations, m ecluse.MigrationID) (bool, error) {
	if m == "" {
		return false, nil
	}
	mig, err := in.Migration(ctx, m)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return slices.Contains([]procedure.State{procedure.Accepted, procedure.Erasing, procedure.Erased, procedure.Closed}, mig.Place.Migration), nil
}
