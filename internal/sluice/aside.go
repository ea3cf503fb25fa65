package sluice

import (
	"bytes"
	"context"
	"fmt"
	"math/big"
	"strconv"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/sluice/writer"
)

// Names of the two fields a rejected row has beside its own.
const (
	rejectRow    = "ecluse.row"    // its place in the chunk, from 1
	rejectReason = "ecluse.reason" // why, without any value
)

// aside is the source rows of a chunk that are put aside, with the reasons. They
// are sealed to the source gate: a person reads them on the laboratory's own
// machine.
type aside struct {
	fields int
	batch  *record.Batch
	seen   int   // of the run's list
	base   int32 // source rows before the batch under way
}

func newAside(p *mandate.ReadPlan, id ecluse.DatasetID) *aside {
	a := &aside{}
	for i := range p.Datasets {
		if p.Datasets[i].Dataset != id {
			continue
		}
		s := SchemaOf(&p.Datasets[i])
		a.fields = len(s.Fields)
		s.Fields = append(s.Fields,
			record.Field{Name: rejectRow, Type: ecluse.Type{Kind: ecluse.Int}},
			record.Field{Name: rejectReason, Type: ecluse.Type{Kind: ecluse.Text}})
		a.batch = record.NewBatch(s, 0)
	}
	return a
}

// take copies the rows of a batch that the mapping has just put aside.
func (a *aside) take(b *record.Batch, all []mapping.PutAside) {
	for ; a.seen < len(all); a.seen++ {
		a.add(b, all[a.seen].Row, all[a.seen].Reason)
	}
	a.base += int32(b.Rows())
}

func (a *aside) add(b *record.Batch, row int32, reason string) {
	for i := range a.fields {
		a.batch.Columns[i].AppendFrom(b.Columns[i], int(row-a.base))
	}
	a.batch.Columns[a.fields].AppendInt(int64(row) + 1)
	a.batch.Columns[a.fields+1].AppendString(reason)
}

// refused copies, from the chunk opened once more, the rows that the database
// did not take.
func (o *loader) refused(ctx context.Context, m *mapped, all []writer.Refusal) error {
	if len(all) == 0 {
		return nil
	}
	slot := m.descriptor.Slot
	base, next := int32(0), 0
	d, err := o.open(ctx, slot.Dataset, slot.Sequence, func(b *record.Batch) error {
		m.aside.base = base
		for next < len(all) && all[next].Row < base+int32(b.Rows()) {
			m.aside.add(b, all[next].Row, all[next].Reason)
			next++
		}
		base += int32(b.Rows())
		return nil
	})
	if err == nil && *d != *m.descriptor {
		err = &ecluse.Error{Kind: ecluse.Differs, What: "put rows aside", Where: "chunk " + slot.String(), Why: "another version of the chunk came meanwhile", Next: "ecluse undo, then ecluse apply"}
	}
	return err
}

// RejectsOf names the rows of a dataset that a passage put aside.
func RejectsOf(p ecluse.Passage, d ecluse.DatasetID) ecluse.DatasetID {
	return ecluse.DatasetID("ecluse.rejects." + p.String() + "." + string(d))
}

// putAside seals the rows put aside and hands them over, before the chunk's
// transaction commits: a row is in the target or aside, never nowhere.
func (o *loader) putAside(ctx context.Context, m *mapped) error {
	b := m.aside.batch
	if b == nil || b.Rows() == 0 {
		return nil
	}
	h := seal.Header{
		Migration: o.plan.Migration, Plan: o.Permit.Digest(), Epoch: o.Permit.Passage().Number,
		Slot: m.descriptor.Slot,
	}
	h.Slot.Dataset = RejectsOf(o.Permit.Passage(), h.Slot.Dataset)
	var body bytes.Buffer
	w := o.pool.NewWriter(&body, h, o.Rejects, o.key, b.Schema)
	if err := w.Write(b); err != nil {
		return err
	}
	made, err := w.Close(int64(b.Rows()), m.descriptor.Last)
	if err != nil {
		return err
	}
	signed, err := evidence.SignDescriptor(o.Signer, &evidence.Descriptor{
		Migration: h.Migration, Plan: h.Plan, Epoch: h.Epoch, Slot: h.Slot,
		Rows: made.Rows, Last: m.descriptor.Last, Size: made.Size, SHA256: made.SHA256, Sum: made.Sum,
	})
	if err != nil {
		return err
	}
	return o.Inlet.PutAside(ctx, signed, &body)
}

// figures counts rejected rows the way each cross-check counts, so that what was
// put aside is explained rather than missed. It reads the source's own columns
// and knows nothing of the mapping's results.
type figures struct {
	checks map[ecluse.DatasetID][]mandate.ReadCheck
	lines  map[string]map[string]*figure
}

// figure is one key of one check. key null is "\x00".
type figure struct {
	count int64
	sum   *big.Rat
}

const nullKey = "\x00"

func newFigures(p *mandate.ReadPlan) *figures {
	f := &figures{checks: map[ecluse.DatasetID][]mandate.ReadCheck{}, lines: map[string]map[string]*figure{}}
	for _, c := range p.Checks {
		f.checks[c.Dataset] = append(f.checks[c.Dataset], c)
	}
	return f
}

// add counts the rows of a batch put aside.
func (f *figures) add(id ecluse.DatasetID, b *record.Batch) {
	for _, c := range f.checks[id] {
		if f.lines[c.Name] == nil {
			f.lines[c.Name] = map[string]*figure{}
		}
		by, sum := b.Column(c.By), b.Column(c.Sum)
		for r := range b.Rows() {
			key := nullKey
			if by != nil && !by.Null(r) {
				key = text(by, r)
			}
			at := f.lines[c.Name][key]
			if at == nil {
				at = &figure{sum: new(big.Rat)}
				f.lines[c.Name][key] = at
			}
			at.count++
			if sum != nil && !sum.Null(r) {
				if v, ok := new(big.Rat).SetString(text(sum, r)); ok {
					at.sum.Add(at.sum, v)
				}
			}
		}
	}
}

// negative is the figures as a batch to be added to the source's: each count and
// sum below zero.
func (f *figures) negative(p *mandate.ReadPlan) *record.Batch {
	b := record.NewBatch(checksSchema(), 0)
	for _, c := range p.Checks {
		for key, at := range f.lines[c.Name] {
			b.Columns[0].AppendString(c.Name)
			if key == nullKey {
				b.Columns[1].AppendNull()
			} else {
				b.Columns[1].AppendString(key)
			}
			if c.Count {
				b.Columns[2].AppendInt(-at.count)
			} else {
				b.Columns[2].AppendNull()
			}
			if c.Sum != "" {
				b.Columns[3].AppendString(exact(new(big.Rat).Neg(at.sum)))
			} else {
				b.Columns[3].AppendNull()
			}
			b.Columns[4].AppendNull()
			b.Columns[5].AppendNull()
		}
	}
	return b
}

// exact writes a sum of decimals without loss.
func exact(r *big.Rat) string {
	n, _ := r.FloatPrec()
	return r.FloatString(n)
}

// text is a value as its database writes it in a check's key or sum. Kinds whose
// text a database may write in several ways give their plain form, and a
// difference if that was wrong.
func text(c *record.Column, i int) string {
	switch t := c.Type(); t.Kind {
	case ecluse.Text, ecluse.Number, ecluse.Bytes:
		return string(c.Bytes(i))
	case ecluse.Decimal:
		return exactDecimal(c.Int(i), t.Scale)
	case ecluse.Float:
		return strconv.FormatFloat(c.Float(i), 'g', -1, 64)
	default:
		return strconv.FormatInt(c.Int(i), 10)
	}
}

func exactDecimal(v int64, scale int) string {
	sign := ""
	if v < 0 {
		sign, v = "-", -v
	}
	if scale == 0 {
		return sign + strconv.FormatInt(v, 10)
	}
	s := fmt.Sprintf("%0*d", scale+1, v)
	return sign + s[:len(s)-scale] + "." + s[len(s)-scale:]
}

// kept is a figure as a note holds it.
type kept struct {
	Count int64  `json:"count"`
	Sum   string `json:"sum"`
}

func (f *figures) keep() map[string]map[string]kept {
	all := map[string]map[string]kept{}
	for name, lines := range f.lines {
		all[name] = map[string]kept{}
		for key, at := range lines {
			all[name][key] = kept{at.count, exact(at.sum)}
		}
	}
	return all
}

func (f *figures) restore(all map[string]map[string]kept) {
	for name, lines := range all {
		if f.lines[name] == nil {
			f.lines[name] = map[string]*figure{}
		}
		for key, k := range lines {
			at := f.lines[name][key]
			if at == nil {
				at = &figure{sum: new(big.Rat)}
				f.lines[name][key] = at
			}
			at.count += k.Count
			if v, ok := new(big.Rat).SetString(k.Sum); ok {
				at.sum.Add(at.sum, v)
			}
		}
	}
}
