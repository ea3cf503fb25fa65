package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// The description of an Arrow message is a flatbuffer, whose parts may lie
// anywhere and be used twice. Arrow's decoder makes room for as many fields,
// children, names and metadata as it is told there are, before it looks for
// them. checkMessage walks them first: all together cannot be longer than the
// description itself, and what a stream of ours never has (nested fields, dictionaries that
// grow, compressed bodies) is refused.

// flat is a flatbuffer; reading outside it panics, which checkMessage recovers.
type flat struct {
	b    []byte
	left int // bytes of vectors and strings not yet walked
}

// table is a place in a flatbuffer where a table stands.
type table struct {
	*flat
	at int
}

func (f *flat) u16(at int) int { return int(binary.LittleEndian.Uint16(f.b[at:])) }
func (f *flat) u32(at int) int { return int(binary.LittleEndian.Uint32(f.b[at:])) }

// field finds a table's field by its number; 0 when it is absent, exactly when
// Arrow's decoder takes it for absent.
func (t table) field(n int) int {
	vtable := t.at - int(int32(t.u32(t.at)))
	if 4+2*n >= t.u16(vtable) {
		return 0
	}
	if o := t.u16(vtable + 4 + 2*n); o != 0 {
		return t.at + o
	}
	return 0
}

func (t table) byte(n int) int {
	if at := t.field(n); at != 0 {
		return int(t.b[at])
	}
	return 0
}

func (t table) int64(n int) int64 {
	if at := t.field(n); at != 0 {
		return int64(binary.LittleEndian.Uint64(t.b[at:]))
	}
	return 0
}

// vector finds where a field's vector, or string, begins and how many elements
// of size bytes it has.
func (t table) vector(n, size int) (at, count int) {
	at = t.field(n)
	if at == 0 {
		return 0, 0
	}
	at += t.u32(at)
	count = t.u32(at)
	if t.left -= count * size; t.left < 0 {
		panic("longer than its description")
	}
	_ = t.b[at+4 : at+4+count*size]
	return at + 4, count
}

// tables calls walk for each table of a field's vector.
func (t table) tables(n int, walk func(table)) (count int) {
	at, count := t.vector(n, 4)
	for end := at + 4*count; at < end; at += 4 {
		walk(table{t.flat, at + t.u32(at)})
	}
	return count
}

// Numbers of fields and types in Arrow's Message.fbs and Schema.fbs.
const (
	messageHeaderType, messageHeader, messageBody, messageMeta = 1, 2, 3, 4
	headerSchema, headerDictionary, headerBatch                = 1, 2, 3

	schemaFields, schemaMeta                                      = 1, 2
	fieldName, fieldTypeType, fieldType, fieldChildren, fieldMeta = 0, 2, 3, 5, 6
	typeTimestamp, timestampZone                                  = 10, 1

	batchNodes, batchBuffers, batchCompression     = 1, 2, 3
	dictionaryID, dictionaryBatch, dictionaryDelta = 0, 1, 2
)

// message is what a message's description says.
type message struct {
	body       int // bytes
	dictionary bool
	id         int64 // of the dictionary
}

// checkMessage walks the description of the schema, or of what follows it.
func checkMessage(b []byte, schema bool) (got message, err error) {
	defer refuse(&err)
	f := &flat{b: b, left: len(b)}
	m := table{f, f.u32(0)}
	kind := m.byte(messageHeaderType)
	if got.dictionary = kind == headerDictionary; schema != (kind == headerSchema) || !schema && !got.dictionary && kind != headerBatch {
		return got, fmt.Errorf("%w: message of type %d", errStream, kind)
	}
	length := m.int64(messageBody)
	if length < 0 || length > maxBody || schema && length != 0 {
		return got, fmt.Errorf("%w: message of %d bytes", errStream, length)
	}
	got.body = int(length)
	at := m.field(messageHeader)
	if at == 0 || m.field(messageMeta) != 0 {
		return got, fmt.Errorf("%w: a message with no content, or with notes", errStream)
	}
	t := table{f, at + f.u32(at)}
	if schema {
		return got, checkSchema(t)
	}
	if got.dictionary {
		got.id = t.int64(dictionaryID)
		at := t.field(dictionaryBatch)
		if at == 0 || t.byte(dictionaryDelta) != 0 {
			return got, fmt.Errorf("%w: a dictionary without values, or a part of one", errStream)
		}
		t = table{f, at + f.u32(at)}
	}
	t.vector(batchNodes, 16)
	t.vector(batchBuffers, 16)
	if t.field(batchCompression) != 0 {
		return got, fmt.Errorf("%w: a compressed batch", errStream)
	}
	return got, nil
}

func checkSchema(t table) error {
	pair := func(kv table) {
		kv.vector(0, 1)
		kv.vector(1, 1)
	}
	t.tables(schemaMeta, pair)
	nested := false
	n := t.tables(schemaFields, func(field table) {
		field.vector(fieldName, 1)
		field.tables(fieldMeta, pair)
		_, children := field.vector(fieldChildren, 4)
		nested = nested || children != 0
		if at := field.field(fieldType); at != 0 && field.byte(fieldTypeType) == typeTimestamp {
			table{t.flat, at + t.u32(at)}.vector(timestampZone, 1)
		}
	})
	if n == 0 || n > MaxFields || nested {
		return fmt.Errorf("%w: %d columns, or a nested one", errStream, n)
	}
	return nil
}

// readAll appends n bytes of src to dst, making room only as they come.
func readAll(src io.Reader, dst []byte, n int) ([]byte, error) {
	const step = 1 << 20
	for n > 0 {
		k := min(n, max(step, cap(dst)-len(dst)))
		dst = slices.Grow(dst, k)
		at := len(dst)
		dst = dst[:at+k]
		if _, err := io.ReadFull(src, dst[at:]); err != nil {
			return dst[:0], unexpected(err)
		}
		n -= k
	}
	return dst, nil
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
