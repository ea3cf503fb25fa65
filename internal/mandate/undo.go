package mandate

import (
	"time"

	"ecluse"
)

// undoTime is how long a permit to undo lasts.
const undoTime = 24 * time.Hour

// PermitUndo lets a gate take out again what its own ledger says it began to
// load. It needs no signature, and no contract or deadline stands against it:
// keeping needs one, taking away does not (GDPR art. 28(3)(g)). What it is given
// must be the plan whose digest the ledger holds.
func PermitUndo(loadPlan []byte, ledger ecluse.Digest, p ecluse.Passage, now time.Time) (LoadPermit, error) {
	const what = "undo passage"
	if got := ecluse.DigestOf(loadPlan); ledger.IsZero() || got != ledger {
		return LoadPermit{}, &ecluse.Error{
			Kind: ecluse.Differs, What: what, Where: p.String(), Why: "this gate began another load plan than " + got.String(),
			Next: "give the plan that began: " + ledger.String(),
		}
	}
	plan, err := ParseLoadPlan(loadPlan)
	if err != nil {
		return LoadPermit{}, err
	}
	if plan.Passage != p.Kind {
		return LoadPermit{}, ecluse.Errorf(ecluse.Differs, what, "the plan is of a %s passage, not %s", plan.Passage, p)
	}
	return LoadPermit{plan: plan, digest: ledger, passage: p, undoes: true, notAfter: now.Add(undoTime)}, nil
}
