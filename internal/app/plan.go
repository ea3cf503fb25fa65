package app

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/store/sqlite"
)

// Plan compiles what will leave and, once a mapping is signed, how it will
// enter. Nothing is read or written. A read plan that is approved is compiled
// again and must come out the same.
func (r *Room) Plan(ctx context.Context, q PlanRequest) (*Plans, error) {
	id := q.Migration
	if q.Instruction != nil {
		i, err := r.openBy(ctx, q)
		if err != nil {
			return nil, err
		}
		id = i.ID
	}
	id, err := r.migration(ctx, id)
	if err != nil {
		return nil, err
	}
	i, err := r.lock.instruction(ctx, id)
	if err != nil {
		return nil, err
	}
	if q.Instruction != nil && i.Digest() != ecluse.DigestOf(q.Instruction) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "compile the read plan", Where: q.File, Why: "another instruction is signed and in force: " + i.Digest().String(),
			Next: "sign the new one first: ecluse sign " + q.File + " --as KEY",
		}
	}
	p := &Plans{Migration: id, Passage: q.Passage}
	if p.Read, err = r.readPlan(ctx, i); err != nil {
		return nil, err
	}
	p.ReadPlan, p.Counts = p.Read.Digest(), countVerdicts(p.Read)
	if p.ReadFile, err = r.writePlan(id, "readplan", p.Read.Bytes()); err != nil {
		return nil, err
	}
	if p.Estimates, err = r.estimates(ctx, p.Read); err != nil {
		return nil, err
	}
	if p.Load, p.Unused, err = r.loadPlan(ctx, id, q.Passage); err != nil || p.Load == nil {
		return p, err
	}
	p.LoadPlan = p.Load.Digest()
	p.LoadFile, err = r.writePlan(id, "loadplan-"+string(q.Passage), p.Load.Bytes())
	return p, err
}

// openBy opens the migration of an instruction by the word of whoever asks.
func (r *Room) openBy(ctx context.Context, q PlanRequest) (i *mandate.Instruction, err error) {
	a := &attempt{verb: "open", migration: idOf(q.Instruction), subject: ecluse.DigestOf(q.Instruction), key: q.Key}
	defer a.journal(ctx, r.lock, &err)
	who, err := r.lock.who(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	return r.open(ctx, q.File, q.Instruction, who)
}

// recipients has both gates make theirs for an instruction.
func (r *Room) recipients(ctx context.Context, i *mandate.Instruction) ([]evidence.Signed, error) {
	s, err := r.sourceGate(ctx)
	if err != nil {
		return nil, err
	}
	t, err := r.targetGate(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.Recipient(ctx, i); err != nil {
		return nil, err
	}
	if err := r.lending(ctx, i, func(ctx context.Context) error { return t.Recipient(ctx, i) }); err != nil {
		return nil, err
	}
	return r.lock.signed(ctx, i.ID, kindRecipient, evidence.NamespaceRecipient)
}

// readPlan compiles the read plan of the instruction in force and puts it in
// force in its turn, unless it is there already.
func (r *Room) readPlan(ctx context.Context, i *mandate.Instruction) (*mandate.ReadPlan, error) {
	l := r.lock
	mig, err := l.store.Migration(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	current, err := l.current(ctx, i.ID, evidence.KindReadPlan)
	if err != nil {
		return nil, err
	}
	over := []procedure.State{procedure.Reading, procedure.Sealed, procedure.Accepted, procedure.Erasing, procedure.Erased, procedure.Closed}
	if slices.Contains(over, mig.Place.Migration) {
		return parseReadPlan(current)
	}
	contract, err := l.contract(ctx, i.Contract)
	if err != nil {
		return nil, err
	}
	all, err := r.recipients(ctx, i)
	if err != nil {
		return nil, err
	}
	s, err := r.sourceGate(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := s.Compile(ctx, contract, i, all)
	if err != nil {
		return nil, err
	}
	if current != nil {
		approved, err := mandate.ParseReadPlan(current)
		if err != nil {
			return nil, err
		}
		if _, err := mandate.Equivalent(approved, plan); err == nil && mig.Place.Migration != procedure.Instructed {
			return approved, nil
		}
	}
	return plan, l.store.Do(ctx, journal.Event{
		Tree: string(i.ID), Type: journal.ReadPlanCompiled, IDs: map[string]string{"read_plan": plan.Digest().String(), "instruction": i.Digest().String()},
	}, func(tx *sqlite.Tx) error {
		if _, err := tx.AddDocument(ctx, evidence.KindReadPlan, i.ID, plan.Bytes()); err != nil {
			return err
		}
		if err := tx.SetCurrent(ctx, i.ID, evidence.KindReadPlan, plan.Digest()); err != nil {
			return err
		}
		_, err := tx.Move(ctx, i.ID, procedure.PlanRead, procedure.SourceGate)
		return err
	})
}

// loadPlan compiles the load plan; nil while no mapping is signed or the read
// plan is only shown. Instructed columns that the mapping has no use for come with
// it.
func (r *Room) loadPlan(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (plan *mandate.LoadPlan, unused []string, err error) {
	l := r.lock
	c, err := l.Case(ctx, m, kind)
	if err != nil {
		return nil, nil, err
	}
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, nil, err
	}
	if c.Mapping == nil || mig.Place.Migration == procedure.Born || mig.Place.Migration == procedure.Instructed {
		return nil, nil, nil
	}
	t, err := r.targetGate(ctx)
	if err != nil {
		return nil, nil, err
	}
	if plan, unused, err = t.Compile(ctx, c, kind); err != nil {
		return nil, nil, err
	}
	inForce := mig.Place.Kind == kind && mig.Place.Passage != procedure.None && mig.Place.Passage != procedure.Undone
	if inForce && bytes.Equal(c.LoadPlan, plan.Bytes()) {
		return plan, unused, nil
	}
	return plan, unused, l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.LoadPlanCompiled, IDs: map[string]string{"load_plan": plan.Digest().String(), "kind": string(kind)},
	}, func(tx *sqlite.Tx) error {
		if _, err := tx.AddDocument(ctx, evidence.KindLoadPlan, m, plan.Bytes()); err != nil {
			return err
		}
		if err := tx.SetCurrent(ctx, m, kindLoadPlan(kind), plan.Digest()); err != nil {
			return err
		}
		_, err := tx.PlanLoad(ctx, m, kind, procedure.TargetGate)
		return err
	})
}

// writePlan writes a plan where people can read it; approving takes its bytes.
func (r *Room) writePlan(m ecluse.MigrationID, name string, text []byte) (string, error) {
	path := filepath.Join(r.dir, plansDir, fmt.Sprintf("%s-%s.json", m, name))
	return path, durable.WriteFile(path, text)
}

func countVerdicts(p *mandate.ReadPlan) VerdictCounts {
	var n VerdictCounts
	for _, t := range p.Verdicts {
		for _, c := range t.Columns {
			switch c.Verdict {
			case mandate.Taken:
				n.Taken++
			case mandate.Filtered:
				n.Filters++
			case mandate.RefusedCredential:
				n.Credential++
			default:
				n.Refused++
			}
		}
	}
	return n
}

// estimates guesses rows per dataset, for display.
func (r *Room) estimates(ctx context.Context, p *mandate.ReadPlan) (map[ecluse.DatasetID]int64, error) {
	s, err := r.sourceGate(ctx)
	if err != nil {
		return nil, err
	}
	_, byTable, err := s.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	out := map[ecluse.DatasetID]int64{}
	for _, d := range p.Datasets {
		if n, ok := byTable[d.From]; ok {
			out[d.Dataset] = n
		}
	}
	return out, nil
}

// CheckInstruction compiles an instruction against the source, as far as that
// goes without the gates' recipients: nothing is kept.
func (r *Room) CheckInstruction(ctx context.Context, file string, text []byte) (*mandate.ReadPlan, error) {
	i, err := mandate.ParseInstruction(file, text)
	if err != nil {
		return nil, err
	}
	c, err := r.lock.contract(ctx, i.Contract)
	if err != nil {
		return nil, err
	}
	s, err := r.sourceGate(ctx)
	if err != nil {
		return nil, err
	}
	return s.Sketch(ctx, c, i)
}

// CheckMapping checks a mapping against the instruction in force and the target.
func (r *Room) CheckMapping(ctx context.Context, file string, text []byte) (*MappingView, error) {
	doc, err := mapping.Parse(file, text)
	if err != nil {
		return nil, err
	}
	m, err := r.mappingOf(ctx, doc)
	if err != nil {
		return nil, err
	}
	frozen, err := frozenBeside(file, doc)
	if err != nil {
		return nil, err
	}
	return r.checkMapping(ctx, m, text, frozen)
}

func (r *Room) checkMapping(ctx context.Context, m ecluse.MigrationID, text []byte, frozen [][]byte) (*MappingView, error) {
	plan, err := r.lock.current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return nil, err
	}
	read, err := parseReadPlan(plan)
	if err != nil {
		return nil, err
	}
	if read == nil {
		return nil, &ecluse.Error{Kind: ecluse.WaitsForSign, What: "check mapping", Why: "no read plan is compiled yet", Next: "ecluse plan"}
	}
	t, err := r.targetGate(ctx)
	if err != nil {
		return nil, err
	}
	shape, unused, err := t.CheckMapping(ctx, read, text, frozen)
	if err != nil {
		return nil, err
	}
	return &MappingView{shape, unused}, nil
}

// NewInstruction writes an instruction to be filled in: every table and column of
// the source stands in it as a comment, and none is chosen.
func (r *Room) NewInstruction(ctx context.Context, id ecluse.MigrationID) (string, error) {
	s, err := r.sourceGate(ctx)
	if err != nil {
		return "", err
	}
	catalogue, estimates, err := s.Inspect(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Take the comment sign off what is to move, and give each column its class:
# technical identity contact national-id insurer prescriber sampler result
# genetic infectious pregnancy treatment free-text document
# What is not named stays where it is. Log-ins and passwords cannot be named.
ecluse: instruction/v1
id: %s
contract: sha256:   # sha256sum contract.yaml
purpose:
source: {gate: %s, system: , administered_by: , consistency: snapshot}   # whose people administer its machine or database: controller, processor
target: {gate: %s, system: , administered_by: }
backups: {source_gate: , lock: , target_gate: }   # of each folder: none, or {until: the day on which the last backup expires}
passages: {dry: 5, rehearsal: 0, final: 1}
datasets:
`, id, r.homes[SourcePlace].Fingerprint(), r.homes[TargetPlace].Fingerprint())
	for _, t := range catalogue.Tables {
		rows := ""
		if n, ok := estimates[t.Name]; ok {
			rows = fmt.Sprintf("   # about %d rows", n)
		}
		fmt.Fprintf(&b, "#  %s:%s\n#    from: %s\n", strings.ToLower(t.Name.Name), rows, t.Name)
		if len(t.PrimaryKey) > 0 {
			fmt.Fprintf(&b, "#    key: [%s]\n", strings.Join(t.PrimaryKey, ", "))
		}
		b.WriteString("#    columns:\n")
		for _, c := range t.Columns {
			fmt.Fprintf(&b, "#      %s:   # %s\n", c.Name, c.Declared)
		}
	}
	b.WriteString("limits: {rows: , bytes: }\nerase_by:   # 2026-12-31T18:00:00+01:00\n")
	return b.String(), nil
}
