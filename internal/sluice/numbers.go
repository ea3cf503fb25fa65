package sluice

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/sluice/seal"
)

// given says, by counter, which rows of a chunk it numbered: a digest of their places
// in the chunk. A counter that numbered none is not in it. Counters go up by one a row,
// so two passes whose chunks have equal ones, in one order, gave every row the same
// place above the counter's start, whatever the values beside it.
type given map[string][]byte

// givenSize is the bytes kept of each digest: nobody gains by a collision.
const givenSize = 12

func givenIn(out *mapping.Output) given {
	all := given{}
	var text []byte
	for _, c := range slices.Sorted(maps.Keys(out.Counters)) {
		text = text[:0]
		rows := 0
		for _, t := range out.Tables { // a table may be listed twice: numbers go to both in turn
			if t.Counter != c {
				continue
			}
			text = binary.LittleEndian.AppendUint32(text, uint32(len(t.Source)))
			rows += len(t.Source)
			for _, row := range t.Source {
				text = binary.LittleEndian.AppendUint32(text, uint32(row))
			}
		}
		if rows > 0 {
			sum := sha256.Sum256(text)
			all[c] = sum[:givenSize]
		}
	}
	return all
}

// numbering is which rows a pass numbered, chunk after chunk. It is kept sealed: the
// places left out are those of rows put aside.
type numbering struct {
	Passage  ecluse.Passage   `json:"passage"`
	Orphan   bool             `json:"orphan,omitempty"` // what passes before it numbered was lost
	Mapping  ecluse.Digest    `json:"mapping"`
	System   string           `json:"system"` // whose highest numbers the starts are
	Counters map[string]start `json:"counters"`
	Chunks   []numbered       `json:"chunks"` // all, in the order of the pass
}

// start is where a counter began.
type start struct {
	Table  ecluse.TableName `json:"table"`
	Column string           `json:"column"`
	Last   int64            `json:"last"`  // before the first number
	Fixed  bool             `json:"fixed"` // by the mapping, whatever the system
}

// numbered is the rows of a chunk that got numbers.
type numbered struct {
	Slot  ecluse.Slot `json:"slot"`
	Given given       `json:"given,omitempty"`
}

func beginNumbering(p *mapping.Program, plan *mandate.LoadPlan, passage ecluse.Passage, counters map[string]int64) numbering {
	n := numbering{Passage: passage, Mapping: plan.Shape.Mapping, System: plan.Target.System, Counters: map[string]start{}}
	for _, c := range p.Counters() {
		s := start{Table: c.Table, Column: c.Column, Last: c.From - 1, Fixed: !c.Above}
		if c.Above {
			s.Last = max(counters[c.Name], 0)
		}
		n.Counters[c.Name] = s
	}
	return n
}

// since compares with an earlier pass. Two systems have different highest numbers, and
// the rows loaded into one are not those of the other: between them only places above
// the start are compared.
func (n *numbering) since(before *numbering) *ecluse.Renumbering {
	if len(n.Counters)+len(before.Counters) == 0 {
		return nil
	}
	order := map[place]int{}
	for i, c := range n.Chunks {
		order[place{c.Slot.Dataset, c.Slot.Sequence}] = i
	}
	r := &ecluse.Renumbering{Since: before.Passage, SameMapping: n.Mapping == before.Mapping, Tables: []ecluse.Renumbered{}}
	all := maps.Clone(before.Counters)
	maps.Copy(all, n.Counters)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		now, then := n.of(name), before.of(name)
		a, had := n.Counters[name]
		b, has := before.Counters[name]
		base := had && has && a.Last != b.Last && (n.System == before.System || a.Fixed || b.Fixed)
		from := parting(now, then, order)
		if base && len(now) > 0 {
			from = &now[0].Slot
		}
		if from == nil {
			continue
		}
		r.Tables = append(r.Tables, ecluse.Renumbered{Table: all[name].Table, Column: all[name].Column, From: *from, Base: base})
	}
	return r
}

// sinceAll compares with the pass before and, of those that nothing final came after, with
// the last that numbered otherwise and the last rehearsal: repeating a pass would otherwise
// compare it with itself, and the person who approves would not hear of what moved.
func (n *numbering) sinceAll(passes []*numbering) *ecluse.Renumbering {
	last := len(passes) - 1
	r := n.since(passes[last])
	if r == nil { // nothing is counted, now or then
		r = &ecluse.Renumbering{Since: passes[last].Passage, SameMapping: n.Mapping == passes[last].Mapping, Tables: []ecluse.Renumbered{}}
	}
	otherwise, rehearsed := len(r.Tables) > 0, passes[last].Passage.Kind == ecluse.Rehearsal
	for i := last - 1; i >= 0 && passes[i+1].Passage.Kind != ecluse.Final; i-- {
		p := passes[i]
		rehearsal := p.Passage.Kind == ecluse.Rehearsal && !rehearsed
		rehearsed = rehearsed || rehearsal
		if s := n.since(p); s != nil && len(s.Tables) > 0 && (rehearsal || !otherwise) {
			r.Also, otherwise = append(r.Also, *s), true
		}
	}
	if len(n.Counters)+len(passes[last].Counters)+len(r.Also) == 0 {
		return nil
	}
	return r
}

// of lists the chunks in which a counter gave numbers.
func (n *numbering) of(counter string) (chunks []numbered) {
	for _, c := range n.Chunks {
		if c.Given[counter] != nil {
			chunks = append(chunks, numbered{c.Slot, given{counter: c.Given[counter]}})
		}
	}
	return chunks
}

// parting is the first chunk, in this pass's order, of which one of two lists of one
// counter's chunks says something else than the other; nil: they say the same. The
// version of a chunk that was read again in between does not tell: its places do.
func parting(now, then []numbered, order map[place]int) *ecluse.Slot {
	for i := range max(len(now), len(then)) {
		switch {
		case i >= len(then):
			return &now[i].Slot
		case i >= len(now):
			return &then[i].Slot
		}
		a, b := place{now[i].Slot.Dataset, now[i].Slot.Sequence}, place{then[i].Slot.Dataset, then[i].Slot.Sequence}
		at, also := order[b]
		switch {
		case a == b && maps.EqualFunc(now[i].Given, then[i].Given, slices.Equal[[]byte]):
			continue
		case a != b && also && at < order[a]: // it gave a number then, and none now
			return &then[i].Slot
		}
		return &now[i].Slot
	}
	return nil
}

// useNumbers is the use of K's sub-key that numberings are sealed under.
const useNumbers = "numbers"

// renumbered ends a pass that went through every chunk: what it numbered is kept for
// the passes to come, and compared with the one before it. Run again, after an
// interruption, it says the same.
func (o *loader) renumbered() error {
	sealed, err := o.Numbers.Numbers()
	if err != nil {
		return err
	}
	key := o.key.Sub(useNumbers, "")
	var passes []*numbering
	if sealed != nil {
		// What cannot be opened is as good as lost: no passage fails for it.
		text, err := seal.Unwrap(key, useNumbers, sealed)
		if err != nil || json.Unmarshal(text, &passes) != nil || slices.Contains(passes, nil) {
			passes, o.numbers.Orphan = nil, true
		}
	}
	own := slices.IndexFunc(passes, func(p *numbering) bool { return p.Passage == o.numbers.Passage })
	if own < 0 {
		own, passes = len(passes), append(passes, nil)
	} else {
		o.numbers.Orphan = passes[own].Orphan
	}
	passes[own] = &o.numbers
	switch {
	case own > 0:
		o.out.Report.Renumbered = o.numbers.sinceAll(passes[:own])
	case o.numbers.Orphan && len(o.numbers.Counters) > 0:
		o.out.Report.Renumbered = &ecluse.Renumbering{Lost: true, Tables: []ecluse.Renumbered{}}
	}
	text, err := json.Marshal(passes)
	if err != nil {
		return err
	}
	if sealed, err = seal.Wrap(key, useNumbers, text); err != nil {
		return err
	}
	return o.Numbers.SetNumbers(sealed)
}
