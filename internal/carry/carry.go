package carry

import (
	"context"
	"errors"
	"io"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Lines is what a person who carries asks of a lock, where there is a line to it.
type Lines interface {
	CarryOut(ctx context.Context, gate ecluse.Fingerprint) (*evidence.Signed, error)
	CarryReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error)
	CarryPaper(ctx context.Context, paper evidence.Signed) error
	CarryIn(ctx context.Context, signed evidence.Signed, later bool) (*exchange.Taken, error)
	CarryChunk(ctx context.Context, of ecluse.Digest, item int, body io.ReadSeeker) (*exchange.Taken, error)
}

// Out is what was carried out.
type Out struct {
	Gate   ecluse.Fingerprint `json:"gate"`
	Number int64              `json:"number"`
	Work   []exchange.Verb    `json:"work"` // what is asked of the gate
}

// CarryOut writes into a folder all that a gate without a line needs to go on.
func CarryOut(ctx context.Context, l Lines, lock ecluse.Fingerprint, dir string, gate ecluse.Fingerprint) (*Out, error) {
	s, err := l.CarryOut(ctx, gate)
	if err != nil {
		return nil, err
	}
	d, err := exchange.ParseDispatch(*s, lock, gate)
	if err != nil {
		return nil, err
	}
	out := &Out{Gate: d.Gate, Number: d.Number, Work: []exchange.Verb{}}
	for _, w := range d.Work {
		out.Work = append(out.Work, w.Verb)
	}
	return out, WriteDispatch(ctx, dir, *s, d, l.CarryReject)
}

// CarryIn hands in what gates said in a folder, and takes it away there, but what was
// refused and may still come in, and what could not be handed in. It tells how far it has
// come. Run again after any interruption it goes on, and tries again what was refused.
func CarryIn(ctx context.Context, l Lines, lock ecluse.Fingerprint, dir string, tell func(exchange.Taken)) (*exchange.CarriedIn, error) {
	x := &carrying{in: exchange.CarriedIn{Refused: []exchange.NotIn{}, Failed: []exchange.NotCarried{}}}
	paper, err := ReadPaper(dir)
	if err != nil {
		return nil, err
	}
	if paper != nil {
		if err := l.CarryPaper(ctx, *paper); err != nil {
			return nil, err
		}
		if err := ClearPaper(dir); err != nil {
			return nil, err
		}
		x.in.Paper = true
	}
	all, unread, err := ReadReturns(dir, lock)
	if x.in.Paper && ecluse.KindOf(err) == ecluse.Invalid { // a gate that was just enrolled has said no more
		return &x.in, nil
	}
	if err != nil {
		return nil, err
	}
	for _, u := range unread {
		x.fail(u.Number, "", u.Err)
	}
	var came []*Returned // the latest of each gate
	for n, r := range all {
		after := slices.ContainsFunc(all[n+1:], func(o *Returned) bool { return o.Gate == r.Gate })
		later := after || slices.ContainsFunc(unread, func(u Unread) bool { return u.hides(r.Number) })
		t, err := r.handIn(ctx, l, later, tell)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err == nil:
			x.add(r, t, !after)
		case !after || !errors.Is(err, exchange.ErrCameIn): // else a later one has what is not in
			x.fail(r.Number, r.Gate, err)
			continue
		}
		if !after {
			came = append(came, r)
		}
	}
	if x.in.Number == 0 && !x.in.Paper {
		return nil, x.failed
	}
	for _, r := range came {
		if err := r.Clear(x.keep); err != nil {
			return nil, err
		}
	}
	return &x.in, nil
}

// carrying is what became of a folder so far.
type carrying struct {
	in     exchange.CarriedIn
	keep   []int64 // the returns that stay in the folder
	failed error   // of the latest of those that could not be handed in
	latest int64   // its number
}

// fail notes that a return could not be handed in, and why.
func (x *carrying) fail(number int64, gate ecluse.Fingerprint, err error) {
	if number >= x.latest {
		x.failed, x.latest = err, number
	}
	x.keep = append(x.keep, number)
	x.in.Failed = append(x.in.Failed, exchange.NotCarried{Folder: inOf(number), Gate: gate, Why: exchange.ProblemOf(err)})
}

// add adds what became of a return.
func (x *carrying) add(r *Returned, t *exchange.Taken, last bool) {
	in := &x.in
	in.Gate, in.Number = r.Gate, r.Number
	in.New += t.New
	in.Late += t.Late
	in.Refused = append(in.Refused, t.Refused...)
	in.Waiting += t.Waiting
	in.Again = in.Again || t.Again
	if last {
		in.Before += t.Before()
	}
	in.Items = in.New + in.Late + in.Before + len(in.Refused) + in.Waiting
	if t.Again {
		x.keep = append(x.keep, r.Number)
	}
}

// handIn hands in a return as far as its end.
func (r *Returned) handIn(ctx context.Context, l Lines, later bool, tell func(exchange.Taken)) (*exchange.Taken, error) {
	t, err := l.CarryIn(ctx, r.Signed, later)
	done := 0
	for {
		if err != nil {
			return nil, err
		}
		if t.Done < done || t.Done > t.Of || t.Of != len(r.Items) || t.New < 0 || t.Late < 0 || t.Waiting < 0 || t.Before() < 0 || !r.are(t.Refused, t.Done) {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "carry in", Where: r.dir, Why: "the server says that it took in what it cannot have", Next: "ask who runs it; the folder is as it was"}
		}
		tell(*t)
		if t.Done == t.Of {
			return t, nil
		}
		done = t.Done
		t, err = r.chunk(ctx, l, t.Done)
	}
}

// are tells whether what a server refused is among the items before one, in their order, and
// why is said of each. Of an answer only the server knows what it is about.
func (r *Returned) are(refused []exchange.NotIn, before int) bool {
	last := -1
	for _, x := range refused {
		if x.Why == nil || x.Item <= last || x.Item >= before {
			return false
		}
		last = x.Item
		it := &r.Items[x.Item]
		if x.Kind != it.Kind || x.Migration != it.Migration && it.Kind != exchange.ItemAnswer || x.Migration != "" && !x.Migration.Valid() {
			return false
		}
	}
	return true
}

// chunk hands in the chunk that is wanted next.
func (r *Returned) chunk(ctx context.Context, l Lines, item int) (*exchange.Taken, error) {
	f, err := r.Chunk(item)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return l.CarryChunk(ctx, r.Signed.Digest(), item, f)
}
