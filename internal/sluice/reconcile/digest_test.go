package reconcile

import (
	"crypto/aes"
	"crypto/hkdf"
	"crypto/sha256"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// plainDigest is the digest as it is written down, in whole numbers.
func plainDigest(t *rapid.T, key [32]byte, row []byte) []byte {
	k, err := hkdf.Expand(sha256.New, key[:], "ecluse/v1\x00row digest", 48)
	if err != nil {
		t.Fatal(err)
	}
	number := func(little []byte) *big.Int {
		b := slices.Clone(little)
		slices.Reverse(b)
		return new(big.Int).SetBytes(b)
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))
	r := number(k[:16])
	r.SetBit(r.SetBit(r, 127, 0), 126, 0)
	v := new(big.Int)
	next := func(c *big.Int) { v.Mod(v.Mul(v.Add(v, c), r), p) }
	for piece := range slices.Chunk(row, 15) {
		next(number(piece))
	}
	next(big.NewInt(int64(len(row))))
	in := v.FillBytes(make([]byte, 16))
	slices.Reverse(in)
	var digest []byte
	for _, key := range [][]byte{k[16:32], k[32:]} {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]byte, 16)
		block.Encrypt(out, in)
		digest = append(digest, out...)
	}
	return digest
}

func TestDigest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "key"))
		row := rapid.SliceOfN(rapid.OneOf(rapid.Byte(), rapid.Just(byte(0xff)), rapid.Just(byte(0))), 0, 100).Draw(t, "row")
		got := newDigester(key).digest(row)
		if sum := got.total(); !slices.Equal(sum[:], plainDigest(t, key, row)) {
			t.Fatalf("%x", sum)
		}
	})
}

// The arithmetic holds at the largest numbers that can stand in it, which no key
// brings about.
func TestDigestCarries(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))
	number := func(lo, hi uint64) *big.Int {
		n := new(big.Int).Lsh(new(big.Int).SetUint64(hi), 64)
		return n.Add(n, new(big.Int).SetUint64(lo))
	}
	const all = 1<<64 - 1
	residues := []residue{{0, 0}, {1, 0}, {all, low63}, {all - 1, low63}, {0, 1 << 63}, {all, 0}, {0, low63}}
	coefficients := [][2]uint64{{0, 0}, {1, 0}, {all, 0}, {all, 1<<56 - 1}, {0, 1<<56 - 1}}
	keys := []point{{0, 0}, {1, 0}, {all, 1<<62 - 1}, {all, 0}, {0, 1<<62 - 1}}
	for _, a := range residues {
		for _, c := range coefficients {
			for _, r := range keys {
				got := a.next(c[0], c[1], r)
				if got.hi > 1<<63 || got.hi == 1<<63 && got.lo > 0 {
					t.Fatalf("%x is more than 2^127", got)
				}
				want := new(big.Int).Add(number(a.lo, a.hi), number(c[0], c[1]))
				want.Mod(want.Mul(want, number(r.lo, r.hi)), p)
				if n := number(got.reduced()); n.Cmp(want) != 0 {
					t.Fatalf("(%x + %x)·%x is %x, want %x", a, c, r, n, want)
				}
			}
		}
	}
}

// Zeros at a row's beginning and end count.
func TestDigestSeesZeros(t *testing.T) {
	d := newDigester(key)
	seen := map[words]int{}
	for n := range 64 {
		got := d.digest(make([]byte, n))
		if m, twice := seen[got]; twice {
			t.Errorf("%d zeros and %d zeros have one digest", m, n)
		}
		seen[got] = n
	}
}
