package document

import (
	"errors"
	"strings"
	"testing"

	"ecluse"
)

type sample struct {
	Format string            `yaml:"ecluse"`
	Name   string            `yaml:"name" law:"GDPR art. 28(3)"`
	Count  int               `yaml:"count,omitempty"`
	Parts  Map[part]         `yaml:"parts,omitempty"`
	List   []part            `yaml:"list,omitempty"`
	Flags  map[string]string `yaml:"flags,omitempty"`
}

type part struct {
	From ecluse.TableName `yaml:"from"`
}

func TestDecodeKeepsOrder(t *testing.T) {
	var s sample
	lines, err := Decode("a.yaml", []byte("ecluse: x/v1\nname: N\nparts:\n  b: {from: s.t}\n  a: {from: t}\n"), &s)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.Parts.Keys(), ","); got != "b,a" {
		t.Errorf("keys %s, want b,a", got)
	}
	if got := lines.Problem("parts.a.nothing", "why", "").Line; got != 5 {
		t.Errorf("line %d, want 5", got)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"unknown":  {"ecluse: x\nname: N\nconut: 1\n", "a.yaml:3: conut: unknown key: did you mean count?"},
		"twice":    {"ecluse: x\nname: N\nname: M\n", "a.yaml:3: name: key given twice (first on line 2)"},
		"missing":  {"ecluse: x\n", "a.yaml:1: name: missing (GDPR art. 28(3))"},
		"empty":    {"ecluse: x\nname:\n", "a.yaml:2: name: must not be empty (GDPR art. 28(3))"},
		"kind":     {"ecluse: x\nname: N\nlist: 3\n", "a.yaml:3: list: want a list"},
		"alias":    {"ecluse: &a x\nname: *a\n", "a.yaml:2: name: aliases are not allowed"},
		"two":      {"ecluse: x\nname: N\n---\nname: M\n", "a file holds one document"},
		"nothing":  {"", "document is empty"},
		"syntax":   {"ecluse: [\n", "a.yaml:1: "},
		"inside":   {"ecluse: x\nname: N\nparts: {a: {form: t}}\n", "a.yaml:3: parts.a.form: unknown key: did you mean from?"},
		"bad name": {"ecluse: x\nname: N\nparts: {a: {from: a.b.c}}\n", "parts.a.from: table name"},
	} {
		var s sample
		_, err := Decode("a.yaml", []byte(c.text), &s)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		if err != nil && ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: kind %s, want invalid", name, ecluse.KindOf(err))
		}
		var ps Problems
		if !errors.As(err, &ps) {
			t.Errorf("%s: error is %T", name, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("ecluse: x\nname: N\nparts: {a: {from: t}}\n"))
	f.Add([]byte("a: &a [*a]"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s sample
		_, _ = Decode("f.yaml", b, &s)
	})
}
