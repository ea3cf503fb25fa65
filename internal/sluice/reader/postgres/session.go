package postgres

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/internal/mandate"
	engine "ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// Session is one epoch: one read-only transaction on one connection. It serves
// one goroutine at a time.
type Session struct {
	plan     *mandate.ReadPlan
	config   engine.Config
	conn     *engine.Conn
	beside   *engine.Conn // that asks who is at work; nil until somebody wants to know
	throttle *reader.Throttle
	datasets map[ecluse.DatasetID]*dataset

	batches []*record.Batch // of the dataset being read
	filled  *dataset
}

// batchesOf is the memory that a dataset's chunks go through, one after the other.
func (s *Session) batchesOf(d *dataset) []*record.Batch {
	if s.filled != d {
		s.filled, s.batches = d, nil
		for range batchesInFlight {
			s.batches = append(s.batches, record.NewBatch(engine.Schema(d.Fields), 0))
		}
	}
	return s.batches
}

var _ reader.Session = (*Session)(nil)

// Close ends the epoch.
func (s *Session) Close() error {
	if s.beside != nil {
		_ = s.beside.Close()
	}
	return s.conn.Close()
}

// Load counts the sessions of others that are at work, on a connection of its own: the
// epoch's may be in the middle of an answer. What it asks is paced with what is read.
func (s *Session) Load(ctx context.Context) (int, error) {
	if s.beside == nil {
		conn, err := engine.Connect(ctx, s.config)
		if err != nil {
			return 0, err
		}
		s.beside = conn
	}
	if err := s.throttle.Wait(ctx); err != nil {
		return 0, engine.Wrap(ctx, "ask who is at work", s.config.String(), err)
	}
	return engine.OthersAtWork(ctx, s.beside)
}

// Privileges asks what the account can read now, on a connection of its own: the
// epoch's sees what was granted after its snapshot in part only.
func (s *Session) Privileges(ctx context.Context) (*reader.Privileges, error) {
	conn, err := engine.Connect(ctx, s.config)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	r, err := engine.RightsOf(ctx, conn)
	if err != nil {
		return nil, err
	}
	return &reader.Privileges{
		Account: r.Account, At: r.At, Epoch: s.plan.Consistency,
		Readable: r.Readable, Writable: r.Writable, Superuser: r.Superuser,
	}, nil
}

// Check counts one of the plan's checks.
func (s *Session) Check(ctx context.Context, name string) (*record.Batch, error) {
	i := slices.IndexFunc(s.plan.Checks, func(c mandate.ReadCheck) bool { return c.Name == name })
	if i < 0 {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "count check " + name, Why: "the plan has no such check", Article: "GDPR art. 29"}
	}
	k, err := engine.NewCounting(s.plan, &s.plan.Checks[i])
	if err != nil {
		return nil, err
	}
	if err := s.throttle.Wait(ctx); err != nil {
		return nil, engine.Wrap(ctx, "count check "+name, "", err)
	}
	return k.Run(ctx, s.conn)
}

// dataset is one dataset being read. A position in it is a place in its table
// (block and line), or a number of rows.
type dataset struct {
	*engine.Reading
	ready  bool
	end    int64 // the position after its last row
	extent engine.Extent
}

// Kinds of cursor.
const (
	blockCursor = 'b'
	countCursor = 'n'
)

func (d *dataset) cursor(at int64) reader.Cursor {
	kind := byte(countCursor)
	if d.Blocks() {
		kind = blockCursor
	}
	return binary.BigEndian.AppendUint64([]byte{kind}, uint64(at))
}

func (d *dataset) position(c reader.Cursor) (int64, error) {
	if c == nil {
		return 0, nil
	}
	foreign := &ecluse.Error{
		Kind: ecluse.Invalid, What: "read dataset " + string(d.Dataset.Dataset), Why: "the bookmark is not one of this reader",
		Next: "the table's storage may have changed: begin a new migration",
	}
	if want := d.cursor(0); len(c) != len(want) || c[0] != want[0] || c[1]&0x80 != 0 {
		return 0, foreign
	}
	at := int64(binary.BigEndian.Uint64(c[1:]))
	if d.Blocks() && position(tid(at)) != at { // beyond what a table can hold
		return 0, foreign
	}
	return at, nil
}

const lineBits = 16

func tid(at int64) engine.TID {
	return engine.TID{Block: uint32(at >> lineBits), Line: uint16(at & (1<<lineBits - 1))}
}

func position(t engine.TID) int64 { return int64(t.Block)<<lineBits | int64(t.Line) }

// prepare finds the dataset's end in this epoch.
func (s *Session) prepare(ctx context.Context, id ecluse.DatasetID) (*dataset, error) {
	d, ok := s.datasets[id]
	if !ok {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "read dataset " + string(id), Why: "the plan has no such dataset", Article: "GDPR art. 29"}
	}
	if d.ready {
		return d, nil
	}
	if err := s.throttle.Wait(ctx); err != nil {
		return nil, err
	}
	if d.Blocks() {
		e, err := engine.ExtentOf(ctx, s.conn, d.Dataset.From)
		if err != nil {
			return nil, err
		}
		d.extent, d.end = e, int64(e.Blocks)<<lineBits
	} else {
		n, err := d.Count(ctx, s.conn)
		if err != nil {
			return nil, err
		}
		d.end = n
	}
	d.ready = true
	return d, nil
}

// ReadChunk reads the rows after a cursor.
func (s *Session) ReadChunk(ctx context.Context, id ecluse.DatasetID, after, until reader.Cursor, emit func(*record.Batch) error) (reader.Cursor, bool, error) {
	fail := func(err error) (reader.Cursor, bool, error) {
		return nil, false, engine.Wrap(ctx, "read dataset "+string(id), "", err)
	}
	d, err := s.prepare(ctx, id)
	if err != nil {
		return fail(err)
	}
	c := &chunk{session: s, dataset: d, until: -1, pace: newPace(d.Blocks())}
	if c.at, err = d.position(after); err != nil {
		return fail(err)
	}
	if until != nil {
		if c.until, err = d.position(until); err == nil && c.until < c.at {
			err = fmt.Errorf("the chunk ends before it begins")
		}
		if err != nil {
			return fail(err)
		}
	}
	emitted, err := c.run(ctx, emit)
	switch {
	case ctx.Err() != nil:
		return fail(ctx.Err())
	case emitted != nil:
		return nil, false, emitted
	case err != nil:
		return fail(err)
	}
	return d.cursor(c.at), c.at >= d.end, nil
}

// chunk is one chunk being read.
type chunk struct {
	*dataset
	session   *Session
	at        int64
	until     int64 // −1: wherever it is large enough
	pace      pace
	statement string // of a reading by ranges; empty: of the chunk's own
	decoder   *engine.Decoder
	stopped   bool // nobody takes the rows any more
}

// batchesInFlight are filled, waited for, and emitted.
const batchesInFlight = 3

// errStopped ends decoding, not the answer: whoever was given the rows failed,
// and the epoch must outlive it.
var errStopped = errors.New("nobody takes the rows")

// run reads and decodes while batches are emitted. The error of emit comes back
// as it is, apart from those of reading.
func (c *chunk) run(ctx context.Context, emit func(*record.Batch) error) (emitted, read error) {
	full := make(chan *record.Batch, 1)
	free := make(chan *record.Batch, batchesInFlight)
	stopped := make(chan struct{})
	for _, b := range c.session.batchesOf(c.dataset) {
		free <- b
	}
	turn := func(b *record.Batch) (*record.Batch, error) {
		if b != nil {
			select {
			case full <- b:
			case <-stopped:
				return nil, errStopped
			}
		}
		select {
		case b = <-free:
			return b, nil
		case <-stopped:
			return nil, errStopped
		}
	}
	var g errgroup.Group
	g.Go(func() error {
		defer close(full)
		return c.read(ctx, turn)
	})
	for b := range full {
		if emitted = emit(b); emitted != nil || ctx.Err() != nil {
			close(stopped)
			break
		}
		free <- b
	}
	if read = g.Wait(); errors.Is(read, errStopped) {
		read = nil
	}
	return emitted, read
}

func (c *chunk) read(ctx context.Context, next func(*record.Batch) (*record.Batch, error)) error {
	var err error
	if c.decoder, err = engine.NewDecoder(c.Fields, next); err != nil {
		return err
	}
	if c.statement != "" {
		return c.one(ctx)
	}
	for {
		to := c.until
		if to < 0 {
			if to, err = c.step(ctx); err != nil {
				return err
			}
		}
		if to > c.at {
			if err := c.copy(ctx, to); err != nil {
				return err
			}
		}
		c.at = to
		if c.stopped || c.until >= 0 || c.at >= c.end || c.enough() {
			return c.finish()
		}
	}
}

// copy reads the rows from the chunk's position to another.
func (c *chunk) copy(ctx context.Context, to int64) error {
	var statement string
	units := to - c.at
	if c.Blocks() {
		statement = c.Range(tid(c.at), tid(to), c.extent, c.session.conn.Version())
		units >>= lineBits
	} else {
		statement = c.Counted(c.at, units)
	}
	if err := c.session.throttle.Wait(ctx); err != nil {
		return err
	}
	rows, bytes := c.decoder.Rows(), c.decoder.Bytes()
	if _, err := c.session.conn.CopyOut(ctx, statement, c); err != nil || c.stopped {
		return err
	}
	c.pace.saw(units, c.decoder.Rows()-rows, c.decoder.Bytes()-bytes)
	return c.decoder.Again()
}

// Write takes the answer, and goes on taking it when nobody wants the rows any
// more: an answer left in the middle would cost the connection, and the epoch.
func (c *chunk) Write(p []byte) (int, error) {
	if c.stopped {
		return len(p), nil
	}
	n, err := c.decoder.Write(p)
	if errors.Is(err, errStopped) {
		c.stopped = true
		return len(p), nil
	}
	return n, err
}

func (c *chunk) finish() error {
	if c.stopped {
		return errStopped
	}
	return c.decoder.Close()
}

// A chunk is large enough when it is nearly as large as it may be: another step
// would be a small one.
const enough = 7.0 / 8

func (c *chunk) enough() bool {
	return float64(c.decoder.Rows()) >= enough*reader.ChunkRows || float64(c.decoder.Bytes()) >= enough*reader.ChunkBytes
}

// step says where the next step of the chunk ends.
func (c *chunk) step(ctx context.Context) (int64, error) {
	bytes := max(reader.ChunkBytes-c.decoder.Bytes(), 1)
	units := c.pace.next(reader.ChunkRows-c.decoder.Rows(), bytes)
	if !c.Blocks() {
		return min(c.at+units, c.end), nil
	}
	to := min((c.at>>lineBits+units)<<lineBits, c.end)
	if !c.extent.OutOfLine {
		return to, nil
	}
	// A block's rows may be of any size: the server says which of them is one too many.
	if err := c.session.throttle.Wait(ctx); err != nil {
		return 0, err
	}
	t, ok, err := c.Outgrows(ctx, c.session.conn, tid(c.at), tid(to), bytes)
	if err != nil || !ok {
		return to, err
	}
	return max(position(t), c.at+1), nil
}
