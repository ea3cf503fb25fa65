package desk

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/mapping"
)

// Inspect has a gate list its database's structure.
func (d *Desk) Inspect(ctx context.Context, at exchange.Place) (*Inspection, error) {
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	return inspect(ctx, l, at)
}

func inspect(ctx context.Context, l Lock, at exchange.Place) (*Inspection, error) {
	x, err := l.Inspect(ctx, at)
	if err != nil {
		return nil, err
	}
	v := &Inspection{Digest: ecluse.DigestOf(x.Catalogue), Catalogue: &ecluse.Catalogue{}, Estimates: map[ecluse.TableName]int64{}}
	if err := json.Unmarshal(x.Catalogue, v.Catalogue); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	if err := json.Unmarshal(x.Estimates, &v.Estimates); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
	}
	return v, nil
}

// Plan has the gates compile what will leave and, once a mapping is signed, how it
// will enter, and writes both where people can read them: approving takes the
// files' bytes.
func (d *Desk) Plan(ctx context.Context, q PlanRequest) (*Plans, error) {
	l, err := d.visit(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	id := q.Migration
	if q.Instruction != nil {
		i, err := d.open(ctx, l, q.File, q.Instruction)
		if err != nil {
			return nil, err
		}
		id = i.ID
	}
	if id, err = migration(ctx, l, id); err != nil {
		return nil, err
	}
	if q.Instruction != nil {
		text, err := l.Current(ctx, id, "instruction")
		if err != nil {
			return nil, err
		}
		if inForce := ecluse.DigestOf(text); inForce != ecluse.DigestOf(q.Instruction) {
			return nil, &ecluse.Error{
				Kind: ecluse.Refused, What: "compile the read plan", Where: q.File, Why: "another instruction is signed and in force: " + inForce.String(),
				Next: "sign the new one first: ecluse sign " + q.File + " --as KEY",
			}
		}
	}
	x, err := l.Plan(ctx, id, q.Passage)
	if err != nil {
		return nil, err
	}
	p := &Plans{Migration: id, Passage: q.Passage, Estimates: x.Estimates, Unused: x.Unused, Predicted: x.Predicted}
	if p.Read, err = mandate.ParseReadPlan(x.Read); err != nil {
		return nil, err
	}
	if p.Read.Migration != id {
		return nil, another("read the read plan", string(id), fmt.Sprintf("it is of the migration %q", p.Read.Migration))
	}
	if q.Instruction != nil && p.Read.Instruction != ecluse.DigestOf(q.Instruction) {
		return nil, another("read the read plan", q.File, "it was compiled from another instruction: "+p.Read.Instruction.String())
	}
	p.ReadPlan, p.Counts = p.Read.Digest(), countVerdicts(p.Read)
	if p.ReadSince, err = d.readSince(ctx, l, p.Read); err != nil {
		return nil, err
	}
	if p.ReadFile, err = d.writePlan(id, "readplan", x.Read); err != nil || x.Load == nil {
		return p, err
	}
	if p.Load, err = mandate.ParseLoadPlan(x.Load); err != nil {
		return nil, err
	}
	if p.Load.Migration != id || p.Load.Passage != q.Passage {
		return nil, another("read the load plan", string(id), fmt.Sprintf("it is of the migration %q, for a %s passage", p.Load.Migration, p.Load.Passage))
	}
	p.LoadPlan = p.Load.Digest()
	if p.Since, err = since(ctx, l, id, p.Load); err != nil {
		return nil, err
	}
	p.LoadFile, err = d.writePlan(id, "loadplan-"+string(q.Passage), x.Load)
	return p, err
}

func (d *Desk) writePlan(m ecluse.MigrationID, name string, text []byte) (string, error) {
	if err := durable.Mkdir(d.plans); err != nil {
		return "", err
	}
	path := filepath.Join(d.plans, planFile(m, name))
	return path, durable.WriteFile(path, text)
}

func planFile(m ecluse.MigrationID, name string) string { return fmt.Sprintf("%s-%s.json", m, name) }

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

// CheckInstruction has an instruction compiled against the source, as far as that
// goes without the gates' recipients: nothing is kept.
func (d *Desk) CheckInstruction(ctx context.Context, file string, text []byte) (*mandate.ReadPlan, error) {
	if _, err := mandate.ParseNewInstruction(file, text); err != nil {
		return nil, err
	}
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	plan, err := l.Sketch(ctx, text)
	if err != nil {
		return nil, err
	}
	return mandate.ParseReadPlan(plan)
}

// CheckMapping has a mapping checked against the instruction in force and the
// target.
func (d *Desk) CheckMapping(ctx context.Context, file string, text []byte) (*exchange.Checked, error) {
	doc, err := mapping.Parse(file, text)
	if err != nil {
		return nil, err
	}
	l, err := d.visit(ctx, nil)
	if err != nil {
		return nil, err
	}
	m, err := mappingOf(ctx, l, doc)
	if err != nil {
		return nil, err
	}
	frozen, err := frozenBeside(file, doc)
	if err != nil {
		return nil, err
	}
	return l.CheckMapping(ctx, m, text, frozen)
}

// standing are the gates at one place of which the controller's signature under this
// device's own roots says that they are.
type standing struct {
	gates   []*mandate.Gate
	unknown error // why the controller's signatures cannot be told; nil: they can
}

// fields are what an instruction says of the place: the gate, the system beside it, who
// administers it, and what is to be known about it. Of several, or of none, whoever writes it chooses.
func (s standing) fields() []any {
	switch len(s.gates) {
	case 0:
		if s.unknown != nil {
			return []any{"", "", "", "\n#   which gates are confirmed cannot be told now: " + s.unknown.Error() + "\n#   the root of the controller signs a new roster: ecluse roster add FILE --as ROOT-KEY"}
		}
		return []any{"", "", "", "\n#   no gate there is confirmed by a signature that this device can verify: ecluse gates lists them; compare with what the gate's console shows"}
	case 1:
		return []any{s.gates[0].Gate, strconv.Quote(s.gates[0].System), s.gates[0].AdministeredBy(), ""}
	}
	all := make([]string, len(s.gates))
	for i, g := range s.gates {
		all[i] = string(g.Gate)
	}
	return []any{"", "", "", "\n#   several gates there are confirmed: " + strings.Join(all, " ")}
}

// confirmedGates are the gates that this device itself finds confirmed, by place; one that
// waits, was retired or is only said to be one is not among them.
func (d *Desk) confirmedGates(ctx context.Context, l Lock) (map[evidence.Gate]standing, error) {
	at := map[evidence.Gate]standing{}
	if d.roots == nil {
		return at, nil
	}
	papers, err := l.EnrolledGates(ctx)
	if err != nil {
		return nil, err
	}
	rosters, err := l.Rosters(ctx)
	if err != nil {
		return nil, err
	}
	acts, err := l.GateActs(ctx)
	if err != nil {
		return nil, err
	}
	trust := mandate.Trust{Roots: d.roots, Now: time.Now()}
	if err := mandate.RosterRuns(trust, ecluse.Controller, rosters); err != nil { // none of them is a gate's fault
		none := standing{unknown: err}
		return map[evidence.Gate]standing{evidence.SourceGate: none, evidence.TargetGate: none}, nil
	}
	for _, s := range papers {
		g, err := mandate.ConfirmedGate(trust, d.lock, s, rosters, acts)
		if err != nil {
			continue // it is not confirmed
		}
		there := at[g.Place]
		same := func(x *mandate.Gate) bool { return x.Gate == g.Gate }
		if n := slices.IndexFunc(there.gates, same); n < 0 {
			there.gates = append(there.gates, g)
		} else if g.Made.After(there.gates[n].Made) {
			there.gates[n] = g
		}
		at[g.Place] = there
	}
	return at, nil
}

// NewInstruction writes an instruction to be filled in: every table and column of
// the source stands in it as a comment, and none is chosen.
func (d *Desk) NewInstruction(ctx context.Context, id ecluse.MigrationID) (string, error) {
	l, err := d.visit(ctx, nil)
	if err != nil {
		return "", err
	}
	at, err := d.confirmedGates(ctx, l)
	if err != nil {
		return "", err
	}
	v, err := inspect(ctx, l, exchange.SourcePlace)
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
source: {gate: %s, system: %s, administered_by: %s, consistency: snapshot}   # whose people administer its machine or database: controller, processor%s
target: {gate: %s, system: %s, administered_by: %s}%s
backups: {source_gate: , lock: , target_gate: }   # of each folder: none, or {until: the day on which the last backup expires}
passages: {dry: 5, rehearsal: 0, final: 1}
datasets:
`, append([]any{id}, append(at[evidence.SourceGate].fields(), at[evidence.TargetGate].fields()...)...)...)
	for _, t := range v.Catalogue.Tables {
		rows := ""
		if n, ok := v.Estimates[t.Name]; ok {
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
	b.WriteString("limits: {rows: , bytes: }\nerase_by:   # 2026-12-31T18:00:00+01:00\n" +
		"# rejects_until:   # 2027-01-31: the laboratory keeps rows put aside at its gate until that day; without it they are erased with the rest\n")
	return b.String(), nil
}
