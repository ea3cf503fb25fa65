package mysql

import (
	"strings"
	"testing"

	"ecluse/internal/mandate"
)

// FuzzPosition: a cursor is read or refused, and one that is read is of this
// reading: it compares, and is written in bytes that read back as the same place.
func FuzzPosition(f *testing.F) {
	counted := &Reading{Dataset: &mandate.ReadDataset{Dataset: "d"}, counted: true}
	keyed := &Reading{Dataset: &mandate.ReadDataset{Dataset: "d"}, keys: []keyPart{{integer: true}, {}, {integer: true, unsigned: true}}}
	f.Add(counted.Encode(&Position{Ordinal: 300}))
	f.Add(keyed.Encode(&Position{Key: [][]byte{make([]byte, 8), []byte("a"), make([]byte, 8)}}))
	f.Add([]byte{byKey, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, r := range []*Reading{counted, keyed} {
			p, err := r.Decode(b)
			if err != nil {
				continue
			}
			again, err := r.Decode(r.Encode(p))
			if err != nil || again.Ordinal != p.Ordinal || len(p.Key) != len(r.keys) || again.compareKey(p) != 0 || r.Beyond(again, p) {
				t.Fatalf("%x reads as %+v and again as %+v: %v", b, p, again, err)
			}
			for i := range r.keys {
				if r.keys[i].literal(p.Key[i]) == "" {
					t.Errorf("%x has no literal", b)
				}
			}
		}
	})
}

// FuzzDeclared: any declared type is read, and labels that the catalogue writes
// come back as they are.
func FuzzDeclared(f *testing.F) {
	for _, s := range []string{"", "(", "enum(", "varchar(20) character set utf8mb4", "decimal(10,3) unsigned", "enum('M','it''s')", "set('a,b')", "int(11)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d := parseDeclared(s)
		if d.base != strings.ToLower(d.base) || strings.ContainsAny(d.base, "( ") {
			t.Errorf("%q has the base %q", s, d.base)
		}
		written := "('" + strings.ReplaceAll(s, "'", "''") + "','x')"
		if got := parseLabels(written); len(got) != 2 || got[0] != s || got[1] != "x" {
			t.Errorf("%s has the labels %q", written, got)
		}
	})
}
