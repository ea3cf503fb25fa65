package sluice

import (
	"bytes"
	"context"
	"io"
	"testing"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
	"ecluse/internal/sluice/writer"
)

// twoVersions is an inlet that has two versions of one chunk.
type twoVersions struct {
	Inlet
	descriptors [2]*evidence.Descriptor
	bodies      [2][]byte
}

func (v *twoVersions) Next(ctx context.Context, _ ecluse.DatasetID, _ int) (*evidence.Descriptor, io.ReadCloser, error) {
	return v.Version(ctx, v.descriptors[1].Slot)
}

func (v *twoVersions) Version(_ context.Context, s ecluse.Slot) (*evidence.Descriptor, io.ReadCloser, error) {
	return v.descriptors[s.Version], io.NopCloser(bytes.NewReader(v.bodies[s.Version])), nil
}

// A row that the database refuses is copied from the version of the chunk that was mapped,
// whatever came meanwhile.
func TestRefusedOfAnOlderVersion(t *testing.T) {
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	text := ecluse.Type{Kind: ecluse.Text}
	schema := &record.Schema{Fields: []record.Field{{Name: "name", Type: text}}}
	inlet, key := &twoVersions{}, &seal.Key{1}
	o := &loader{key: key}
	o.Inlet, o.Identity = inlet, func(context.Context) (age.Identity, error) { return id, nil }
	for version, name := range []string{"as mapped", "as it is now"} {
		b := record.NewBatch(schema, 1)
		b.Columns[0].AppendString(name)
		h := seal.Header{Migration: "quatre-vents-01", Plan: ecluse.DigestOf(nil), Epoch: version + 1, Slot: ecluse.Slot{Dataset: "patient", Version: version}}
		var body bytes.Buffer
		w := o.pool.NewWriter(&body, h, id.Recipient(), key, schema)
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
		made, err := w.Close(1, true)
		if err != nil {
			t.Fatal(err)
		}
		inlet.descriptors[version] = &evidence.Descriptor{
			Migration: h.Migration, Plan: h.Plan, Epoch: h.Epoch, Slot: h.Slot,
			Rows: made.Rows, Last: true, Size: made.Size, SHA256: made.SHA256, Sum: made.Sum,
		}
		inlet.bodies[version] = body.Bytes()
	}
	a := &aside{fields: 1, places: map[string]string{}, behind: func(string) []string { return nil }}
	a.batch = record.NewBatch(&record.Schema{Fields: []record.Field{
		{Name: "name", Type: text},
		{Name: RejectRow, Type: ecluse.Type{Kind: ecluse.Int}},
		{Name: RejectReason, Type: text},
		{Name: RejectBehind, Type: text},
	}}, 0)
	m := &mapped{descriptor: inlet.descriptors[0], aside: a}
	if err := o.refused(t.Context(), m, []writer.Refusal{{Row: 0, Reason: "no"}}); err != nil {
		t.Fatal(err)
	}
	if got := a.batch.Columns[0].Show(0); a.batch.Rows() != 1 || got != "as mapped" {
		t.Errorf("%d rows, %q", a.batch.Rows(), got)
	}
}
