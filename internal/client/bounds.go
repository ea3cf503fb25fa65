package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"ecluse"
)

// Bounds of what a server makes this program hold: its answers are believed in
// nothing, their length included.
const (
	maxAnswer = 256 << 20 // in JSON: the evidence of a large migration is the longest
	maxPages  = 1000      // of one list
)

var errLong = errors.New("it does not end")

// endless is what is said of an answer that is longer than any can be. It is not
// asked for again.
func endless(what string) error {
	return &ecluse.Error{
		Kind: ecluse.Failed, What: "read the server's answer", Why: what + " is longer than any that a lock gives", Err: errLong,
		Next: "nothing of it was kept; ask who runs the server what it sends",
	}
}

// bounded reads so many bytes and fails at the next: an answer that is cut looks like
// no whole one.
type bounded struct {
	io.Reader
	left   int64
	failed error // of the line, or errLong
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.Reader.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), errLong
	}
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = err
	}
	return n, err
}

// limited is a body of at most so many bytes.
type limited struct {
	io.Reader
	io.Closer
}

func atMost(body io.ReadCloser, n int64) io.ReadCloser { return limited{io.LimitReader(body, n), body} }

// read decodes an answer in JSON, which may be none of a lock's.
func read(body io.Reader, out any) error {
	if out == nil {
		return nil
	}
	b := &bounded{Reader: body, left: maxAnswer}
	err := json.NewDecoder(b).Decode(out)
	switch {
	case err == nil:
		return nil
	case errors.Is(b.failed, errLong):
		return endless("an answer")
	case b.failed != nil:
		return broken(b.failed)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return broken(err)
	}
	// Not in the decoder's words, which may repeat what was sent. The same answer would
	// come again: it is not asked for.
	return &ecluse.Error{
		Kind: ecluse.Failed, What: "read the server's answer", Why: "it is no answer of a lock's",
		Next: "let server and program be of one version; ask who runs the server what it sends",
	}
}

// impatient ends an answer that stands still.
type impatient struct {
	io.ReadCloser
	patience time.Duration
	ctx      context.Context //nolint:containedctx // of the request whose body it is
	cancel   context.CancelCauseFunc
}

var errSilent = errors.New("the server fell silent within its answer")

func (i *impatient) Read(p []byte) (int, error) {
	t := time.AfterFunc(i.patience, func() { i.cancel(errSilent) })
	n, err := i.ReadCloser.Read(p)
	t.Stop()
	if err != nil && errors.Is(context.Cause(i.ctx), errSilent) {
		err = errSilent
	}
	return n, err
}

func (i *impatient) Close() error {
	err := i.ReadCloser.Close()
	i.cancel(nil)
	return err
}
