package sluice

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/sluice/writer"
)

// heldStays keeps what stayed in memory.
type heldStays map[ecluse.Slot][]byte

func (h heldStays) Note(s ecluse.Slot) ([]byte, error)       { return h[s], nil }
func (h heldStays) SetNote(s ecluse.Slot, note []byte) error { h[s] = note; return nil }
func (h heldStays) Slots() ([]ecluse.Slot, error) {
	return slices.SortedFunc(maps.Keys(h), func(a, b ecluse.Slot) int { return a.Sequence - b.Sequence }), nil
}

// TestManyRowsLeft: however many rows an undoing leaves, all are counted, and the list of
// them is bounded by its rows and by its size.
func TestManyRowsLeft(t *testing.T) {
	table := ecluse.TableName{Name: "patient"}
	for name, x := range map[string]struct {
		key  int // bytes of it
		most int
	}{"rows": {8, mostListed}, "bytes": {1 << 14, mostListedBytes>>14 + 1}} {
		t.Run(name, func(t *testing.T) {
			o := &loader{Loading: Loading{Stays: heldStays{}}, key: &seal.Key{1}}
			for chunk := range 3 {
				slot := ecluse.Slot{Dataset: "patient", Sequence: chunk}
				n := &stays{}
				for row := range 4000 {
					n.Left = append(n.Left, LeftRow{Table: table, Why: writer.Changed, Slot: slot, Row: int32(row), Key: []KeyValue{{"id", strings.Repeat("x", x.key)}}})
				}
				if err := o.noteStays(slot, n); err != nil {
					t.Fatal(err)
				}
			}
			u := &Undone{}
			if err := o.gatherStays(u); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]reconcile.Grouped{{Dataset: "patient", By: "patient: changed", Count: 12_000}}, u.Stay); diff != "" {
				t.Errorf("counted (-want +got):\n%s", diff)
			}
			if n := len(u.Left); n > x.most || n < x.most/2 {
				t.Errorf("%d are listed, want some %d", n, x.most)
			}
		})
	}
}
