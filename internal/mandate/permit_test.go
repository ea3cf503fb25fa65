package mandate_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
)

func TestPermitRead(t *testing.T) {
	m := migration(t)
	p := m.ReadPermit(t)
	if diff := cmp.Diff(m.Plan, p.Plan()); diff != "" {
		t.Error(diff)
	}
	if p.Digest() != m.Plan.Digest() || p.Recipient() != m.World.Chunks.Recipient().String() || p.Rejects() != m.World.Rejects.Recipient().String() {
		t.Error("the permit does not carry the plan's digest and both recipients")
	}
	in := m.ReadPermitInputs()
	r := m.World.Roster(ecluse.Processor, 3, in.Now)
	r.Expires = in.Now.Add(48 * time.Hour)
	signed, _ := m.World.SignRoster(t, r)
	in.Rosters = append(in.Rosters, signed)
	if p, err := mandate.PermitRead(in); err != nil || !p.NotAfter().Equal(r.Expires) {
		t.Errorf("it ends %s, not with the roster: %v", p.NotAfter(), err)
	}
	if zero := (mandate.ReadPermit{}); zero.Plan() != nil {
		t.Error("the zero permit has a plan")
	}
}

// TestPermitEnds: a permit lasts to the earliest end, whichever that is.
func TestPermitEnds(t *testing.T) {
	in := func(w *mandatetest.World, days int) time.Time { return w.Now.AddDate(0, 0, days) }
	day := func(t time.Time) string { return t.Format(time.DateOnly) }
	for name, c := range map[string]func(w *mandatetest.World) (more string, ends time.Time){
		"rosters": func(w *mandatetest.World) (string, time.Time) {
			return "", w.Now.Add(-24 * time.Hour).Add(evidence.RosterLife)
		},
		"contract": func(w *mandatetest.World) (string, time.Time) {
			w.Contract = bytes.Replace(w.Contract, []byte("\nend: "+day(w.Now.AddDate(0, 9, 0))), []byte("\nend: "+day(in(w, 10))), 1)
			return "erase_by: " + in(w, 20).Format(time.RFC3339), in(w, 11).UTC().Truncate(24 * time.Hour)
		},
		"certificate": func(w *mandatetest.World) (string, time.Time) {
			w.Contract = bytes.Replace(w.Contract, []byte("valid_until: "+day(w.Now.AddDate(0, 12, 0))), []byte("valid_until: "+day(in(w, 7))), 1)
			return "", in(w, 8).UTC().Truncate(24 * time.Hour)
		},
		"deadline": func(w *mandatetest.World) (string, time.Time) {
			return "erase_by: " + in(w, 5).Format(time.RFC3339), in(w, 5)
		},
		"recipients": func(w *mandatetest.World) (string, time.Time) {
			w.RecipientEnds = in(w, 3)
			return "", in(w, 3)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := mandatetest.New(t)
			more, ends := c(w)
			p := w.ReadPermit(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+more)
			if !p.NotAfter().Equal(ends) {
				t.Errorf("it ends %s, want %s", p.NotAfter(), ends)
			}
		})
	}
}

// clause is a clause on one of the migration's own documents.
func clause(m *mandatetest.Migration, v evidence.Verb, kind string) evidence.Clause {
	subject := map[string]ecluse.Digest{
		evidence.KindContract: m.Contract.Digest(), evidence.KindInstruction: m.Instruction.Digest(),
		evidence.KindReadPlan: m.Plan.Digest(), evidence.KindMigration: m.Instruction.Digest(),
	}[kind]
	return evidence.Clause{Verb: v, Kind: kind, Subject: subject}
}

// readCase spoils the inputs of a reading.
type readCase struct {
	spoil func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs)
	kind  ecluse.Kind
	want  string
}

func TestPermitReadRefuses(t *testing.T) {
	const later = 30 * time.Minute
	for name, c := range map[string]readCase{
		"contract changed": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Contract = bytes.Replace(in.Contract, []byte("Orléans"), []byte("Orleans"), 1)
		}, ecluse.WaitsForSign, "no signatory of the controller has signed it"},
		"instruction changed": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Instruction = bytes.Replace(in.Instruction, []byte("2015-01-01"), []byte("2014-01-01"), 1)
		}, ecluse.WaitsForSign, "no signatory of the controller has signed it"},
		"instruction widened": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Instruction = bytes.Replace(in.Instruction, []byte("last_name: identity"), []byte("portal_password: identity"), 1)
		}, ecluse.Refused, "its name is that of a password"},
		"another contract": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Contract = bytes.Replace(in.Contract, []byte("Orléans"), []byte("Orleans"), 1)
			sign := []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindContract, Subject: ecluse.DigestOf(in.Contract)}}
			in.Acts = append(in.Acts, m.Act(t, m.World.Anne, ecluse.Signatory, sign), m.Act(t, m.World.Lucy, ecluse.Signatory, sign))
		}, ecluse.Differs, "under another contract"},
		"unsigned by processor": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts[:1:1], in.Acts[2:]...)
		}, ecluse.WaitsForSign, "no signatory of the processor has signed it"},
		"plan changed by a byte": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.ReadPlan = bytes.Replace(in.ReadPlan, []byte(`"rows": 1000000000`), []byte(`"rows": 1000000001`), 1)
		}, ecluse.Differs, "limits.rows was 1000000001 and is 1000000000"},
		"plan with a space": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.ReadPlan = append([]byte(" "), in.ReadPlan...)
		}, ecluse.Invalid, "its bytes are not those a plan is written with"},
		"act changed by a byte": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			last := &in.Acts[len(in.Acts)-1]
			last.Body = bytes.Replace(last.Body, []byte("approve"), []byte("suspend"), 1)
		}, ecluse.Unverified, "verify act 4 of 4"},
		"roster changed by a byte": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Rosters[0].Body = bytes.Replace(in.Rosters[0].Body, []byte("Paul Simon"), []byte("Paul Simone"), 1)
		}, ecluse.Unverified, "roster 2 of the controller is not signed by the root"},
		"roster of another root": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			m.World.Roots[ecluse.Processor] = mandatetest.Key(t)
			in.Rosters[1], _ = m.World.SignRoster(t, m.World.Roster(ecluse.Processor, 3, m.World.Now))
		}, ecluse.Unverified, "is not signed by the root"},
		"roster of the other party's root": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Roots[ecluse.Controller], in.Roots[ecluse.Processor] = in.Roots[ecluse.Processor], in.Roots[ecluse.Controller]
		}, ecluse.Unverified, "is not signed by the root"},
		"contract names another root": {func(_ *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Contract = bytes.Replace(in.Contract, []byte(m.World.Root(ecluse.Controller)), []byte("SHA256:"+strings.Repeat("C", 43)), 1)
		}, ecluse.Refused, "the contract names another root for the controller"},
		"no root": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			delete(in.Roots, ecluse.Controller)
		}, ecluse.Unverified, "is not signed by the root"},
		"lower roster number": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Floors[ecluse.Controller] = 3
		}, ecluse.Refused, "its number is 2 and this gate has seen 3"},
		"roster too old": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Now, in.BegunAt = in.Now.Add(evidence.RosterLife), in.Now
		}, ecluse.Refused, "it is older than 30 days"},
		"no roster": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Rosters, in.Acts = in.Rosters[:1], nil
		}, ecluse.Refused, "there is none that is issued already"},
		"two rosters of a number": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			s, _ := m.World.SignRoster(t, m.World.Roster(ecluse.Controller, 2, m.World.Now))
			in.Rosters = append(in.Rosters, s)
		}, ecluse.Unverified, "two different rosters number 2"},
		"approved by the wrong role": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts[3] = m.Act(t, m.World.Lucy, ecluse.Signatory, []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)})
		}, ecluse.WaitsForSign, "no operator of the processor has signed it (approve)"},
		"approved by the wrong party": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts[2] = m.Act(t, m.World.Anne, ecluse.Signatory, []evidence.Clause{clause(m, evidence.VerbSign, evidence.KindInstruction)})
			in.Acts = append(in.Acts, m.Act(t, m.World.Lucy, ecluse.Signatory, []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)}))
		}, ecluse.WaitsForSign, "no signatory of the controller has signed it (approve)"},
		"a role the person has not": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts[3] = m.Act(t, m.World.Lucy, ecluse.Operator, []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)})
		}, ecluse.Unverified, "lucie-blanc is not operator"},
		"somebody else's key": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			forged := *m.World.Jean
			forged.Signer = m.World.Lucy.Signer
			in.Acts[3] = m.Act(t, &forged, ecluse.Operator, []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)})
		}, ecluse.Unverified, "is not jean-petit's"},
		"approval expired": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Now = in.Now.Add(48*time.Hour + time.Second)
		}, ecluse.WaitsForSign, "approval ended on"},
		"approval too long ago": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			long := func(a *evidence.Act) { a.NotAfter = a.NotAfter.AddDate(0, 1, 0) }
			approve := []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)}
			in.Acts = append(in.Acts, m.Act(t, m.World.Anne, ecluse.Signatory, approve, long), m.Act(t, m.World.Jean, ecluse.Operator, approve, long))
			in.Now = in.Now.Add(mandate.BeginWithin)
		}, ecluse.WaitsForSign, "more than 72 hours after"},
		"approval not begun": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts[3] = m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)},
				func(a *evidence.Act) { a.NotBefore = m.World.Now.Add(time.Hour) })
		}, ecluse.WaitsForSign, "no operator of the processor"},
		"begun before approval": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.BegunAt = in.Now.Add(-2 * time.Hour)
		}, ecluse.Refused, "it began before"},
		"begun in the future": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.BegunAt = in.Now.Add(time.Hour)
		}, ecluse.Unverified, "the clock was set back"},
		"operator left": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			m.World.Jean.Until = evidence.Day(m.World.Now.AddDate(0, 0, -2).Format(time.DateOnly))
			s, _ := m.World.SignRoster(t, m.World.Roster(ecluse.Processor, 3, m.World.Now.Add(-time.Minute)))
			in.Rosters = append(in.Rosters, s)
		}, ecluse.Unverified, "jean-petit's approval does not hold any more"},
		"suspended": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Lucy, ecluse.Security, []evidence.Clause{clause(m, evidence.VerbSuspend, evidence.KindMigration)}))
		}, ecluse.Refused, "suspended by lucie-blanc (security of the processor)"},
		"suspension resumed by the other side": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Anne, ecluse.Signatory, []evidence.Clause{clause(m, evidence.VerbSuspend, evidence.KindReadPlan)}),
				m.Act(t, m.World.Lucy, ecluse.Security, []evidence.Clause{clause(m, evidence.VerbResume, evidence.KindReadPlan)},
					func(a *evidence.Act) { a.NotBefore = a.NotBefore.Add(later) }))
		}, ecluse.Refused, "suspended by anne-martin"},
		"objection": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Paul, ecluse.DPO, []evidence.Clause{clause(m, evidence.VerbObject, evidence.KindContract)}))
		}, ecluse.Refused, "objected to by paul-simon (dpo of the controller)"},
		"instruction refused by the processor": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{clause(m, evidence.VerbRefuse, evidence.KindInstruction)}))
		}, ecluse.Refused, "refused by jean-petit"},
		"another gate": {func(_ *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Gate = m.Instruction.Target.Gate
		}, ecluse.Refused, "its source gate is"},
		"recipient of another gate": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			s, err := evidence.SignRecipient(m.World.SourceGate, &evidence.Recipient{
				Migration: m.ID, Instruction: m.Instruction.Digest(), Purpose: evidence.ForChunks,
				Recipient: m.World.Rejects.Recipient().String(), NotAfter: in.Now.AddDate(1, 0, 0),
			})
			if err != nil {
				t.Fatal(err)
			}
			in.Recipient = s
		}, ecluse.Unverified, "not signed by the gate that the instruction names"},
		"recipients exchanged": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Recipient, in.Rejects = in.Rejects, in.Recipient
		}, ecluse.Unverified, "not signed by the gate"},
		"another recipient of the same gate": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			s, err := evidence.SignRecipient(m.World.TargetGate, &evidence.Recipient{
				Migration: m.ID, Instruction: m.Instruction.Digest(), Purpose: evidence.ForChunks,
				Recipient: m.World.Chunks.Recipient().String(), NotAfter: in.Now.AddDate(1, 0, 0),
			})
			if err != nil {
				t.Fatal(err)
			}
			in.Recipient = s
		}, ecluse.Differs, "compiled from another contract, instruction or recipient"},
		"recipient for another migration": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			s, err := evidence.SignRecipient(m.World.TargetGate, &evidence.Recipient{
				Migration: "another-one", Instruction: m.Instruction.Digest(), Purpose: evidence.ForChunks,
				Recipient: m.World.Chunks.Recipient().String(), NotAfter: in.Now.AddDate(1, 0, 0),
			})
			if err != nil {
				t.Fatal(err)
			}
			in.Recipient = s
		}, ecluse.Refused, "made for another migration, instruction or purpose"},
		"recipient ended": {func(_ *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			m.World.RecipientEnds = in.Now
			_, in.Recipient, _ = m.World.Instruction(t, m.ID, body)
		}, ecluse.Refused, "verify the recipient for chunks: it ended on"},
		"roster expired": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			r := m.World.Roster(ecluse.Controller, 3, in.Now)
			r.Expires = in.Now.Add(time.Hour)
			s, _ := m.World.SignRoster(t, r)
			in.Rosters = append(in.Rosters, s)
			in.Now = r.Expires
		}, ecluse.Refused, "verify the controller's roster: it expired on"},
		"column gone": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Source.Tables[1].Columns = in.Source.Tables[1].Columns[:6]
		}, ecluse.Differs, "public.result has no column validated_on"},
		"type changed": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Source.Tables[0].Columns[2].Declared = "varchar(10)"
		}, ecluse.Differs, `datasets[patient].columns[last_name].declared was "text" and is "varchar(10)"`},
		"key changed": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Source.Tables[1].PrimaryKey = nil
		}, ecluse.Differs, "datasets[result].key_unique was true and is absent"},
		"another procedure": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Procedure = ecluse.DigestOf(nil)
		}, ecluse.Differs, "procedure was"},
		"contract over": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			at := in.Now.AddDate(0, 10, 0)
			for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
				s, _ := m.World.SignRoster(t, m.World.Roster(side, 3, at.Add(-time.Hour)))
				in.Rosters = append(in.Rosters, s)
			}
			in.Now = at
		}, ecluse.Refused, "it ended on"},
		"deadline passed": {func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			at := in.Now.AddDate(0, 7, 0)
			for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
				s, _ := m.World.SignRoster(t, m.World.Roster(side, 3, at.Add(-time.Hour)))
				in.Rosters = append(in.Rosters, s)
			}
			in.Now = at
		}, ecluse.Refused, "its deadline passed on"},
	} {
		t.Run(name, func(t *testing.T) {
			m := migration(t)
			in := m.ReadPermitInputs()
			c.spoil(t, m, &in)
			p, err := mandate.PermitRead(in)
			if err == nil || !strings.Contains(err.Error(), c.want) || ecluse.KindOf(err) != c.kind {
				t.Fatalf("got %s %v, want %s %s", ecluse.KindOf(err), err, c.kind, c.want)
			}
			if p.Plan() != nil {
				t.Error("a permit is given with the error")
			}
		})
	}
}
