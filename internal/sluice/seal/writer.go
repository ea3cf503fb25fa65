package seal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// Writer seals one chunk. Rows and end of a dataset are known when its last batch
// is, and stand in the metadata before the first: so the batches wait in memory,
// compressed, and Close writes the chunk. A Writer belongs to one goroutine.
type Writer struct {
	pool   *Pool
	dst    io.Writer
	header Header
	to     age.Recipient
	stream *record.StreamWriter
	zip    *zstd.Encoder
	held   blocks
	sum    *sum
	rows   int64
	err    error
}

// NewWriter is Pool.NewWriter on a pool of its own.
func NewWriter(dst io.Writer, h Header, to age.Recipient, k *Key, s *record.Schema) *Writer {
	return new(Pool).NewWriter(dst, h, to, k, s)
}

// NewWriter prepares a chunk of batches of schema s. Nothing is written to dst before
// Close. What is wrong with the arguments (a recipient that is not hybrid, a
// schema that cannot travel) every later call says.
func (p *Pool) NewWriter(dst io.Writer, h Header, to age.Recipient, k *Key, s *record.Schema) *Writer {
	w := &Writer{pool: p, dst: dst, header: h, to: to, held: blocks{pool: p}}
	if w.err = hybrid(to); w.err != nil {
		return w
	}
	w.sum = newSum(k.Sub(UseChunks, string(h.Slot.Dataset)))
	if w.zip, w.err = p.encoder(&w.held); w.err != nil {
		return w
	}
	w.stream, w.err = record.NewStreamWriter(io.MultiWriter(w.sum, w.zip), s)
	return w
}

// Write adds a batch.
func (w *Writer) Write(b *record.Batch) error {
	if w.err == nil {
		w.err = w.stream.Write(b)
	}
	if w.err != nil {
		return w.failed(w.err)
	}
	w.rows += int64(b.Rows())
	return nil
}

var errSealed = errors.New("the chunk is already sealed")

// Close seals the chunk and writes it to dst. The caller says how many rows it
// counted, and whether the dataset ends here; other rows than were written are an
// error. The Writer is of no more use afterwards.
func (w *Writer) Close(rows int64, last bool) (Sealed, error) {
	if w.err != nil {
		return Sealed{}, w.failed(w.err)
	}
	w.err = errSealed
	if rows != w.rows {
		return Sealed{}, w.failed(fmt.Errorf("it holds %d rows, not the %d counted", w.rows, rows))
	}
	if err := w.stream.Close(); err != nil {
		return Sealed{}, w.failed(err)
	}
	if err := w.zip.Close(); err != nil {
		return Sealed{}, w.failed(err)
	}
	if w.held.size > MaxChunk-blockSize {
		return Sealed{}, w.failed(fmt.Errorf("compressed it has %d bytes, more than a chunk may", w.held.size))
	}
	out := &measured{dst: w.dst, digest: sha256.New()}
	if err := w.seal(out, last); err != nil {
		return Sealed{}, w.failed(err)
	}
	w.held.free()
	w.zip.Reset(nil)
	w.pool.encoders.Put(w.zip)
	return Sealed{
		Size: out.size, SHA256: ecluse.Digest(out.digest.Sum(nil)), Sum: w.sum.digest(), Rows: w.rows,
	}, nil
}

// seal encrypts the schema's frame, then the batches' that was held.
func (w *Writer) seal(dst io.Writer, last bool) error {
	schema, err := w.stream.AppendSchema(nil, w.header.meta(w.rows, last))
	if err != nil {
		return err
	}
	sealed, err := age.Encrypt(dst, w.to)
	if err != nil {
		return err
	}
	w.zip.Reset(sealed)
	if _, err := w.zip.Write(schema); err != nil {
		return err
	}
	if err := w.zip.Close(); err != nil {
		return err
	}
	if _, err := w.held.WriteTo(sealed); err != nil {
		return err
	}
	return sealed.Close()
}

func (w *Writer) failed(err error) error {
	return &ecluse.Error{Kind: kindOr(err, ecluse.Failed), What: "seal chunk " + w.header.Slot.String(), Err: err}
}

// kindOr is err's own kind, if it has one, else k.
func kindOr(err error, k ecluse.Kind) ecluse.Kind {
	var e *ecluse.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return k
}

// measured takes size and SHA-256 of what passes.
type measured struct {
	dst    io.Writer
	digest hash.Hash
	size   int64
}

func (m *measured) Write(p []byte) (int, error) {
	n, err := m.dst.Write(p)
	m.digest.Write(p[:n])
	m.size += int64(n)
	return n, err
}
