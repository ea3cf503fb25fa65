package evidence

import (
	"slices"

	"ecluse"
)

// Approver is a role at a side whose holders may approve a load plan.
type Approver struct {
	Side ecluse.Side
	Role ecluse.Role
}

// Approvers are those who may approve the load plan of a kind of passage, any one of them.
// The laboratory's own base takes the controller's signature; what writes nothing, or into
// a test base and out again, an operator's of either party, or that one. This is the one
// table: lock, target gate and verifier ask it (the procedure and verify.sh have it in their
// own words, held to this one by tests), so that what a lock takes in is refused nowhere.
func Approvers(kind ecluse.PassageKind) []Approver {
	switch kind {
	case ecluse.Final:
		return []Approver{{ecluse.Controller, ecluse.Signatory}}
	case ecluse.Dry, ecluse.Rehearsal:
		return []Approver{{ecluse.Processor, ecluse.Operator}, {ecluse.Controller, ecluse.Operator}, {ecluse.Controller, ecluse.Signatory}}
	}
	return nil
}

// MayApproveLoad tells whether holders of a role may approve the load plan of a kind of
// passage.
func MayApproveLoad(kind ecluse.PassageKind, side ecluse.Side, role ecluse.Role) bool {
	return slices.Contains(Approvers(kind), Approver{side, role})
}
