package sluice

import (
	"slices"
	"testing"

	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/record"
)

// What is left without some source rows: first, last, several rows of one, one that made none.
func TestWithout(t *testing.T) {
	b := record.NewBatch(rowSchema(t), 0)
	source := []int32{0, 0, 1, 3, 3, 4, 7}
	for i := range source {
		b.Columns[0].AppendInt(int64(i))
		b.Columns[1].AppendNull()
		b.Columns[2].AppendString("v")
	}
	for _, c := range []struct {
		refused []int32
		want    []int64
	}{
		{nil, []int64{0, 1, 2, 3, 4, 5, 6}},
		{[]int32{0}, []int64{2, 3, 4, 5, 6}},
		{[]int32{2, 3, 7}, []int64{0, 1, 2, 5}},
		{[]int32{0, 1, 3, 4, 7, 9}, nil},
	} {
		got := without(mapping.Rows{Batch: b, Source: source}, c.refused)
		if !slices.Equal(got.Batch.Columns[0].Ints(), c.want) || len(got.Source) != len(c.want) {
			t.Errorf("without %v: rows %v", c.refused, got.Batch.Columns[0].Ints())
		}
		for i, n := range c.want {
			if got.Source[i] != source[n] {
				t.Errorf("without %v: row %d is said to come from %d", c.refused, n, got.Source[i])
			}
		}
	}
}
