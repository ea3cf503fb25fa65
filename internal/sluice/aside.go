package sluice

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/sluice/writer"
)

// Names of the fields a rejected row has beside its own.
const (
	RejectRow    = "ecluse.row"    // its place in the chunk, from 1
	RejectReason = "ecluse.reason" // why, without any value
	RejectBehind = "ecluse.behind" // places among its own of the columns behind the reason, from 0: "0 3"
)

// aside is the source rows of a chunk that are put aside, with the reasons. They
// are sealed to the source gate: a person reads them on the laboratory's own
// machine.
type aside struct {
	fields int
	batch  *record.Batch
	behind func(reason string) []string // columns
	places map[string]string            // of them, by reason
	seen   int                          // of the run's list
	base   int32                        // source rows before the batch under way
}

func newAside(p *mandate.ReadPlan, id ecluse.DatasetID, program *mapping.Program) *aside {
	a := &aside{behind: func(reason string) []string { return program.Behind(id, reason) }, places: map[string]string{}}
	for i := range p.Datasets {
		if p.Datasets[i].Dataset != id {
			continue
		}
		s := SchemaOf(&p.Datasets[i])
		a.fields = len(s.Fields)
		s.Fields = append(s.Fields,
			record.Field{Name: RejectRow, Type: ecluse.Type{Kind: ecluse.Int}},
			record.Field{Name: RejectReason, Type: ecluse.Type{Kind: ecluse.Text}},
			record.Field{Name: RejectBehind, Type: ecluse.Type{Kind: ecluse.Text}})
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
	a.batch.Columns[a.fields+2].AppendString(a.placesOf(reason))
}

// placesOf writes down which columns are behind a reason.
func (a *aside) placesOf(reason string) string {
	text, known := a.places[reason]
	if known {
		return text
	}
	var all []string
	for _, name := range a.behind(reason) {
		all = append(all, strconv.Itoa(a.batch.Schema.Index(name)))
	}
	text = strings.Join(all, " ")
	a.places[reason] = text
	return text
}

// BehindReject reads the names of the columns behind the reason of a rejected row, of a
// batch of them; one sealed before they were named has none.
func BehindReject(b *record.Batch, i int) map[string]bool {
	all := map[string]bool{}
	c := b.Column(RejectBehind)
	if c == nil || c.Type().Kind != ecluse.Text {
		return all
	}
	for _, place := range strings.Fields(string(c.Bytes(i))) {
		if n, err := strconv.Atoi(place); err == nil && n >= 0 && n < len(b.Schema.Fields) {
			all[b.Schema.Fields[n].Name] = true
		}
	}
	return all
}

// refused copies, from the chunk opened once more, the rows that the database
// did not take. Another version of it may have come meanwhile: it is replaced later.
func (o *loader) refused(ctx context.Context, m *mapped, all []writer.Refusal) error {
	if len(all) == 0 {
		return nil
	}
	slot := m.descriptor.Slot
	base, next := int32(0), 0
	return o.version(ctx, slot, func(b *record.Batch) error {
		m.aside.base = base
		for next < len(all) && all[next].Row < base+int32(b.Rows()) {
			m.aside.add(b, all[next].Row, all[next].Reason)
			next++
		}
		base += int32(b.Rows())
		return nil
	})
}

// shapes counts what the columns behind each row's reason look like.
func (a *aside) shapes(id ecluse.DatasetID) []reconcile.Shaped {
	var all reconcile.Shapes
	behind := map[string][]int{}
	for i := range a.batch.Rows() {
		why := string(a.batch.Columns[a.fields+1].Bytes(i))
		columns, known := behind[why]
		if !known {
			for _, name := range a.behind(why) {
				columns = append(columns, a.batch.Schema.Index(name))
			}
			behind[why] = columns
		}
		for _, n := range columns {
			all.Add(reconcile.Shaped{Dataset: id, By: why, Column: a.batch.Schema.Fields[n].Name, Shape: ShapeOf(a.batch.Columns[n], i), Count: 1})
		}
	}
	return all.List()
}

// ShapeOf is the shape of one value.
func ShapeOf(c *record.Column, i int) reconcile.Shape {
	switch {
	case c.Null(i):
		return reconcile.ShapeNull
	case c.Type().Kind == ecluse.Bytes:
		return reconcile.ShapeBytes
	case c.Type().Kind == ecluse.Bool: // its text would tell which
		return reconcile.ShapeBool
	}
	return reconcile.ShapeOf(c.Show(i))
}

// RejectsOf names the rows of a dataset that a passage put aside.
func RejectsOf(p ecluse.Passage, d ecluse.DatasetID) ecluse.DatasetID {
	return ecluse.DatasetID("ecluse.rejects." + p.String() + "." + string(d))
}

// Aside is what a passage put aside of one sealed chunk.
type Aside struct {
	Chunk      ecluse.Slot // of the source's
	Reading    int         // of the source, that it is as of
	Descriptor *evidence.Descriptor
}

// AsideIn finds it among everything that was put aside. Of a chunk that later readings took
// rows out of, what stood aside before is put aside anew, and the last is what stands. So it
// is of one that a later version took the place of: what was put aside of that one stands.
func AsideIn(p ecluse.Passage, all []*evidence.Descriptor) []Aside {
	prefix := string(RejectsOf(p, ""))
	latest := map[place]Aside{}
	var found []Aside
	for _, d := range all {
		chunk, reading, ok := asideOf(prefix, d.Slot)
		if !ok {
			continue
		}
		a, at := Aside{chunk, reading, d}, place{chunk.Dataset, chunk.Sequence}
		found = append(found, a)
		if l, known := latest[at]; !known || cmp.Or(cmp.Compare(chunk.Version, l.Chunk.Version), cmp.Compare(reading, l.Reading)) > 0 {
			latest[at] = a
		}
	}
	stands := func(a Aside) bool { return latest[place{a.Chunk.Dataset, a.Chunk.Sequence}] == a }
	return slices.DeleteFunc(found, func(a Aside) bool { return !stands(a) })
}

func asideOf(prefix string, s ecluse.Slot) (chunk ecluse.Slot, reading int, ok bool) {
	name, ok := strings.CutPrefix(string(s.Dataset), prefix)
	s.Dataset = ecluse.DatasetID(name)
	if of, n := s.Dataset.Of(); n > 0 {
		if base, revised := strings.CutPrefix(string(of), string(revisedPrefix)); revised {
			s.Dataset, reading = ecluse.DatasetID(base), n
		}
	}
	return s, reading, ok
}

// putAside seals the rows put aside and hands them over, before the chunk's
// transaction commits: a row is in the target or aside, never nowhere.
func (o *loader) putAside(ctx context.Context, m *mapped) error {
	if b := m.aside.batch; b == nil || b.Rows() == 0 {
		return nil
	}
	return o.putAsideAs(ctx, m, m.descriptor.Slot)
}

// putAsideAs does so under another chunk's name, be there rows or not.
func (o *loader) putAsideAs(ctx context.Context, m *mapped, slot ecluse.Slot) error {
	b := m.aside.batch
	h := seal.Header{
		Migration: o.plan.Migration, Plan: o.Permit.Digest(), Epoch: o.Permit.Passage().Number,
		Slot: slot,
	}
	h.Slot.Dataset = RejectsOf(o.Permit.Passage(), h.Slot.Dataset)
	var body bytes.Buffer
	w := o.pool.NewWriter(&body, h, o.Rejects, o.key, b.Schema)
	if b.Rows() > 0 {
		if err := w.Write(b); err != nil {
			return err
		}
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
