package sluice

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
	"ecluse/internal/sluice/bucket"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// sums keeps a source gate's sums in memory.
type sums map[int]map[ecluse.DatasetID][]byte

func (s sums) Sums(reading int, d ecluse.DatasetID) ([]byte, error) { return s[reading][d], nil }

func (s sums) SetSums(reading int, d ecluse.DatasetID, text []byte) error {
	if s[reading] == nil {
		s[reading] = map[ecluse.DatasetID][]byte{}
	}
	s[reading][d] = text
	return nil
}

// readAgain is a reading of a slow source's first rows, and another of more of them.
func readAgain(t *testing.T, limits string, first, then int, load func(second bool) int) (*Extracted, *shelf, error) {
	t.Helper()
	w := mandatetest.New(t)
	body := slowBody + "passages: {dry: 5, rehearsal: 2, final: 1, catch_up: 2}\n" + limits
	again := false
	s := &slowSource{ReadPermit: w.ReadPermit(t, slowCatalogue(), mandatetest.Dialect(ecluse.PostgreSQL), body), chunks: first, each: time.Second}
	s.load = func() int { return load(again) }
	to := &shelf{marks: map[int]reader.Cursor{}}
	x := extraction(w, s, to)
	x.Buckets = sums{}
	out, err := Extract(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if x.Closed, err = evidence.ParseManifest(out.Manifest, x.Gate); err != nil {
		t.Fatal(err)
	}
	again, to.closed = true, false
	s.chunks, x.Epoch, x.Reading = then, 2, 1
	to.marks = map[int]reader.Cursor{}
	out, err = Extract(t.Context(), x)
	return out, to, err
}

// TestCatchUpWithinLimits: a later reading may read as many rows as the first, and those that
// it reads twice count once; it seals what changed.
func TestCatchUpWithinLimits(t *testing.T) {
	for limit, refused := range map[string]bool{"limits: {rows: 7, bytes: 1TB}\n": false, "limits: {rows: 6, bytes: 1TB}\n": true} {
		synctest.Test(t, func(t *testing.T) {
			out, to, err := readAgain(t, limit, 4, 7, func(bool) int { return 0 })
			if refused {
				if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "more than the 6 rows") || to.closed {
					t.Errorf("seven rows where six are allowed: %v, closed %t", err, to.closed)
				}
				return
			}
			if err != nil || !to.closed || out.Changed["patient"] == 0 {
				t.Errorf("%+v, %v, closed %t", out, err, to.closed)
			}
		})
	}
}

// TestCatchUpPausesUnderLoad: a later reading stands still while others are at work, as the
// first does, and says so.
func TestCatchUpPausesUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun time.Time
		busy := func(second bool) int {
			if !second {
				return 0
			}
			if begun.IsZero() {
				begun = time.Now()
			}
			if at := time.Since(begun); at >= time.Second && at < 3*time.Second {
				return 2
			}
			return 0
		}
		out, _, err := readAgain(t, "limits: {rows: 1000, bytes: 1TB, load_pause: 2}\n", 4, 7, busy)
		if err != nil {
			t.Fatal(err)
		}
		if out.Pauses != 1 || out.Paused < 2500*time.Millisecond {
			t.Errorf("beside two sessions for two seconds: %d pauses, %s", out.Pauses, out.Paused)
		}
	})
}

// TestDistinctValuesNumberOn: what a later reading seals of distinct values is numbered above
// all that was sealed before, and a value is the same whatever its number.
func TestDistinctValuesNumberOn(t *testing.T) {
	text := ecluse.Type{Kind: ecluse.Text}
	d := &mandate.ReadDataset{Dataset: "doctor", Distinct: true, Columns: []mandate.ReadColumn{{Name: "name", Type: text}, {Name: "ordinal", Type: ecluse.Type{Kind: ecluse.Int}}}}
	e := &extractor{Extraction: Extraction{Closed: &evidence.Manifest{Datasets: []evidence.ManifestDataset{
		{Dataset: "doctor", Rows: 5},
		{Dataset: "patient", Rows: 90},
		{Dataset: ecluse.DatasetID("doctor").Changed(1), Rows: 2},
		{Dataset: ecluse.DatasetID("doctor").Buckets(1), Rows: 40},
	}}}}
	if n := e.sealedBefore("doctor"); n != 7 {
		t.Errorf("%d rows were sealed before, want 7", n)
	}
	key := &seal.Key{1}
	p := placesOf(key, d)
	b := record.NewBatch(SchemaOf(d), 3)
	for i, name := range []string{"Aubry", "Aubry", "Brel"} {
		b.Columns[0].AppendString(name)
		b.Columns[1].AppendInt(int64(i))
	}
	var seen []uint64
	if err := p.Each(b, func(_ int, r bucket.Row) { seen = append(seen, r.Digest[0]) }); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 3 || seen[0] != seen[1] || seen[0] == seen[2] {
		t.Errorf("digests %x of one value with two ordinals, and of another", seen)
	}
}
