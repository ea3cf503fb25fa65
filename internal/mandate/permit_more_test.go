package mandate_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
)

// TestPermitOnePersonBothParties: one natural person on both rosters signs for
// each, told by key, employee's number or address.
func TestPermitOnePersonBothParties(t *testing.T) {
	for name, twin := range map[string]func(anne, jean *mandatetest.Person){
		"key": func(anne, jean *mandatetest.Person) {
			jean.Keys, jean.Signer = anne.Keys, anne.Signer
		},
		"employee": func(anne, jean *mandatetest.Person) { jean.Employee = anne.Employee },
		"address":  func(anne, jean *mandatetest.Person) { jean.Email = strings.ToUpper(anne.Email) },
	} {
		w := mandatetest.New(t)
		twin(w.Anne, w.Jean)
		m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
		_, err := mandate.PermitRead(m.ReadPermitInputs())
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "one person cannot stand on both sides") {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := mandatetest.New(t)
	w.Lucy.Keys, w.Lucy.Signer = w.Anne.Keys, w.Anne.Signer
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
	if _, err := mandate.PermitRead(m.ReadPermitInputs()); err == nil || !strings.Contains(err.Error(), "verify contract: anne-martin signed for both") {
		t.Errorf("contract: %v", err)
	}
}

// resume names the acts that it lifts.
func resume(m *mandatetest.Migration, stops ...evidence.Signed) []evidence.Clause {
	all := []evidence.Clause{clause(m, evidence.VerbResume, evidence.KindMigration)}
	for _, s := range stops {
		all = append(all, evidence.Clause{Verb: evidence.VerbResume, Kind: evidence.KindAct, Subject: s.Digest()})
	}
	return all
}

// TestSuspensionStands: no lock can undo a suspension that was signed by what it shows:
// another instruction, other clocks, or a resumption of another time.
func TestSuspensionStands(t *testing.T) {
	suspend := func(m *mandatetest.Migration) []evidence.Clause {
		return []evidence.Clause{clause(m, evidence.VerbSuspend, evidence.KindMigration)}
	}
	at := func(d time.Duration) func(*evidence.Act) {
		return func(a *evidence.Act) { a.NotBefore = a.NotBefore.Add(d) }
	}
	for name, acts := range map[string]func(t *testing.T, m *mandatetest.Migration) []evidence.Signed{
		"of another instruction": func(t *testing.T, m *mandatetest.Migration) []evidence.Signed {
			t.Helper()
			return []evidence.Signed{m.Act(t, m.World.Anne, ecluse.Signatory,
				[]evidence.Clause{{Verb: evidence.VerbSuspend, Kind: evidence.KindMigration, Subject: ecluse.DigestOf([]byte("shown by the lock"))}})}
		},
		"dated before an earlier resumption": func(t *testing.T, m *mandatetest.Migration) []evidence.Signed {
			t.Helper()
			first := m.Act(t, m.World.Anne, ecluse.Signatory, suspend(m), at(-3*time.Hour))
			return []evidence.Signed{first, m.Act(t, m.World.Anne, ecluse.Signatory, resume(m, first)), m.Act(t, m.World.Anne, ecluse.Signatory, suspend(m), at(-time.Hour))}
		},
		"resumed without a name": func(t *testing.T, m *mandatetest.Migration) []evidence.Signed {
			t.Helper()
			return []evidence.Signed{m.Act(t, m.World.Anne, ecluse.Signatory, suspend(m), at(-time.Hour)), m.Act(t, m.World.Anne, ecluse.Signatory, resume(m))}
		},
		"one of two resumed": func(t *testing.T, m *mandatetest.Migration) []evidence.Signed {
			t.Helper()
			first := m.Act(t, m.World.Anne, ecluse.Signatory, suspend(m), at(-time.Hour))
			return []evidence.Signed{first, m.Act(t, m.World.Anne, ecluse.Signatory, suspend(m), at(-time.Hour)), m.Act(t, m.World.Anne, ecluse.Signatory, resume(m, first))}
		},
		"resumed by the other side": func(t *testing.T, m *mandatetest.Migration) []evidence.Signed {
			t.Helper()
			first := m.Act(t, m.World.Anne, ecluse.Signatory, suspend(m), at(-time.Hour))
			return []evidence.Signed{first, m.Act(t, m.World.Lucy, ecluse.Signatory, resume(m, first))}
		},
		"objected to, of another instruction": func(t *testing.T, m *mandatetest.Migration) []evidence.Signed {
			t.Helper()
			return []evidence.Signed{m.Act(t, m.World.Paul, ecluse.DPO,
				[]evidence.Clause{{Verb: evidence.VerbObject, Kind: evidence.KindMigration, Subject: ecluse.DigestOf([]byte("shown by the lock"))}})}
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := migration(t)
			in := m.ReadPermitInputs()
			in.Acts = append(in.Acts, acts(t, m)...)
			if _, err := mandate.PermitRead(in); ecluse.KindOf(err) != ecluse.Refused {
				t.Errorf("permitted: %v", err)
			}
			slices.Reverse(in.Acts)
			if _, err := mandate.PermitRead(in); ecluse.KindOf(err) != ecluse.Refused {
				t.Errorf("permitted, in another order: %v", err)
			}
		})
	}
}

func TestPermitReadAllows(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs){
		"begun, approvals since over": func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.BegunAt = in.Now
			in.Now = in.Now.AddDate(0, 0, 20)
		},
		"begun, approved again since": func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.BegunAt = in.Now
			in.Now = in.Now.Add(3 * time.Hour)
			in.Acts = append(in.Acts, m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{clause(m, evidence.VerbApprove, evidence.KindReadPlan)},
				func(a *evidence.Act) { a.NotBefore = a.NotBefore.Add(2 * time.Hour) }))
		},
		"suspended and resumed": func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			stop := m.Act(t, m.World.Lucy, ecluse.Security, []evidence.Clause{clause(m, evidence.VerbSuspend, evidence.KindMigration)})
			in.Acts = append(in.Acts, stop, m.Act(t, m.World.Lucy, ecluse.Signatory, resume(m, stop)))
		},
		"refused, then approved": func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{clause(m, evidence.VerbRefuse, evidence.KindReadPlan)},
				func(a *evidence.Act) { a.NotBefore = a.NotBefore.Add(-time.Minute) }))
		},
		"suspended by an operator, who may not": func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{clause(m, evidence.VerbSuspend, evidence.KindMigration)}))
		},
		"another migration suspended": func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Anne, ecluse.Signatory,
				[]evidence.Clause{{Verb: evidence.VerbSuspend, Kind: evidence.KindMigration, Subject: m.Instruction.Digest()}},
				func(a *evidence.Act) { a.Migration = "another-one" }))
		},
		"a newer roster": func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			s, _ := m.World.SignRoster(t, m.World.Roster(ecluse.Processor, 3, m.World.Now))
			in.Rosters = append(in.Rosters, s)
		},
		"a roster not issued yet": func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			m.World.Jean.Roles = []ecluse.Role{ecluse.Security}
			s, _ := m.World.SignRoster(t, m.World.Roster(ecluse.Processor, 3, m.World.Now.AddDate(0, 0, 1)))
			in.Rosters = append(in.Rosters, s)
			in.Floors[ecluse.Processor] = 3
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := migration(t)
			in := m.ReadPermitInputs()
			change(t, m, &in)
			if _, err := mandate.PermitRead(in); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPermitReadReportsAdded(t *testing.T) {
	m := migration(t)
	in := m.ReadPermitInputs()
	extra := ecluse.Column{Name: "hiv_status", Type: ecluse.Type{Kind: ecluse.Text}, Declared: "text"}
	patient := &in.Source.Tables[0]
	patient.Columns = append(patient.Columns[:3:3], append([]ecluse.Column{extra}, patient.Columns[3:]...)...)
	in.Source.Tables = append(in.Source.Tables, ecluse.Table{
		Name: ecluse.TableName{Schema: "public", Name: "web"}, Kind: ecluse.BaseTable, Columns: []ecluse.Column{{Name: "password"}},
	})
	p, err := mandate.PermitRead(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"public.patient.hiv_status", "public.web.password"}, p.Elsewhere().Added); diff != "" {
		t.Error(diff)
	}
	if p.Digest() != m.Plan.Digest() {
		t.Error("the permit is not for the plan that was approved")
	}
}

// TestPermitReadFrozen: the plan says who froze the source and from when, and
// nothing is read before.
func TestPermitReadFrozen(t *testing.T) {
	w := mandatetest.New(t)
	w.Consistency = mandate.Frozen
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body)
	if f := m.Plan.Frozen; f == nil || f.By != "Anne Martin" || !f.From.Equal(w.Now) {
		t.Errorf("the plan says %+v", f)
	}
	if !bytes.Contains(m.Plan.Bytes(), []byte(`"by": "Anne Martin"`)) {
		t.Error("the plan's text does not name who froze the source")
	}
	in := m.ReadPermitInputs()
	if _, err := mandate.PermitRead(in); err != nil {
		t.Errorf("from the freeze on: %v", err)
	}
	in.Now = in.Now.Add(-time.Second)
	if p, err := mandate.PermitRead(in); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "by the word of Anne Martin") || p.Plan() != nil {
		t.Errorf("before it: %v", err)
	}
}

// TestPermitReadWindow: the gate itself refuses to read outside the window, each
// time it reads; it may go on in a later window when its approvals have ended; and
// a loading has no window.
func TestPermitReadWindow(t *testing.T) {
	w := mandatetest.New(t)
	clock := func(hours int) string { return w.Now.Add(time.Duration(hours) * time.Hour).Format("15:04") }
	m := w.Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL),
		body+fmt.Sprintf("limits: {rows: 1000, bytes: 1TB, window: %q}\n", clock(-1)+"-"+clock(2)+" UTC"))
	in := m.ReadPermitInputs()
	end := w.Now.Truncate(time.Minute).Add(2 * time.Hour)
	p, err := mandate.PermitRead(in)
	if err != nil || !p.Closes().Equal(end) {
		t.Errorf("inside: closes %s, want %s: %v", p.Closes(), end, err)
	}
	in.Now, in.BegunAt = end, w.Now
	if p, err = mandate.PermitRead(in); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "in the window") || p.Plan() != nil {
		t.Errorf("at its end: %v", err)
	}
	in.Now = end.Add(70 * time.Hour) // three windows later; an approval lasts 48 hours
	if _, err = mandate.PermitRead(in); err != nil {
		t.Errorf("in a later window: %v", err)
	}
	load := m.LoadPermitInputs(t, ecluse.Final, shape(), target(), mandatetest.Dialect(ecluse.PostgreSQL), held())
	load.Now = end
	if _, err := mandate.PermitLoad(load); err != nil {
		t.Errorf("loading outside: %v", err)
	}
}

func loadInputs(t *testing.T, kind ecluse.PassageKind) (*mandatetest.Migration, mandate.LoadPermitInputs) {
	t.Helper()
	m := migration(t)
	return m, m.LoadPermitInputs(t, kind, shape(), target(), mandatetest.Dialect(ecluse.PostgreSQL), held())
}

func held() mandate.LoadHeld {
	return mandate.LoadHeld{Table: ecluse.TableName{Name: "codes"}, Columns: []string{"code"}, Rows: 3, Digest: ecluse.DigestOf([]byte("rows"))}
}

func TestPermitLoad(t *testing.T) {
	for _, kind := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
		m, in := loadInputs(t, kind)
		p, err := mandate.PermitLoad(in)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if p.Digest() != ecluse.DigestOf(in.LoadPlan) || p.Passage() != in.Passage || p.Rejects() != m.World.Rejects.Recipient().String() || p.NotAfter().IsZero() {
			t.Errorf("%s: %+v", kind, p)
		}
		want := "nouveau"
		if kind == ecluse.Rehearsal {
			want = "nouveau-essai"
		}
		if got := p.Plan().Target.System; got != want {
			t.Errorf("%s goes into %s", kind, got)
		}
	}
	w := mandatetest.New(t)
	if p := w.LoadPermit(t, shape(), target(), mandatetest.Dialect(ecluse.PostgreSQL), held()); p.Plan().Passage != ecluse.Final {
		t.Error("a writer's permit is not for a final passage")
	}
}

func TestPermitLoadRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, m *mandatetest.Migration, in *mandate.LoadPermitInputs)
		kind  ecluse.Kind
		want  string
	}{
		"plan changed": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.LoadPlan = bytes.Replace(in.LoadPlan, []byte(`"from": "code"`), []byte(`"from": "cope"`), 1)
		}, ecluse.Differs, `shape.datasets[result].into[analysis].columns[code].from was "cope" and is "code"`},
		"no twin": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Twin = false
		}, ecluse.Refused, "has not passed on invented rows"},
		"never tried": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Tried = false
		}, ecluse.Refused, "neither dry nor in rehearsal"},
		"another mapping": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Shape.Mapping = ecluse.DigestOf([]byte("other"))
		}, ecluse.Differs, "shape.mapping was"},
		"held rows changed": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Held = []mandate.LoadHeld{held()}
			in.Held[0].Digest = ecluse.DigestOf([]byte("other"))
		}, ecluse.Differs, "held[codes].sha256 was"},
		"target changed": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Target = target()
			in.Target.Tables[0].Columns[2].Nullable = false
		}, ecluse.Differs, "column note has to be written"},
		"another read plan": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.ReadPlan = bytes.Replace(in.ReadPlan, []byte(`"rows": 1000000000`), []byte(`"rows": 1000000001`), 1)
		}, ecluse.WaitsForSign, "no operator of the processor has signed it (approve)"},
		"read plan of another contract": {func(t *testing.T, m *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.ReadPlan = bytes.Replace(in.ReadPlan, []byte(m.Contract.Digest().String()), []byte(ecluse.DigestOf(nil).String()), 1)
			approve := []evidence.Clause{{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: ecluse.DigestOf(in.ReadPlan)}}
			in.Acts = append(in.Acts, m.Act(t, m.World.Anne, ecluse.Signatory, approve), m.Act(t, m.World.Jean, ecluse.Operator, approve))
		}, ecluse.Differs, "it was compiled from another contract"},
		"another recipient of rejects": {func(t *testing.T, m *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			m.World.RecipientEnds = in.Now.AddDate(2, 0, 0)
			_, _, in.Rejects = m.World.Instruction(t, m.ID, body)
		}, ecluse.Differs, "contract, instruction or recipient"},
		"another gate": {func(_ *testing.T, m *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Gate = m.Instruction.Source.Gate
		}, ecluse.Refused, "its target gate is"},
		"a dry plan for a final passage": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.LoadPlan = bytes.Replace(in.LoadPlan, []byte(`"passage": "final"`), []byte(`"passage": "dry"`), 1)
		}, ecluse.Differs, `passage was "dry" and is "final"`},
		"approved by the operator only": {func(t *testing.T, m *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			approve := evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(in.LoadPlan)}
			in.Acts = append(in.Acts[:4:4], m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{approve}))
		}, ecluse.WaitsForSign, "no signatory of the controller has signed it (approve)"},
		"suspended": {func(t *testing.T, m *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			stop := evidence.Clause{Verb: evidence.VerbSuspend, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(in.LoadPlan)}
			in.Acts = append(in.Acts, m.Act(t, m.World.Paul, ecluse.DPO, []evidence.Clause{stop}))
		}, ecluse.Refused, "suspended by paul-simon"},
		"over budget": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Passage.Number, in.Used = 2, 1
		}, ecluse.Refused, "the instruction allows 1 of the kind final"},
		"number already used": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Used = 1
		}, ecluse.Invalid, "1 passages of the kind final are begun"},
		"approval over": {func(_ *testing.T, _ *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Now = in.Now.Add(49 * time.Hour)
		}, ecluse.WaitsForSign, "anne-martin's approval ended"},
		"read plan refused since": {func(t *testing.T, m *mandatetest.Migration, in *mandate.LoadPermitInputs) {
			in.Acts = append(in.Acts, m.Act(t, m.World.Paul, ecluse.DPO, []evidence.Clause{clause(m, evidence.VerbRefuse, evidence.KindReadPlan)},
				func(a *evidence.Act) { a.NotBefore = a.NotBefore.Add(time.Minute) }))
		}, ecluse.Refused, "refused by paul-simon"},
	} {
		t.Run(name, func(t *testing.T) {
			m, in := loadInputs(t, ecluse.Final)
			c.spoil(t, m, &in)
			p, err := mandate.PermitLoad(in)
			if err == nil || !strings.Contains(err.Error(), c.want) || ecluse.KindOf(err) != c.kind {
				t.Fatalf("got %s %v, want %s %s", ecluse.KindOf(err), err, c.kind, c.want)
			}
			if p.Plan() != nil {
				t.Error("a permit is given with the error")
			}
		})
	}
}

// TestApproversAreOneTable: whoever the lock lets approve a load plan, the gate counts.
func TestApproversAreOneTable(t *testing.T) {
	for _, kind := range []ecluse.PassageKind{ecluse.Dry, ecluse.Rehearsal, ecluse.Final} {
		for name, x := range map[string]struct {
			side ecluse.Side
			who  func(*mandatetest.World) *mandatetest.Person
			role ecluse.Role
		}{
			"Anne": {ecluse.Controller, func(w *mandatetest.World) *mandatetest.Person { return w.Anne }, ecluse.Signatory},
			"Paul": {ecluse.Controller, func(w *mandatetest.World) *mandatetest.Person { return w.Paul }, ecluse.DPO},
			"Jean": {ecluse.Processor, func(w *mandatetest.World) *mandatetest.Person { return w.Jean }, ecluse.Operator},
			"Lucy": {ecluse.Processor, func(w *mandatetest.World) *mandatetest.Person { return w.Lucy }, ecluse.Signatory},
		} {
			m, in := loadInputs(t, kind)
			in.Acts = in.Acts[:len(in.Acts)-1]
			in.Acts = append(in.Acts, m.Act(t, x.who(m.World), x.role, []evidence.Clause{{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(in.LoadPlan)}}))
			if _, err := mandate.PermitLoad(in); (err == nil) != evidence.MayApproveLoad(kind, x.side, x.role) {
				t.Errorf("%s passage approved by %s: %v", kind, name, err)
			}
		}
	}
}

// TestOneApprovalOnePassage: an act lets one passage begin, and it goes on under that act.
func TestOneApprovalOnePassage(t *testing.T) {
	m, in := loadInputs(t, ecluse.Dry)
	p, err := mandate.PermitLoad(in)
	if err != nil {
		t.Fatal(err)
	}
	used := in.Acts[len(in.Acts)-1].Digest()
	if p.Approval() != used {
		t.Errorf("begins under %s, want %s", p.Approval(), used)
	}
	in.Under = map[string]ecluse.Digest{"dry-1": used}
	again := in
	again.BegunAt, again.Used = in.Now, 1
	if p, err := mandate.PermitLoad(again); err != nil || p.Approval() != used {
		t.Errorf("it does not go on: %v", err)
	}
	in.Passage.Number, in.Used = 2, 1
	if _, err := mandate.PermitLoad(in); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Errorf("a second passage under the same act: %v", err)
	}
	anew := m.Act(t, m.World.Jean, ecluse.Operator, []evidence.Clause{{Verb: evidence.VerbApprove, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(in.LoadPlan)}})
	in.Acts = append(in.Acts, anew)
	if p, err := mandate.PermitLoad(in); err != nil || p.Approval() != anew.Digest() {
		t.Errorf("approved anew: %v", err)
	}
}

func TestWithinBudget(t *testing.T) {
	i := migration(t).Instruction
	for _, c := range []struct {
		kind         ecluse.PassageKind
		number, used int
		begun, ok    bool
		withdrawn    int
	}{
		{ecluse.Dry, 1, 0, false, true, 0},
		{ecluse.Dry, 5, 4, false, true, 0},
		{ecluse.Dry, 6, 5, false, false, 0},
		{ecluse.Dry, 3, 5, true, true, 0},
		{ecluse.Dry, 6, 5, true, false, 0},
		{ecluse.Dry, 3, 1, false, false, 0},
		{ecluse.Dry, 0, 0, false, false, 0},
		{ecluse.Final, 1, 1, true, true, 0},
		{ecluse.Final, 2, 1, false, false, 0},
		{"other", 1, 0, false, false, 0},
		{ecluse.Final, 2, 1, false, true, 1},
		{ecluse.Final, 3, 2, false, false, 1},
		{ecluse.Dry, 3, 1, false, false, 1},
	} {
		err := mandate.WithinBudget(i, ecluse.Passage{Kind: c.kind, Number: c.number}, c.used, c.withdrawn, c.begun)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", fmt.Sprint(c), err)
		}
	}
}

func TestPermitUndo(t *testing.T) {
	_, in := loadInputs(t, ecluse.Final)
	digest := ecluse.DigestOf(in.LoadPlan)
	p, err := mandate.PermitUndo(in.LoadPlan, digest, in.Passage, in.Now)
	if err != nil || !p.UndoesOnly() || p.Digest() != digest || !p.NotAfter().After(in.Now) {
		t.Errorf("%+v, %v", p, err)
	}
	loading, err := mandate.PermitLoad(in)
	if err != nil || loading.UndoesOnly() {
		t.Errorf("a permit to load undoes only: %v", err)
	}
	for name, c := range map[string]struct {
		plan    []byte
		ledger  ecluse.Digest
		passage ecluse.Passage
	}{
		"another plan":    {in.LoadPlan, ecluse.DigestOf(nil), in.Passage},
		"nothing begun":   {in.LoadPlan, ecluse.Digest{}, in.Passage},
		"another passage": {in.LoadPlan, digest, ecluse.Passage{Kind: ecluse.Rehearsal, Number: 1}},
	} {
		if p, err := mandate.PermitUndo(c.plan, c.ledger, c.passage, in.Now); ecluse.KindOf(err) != ecluse.Differs || p.Plan() != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSketchRead: a sketch is the plan but for the recipients, and no permit
// comes of it even when both parties approve it.
func TestSketchRead(t *testing.T) {
	m := migration(t)
	sketch, err := mandate.SketchRead(m.ReadInputs())
	if err != nil {
		t.Fatal(err)
	}
	in := m.ReadPermitInputs()
	in.ReadPlan = sketch.Bytes()
	approve := []evidence.Clause{{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: sketch.Digest()}}
	in.Acts = append(in.Acts, m.Act(t, m.World.Anne, ecluse.Signatory, approve), m.Act(t, m.World.Jean, ecluse.Operator, approve))
	if _, err := mandate.PermitRead(in); ecluse.KindOf(err) != ecluse.Differs {
		t.Errorf("a sketch is permitted: %v", err)
	}
	in.Recipient, in.Rejects = evidence.Signed{}, evidence.Signed{}
	if _, err := mandate.PermitRead(in); err == nil {
		t.Error("a sketch without recipients is permitted")
	}
	if !strings.HasPrefix(sketch.Datasets[0].Statement, "read ") {
		t.Error("a sketch shows no statements")
	}
}

// TestPermitSuccession: a change is a new version that names the one before.
func TestPermitSuccession(t *testing.T) {
	before, other := ecluse.DigestOf([]byte("the version before")), ecluse.DigestOf([]byte("another"))
	signed := func(d ecluse.Digest, ago time.Duration) func(*testing.T, *mandatetest.Migration, *mandate.ReadPermitInputs) {
		return func(t *testing.T, m *mandatetest.Migration, in *mandate.ReadPermitInputs) {
			sign := []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindInstruction, Subject: d}}
			in.Acts = append(in.Acts, m.Act(t, m.World.Anne, ecluse.Signatory, sign, func(a *evidence.Act) { a.NotBefore = m.World.Now.Add(-ago) }))
		}
	}
	acted := func(d ecluse.Digest) func(*testing.T, *mandatetest.Migration, *mandate.ReadPermitInputs) {
		return func(_ *testing.T, _ *mandatetest.Migration, in *mandate.ReadPermitInputs) { in.Acted = d }
	}
	type spoil = func(*testing.T, *mandatetest.Migration, *mandate.ReadPermitInputs)
	for name, c := range map[string]struct {
		replaces ecluse.Digest
		spoil    []spoil
		want     string // empty: it is permitted
	}{
		"a second version":                 {before, []spoil{signed(before, 2*time.Hour)}, ""},
		"a second version, acted on first": {before, []spoil{signed(before, 2*time.Hour), acted(before)}, ""},
		"a third version":                  {before, []spoil{signed(other, 3*time.Hour), signed(before, 2*time.Hour), acted(other)}, ""},
		"a first one names another":        {before, nil, "no version of it is in force, and it replaces " + before.String()},
		"a second one names none":          {ecluse.Digest{}, []spoil{signed(before, 2*time.Hour)}, before.String() + " is in force, and it does not name it"},
		"a second one names another":       {other, []spoil{signed(before, 2*time.Hour)}, before.String() + " is in force, and it replaces " + other.String()},
		"not the last":                     {ecluse.Digest{}, []spoil{signed(other, time.Minute)}, "the controller signed a later version: " + other.String()},
		"acted on one that is left out":    {ecluse.Digest{}, []spoil{acted(other)}, "this gate acted on " + other.String()},
	} {
		t.Run(name, func(t *testing.T) {
			more := ""
			if !c.replaces.IsZero() {
				more = "replaces: " + c.replaces.String()
			}
			m := mandatetest.New(t).Migration(t, source(), mandatetest.Dialect(ecluse.PostgreSQL), body+more)
			in := m.ReadPermitInputs()
			for _, s := range c.spoil {
				s(t, m, &in)
			}
			_, err := mandate.PermitRead(in)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestPermitNeedsConfirmedGates: beyond one room, nothing is read or loaded unless the
// controller confirmed both gates, and what the instruction says of their administrators is
// what they say themselves.
func TestPermitNeedsConfirmedGates(t *testing.T) {
	type gates struct {
		*mandatetest.Migration
		lock           ssh.Signer
		source, target evidence.Signed
	}
	paper := func(g *gates, key ssh.Signer, at evidence.Gate, edit func(*mandate.Gate)) evidence.Signed {
		x := g.World.Gate(key, g.lock)
		x.Place = at
		edit(x)
		s, err := mandate.SignGate(key, x)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	own := func(x *mandate.Gate) {
		x.Machine, x.Database = mandate.Administrators{ecluse.Controller}, mandate.Administrators{ecluse.Controller}
		if x.Place == evidence.TargetGate {
			x.System = "nouveau"
		}
	}
	says := func(g *gates, p *mandatetest.Person, role ecluse.Role, v evidence.Verb, s evidence.Signed, later time.Duration) evidence.Signed {
		return g.Act(t, p, role, []evidence.Clause{{Verb: v, Kind: evidence.KindGate, Subject: s.Digest()}}, func(a *evidence.Act) {
			a.Migration, a.NotBefore = "", a.NotBefore.Add(later)
		})
	}
	for name, c := range map[string]struct {
		change func(g *gates, in *mandate.ReadPermitInputs)
		want   ecluse.Kind
		words  string
	}{
		"both confirmed": {func(*gates, *mandate.ReadPermitInputs) {}, "", ""},
		"no paper":       {func(_ *gates, in *mandate.ReadPermitInputs) { in.Gates = in.Gates[:1] }, ecluse.WaitsForSign, "nobody confirmed the gate"},
		"not confirmed":  {func(_ *gates, in *mandate.ReadPermitInputs) { in.Acts = in.Acts[:len(in.Acts)-1] }, ecluse.WaitsForSign, "target.gate"},
		"confirmed by the processor": {func(g *gates, in *mandate.ReadPermitInputs) {
			in.Acts[len(in.Acts)-1] = says(g, g.World.Lucy, ecluse.Signatory, evidence.VerbSign, g.target, 0)
		}, ecluse.WaitsForSign, "target.gate"},
		"retired": {func(g *gates, in *mandate.ReadPermitInputs) {
			in.Acts = append(in.Acts, says(g, g.World.Anne, ecluse.Signatory, evidence.VerbRefuse, g.source, 10*time.Minute))
		}, ecluse.Refused, "refused by anne-martin"},
		"of another lock": {func(_ *gates, in *mandate.ReadPermitInputs) { in.Lock = in.Roots[ecluse.Controller] }, ecluse.WaitsForSign, "source.gate"},
		"at the other place": {func(g *gates, in *mandate.ReadPermitInputs) {
			s := paper(g, g.World.TargetGate, evidence.SourceGate, own)
			in.Gates[1], in.Acts[len(in.Acts)-1] = s, says(g, g.World.Anne, ecluse.Signatory, evidence.VerbSign, s, 0)
		}, ecluse.WaitsForSign, "target.gate"},
		"administered by others": {func(g *gates, in *mandate.ReadPermitInputs) {
			s := paper(g, g.World.TargetGate, evidence.TargetGate, func(x *mandate.Gate) {
				own(x)
				x.Database, x.Made = mandate.Administrators{ecluse.Controller, ecluse.Processor}, x.Made.Add(time.Second)
			})
			in.Gates = append(in.Gates, s)
			in.Acts = append(in.Acts, says(g, g.World.Anne, ecluse.Signatory, evidence.VerbSign, s, 0))
		}, ecluse.Refused, "target.administered_by"},
		"beside another system": {func(g *gates, in *mandate.ReadPermitInputs) {
			s := paper(g, g.World.TargetGate, evidence.TargetGate, func(x *mandate.Gate) {
				own(x)
				x.System, x.Made = "nouveau-essai", x.Made.Add(time.Second)
			})
			in.Gates = append(in.Gates, s)
			in.Acts = append(in.Acts, says(g, g.World.Anne, ecluse.Signatory, evidence.VerbSign, s, 0))
		}, ecluse.Refused, "target.system"},
		"the source beside another": {func(g *gates, in *mandate.ReadPermitInputs) {
			s := paper(g, g.World.SourceGate, evidence.SourceGate, func(x *mandate.Gate) {
				own(x)
				x.System, x.Made = "nouveau", x.Made.Add(time.Second)
			})
			in.Gates = append(in.Gates, s)
			in.Acts = append(in.Acts, says(g, g.World.Anne, ecluse.Signatory, evidence.VerbSign, s, 0))
		}, ecluse.Refused, "source.system"},
		"in one room": {func(_ *gates, in *mandate.ReadPermitInputs) { in.OneRoom, in.Gates = true, nil }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := &gates{Migration: migration(t), lock: mandatetest.Key(t)}
			g.source, g.target = paper(g, g.World.SourceGate, evidence.SourceGate, own), paper(g, g.World.TargetGate, evidence.TargetGate, own)
			in := g.ReadPermitInputs()
			in.OneRoom, in.Lock, in.Gates = false, evidence.FingerprintOf(g.lock.PublicKey()), []evidence.Signed{g.source, g.target}
			in.Acts = append(slices.Clone(in.Acts), says(g, g.World.Anne, ecluse.Signatory, evidence.VerbSign, g.source, 0), says(g, g.World.Anne, ecluse.Signatory, evidence.VerbSign, g.target, 0))
			c.change(g, &in)
			_, err := mandate.PermitRead(in)
			if c.want == "" && err != nil || c.want != "" && (ecluse.KindOf(err) != c.want || !strings.Contains(err.Error(), c.words)) {
				t.Errorf("got %v (%s), want %s with %q", err, ecluse.KindOf(err), c.want, c.words)
			}
		})
	}
}

// TestMappingSigned: what a mapping looks up in the target is read once an operator signed
// exactly it, of a migration that stands.
func TestMappingSigned(t *testing.T) {
	text := ecluse.DigestOf([]byte("mapping"))
	sign := []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindMapping, Subject: text}}
	check := func(m *mandatetest.Migration, subject ecluse.Digest) error {
		in := m.ReadPermitInputs()
		return mandate.MappingSigned(in.Trust, in.Papers, subject)
	}
	m := migration(t)
	if err := check(m, text); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Errorf("unsigned: %v", err)
	}
	m.Add(t, m.World.Anne, ecluse.Signatory, sign...)
	if err := check(m, text); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Errorf("signed by no operator: %v", err)
	}
	m.Add(t, m.World.Jean, ecluse.Operator, sign...)
	if err := check(m, text); err != nil {
		t.Error(err)
	}
	if err := check(m, ecluse.DigestOf([]byte("another"))); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Errorf("another: %v", err)
	}
	m.Add(t, m.World.Anne, ecluse.Signatory, clause(m, evidence.VerbSuspend, evidence.KindMigration))
	if err := check(m, text); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("suspended: %v", err)
	}
}
