package bucket

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/record"
)

func schema() *record.Schema {
	return &record.Schema{Fields: []record.Field{
		{Name: "id", Type: ecluse.Type{Kind: ecluse.Int}}, {Name: "name", Type: ecluse.Type{Kind: ecluse.Text}},
	}}
}

type person struct {
	id   int64
	name string
}

func batchOf(people []person) *record.Batch {
	b := record.NewBatch(schema(), len(people))
	for _, p := range people {
		b.Columns[0].AppendInt(p.id)
		b.Columns[1].AppendString(p.name)
	}
	return b
}

func sumsOf(t *testing.T, p *Places, people []person) *Sums {
	t.Helper()
	s := p.NewSums()
	if err := p.Each(batchOf(people), func(_ int, r Row) { s.Add(r) }); err != nil {
		t.Fatal(err)
	}
	back, err := ParseSums(s.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// Whatever the key, exactly the changed rows' buckets differ, wherever the rows stand.
func TestDiffer(t *testing.T) {
	for name, key := range map[string][]string{"number": {"id"}, "digest": {"name"}, "whole row": nil, "two columns": {"name", "id"}, "a column that does not travel": {"other"}} {
		p := NewPlaces("patient", schema(), key, [32]byte{1})
		random := rand.New(rand.NewPCG(1, uint64(len(name))))
		var before []person
		for range 5000 {
			before = append(before, person{random.Int64() - math.MaxInt64/2, string(rune('a' + random.IntN(26)))})
		}
		after := append([]person{}, before...)
		random.Shuffle(len(after), func(i, j int) { after[i], after[j] = after[j], after[i] })
		if set := Differ(sumsOf(t, p, before), sumsOf(t, p, after)); set.Len() != 0 {
			t.Errorf("%s: %d buckets differ of the same rows in another order", name, set.Len())
		}
		changed := []person{after[0], after[1], {7, "new"}}
		after[1].name = "other"
		changed = append(changed, after[1])
		after = append(after[1:], person{7, "new"}) // one gone, one changed, one new
		set := Differ(sumsOf(t, p, before), sumsOf(t, p, after))
		if err := p.Each(batchOf(changed), func(i int, r Row) {
			if !set.Has(r.Place) {
				t.Errorf("%s: what became of row %d is not seen", name, i)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if set.Len() > len(changed) {
			t.Errorf("%s: %d buckets differ for %d rows", name, set.Len(), len(changed))
		}
	}
}

// More rows than buckets: memory stays, and two readings of different sizes compare.
func TestJoin(t *testing.T) {
	p := NewPlaces("result", schema(), []string{"id"}, [32]byte{2})
	before, after := p.NewSums(), p.NewSums()
	for id := range int64(3 * Most) {
		r := Row{placeOf(id << numberShift), [2]uint64{uint64(id) * 0x9e3779b97f4a7c15, uint64(id)}}
		before.Add(r)
		if id%100_000 != 5 {
			after.Add(r)
		}
	}
	after.Add(Row{placeOf(-4), [2]uint64{1, 2}})
	if len(before.all) > Most || before.shift != numberShift+2 {
		t.Errorf("%d buckets of %d bits", len(before.all), before.shift)
	}
	set := Differ(before, after)
	if set.Len() != 8+1 {
		t.Errorf("%d buckets differ", set.Len())
	}
	ranges := set.Ranges()
	if len(ranges) != 9 || ranges[0] != (reader.Range{From: -256, To: -1}) || ranges[1] != (reader.Range{From: 256, To: 511}) || !p.Numbered() {
		t.Errorf("%v", ranges)
	}
}

func TestRangesJoinNeighbours(t *testing.T) {
	s := &Set{Shift: 3, in: map[uint64]bool{}}
	for _, n := range []int64{0, 8, 24, math.MaxInt64, math.MinInt64} {
		s.in[placeOf(n)>>3] = true
	}
	want := []reader.Range{{From: math.MinInt64, To: math.MinInt64 + 7}, {From: 0, To: 15}, {From: 24, To: 31}, {From: math.MaxInt64 - 7, To: math.MaxInt64}}
	got := s.Ranges()
	if len(got) != len(want) {
		t.Fatalf("%v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, not %v", got[i], want[i])
		}
	}
}

func TestSetTravels(t *testing.T) {
	s := &Set{Shift: 9, in: map[uint64]bool{}}
	for i := range uint64(100) {
		s.in[i*i<<40] = true
	}
	var back Set
	if err := s.Emit(7, func(b *record.Batch) error { return back.Take(b) }); err != nil {
		t.Fatal(err)
	}
	if back.Len() != s.Len() || back.Shift != s.Shift {
		t.Errorf("%d of %d buckets came", back.Len(), s.Len())
	}
	other := &Set{Shift: 8, in: map[uint64]bool{3: true}}
	if err := other.Emit(7, back.Take); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("buckets of two sizes: %v", err)
	}
}

func FuzzParseSums(f *testing.F) {
	s := newSums(digestShift)
	for i := range uint64(20) {
		s.Add(Row{i << 50, [2]uint64{i, i}})
	}
	f.Add(s.Bytes())
	f.Add([]byte(sumsFormat))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSums(b)
		if err != nil {
			return
		}
		again, err := ParseSums(s.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), s.Bytes()) {
			t.Errorf("sums that were read are not written the same: %v", err)
		}
	})
}
