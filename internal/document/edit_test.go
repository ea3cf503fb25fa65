package document

import (
	"strings"
	"testing"
)

// TestEditKeepsComments: what a person wrote around the values stays.
func TestEditKeepsComments(t *testing.T) {
	const before = "# mine\necluse: x\nname: old # the usual\n# all of them\nparts:\n  # first\n  a: {from: t} # flow\n  # second\n  b:\n    from: u\n# end\n"
	after, err := Edit([]byte(before), func(root *Node) error {
		if err := SetField(root, "name", "new"); err != nil {
			return err
		}
		RemoveField(Field(root, "parts"), "b")
		return SetField(Field(root, "parts"), "123", map[string]string{"from": "v: w"})
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = "# mine\necluse: x\nname: new # the usual\n# all of them\nparts:\n  # first\n  a: {from: t} # flow\n  \"123\":\n    from: 'v: w'\n# end\n"
	if string(after) != want {
		t.Errorf("got\n%s", after)
	}
}

func TestEditRefuses(t *testing.T) {
	for _, text := range []string{"", "- a\n", "a: [", "text"} {
		if _, err := Edit([]byte(text), func(*Node) error { return nil }); err == nil || !strings.Contains(err.Error(), "edit document") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzEdit: an edit changes what it means to and nothing else.
func FuzzEdit(f *testing.F) {
	f.Add([]byte("# c\necluse: x\nname: N # d\nparts: {a: {from: t}}\n"))
	f.Add([]byte("ecluse: x\nname: >\n  a\n\n  b\nparts:\n  ? \"k\\n\"\n  : {from: |\n     t}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var before, after sample
		if _, err := Decode("f.yaml", text, &before); err != nil {
			return
		}
		edited, err := Edit(text, func(root *Node) error { return SetField(root, "name", "new") })
		if err != nil {
			return // said, and nothing written
		}
		if _, err := Decode("f.yaml", edited, &after); err != nil {
			t.Fatalf("%v\n%q became\n%q", err, text, edited)
		}
		if after.Name != "new" {
			t.Errorf("name is %q", after.Name)
		}
	})
}
