package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"ecluse"
)

// sum is the keyed sum of a chunk's batches, under a dataset's sub-key:
//
//	HMAC-SHA-256_sub(t₀ ‖ t₁ ‖ … ‖ ℓ)
//
// tᵢ is the tag of AES-256-GCM over bytes 16384·i and following, 16384 or what is left, as
// additional data without plaintext (GMAC, NIST SP 800-38D), the nonce being i in 96 bits,
// big-endian; its key is Derive(sub, "parts", ""). ℓ is the number of bytes in 64 bits,
// big-endian.
//
// A nonce comes again with every chunk, which GMAC alone would not bear. Here no tag is
// seen: GMAC is a universal hash, in which other bytes in a part give another tag but
// with a probability of at most 2^-117, and HMAC over the tags is what leaves the gate
// (Wegman and Carter, 1981; UMAC, RFC 4418, is made so). HMAC over all the bytes would take
// four times as long, and they are summed at both gates.
type sum struct {
	gmac cipher.AEAD
	tags hash.Hash
	part []byte // begun, less than partSize
	size uint64
	tag  [16]byte
}

const partSize = 16 << 10

func newSum(sub [32]byte) *sum {
	key := Derive(sub[:], "parts", "")
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic("AES-256: " + err.Error()) // only for other lengths of key
	}
	gmac, err := cipher.NewGCM(block)
	if err != nil {
		panic("GCM over AES: " + err.Error()) // only for other sizes of block
	}
	return &sum{gmac: gmac, tags: hmac.New(sha256.New, sub[:]), part: make([]byte, 0, partSize)}
}

// Write is add, for what writes.
func (s *sum) Write(p []byte) (int, error) {
	s.add(p)
	return len(p), nil
}

// add takes the bytes that follow.
func (s *sum) add(p []byte) {
	for len(p) > 0 {
		if len(s.part) == 0 && len(p) >= partSize {
			s.take(p[:partSize])
			p = p[partSize:]
			continue
		}
		more := min(len(p), partSize-len(s.part))
		s.part = append(s.part, p[:more]...)
		if p = p[more:]; len(s.part) == partSize {
			s.take(s.part)
			s.part = s.part[:0]
		}
	}
}

func (s *sum) take(part []byte) {
	var nonce [12]byte
	binary.BigEndian.PutUint64(nonce[4:], s.size/partSize)
	s.tags.Write(s.gmac.Seal(s.tag[:0], nonce[:], nil, part))
	s.size += uint64(len(part))
}

// digest is the sum of all that was written. It is asked once, and is the end.
func (s *sum) digest() ecluse.Digest {
	if len(s.part) > 0 {
		s.take(s.part)
	}
	s.tags.Write(binary.BigEndian.AppendUint64(nil, s.size))
	return ecluse.Digest(s.tags.Sum(nil))
}

// is compares the digest in constant time.
func (s *sum) is(d ecluse.Digest) bool {
	own := s.digest()
	return hmac.Equal(own[:], d[:])
}
