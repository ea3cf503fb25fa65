package mandate

import (
	"time"

	"ecluse"
	"ecluse/evidence"
)

// ActAtConsole is how long an act at a gate's console holds: it is made and used at once.
const ActAtConsole = 5 * time.Minute

// Attendant is one of the controller's people at a gate's console, by the rosters that
// the gate verified itself.
type Attendant struct {
	now     time.Time
	m       ecluse.MigrationID
	rosters evidence.Rosters
	roster  *evidence.Roster
	person  *evidence.Person
}

// AtConsole finds who of the controller's people a key is. Both parties' roots are those of
// the contract, and the controller's roster runs; the processor's may have run out long ago,
// for rows put aside are looked at when nobody renews it any more. Whether the migration
// stands is not asked either: who may look may do so in one that was stopped.
func AtConsole(t Trust, m ecluse.MigrationID, p Papers, key ecluse.Fingerprint) (*Attendant, error) {
	const what = "find who is at the console"
	d := newDocket(t)
	var err error
	if d.contract, err = ParseContract("contract", p.Contract); err != nil {
		return nil, err
	}
	for _, step := range []func() error{
		func() error { return d.chain(p.Rosters) },
		func() error { return d.rootOf(ecluse.Controller) },
		func() error { return d.rootOf(ecluse.Processor) },
		func() error { return d.current(ecluse.Controller) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	out := &Attendant{now: t.Now, m: m, rosters: d.rosters}
	for _, r := range d.rosters.Side(ecluse.Controller) {
		if !r.Issued.After(t.Now) {
			out.roster = r
		}
	}
	holder, ok := out.roster.Holder(key)
	if !ok || !holder.Active(t.Now) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: string(key), Article: "GDPR art. 32(4)",
			Why:  "the controller's roster gives this key to nobody whose mandate runs",
			Next: "use the key of one of the laboratory's own people: --as KEY",
		}
	}
	out.person = holder
	return out, nil
}

// Act is what the person is to sign to do something to a document, at once.
func (a *Attendant) Act(c evidence.Clause) *evidence.Act {
	begin := a.now.UTC().Truncate(time.Second)
	return &evidence.Act{
		Migration: a.m, Side: ecluse.Controller, Person: a.person.ID, Role: a.person.Roles[0], Roster: a.roster.Digest(), RosterNumber: a.roster.Number,
		NotBefore: begin, NotAfter: begin.Add(ActAtConsole), Nonce: evidence.NewNonce(), Clauses: []evidence.Clause{c},
	}
}

// Verify checks that the person signed an act that Act made, and so holds the key.
func (a *Attendant) Verify(s evidence.Signed) error {
	_, by, err := evidence.VerifyAct(s, &a.rosters, a.now.UTC().Truncate(time.Second))
	if err == nil && by.ID != a.person.ID {
		err = &ecluse.Error{Kind: ecluse.Unverified, What: "verify act", Why: "somebody else signed it"}
	}
	return err
}
