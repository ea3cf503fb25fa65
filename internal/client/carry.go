package client

import (
	"context"
	"io"
	"net/http"
	"strconv"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// CarryOut brings all that a gate without a line needs to go on; an empty gate is the
// only one there is.
func (p *Person) CarryOut(ctx context.Context, gate ecluse.Fingerprint) (*evidence.Signed, error) {
	return posted[evidence.Signed](ctx, p.line, "/carried/out", struct {
		Gate ecluse.Fingerprint `json:"gate,omitempty"`
	}{gate})
}

// CarryReject fetches rows put aside, sealed to the source gate.
func (p *Person) CarryReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (body io.ReadCloser, err error) {
	err = p.trying(ctx, p.patience, func() error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/carried"+about(m, "/rejects/"+sha256.String()), nil)
		if err != nil {
			return err
		}
		res, err := p.do(ctx, r) //nolint:bodyclose // the caller closes it
		if err == nil {
			body = atMost(res.Body, maxChunk)
		}
		return err
	})
	return body, err
}

// CarryPaper hands in what a gate without a line says of itself.
func (p *Person) CarryPaper(ctx context.Context, paper evidence.Signed) error {
	return p.call(ctx, http.MethodPost, "/carried/papers", paper, nil)
}

// CarryIn hands in what a gate without a line said, as far as the next chunk; later tells that
// a later return of the same gate lies beside it.
func (p *Person) CarryIn(ctx context.Context, signed evidence.Signed, later bool) (*exchange.Taken, error) {
	path := "/carried/in"
	if later {
		path += "?later=true"
	}
	return posted[exchange.Taken](ctx, p.line, path, signed)
}

// CarryChunk hands in a chunk among it, and what follows.
func (p *Person) CarryChunk(ctx context.Context, of ecluse.Digest, item int, body io.ReadSeeker) (*exchange.Taken, error) {
	v := &exchange.Taken{}
	size, err := body.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	return v, p.trying(ctx, p.patience, func() error {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPut, p.base+"/carried/in/"+of.String()+"/"+strconv.Itoa(item), io.NopCloser(body))
		if err != nil {
			return err
		}
		r.ContentLength = size
		r.Header.Set("Content-Type", "application/octet-stream")
		res, err := p.do(ctx, r)
		if err != nil {
			return err
		}
		defer drain(res)
		return read(res.Body, v)
	})
}
