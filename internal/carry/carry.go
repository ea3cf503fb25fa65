package carry

import (
	"context"
	"io"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Lines is what a person who carries asks of a lock, where there is a line to it.
type Lines interface {
	CarryOut(ctx context.Context, gate ecluse.Fingerprint) (*evidence.Signed, error)
	CarryReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error)
	CarryPaper(ctx context.Context, paper evidence.Signed) error
	CarryIn(ctx context.Context, signed evidence.Signed) (*exchange.Taken, error)
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

// In is what was carried in.
type In struct {
	Gate   ecluse.Fingerprint `json:"gate,omitempty"`
	Number int64              `json:"number,omitempty"` // of the dispatch that was answered
	Items  int                `json:"items"`
	Paper  bool               `json:"paper,omitempty"` // what a gate says of itself was among it
}

// CarryIn hands in what a gate said in a folder, and takes it away there. It tells how
// far it has come. Run again after any interruption it goes on.
func CarryIn(ctx context.Context, l Lines, lock ecluse.Fingerprint, dir string, tell func(exchange.Taken)) (*In, error) {
	in := &In{}
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
		in.Paper = true
	}
	r, err := ReadReturn(dir, lock)
	if in.Paper && ecluse.KindOf(err) == ecluse.Invalid { // a gate that was just enrolled has said no more
		return in, nil
	}
	if err != nil {
		return nil, err
	}
	in.Gate, in.Number = r.Gate, r.Number
	taken, err := l.CarryIn(ctx, r.Signed)
	for {
		if err != nil {
			return nil, err
		}
		if taken.Done < in.Items || taken.Done > taken.Of || taken.Of != len(r.Items) {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "carry in", Where: dir, Why: "the server says that it took in what it cannot have", Next: "ask who runs it; the folder is as it was"}
		}
		tell(*taken)
		if in.Items = taken.Done; taken.Done == taken.Of {
			break
		}
		taken, err = r.chunk(ctx, l, taken.Done)
	}
	return in, r.Clear()
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
