package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ecluse"
)

// plainSum is the sum as it is written down.
func plainSum(t *rapid.T, sub [32]byte, text []byte) ecluse.Digest {
	key := Derive(sub[:], "parts", "")
	block, err := aes.NewCipher(key[:])
	if err != nil {
		t.Fatal(err)
	}
	gmac, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	var in []byte
	number := make([]byte, 12)
	for part := range slices.Chunk(text, 16384) {
		in = append(in, gmac.Seal(nil, number, nil, part)...)
		binary.BigEndian.PutUint32(number[8:], binary.BigEndian.Uint32(number[8:])+1)
	}
	h := hmac.New(sha256.New, sub[:])
	h.Write(binary.BigEndian.AppendUint64(in, uint64(len(text))))
	return ecluse.Digest(h.Sum(nil))
}

// However the bytes come, they have one sum; no other bytes have it.
func TestSum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sub := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		text := make([]byte, rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(2*partSize-20, 2*partSize+20), rapid.IntRange(0, 5*partSize)).Draw(t, "size"))
		for i := range text {
			text[i] = byte(i * i >> 3)
		}
		s := newSum(sub)
		for left := text; len(left) > 0; {
			n := rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, 3*partSize)).Draw(t, "written")
			n = min(n, len(left))
			if m, err := s.Write(left[:n]); m != n || err != nil {
				t.Fatal(m, err)
			}
			left = left[n:]
		}
		want := plainSum(t, sub, text)
		if got := s.digest(); got != want {
			t.Fatalf("%d bytes: %s, want %s", len(text), got, want)
		}
		other := newSum(sub)
		if len(text) > 0 {
			text[rapid.IntRange(0, len(text)-1).Draw(t, "altered")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			other.add(text)
		} else {
			other.add([]byte{0})
		}
		if other.is(want) {
			t.Fatal("other bytes have the same sum")
		}
	})
}

// Parts in another order, and a zero more or less at the end, are other bytes.
func TestSumSeesOrderAndZeros(t *testing.T) {
	sub := [32]byte{1}
	seen := map[ecluse.Digest]string{}
	a, b := make([]byte, partSize), slices.Repeat([]byte{7}, partSize)
	for name, text := range map[string][]byte{
		"nothing": nil, "a zero": {0}, "two zeros": {0, 0}, "a": a, "b": b, "ab": slices.Concat(a, b), "ba": slices.Concat(b, a), "aa": slices.Concat(a, a),
		"a short of a byte": a[1:], "a and a zero": append(slices.Clone(a), 0),
	} {
		s := newSum(sub)
		s.add(text)
		got := s.digest()
		if twin, twice := seen[got]; twice {
			t.Errorf("%s and %s have one sum", name, twin)
		}
		seen[got] = name
	}
}

func BenchmarkSum(b *testing.B) {
	text := make([]byte, 1<<20)
	s := newSum([32]byte{1})
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s.add(text)
	}
}
