package app_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

// leaking is a source whose reader has a bug: it spools rows in clear into a
// temporary file.
type leaking struct{ reader.Source }

func (l leaking) Open(ctx context.Context, p mandate.ReadPermit) (reader.Session, error) {
	s, err := l.Source.Open(ctx, p)
	return leakingSession{s}, err
}

type leakingSession struct{ reader.Session }

func (l leakingSession) ReadChunk(ctx context.Context, d ecluse.DatasetID, after, until reader.Cursor, emit func(*record.Batch) error) (reader.Cursor, bool, error) {
	return l.Session.ReadChunk(ctx, d, after, until, func(b *record.Batch) error {
		f, err := os.CreateTemp("", "rows-*.tmp")
		if err != nil {
			return err
		}
		defer f.Close()
		for _, c := range b.Columns {
			if c.Type().Kind != ecluse.Text {
				continue
			}
			for i := range b.Rows() {
				if !c.Null(i) {
					if _, err := f.Write(c.Bytes(i)); err != nil {
						return err
					}
				}
			}
		}
		return emit(b)
	})
}

// TestCanariesCatch plants the bug that TestCanaries (package cli) looks for: rows
// spooled into a temporary file. The same search finds it, and nothing without it.
func TestCanariesCatch(t *testing.T) {
	for _, bug := range []bool{false, true} {
		d := roomtest.At(t, roomtest.Ready, 40)
		t.Setenv("TMPDIR", d.Path)
		c := d.Plant()
		r := d.Open()
		if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
			t.Fatal(err)
		}
		wrap := func(s reader.Source) reader.Source { return s }
		if bug {
			wrap = func(s reader.Source) reader.Source { return leaking{s} }
		}
		source, err := app.Source(d.Join("room", "source"), r.Lock(), wrap)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := source.Read(t.Context(), roomtest.Migration, 0, nil); err != nil {
			t.Fatal(err)
		}
		leaks := d.Leaks(c)
		if bug != (len(leaks) > 0) {
			t.Errorf("with the bug %v: found in %v", bug, leaks)
		}
		for _, l := range leaks {
			if !strings.HasPrefix(l, "rows-") {
				t.Errorf("found in %s", l)
			}
		}
	}
}
