package record

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"unicode/utf8"

	"ecluse"
)

// How a column takes over the buffers of an Arrow array, little-endian, after
// checking that they keep what a column promises: nulls hold nothing, offsets
// ascend, text is UTF-8.

// loadValidity takes the bits that say which of n values are there; none at all
// are needed when no value is null.
func (c *Column) loadValidity(bitmap []byte, n, nulls int) error {
	c.n, c.nulls = n, nulls
	size := (n + 7) / 8
	c.valid = slices.Grow(c.valid, size)[:size]
	if c.nulls == 0 {
		for i := range c.valid {
			c.valid[i] = 0xff
		}
	} else if got := copy(c.valid, bitmap); got != size {
		return fmt.Errorf("%w: too few validity bits", errStream)
	}
	if n&7 != 0 {
		c.valid[size-1] &= 1<<(n&7) - 1
	}
	set := 0
	for _, b := range c.valid {
		set += bits.OnesCount8(b)
	}
	if n-set != c.nulls {
		return fmt.Errorf("%w: %d nulls announced, %d found", errStream, c.nulls, n-set)
	}
	return nil
}

// loadFixed takes the values of a kind stored as integers.
func (c *Column) loadFixed(values []byte) error {
	width := 64
	switch c.typ.Kind {
	case ecluse.Bool:
		width = 1
	case ecluse.Date:
		width = 32
	}
	if len(values) < (c.n*width+7)/8 {
		return fmt.Errorf("%w: too few values", errStream)
	}
	c.fixed = slices.Grow(c.fixed, c.n)[:c.n]
	switch c.typ.Kind {
	case ecluse.Bool:
		for r := range c.fixed {
			c.fixed[r] = int64(values[r>>3] >> (r & 7) & 1)
		}
	case ecluse.Date:
		for r := range c.fixed {
			c.fixed[r] = unpackDate(int32(binary.LittleEndian.Uint32(values[4*r:])))
		}
	default:
		copy(int64Bytes(c.fixed), values)
	}
	for r := 0; c.nulls > 0 && r < c.n; r++ {
		if c.Null(r) && c.fixed[r] != 0 {
			return fmt.Errorf("%w: row %d: a null that holds something", errStream, r)
		}
	}
	return nil
}

// loadStrings takes the values of a kind stored as bytes.
func (c *Column) loadStrings(offsets, data []byte) error {
	if len(offsets) < 4*(c.n+1) {
		return fmt.Errorf("%w: too few offsets", errStream)
	}
	c.offs = slices.Grow(c.offs[:0], c.n+1)[:c.n+1]
	copy(int32Bytes(c.offs), offsets)
	text := c.typ.Kind != ecluse.Bytes
	if c.offs[0] != 0 || int(c.offs[c.n]) != len(data) || text && !utf8.Valid(data) {
		return fmt.Errorf("%w: offsets or text out of order", errStream)
	}
	for r := range c.n {
		from, to := c.offs[r], c.offs[r+1]
		switch {
		case to < from, text && int(from) < len(data) && !utf8.RuneStart(data[from]):
			return fmt.Errorf("%w: row %d: offsets out of order", errStream, r)
		case to > from && c.nulls > 0 && c.Null(r):
			return fmt.Errorf("%w: row %d: a null that holds something", errStream, r)
		}
	}
	c.data = append(c.data[:0], data...)
	return nil
}

// packDate puts ±infinity where date32 has room for them.
func packDate(days int64) (int32, bool) {
	switch {
	case days == ecluse.Infinity:
		return math.MaxInt32, true
	case days == ecluse.NegInfinity:
		return math.MinInt32, true
	case days >= math.MaxInt32 || days <= math.MinInt32:
		return 0, false
	}
	return int32(days), true
}

func unpackDate(days int32) int64 {
	switch days {
	case math.MaxInt32:
		return ecluse.Infinity
	case math.MinInt32:
		return ecluse.NegInfinity
	}
	return int64(days)
}
