package reconcile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"ecluse/internal/sluice/record"
)

// A row's digest is two blocks of 128 bits of one number:
//
//	AES-128_k(v) ‖ AES-128_k′(v),  v = c₁·r^(n+1) + c₂·r^n + … + cₙ·r² + ℓ·r  mod 2^127 − 1
//
// c₁ … cₙ are the canonical encoding's bytes, fifteen at a time, little-endian, the
// last filled up with zeros; ℓ is their number. r is secret, of 126 bits.
//
// It is a universal hash and a pseudo-random function after it (Wegman and Carter,
// "New Hash Functions and Their Use in Authentication and Set Equality", 1981,
// whose last section is multisets; AES-GCM-SIV, RFC 8452, makes its tags so).
// Encodings that differ differ in a coefficient. Their polynomials then agree for
// at most n + 1 of the 2^126 values of r: a row of a kibibyte that was altered is
// taken for the one that was sealed with a probability below 2^-119 (a tag of AES-GCM or
// Poly1305 promises less), whatever both hold, for whoever has not the key. Nobody sees v,
// and sums of digests alone leave the gate: AES keeps them from saying anything of r or of a
// row. Used on 2^40 rows of a kibibyte it is told from a random function with a probability
// below 2^-40 (two rows with one v, and the PRP/PRF switching lemma); of 64 KiB, below 2^-34.
//
// HMAC-SHA-256 would need no such argument; with it, summing a row took twice the
// time, and it is summed twice.
type digester struct {
	r      point
	blocks [2]cipher.Block
	in     [16]byte
	out    [32]byte
}

// point is where a polynomial is evaluated.
type point struct{ lo, hi uint64 }

// newDigester derives r and both keys of AES from a table's sub-key.
func newDigester(key [32]byte) *digester {
	k, err := hkdf.Expand(sha256.New, key[:], "ecluse/v1\x00row digest", 3*16)
	if err != nil {
		panic("hkdf of 48 bytes: " + err.Error()) // only for lengths over 8160
	}
	d := &digester{r: point{binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[8:]) & (1<<62 - 1)}}
	for i := range d.blocks {
		if d.blocks[i], err = aes.NewCipher(k[16*(i+1):][:16]); err != nil {
			panic("AES-128: " + err.Error()) // only for other lengths of key
		}
	}
	return d
}

const piece = 15 // bytes of a coefficient

// digest is a row's, as a number of 256 bits.
func (d *digester) digest(row []byte) words {
	var v residue
	length := uint64(len(row))
	for ; len(row) >= piece+1; row = row[piece:] {
		v = v.next(binary.LittleEndian.Uint64(row), binary.LittleEndian.Uint64(row[8:])&(1<<56-1), d.r)
	}
	if len(row) > 0 {
		var last [16]byte
		copy(last[:], row)
		v = v.next(binary.LittleEndian.Uint64(last[:]), binary.LittleEndian.Uint64(last[8:]), d.r)
	}
	lo, hi := v.next(length, 0, d.r).reduced()
	binary.LittleEndian.PutUint64(d.in[:], lo)
	binary.LittleEndian.PutUint64(d.in[8:], hi)
	d.blocks[0].Encrypt(d.out[:16], d.in[:])
	d.blocks[1].Encrypt(d.out[16:], d.in[:])
	return (*Total)(&d.out).words()
}

// residue is a number modulo p = 2^127 − 1, at most 2^127.
type residue struct{ lo, hi uint64 }

const low63 = 1<<63 - 1

// next is (a + c)·r, for a coefficient c below 2^120.
func (a residue) next(lo, hi uint64, by point) residue {
	var c uint64
	lo, c = bits.Add64(a.lo, lo, 0)
	hi, _ = bits.Add64(a.hi, hi, c) // below 2^127 + 2^121

	// The product, in four words, is below 2^254.
	h00, t0 := bits.Mul64(lo, by.lo)
	h01, l01 := bits.Mul64(lo, by.hi)
	h10, l10 := bits.Mul64(hi, by.lo)
	h11, l11 := bits.Mul64(hi, by.hi)
	t1, c := bits.Add64(h00, l01, 0)
	t2, c := bits.Add64(h01, l11, c)
	t3 := h11 + c
	t1, c = bits.Add64(t1, l10, 0)
	t2, c = bits.Add64(t2, h10, c)
	t3 += c

	// 2^127 is 1: what lies above it is added to what lies below, twice.
	lo, c = bits.Add64(t0, t2<<1|t1>>63, 0)
	hi, _ = bits.Add64(t1&low63, t3<<1|t2>>63, c) // below 2^128
	lo, c = bits.Add64(lo, hi>>63, 0)
	return residue{lo, hi&low63 + c}
}

// reduced is the number below p.
func (a residue) reduced() (lo, hi uint64) {
	lo, c := bits.Add64(a.lo, a.hi>>63, 0)
	hi = a.hi&low63 + c
	if lo == 1<<64-1 && hi == low63 {
		return 0, 0
	}
	return lo, hi
}

// Rows digests rows of a batch: row i when wanted(i, key) says so, key being 64 bits of a
// digest of some columns (places in Table.Columns), or 0 when there are none. Of the
// row's digest 128 bits are given.
func (s *Summer) Rows(b *record.Batch, columns []int, wanted func(i int, key uint64) bool, do func(i int, key uint64, row [2]uint64)) error {
	if err := s.bind(b); err != nil {
		return err
	}
	for i := range b.Rows() {
		key := uint64(0)
		if len(columns) > 0 {
			k := s.keyed[:0]
			for _, n := range columns {
				if err := s.encode(i, n, n+1); err != nil {
					return err
				}
				k = append(k, s.row...)
			}
			s.keyed = k
			key = s.digest.digest(k)[0]
		}
		if !wanted(i, key) {
			continue
		}
		if err := s.encode(i, 0, len(s.forms)); err != nil {
			return err
		}
		row := s.digest.digest(s.row)
		do(i, key, [2]uint64{row[0], row[1]})
	}
	return nil
}
