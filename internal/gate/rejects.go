package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/record"
	"ecluse/internal/sluice/seal"
)

// Rejected is a source row that was put aside, opened for the laboratory that it
// belongs to. It prints, and is logged and encoded, as where it stood in the
// source; only Cells has what it holds.
type Rejected struct {
	Dataset ecluse.DatasetID
	Ordinal int64  // its place in the dataset, from 0, as in a report's traced rows
	Reason  string // without any value
	Cells   []Cell
}

// Cell is one value of a rejected row. It prints as its column's name.
type Cell struct {
	Column string
	Text   string
	Null   bool

	shape  reconcile.Shape
	behind bool // the reason
}

// Format prints "row 12 of result" whatever the verb.
func (r Rejected) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "row %d of %s", r.Ordinal, r.Dataset) }

// LogValue says the same to slog.
func (r Rejected) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(r)) }

// MarshalText says the same to encoding/json.
func (r Rejected) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(r)), nil }

// Format prints the column's name whatever the verb.
func (c Cell) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "‹%s›", c.Column) }

// LogValue says the same to slog.
func (c Cell) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(c)) }

// MarshalText says the same to encoding/json.
func (c Cell) MarshalText() ([]byte, error) { return []byte(fmt.Sprint(c)), nil }

// Rejects opens the rows that a passage put aside, in memory, and tells each of
// them in the order of the source, to whom of the controller's people the key is. That
// they looked, and at how many rows, is journalled before the first is shown. They are
// there until erasure or, of the accepted passage, until the day that the instruction states.
func (s *Source) Rejects(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, key ssh.Signer, each func(*Rejected) error) error {
	const what = "open the rows put aside"
	if _, err := s.home.EraseKept(); err != nil {
		return err
	}
	page, err := s.home.Entry(m)
	if err != nil {
		return err
	}
	if page.Kept != nil && !page.Erased.IsZero() {
		return s.showKept(ctx, m, p, page.Kept, key, each)
	}
	o, err := s.opening(ctx, what, m, p)
	if err != nil {
		return err
	}
	defer o.key.Wipe()
	aside := sluice.AsideIn(p, o.sealed)
	said, err := s.reported(ctx, m, p, aside)
	if err != nil {
		return err
	}
	if said != nil {
		if err := said.accountsFor(what, aside); err != nil {
			return err
		}
	}
	var all []*evidence.Descriptor
	rows := int64(0)
	for _, a := range aside {
		all = append(all, a.Descriptor)
		rows += a.Descriptor.Rows
	}
	if len(all) == 0 {
		return nil
	}
	first, err := s.firstRows(ctx, m)
	if err != nil {
		return err
	}
	err = s.attended(ctx, m, key, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindShown, Subject: digestOfAll(all)}, exchange.Event{
		Type: "rejects-shown", IDs: map[string]string{"passage": p.String()}, Numbers: map[string]int64{"rows": rows, "chunks": int64(len(all))},
	})
	if err != nil {
		return err
	}
	for _, a := range aside {
		d, slot := a.Descriptor, a.Chunk
		from, ok := first[slot]
		if !ok {
			return &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: "chunk " + slot.String(), Why: "rows of it were put aside, and this gate sealed no such chunk"}
		}
		rows, err := o.rows(ctx, d, slot.Dataset, from)
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := each(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// reported is the last report of a passage, when it is of all that was put aside: nil where
// there is none, or a later reading put rows aside since.
func (s *Source) reported(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, aside []sluice.Aside) (*LoadStatement, error) {
	target, err := s.targetGate(ctx, m, p.Kind)
	if err != nil {
		return nil, err
	}
	reports, err := s.lock.Posted(ctx, m, exchange.LoadReport)
	if err != nil {
		return nil, err
	}
	for _, signed := range slices.Backward(reports) {
		said := &LoadStatement{}
		if err := evidence.ParseStatement(signed, target, evidence.ReportFormat, said); err != nil {
			return nil, err
		}
		if said.Passage != p {
			continue
		}
		if slices.ContainsFunc(aside, func(a sluice.Aside) bool { return a.Reading > said.Reading }) {
			return nil, nil
		}
		return said, nil
	}
	return nil, nil
}

// accountsFor refuses a list of rows put aside that has fewer than the signed report counts:
// whoever shows it left some out. More there may be: of a chunk that was rolled back and then
// loaded whole, or with fewer put aside, what was sealed the first time still lies there.
func (s *LoadStatement) accountsFor(what string, aside []sluice.Aside) error {
	rows := int64(0)
	for _, a := range aside {
		rows += a.Descriptor.Rows
	}
	if rows >= s.RowsRejected {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Unverified, What: what, Where: s.Passage.String(), Article: "GDPR art. 5(1)(f)",
		Why:  fmt.Sprintf("the report that the target gate signed counts %d rows put aside, and the lock shows %d: some are kept from this gate", s.RowsRejected, rows),
		Next: "do not accept by this list; find out who took the others away, and bring the server's folder back from a copy",
	}
}

// digestOfAll is of the descriptors of what is shown.
func digestOfAll(all []*evidence.Descriptor) ecluse.Digest {
	var b strings.Builder
	for _, d := range all {
		fmt.Fprintln(&b, d.SHA256)
	}
	return ecluse.DigestOf([]byte(b.String()))
}

// opening is what was sealed to the source gate in a passage, and what opens it.
type opening struct {
	lock     Lock
	m        ecluse.MigrationID
	identity *age.HybridIdentity
	key      *seal.Key
	sealed   []*evidence.Descriptor // of that passage, signed by the target gate
}

// opening finds it. Nothing is decrypted yet.
func (s *Source) opening(ctx context.Context, what string, m ecluse.MigrationID, p ecluse.Passage) (*opening, error) {
	o := &opening{lock: s.lock, m: m}
	var err error
	if o.identity, err = s.rejectsIdentity(what, m); err != nil {
		return nil, err
	}
	target, err := s.targetGate(ctx, m, p.Kind)
	if err != nil {
		return nil, err
	}
	signed, err := s.lock.Rejects(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, x := range signed {
		d, err := evidence.ParseDescriptor(x, target)
		if err != nil {
			return nil, err
		}
		if d.Migration != m {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: d.Slot.String(), Why: "it belongs to another migration"}
		}
		o.sealed = append(o.sealed, d)
	}
	k, err := s.home.orCreate(m, kFile, false)
	if errors.Is(err, exchange.ErrErased) { // never made: nothing was read
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: what, Where: string(m), Why: "nothing was read yet", Next: "ecluse status"}
	} else if err != nil {
		return nil, err
	}
	o.key = (*seal.Key)(k)
	return o, nil
}

// rejectsIdentity is what opens the rows put aside, until erasure.
func (s *Source) rejectsIdentity(what string, m ecluse.MigrationID) (*age.HybridIdentity, error) {
	page, err := s.home.Entry(m)
	if err != nil {
		return nil, err
	}
	if at := page.Erased; !at.IsZero() {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: string(m), Err: exchange.ErrErased, Article: "GDPR art. 28(3)(g)",
			Why: "the migration was erased on " + at.UTC().Format("2006-01-02 15:04:05 MST"), Next: "look at the rows themselves in the old database, where they still stand",
		}
	}
	text, err := s.home.secret(m, rejectsFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: what, Where: string(m), Why: "this gate has no key for them: nothing was read yet", Next: "ecluse status"}
	} else if err != nil {
		return nil, pathless(err)
	}
	defer clear(text)
	id, err := age.ParseHybridIdentity(string(text))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read " + rejectsFile, Why: "it is damaged"}
	}
	return id, nil
}

// targetGate is the target gate of the instruction that this gate read under.
func (s *Source) targetGate(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (ecluse.Fingerprint, error) {
	c, err := s.lock.Case(ctx, m, kind)
	if err != nil {
		return "", err
	}
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil {
		return "", err
	}
	if err := names(i.Source.Gate, s.home, "source"); err != nil {
		return "", err
	}
	page, err := s.home.Entry(m)
	if err != nil {
		return "", err
	}
	if known := page.Instruction; !known.IsZero() && known != i.Digest() {
		return "", &ecluse.Error{
			Kind: ecluse.Unverified, What: "find the target gate", Where: string(m), Why: "chunks were sealed under the instruction " + known.String() + ", and the lock shows another",
			Next: "find out who changed it",
		}
	}
	return i.Target.Gate, nil
}

// firstRows says where each chunk that this gate sealed begins in its dataset.
func (s *Source) firstRows(ctx context.Context, m ecluse.MigrationID) (map[ecluse.Slot]int64, error) {
	there, err := s.lock.Slots(ctx, m)
	if err != nil {
		return nil, err
	}
	type place struct {
		dataset  ecluse.DatasetID
		sequence int
	}
	latest := map[place]*evidence.Descriptor{}
	var all []*evidence.Descriptor
	for _, x := range there {
		d, err := evidence.ParseDescriptor(x, s.home.Fingerprint())
		if err != nil {
			return nil, err
		}
		all = append(all, d)
		at := place{d.Slot.Dataset, d.Slot.Sequence}
		if old := latest[at]; old == nil || old.Slot.Version < d.Slot.Version {
			latest[at] = d
		}
	}
	first := map[ecluse.Slot]int64{}
	begins := map[place]int64{}
	for at := range latest {
		if at.sequence != 0 {
			continue
		}
		rows := int64(0)
		for n := 0; latest[place{at.dataset, n}] != nil; n++ {
			begins[place{at.dataset, n}] = rows
			rows += latest[place{at.dataset, n}].Rows
		}
	}
	for _, d := range all {
		if from, ok := begins[place{d.Slot.Dataset, d.Slot.Sequence}]; ok {
			first[d.Slot] = from
		}
	}
	return first, nil
}

// rows opens the rejects of one chunk, which begins at a row of its dataset, in the
// order of the source. They are told only when the end of the sealed object, and
// with it size, digest and keyed sum, has been checked.
func (o *opening) rows(ctx context.Context, d *evidence.Descriptor, dataset ecluse.DatasetID, from int64) ([]*Rejected, error) {
	body, err := o.lock.GetReject(ctx, o.m, d.SHA256)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	r, err := seal.Open(body, d, o.identity, o.key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all []*Rejected
	b := record.NewBatch(r.Schema(), 0)
	for {
		b.Reset()
		err := r.Next(b)
		if errors.Is(err, io.EOF) {
			// The mapping's come before those that the target refused.
			slices.SortStableFunc(all, func(a, b *Rejected) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
			return all, nil
		}
		if err == nil {
			all, err = appendRejected(all, dataset, from, b)
		}
		if err != nil {
			return nil, err
		}
	}
}

// appendRejected takes a batch of rejects apart.
func appendRejected(all []*Rejected, dataset ecluse.DatasetID, from int64, b *record.Batch) ([]*Rejected, error) {
	place, why := b.Column(sluice.RejectRow), b.Column(sluice.RejectReason)
	if place == nil || why == nil || place.Type().Kind != ecluse.Int || why.Type().Kind != ecluse.Text {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "open the rows put aside", Where: string(dataset), Why: "they do not say where they stood, or why they were put aside"}
	}
	for i := range b.Rows() {
		row := &Rejected{Dataset: dataset, Ordinal: from + place.Int(i) - 1, Reason: string(why.Bytes(i))}
		behind := sluice.BehindReject(b, i)
		for n, f := range b.Schema.Fields {
			if f.Name == sluice.RejectRow || f.Name == sluice.RejectReason || f.Name == sluice.RejectBehind {
				continue
			}
			row.Cells = append(row.Cells, Cell{
				Column: f.Name, Text: b.Columns[n].Show(i), Null: b.Columns[n].Null(i), shape: sluice.ShapeOf(b.Columns[n], i), behind: behind[f.Name],
			})
		}
		all = append(all, row)
	}
	return all, nil
}
