package evidence

import (
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

// twinView is what the verifier needs of twin/v1.
type twinView struct {
	Mapping ecluse.Digest `json:"mapping"`
	Passed  bool          `json:"passed"`
}

// checkTried demands, of the mapping of each final passage, the target gate's word, from
// before the passage began, that it passed on invented rows and, unless the instruction says
// why not, dry or in a rehearsal in which all was equal.
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
	seen := 0
	for _, name := range v.named("loadplan-"+string(ecluse.Final)+"-", ".json") {
		p, begun := plans[v.digest(name)], v.begun(name)
		passed := func(at map[ecluse.Digest]int64) bool {
			index, ok := at[p.Shape.Mapping]
			return ok && index < begun
		}
		switch {
		case slices.Contains(untriedProcedures(), p.Procedure):
			continue
		case !passed(twins):
			return "", unverified(what, "the target gate does not say that the mapping of %s passed on invented rows before that passage began", name)
		case !passed(tried) && v.instruction.untried == "":
			return "", unverified(what, "the mapping of %s had passed neither dry nor in rehearsal when that passage began, and the instruction does not say why", name)
		}
		seen++
	}
	return fmt.Sprintf("%d final", seen), nil
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
	compared
}

// passed tells whether a trial is one that its mapping passed, as the gate judges it: every
// dataset with rows made some, no figure differs and, of a rehearsal, all is equal.
func (x *trialView) passed(kind ecluse.PassageKind) bool {
	differs := func(c checkVerdict) bool { return c.Off > 0 }
	if len(x.Unmapped) > 0 || slices.ContainsFunc(x.Compared.Checks, differs) {
		return false
	}
	return kind == ecluse.Dry || kind == ecluse.Rehearsal && x.Compared.Equal
}

// tries are the mappings that passed, on invented rows and on real ones, with where the
// journal first has the statement that says so.
func (v *verifier) tries(plans map[ecluse.Digest]loadPlanView) (twins, tried map[ecluse.Digest]int64, err error) {
	twins, tried = map[ecluse.Digest]int64{}, map[ecluse.Digest]int64{}
	stated := v.stated()
	note := func(at map[ecluse.Digest]int64, mapping ecluse.Digest, name string) {
		index, ok := stated[v.digest(name).String()]
		if before, had := at[mapping]; ok && (!had || index < before) {
			at[mapping] = index
		}
	}
	for _, name := range v.named("statements/target-", ".json") {
		h, err := v.statement(name, TargetGate)
		if err != nil {
			return nil, nil, err
		}
		switch kind := plans[h.Plan].Passage; {
		case h.Format == TwinFormat && h.Plan == v.readPlan.digest:
			var x twinView
			if err := readView(name, v.files[name], &x); err != nil {
				return nil, nil, err
			}
			if x.Passed {
				note(twins, x.Mapping, name)
			}
		case h.Format == ReportFormat && (kind == ecluse.Dry || kind == ecluse.Rehearsal):
			var x trialView
			if err := readView(name, v.files[name], &x); err != nil {
				return nil, nil, err
			}
			if x.passed(kind) {
				note(tried, plans[h.Plan].Shape.Mapping, name)
			}
		}
	}
	return twins, tried, nil
}
