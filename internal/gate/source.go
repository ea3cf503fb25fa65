package gate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"filippo.io/age"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/seal"
)

// Source is the source gate: it stands on the controller's side, reads only what
// the plan says and seals it for the target gate alone.
type Source struct {
	home      *Home
	lock      Lock
	db        reader.Source
	dialect   mandate.Dialect
	procedure ecluse.Digest
}

// NewSource puts a source gate together.
func NewSource(home *Home, lock Lock, db reader.Source, dialect mandate.Dialect, procedure ecluse.Digest) *Source {
	return &Source{home: home, lock: lock, db: db, dialect: dialect, procedure: procedure}
}

// Home is the gate's own folder.
func (s *Source) Home() *Home { return s.home }

// Close disconnects from the database.
func (s *Source) Close() error { return s.db.Close() }

// Inspect lists the source's structure and estimates, through the catalogue
// account (step 2). No row is read.
func (s *Source) Inspect(ctx context.Context) (*ecluse.Catalogue, map[ecluse.TableName]int64, error) {
	c, err := s.db.Catalogue(ctx)
	if err != nil {
		return nil, nil, err
	}
	estimates, err := s.db.Estimates(ctx)
	return c, estimates, err
}

// Estimates guesses the rows of a plan's datasets, for display.
func (s *Source) Estimates(ctx context.Context, p *mandate.ReadPlan) (map[ecluse.DatasetID]int64, error) {
	byTable, err := s.db.Estimates(ctx)
	if err != nil {
		return nil, err
	}
	out := map[ecluse.DatasetID]int64{}
	for _, d := range p.Datasets {
		if n, ok := byTable[d.From]; ok {
			out[d.Dataset] = n
		}
	}
	return out, nil
}

// expecting tells a watcher how many rows the source is guessed to have while they
// are read: afterwards it is known.
func (s *Source) expecting(ctx context.Context, m ecluse.MigrationID, watch sluice.Watch) (sluice.Watch, error) {
	c, err := s.lock.Case(ctx, m, ecluse.Final)
	if err != nil || c.ReadPlan == nil {
		return watch, err
	}
	plan, err := mandate.ParseReadPlan(c.ReadPlan)
	if err != nil {
		return nil, err
	}
	byDataset, err := s.Estimates(ctx, plan)
	if err != nil {
		return nil, err
	}
	expected := int64(0)
	for _, d := range plan.Datasets {
		n, ok := byDataset[d.Dataset]
		switch {
		case d.Distinct: // few, and nobody counts them
		case !ok:
			return watch, nil // the others alone would mislead
		default:
			expected += n
		}
	}
	return func(p sluice.Progress) {
		if p.Expected == 0 && p.Stage == sluice.StageRead {
			p.Expected = expected
		}
		watch(p)
	}, nil
}

// Compile compiles the read plan of an instruction, signed or not yet (step 5).
func (s *Source) Compile(ctx context.Context, contract *mandate.Contract, i *mandate.Instruction, recipients []evidence.Signed) (*mandate.ReadPlan, error) {
	catalogue, err := s.db.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	in := mandate.ReadInputs{Contract: contract, Instruction: i, Source: catalogue, Procedure: s.procedure, Dialect: s.dialect}
	if in.Recipient, err = recipientOf(recipients, i, evidence.ForChunks); err != nil {
		return nil, err
	}
	if in.Rejects, err = recipientOf(recipients, i, evidence.ForRejects); err != nil {
		return nil, err
	}
	return mandate.CompileRead(in)
}

// Sketch compiles the read plan of an instruction before any recipient is made:
// to be looked at, never approved.
func (s *Source) Sketch(ctx context.Context, contract *mandate.Contract, i *mandate.Instruction) (*mandate.ReadPlan, error) {
	catalogue, err := s.db.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	return mandate.SketchRead(mandate.ReadInputs{Contract: contract, Instruction: i, Source: catalogue, Procedure: s.procedure, Dialect: s.dialect})
}

// recipientOf finds the recipient made for an instruction and a purpose.
func recipientOf(all []evidence.Signed, i *mandate.Instruction, purpose string) (evidence.Signed, error) {
	gate := i.Target.Gate
	if purpose == evidence.ForRejects {
		gate = i.Source.Gate
	}
	for _, s := range all {
		if r, err := evidence.ParseRecipient(s, gate); err == nil && r.Instruction == i.Digest() && r.Purpose == purpose {
			return s, nil
		}
	}
	return evidence.Signed{}, &ecluse.Error{
		Kind: ecluse.Differs, What: "find the recipient for " + purpose, Why: "gate " + string(gate) + " has made none for the instruction " + i.Digest().String(),
		Next: "give the instruction that was signed; its gates make their recipients when `ecluse plan` compiles it",
	}
}

// Recipient makes, once, the recipient that rejected rows are sealed to: they go
// back to the laboratory's own machine. It posts the signed statement.
func (s *Source) Recipient(ctx context.Context, i *mandate.Instruction) error {
	if err := names(i.Source.Gate, s.home, "source"); err != nil {
		return err
	}
	page, err := s.home.Entry(i.ID)
	if err != nil {
		return err
	}
	if !page.Erased.IsZero() { // no key is made anew
		return &ecluse.Error{Kind: ecluse.Refused, What: "make the recipient of rejects", Where: string(i.ID), Err: exchange.ErrErased, Next: "a new migration has a new id", Article: "GDPR art. 28(3)(g)"}
	}
	text, err := s.home.secret(i.ID, rejectsFile)
	if errors.Is(err, fs.ErrNotExist) {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			return err
		}
		text = []byte(id.String())
		if err := s.home.keep(i.ID, rejectsFile, text); err != nil {
			return err
		}
	} else if err != nil {
		return pathless(err)
	}
	id, err := age.ParseHybridIdentity(string(text))
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "read " + rejectsFile, Why: "it is damaged"}
	}
	return postRecipient(ctx, s.home, s.lock, i, evidence.ForRejects, id.Recipient().String())
}

func postRecipient(ctx context.Context, h *Home, l Lock, i *mandate.Instruction, purpose, recipient string) error {
	signed, err := evidence.SignRecipient(h.signer, &evidence.Recipient{
		Migration: i.ID, Instruction: i.Digest(), Purpose: purpose, Recipient: recipient, NotAfter: i.EraseBy.UTC().Truncate(time.Second),
	})
	if err != nil {
		return err
	}
	return l.Post(ctx, i.ID, exchange.RecipientPaper, signed)
}

// names checks that an instruction is for this gate.
func names(f ecluse.Fingerprint, h *Home, place string) error {
	if f == h.Fingerprint() {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "read the instruction", Where: place + ".gate", Why: "it names " + string(f) + ", and this gate is " + string(h.Fingerprint()),
		Next: "write this gate's fingerprint in the instruction, and have it signed",
	}
}

// Lend answers requests for the release secret by the target gate that the
// instruction names. Once something was sealed that is the instruction which this
// gate verified then, and no other.
func (s *Source) Lend(ctx context.Context, i *mandate.Instruction) error {
	if err := names(i.Source.Gate, s.home, "source"); err != nil {
		return err
	}
	page, err := s.home.Entry(i.ID)
	if err != nil {
		return err
	}
	if known := page.Instruction; !known.IsZero() && known != i.Digest() {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "lend the release secret", Where: string(i.ID), Article: "GDPR art. 29",
			Why:  "chunks were sealed under the instruction " + known.String() + ", and another one asks",
			Next: "go on under that one, or have the migration erased",
		}
	}
	return s.lend(ctx, i.ID, i.Target.Gate, i.Limits.LeaseTime())
}

// privilegeRecord is privileges/v1: what the read account could and could not
// read, as the database answered, before the first row and after the last.
type privilegeRecord struct {
	evidence.StatementHead
	When      string              `json:"when"` // "before" or "after"
	Account   string              `json:"account"`
	At        time.Time           `json:"at"`
	Epoch     string              `json:"epoch"`
	Superuser bool                `json:"superuser"`
	Whole     bool                `json:"whole"` // the engine has no accounts
	Readable  map[string][]string `json:"readable"`
	Writable  []string            `json:"writable"`
}

func (s *Source) recordPrivileges(ctx context.Context, p mandate.ReadPermit, paper exchange.Paper, may *reader.Privileges) error {
	m := p.Plan().Migration
	when := "before"
	if paper == exchange.PrivilegesAfter {
		when = "after"
	}
	rec := privilegeRecord{
		StatementHead: evidence.StatementHead{Format: evidence.PrivilegesFormat, Migration: m, Plan: p.Digest()}, When: when,
		Account: may.Account, At: may.At.UTC().Truncate(time.Second), Epoch: may.Epoch,
		Superuser: may.Superuser, Whole: may.Whole, Readable: map[string][]string{}, Writable: []string{},
	}
	for t, columns := range may.Readable {
		rec.Readable[t.String()] = columns
	}
	for _, t := range may.Writable {
		rec.Writable = append(rec.Writable, t.String())
	}
	signed, err := evidence.SignStatement(s.home.signer, &rec)
	if err != nil {
		return err
	}
	return s.lock.Post(ctx, m, paper, signed)
}

// begins is what the journal hears when an epoch does: its number, and how many columns
// that nobody instructed came into the source or went since its plan was approved.
func begins(epoch int, e mandate.Elsewhere) map[string]int64 {
	n := map[string]int64{"epoch": int64(epoch)}
	if len(e.Added)+len(e.Gone) > 0 {
		n[exchange.ColumnsAdded], n[exchange.ColumnsGone] = int64(len(e.Added)), int64(len(e.Gone))
	}
	return n
}

// mayRead tells whether a reading of the source may begin, or go on: the first, or as
// many later ones as the instruction grants, each after the one before it was closed.
func (s *Source) mayRead(p *mandate.ReadPlan, reading int) error {
	page, err := s.home.Entry(p.Migration)
	if err != nil {
		return err
	}
	switch {
	case reading < 0 || reading > page.Readings || reading < page.Readings-1:
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "read", Where: string(p.Migration), Article: "GDPR art. 29",
			Why: fmt.Sprintf("reading %d was asked for, and this gate has closed %d", reading+1, page.Readings),
		}
	case reading > p.CatchUps:
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "read", Where: string(p.Migration), Article: "GDPR art. 29",
			Why:  fmt.Sprintf("the instruction lets the source be read again %d times (passages.catch_up), and this would be one more", p.CatchUps),
			Next: "go on without, or undo the passage and have an instruction signed that grants more",
		}
	}
	return nil
}

// Read carries out the approved read plan (steps 7 and 8): its first reading, or a later
// one of what changed since the one before. It may be called again after any
// interruption. What it comes to is signed and posted.
func (s *Source) Read(ctx context.Context, m ecluse.MigrationID, reading int, watch sluice.Watch) (*ExtractStatement, error) {
	said, err := s.read(ctx, m, reading, watch)
	if err != nil && reading > 0 {
		return nil, mayGiveUp(err)
	}
	return said, err
}

// mayGiveUp adds to what keeps a later reading from its end how the passage that it is for
// is got back: nothing was changed in the target, and a laboratory may have to open.
func mayGiveUp(err error) error {
	const giveUp = "or give this reading up: `ecluse apply --end-catch-up`, and the passage is as it was compared"
	out := &ecluse.Error{Kind: ecluse.KindOf(err), What: "catch up", Why: "the reading did not come to its end", Next: giveUp, Err: err}
	var e *ecluse.Error
	if errors.As(err, &e) && e.Next != "" {
		out.Next = e.Next + "; " + giveUp
	}
	return out
}

func (s *Source) read(ctx context.Context, m ecluse.MigrationID, reading int, watch sluice.Watch) (*ExtractStatement, error) {
	permit, recipient, err := s.permit(ctx, m, reading)
	if err != nil {
		return nil, err
	}
	kept, err := s.home.readings(m)
	if err != nil {
		return nil, err
	}
	if err := s.settle(ctx, m, kept); err != nil {
		return nil, err
	}
	if err := s.mayRead(permit.Plan(), reading); err != nil {
		return nil, err
	}
	if said, err := s.closedBefore(ctx, m, reading, kept); said != nil || err != nil {
		return said, err
	}
	var closed *evidence.Manifest
	if reading > 0 {
		if err := s.noteAgain(m, reading); err != nil {
			return nil, err
		}
		if closed, err = kept.manifest(reading-1, s.home.Fingerprint()); err != nil {
			return nil, err
		}
	}
	k, err := s.home.orCreate(m, kFile, true)
	if err != nil {
		return nil, err
	}
	defer clear(k)
	key := (*seal.Key)(k)
	marks, err := s.home.bookmarks(m, key)
	if err != nil {
		return nil, err
	}
	epoch := 0
	if err := s.home.Note(m, func(e *Entry) error {
		e.Epoch++
		epoch = e.Epoch
		return nil
	}); err != nil {
		return nil, err
	}
	if err := s.lock.Record(ctx, exchange.Event{Migration: m, Type: "epoch", Numbers: begins(epoch, permit.Elsewhere())}); err != nil {
		return nil, err
	}
	var said *ExtractStatement
	_, err = sluice.Extract(ctx, sluice.Extraction{
		Permit: permit, Epoch: epoch, Reading: reading, Closed: closed, Buckets: kept, Key: key, Recipient: recipient,
		Open:      func(ctx context.Context) (reader.Session, error) { return s.db.Open(ctx, permit) },
		Gate:      s.home.Fingerprint(),
		Signer:    s.home.signer,
		Outlet:    &outlet{lock: s.lock, migration: m, gate: s.home.Fingerprint()},
		Bookmarks: marks,
		Before: func(ctx context.Context, p *reader.Privileges) error {
			return s.recordPrivileges(ctx, permit, exchange.PrivilegesBefore, p)
		},
		After: func(ctx context.Context, p *reader.Privileges) error {
			return s.recordPrivileges(ctx, permit, exchange.PrivilegesAfter, p)
		},
		WindowClosed: func() (times int, err error) {
			err = s.home.Note(m, func(e *Entry) error {
				e.Windows++
				times = e.Windows
				return nil
			})
			return times, err
		},
		Done: func(ctx context.Context, x *sluice.Extracted) (err error) {
			if err := kept.setManifest(reading, x.Manifest); err != nil {
				return err
			}
			said, err = s.state(ctx, permit, reading, x)
			return err
		},
		Watch: watch,
	})
	if err != nil {
		return nil, err
	}
	return said, s.noteClosed(m, reading, kept)
}

// noteAgain notes when a later reading began.
func (s *Source) noteAgain(m ecluse.MigrationID, reading int) error {
	now, err := s.home.Now()
	if err != nil {
		return err
	}
	return s.home.Note(m, func(e *Entry) error {
		if e.Again.since(reading).IsZero() {
			e.Again = Again{reading, now}
		}
		return nil
	})
}

// noteClosed notes that a reading is closed, and with which manifest: the certificate must
// name the last.
func (s *Source) noteClosed(m ecluse.MigrationID, reading int, kept *readings) error {
	manifest, err := kept.digest(reading)
	if err != nil {
		return err
	}
	if err := s.home.Note(m, func(e *Entry) error {
		e.Readings, e.Manifest, e.Windows = max(e.Readings, reading+1), manifest, 0
		return nil
	}); err != nil {
		return err
	}
	return kept.forget(reading - 1) // which is needed as long as this one may be lost on its way
}

// settle notes a reading that was closed when this gate ended before it could: of that the
// lock has the manifest, which this gate signed and kept.
func (s *Source) settle(ctx context.Context, m ecluse.MigrationID, kept *readings) error {
	page, err := s.home.Entry(m)
	if err != nil {
		return err
	}
	there, err := s.closedAs(ctx, m, page.Readings, kept)
	if err != nil || there == nil {
		return err
	}
	return s.noteClosed(m, page.Readings, kept)
}

// settleLast settles before what this gate kept of its readings is destroyed: the certificate
// names the manifest of the last, and nobody may have asked for another reading since. What the
// lock shows wrong keeps no key from being destroyed.
func (s *Source) settleLast(ctx context.Context, m ecluse.MigrationID) error {
	page, err := s.home.Entry(m)
	if err != nil || page.ReadBegun.IsZero() || !page.Erased.IsZero() {
		return err
	}
	kept, err := s.home.readings(m)
	if err == nil {
		err = s.settle(ctx, m, kept)
	}
	if kind := ecluse.KindOf(err); err != nil && kind != ecluse.Failed && kind != ecluse.Interrupted {
		return nil
	}
	return err
}

// closedBefore is what this gate said of a reading that it closed, and that the lock has. It
// is not read once more: the source went on since, and what is kept of the reading is what
// was sealed. nil: it did not, or what it said was carried by hand and is lost.
func (s *Source) closedBefore(ctx context.Context, m ecluse.MigrationID, reading int, kept *readings) (*ExtractStatement, error) {
	page, err := s.home.Entry(m)
	if err != nil || reading >= page.Readings {
		return nil, err
	}
	there, err := s.closedAs(ctx, m, reading, kept)
	if err != nil || there == nil {
		return nil, err
	}
	if err := s.lock.Close(ctx, m, *there); err != nil { // the lock may have ended before it noted it
		return nil, err
	}
	all, err := s.lock.Posted(ctx, m, exchange.ExtractReport)
	if err != nil {
		return nil, err
	}
	for _, signed := range all {
		x := &ExtractStatement{}
		if err := evidence.ParseStatement(signed, s.home.Fingerprint(), evidence.ExtractFormat, x); err != nil {
			return nil, err
		}
		if x.Manifest == there.Digest() {
			x.digest = signed.Digest()
			return x, nil
		}
	}
	return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read", Where: string(m), Why: fmt.Sprintf("the lock does not show what this gate said of reading %d of the source", reading+1), Next: "ask who runs the lock"}
}

// closedAs is the lock's manifest of a reading; nil: the lock's last is of another, or there
// is none. It is one that this gate kept, or nothing goes on.
func (s *Source) closedAs(ctx context.Context, m ecluse.MigrationID, reading int, kept *readings) (*evidence.Signed, error) {
	there, err := s.lock.Manifest(ctx, m)
	if err != nil || there == nil {
		return nil, err
	}
	closed, err := evidence.ParseManifest(*there, s.home.Fingerprint())
	if err != nil || closed.Reading != reading {
		return nil, err
	}
	mine, err := kept.manifest(reading, s.home.Fingerprint())
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(mine.Datasets, closed.Datasets, evidence.ManifestDataset.Equal) {
		return nil, &ecluse.Error{
			Kind: ecluse.Unverified, What: "read", Where: string(m), Why: fmt.Sprintf("the lock closed reading %d of the source with other chunks than this gate kept", reading+1),
			Next: "undo the passage, erase the migration, and read anew under a new instruction",
		}
	}
	return there, nil
}
