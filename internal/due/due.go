// Package due is what must happen when: one table, one loop. Nobody has to
// remember a deadline, and keeping data longer needs a signature where erasing
// them needs none (GDPR art. 28(3)(g), art. 5(1)(e)).
//
// The table is kept by a store behind the interface Table; what each kind of
// item does is given by the caller. Everything that is due is done by Run,
// which every command calls first, and by Watch, which calls it for ever. Doing
// an item twice must do no harm: a crash between the deed and its record does it
// again.
package due

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// Kind of item: what is to be done.
type Kind string

// The kinds.
const (
	Erase         Kind = "erase"          // the migration's deadline, its acceptance, or its contract's end
	WarnErase     Kind = "warn-erase"     // its deadline comes near
	ContractEnd   Kind = "contract-end"   // the subject is the contract's digest
	WarnContract  Kind = "warn-contract"  // its end comes near
	WarnRoster    Kind = "warn-roster"    // that day comes near
	RosterAge     Kind = "roster-age"     // no gate accepts the roster any longer; the subject is its digest
	ApprovalLapse Kind = "approval-lapse" // a passage did not begin in time; the subject is the plan's digest
	RehearsalEnd  Kind = "rehearsal-end"  // a rehearsal may no longer stand in the test base; the subject is the passage
	LeaseEnd      Kind = "lease-end"      // the release secret may no longer be held; the subject is the request's digest
	Forget        Kind = "forget"         // the journal's bodies have reached their retention
	Hunt          Kind = "hunt"           // files that belong to no live migration are looked for
)

// Kinds lists them all.
func Kinds() []Kind {
	return []Kind{Erase, WarnErase, ContractEnd, WarnContract, WarnRoster, RosterAge, ApprovalLapse, RehearsalEnd, LeaseEnd, Forget, Hunt}
}

// How long things last.
const (
	BodyLife  = 365 * 24 * time.Hour
	HuntEvery = 24 * time.Hour
)

// Warnings are how long before a deadline somebody is told.
func Warnings() []time.Duration {
	return []time.Duration{7 * 24 * time.Hour, 48 * time.Hour, 4 * time.Hour}
}

// Near is the shortest of Warnings that is left at most of an end, or that has passed; false
// when it is longer than the longest.
func Near(end, now time.Time) (within time.Duration, near bool) {
	for _, w := range Warnings() {
		if left := end.Sub(now); left <= w {
			within, near = w, true
		}
	}
	return within, near
}

// Item is a line of the table. Kind, migration and subject name it: there is
// one time for one thing.
type Item struct {
	Kind      Kind               `json:"kind"`
	Migration ecluse.MigrationID `json:"migration,omitempty"`
	Subject   string             `json:"subject,omitempty"` // a digest, or what makes a warning distinct
	At        time.Time          `json:"at"`
}

func (it Item) key() Item {
	it.At = time.Time{}
	return it
}

// ForMigration is what a migration is born with.
func ForMigration(m ecluse.MigrationID, now, eraseBy time.Time) []Item {
	return withWarnings(Item{Kind: Erase, Migration: m, At: eraseBy}, WarnErase, now)
}

// ForContract is what comes with a contract in force until end.
func ForContract(contract ecluse.Digest, now, end time.Time) []Item {
	return withWarnings(Item{Kind: ContractEnd, Subject: contract.String(), At: end}, WarnContract, now)
}

func withWarnings(it Item, warn Kind, now time.Time) []Item {
	items := []Item{it}
	for i, w := range Warnings() {
		at := it.At.Add(-w)
		if at.After(now) {
			subject := fmt.Sprintf("%d", i+1)
			if it.Subject != "" {
				subject = it.Subject + " " + subject
			}
			items = append(items, Item{Kind: warn, Migration: it.Migration, Subject: subject, At: at})
		}
	}
	return items
}

// ForRoster is when gates take a roster no longer.
func ForRoster(r *evidence.Roster, now time.Time) []Item {
	return withWarnings(Item{Kind: RosterAge, Subject: r.Digest().String(), At: r.Ends()}, WarnRoster, now)
}

// Ahead is how long before its deadline a warning comes; zero of any other item.
func Ahead(it Item) time.Duration {
	if !slices.Contains([]Kind{WarnErase, WarnContract, WarnRoster}, it.Kind) {
		return 0
	}
	n, err := strconv.Atoi(it.Subject[strings.LastIndexByte(it.Subject, ' ')+1:])
	if err != nil || n < 1 || n > len(Warnings()) {
		return 0
	}
	return Warnings()[n-1]
}

// ForApproval is when the approval of a plan lapses (mandate.Instruction.Lapses).
func ForApproval(m ecluse.MigrationID, plan ecluse.Digest, at time.Time) Item {
	return Item{Kind: ApprovalLapse, Migration: m, Subject: plan.String(), At: at}
}

// ForRehearsal is when a rehearsal is taken out of the test base by itself.
func ForRehearsal(m ecluse.MigrationID, p ecluse.Passage, at time.Time) Item {
	return Item{Kind: RehearsalEnd, Migration: m, Subject: p.String(), At: at}
}

// ForLease is when a lease ends.
func ForLease(m ecluse.MigrationID, request ecluse.Digest, until time.Time) Item {
	return Item{Kind: LeaseEnd, Migration: m, Subject: request.String(), At: until}
}

// Replace says whether an item may take the place of one of the same name: a
// deadline of erasure comes earlier freely, and later only with the digest of
// the act that signs it.
func Replace(old, item Item, act ecluse.Digest) error {
	if old.Kind == Erase && item.At.After(old.At) && act.IsZero() {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "move the deadline of erasure", Where: string(item.Migration),
			Why:  "keeping longer needs the controller's signature",
			Next: "before reading begins, a signatory of the controller signs a version of the instruction with a later erase_by", Article: "GDPR art. 28(3)(g)",
		}
	}
	return nil
}

// Table keeps the items and the clock.
type Table interface {
	// Now is the time, never before a time already seen, and how far the
	// machine's clock stands behind it.
	Now(ctx context.Context) (now time.Time, behind time.Duration, err error)
	// Due lists the open items whose time has come, the earliest first.
	Due(ctx context.Context, now time.Time) ([]Item, error)
	// Next is the time of the earliest open item; zero when there is none.
	Next(ctx context.Context) (time.Time, error)
	// Done closes an item, with its entry in the journal. An item that was
	// moved to another time meanwhile stays open.
	Done(ctx context.Context, it Item) error
	// Failed leaves an item open and says so in the journal.
	Failed(ctx context.Context, it Item, kind ecluse.Kind) error
}

// Action does what an item asks. It must do no harm when it comes again.
type Action func(ctx context.Context, it Item, now time.Time) error

// Runner does what is due, in one run at a time: of several that ask at once, each
// finds done what those before it did.
type Runner struct {
	table   Table
	actions map[Kind]Action
	turn    chan struct{}
	said    map[Item]saying // of what fails each time; held by turn
}

// saying is a failure as it was journalled last.
type saying struct {
	kind ecluse.Kind
	at   time.Time
}

// sayEvery is how often the journal has it that the same still fails: what waits for a
// gate may do so for days, a beat at a time.
const sayEvery = time.Hour

// New makes a runner; every kind needs its action.
func New(t Table, actions map[Kind]Action) (*Runner, error) {
	for _, k := range Kinds() {
		if actions[k] == nil {
			return nil, fmt.Errorf("due: no action for %q", k)
		}
	}
	return &Runner{table: t, actions: actions, turn: make(chan struct{}, 1), said: map[Item]saying{}}, nil
}

// Failure is an item whose action did not succeed; it stays open.
type Failure struct {
	Item Item
	Err  error
}

// Report is what a run did.
type Report struct {
	Now    time.Time
	Behind time.Duration // of the machine's clock; more than Slack: it was set back
	Done   []Item
	Failed []Failure
}

// Run does everything that is due, the earliest first, and what becomes due by
// doing it. One item's failure keeps no other from being done. The error is the
// table's; failures of actions stand in the report.
func (r *Runner) Run(ctx context.Context) (Report, error) {
	var rep Report
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return rep, context.Cause(ctx)
	}
	tried := map[Item]bool{}
	for {
		var err error
		if rep.Now, rep.Behind, err = r.table.Now(ctx); err != nil {
			return rep, err
		}
		items, err := r.table.Due(ctx, rep.Now)
		if err != nil {
			return rep, err
		}
		items = slices.DeleteFunc(items, func(it Item) bool { return tried[it.key()] })
		if len(items) == 0 {
			return rep, nil
		}
		for _, it := range items {
			tried[it.key()] = true
			if err := r.one(ctx, it, &rep); err != nil {
				return rep, err
			}
		}
	}
}

func (r *Runner) one(ctx context.Context, it Item, rep *Report) error {
	act := r.actions[it.Kind]
	if act == nil {
		return fmt.Errorf("due: an item of the unknown kind %q", it.Kind)
	}
	err := act(ctx, it, rep.Now)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		rep.Failed = append(rep.Failed, Failure{it, err})
		now := saying{ecluse.KindOf(err), rep.Now}
		if last, ok := r.said[it.key()]; ok && last.kind == now.kind && now.at.Sub(last.at) < sayEvery {
			return nil
		}
		r.said[it.key()] = now
		return r.table.Failed(ctx, it, now.kind)
	}
	delete(r.said, it.key())
	rep.Done = append(rep.Done, it)
	return r.table.Done(ctx, it)
}

// Beat is the longest time between two runs of Watch: a clock set back while it
// watches costs no deadline more than that.
const Beat = time.Minute

// Watch runs until ctx ends, telling each run's outcome. What failed is tried
// again at the next beat.
func (r *Runner) Watch(ctx context.Context, tell func(Report, error)) error {
	for {
		rep, err := r.Run(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait := Beat
		if err == nil && len(rep.Failed) == 0 {
			var next time.Time
			if next, err = r.table.Next(ctx); err == nil && !next.IsZero() {
				wait = min(Beat, max(next.Sub(rep.Now), time.Second))
			}
		}
		tell(rep, err)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// ErrClockBack is the cause when work is refused because the clock was set back.
var ErrClockBack = errors.New("the clock stands behind a time already seen")

// Check refuses to begin anything while the machine's clock is set back. What
// is due is done all the same.
func (rep Report) Check() error {
	if rep.Behind <= Slack {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "read the clock",
		Why:  fmt.Sprintf("it stands %s behind %s, which has already been", rep.Behind.Round(time.Second), rep.Now.UTC().Format(time.RFC3339)),
		Next: "set the clock right; no deadline has moved meanwhile", Err: ErrClockBack,
	}
}
