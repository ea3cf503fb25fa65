package sluice

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// slowSource gives chunks of one row, each after a while.
type slowSource struct {
	mandate.ReadPermit
	chunks int
	each   time.Duration
	load   func() int
	rights []reader.Privileges // the answers, one after the other; the last again and again
}

func (s *slowSource) Privileges(context.Context) (*reader.Privileges, error) {
	if len(s.rights) == 0 {
		return &reader.Privileges{Account: "lab", Epoch: mandate.Snapshot}, nil
	}
	r := s.rights[0]
	if len(s.rights) > 1 {
		s.rights = s.rights[1:]
	}
	return &r, nil
}

func (s *slowSource) ReadChunk(ctx context.Context, id ecluse.DatasetID, after, _ reader.Cursor, emit func(*record.Batch) error) (reader.Cursor, bool, error) {
	n := byte(0)
	if after != nil {
		n = after[0] + 1
	}
	select {
	case <-time.After(s.each):
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	d, _ := s.Plan().Dataset(id)
	b := record.NewBatch(SchemaOf(d), 1)
	b.Columns[0].AppendInt(int64(n))
	return reader.Cursor{n}, int(n) == s.chunks-1, emit(b)
}

func (s *slowSource) Check(context.Context, string) (*record.Batch, error) {
	return nil, fmt.Errorf("there is none")
}

func (s *slowSource) Load(context.Context) (int, error) {
	if s.load == nil {
		return 0, fmt.Errorf("nobody was to be asked")
	}
	return s.load(), nil
}

func (s *slowSource) Close() error { return nil }

// shelf is a chamber and bookmarks in memory.
type shelf struct {
	slots  []evidence.Signed
	marks  map[int]reader.Cursor
	closed bool
}

func (s *shelf) Slots(context.Context) ([]evidence.Signed, error) { return s.slots, nil }

func (s *shelf) Put(ctx context.Context, d evidence.Signed, body io.Reader) (evidence.Signed, error) {
	if ctx.Err() != nil {
		return d, ctx.Err()
	}
	_, err := io.Copy(io.Discard, body)
	s.slots = append(s.slots, d)
	return d, err
}

func (s *shelf) Close(context.Context, evidence.Signed) error {
	s.closed = true
	return nil
}

func (s *shelf) Bookmark(_ ecluse.DatasetID, n int) (reader.Cursor, error) { return s.marks[n], nil }

func (s *shelf) SetBookmark(_ ecluse.DatasetID, n int, end reader.Cursor) error {
	s.marks[n] = end
	return nil
}

const slowBody = `
datasets:
  patient: {from: patient, key: [id], columns: {id: technical}}
`

func slowCatalogue() *ecluse.Catalogue {
	return &ecluse.Catalogue{Engine: ecluse.PostgreSQL, Tables: []ecluse.Table{{
		Name: ecluse.TableName{Name: "patient"}, Kind: ecluse.BaseTable, PrimaryKey: []string{"id"},
		Columns: []ecluse.Column{
			{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}, Declared: "bigint"},
			{Name: "name", Type: ecluse.Type{Kind: ecluse.Text}, Declared: "text"},
		},
	}}}
}

// extraction is of a slow source onto a shelf.
func extraction(w *mandatetest.World, s *slowSource, to *shelf) Extraction {
	nothing := func(context.Context, *reader.Privileges) error { return nil }
	return Extraction{
		Permit: s.ReadPermit, Epoch: 1, Key: &seal.Key{1}, Recipient: w.Chunks.Recipient(),
		Open: func(context.Context) (reader.Session, error) { return s, nil },
		Gate: evidence.FingerprintOf(w.SourceGate.PublicKey()), Signer: w.SourceGate,
		Outlet: to, Bookmarks: to, Before: nothing, After: nothing,
	}
}

// TestExtractPausesAtTheWindowsEnd: what was read whole is kept, the chunk under
// way is not, and the next window goes on under the same signatures.
func TestExtractPausesAtTheWindowsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := mandatetest.New(t) // at midnight
		m := w.Migration(t, slowCatalogue(), mandatetest.Dialect(ecluse.PostgreSQL),
			slowBody+"limits: {rows: 1000, bytes: 1TB, window: \"23:00-00:10 UTC\"}\n")
		s := &slowSource{ReadPermit: m.ReadPermit(t), chunks: 4, each: 4 * time.Minute}
		to := &shelf{marks: map[int]reader.Cursor{}}
		x := extraction(w, s, to)
		begun, closed := time.Now(), 0
		x.WindowClosed = func() (int, error) { closed++; return closed, nil }
		_, err := Extract(t.Context(), x)
		var told *ecluse.Error
		if ecluse.KindOf(err) != ecluse.Interrupted || !errors.As(err, &told) || !strings.Contains(told.Next, "from the first row again") {
			t.Fatalf("at the window's end: %v", err)
		}
		if took := time.Since(begun); took != 10*time.Minute {
			t.Errorf("it read for %s", took)
		}
		if len(to.slots) != 3 || to.closed { // the key and two chunks
			t.Errorf("%d slots are stored, closed %t", len(to.slots), to.closed)
		}

		in := m.ReadPermitInputs()
		time.Sleep(22*time.Hour + 50*time.Minute)
		in.BegunAt, in.Now = in.Now, time.Now()
		again := func(epoch int) {
			t.Helper()
			if s.ReadPermit, err = mandate.PermitRead(in); err != nil {
				t.Fatal(err)
			}
			x.Permit, x.Epoch = s.ReadPermit, epoch
		}
		again(2)
		s.each = 30 * time.Minute // slower than ever
		if _, err := Extract(t.Context(), x); !errors.As(err, &told) || !strings.Contains(told.Why, "for the 2. time") || !strings.Contains(told.Next, "never read whole") {
			t.Errorf("at the second window's end: %v", err)
		}
		time.Sleep(22*time.Hour + 50*time.Minute)
		in.BegunAt, in.Now = in.Now, time.Now()
		s.each = 4 * time.Minute
		again(3)
		out, err := Extract(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if out.Kept != 2 || out.Chunks != 2 || !to.closed {
			t.Errorf("in the next window: %+v", out)
		}
	})
}

// TestExtractJudgesRightsAfter: an account that could read more by the end of the
// reading closes nothing; once that is taken back the reading goes on.
func TestExtractJudgesRightsAfter(t *testing.T) {
	w := mandatetest.New(t)
	patient := ecluse.TableName{Name: "patient"}
	narrow := reader.Privileges{Account: "lab", Readable: map[ecluse.TableName][]string{patient: {"id"}}}
	wide := reader.Privileges{Account: "lab", Readable: map[ecluse.TableName][]string{patient: {"id", "name"}}}
	s := &slowSource{ReadPermit: w.ReadPermit(t, slowCatalogue(), mandatetest.Dialect(ecluse.PostgreSQL), slowBody), chunks: 2}
	s.rights = []reader.Privileges{narrow, wide}
	to := &shelf{marks: map[int]reader.Cursor{}}
	x := extraction(w, s, to)
	var recorded *reader.Privileges
	x.After = func(_ context.Context, p *reader.Privileges) error {
		recorded = p
		return nil
	}
	if _, err := Extract(t.Context(), x); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "patient.name") || to.closed {
		t.Errorf("granted during the reading: %v, closed %t", err, to.closed)
	}
	if recorded == nil || len(recorded.Readable[patient]) != 2 {
		t.Errorf("recorded as %+v", recorded)
	}
	s.rights, x.Epoch = []reader.Privileges{narrow}, 2
	if out, err := Extract(t.Context(), x); err != nil || out.Kept != 2 || !to.closed {
		t.Errorf("taken back: %+v, %v", out, err)
	}
}

// TestExtractPausesUnderLoad: a reading stands still while others are at work, says so, and
// what it waited is in what it came to. It asks nobody unless the plan says so.
func TestExtractPausesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := mandatetest.New(t)
		read := func(limits string, load func() int) (*Extracted, time.Duration, int) {
			s := &slowSource{ReadPermit: w.ReadPermit(t, slowCatalogue(), mandatetest.Dialect(ecluse.PostgreSQL), slowBody+limits), chunks: 4, each: time.Second, load: load}
			x, said := extraction(w, s, &shelf{marks: map[int]reader.Cursor{}}), 0
			x.Watch = func(p Progress) {
				if p.Paused {
					said++
				}
			}
			begun := time.Now()
			out, err := Extract(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			return out, time.Since(begun), said
		}
		if out, took, said := read("", nil); took != 4*time.Second || out.Pauses != 0 || said != 0 {
			t.Errorf("without a limit: %s, %+v", took, out)
		}
		const limits = "limits: {rows: 1000, bytes: 1TB, load_pause: 2}\n"
		if out, took, said := read(limits, func() int { return 1 }); took != 4*time.Second || out.Pauses != 0 || said != 0 {
			t.Errorf("beside one session: %s, %+v", took, out)
		}
		begun := time.Now()
		busy := func() int { // in the reading's second and third second
			if at := time.Since(begun); at >= time.Second && at < 3*time.Second {
				return 2
			}
			return 0
		}
		if out, took, said := read(limits, busy); took < 6500*time.Millisecond || out.Pauses != 1 || out.Paused < 2500*time.Millisecond || said == 0 {
			t.Errorf("beside two sessions for two seconds: %s, %+v, told %d times", took, out, said)
		}
	})
}

// TestExtractTolerance: a dataset with more rows than the plan tolerates, or fewer, stops
// the reading at a chunk's end; what was sealed stays, and when the source is as it was
// expected the reading goes on under the same signatures.
func TestExtractTolerance(t *testing.T) {
	for name, c := range map[string]struct {
		rows   string
		chunks int // of a row each
		slots  int // that are stored then, the key among them
		want   string
	}{
		"as expected": {"{expected: 4}", 4, 5, ""},
		"a few more":  {"{expected: 2, tolerance: 2}", 4, 5, ""},
		"a few fewer": {"{expected: 6, tolerance: 2}", 4, 5, ""},
		"more":        {"{expected: 1, tolerance: 1}", 4, 3, "dataset patient: it has more than 2 rows: 1 were expected, and at most 1 more"},
		"fewer":       {"{expected: 9, tolerance: 4}", 4, 4, "dataset patient: it has 4 rows: 9 were expected, and at most 4 fewer"},
	} {
		t.Run(name, func(t *testing.T) {
			w := mandatetest.New(t)
			permit := w.ReadPermit(t, slowCatalogue(), mandatetest.Dialect(ecluse.PostgreSQL), strings.Replace(slowBody, "from: patient,", "from: patient, rows: "+c.rows+",", 1))
			s, to := &slowSource{ReadPermit: permit, chunks: c.chunks}, &shelf{marks: map[int]reader.Cursor{}}
			x := extraction(w, s, to)
			_, err := Extract(t.Context(), x)
			if c.want == "" && (err != nil || !to.closed) || c.want != "" && (ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), c.want) || to.closed) {
				t.Fatalf("%v, closed %t", err, to.closed)
			}
			if len(to.slots) != c.slots {
				t.Errorf("%d slots are stored, want %d", len(to.slots), c.slots)
			}
			if name == "more" { // they are taken out of the source again
				s.chunks, x.Epoch = 2, 2
				if out, err := Extract(t.Context(), x); err != nil || out.Rows["patient"] != 2 || !to.closed {
					t.Errorf("as expected again: %+v, %v", out, err)
				}
			}
		})
	}
}
