package mysql

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"ecluse"
)

// Position is a place between two rows of a dataset: after so many rows, the
// last of which has this key.
type Position struct {
	Ordinal int64
	Key     [][]byte // one part a column, comparable by bytes; whole numbers as 8 bytes
}

func (p *Position) compareKey(o *Position) int {
	for i := range p.Key {
		if c := bytes.Compare(p.Key[i], o.Key[i]); c != 0 {
			return c
		}
	}
	return 0
}

// Beyond tells whether p lies after o.
func (r *Reading) Beyond(p, o *Position) bool {
	if r.counted {
		return p.Ordinal > o.Ordinal
	}
	return p.compareKey(o) > 0
}

// Ascends tells whether the row at next may come after the row at p: the server
// has to sort as we compare, and a key has to be unique.
func (r *Reading) Ascends(p, next *Position) bool {
	return len(p.Key) == 0 || next.compareKey(p) > 0
}

// The first byte of a position's encoding.
const (
	byOrdinal = 'n'
	byKey     = 'k'
)

// Encode writes a position. It may hold a patient's data: a key is one.
func (r *Reading) Encode(p *Position) []byte {
	if r.counted {
		return binary.AppendUvarint([]byte{byOrdinal}, uint64(p.Ordinal))
	}
	b := []byte{byKey}
	for _, k := range p.Key {
		b = append(binary.AppendUvarint(b, uint64(len(k))), k...)
	}
	return b
}

// Decode reads a position of this reading.
func (r *Reading) Decode(b []byte) (*Position, error) {
	bad := &ecluse.Error{Kind: ecluse.Invalid, What: "read dataset " + string(r.Dataset.Dataset), Why: "the cursor is not one of this dataset"}
	if len(b) == 0 || b[0] != byOrdinal && b[0] != byKey || r.counted != (b[0] == byOrdinal) {
		return nil, bad
	}
	rest := b[1:]
	if r.counted {
		n, size := binary.Uvarint(rest)
		if size != len(rest) || n > 1<<62 {
			return nil, bad
		}
		return &Position{Ordinal: int64(n)}, nil
	}
	p := &Position{}
	for _, k := range r.keys {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) || k.integer && n != 8 {
			return nil, bad
		}
		p.Key = append(p.Key, bytes.Clone(rest[size:size+int(n)]))
		rest = rest[size+int(n):]
	}
	if len(rest) > 0 {
		return nil, bad
	}
	return p, nil
}

// signBit moves signed numbers so that their bytes compare as they do.
const signBit = 1 << 63

// Advance sets next to just after a row that follows p. The two share no memory.
func (r *Reading) Advance(p, next *Position, row Row) error {
	next.Ordinal = p.Ordinal + 1
	for len(next.Key) < len(r.keys) {
		next.Key = append(next.Key, nil)
	}
	for i := range r.keys {
		k := &r.keys[i]
		part := next.Key[i][:0]
		switch v := row[k.at].(type) {
		case int64:
			part = binary.BigEndian.AppendUint64(part, k.move(uint64(v)))
		case uint64:
			part = binary.BigEndian.AppendUint64(part, k.move(v))
		case []byte:
			part = append(part, v...)
		default:
			return r.valueError("of the key", next.Ordinal, errNullKey)
		}
		if _, text := row[k.at].([]byte); text == k.integer {
			return r.valueError("of the key", next.Ordinal, errNullKey)
		}
		next.Key[i] = part
	}
	return nil
}

// move is its own inverse.
func (k *keyPart) move(v uint64) uint64 {
	if k.unsigned {
		return v
	}
	return v ^ signBit
}

// literal writes a part of a key for a statement.
func (k *keyPart) literal(part []byte) string {
	if !k.integer {
		return "x'" + hex.EncodeToString(part) + "'"
	}
	v := k.move(binary.BigEndian.Uint64(part))
	if k.unsigned {
		return strconv.FormatUint(v, 10)
	}
	return strconv.FormatInt(int64(v), 10)
}
