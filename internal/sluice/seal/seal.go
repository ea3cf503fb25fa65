// Package seal is the chunk format: what leaves the source gate, lies in the
// chamber and opens at the target gate.
//
// # The format
//
// A chunk is an age file (C2SP age v1) with one recipient, of the hybrid
// post-quantum kind mlkem768x25519. Its content is two zstd frames, one after the
// other, which decompress to one Arrow IPC stream (package record):
//
//	frame 1   the schema message
//	frame 2   dictionaries and record batches, and the mark of the stream's end
//
// Columns whose values repeat themselves are dictionaries of at most 256 values, each whole
// before the batch that first needs it.
//
// The schema's custom metadata says what the chunk is:
//
//	ecluse.migration   the migration's id
//	ecluse.plan        sha256: of the read plan
//	ecluse.epoch       number of the snapshot it was read in
//	ecluse.dataset     ┐
//	ecluse.sequence    ├ its slot
//	ecluse.version     ┘
//	ecluse.rows        rows in all its batches
//	ecluse.last        "true" when the dataset ends with it, else "false"
//
// The keyed sum (sum.go), under the sub-key (chunks, dataset) of K, is over
// everything after the schema message: the uncompressed bytes of frame 2, dictionaries
// included. It
// depends on the rows, and on how they are cut into batches, alone: a re-reading
// in another epoch gives the same sum.
//
// `age -d -i identity chunk | zstd -d` gives the stream.
//
// # What protects what
//
// age keeps the content from all but the recipient, and keeps it whole; it says
// nothing of who sealed it. The gate's signature is over the descriptor
// (evidence.Descriptor), which holds the ciphertext's size and SHA-256; the same
// fields stand in the metadata, so that a descriptor cannot be put on another
// chunk even by its own gate's mistake. Open checks size and digest before it
// decrypts a byte, and metadata before the first row; rows and keyed sum at the
// end, before it says io.EOF.
package seal

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"ecluse"
	"ecluse/evidence"
)

// MaxChunk is the largest ciphertext that is opened, in bytes. A chunk aims at 32 MiB
// of values; one row of documents may go far beyond.
const MaxChunk = 512 << 20

// Header says which chunk this is.
type Header struct {
	Migration ecluse.MigrationID
	Plan      ecluse.Digest
	Epoch     int
	Slot      ecluse.Slot
}

// Sealed is what became of a chunk: with the header, all that its descriptor says.
type Sealed struct {
	Size   int64         // bytes of ciphertext
	SHA256 ecluse.Digest // of the ciphertext
	Sum    ecluse.Digest // keyed, of the batches
	Rows   int64
}

// meta is the schema's custom metadata of a chunk.
func (h Header) meta(rows int64, last bool) map[string]string {
	return map[string]string{
		"ecluse.migration": string(h.Migration),
		"ecluse.plan":      h.Plan.String(),
		"ecluse.epoch":     strconv.Itoa(h.Epoch),
		"ecluse.dataset":   string(h.Slot.Dataset),
		"ecluse.sequence":  strconv.Itoa(h.Slot.Sequence),
		"ecluse.version":   strconv.Itoa(h.Slot.Version),
		"ecluse.rows":      strconv.FormatInt(rows, 10),
		"ecluse.last":      strconv.FormatBool(last),
	}
}

func headerOf(d *evidence.Descriptor) Header {
	return Header{Migration: d.Migration, Plan: d.Plan, Epoch: d.Epoch, Slot: d.Slot}
}

// Pool keeps encoders, decoders and blocks of memory from one chunk to the next.
// The zero Pool is ready; it may be used by several goroutines.
type Pool struct {
	encoders, decoders, blocks sync.Pool
}

// The window is what a chunk's encoder and decoder hold in memory, about twice.
const window = 1 << 20

func (p *Pool) encoder(dst io.Writer) (*zstd.Encoder, error) {
	if e, ok := p.encoders.Get().(*zstd.Encoder); ok {
		e.Reset(dst)
		return e, nil
	}
	// age authenticates: no checksum. One goroutine: the caller's.
	return zstd.NewWriter(dst, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window), zstd.WithEncoderCRC(false))
}

func (p *Pool) decoder(src io.Reader) (*zstd.Decoder, error) {
	if d, ok := p.decoders.Get().(*zstd.Decoder); ok {
		return d, d.Reset(src)
	}
	return zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8*window))
}

// hybrid refuses recipients that are not post-quantum: what is copied today must
// not open in twenty years.
func hybrid(to age.Recipient) error {
	if r, ok := to.(*age.HybridRecipient); !ok || r == nil {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "seal", Why: fmt.Sprintf("the recipient is a %T, not a hybrid post-quantum one (age1pq1…)", to),
			Article: "GDPR art. 32(1)(a)",
		}
	}
	return nil
}

// onlyHybrid is an identity that opens files with exactly one stanza, of the
// hybrid kind.
type onlyHybrid struct{ id age.Identity }

var errStanzas = errors.New("it is not sealed to one hybrid post-quantum recipient")

func (o onlyHybrid) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if len(stanzas) != 1 || stanzas[0].Type != "mlkem768x25519" {
		return nil, errStanzas
	}
	return o.id.Unwrap(stanzas)
}

// decrypt opens an age file; nothing of its content is in the error.
func decrypt(src io.Reader, id age.Identity) (io.Reader, error) {
	r, err := age.Decrypt(src, onlyHybrid{id})
	var mismatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &mismatch):
		return nil, errors.New("it is sealed to another recipient")
	case err != nil:
		return nil, err
	}
	return r, nil
}
