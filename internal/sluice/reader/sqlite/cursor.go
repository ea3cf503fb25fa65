package sqlite

import (
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"math"

	"ecluse/internal/sluice/reader"
)

// cursor is a place between two rows: how many rows lie before it and the key of
// the last of them. Where rows can be equal, skip of those equal to key lie
// before the place.
type cursor struct {
	rows int64
	skip int64
	key  []driver.Value
}

// Tags of the values of a key.
const (
	tagNull = iota
	tagInt
	tagReal
	tagText
	tagBlob
)

const cursorVersion = 1

var errCursor = errors.New("not a cursor of this reader")

func (c *cursor) encode() reader.Cursor {
	b := binary.AppendUvarint([]byte{cursorVersion}, uint64(c.rows))
	b = binary.AppendUvarint(b, uint64(c.skip))
	b = binary.AppendUvarint(b, uint64(len(c.key)))
	for _, v := range c.key {
		switch v := v.(type) {
		case nil:
			b = append(b, tagNull)
		case int64:
			b = binary.AppendVarint(append(b, tagInt), v)
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, tagReal), math.Float64bits(v))
		case string:
			b = binary.AppendUvarint(append(b, tagText), uint64(len(v)))
			b = append(b, v...)
		case []byte:
			b = binary.AppendUvarint(append(b, tagBlob), uint64(len(v)))
			b = append(b, v...)
		}
	}
	return b
}

// parseCursor reads what encode wrote for a key of n values; the empty cursor is
// the dataset's start.
func parseCursor(b reader.Cursor, n int) (*cursor, error) {
	if len(b) == 0 {
		return &cursor{}, nil
	}
	p := &cursorParser{b: b[1:]}
	c := &cursor{rows: p.count(), skip: p.count()}
	if b[0] != cursorVersion || p.count() != int64(n) || p.bad {
		return nil, errCursor
	}
	for range n {
		c.key = append(c.key, p.value())
	}
	if p.bad || len(p.b) > 0 {
		return nil, errCursor
	}
	return c, nil
}

type cursorParser struct {
	b   []byte
	bad bool
}

func (p *cursorParser) count() int64 {
	v, n := binary.Uvarint(p.b)
	if n <= 0 || v > math.MaxInt64 {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[n:]
	return int64(v)
}

func (p *cursorParser) take(n int64) []byte {
	if n > int64(len(p.b)) {
		p.bad, p.b = true, nil
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

func (p *cursorParser) value() driver.Value {
	tag := p.take(1)
	if p.bad {
		return nil
	}
	switch tag[0] {
	case tagNull:
		return nil
	case tagInt:
		v, n := binary.Varint(p.b)
		if n <= 0 {
			break
		}
		p.b = p.b[n:]
		return v
	case tagReal:
		if b := p.take(8); !p.bad {
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	case tagText:
		return string(p.take(p.count()))
	case tagBlob:
		return append([]byte{}, p.take(p.count())...)
	}
	p.bad = true
	return nil
}
