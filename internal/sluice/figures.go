package sluice

import (
	"math/big"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
)

// figures counts rejected rows the way each cross-check counts, so that what was
// put aside is explained rather than missed. It reads the source's own columns
// and knows nothing of the mapping's results.
type figures struct {
	checks map[ecluse.DatasetID][]mandate.ReadCheck
	lines  map[string]reconcile.Figures
}

func newFigures(p *mandate.ReadPlan) *figures {
	f := &figures{checks: map[ecluse.DatasetID][]mandate.ReadCheck{}, lines: map[string]reconcile.Figures{}}
	for _, c := range p.Checks {
		f.checks[c.Dataset] = append(f.checks[c.Dataset], c)
		f.lines[c.Name] = reconcile.Figures{}
	}
	return f
}

// add counts the rows of a batch put aside.
func (f *figures) add(id ecluse.DatasetID, b *record.Batch) {
	for _, c := range f.checks[id] {
		for r := range b.Rows() {
			one := &reconcile.Figure{First: plain(b, c.First, r), Last: plain(b, c.Last, r)}
			if c.Count {
				n := int64(1)
				one.Count = &n
			}
			if sum := plain(b, c.Sum, r); sum != nil {
				if v, ok := new(big.Rat).SetString(*sum); ok {
					one.Sum = &reconcile.Amount{Exact: v}
				}
			}
			key := reconcile.Key{Null: true}
			if by := plain(b, c.By, r); by != nil {
				key = reconcile.Key{Text: *by}
			}
			f.lines[c.Name].Add(key, one)
		}
	}
}

// plain is a value as a check's figures write it; nil: null, or no such column.
func plain(b *record.Batch, column string, row int) *string {
	c := b.Column(column)
	if c == nil || c.Null(row) {
		return nil
	}
	s := string(record.AppendPlain(nil, c, row))
	return &s
}

// kept is a figure as a note holds it.
type kept struct {
	Key   string  `json:"key"`
	Null  bool    `json:"null,omitempty"`
	Count *int64  `json:"count,omitempty"`
	Sum   *string `json:"sum,omitempty"`
	First *string `json:"first,omitempty"`
	Last  *string `json:"last,omitempty"`
}

func (f *figures) keep() map[string][]kept {
	all := map[string][]kept{}
	for name, lines := range f.lines {
		for key, at := range lines {
			k := kept{Key: key.Text, Null: key.Null, Count: at.Count, First: at.First, Last: at.Last}
			if at.Sum != nil {
				n, _ := at.Sum.Exact.FloatPrec()
				s := at.Sum.Exact.FloatString(n)
				k.Sum = &s
			}
			all[name] = append(all[name], k)
		}
	}
	return all
}

func (f *figures) restore(all map[string][]kept) {
	for name, lines := range all {
		for _, k := range lines {
			at := &reconcile.Figure{Count: k.Count, First: k.First, Last: k.Last}
			if k.Sum != nil {
				if v, ok := new(big.Rat).SetString(*k.Sum); ok {
					at.Sum = &reconcile.Amount{Exact: v}
				}
			}
			f.lines[name].Add(reconcile.Key{Text: k.Key, Null: k.Null}, at)
		}
	}
}
