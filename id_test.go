package ecluse_test

import (
	"path/filepath"
	"strings"
	"testing"

	"ecluse"
)

// FuzzIDs: what is decoded as an id is one name in a folder, whatever it was.
func FuzzIDs(f *testing.F) {
	for _, s := range []string{"", "quatre-vents-01", "../../x", "..", "a/b", `a\b`, "patient", "ecluse.key", "final", "x\x00", "-rf", "CON", "a.b..c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		local := func(kind, name string) {
			if !filepath.IsLocal(name) || filepath.Base(name) != name || strings.ContainsAny(name, "/\\\x00") || strings.HasPrefix(name, "-") {
				t.Errorf("%s %q is more than a name", kind, name)
			}
		}
		var m ecluse.MigrationID
		if err := m.UnmarshalText([]byte(s)); err == nil && m != "" {
			local("migration", string(m))
		}
		var d ecluse.DatasetID
		if err := d.UnmarshalText([]byte(s)); err == nil && d != "" {
			local("dataset", string(d))
		}
		var k ecluse.PassageKind
		if err := k.UnmarshalText([]byte(s)); err == nil && k != "" && k != ecluse.Dry && k != ecluse.Rehearsal && k != ecluse.Final {
			t.Errorf("kind %q", k)
		}
	})
}
