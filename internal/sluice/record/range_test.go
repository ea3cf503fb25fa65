package record

import (
	"testing"

	"pgregory.net/rapid"

	"ecluse"
)

// TestAppendRange: copying in runs is copying one by one.
func TestAppendRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]ecluse.DataKind{ecluse.Int, ecluse.Text}).Draw(t, "kind")
		src := NewColumn(ecluse.Type{Kind: kind}, 0)
		n := rapid.IntRange(0, 100).Draw(t, "rows")
		for range n {
			v := rapid.IntRange(0, 20).Draw(t, "value")
			switch {
			case v < 5:
				src.AppendNull()
			case kind == ecluse.Int:
				src.AppendInt(int64(v))
			default:
				src.AppendString(string(make([]byte, v)))
			}
		}
		ranges, single := NewColumn(src.Type(), 0), NewColumn(src.Type(), 0)
		for range rapid.IntRange(1, 4).Draw(t, "runs") {
			from := rapid.IntRange(0, n).Draw(t, "from")
			to := rapid.IntRange(from, n).Draw(t, "to")
			ranges.AppendRange(src, from, to)
			longest, filled := 0, 0
			for i := from; i < to; i++ {
				single.AppendFrom(src, i)
				if kind == ecluse.Text {
					longest = max(longest, len(src.Bytes(i)))
					filled += min(1, len(src.Bytes(i)))
				}
			}
			if kind != ecluse.Text {
				continue
			}
			if n, m := src.Lengths(from, to); n != longest || m != filled {
				t.Fatalf("of rows %d to %d the longest has %d bytes, not %d, and %d have any, not %d", from, to, longest, n, filled, m)
			}
		}
		if ranges.Len() != single.Len() || ranges.Nulls() != single.Nulls() {
			t.Fatalf("%d rows and %d nulls, want %d and %d", ranges.Len(), ranges.Nulls(), single.Len(), single.Nulls())
		}
		for i := range single.Len() {
			if ranges.Null(i) != single.Null(i) {
				t.Fatalf("row %d: null differs", i)
			}
			if kind == ecluse.Int && ranges.Int(i) != single.Int(i) || kind == ecluse.Text && len(ranges.Bytes(i)) != len(single.Bytes(i)) {
				t.Fatalf("row %d differs", i)
			}
		}
	})
}
