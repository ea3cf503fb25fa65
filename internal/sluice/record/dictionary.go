package record

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"ecluse"
)

// Columns whose values repeat themselves (a code, a unit, a flag, who validated)
// travel as Arrow dictionaries: one byte a row, and each value once. The first batch of
// a stream decides which columns do: those of few distinct values for its rows. Values
// stand in the order of their first row. The dictionary grows as values come; when it is
// full it is begun anew, with the row that found no room, and the batch is cut there. So the
// bytes depend on nothing but the rows and how they are cut into batches.
const (
	maxCodes     = 256     // a code is a byte
	maxCoded     = 1 << 20 // bytes of a dictionary's values, but for a longer one that stands alone
	firstCodes   = 128     // distinct values of a column that begins as a dictionary, at the most
	rowsPerValue = 4       // and rows for each of them, at least
)

// repeats tells whether a kind may travel as a dictionary. Bits are shorter already, and
// no two readers agree on what equals what among floats.
func repeats(k ecluse.DataKind) bool { return k != ecluse.Bool && k != ecluse.Float }

// dictionaryOf is the Arrow type of a column of codes.
func dictionaryOf(values arrow.DataType) arrow.DataType {
	return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Uint8, ValueType: values}
}

// dictionary is one column's on its way into a stream.
type dictionary struct {
	seed   maphash.Seed
	values *Column
	places [4 * maxCodes]uint16 // by hash: a value's code + 1; 0: free
	keys   [maxCodes]uint64     // by code: an integer, or what keyOf says
	codes  []byte               // of the batch's rows
	done   int                  // rows of the batch that have their code
	sent   *array.Data          // the values, as they were written last; nil: others than now
}

func newDictionary(t ecluse.Type) *dictionary {
	return &dictionary{seed: maphash.MakeSeed(), values: NewColumn(t, maxCodes)}
}

// suits tells whether a stream that begins with column c had better carry it as a
// dictionary.
func (d *dictionary) suits(c *Column) bool {
	limit := min(firstCodes, c.n/rowsPerValue)
	d.begin(c.n)
	for d.done < c.n {
		if d.take(c, min(c.n, d.done+firstCodes)); d.values.n > limit || d.full() {
			return false
		}
	}
	return true
}

// begin forgets the codes of the batch before, and none of the values.
func (d *dictionary) begin(rows int) { d.codes, d.done = slices.Grow(d.codes[:0], rows)[:rows], 0 }

// restart forgets the values: those of rows to come are numbered anew.
func (d *dictionary) restart() {
	d.values.Reset()
	clear(d.places[:])
	d.sent = nil
}

func (d *dictionary) full() bool { return d.values.n == maxCodes || len(d.values.data) >= maxCoded }

// take gives the rows of the batch's column up to a row their codes, as far as there
// is room for their values.
func (d *dictionary) take(c *Column, to int) {
	if c.offs == nil {
		for ; d.done < to; d.done++ {
			code := 0
			if c.nulls == 0 || !c.Null(d.done) {
				if code = d.integer(c.fixed[d.done]); code < 0 {
					return
				}
			}
			d.codes[d.done] = byte(code)
		}
		return
	}
	for ; d.done < to; d.done++ {
		code := 0
		if c.nulls == 0 || !c.Null(d.done) {
			if code = d.bytes(c.data, int(c.offs[d.done]), int(c.offs[d.done+1])); code < 0 {
				return
			}
		}
		d.codes[d.done] = byte(code)
	}
}

// integer is the code of a value; −1: there is no room for it.
func (d *dictionary) integer(v int64) int {
	key := uint64(v)
	at := key * 0x9e3779b97f4a7c15 >> 54
	for ; d.places[at] != 0; at = (at + 1) % uint64(len(d.places)) {
		if code := d.places[at] - 1; d.keys[code] == key {
			return int(code)
		}
	}
	if d.full() {
		return -1
	}
	d.values.AppendInt(v)
	return d.added(at, key)
}

// bytes is integer for data[from:to].
func (d *dictionary) bytes(data []byte, from, to int) int {
	key, whole := d.keyOf(data, from, to)
	at := key * 0x9e3779b97f4a7c15 >> 54
	for ; d.places[at] != 0; at = (at + 1) % uint64(len(d.places)) {
		code := d.places[at] - 1
		if d.keys[code] == key && (whole || string(d.values.Bytes(int(code))) == string(data[from:to])) {
			return int(code)
		}
	}
	if d.full() {
		return -1
	}
	d.values.AppendBytes(data[from:to])
	return d.added(at, key)
}

// keyOf is a value of at most seven bytes itself, with its length, as most codes are;
// of a longer one a hash.
func (d *dictionary) keyOf(data []byte, from, to int) (key uint64, whole bool) {
	n := to - from
	switch {
	case n > 7:
		return maphash.Bytes(d.seed, data[from:to]) | 0xff<<56, false
	case from+8 <= len(data):
		key = binary.LittleEndian.Uint64(data[from:]) & (1<<(8*n) - 1)
	default:
		var last [8]byte
		copy(last[:], data[from:to])
		key = binary.LittleEndian.Uint64(last[:])
	}
	return key | uint64(n)<<56, true
}

func (d *dictionary) added(at, key uint64) int {
	code := d.values.n - 1
	d.places[at], d.keys[code], d.sent = uint16(code+1), key, nil
	return code
}

// coded is a column of codes as it is read: the dictionary in force.
type coded struct {
	of     arrow.ArrayData
	values *Column
}

// take checks and copies a dictionary, unless it is the one in force.
func (x *coded) take(t ecluse.Type, d arrow.ArrayData) error {
	if x.of == d && d != nil {
		return nil
	}
	if d == nil || d.Len() > maxCodes {
		return fmt.Errorf("%w: no dictionary, or too large a one", errStream)
	}
	x.of, x.values = d, NewColumn(t, d.Len())
	if d.Len() == 0 {
		return nil
	}
	if err := x.values.load(d, d.Len()); err != nil {
		return fmt.Errorf("dictionary: %w", err)
	}
	if x.values.nulls > 0 {
		return fmt.Errorf("%w: a null in a dictionary", errStream)
	}
	return nil
}

// loadCodes takes n codes of values; room is how many bytes they may be.
func (c *Column) loadCodes(d arrow.ArrayData, n int, values *Column, room int) error {
	codes := bytesOf(d.Buffers()[1])
	if d.Len() != n || d.Offset() != 0 || len(codes) < n {
		return fmt.Errorf("%w: %d codes in %d rows", errStream, d.Len(), n)
	}
	codes = codes[:n]
	if err := c.loadValidity(bytesOf(d.Buffers()[0]), n, d.NullN()); err != nil {
		return err
	}
	size := 0
	for r, code := range codes {
		switch {
		case c.nulls > 0 && c.Null(r):
			if code != 0 {
				return fmt.Errorf("%w: row %d: a null that holds something", errStream, r)
			}
		case int(code) >= values.n:
			return fmt.Errorf("%w: row %d: a code of nothing", errStream, r)
		case c.offs != nil:
			size += int(values.offs[int(code)+1] - values.offs[code])
		}
	}
	if size > room {
		return fmt.Errorf("%w: more than the %d bytes one batch may hold", errStream, MaxBatch)
	}
	if c.offs == nil {
		c.fixed = slices.Grow(c.fixed, n)[:n]
		for r, code := range codes {
			if c.nulls > 0 && c.Null(r) {
				c.fixed[r] = 0
			} else {
				c.fixed[r] = values.fixed[code]
			}
		}
		return nil
	}
	c.offs = slices.Grow(c.offs[:0], n+1)[:n+1]
	c.data = slices.Grow(c.data[:0], size+shortValue)
	c.loadCoded(codes, values)
	return nil
}

// shortValue is how many bytes are copied at once, where no value has more.
const shortValue = 16

// loadCoded sets the values of a column stored as bytes. There is room for them.
func (c *Column) loadCoded(codes []byte, values *Column) {
	var short [maxCodes]struct{ first, second, size uint64 }
	long := false
	for code := range values.n {
		v := values.Bytes(code)
		if long = len(v) > shortValue; long {
			break
		}
		var b [shortValue]byte
		copy(b[:], v)
		short[code].first, short[code].second = binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])
		short[code].size = uint64(len(v))
	}
	c.offs[0] = 0
	at, data, offs := 0, c.data, c.offs[1:]
	if long {
		for r, code := range codes {
			if c.nulls == 0 || !c.Null(r) {
				data = append(data, values.data[values.offs[code]:values.offs[int(code)+1]]...)
			}
			offs[r] = int32(len(data))
		}
		c.data = data
		return
	}
	data = data[:cap(data)]
	for r, code := range codes {
		if c.nulls == 0 || !c.Null(r) {
			v := &short[code]
			binary.LittleEndian.PutUint64(data[at:], v.first)
			binary.LittleEndian.PutUint64(data[at+8:], v.second)
			at += int(v.size)
		}
		offs[r] = int32(at)
	}
	c.data = data[:at]
}
