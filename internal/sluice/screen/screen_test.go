package screen

import (
	"fmt"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

func batch(values ...string) *record.Batch {
	b := record.NewBatch(&record.Schema{Fields: []record.Field{{Name: "c", Type: ecluse.Type{Kind: ecluse.Text}}}}, 8)
	for _, v := range values {
		b.Columns[0].AppendString(v)
	}
	return b
}

func dataset(c ecluse.Class) *mandate.ReadDataset {
	return &mandate.ReadDataset{Dataset: "d", Columns: []mandate.ReadColumn{{Name: "c", Class: c, Type: ecluse.Type{Kind: ecluse.Text}}}}
}

func TestCredentialsStop(t *testing.T) {
	sha1 := strings.Repeat("0123456789abcdef", 3)[:40]
	var digests, tails []string
	for i := range 30 {
		digests = append(digests, fmt.Sprintf("%032xab", i)[2:])
		tails = append(tails, "12,5,"+sha1)
	}
	for name, c := range map[string]struct {
		values []string
		stop   bool
	}{
		"bcrypt":              {[]string{"$2y$10$abcdefghijklmnopqrstuv"}, true},
		"the shortest":        {[]string{"M", "$1$123456789"}, true},
		"shorter":             {[]string{"M", "$1$12345678"}, false},
		"key":                 {[]string{"-----BEGIN OPENSSH PRIVATE KEY-----"}, true},
		"bare digests":        {digests, true},
		"few digests":         {digests[:5], false},
		"result with a tail":  {tails, false},
		"plain":               {[]string{"Négatif", "$12", "{x}", "-"}, false},
		"decimal of 32 chars": {[]string{strings.Repeat("1", 32)}, false},
	} {
		err := New(dataset(ecluse.Result)).Look(batch(c.values...))
		if (err != nil) != c.stop {
			t.Errorf("%s: error %v, want stop %v", name, err, c.stop)
		}
		if err != nil && (ecluse.KindOf(err) != ecluse.Refused || strings.Contains(err.Error(), c.values[0])) {
			t.Errorf("%s: error %v has the wrong kind or holds the value", name, err)
		}
	}
}

// Digests that were too few to tell are told when other values are there, short as they are.
func TestCredentialsAmongOthers(t *testing.T) {
	s := New(dataset(ecluse.Result))
	var digests []string
	for i := range 19 {
		digests = append(digests, fmt.Sprintf("%032xab", i)[2:])
	}
	if err := s.Look(batch(digests...)); err != nil {
		t.Fatal(err)
	}
	if err := s.Look(batch("", "M")); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("nineteen digests of twenty values: %v", err)
	}
}

func BenchmarkLook(b *testing.B) {
	var values []string
	for i := range 8192 {
		values = append(values, fmt.Sprintf("bio%02d", i%37))
	}
	s, in := New(dataset(ecluse.Result)), batch(values...)
	for b.Loop() {
		if err := s.Look(in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/8192, "ns/value")
}

func TestFreeTextIsCounted(t *testing.T) {
	s := New(dataset(ecluse.FreeText))
	if err := s.Look(batch(
		"rappeler le 06 12 34 56 78", "voir dossier 2 55 08 14 168 025 38", "écrire à lea@example.org", "RAS", "2A: 1 89 04 2B 033 456",
		"dilution 1/10, 12345678901234567890",
	)); err != nil {
		t.Fatal(err)
	}
	want := Findings{NIR: 2, Email: 1, Phone: 1, Values: 6}
	if got := s.FreeText()["c"]; got != want {
		t.Errorf("found %+v, want %+v", got, want)
	}
}

func FuzzFindings(f *testing.F) {
	f.Add([]byte("06 12 34 56 78 a@b.c 2550814168025"))
	f.Add([]byte("HE\u0301PATITE B, enceinte, \xff"))
	f.Fuzz(func(_ *testing.T, v []byte) {
		var found Findings
		if len(v) > 0 {
			found.look(v)
			crypted(v)
			digest(v)
		}
	})
}
