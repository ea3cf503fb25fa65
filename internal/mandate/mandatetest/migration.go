package mandatetest

import (
	"fmt"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
)

// Migration is everything signed and approved of one migration: the inputs of
// both permits, open to a test that wants to spoil one.
type Migration struct {
	World       *World
	ID          ecluse.MigrationID
	Instruction *mandate.Instruction
	Contract    *mandate.Contract
	Plan        *mandate.ReadPlan
	Papers      mandate.Papers // with acts of signature and approval
	Rosters     map[ecluse.Side]*evidence.Roster

	source  *ecluse.Catalogue
	dialect mandate.Dialect
}

// Migration signs and approves a migration. The body of the instruction begins
// with "datasets:" and may go on with sensitive, checks, accounts, passages,
// limits and erase_by.
func (w *World) Migration(t testing.TB, source *ecluse.Catalogue, dialect mandate.Dialect, body string) *Migration {
	t.Helper()
	w.made++
	m := &Migration{
		World: w, ID: ecluse.MigrationID(fmt.Sprintf("invented-%d", w.made)), Rosters: map[ecluse.Side]*evidence.Roster{},
		source: source, dialect: dialect,
	}
	text := w.instruction(m.ID, body)
	var err error
	if m.Contract, err = mandate.ParseContract("contract.yaml", w.Contract); err != nil {
		t.Fatal(err)
	}
	m.Papers = mandate.Papers{Contract: w.Contract, Instruction: text}
	m.Instruction, m.Papers.Recipient, m.Papers.Rejects = w.Instruction(t, m.ID, body)
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		signed, r := w.SignRoster(t, w.Roster(side, 2, w.Now.Add(-24*time.Hour)))
		m.Rosters[side] = r
		m.Papers.Rosters = append(m.Papers.Rosters, signed)
	}
	if m.Plan, err = mandate.CompileRead(m.ReadInputs()); err != nil {
		t.Fatal(err)
	}
	m.Papers.ReadPlan = m.Plan.Bytes()
	contract, plan := m.Contract.Digest(), m.Plan.Digest()
	m.Add(t, w.Anne, ecluse.Signatory, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindContract, Subject: contract})
	m.Add(t, w.Lucy, ecluse.Signatory, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindContract, Subject: contract})
	m.Add(
		t, w.Anne, ecluse.Signatory,
		evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindInstruction, Subject: m.Instruction.Digest()},
		evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: plan},
	)
	m.Add(t, w.Jean, ecluse.Operator, evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: plan})
	return m
}

// Act signs an act of a person, an hour ago and for two days, after the edits.
func (m *Migration) Act(t testing.TB, p *Person, role ecluse.Role, clauses []evidence.Clause, edits ...func(*evidence.Act)) evidence.Signed {
	t.Helper()
	r := m.Rosters[p.Side]
	a := &evidence.Act{
		Migration: m.ID, Side: p.Side, Person: p.ID, Role: role, Roster: r.Digest(), RosterNumber: r.Number,
		NotBefore: m.World.Now.Add(-time.Hour), NotAfter: m.World.Now.Add(48 * time.Hour), Nonce: evidence.NewNonce(), Clauses: clauses,
	}
	for _, edit := range edits {
		edit(a)
	}
	s, err := evidence.SignAct(p.Signer, a)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Add signs an act and puts it among the papers.
func (m *Migration) Add(t testing.TB, p *Person, role ecluse.Role, clauses ...evidence.Clause) {
	t.Helper()
	m.Papers.Acts = append(m.Papers.Acts, m.Act(t, p, role, clauses))
}

// ReadInputs is what the read plan is compiled from.
func (m *Migration) ReadInputs() mandate.ReadInputs {
	return mandate.ReadInputs{
		Contract: m.Contract, Instruction: m.Instruction, Source: m.source, Recipient: m.Papers.Recipient, Rejects: m.Papers.Rejects,
		Procedure: m.World.Procedure, Dialect: m.dialect,
	}
}

func (m *Migration) trust(gate ecluse.Fingerprint) mandate.Trust {
	w := m.World
	return mandate.Trust{
		Gate: gate, Now: w.Now, OneRoom: true, Floors: map[ecluse.Side]int{ecluse.Controller: 2, ecluse.Processor: 2},
		Roots: map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: w.Root(ecluse.Controller), ecluse.Processor: w.Root(ecluse.Processor)},
	}
}

// ReadPermitInputs is what the source gate gives PermitRead.
func (m *Migration) ReadPermitInputs() mandate.ReadPermitInputs {
	return mandate.ReadPermitInputs{
		Trust: m.trust(m.Instruction.Source.Gate), Papers: m.Papers, Source: m.source,
		Procedure: m.World.Procedure, Dialect: m.dialect,
	}
}

// ReadPermit permits the reading.
func (m *Migration) ReadPermit(t testing.TB) mandate.ReadPermit {
	t.Helper()
	p, err := mandate.PermitRead(m.ReadPermitInputs())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// LoadPermitInputs compiles a load plan, has it approved and makes what the
// target gate gives PermitLoad for the first passage of the kind. The shape is
// completed by Complete.
func (m *Migration) LoadPermitInputs(
	t testing.TB, kind ecluse.PassageKind, shape ecluse.Shape, target *ecluse.Catalogue, dialect mandate.Dialect, held ...mandate.LoadHeld,
) mandate.LoadPermitInputs {
	t.Helper()
	shape = Complete(shape, target)
	plan, err := mandate.CompileLoad(mandate.LoadInputs{
		Instruction: m.Instruction, ReadPlan: m.Plan, Passage: kind, Shape: shape, Target: target, Held: held,
		Procedure: m.World.Procedure, Dialect: dialect,
	})
	if err != nil {
		t.Fatal(err)
	}
	approve := evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: plan.Digest()}
	if kind == ecluse.Final {
		m.Add(t, m.World.Anne, ecluse.Signatory, approve)
	} else {
		m.Add(t, m.World.Jean, ecluse.Operator, approve)
	}
	return mandate.LoadPermitInputs{
		Twin: true, Tried: true,
		Trust: m.trust(m.Instruction.Target.Gate), Papers: m.Papers, LoadPlan: plan.Bytes(), Shape: shape, Target: target, Held: held,
		Procedure: m.World.Procedure, Dialect: dialect, Passage: ecluse.Passage{Kind: kind, Number: 1},
	}
}

// LoadPermit permits the first passage of a kind.
func (m *Migration) LoadPermit(
	t testing.TB, kind ecluse.PassageKind, shape ecluse.Shape, target *ecluse.Catalogue, dialect mandate.Dialect, held ...mandate.LoadHeld,
) mandate.LoadPermit {
	t.Helper()
	p, err := mandate.PermitLoad(m.LoadPermitInputs(t, kind, shape, target, dialect, held...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ReadPermit is the permit of a new migration: see Migration for the body.
func (w *World) ReadPermit(t testing.TB, source *ecluse.Catalogue, dialect mandate.Dialect, body string) mandate.ReadPermit {
	t.Helper()
	return w.Migration(t, source, dialect, body).ReadPermit(t)
}

// LoadPermit is the permit of a new migration's final passage, for tests of
// writers, which have no source: SourceFor invents one. The shape is completed
// by Complete.
func (w *World) LoadPermit(t testing.TB, shape ecluse.Shape, target *ecluse.Catalogue, dialect mandate.Dialect, held ...mandate.LoadHeld) mandate.LoadPermit {
	t.Helper()
	source, body := SourceFor(shape)
	return w.Migration(t, source, Dialect(source.Engine), body).LoadPermit(t, ecluse.Final, shape, target, dialect, held...)
}
