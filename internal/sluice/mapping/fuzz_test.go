package mapping

import (
	"strings"
	"testing"
)

// FuzzMapping: no document makes Parse or Check panic.
func FuzzMapping(f *testing.F) {
	f.Add(strings.Replace(head, "0000\n", "0001\n", 1) + "from: {d: [{into: t, columns: {id: id}}]}")
	f.Add(strings.Replace(head, "0000\n", "0001\n", 1) + "tables: {codes: {file: c.csv, sha256: " + sha(codesCSV) + ", key: [code, pos]}}\nhold: {kinds: {key: [code], rows: 9}}\n" +
		"from:\n  d:\n    - into: u\n      each: {p: \"split(values, ',')\", position: n}\n      let: {c: \"codes[code, n]\"}\n      skip: p == ''\n" +
		"      reject: {when: c == null, reason: no code}\n      columns: {id: counter, t_id: {row_of: t}, v: {value: p, miss: keep}}\n" +
		"sequences: {s: t.id}\nchecks: {n: {table: t, count: true, where: [{column: id, null: true}]}}")
	in := labInputs(f, codesCSV)
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := Parse("mapping.yaml", []byte(text))
		if err != nil {
			return
		}
		p, err := Check(doc, in)
		if err != nil || p.datasets["d"] == nil || len(p.wanted()) > 0 {
			return
		}
		r := NewRun(p)
		if r.Begin("d", nil) == nil && r.Apply(labRows(t)) == nil {
			_, _ = r.Output()
		}
	})
}

// wanted lists the tables that a run has to be given.
func (p *Program) wanted() (wanted []string) {
	for _, t := range p.tables {
		if !t.closed {
			wanted = append(wanted, t.Name)
		}
	}
	return wanted
}

// FuzzFrozen: no file makes the reader of frozen tables panic.
func FuzzFrozen(f *testing.F) {
	f.Add([]byte(codesCSV))
	f.Add([]byte("\uFEFFcode;pos\n\"a;\"\"b\";1\n"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = readFrozen("k", &FrozenTable{Key: []string{"code"}, Delimiter: ";", Types: map[string]string{"pos": "int"}}, b, 0)
	})
}
