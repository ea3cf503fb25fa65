package seal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/record"
)

// Reader opens one chunk. It belongs to one goroutine.
type Reader struct {
	pool   *Pool
	d      *evidence.Descriptor
	held   blocks // the ciphertext
	unzip  *zstd.Decoder
	stream *record.StreamReader
	sum    *sum         // over the batches; nil while the key is not known
	raw    bytes.Buffer // the batches themselves, then
	rows   int64
	begun  bool // the schema has been read: what follows is summed
	err    error
}

// Open is Pool.Open on a pool of its own.
func Open(src io.Reader, d *evidence.Descriptor, id age.Identity, k *Key) (*Reader, error) {
	return new(Pool).Open(src, d, id, k)
}

// Open takes all of src, the ciphertext of a chunk whose signed descriptor is d,
// and opens it when it is that chunk: of that size and SHA-256, sealed to the
// identity as its one, hybrid, recipient, and of that migration, plan, epoch,
// slot, number of rows and end. Any other chunk is ecluse.Unverified, and not a
// byte of it has been decompressed for nothing: the digest comes first.
func (p *Pool) Open(src io.Reader, d *evidence.Descriptor, id age.Identity, k *Key) (*Reader, error) {
	return p.open(src, d, id, newSum(k.Sub(UseChunks, string(d.Slot.Dataset))))
}

func (p *Pool) open(src io.Reader, d *evidence.Descriptor, id age.Identity, sum *sum) (*Reader, error) {
	r := &Reader{pool: p, d: d, held: blocks{pool: p}, sum: sum}
	if err := r.fetch(src); err != nil {
		r.Close()
		return nil, r.failed(err)
	}
	if err := r.open(id); err != nil {
		r.Close()
		return nil, r.failed(err)
	}
	return r, nil
}

// fetch reads the ciphertext into memory and compares size and digest.
func (r *Reader) fetch(src io.Reader) error {
	if r.d.Size > MaxChunk {
		return fmt.Errorf("%d bytes are more than a chunk may have", r.d.Size)
	}
	digest := sha256.New()
	// One byte more than there should be, to see that there is none.
	n, err := r.held.ReadFrom(io.TeeReader(io.LimitReader(src, r.d.Size+1), digest))
	switch {
	case err != nil:
		return &ecluse.Error{Kind: kindOr(err, ecluse.Failed), What: "read ciphertext", Err: err}
	case n < r.d.Size:
		return fmt.Errorf("it is cut off at %d of %d bytes", n, r.d.Size)
	case n > r.d.Size:
		return fmt.Errorf("it is longer than the %d bytes its descriptor says", r.d.Size)
	case ecluse.Digest(digest.Sum(nil)) != r.d.SHA256:
		return errors.New("its SHA-256 is not the one its descriptor says")
	}
	return nil
}

// open decrypts up to the schema and compares what the metadata says.
func (r *Reader) open(id age.Identity) error {
	plain, err := decrypt(&r.held, id)
	if err != nil {
		return err
	}
	if r.unzip, err = r.pool.decoder(plain); err != nil {
		return err
	}
	if r.stream, err = record.NewStreamReader(tap{r}); err != nil {
		return err
	}
	r.begun = true
	got, want := r.stream.Meta(), headerOf(r.d).meta(r.d.Rows, r.d.Last)
	if maps.Equal(got, want) {
		return nil
	}
	for k, v := range want {
		if got[k] != v {
			return fmt.Errorf("inside it says another %s than its descriptor", k)
		}
	}
	return errors.New("its metadata has keys that chunks do not have")
}

// tap is the decompressed stream; what follows the schema is summed.
type tap struct{ r *Reader }

func (t tap) Read(p []byte) (int, error) {
	n, err := t.r.unzip.Read(p)
	switch {
	case !t.r.begun:
	case t.r.sum != nil:
		t.r.sum.add(p[:n])
	default:
		t.r.raw.Write(p[:n])
	}
	return n, err
}

// Schema is the columns of every batch.
func (r *Reader) Schema() *record.Schema { return r.stream.Schema() }

// Next replaces the content of b by the next batch. io.EOF says that the chunk
// is over and that its rows and keyed sum are those of the descriptor: nothing of
// a chunk may be committed before. After an error it keeps returning it.
func (r *Reader) Next(b *record.Batch) error {
	if r.err != nil {
		return r.err
	}
	err := r.stream.Next(b)
	switch {
	case err == nil:
		if r.rows += int64(b.Rows()); r.rows <= r.d.Rows {
			return nil
		}
		b.Reset()
		err = errors.New("it holds more rows than its descriptor says")
	case errors.Is(err, io.EOF):
		if err = r.end(); err == nil {
			r.err = io.EOF
			r.release()
			return io.EOF
		}
	}
	r.err = r.failed(err)
	r.Close()
	return r.err
}

// end checks what can be checked only when all has been read.
func (r *Reader) end() error {
	var beyond [1]byte
	if n, err := r.unzip.Read(beyond[:]); n != 0 || !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	if r.rows != r.d.Rows {
		return fmt.Errorf("it holds %d rows, its descriptor says %d", r.rows, r.d.Rows)
	}
	if r.sum != nil && !r.sum.is(r.d.Sum) {
		return errors.New("its keyed sum is not the one the source gate signed")
	}
	return nil
}

// Close gives up a chunk that was not read to its end; after the end it does
// nothing.
func (r *Reader) Close() {
	if r.err == nil {
		r.err = r.failed(errors.New("it was closed before its end"))
	}
	r.release()
}

func (r *Reader) release() {
	r.held.free()
	if r.unzip != nil {
		if r.unzip.Reset(nil) == nil {
			r.pool.decoders.Put(r.unzip)
		}
		r.unzip = nil
	}
}

func (r *Reader) failed(err error) error {
	return &ecluse.Error{
		Kind: kindOr(err, ecluse.Unverified), What: "open chunk " + r.d.Slot.String(), Err: err,
		Next: "nothing of it was used; have the source gate send that slot again, and look at the journal for who could change it",
	}
}
