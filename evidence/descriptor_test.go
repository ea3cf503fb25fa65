package evidence

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
)

func testDescriptor(dataset string, sequence int, last bool) *Descriptor {
	return &Descriptor{
		Migration: "tilleuls-2026", Plan: ecluse.DigestOf([]byte("plan")), Epoch: 1,
		Slot: ecluse.Slot{Dataset: ecluse.DatasetID(dataset), Sequence: sequence},
		Rows: 10, Last: last, Size: 400,
		SHA256: ecluse.DigestOf([]byte(dataset + "cipher")), Sum: ecluse.DigestOf([]byte("sum")),
	}
}

func manifestOf(plan ecluse.Digest, ds ...*Descriptor) *Manifest {
	m := &Manifest{Migration: "tilleuls-2026", Plan: plan, Epochs: 1}
	for _, d := range ds {
		if n := len(m.Datasets); n == 0 || m.Datasets[n-1].Dataset != d.Slot.Dataset {
			m.Datasets = append(m.Datasets, ManifestDataset{Dataset: d.Slot.Dataset})
		}
		at := &m.Datasets[len(m.Datasets)-1]
		at.Chunks = append(at.Chunks, ManifestChunk{d.Slot, d.SHA256, d.Rows})
		at.Rows += d.Rows
	}
	return m
}

func testRecipient() *Recipient {
	return &Recipient{
		Migration: "tilleuls-2026", Instruction: ecluse.DigestOf([]byte("instruction")), Purpose: ForChunks,
		Recipient: "age1pq1" + strings.Repeat("q", 60), NotAfter: testDay.Add(time.Hour),
	}
}

func TestSignedDocuments(t *testing.T) {
	gate, _ := testKey(t, "ed25519", "")
	fp := FingerprintOf(gate.PublicKey())
	d := testDescriptor("patient", 0, true)
	sd, err := SignDescriptor(gate, d)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseDescriptor(sd, fp); err != nil || cmp.Diff(d, got) != "" {
		t.Errorf("descriptor: %v, %s", err, cmp.Diff(d, got))
	}
	m := manifestOf(d.Plan, d)
	sm, err := SignManifest(gate, m)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseManifest(sm, fp); err != nil || cmp.Diff(m, got) != "" {
		t.Errorf("manifest: %v, %s", err, cmp.Diff(m, got))
	}
	r := testRecipient()
	sr, err := SignRecipient(gate, r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseRecipient(sr, fp); err != nil || cmp.Diff(r, got) != "" {
		t.Errorf("recipient: %v, %s", err, cmp.Diff(r, got))
	}
	other, _ := testKey(t, "ed25519", "")
	if _, err := ParseDescriptor(sd, FingerprintOf(other.PublicKey())); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another gate: %v", err)
	}
	if _, err := ParseManifest(sd, fp); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("a descriptor as manifest: %v", err)
	}
}

func TestDecodeStrict(t *testing.T) {
	d := testDescriptor("patient", 0, true)
	d.Format = DescriptorFormat
	b, err := EncodeJSON(d)
	if err != nil {
		t.Fatal(err)
	}
	good := string(b)
	for name, text := range map[string]string{
		"unknown field": strings.Replace(good, `"epoch"`, `"x":1,"epoch"`, 1),
		"twice":         strings.Replace(good, `"epoch":1`, `"epoch":1,"epoch":1`, 1),
		"missing":       strings.Replace(good, `"epoch":1,`, ``, 1),
		"case":          strings.Replace(good, `"epoch"`, `"Epoch"`, 1),
		"space":         strings.Replace(good, `"epoch":1`, `"epoch": 1`, 1),
		"number":        strings.Replace(good, `"rows":10`, `"rows":1e1`, 1),
		"escape":        strings.Replace(good, `patient`, `p\u0061tient`, 1),
		"more":          good + "{}\n",
		"no newline":    strings.TrimSuffix(good, "\n"),
		"format":        strings.Replace(good, `chunk/v1`, `chunk/v2`, 1),
		"dataset":       strings.Replace(good, `patient`, `../tient`, 1),
		"no sum":        strings.Replace(good, ecluse.DigestOf([]byte("sum")).String(), "", 1),
		"rows":          strings.Replace(good, `"rows":10`, `"rows":-1`, 1),
	} {
		if _, err := decodeDescriptor([]byte(text)); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}

func TestManifestCovers(t *testing.T) {
	set := func() []*Descriptor {
		return []*Descriptor{
			testDescriptor("patient", 0, false), testDescriptor("patient", 1, true), testDescriptor("result", 0, true),
		}
	}
	ds := set()
	m := manifestOf(ds[0].Plan, ds...)
	old := testDescriptor("patient", 1, false)
	old.Slot.Version = 7
	if err := m.Covers(append(set(), old)); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(ds []*Descriptor) []*Descriptor{
		"missing":         func(ds []*Descriptor) []*Descriptor { return ds[1:] },
		"other bytes":     func(ds []*Descriptor) []*Descriptor { ds[0].SHA256[0] ^= 1; return ds },
		"other rows":      func(ds []*Descriptor) []*Descriptor { ds[0].Rows++; return ds },
		"other plan":      func(ds []*Descriptor) []*Descriptor { ds[0].Plan[0] ^= 1; return ds },
		"other migration": func(ds []*Descriptor) []*Descriptor { ds[0].Migration = "other"; return ds },
		"goes on":         func(ds []*Descriptor) []*Descriptor { ds[1].Last = false; return ds },
		"ends before":     func(ds []*Descriptor) []*Descriptor { ds[0].Last = true; return ds },
	} {
		if err := m.Covers(edit(set())); ecluse.KindOf(err) != ecluse.Unverified || err == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
	gate, _ := testKey(t, "ed25519", "")
	for name, edit := range map[string]func(m *Manifest){
		"rows":          func(m *Manifest) { m.Datasets[0].Rows++ },
		"hole":          func(m *Manifest) { m.Datasets[0].Chunks[1].Slot.Sequence = 2 },
		"twice":         func(m *Manifest) { m.Datasets[1] = m.Datasets[0] },
		"other dataset": func(m *Manifest) { m.Datasets[0].Dataset = "x" },
		"no epoch":      func(m *Manifest) { m.Epochs = 0 },
	} {
		m := manifestOf(ds[0].Plan, ds...)
		edit(m)
		if _, err := SignManifest(gate, m); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestStatement(t *testing.T) {
	gate, _ := testKey(t, "ed25519", "")
	fp := FingerprintOf(gate.PublicKey())
	type body struct {
		StatementHead
		Tables []string `json:"tables"`
	}
	v := body{StatementHead{PrivilegesFormat, "tilleuls-2026", ecluse.DigestOf(nil)}, []string{"patient"}}
	s, err := SignStatement(gate, v)
	if err != nil {
		t.Fatal(err)
	}
	var got body
	if err := ParseStatement(s, fp, PrivilegesFormat, &got); err != nil || cmp.Diff(v, got) != "" {
		t.Errorf("got %v, %v", got, err)
	}
	if h, err := PeekStatement(s, fp); err != nil || h != v.StatementHead {
		t.Errorf("peek: %v, %v", h, err)
	}
	if err := ParseStatement(s, fp, ReportFormat, &got); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("another format: %v", err)
	}
	if _, err := SignStatement(gate, map[string]string{"a": "b"}); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("no head: %v", err)
	}
	head := `{"ecluse":"x/v1","migration":"tilleuls-2026","plan":"",`
	for name, text := range map[string]string{
		"twice":        head + `"a":1,"a":2}`,
		"twice inside": head + `"a":[{"b":1,"b":2}]}`,
		"order":        `{"migration":"tilleuls-2026","ecluse":"x/v1","plan":""}`,
		"case twice":   `{"ecluse":"x/v1","migration":"tilleuls-2026","Migration":"other","plan":""}`,
		"deep":         head + `"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "}",
		"more":         head + `"a":1} {}`,
		"cut":          head + `"a":[1`,
		"not spelled":  `{"ecluse":"x/v1", "migration":"tilleuls-2026","plan":""}`,
	} {
		if _, err := peekStatement([]byte(text)); ecluse.KindOf(err) != ecluse.Invalid || err == nil {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}

func fuzzJSON[T any](f *testing.F, seed any, decode func([]byte) (*T, error)) {
	b, err := EncodeJSON(seed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		if again, err := EncodeJSON(v); err != nil || !bytes.Equal(again, b) {
			t.Errorf("read other bytes than it writes: %v", err)
		}
	})
}

func FuzzDescriptor(f *testing.F) {
	d := testDescriptor("patient", 0, true)
	d.Format = DescriptorFormat
	fuzzJSON(f, d, decodeDescriptor)
}

func FuzzManifest(f *testing.F) {
	d := testDescriptor("patient", 0, true)
	m := manifestOf(d.Plan, d)
	m.Format = ManifestFormat
	fuzzJSON(f, m, decodeManifest)
}

func FuzzRecipient(f *testing.F) {
	r := testRecipient()
	r.Format = RecipientFormat
	fuzzJSON(f, r, decodeRecipient)
}

func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"ecluse":"x/v1","migration":"tilleuls-2026","plan":"","a":[{"b":null}]}` + "\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := peekStatement(b); err == nil && h.Migration == "" {
			t.Error("read a statement of no migration")
		}
	})
}
