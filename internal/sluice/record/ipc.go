package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"ecluse"
)

// How kinds lie in an Arrow stream. Each field carries its kind, and precision
// and scale where it has them, as metadata ecluse.kind, ecluse.precision and
// ecluse.scale, so that reading gives the exact type back.
//
//	bool       bool
//	int        int64
//	decimal    decimal64(precision, scale), which readers of Arrow 1.5 know
//	number     utf8, the exact text
//	float      float64, whatever its precision
//	text       utf8
//	bytes      binary
//	date       date32; ±infinity are the largest and the smallest int32, which
//	           PostgreSQL too keeps for them
//	time       duration[us]: MySQL's goes beyond a day and below zero, time64 may not
//	timestamp  timestamp[us] without zone; ±infinity are the extreme int64
//	instant    timestamp[us, UTC]; ±infinity are the extreme int64
const (
	metaKind      = "ecluse.kind"
	metaPrecision = "ecluse.precision"
	metaScale     = "ecluse.scale"
)

// Limits of a stream, for writer and reader alike.
const (
	MaxFields = 4096
	MaxBatch  = 128 << 20                // Batch.Size of one batch
	maxBody   = MaxBatch + 256*MaxFields // buffers are padded
	maxHeader = 4 << 20                  // bytes of one message's own description
)

var errStream = errors.New("not an arrow stream of ours")

func arrowType(t ecluse.Type) (arrow.DataType, error) {
	sized := t.Precision != 0 || t.Scale != 0
	switch t.Kind {
	case ecluse.Decimal:
		if t.Precision >= 1 && t.Precision <= 18 && t.Scale >= 0 && t.Scale <= 18 {
			return &arrow.Decimal64Type{Precision: int32(t.Precision), Scale: int32(t.Scale)}, nil
		}
		return nil, fmt.Errorf("type %s: precision goes from 1 to 18, scale from 0 to 18", t)
	case ecluse.Float:
		if t.Scale == 0 && (t.Precision == 24 || t.Precision == 53) {
			return arrow.PrimitiveTypes.Float64, nil
		}
		return nil, fmt.Errorf("type %s: precision is 24 or 53", t)
	}
	if sized {
		return nil, fmt.Errorf("type %s has no precision or scale", t)
	}
	switch t.Kind {
	case ecluse.Bool:
		return arrow.FixedWidthTypes.Boolean, nil
	case ecluse.Int:
		return arrow.PrimitiveTypes.Int64, nil
	case ecluse.Text, ecluse.Number:
		return arrow.BinaryTypes.String, nil
	case ecluse.Bytes:
		return arrow.BinaryTypes.Binary, nil
	case ecluse.Date:
		return arrow.FixedWidthTypes.Date32, nil
	case ecluse.Time:
		return arrow.FixedWidthTypes.Duration_us, nil
	case ecluse.Timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}, nil
	case ecluse.Instant:
		return arrow.FixedWidthTypes.Timestamp_us, nil
	}
	return nil, fmt.Errorf("no kind of data is called %q", t.Kind)
}

func arrowField(f Field) (arrow.Field, error) {
	dt, err := arrowType(f.Type)
	if err != nil {
		return arrow.Field{}, fmt.Errorf("column %s: %w", f.Name, err)
	}
	keys, values := []string{metaKind}, []string{string(f.Type.Kind)}
	if f.Type.Precision != 0 {
		keys, values = append(keys, metaPrecision), append(values, strconv.Itoa(f.Type.Precision))
	}
	if f.Type.Kind == ecluse.Decimal {
		keys, values = append(keys, metaScale), append(values, strconv.Itoa(f.Type.Scale))
	}
	return arrow.Field{Name: f.Name, Type: dt, Nullable: true, Metadata: arrow.NewMetadata(keys, values)}, nil
}

func arrowSchema(s *Schema, meta map[string]string) (*arrow.Schema, error) {
	if len(s.Fields) == 0 || len(s.Fields) > MaxFields {
		return nil, fmt.Errorf("a schema has 1 to %d columns, not %d", MaxFields, len(s.Fields))
	}
	fields := make([]arrow.Field, len(s.Fields))
	for i, f := range s.Fields {
		var err error
		if fields[i], err = arrowField(f); err != nil {
			return nil, err
		}
	}
	keys := slices.Sorted(maps.Keys(meta))
	values := make([]string, len(keys))
	for i, k := range keys {
		values[i] = meta[k]
	}
	md := arrow.NewMetadata(keys, values)
	return arrow.NewSchema(fields, &md), nil
}

// schemaOf is the inverse of arrowSchema; whatever arrowSchema would not have
// written is refused.
func schemaOf(as *arrow.Schema) (*Schema, error) {
	s := &Schema{Fields: make([]Field, as.NumFields())}
	for i, af := range as.Fields() {
		f := Field{Name: af.Name}
		number := func(key string) (n int, err error) {
			if v, ok := af.Metadata.GetValue(key); ok {
				n, err = strconv.Atoi(v)
			}
			return n, err
		}
		kind, _ := af.Metadata.GetValue(metaKind)
		f.Type.Kind = ecluse.DataKind(kind)
		var errP, errS error
		f.Type.Precision, errP = number(metaPrecision)
		f.Type.Scale, errS = number(metaScale)
		want, err := arrowField(f)
		if errP != nil || errS != nil || err != nil || !want.Equal(af) {
			return nil, fmt.Errorf("%w: column %d is of no kind we write", errStream, i)
		}
		s.Fields[i] = f
	}
	return s, nil
}

// AppendSchema appends the message that opens a stream: the columns of s and
// meta, sorted by key. A stream is this message, then what StreamWriter writes.
// The two are apart because what stands first may be known last.
func AppendSchema(dst []byte, s *Schema, meta map[string]string) ([]byte, error) {
	as, err := arrowSchema(s, meta)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(dst)
	w := ipc.NewWriterWithPayloadWriter(&payloads{dst: out}, ipc.WithSchema(as))
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// payloads hands messages on; the first skip of them are dropped.
type payloads struct {
	dst  io.Writer
	skip int
}

func (p *payloads) Start() error { return nil }
func (p *payloads) Close() error { return nil }

func (p *payloads) WritePayload(m ipc.Payload) error {
	if p.skip > 0 {
		p.skip--
		return nil
	}
	_, err := m.WritePayload(p.dst)
	return err
}

// StreamWriter writes the batches of a stream, one message each, and the mark
// of its end. The bytes depend on nothing but schema, values and how they are
// cut into batches.
type StreamWriter struct {
	dst     io.Writer
	schema  *Schema
	arrow   *arrow.Schema
	w       *ipc.Writer
	scratch [][]byte // per column, for kinds whose layout differs
}

// endOfStream is Arrow's: a continuation mark and a length of zero.
var endOfStream = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// NewStreamWriter prepares a stream of batches of schema s. Nothing is written yet.
func NewStreamWriter(dst io.Writer, s *Schema) (*StreamWriter, error) {
	as, err := arrowSchema(s, nil)
	if err != nil {
		return nil, err
	}
	return &StreamWriter{
		dst: dst, schema: s, arrow: as,
		w:       ipc.NewWriterWithPayloadWriter(&payloads{dst: dst, skip: 1}, ipc.WithSchema(as)),
		scratch: make([][]byte, len(s.Fields)),
	}, nil
}

// Write writes a batch of the writer's schema. An empty batch writes nothing.
// After an error the stream is void.
func (w *StreamWriter) Write(b *Batch) error {
	if !b.Schema.Equal(w.schema) {
		return errors.New("write batch: its columns are not the stream's")
	}
	n := b.Rows()
	if n == 0 {
		return nil
	}
	if size := b.Size(); size > MaxBatch {
		return fmt.Errorf("write batch: %d bytes in %d rows, more than the %d one batch may hold", size, n, MaxBatch)
	}
	columns := make([]arrow.Array, len(b.Columns))
	for i, c := range b.Columns {
		if c.n != n {
			return fmt.Errorf("write batch: column %s has %d rows of %d", w.schema.Fields[i].Name, c.n, n)
		}
		values, err := w.layout(i, c)
		if err != nil {
			return fmt.Errorf("write batch: column %s: %w", w.schema.Fields[i].Name, err)
		}
		buffers := []*memory.Buffer{memory.NewBufferBytes(c.valid), memory.NewBufferBytes(values)}
		if c.offs != nil {
			buffers = append(buffers, memory.NewBufferBytes(c.data))
		}
		data := array.NewData(w.arrow.Field(i).Type, n, buffers, nil, c.nulls, 0)
		columns[i] = array.MakeFromData(data)
	}
	return w.w.Write(array.NewRecordBatch(w.arrow, columns, int64(n)))
}

// layout returns a column's values, or its offsets, as Arrow lays them out:
// where the column already has that layout, its own memory.
func (w *StreamWriter) layout(i int, c *Column) ([]byte, error) {
	if c.offs != nil {
		return int32Bytes(c.offs), nil
	}
	buf := w.scratch[i][:0]
	switch c.typ.Kind {
	case ecluse.Bool:
		buf = slices.Grow(buf, len(c.valid))[:len(c.valid)]
		clear(buf)
		for r, v := range c.fixed {
			buf[r>>3] |= byte(v&1) << (r & 7)
		}
	case ecluse.Date:
		buf = slices.Grow(buf, 4*c.n)[:4*c.n]
		days := arrow.Int32Traits.CastFromBytes(buf)
		for r, v := range c.fixed {
			var ok bool
			if days[r], ok = packDate(v); !ok {
				return nil, fmt.Errorf("row %d: a date beyond what a stream carries", r)
			}
		}
	default:
		return int64Bytes(c.fixed), nil
	}
	w.scratch[i] = buf
	return buf, nil
}

// Close writes the mark of the stream's end.
func (w *StreamWriter) Close() error {
	_, err := w.dst.Write(endOfStream)
	return err
}

// StreamReader reads what AppendSchema and StreamWriter wrote, and refuses any
// other Arrow stream. It takes from its source not a byte more than it returns:
// the schema's message when it is made, a batch's at each Next, the end's mark at
// the last. Memory is bounded by the largest message, and grows only as its bytes
// arrive. Malformed input is an error, never a panic.
type StreamReader struct {
	messages messages
	r        *ipc.Reader
	schema   *Schema
	meta     map[string]string
	err      error
}

// NewStreamReader reads the schema.
func NewStreamReader(src io.Reader) (r *StreamReader, err error) {
	defer refuse(&err)
	r = &StreamReader{messages: messages{src: src}}
	r.r, err = ipc.NewReaderFromMessageReader(&r.messages, ipc.WithEnsureNativeEndian(false))
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	as := r.r.Schema()
	if !as.IsNativeEndian() {
		return nil, fmt.Errorf("read schema: %w: bytes in another machine's order", errStream)
	}
	if r.schema, err = schemaOf(as); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	md := as.Metadata()
	r.meta = md.ToMap()
	if len(r.meta) != md.Len() {
		return nil, fmt.Errorf("read schema: %w: a key stands twice", errStream)
	}
	return r, nil
}

// refuse turns a panic of Arrow's decoder into an error.
func refuse(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", errStream, p)
	}
}

// Schema is the columns of every batch.
func (r *StreamReader) Schema() *Schema { return r.schema }

// Meta is what AppendSchema was given.
func (r *StreamReader) Meta() map[string]string { return r.meta }

// Next replaces the content of b, a batch of the stream's schema, by the next
// batch; io.EOF after the mark of the end. After an error it keeps returning it.
func (r *StreamReader) Next(b *Batch) error {
	if r.err == nil {
		r.err = r.next(b)
	}
	return r.err
}

func (r *StreamReader) next(b *Batch) (err error) {
	defer refuse(&err)
	if !b.Schema.Equal(r.schema) {
		return errors.New("read batch: its columns are not the stream's")
	}
	b.Reset()
	rec, err := r.r.Read()
	switch {
	case r.messages.ended && err != nil:
		return io.EOF
	case err != nil:
		return fmt.Errorf("read batch: %w", err)
	}
	n := rec.NumRows()
	if n < 1 || n > maxBody {
		return fmt.Errorf("read batch: %w: %d rows", errStream, n)
	}
	for i, c := range b.Columns {
		if err := c.load(rec.Column(i).Data(), int(n)); err != nil {
			b.Reset()
			return fmt.Errorf("read batch: column %s: %w", r.schema.Fields[i].Name, err)
		}
	}
	return nil
}

// load copies an Arrow array of n values into the empty column c.
func (c *Column) load(d arrow.ArrayData, n int) error {
	values := bytesOf(d.Buffers()[1])
	if d.Len() != n || d.Offset() != 0 || len(values) < n/8 {
		return fmt.Errorf("%w: %d values in %d rows", errStream, d.Len(), n)
	}
	if err := c.loadValidity(bytesOf(d.Buffers()[0]), n, d.NullN()); err != nil {
		return err
	}
	if c.offs == nil {
		return c.loadFixed(values)
	}
	return c.loadStrings(values, bytesOf(d.Buffers()[2]))
}

func bytesOf(b *memory.Buffer) []byte {
	if b == nil {
		return nil
	}
	return b.Bytes()
}

// int64Bytes and int32Bytes are the memory of integers, as bytes.
func int64Bytes(v []int64) []byte { return arrow.Int64Traits.CastToBytes(v) }
func int32Bytes(v []int32) []byte { return arrow.Int32Traits.CastToBytes(v) }

// messages reads one message at a time into memory that it uses again. It looks
// at each before Arrow's decoder does (flat.go): that one believes the lengths it
// is told.
type messages struct {
	src   io.Reader
	head  []byte
	body  []byte
	begun bool // the schema has been read
	ended bool // the mark of the end has been read
}

func (m *messages) Retain()  {}
func (m *messages) Release() {}

func (m *messages) Message() (*ipc.Message, error) {
	var prefix [8]byte
	if _, err := io.ReadFull(m.src, prefix[:]); err != nil {
		return nil, unexpected(err)
	}
	if [8]byte(endOfStream) == prefix {
		m.ended = true
		return nil, io.EOF
	}
	size := binary.LittleEndian.Uint32(prefix[4:])
	if [4]byte(prefix[:]) != [4]byte(endOfStream) || size > maxHeader || size%8 != 0 {
		return nil, fmt.Errorf("%w: a message's first eight bytes", errStream)
	}
	var err error
	if m.head, err = readAll(m.src, m.head[:0], int(size)); err != nil {
		return nil, err
	}
	length, err := checkMessage(m.head, !m.begun)
	if err != nil {
		return nil, err
	}
	m.begun = true
	if m.body, err = readAll(m.src, m.body[:0], length); err != nil {
		return nil, err
	}
	return ipc.NewMessage(memory.NewBufferBytes(m.head), memory.NewBufferBytes(m.body)), nil
}
