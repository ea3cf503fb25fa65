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

// checkTried demands, of the mapping of each final passage, the target gate's word that it
// passed on invented rows and, unless the instruction says why not, dry or in a rehearsal
// in which all was equal; of a rehearsal's that it passed on invented rows.
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
	for _, name := range v.named("loadplan-"+string(ecluse.Rehearsal)+"-", ".json") {
		if p := plans[v.digest(name)]; !twins[p.Shape.Mapping] && !slices.Contains(untwinnedProcedures(), p.Procedure) {
			return "", unverified(what, "the target gate does not say that the mapping of %s passed on invented rows", name)
		}
	}
	seen := 0
	for _, name := range v.named("loadplan-"+string(ecluse.Final)+"-", ".json") {
		p := plans[v.digest(name)]
		switch {
		case slices.Contains(untriedProcedures(), p.Procedure):
			continue
		case !twins[p.Shape.Mapping]:
			return "", unverified(what, "the target gate does not say that the mapping of %s passed on invented rows", name)
		case !tried[p.Shape.Mapping] && v.instruction.untried == "":
			return "", unverified(what, "the mapping of %s passed neither dry nor in rehearsal, and the instruction does not say why", name)
		}
		seen++
	}
	return fmt.Sprintf("%d final", seen), nil
}

// tries are the mappings that passed, on invented rows and on real ones.
func (v *verifier) tries(plans map[ecluse.Digest]loadPlanView) (twins, tried map[ecluse.Digest]bool, err error) {
	twins, tried = map[ecluse.Digest]bool{}, map[ecluse.Digest]bool{}
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
			var hardly struct {
				Scant []ecluse.DatasetID `json:"scant"`
			}
			if err := readView(name, v.files[name], &hardly); err != nil {
				return nil, nil, err
			}
			of := plans[h.Plan].Shape.Mapping
			tried[of] = tried[of] || len(hardly.Scant) == 0 && (kind == ecluse.Dry || c.Compared.Equal)
		}
	}
	return twins, tried, nil
}
