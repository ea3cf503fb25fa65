package evidence

import (
	"maps"
	"slices"
	"time"

	"ecluse"
)

// Rosters holds the rosters known of both sides, several numbers of each. The
// zero value is empty.
type Rosters struct {
	side map[ecluse.Side]map[int]*Roster
}

// Add takes a roster whose signature was verified. Two different rosters of one
// side cannot have the same number.
func (rs *Rosters) Add(r *Roster) error {
	if old, ok := rs.side[r.Side][r.Number]; ok && old.digest != r.digest {
		return unverified("add roster", "there are two different rosters number %d of the %s", r.Number, r.Side)
	}
	if rs.side == nil {
		rs.side = map[ecluse.Side]map[int]*Roster{}
	}
	if rs.side[r.Side] == nil {
		rs.side[r.Side] = map[int]*Roster{}
	}
	rs.side[r.Side][r.Number] = r
	return nil
}

// Get finds a side's roster by digest.
func (rs *Rosters) Get(side ecluse.Side, d ecluse.Digest) (*Roster, bool) {
	for _, r := range rs.side[side] {
		if r.digest == d {
			return r, true
		}
	}
	return nil, false
}

// Latest is a side's roster of the highest number.
func (rs *Rosters) Latest(side ecluse.Side) (*Roster, bool) {
	of := rs.Side(side)
	if len(of) == 0 {
		return nil, false
	}
	return of[len(of)-1], true
}

// Side lists a side's rosters by number.
func (rs *Rosters) Side(side ecluse.Side) []*Roster {
	var out []*Roster
	for _, n := range slices.Sorted(maps.Keys(rs.side[side])) {
		out = append(out, rs.side[side][n])
	}
	return out
}

// VerifyAct checks a signed act as of the instant at which it was handed in: its
// text, the signature, that the key is that person's in the roster it names,
// that the person has the role, that act, roster and mandate were running, and
// that no later roster already issued takes key or role away. Whether the role
// allows the clauses is for who reads them.
func VerifyAct(s Signed, rs *Rosters, at time.Time) (*Act, *Person, error) {
	const what = "verify act"
	a, err := ParseAct(s.Body)
	if err != nil {
		return nil, nil, because(ecluse.Unverified, what, err)
	}
	pub, err := s.Verify(NamespaceAct)
	if err != nil {
		return nil, nil, err
	}
	if at.Before(a.NotBefore) || at.After(a.NotAfter) {
		return nil, nil, unverified(what, "it is valid from %s to %s, not at %s",
			formatTime(a.NotBefore), formatTime(a.NotAfter), formatTime(at))
	}
	r, ok := rs.Get(a.Side, a.Roster)
	if !ok || r.Number != a.RosterNumber {
		return nil, nil, unverified(what, "roster %d of the %s with that digest is not known", a.RosterNumber, a.Side)
	}
	p, err := r.entitled(a.Person, a.Role, FingerprintOf(pub), at)
	if err != nil {
		return nil, nil, err
	}
	if at.Before(r.Issued) || !at.Before(r.Expires) {
		return nil, nil, unverified(what, "roster %d of the %s runs from %s to %s, not at %s",
			r.Number, r.Side, formatTime(r.Issued), formatTime(r.Expires), formatTime(at))
	}
	for _, later := range rs.Side(a.Side) {
		if later.Number <= r.Number || later.Issued.After(at) {
			continue
		}
		if _, err := later.entitled(a.Person, a.Role, FingerprintOf(pub), at); err != nil {
			return nil, nil, err
		}
	}
	return a, p, nil
}

// Entitled checks that the newest roster issued at an instant still gives the person of an
// act that key and role. VerifyAct alone believes the act of when it was signed: who was
// struck off since can still write any day before into one that nobody has seen.
func (rs *Rosters) Entitled(a *Act, key ecluse.Fingerprint, at time.Time) error {
	var newest *Roster
	for _, r := range rs.Side(a.Side) {
		if !r.Issued.After(at) {
			newest = r
		}
	}
	if newest == nil {
		return unverified("verify act", "no roster of the %s is issued yet", a.Side)
	}
	_, err := newest.entitled(a.Person, a.Role, key, at)
	return err
}

// entitled finds the person and checks key, role and mandate.
func (r *Roster) entitled(id string, role ecluse.Role, key ecluse.Fingerprint, at time.Time) (*Person, error) {
	const what = "verify act"
	p, ok := r.Person(id)
	switch {
	case !ok:
		return nil, unverified(what, "%s is not in roster %d of the %s", id, r.Number, r.Side)
	case !p.Holds(key):
		return nil, unverified(what, "key %s is not %s's in roster %d of the %s", key, id, r.Number, r.Side)
	case !p.May(role):
		return nil, unverified(what, "%s is not %s in roster %d of the %s", id, role, r.Number, r.Side)
	case !p.Active(at):
		return nil, unverified(what, "%s's mandate in roster %d of the %s does not run at %s", id, r.Number, r.Side, formatTime(at))
	}
	return p, nil
}
