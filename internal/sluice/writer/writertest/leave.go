package writertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ecluse"
	"ecluse/internal/sluice/reader/readertest"
	"ecluse/internal/sluice/writer"
)

// unload takes a chunk out and leaves what people changed.
func unload(t testing.TB, s writer.Session, c *writer.Chunk) *writer.Unloaded {
	t.Helper()
	u, err := s.Unload(t.Context(), c, writer.Unloading{Leave: true})
	if err != nil {
		t.Fatalf("unload chunk %s: %v", c.Slot, err)
	}
	return u
}

// wantUnloaded checks what an unloading came to.
func wantUnloaded(t testing.TB, got *writer.Unloaded, want writer.Unloaded) {
	t.Helper()
	if diff := cmp.Diff(&want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("unloaded (-want +got):\n%s", diff)
	}
}

func testLeave(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed, keyless).allow(t, keyed, keyless)
	p.db.Insert(t, keyed, numbers(900, 2))
	s := p.begin(t)
	chunk := &writer.Chunk{Slot: slot(0), Rows: 8, Tables: []writer.Rows{
		p.rows(t, keyed, append(numbers(1, 6), []any{int64(7), "code 7", nil}, []any{int64(8), "code 8", ""}), nil),
		p.rows(t, keyless, [][]any{{"twice", int64(1)}, {"twice", int64(1)}, {"once", nil}, {"gone", nil}}, []int32{0, 0, 2, 3}),
	}}
	load(t, s, chunk)
	p.db.Exec(t, "UPDATE analysis SET note = NULL WHERE id = 2; UPDATE analysis SET code = 'CODE 3' WHERE id = 3; UPDATE analysis SET id = 40 WHERE id = 4; DELETE FROM analysis WHERE id = 5")
	p.db.Exec(t, "UPDATE analysis SET note = '' WHERE id = 7; UPDATE analysis SET note = NULL WHERE id = 8")
	p.db.Exec(t, "UPDATE event SET amount = 3 WHERE label = 'once'; DELETE FROM event WHERE label = 'gone'")
	p.db.Insert(t, keyless, [][]any{{"theirs", nil}})
	wantUnloaded(t, unload(t, s, chunk), writer.Unloaded{
		Deleted: map[ecluse.TableName]int64{p.db.Name(keyed.Name): 2, p.db.Name(keyless.Name): 2},
		Missing: map[ecluse.TableName]int64{p.db.Name(keyed.Name): 2, p.db.Name(keyless.Name): 2},
		Left: []writer.Left{
			{Row: 1, Source: 1, Why: writer.Changed},
			{Row: 2, Source: 2, Why: writer.Changed},
			{Row: 6, Source: 6, Why: writer.Changed},
			{Row: 7, Source: 7, Why: writer.Changed},
		},
	})
	wantContent(t, "analysis", p.content(t, keyed), texts(t, keyed, append(
		numbers(900, 2), []any{int64(2), "code 2", nil}, []any{int64(3), "CODE 3", "note 3"}, []any{int64(40), "code 4", "note 4"}, []any{int64(7), "code 7", ""}, []any{int64(8), "code 8", nil},
	)))
	wantContent(t, "event", p.content(t, keyless), texts(t, keyless, [][]any{{"once", int64(3)}, {"theirs", nil}}))
	empty := &writer.Chunk{Slot: slot(1), Rows: 1, Rejected: []int32{0}, Tables: []writer.Rows{p.rows(t, keyed, nil, nil)}}
	load(t, s, empty)
	wantUnloaded(t, unload(t, s, empty), writer.Unloaded{})
	if n := p.db.Markers(t); n != 0 {
		t.Errorf("%d markers are left", n)
	}
	// What is loaded again meets what stayed.
	l, err := s.Load(t.Context(), chunk, func(context.Context, []writer.Refusal) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	checkRefusals(t, l.Refused, 1, 2, 3, 6, 7)
}

// testLeaveKinds changes a value of every type, and only that.
func testLeaveKinds(t *testing.T, h Harness) {
	table, values := kinds(h)
	p := newPlace(t, h, table).allow(t, table)
	s := p.begin(t)
	for c, column := range table.Columns[1:] {
		changed := -1
		for row := range values {
			if values[row][c+1] != nil {
				changed = row
			}
		}
		chunk := &writer.Chunk{Slot: slot(c), Rows: len(values), Tables: []writer.Rows{p.rows(t, table, values, nil)}}
		load(t, s, chunk)
		p.db.Exec(t, fmt.Sprintf("UPDATE kinds SET %s = NULL WHERE id = %d", column.Name, changed))
		u := unload(t, s, chunk)
		want := []writer.Left{{Row: changed, Source: int32(changed), Why: writer.Changed}}
		if diff := cmp.Diff(want, u.Left); diff != "" || len(u.Missing) > 0 {
			t.Errorf("column %s, missing %v (-want +got):\n%s", column.Name, u.Missing, diff)
		}
		p.db.Exec(t, "DELETE FROM kinds")
	}
}

func testLeaveReferred(t *testing.T, h Harness) {
	p := newPlace(t, h, patient, request).allow(t, patient, request)
	s := p.begin(t)
	first := &writer.Chunk{Slot: slot(0), Rows: 7, Tables: []writer.Rows{
		// 3 comes before its mother 4, 6 is its own.
		p.rows(t, patient, [][]any{row(1, nil), row(2, 1), row(3, 4), row(4, nil), row(5, nil), row(6, 6), row(7, nil)}, nil),
		p.rows(t, request, [][]any{row(1, 3), row(2, 5)}, []int32{2, 4}),
	}}
	second := &writer.Chunk{Slot: slot(1), Rows: 2, Tables: []writer.Rows{p.rows(t, request, [][]any{row(11, 5), row(12, 7)}, nil)}}
	load(t, s, first)
	load(t, s, second)
	p.db.Insert(t, request, [][]any{row(900, 2)})                      // a person's, which refers to what was loaded
	p.db.Exec(t, "UPDATE request SET patient_id = NULL WHERE id = 12") // no longer refers
	p.db.Exec(t, "UPDATE request SET patient_id = 6 WHERE id = 11")
	wantUnloaded(t, unload(t, s, second), writer.Unloaded{
		Deleted: map[ecluse.TableName]int64{p.db.Name(request.Name): 0},
		Left:    []writer.Left{{Row: 0, Source: 0, Why: writer.Changed}, {Row: 1, Source: 1, Why: writer.Changed}},
	})
	wantUnloaded(t, unload(t, s, first), writer.Unloaded{
		Deleted: map[ecluse.TableName]int64{p.db.Name(request.Name): 2, p.db.Name(patient.Name): 4},
		Left: []writer.Left{
			{Row: 0, Source: 0, Why: writer.Referred}, // its daughter stays
			{Row: 1, Source: 1, Why: writer.Referred},
			{Row: 5, Source: 5, Why: writer.Referred}, // by one that was left before
		},
	})
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(1, nil), row(2, 1), row(6, 6)}))
	wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(900, 2), row(11, 6), row(12, nil)}))
}

// testLeaveCascades: what would take rows of others along stays.
func testLeaveCascades(t *testing.T, h Harness) {
	for _, action := range []string{"CASCADE", "SET NULL", "RESTRICT", "NO ACTION"} {
		t.Run(action, func(t *testing.T) {
			p := newPlace(t, h, patient, request)
			p.db.Exec(t, "CREATE TABLE theirs (id INT PRIMARY KEY, patient_id BIGINT REFERENCES patient ON DELETE "+action+")")
			p.db.Target(t).Close() // gives the account its rights
			p.allow(t, patient, request)
			s := p.begin(t)
			chunk := &writer.Chunk{Slot: slot(0), Rows: 3, Tables: []writer.Rows{
				p.rows(t, patient, [][]any{row(1, nil), row(2, 1), row(3, nil)}, nil), p.rows(t, request, [][]any{row(1, 2)}, nil),
			}}
			load(t, s, chunk)
			p.db.Exec(t, "INSERT INTO theirs VALUES (1, 2)")
			wantUnloaded(t, unload(t, s, chunk), writer.Unloaded{
				Deleted: map[ecluse.TableName]int64{p.db.Name(request.Name): 1, p.db.Name(patient.Name): 1},
				Left:    []writer.Left{{Row: 0, Source: 0, Why: writer.Referred}, {Row: 1, Source: 1, Why: writer.Referred}},
			})
			wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(1, nil), row(2, 1)}))
			theirs := readertest.Table{Name: "theirs", Columns: []readertest.Column{{Name: "patient_id", Type: readertest.Int}}}
			wantContent(t, "theirs", p.content(t, theirs), []string{"2"})
		})
	}
}

// testLeaveByKey: of a table whose rows go by their keys what was changed goes, but not what
// others refer to; of another it stays.
func testLeaveByKey(t *testing.T, h Harness) {
	p := newPlace(t, h, patient, request).allow(t, patient, request)
	s := p.begin(t)
	chunk := &writer.Chunk{Slot: slot(0), Rows: 5, Tables: []writer.Rows{
		p.rows(t, patient, [][]any{row(1, nil), row(2, nil), row(3, nil), row(4, nil), row(5, nil)}, nil),
		p.rows(t, request, [][]any{row(1, 2), row(2, 3)}, []int32{1, 2}),
	}}
	load(t, s, chunk)
	p.db.Exec(t, "UPDATE patient SET mother_id = 5 WHERE id IN (1, 4)")
	p.db.Exec(t, "UPDATE request SET patient_id = NULL WHERE id = 1; UPDATE request SET patient_id = 2 WHERE id = 2")
	p.db.Insert(t, request, [][]any{row(900, 4)})
	how := writer.Unloading{Leave: true, ByKey: []ecluse.TableName{p.db.Name(patient.Name)}}
	u, err := s.Unload(t.Context(), chunk, how)
	if err != nil {
		t.Fatal(err)
	}
	wantUnloaded(t, u, writer.Unloaded{
		Deleted: map[ecluse.TableName]int64{p.db.Name(request.Name): 0, p.db.Name(patient.Name): 2},
		Left: []writer.Left{
			{Row: 1, Source: 1, Why: writer.Referred},
			{Row: 3, Source: 3, Why: writer.Referred},
			{Row: 4, Source: 4, Why: writer.Referred},
			{Table: 1, Row: 0, Source: 1, Why: writer.Changed},
			{Table: 1, Row: 1, Source: 2, Why: writer.Changed},
		},
	})
	wantContent(t, "patient", p.content(t, patient), texts(t, patient, [][]any{row(2, nil), row(4, 5), row(5, nil)}))
	wantContent(t, "request", p.content(t, request), texts(t, request, [][]any{row(900, 4), row(1, nil), row(2, 2)}))
}

// testLeaveMany: some rows of many stay.
func testLeaveMany(t *testing.T, h Harness) {
	const rows = 5000
	p := newPlace(t, h, patient, request).allow(t, patient)
	s := p.begin(t)
	var all [][]any
	for id := range int64(rows) {
		all = append(all, row(id, nil))
	}
	chunk := &writer.Chunk{Slot: slot(0), Rows: rows, Tables: []writer.Rows{p.rows(t, patient, all, nil)}}
	load(t, s, chunk)
	var want []writer.Left
	for id := 13; id < rows; id += 313 {
		p.db.Insert(t, request, [][]any{row(int64(id), id)})
		want = append(want, writer.Left{Row: id, Source: int32(id), Why: writer.Referred})
	}
	wantUnloaded(t, unload(t, s, chunk), writer.Unloaded{Deleted: map[ecluse.TableName]int64{p.db.Name(patient.Name): int64(rows - len(want))}, Left: want})
}

// testLeaveHook: what stays is told before anything is for good, and told again,
// the same, when it was not.
func testLeaveHook(t *testing.T, h Harness) {
	p := newPlace(t, h, keyed).allow(t, keyed)
	s := p.begin(t)
	chunk := &writer.Chunk{Slot: slot(0), Rows: 3, Tables: []writer.Rows{p.rows(t, keyed, numbers(1, 3), nil)}}
	load(t, s, chunk)
	p.db.Exec(t, "UPDATE analysis SET note = 'ours now' WHERE id = 2")
	before := p.content(t, keyed)
	stop := errors.New("it could not be noted")
	var told []writer.Left
	_, err := s.Unload(t.Context(), chunk, writer.Unloading{Leave: true, BeforeCommit: func(_ context.Context, u *writer.Unloaded) error {
		told = u.Left
		return stop
	}})
	if !errors.Is(err, stop) {
		t.Errorf("got %v, want the caller's own error", err)
	}
	wantContent(t, "analysis", p.content(t, keyed), before)
	if n := p.db.Markers(t); n != 1 {
		t.Errorf("%d markers, want the chunk's", n)
	}
	calls := 0
	u, err := s.Unload(t.Context(), chunk, writer.Unloading{Leave: true, BeforeCommit: func(_ context.Context, u *writer.Unloaded) error {
		calls++
		if diff := cmp.Diff(told, u.Left); diff != "" {
			t.Errorf("told otherwise the second time (-first +second):\n%s", diff)
		}
		return nil
	}})
	if err != nil || calls != 1 || len(u.Left) != 1 || u.Left[0].Row != 1 {
		t.Errorf("%d calls, %v, %v", calls, u, err)
	}
	wantContent(t, "analysis", p.content(t, keyed), []string{"2|code 2|ours now"})
}

// unloadingVariable gives a child process the address of the database to take
// chunks out of.
const unloadingVariable = "ECLUSE_WRITERTEST_UNLOADING"

const unloadingChunks = 3

// testLeaveKill kills a process between telling what stays and the commit: then
// the chunk is in whole, and so is everything that people did to it.
func testLeaveKill(t *testing.T, h Harness) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	p := newPlace(t, h, keyed, keyless)
	name, _, _ := strings.Cut(t.Name(), "/")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+name+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), unloadingVariable+"="+p.db.Address())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "stays "); ok {
			if told = append(told, line); len(told) == 2 {
				cmd.Process.Kill()
			}
		}
	}
	cmd.Wait()
	if diff := cmp.Diff([]string{"2: 1", "1: 1"}, told); diff != "" {
		t.Fatalf("chunks and how many rows stay (-want +got):\n%s", diff)
	}
	if n := waitForLock(t, p.allow(t, keyed, keyless)); n != 2 {
		t.Errorf("%d chunks are in, want 2: one is out, one was under way", n)
	}
	if n := len(p.content(t, keyed)); n != 2*childRows+1 {
		t.Errorf("%d rows of analysis, want those of two chunks and the one that stays", n)
	}
	if n := len(p.content(t, keyless)); n != 2*childRows {
		t.Errorf("%d rows of event, want those of two chunks", n)
	}
}

// unloadingChild is the process that testLeaveKill kills.
func unloadingChild(t *testing.T, h Harness, address string) {
	p := &place{Harness: h, db: h.Attach(t, address)}
	p.target = p.db.Target(t)
	s := p.allow(t, keyed, keyless).begin(t)
	for n := range unloadingChunks {
		load(t, s, loadOf(t, p, n, childRows))
		p.db.Exec(t, fmt.Sprintf("UPDATE analysis SET note = 'ours now' WHERE id = %d", n*childRows))
	}
	for n := unloadingChunks - 1; n >= 0; n-- {
		_, err := s.Unload(t.Context(), loadOf(t, p, n, childRows), writer.Unloading{Leave: true, BeforeCommit: func(_ context.Context, u *writer.Unloaded) error {
			fmt.Printf("stays %d: %d\n", n, len(u.Left))
			if n == 1 {
				time.Sleep(time.Minute) // until it is killed
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}
