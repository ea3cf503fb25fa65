package reconcile

import (
	"crypto/sha256"
	"fmt"

	"ecluse"
	"ecluse/internal/sluice/record"
)

// DropZero takes out the lines of a grouped check that count nothing any more:
// all the rows of their key were put aside.
func (f Figures) DropZero() {
	for k, x := range f {
		if x.Count != nil && *x.Count == 0 && (x.Sum == nil || x.Sum.Exact != nil && x.Sum.Exact.Sign() == 0) {
			delete(f, k)
		}
	}
}

// DigestRows is the SHA-256 of a batch's rows, in their order, in the canonical
// encoding. It is not keyed: it is for tables of codes, never of people.
func DigestRows(b *record.Batch) (ecluse.Digest, error) {
	h := sha256.New()
	var row []byte
	forms := make([]form, len(b.Columns))
	for n, c := range b.Columns {
		forms[n] = formOf(c, false)
	}
	for i := range b.Rows() {
		row = row[:0]
		for n := range forms {
			var ok bool
			if row, ok = forms[n].append(row, i); !ok {
				return ecluse.Digest{}, fmt.Errorf("row %d, %s: a column of numbers holds text that is no number", i+1, b.Schema.Fields[n].Name)
			}
		}
		h.Write(row)
	}
	return ecluse.Digest(h.Sum(nil)), nil
}
