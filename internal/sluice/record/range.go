package record

import (
	"math/bits"
	"slices"
)

// AppendRange adds the values from row `from` to row `to` of o, a column of the
// same storage, whole runs of bytes at a time.
func (c *Column) AppendRange(o *Column, from, to int) {
	if from >= to {
		return
	}
	if c.offs == nil {
		c.fixed = append(c.fixed, o.fixed[from:to]...)
	} else {
		shift := int32(len(c.data)) - o.offs[from]
		c.data = append(c.data, o.data[o.offs[from]:o.offs[to]]...)
		at := len(c.offs)
		c.offs = slices.Grow(c.offs, to-from)[:at+to-from]
		ends := c.offs[at:]
		for i, end := range o.offs[from+1 : to+1] {
			ends[i] = end + shift
		}
	}
	c.markRange(o, from, to)
}

func (c *Column) markRange(o *Column, from, to int) {
	for from < to {
		if c.n&7 != 0 || from&7 != 0 || to-from < 8 {
			c.mark(!o.Null(from))
			from++
			continue
		}
		whole := (to - from) / 8
		for _, b := range o.valid[from/8 : from/8+whole] {
			c.nulls += 8 - bits.OnesCount8(b)
		}
		c.valid = append(c.valid, o.valid[from/8:from/8+whole]...)
		c.n += 8 * whole
		from += 8 * whole
	}
}

// Span is the bytes of the values from row `from` to row `to`, one after the
// other, of a column stored as byte strings.
func (c *Column) Span(from, to int) Value { return Value(c.data[c.offs[from]:c.offs[to]]) }

// Lengths is how many bytes the longest of these values has, and how many have any.
func (c *Column) Lengths(from, to int) (longest, filled int) {
	start := c.offs[from]
	for _, end := range c.offs[from+1 : to+1] {
		if n := int(end - start); n > 0 {
			longest = max(longest, n)
			filled++
		}
		start = end
	}
	return longest, filled
}
