// Package mandate says what may be done with a laboratory's data, and by whose
// word. It reads the contract and the instruction, compiles them with a
// database's structure into plans that people approve, and turns an approved
// plan into a permit. Nothing opens a reader or a writer but a permit, and
// nothing makes a permit but PermitRead and PermitLoad.
//
// It knows no SQL (Dialect does), no server and no clock: the caller gives the
// time, and every input is bytes, a catalogue or a fingerprint. Equal inputs
// give equal plans, to the byte.
package mandate

import (
	"sort"

	"ecluse"
	"ecluse/internal/document"
)

// Formats of the documents and plans, as their first key says.
const (
	ContractFormat    = "contract/v1"
	InstructionFormat = "instruction/v1"
	ReadPlanFormat    = "readplan/v1"
	LoadPlanFormat    = "loadplan/v1"
	GateFormat        = "gate/v1"
)

// Articles of law that several checks name.
const (
	lawChapeau  = "GDPR art. 28(3)"
	lawUnlawful = "GDPR art. 28(3), last sentence"
	lawOnly     = "GDPR art. 29"
	lawSpecial  = "GDPR art. 9"
)

// problems gathers what is wrong with a document whose lines are known.
type problems struct {
	lines   *document.Lines
	list    document.Problems
	refused *document.Problem // the first one that the law itself refuses
}

func (p *problems) add(field, why, article string) {
	p.list = append(p.list, p.lines.Problem(field, why, article))
}

// refuse notes what no signature could allow.
func (p *problems) refuse(field, why, article string) {
	p.add(field, why, article)
	if p.refused == nil {
		last := p.list[len(p.list)-1]
		p.refused = &last
	}
}

// err is nil when nothing is wrong, an *ecluse.Error of kind Refused when
// something no signature could allow was asked for, else document.Problems.
func (p *problems) err(what string) error {
	if len(p.list) == 0 {
		return nil
	}
	sort.SliceStable(p.list, func(i, j int) bool { return p.list[i].Line < p.list[j].Line })
	if p.refused == nil {
		return p.list
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: what, Article: p.refused.Article, Err: p.list,
		Why:  "it asks for what may not be done",
		Next: "take it out; the controller has to be told at once that it was asked for",
	}
}
