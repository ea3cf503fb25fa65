package evidence

import (
	"cmp"
	"fmt"
	"slices"

	"ecluse"
)

// untriedProcedures are the procedures, by the digest that a load plan names, under which
// a final passage did not yet wait until its mapping was tried, or waited for less.
func untriedProcedures() []string {
	return []string{
		"sha256:78bb4212e0c4bf0ec75f822e268f18231e87a6fd91ac0671351d3b839314c744",
		"sha256:d65955dfc9b3b6b993825e514da33a4048dddda00400f238f5b658e92d288b94",
		"sha256:014428a3d0b61ba8003082ef588020ad3c7bea09b964bf18d18b699a21ae67f1",
		"sha256:0dc379d4766ecede23e201659ec40f96684d32f5b2cd3beea4c2ee686d6d91a7",
		"sha256:2f318925ba1fa8adc8359dbb07ab3c16abaf35b6a6197d58cc9a2c44ca96ef08",
		"sha256:2b642bc609e754fa772fb360698e1e2f3cde11481124f5abc2936a59adf2f3b9",
		"sha256:b758cdc463726aa3d2102bcb85502bdf06954ede931cffa878a273b6e131cb76",
	}
}

// untwinnedProcedures are those under which a rehearsal did not yet wait for invented rows.
func untwinnedProcedures() []string {
	return append(untriedProcedures(),
		"sha256:bf42ef6a070412dc28836f272e8ff61df2ae228390f55a79b43d104c8194bab3",
		"sha256:5c84e17b144656992d84b0c50cdeb04ce076fa487a1bcdc2755ef499b0b4f6d3",
		"sha256:2ef360fb74a618f595b8df5b20226c999b527f58d5abb0d3ae24d41ec599645c",
		"sha256:0269d56964f11b2722a8bf2219d3f0bf9bca8745294ac387f8a24af987bce1f7",
		"sha256:4d0bf0905771a42b05ba5e7d13d0b8301dfb55de1a9c37d3a5cbd58950ee5eb8",
		"sha256:7cd4d90470f5f128ab77459c0275e8b46e2be7e12611c3b69bcbc630f0231105",
		"sha256:4dbee63197bcb8c119477115b1c4cc5f465524c955e65bd6334acea876ff1767",
	)
}

// twinView is what the verifier needs of twin/v1.
type twinView struct {
	Mapping ecluse.Digest `json:"mapping"`
	Passed  bool          `json:"passed"`
}

// checkTried demands, of the mapping of each final passage, the target gate's word, from
// before the passage began, that it passed on invented rows and, unless the instruction says
// why not, dry or in a rehearsal in which all was equal; of a rehearsal's that it had passed
// on invented rows. It tells what a mapping that was tried dry alone was held against.
func (v *verifier) checkTried() (string, error) {
	const what = "verify rehearsal"
	plans := map[ecluse.Digest]loadPlanView{}
	for _, name := range v.named("loadplan-", ".json") {
		var p loadPlanView
		if err := readView(name, v.files[name], &p); err != nil {
			return "", err
		}
		plans[v.digest(name)] = p
	}
	twins, tried, err := v.tries(plans)
	if err != nil {
		return "", err
	}
	twin := func(name string, mapping ecluse.Digest) error {
		if index, ok := twins[mapping]; ok && index < v.begun(name) {
			return nil
		}
		return unverified(what, "the target gate does not say that the mapping of %s passed on invented rows before that passage began", name)
	}
	for _, name := range v.named("loadplan-"+string(ecluse.Rehearsal)+"-", ".json") {
		if p := plans[v.digest(name)]; !slices.Contains(untwinnedProcedures(), p.Procedure) {
			if err := twin(name, p.Shape.Mapping); err != nil {
				return "", err
			}
		}
	}
	seen, dry, checks := 0, 0, 0
	for _, name := range v.named("loadplan-"+string(ecluse.Final)+"-", ".json") {
		p := plans[v.digest(name)]
		if slices.Contains(untriedProcedures(), p.Procedure) {
			continue
		}
		if err := twin(name, p.Shape.Mapping); err != nil {
			return "", err
		}
		all := tried[p.Shape.Mapping]
		begun := func(x attempt) bool { return x.at >= v.begun(name) }
		all = slices.DeleteFunc(slices.Clone(all), begun)
		if len(all) == 0 && v.instruction.untried == "" {
			return "", unverified(what, "the mapping of %s had passed neither dry nor in rehearsal when that passage began, and the instruction does not say why", name)
		}
		seen++
		if written := func(x attempt) bool { return x.written }; len(all) > 0 && !slices.ContainsFunc(all, written) {
			last := slices.MaxFunc(all, func(a, b attempt) int { return cmp.Compare(a.at, b.at) })
			dry, checks = dry+1, checks+last.checks
		}
	}
	told := fmt.Sprintf("%d final", seen)
	if dry > 0 {
		told += fmt.Sprintf("; %d tried dry only: %d checks of rows as they would be written were equal, nothing was written or read back", dry, checks)
	}
	return told, nil
}

// begun is where the journal first says that the passage of a load plan's file began.
func (v *verifier) begun(file string) int64 {
	for _, l := range v.leaves {
		if l.Type == LeafBegun && "loadplan-"+l.IDs["passage"]+".json" == file {
			return l.Index
		}
	}
	return int64(len(v.leaves))
}

// stated are the statements in the journal, with where it has each first.
func (v *verifier) stated() map[string]int64 {
	at := map[string]int64{}
	for _, l := range v.leaves {
		if _, ok := at[l.IDs["statement"]]; l.Type == LeafStated && !ok {
			at[l.IDs["statement"]] = l.Index
		}
	}
	return at
}

// trialView is what the verifier needs of the report of a trial.
type trialView struct {
	Unmapped []ecluse.DatasetID `json:"unmapped"` // datasets with rows of which none came to anything
	Scant    []ecluse.DatasetID `json:"scant"`    // and of which more than half was put aside
	compared
}

// passed tells whether a trial is one that its mapping passed, as the gate judges it: every
// dataset with rows made some, and of most rows, no figure differs and, of a rehearsal, all
// is equal.
func (x *trialView) passed(kind ecluse.PassageKind) bool {
	differs := func(c checkVerdict) bool { return c.Off > 0 }
	if len(x.Unmapped) > 0 || len(x.Scant) > 0 || slices.ContainsFunc(x.Compared.Checks, differs) {
		return false
	}
	return kind == ecluse.Dry || kind == ecluse.Rehearsal && x.Compared.Equal
}

// attempt is a trial that its mapping passed.
type attempt struct {
	at      int64 // where the journal first has the report that says so
	written bool  // it was a rehearsal
	checks  int   // that a dry run compared
}

// tries are the mappings that passed on invented rows, with where the journal first says so,
// and the trials that they passed on real ones.
func (v *verifier) tries(plans map[ecluse.Digest]loadPlanView) (twins map[ecluse.Digest]int64, tried map[ecluse.Digest][]attempt, err error) {
	twins, tried = map[ecluse.Digest]int64{}, map[ecluse.Digest][]attempt{}
	stated := v.stated()
	for _, name := range v.named("statements/target-", ".json") {
		h, err := v.statement(name, TargetGate)
		if err != nil {
			return nil, nil, err
		}
		at, known := stated[v.digest(name).String()]
		if !known {
			continue
		}
		switch kind := plans[h.Plan].Passage; {
		case h.Format == TwinFormat && h.Plan == v.readPlan.digest:
			var x twinView
			if err := readView(name, v.files[name], &x); err != nil {
				return nil, nil, err
			}
			if before, had := twins[x.Mapping]; x.Passed && (!had || at < before) {
				twins[x.Mapping] = at
			}
		case h.Format == ReportFormat && (kind == ecluse.Dry || kind == ecluse.Rehearsal):
			var x trialView
			if err := readView(name, v.files[name], &x); err != nil {
				return nil, nil, err
			}
			if x.passed(kind) {
				of := plans[h.Plan].Shape.Mapping
				tried[of] = append(tried[of], attempt{at, kind == ecluse.Rehearsal, x.counted()})
			}
		}
	}
	return twins, tried, nil
}

// counted is how many checks a trial compared: one that could be has lines.
func (x *trialView) counted() (n int) {
	for _, c := range x.Compared.Checks {
		if c.Lines > 0 {
			n++
		}
	}
	return n
}
