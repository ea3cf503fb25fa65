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

// checkTried demands, of the mapping of each final passage, the target gate's word that it
// passed on invented rows and, unless the instruction says why not, dry without a check
// that differs, or in a rehearsal in which all was equal. It tells what a mapping that was
// tried dry alone was held against.
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
	seen, dry, checks := 0, 0, 0
	for _, name := range v.named("loadplan-"+string(ecluse.Final)+"-", ".json") {
		p := plans[v.digest(name)]
		switch {
		case slices.Contains(untriedProcedures(), p.Procedure):
			continue
		case !twins[p.Shape.Mapping]:
			return "", unverified(what, "the target gate does not say that the mapping of %s passed on invented rows", name)
		case !tried[p.Shape.Mapping].passed && v.instruction.untried == "":
			return "", unverified(what, "the mapping of %s passed neither dry nor in rehearsal, and the instruction does not say why", name)
		}
		seen++
		if x := tried[p.Shape.Mapping]; x.passed && !x.written {
			dry, checks = dry+1, checks+x.checks
		}
	}
	told := fmt.Sprintf("%d final", seen)
	if dry > 0 {
		told += fmt.Sprintf("; %d tried dry only: %d checks of rows as they would be written were equal, nothing was written or read back", dry, checks)
	}
	return told, nil
}

// attempt is what became of a mapping before a final passage.
type attempt struct {
	passed  bool
	written bool // in a rehearsal
	checks  int  // that its last dry run compared
}

// tries are the mappings that passed, on invented rows and on real ones.
func (v *verifier) tries(plans map[ecluse.Digest]loadPlanView) (twins map[ecluse.Digest]bool, all map[ecluse.Digest]attempt, err error) {
	twins, all = map[ecluse.Digest]bool{}, map[ecluse.Digest]attempt{}
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
			twins[x.Mapping] = twins[x.Mapping] || x.Passed
		case h.Format == ReportFormat && (kind == ecluse.Dry || kind == ecluse.Rehearsal):
			var c compared
			if err := readView(name, v.files[name], &c); err != nil {
				return nil, nil, err
			}
			of := plans[h.Plan].Shape.Mapping
			all[of] = all[of].after(kind, &c)
		}
	}
	return twins, all, nil
}

// after is what became of a mapping with one passage more.
func (x attempt) after(kind ecluse.PassageKind, c *compared) attempt {
	if kind == ecluse.Rehearsal {
		x.passed, x.written = x.passed || c.Compared.Equal, x.written || c.Compared.Equal
		return x
	}
	checks := 0
	for _, k := range c.Compared.Checks {
		if k.Off > 0 {
			return x
		}
		if k.Lines > 0 {
			checks++
		}
	}
	x.passed, x.checks = true, checks
	return x
}
