package gate

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/record"
)

// TwinStatement is twin/v1: what the mapping made of invented rows. Nothing in it is of
// a record, and no table of the target was read but those it names.
type TwinStatement struct {
	evidence.StatementHead               // Plan is the read plan's, whose columns the rows have
	Mapping                ecluse.Digest `json:"mapping"`
	Columns                ecluse.Digest `json:"columns"`             // of the datasets' columns, as the read plan has them
	Target                 ecluse.Digest `json:"target_schema"`       // of the columns and primary keys of the tables that the mapping writes
	LookedUp               []string      `json:"looked_up,omitempty"` // tables of the target whose rows were read, as the mapping says: codes are looked up in them
	Passed                 bool          `json:"passed"`
	Why                    string        `json:"why,omitempty"` // what kept the mapping from its end
	sluice.Twinned
	At time.Time `json:"at"`

	digest ecluse.Digest // of the statement as signed
}

// twinRows is how many rows of each dataset are invented.
const twinRows = 2000

// mostWords bounds what is taken from tables of codes.
const mostWords = 5000

// Twin takes rows invented from the read plan's columns through the mapping in force and
// holds them against the target's structure. It needs no approval: there is no chunk and no
// key in it, and nothing is written. What it takes of real tables is what the mapping's signed
// tables of codes hold and, where an operator signed a mapping with targets:, the rows of
// these, as a load does; the statement names them. What passed is noted in the
// ledger: neither a rehearsal nor a final passage is loaded before.
func (t *Target) Twin(ctx context.Context, m ecluse.MigrationID) (*TwinStatement, error) {
	c, err := t.lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return nil, err
	}
	if err := waiting(c.ReadPlan, "rehearse on invented rows", "ecluse plan"); err != nil {
		return nil, err
	}
	if err := waiting(c.Mapping, "rehearse on invented rows", "sign the mapping: ecluse sign FILE --as KEY"); err != nil {
		return nil, err
	}
	read, err := mandate.ParseReadPlan(c.ReadPlan)
	if err != nil {
		return nil, err
	}
	k, err := t.check(ctx, &t.main, read, c.Mapping, c.Frozen)
	if err != nil {
		return nil, err
	}
	if len(k.program.Shape().Targets) > 0 {
		if err := t.home.mappingSigned(m, c); err != nil {
			return nil, err
		}
	}
	s := &TwinStatement{
		StatementHead: evidence.StatementHead{Format: evidence.TwinFormat, Migration: m, Plan: read.Digest()}, Mapping: k.program.Shape().Mapping, Columns: read.Columns(), Target: k.schema(),
	}
	held := map[string]*record.Batch{}
	for _, x := range k.program.Shape().Targets {
		if held[x.Name], err = k.base.DB.Rows(ctx, x.Table, x.Columns, x.Rows); err != nil {
			return nil, err // a database that is down says nothing of the mapping
		}
		s.LookedUp = append(s.LookedUp, x.Table.String())
	}
	out, err := sluice.RunTwin(ctx, sluice.Twin{
		Program: k.program, ReadPlan: read, Target: k.catalogue, Words: wordsOf(c.Mapping, c.Frozen), Codes: codesOf(k.program.Shape().Frozen, c.Frozen), Rows: twinRows,
		Seed: ecluse.DigestOf([]byte(s.Columns.String() + s.Mapping.String())),
		Held: held,
	})
	switch {
	case err == nil:
		s.Passed, s.Why, s.Twinned = out.Fault == "", out.Fault, *out
	case ctx.Err() != nil || !ofMapping(err):
		return nil, err
	default:
		s.Why = err.Error()
	}
	return s, t.stateTwin(ctx, m, s)
}

// ofMapping tells whether an error says something of the mapping, and not of this machine.
func ofMapping(err error) bool {
	var e *ecluse.Error
	kind := ecluse.KindOf(err)
	return errors.As(err, &e) && kind != ecluse.Failed && kind != ecluse.Interrupted
}

// stateTwin signs, posts and, of one that passed, notes what a twin came to.
func (t *Target) stateTwin(ctx context.Context, m ecluse.MigrationID, s *TwinStatement) error {
	var err error
	if s.At, err = t.home.Now(); err != nil {
		return err
	}
	signed, err := evidence.SignStatement(t.home.signer, s)
	if err != nil {
		return err
	}
	s.digest = signed.Digest()
	if err := t.lock.Post(ctx, m, exchange.TwinReport, signed); err != nil || !s.Passed {
		return err
	}
	return t.home.Note(m, func(e *Entry) error {
		e.Twins[madeOf(s.Mapping, s.Columns, s.Target)] = s.digest
		return nil
	})
}

// madeOf is what the ledger knows a trial by: the mapping and what it was tried on. One of
// other columns, which a lock could hand out, or of another schema says nothing of this.
func madeOf(parts ...ecluse.Digest) string {
	var all []byte
	for _, p := range parts {
		all = append(all, p[:]...)
	}
	return ecluse.DigestOf(all).String()
}

// schema identifies what the twin is held against: of the tables that the mapping writes
// their columns and primary keys, as they stand.
func (c *checked) schema() ecluse.Digest {
	written := ecluse.Catalogue{Engine: c.catalogue.Engine}
	for _, t := range c.catalogue.Tables {
		for _, d := range c.program.Shape().Datasets {
			if slices.ContainsFunc(d.Into, func(x ecluse.ShapeTable) bool { return x.Table == t.Name }) {
				written.Tables = append(written.Tables, ecluse.Table{Name: t.Name, Kind: t.Kind, PrimaryKey: t.PrimaryKey, Columns: t.Columns})
				break
			}
		}
	}
	text, err := evidence.EncodeJSON(written)
	if err != nil {
		panic("gate: a catalogue always encodes: " + err.Error())
	}
	return ecluse.DigestOf(text)
}

// wordsOf are the texts that a mapping writes between quotes, and those of its tables of
// codes: neither holds people.
func wordsOf(text []byte, frozen [][]byte) []string {
	var words []string
	for line := range strings.Lines(string(text)) {
		for i, w := range strings.Split(strings.TrimSpace(line), "'") {
			if i%2 == 1 {
				words = append(words, w)
			}
		}
	}
	for _, table := range frozen {
		words = append(words, cellsOf(table, mostWords-len(words))...)
	}
	return words
}

// codesOf are the words of each table of codes, by its name in the mapping.
func codesOf(tables []ecluse.ShapeFrozen, frozen [][]byte) map[string][]string {
	codes := map[string][]string{}
	for _, t := range tables {
		for _, text := range frozen {
			if ecluse.DigestOf(text) == t.Digest {
				codes[t.Name] = cellsOf(text, mostWords)
			}
		}
	}
	return codes
}

// cellsOf are the first cells of a table of codes.
func cellsOf(table []byte, most int) []string {
	var words []string
	for line := range strings.Lines(string(table)) {
		for _, w := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(",;\t\"\r\n", r) }) {
			if len(words) < most {
				words = append(words, w)
			}
		}
	}
	return words
}
