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
//
// Any of them but bool and float may be the values of a dictionary with uint8 indices
// (dictionary.go).
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

func arrowField(f Field, coded bool) (arrow.Field, error) {
	dt, err := arrowType(f.Type)
	if err != nil {
		return arrow.Field{}, fmt.Errorf("column %s: %w", f.Name, err)
	}
	if coded && repeats(f.Type.Kind) {
		dt = dictionaryOf(dt)
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

// arrowSchema is the schema of a stream whose columns are coded, or not, as coded tells.
func arrowSchema(s *Schema, coded func(i int) bool, meta map[string]string) (*arrow.Schema, error) {
	if len(s.Fields) == 0 || len(s.Fields) > MaxFields {
		return nil, fmt.Errorf("a schema has 1 to %d columns, not %d", MaxFields, len(s.Fields))
	}
	fields := make([]arrow.Field, len(s.Fields))
	for i, f := range s.Fields {
		var err error
		if fields[i], err = arrowField(f, coded(i)); err != nil {
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

// schemaOf is the inverse of arrowSchema, but for which columns are coded: that is how they
// travel, not what they are. Whatever arrowSchema would not have written is refused.
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
		want, err := arrowField(f, af.Type.ID() == arrow.DICTIONARY)
		if errP != nil || errS != nil || err != nil || !want.Equal(af) {
			return nil, fmt.Errorf("%w: column %d is of no kind we write", errStream, i)
		}
		s.Fields[i] = f
	}
	return s, nil
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

// StreamWriter writes the batches of a stream, with the dictionaries that they need before
// them, and the mark of its end. A batch is one message, or several where a dictionary is
// begun anew. The bytes depend on nothing but schema, values and how they are cut into
// batches.
type StreamWriter struct {
	dst     io.Writer
	schema  *Schema
	coded   []*dictionary // per column; nil: it travels as it is
	begun   bool          // the first batch has told which are
	arrow   *arrow.Schema
	w       *ipc.Writer
	scratch [][]byte // per column, for kinds whose layout differs
}

// endOfStream is Arrow's: a continuation mark and a length of zero.
var endOfStream = []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}

// NewStreamWriter prepares a stream of batches of schema s. Nothing is written yet.
func NewStreamWriter(dst io.Writer, s *Schema) (*StreamWriter, error) {
	w := &StreamWriter{dst: dst, schema: s, coded: make([]*dictionary, len(s.Fields)), scratch: make([][]byte, len(s.Fields))}
	_, err := arrowSchema(s, w.isCoded, nil)
	return w, err
}

func (w *StreamWriter) isCoded(i int) bool { return w.coded[i] != nil }

// AppendSchema appends the message that opens the stream: its columns, and meta, sorted
// by key. A stream is this message, then what was written to dst. The two are apart because
// what stands first is known last.
func (w *StreamWriter) AppendSchema(dst []byte, meta map[string]string) ([]byte, error) {
	as, err := arrowSchema(w.schema, w.isCoded, meta)
	if err != nil {
		return nil, err
	}
	out := bytes.NewBuffer(dst)
	aw := ipc.NewWriterWithPayloadWriter(&payloads{dst: out}, ipc.WithSchema(as))
	if err := aw.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
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
	columns := make([]*array.Data, len(b.Columns))
	for i, c := range b.Columns {
		if c.n != n {
			return fmt.Errorf("write batch: column %s has %d rows of %d", w.schema.Fields[i].Name, c.n, n)
		}
	}
	if err := w.begin(b); err != nil {
		return err
	}
	for i, c := range b.Columns {
		if w.coded[i] != nil {
			continue
		}
		var err error
		if columns[i], err = w.layout(i, c); err != nil {
			return fmt.Errorf("write batch: column %s: %w", w.schema.Fields[i].Name, err)
		}
	}
	for from := 0; from < n; {
		to, err := w.codes(b, from)
		if err != nil {
			return err
		}
		if err := w.rows(b, columns, from, to); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// begin makes ready for a batch's codes; the first batch tells which columns are coded.
func (w *StreamWriter) begin(b *Batch) error {
	if w.begun {
		for _, d := range w.coded {
			if d != nil {
				d.begin(b.Rows())
			}
		}
		return nil
	}
	w.begun = true
	for i, c := range b.Columns {
		if !repeats(c.typ.Kind) {
			continue
		}
		if d := newDictionary(c.typ); d.suits(c) {
			w.coded[i] = d
		}
	}
	var err error
	w.arrow, err = arrowSchema(w.schema, w.isCoded, nil)
	return err
}

// codes makes sure that the batch's rows, from one on, have codes, and says up to
// which row one message can hold them.
func (w *StreamWriter) codes(b *Batch, from int) (to int, err error) {
	to = b.Rows()
	changed := w.w == nil
	for i, d := range w.coded {
		if d == nil {
			continue
		}
		if d.done == from && d.full() {
			d.restart()
		}
		d.take(b.Columns[i], b.Rows())
		to = min(to, d.done)
		if d.sent != nil {
			continue
		}
		changed = true
		if d.sent, err = w.layout(i, d.values.clone()); err != nil {
			return 0, fmt.Errorf("write batch: column %s: %w", w.schema.Fields[i].Name, err)
		}
	}
	if changed {
		// Arrow's writer leaves out a dictionary that it takes for the one before, and takes
		// texts for equal that differ in NULs at their end. A new one has nothing to compare.
		w.w = ipc.NewWriterWithPayloadWriter(&payloads{dst: w.dst, skip: 1}, ipc.WithSchema(w.arrow))
	}
	return to, nil
}

// rows writes one message of rows.
func (w *StreamWriter) rows(b *Batch, columns []*array.Data, from, to int) error {
	arrays := make([]arrow.Array, len(columns))
	for i, c := range b.Columns {
		nulls := c.nulls
		if to-from < c.n {
			nulls = array.UnknownNullCount
		}
		typ, data := w.arrow.Field(i).Type, columns[i]
		if d := w.coded[i]; d != nil {
			buffers := []*memory.Buffer{memory.NewBufferBytes(c.valid), memory.NewBufferBytes(d.codes)}
			data = array.NewDataWithDictionary(typ, to-from, buffers, nulls, from, d.sent)
		} else {
			data = array.NewData(typ, to-from, data.Buffers(), nil, nulls, from)
		}
		arrays[i] = array.MakeFromData(data)
	}
	return w.w.Write(array.NewRecordBatch(w.arrow, arrays, int64(to-from)))
}

// layout is a column as Arrow lays it out: where the column already has that layout,
// in its own memory.
func (w *StreamWriter) layout(i int, c *Column) (*array.Data, error) {
	typ, err := arrowType(c.typ)
	if err != nil {
		return nil, err
	}
	buffers := []*memory.Buffer{memory.NewBufferBytes(c.valid)}
	if c.offs != nil {
		buffers = append(buffers, memory.NewBufferBytes(int32Bytes(c.offs)), memory.NewBufferBytes(c.data))
		return array.NewData(typ, c.n, buffers, nil, c.nulls, 0), nil
	}
	values, err := w.fixed(i, c)
	return array.NewData(typ, c.n, append(buffers, memory.NewBufferBytes(values)), nil, c.nulls, 0), err
}

// fixed is the values of a column stored as integers.
func (w *StreamWriter) fixed(i int, c *Column) ([]byte, error) {
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

// StreamReader reads what StreamWriter wrote after its AppendSchema, and refuses any
// other Arrow stream. It takes from its source not a byte more than it returns:
// the schema's message when it is made, a batch's at each Next, the end's mark at
// the last. Memory is bounded by the largest message and MaxBatch, and grows only as bytes
// arrive. Malformed input is an error, never a panic.
type StreamReader struct {
	messages messages
	r        *ipc.Reader
	schema   *Schema
	coded    []coded // per column; of those that are
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
	r.coded = make([]coded, len(r.schema.Fields))
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
	n := int(rec.NumRows())
	if n < 1 || n > maxBody || n*leastRow(r.schema) > MaxBatch {
		return fmt.Errorf("read batch: %w: %d rows", errStream, n)
	}
	for i, room := 0, MaxBatch; i < len(b.Columns); i++ {
		c, d := b.Columns[i], rec.Column(i).Data()
		if d.DataType().ID() == arrow.DICTIONARY {
			if err = r.coded[i].take(c.typ, d.Dictionary()); err == nil {
				err = c.loadCodes(d, n, r.coded[i].values, room)
			}
		} else {
			err = c.load(d, n)
		}
		if room -= c.Size(); err != nil {
			b.Reset()
			return fmt.Errorf("read batch: column %s: %w", r.schema.Fields[i].Name, err)
		}
	}
	return nil
}

// leastRow is how many bytes a row takes in memory, at the least: a message may hold less.
func leastRow(s *Schema) (size int) {
	for _, f := range s.Fields {
		if size += 4; Fixed(f.Type.Kind) {
			size += 4
		}
	}
	return size
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
	dicts map[int64]int // bytes of the dictionaries in force
	begun bool          // the schema has been read
	ended bool          // the mark of the end has been read
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
	what, err := checkMessage(m.head, !m.begun)
	if err != nil {
		return nil, err
	}
	m.begun = true
	if what.dictionary {
		return m.dictionary(what)
	}
	if m.body, err = readAll(m.src, m.body[:0], what.body); err != nil {
		return nil, err
	}
	return ipc.NewMessage(memory.NewBufferBytes(m.head), memory.NewBufferBytes(m.body)), nil
}

// dictionary reads one into memory of its own: it is good until another takes its place.
func (m *messages) dictionary(what message) (*ipc.Message, error) {
	if m.dicts == nil {
		m.dicts = map[int64]int{}
	}
	m.dicts[what.id] = what.body
	all := 0
	for _, size := range m.dicts {
		all += size
	}
	if all > maxBody {
		return nil, fmt.Errorf("%w: dictionaries of %d bytes", errStream, all)
	}
	body, err := readAll(m.src, nil, what.body)
	if err != nil {
		return nil, err
	}
	return ipc.NewMessage(memory.NewBufferBytes(m.head), memory.NewBufferBytes(body)), nil
}
