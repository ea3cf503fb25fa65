// Package erasure is step 12: both halves of the key and the ciphertext of a
// migration are destroyed, looked for, and stated. Nobody has to ask for it
// (GDPR art. 28(3)(g), art. 5(1)(e)).
//
// Method: cryptographic erase under NIST SP 800-88 r2. Everything was encrypted
// before it was first written, to a key of at least 128 bits of strength; that key
// exists only wrapped under two secrets that two gates hold, outside their
// backups; destroying either makes all copies of the ciphertext, in backups too,
// unreadable. Both are destroyed, then the ciphertext is unlinked as well.
//
// The package knows neither gates nor chamber: they fill its interfaces. Every
// step may be done again, so a Run that was cut short, at any point, is called
// again and ends the same.
package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// KeyHolder is a gate, as far as keys go.
type KeyHolder interface {
	// Destroy destroys all keys, halves of keys and derived secrets of a
	// migration, so that they are never made again, and says which there were.
	// Called again it says the same, with the time of the first.
	Destroy(ctx context.Context, m ecluse.MigrationID) ([]evidence.DestroyedKey, error)
	// Left names what the gate still holds of a migration; nothing after Destroy.
	Left(ctx context.Context, m ecluse.MigrationID) ([]string, error)
}

// Ciphertext is the chamber.
type Ciphertext interface {
	// Remove takes everything of a migration out and says what it was. Called
	// again it says the same.
	Remove(ctx context.Context, m ecluse.MigrationID, now time.Time) (*Removed, error)
	// Left names the files of a migration that are still there.
	Left(ctx context.Context, m ecluse.MigrationID) ([]string, error)
}

// Removed is what Ciphertext.Remove took out.
type Removed struct {
	Objects []evidence.ErasedObject // by slot
	Probes  [][]byte                // pieces of the ciphertext, taken before, to look for copies with
}

// Loads undoes what was loaded and not accepted. It comes first: undoing needs
// the keys.
type Loads interface {
	// Undo takes it out of the target; nothing when there is nothing to undo, or
	// when it was left.
	Undo(ctx context.Context, m ecluse.MigrationID) error
	// Leave gives up undoing, notes why the last try failed, and names the passages
	// that stay in the target.
	Leave(ctx context.Context, m ecluse.MigrationID, why ecluse.Kind) ([]evidence.LeftPassage, error)
}

// A target that is down, or in whose tables somebody else wrote, must not be able
// to keep a laboratory's data from being erased.
const (
	// Grace is how long after its deadline an erasure waits for a load that cannot
	// be undone. After it, keys and ciphertext go all the same.
	Grace = 72 * time.Hour
	// LastTry is how long undoing may take however late it begins.
	LastTry = time.Hour
)

// Step of an erasure.
type Step string

// The steps, in their order.
const (
	Undone     Step = "undone"
	KeyGone    Step = "key destroyed"
	TextGone   Step = "ciphertext removed"
	LookedOver Step = "looked for"
)

// Note is what is told of a step: no name of a file, no value.
type Note struct {
	Step    Step
	Gate    evidence.Gate // of KeyGone
	Numbers map[string]int64
}

// Journal is told of each step when it is done; again when a Run comes again.
type Journal interface {
	Note(ctx context.Context, m ecluse.MigrationID, n Note) error
}

// Place is where ciphertext or keys stood, or could have been copied to.
type Place struct {
	evidence.ErasedPlace
	// Search looks there for pieces of the ciphertext: here, or by the gate whose
	// place it is. nil: it cannot be searched, and Why says why.
	Search func(ctx context.Context, probes [][]byte) (Searched, error)
	Why    string
}

// Erasure is all that Run needs.
type Erasure struct {
	// Ground is the certificate as far as it is known before: migration, papers,
	// trigger, act, outcome, tool. Run fills the rest.
	Ground evidence.Certificate
	// Deadline is since when the migration is to be erased: Grace is counted from
	// it. EvenIfLoaded is the controller's order not to wait: undoing is tried once.
	Deadline     time.Time
	EvenIfLoaded bool
	// Fetch is until when the chamber waits for a source gate that is to keep rows put
	// aside and cannot be reached; zero: it waits for none. The target gate's half of the
	// key goes at once, so that no chunk opens meanwhile.
	Fetch time.Time

	Loads   Loads
	Source  KeyHolder
	Target  KeyHolder
	Chamber Ciphertext
	Places  []Place
	Journal Journal
	Now     func(context.Context) (time.Time, error) // never before a time already seen
}

// Run erases a migration and returns the certificate for both gates to sign. When
// one gate cannot be reached the other half and the ciphertext are destroyed all
// the same, which is enough that nothing opens any more; there is no certificate
// then, and Run is to be called again. Nor is there one when anything is found
// afterwards: that is ecluse.Unverified.
func Run(ctx context.Context, e Erasure) (*evidence.Certificate, error) {
	c := e.Ground
	m := c.Migration

	left, err := e.undo(ctx, m)
	if err != nil {
		return nil, err
	}
	if len(left) > 0 {
		c.Outcome, c.Left = evidence.NotUndone, left
	}

	source, err1 := e.destroy(ctx, m, evidence.SourceGate, e.Source)
	target, err2 := e.destroy(ctx, m, evidence.TargetGate, e.Target)
	if err1 != nil && !e.Fetch.IsZero() {
		if now, err := e.Now(ctx); err != nil || now.Before(e.Fetch) {
			return nil, failed("erase", m, errors.Join(err1, err2, err))
		}
	}
	removed, err3 := e.remove(ctx, m)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, failed("erase", m, err)
	}
	c.Keys = append(source, target...)
	c.Objects = removed.Objects

	looked, limits, err := e.look(ctx, m, removed.Probes)
	if err != nil {
		return nil, err
	}
	c.Looked = looked
	c.Limits = append(slices.Clone(c.Limits), append(standingLimits(), limits...)...)

	c.Method = Method
	for _, p := range e.Places {
		c.Places = append(c.Places, p.ErasedPlace)
	}
	c.Erased = latest(c)
	return &c, nil
}

// undo undoes the load, or gives up once waiting longer is nobody's right.
func (e *Erasure) undo(ctx context.Context, m ecluse.MigrationID) ([]evidence.LeftPassage, error) {
	now, err := e.Now(ctx)
	if err != nil {
		return nil, err
	}
	until := e.Deadline.Add(Grace)
	if e.EvenIfLoaded {
		until = now
	}
	trying, cancel := context.WithTimeout(ctx, max(LastTry, until.Sub(now))) // a target can hang, too
	defer cancel()
	failure := e.Loads.Undo(trying, m)
	if failure == nil {
		return nil, e.Journal.Note(ctx, m, Note{Step: Undone})
	}
	if now, err = e.Now(ctx); err != nil {
		return nil, err
	}
	if ctx.Err() != nil || now.Before(until) {
		return nil, &ecluse.Error{
			Kind: ecluse.KindOf(failure), What: "undo the load before erasing", Where: string(m), Err: failure,
			Next: "`ecluse due` goes on trying until " + until.UTC().Format("2006-01-02 15:04 UTC") + ", and then erases all the same; " +
				"a signatory of the controller has it erased at once: ecluse erase --even-if-loaded --because … --as KEY",
		}
	}
	left, err := e.Loads.Leave(ctx, m, ecluse.KindOf(failure))
	if err != nil {
		return nil, failed("undo the load before erasing", m, errors.Join(failure, err))
	}
	return left, nil
}

// Method is what certificates say under method.
const Method = "cryptographic erase (NIST SP 800-88 r2, Purge): encrypted before it was first written, with age " +
	"(ML-KEM-768 and X25519, ChaCha20-Poly1305); both halves of the wrapped key destroyed, then the ciphertext unlinked"

// destroy destroys one gate's keys.
func (e *Erasure) destroy(ctx context.Context, m ecluse.MigrationID, gate evidence.Gate, h KeyHolder) ([]evidence.DestroyedKey, error) {
	keys, err := h.Destroy(ctx, m)
	if err != nil {
		return nil, fmt.Errorf("destroy the keys at the %s gate: %w", gate, err)
	}
	for i := range keys {
		keys[i].Holder = gate
		keys[i].Destroyed = whole(keys[i].Destroyed)
	}
	return keys, e.Journal.Note(ctx, m, Note{Step: KeyGone, Gate: gate, Numbers: map[string]int64{"keys": int64(len(keys))}})
}

// remove empties the chamber.
func (e *Erasure) remove(ctx context.Context, m ecluse.MigrationID) (*Removed, error) {
	now, err := e.Now(ctx)
	if err != nil {
		return nil, err
	}
	removed, err := e.Chamber.Remove(ctx, m, now)
	if err != nil {
		return nil, fmt.Errorf("remove the ciphertext: %w", err)
	}
	var size int64
	for i := range removed.Objects {
		size += removed.Objects[i].Size
	}
	numbers := map[string]int64{"objects": int64(len(removed.Objects)), "bytes": size}
	return removed, e.Journal.Note(ctx, m, Note{Step: TextGone, Numbers: numbers})
}

// look asks gates and chamber what is left, and searches the places for pieces of
// the ciphertext.
func (e *Erasure) look(ctx context.Context, m ecluse.MigrationID, probes [][]byte) (looked []evidence.LookedFor, limits []string, err error) {
	now, err := e.Now(ctx)
	if err != nil {
		return nil, nil, err
	}
	var found []string
	note := func(what string, left []string) {
		looked = append(looked, evidence.LookedFor{What: what, Found: int64(len(left)), At: whole(now)})
		if len(left) > 0 {
			found = append(found, fmt.Sprintf("%d of %q", len(left), what))
		}
	}
	for _, who := range []struct {
		what string
		left func(context.Context, ecluse.MigrationID) ([]string, error)
	}{
		{"keys of the migration at the source gate", e.Source.Left},
		{"keys of the migration at the target gate", e.Target.Left},
		{"files of the migration in the chamber", e.Chamber.Left},
	} {
		left, err := who.left(ctx, m)
		if err != nil {
			return nil, nil, failed("look for "+who.what, m, err)
		}
		note(who.what, left)
	}
	for _, p := range e.Places {
		if p.Search == nil {
			limits = append(limits, fmt.Sprintf("%s: not searched, %s", p.Place, p.Why))
			continue
		}
		s, err := p.Search(ctx, probes)
		if err != nil {
			return nil, nil, failed("look for the ciphertext in "+p.Place, m, err)
		}
		note(fmt.Sprintf("%d pieces of the ciphertext in %s (%d files)", len(probes), p.Place, s.Files), s.Found)
		if s.Unread > 0 {
			limits = append(limits, fmt.Sprintf("%s: %d files could not be read and were not searched", p.Place, s.Unread))
		}
	}
	if len(found) > 0 {
		return nil, nil, &ecluse.Error{
			Kind: ecluse.Unverified, What: "look for what was erased", Where: string(m), Why: fmt.Sprintf("there is still: %v", found),
			Next: "find out who keeps copies there, remove them, and let the erasure run again", Article: "GDPR art. 28(3)(g)",
		}
	}
	return looked, limits, e.Journal.Note(ctx, m, Note{Step: LookedOver, Numbers: map[string]int64{"searches": int64(len(looked)), "found": 0}})
}

// standingLimits are what no certificate of this program can say.
func standingLimits() []string {
	return []string{
		"the source database is not touched and still holds its data",
		"what the target database holds after an acceptance, or in use, is the controller's and is not erased",
		"copies of keys made outside the program before they were destroyed are not seen",
		"copies of ciphertext elsewhere, compressed, in snapshots or in spare cells of disks are not found; without the keys they open no more",
	}
}

// latest is the time of the certificate: nothing in it is later.
func latest(c evidence.Certificate) time.Time {
	var t time.Time
	later := func(at time.Time) {
		if at.After(t) {
			t = at
		}
	}
	for _, k := range c.Keys {
		later(k.Destroyed)
	}
	for _, o := range c.Objects {
		later(o.Erased)
	}
	for _, l := range c.Looked {
		later(l.At)
	}
	return t
}

func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func failed(what string, m ecluse.MigrationID, err error) error {
	return &ecluse.Error{
		Kind: ecluse.KindOf(err), What: what, Where: string(m), Err: err,
		Next: "`ecluse due` goes on with it; nothing that is destroyed comes back",
	}
}
