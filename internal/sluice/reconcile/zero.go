package reconcile

import (
	"crypto/hmac"
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

// DigestRows is the HMAC-SHA-256 of a batch's rows, in their order, in the canonical
// encoding. It is keyed with what the gate alone has, which alone compares it: a table of
// codes is small, and whoever sees an unkeyed digest could find out what is in it by trying.
func DigestRows(key []byte, b *record.Batch) (ecluse.Digest, error) {
	h := hmac.New(sha256.New, key)
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
