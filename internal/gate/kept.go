package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
	"ecluse/internal/sluice/reconcile"
	"ecluse/internal/sluice/seal"
)

// Where the instruction states until when, the rows that the accepted passage put aside
// outlive the acceptance at the source gate. Before the gate destroys its keys it opens
// them once more and seals them anew, to an identity that it makes for them alone: what
// was sealed to the old one, at the server and in its backups, opens no more. Key and rows
// lie in one folder, on the laboratory's own machine, and nowhere else. When the last day
// ends by its own clock the gate removes the folder, whether or not a server is there.

// Kept is what a gate's ledger has of such rows.
type Kept struct {
	evidence.KeptRows
	Rows    int64         `json:"rows"`
	Files   int           `json:"files"`
	Ordered ecluse.Digest `json:"ordered,omitzero"` // the act by which they go before their day
	Erased  time.Time     `json:"erased,omitzero"`
}

// over tells whether they are to be erased.
func (k *Kept) over(now time.Time) bool { return !k.Ordered.IsZero() || !now.Before(k.Ends()) }

// keptDir is the folder, in a gate's own, of the folders of rows kept.
const keptDir = "kept"

// Files beside the rows. keptUntil has the last day, and is there before the key: rows that the
// ledger does not know, because it was put back from a copy or a run was cut short, go by it.
const (
	keptIdentity = "identity" // the key that opens them
	keptUntil    = "until"
)

// keptChunk is the rows of a chunk that were put aside, as they lie sealed.
type keptChunk struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Rows    []keptRow        `json:"rows"`
}

type keptRow struct {
	Ordinal int64      `json:"ordinal"`
	Reason  string     `json:"reason"`
	Cells   []keptCell `json:"cells"`
}

type keptCell struct {
	Column string          `json:"column"`
	Text   string          `json:"text"`
	Null   bool            `json:"null,omitempty"`
	Shape  reconcile.Shape `json:"shape"`
	Behind bool            `json:"behind,omitempty"`
}

// keptLabel is the first line inside a sealed file: it cannot pass for another.
func keptLabel(m ecluse.MigrationID, p ecluse.Passage, n int) string {
	return fmt.Sprintf("kept/v1 %s %s %d", m, p, n)
}

func keptFile(n int) string { return fmt.Sprintf("rows-%06d", n) }

// keepRows seals the rows put aside anew, before the keys that open them are destroyed,
// where the controller stated until when they are kept and accepted. What cannot be fetched
// is waited for until erase_by and no longer, and not at all by a gate that was retired: by
// an act that it verifies, for a lock that refuses says nothing. Why none are kept is noted,
// and signed with the erasure. Called again it does nothing more.
func (s *Source) keepRows(ctx context.Context, m ecluse.MigrationID) error {
	page, err := s.home.Entry(m)
	if err != nil || !page.Erased.IsZero() || page.Kept != nil || page.NotKept != "" || nothingBegan(&page) {
		return err
	}
	if err := s.home.removeKept(m); err != nil { // of a run cut short
		return err
	}
	c, err := s.lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return err
	}
	e, err := s.home.ending(m, c)
	if err != nil {
		return err
	}
	now, err := s.home.Latest()
	if err != nil {
		return err
	}
	over := !e.Deadline.IsZero() && !now.Before(e.Deadline)
	switch {
	case !e.Ordered.IsZero():
		return s.home.keepNone(m, evidence.NotOrdered)
	case !over && !e.Whole: // an acceptance is the ground
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: "keep the rows put aside", Where: string(m), Why: "the lock does not show the instruction that this gate acted on, and its contract: they say whether rows are kept",
			Next: "find out who took them away; nothing is destroyed meanwhile", Article: "GDPR art. 5(1)(f)",
		}
	case e.Stated == nil:
		return nil
	case e.Accepted.IsZero(): // it is over without
		return s.home.keepNone(m, evidence.NotFetched)
	case e.Whole && e.Kept == nil:
		return s.home.keepNone(m, evidence.NotContract)
	case e.Kept == nil || !now.Before(e.Kept.Ends()):
		return s.home.keepNone(m, evidence.NotFetched)
	}
	kept, err := s.sealAnew(ctx, m, c, &e)
	switch {
	case err == nil && kept != nil:
		return s.home.Note(m, func(p *Entry) error { p.Kept = kept; return nil })
	case err == nil || ctx.Err() != nil:
		return errors.Join(err, s.home.removeKept(m))
	case over:
		return s.home.keepNone(m, evidence.NotFetched)
	}
	if ecluse.KindOf(err) == ecluse.Refused {
		t, failed := s.home.trust(m)
		if failed == nil && mandate.Retired(t, standingPapers(c)) {
			return s.home.keepNone(m, evidence.NotLet)
		}
	}
	return errors.Join(err, s.home.removeKept(m))
}

// keepNone notes why no rows are kept of a migration.
func (h *Home) keepNone(m ecluse.MigrationID, why evidence.NotKept) error {
	return errors.Join(h.removeKept(m), h.Note(m, func(p *Entry) error { p.NotKept = why; return nil }))
}

// sealAnew does it; nil when the accepted passage put nothing aside.
func (s *Source) sealAnew(ctx context.Context, m ecluse.MigrationID, c *exchange.Case, e *mandate.Ending) (*Kept, error) {
	const what = "keep the rows put aside"
	said, err := s.accepted(ctx, m, c, e.Accepted)
	if err != nil || said.RowsRejected == 0 {
		return nil, err
	}
	p := said.Passage
	o, err := s.opening(ctx, what, m, p)
	if err != nil {
		return nil, err
	}
	defer o.key.Wipe()
	aside := sluice.AsideIn(p, o.sealed)
	if err := said.accountsFor(what, aside); err != nil {
		return nil, err
	}
	first, err := s.firstRows(ctx, m)
	if err != nil {
		return nil, err
	}
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, err
	}
	dir, err := s.home.keptFolder(m, e.Kept.String())
	if err != nil {
		return nil, err
	}
	if err := durable.CreateFile(filepath.Join(dir, keptIdentity), []byte(id.String())); err != nil {
		return nil, cannotKeep(m, err)
	}
	k := &Kept{KeptRows: evidence.KeptRows{Passage: p, Until: e.Kept.String(), Key: ecluse.DigestOf([]byte(id.Recipient().String()))}}
	for _, a := range aside {
		d, slot := a.Descriptor, a.Chunk
		from, ok := first[slot]
		if !ok {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: "chunk " + slot.String(), Why: "rows of it were put aside, and this gate sealed no such chunk"}
		}
		rows, err := o.rows(ctx, d, slot.Dataset, from)
		if err != nil {
			return nil, err
		}
		text, err := json.Marshal(keptOf(slot.Dataset, rows))
		if err != nil {
			return nil, err
		}
		sealed, err := seal.SealBytes(id.Recipient(), keptLabel(m, p, k.Files), text)
		clear(text)
		if err != nil {
			return nil, err
		}
		if err := durable.CreateFile(filepath.Join(dir, keptFile(k.Files)), sealed); err != nil {
			return nil, cannotKeep(m, err)
		}
		k.Files++
		k.Rows += int64(len(rows))
	}
	return k, nil
}

func cannotKeep(m ecluse.MigrationID, err error) error {
	return &ecluse.Error{
		Kind: ecluse.Failed, What: "keep the rows put aside", Where: string(m), Err: pathless(err),
		Next: "make room, or give the user that runs ecluse the right to write the gate's folder; it is tried again until the deadline of erasure",
	}
}

func keptOf(d ecluse.DatasetID, rows []*Rejected) keptChunk {
	out := keptChunk{Dataset: d}
	for _, r := range rows {
		row := keptRow{Ordinal: r.Ordinal, Reason: r.Reason}
		for _, c := range r.Cells {
			row.Cells = append(row.Cells, keptCell{Column: c.Column, Text: c.Text, Null: c.Null, Shape: c.shape, Behind: c.behind})
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// accepted is the report that the controller accepted.
func (s *Source) accepted(ctx context.Context, m ecluse.MigrationID, c *exchange.Case, accepted ecluse.Digest) (*LoadStatement, error) {
	target, err := s.targetGate(ctx, m, ecluse.Final)
	if err != nil {
		return nil, err
	}
	reports, err := s.lock.Posted(ctx, m, exchange.LoadReport)
	if err != nil {
		return nil, err
	}
	for _, signed := range c.Acts {
		if signed.Digest() != accepted {
			continue
		}
		act, err := evidence.ParseAct(signed.Body)
		if err != nil {
			return nil, err
		}
		for _, r := range reports {
			if !act.Has(evidence.VerbAccept, evidence.KindReport, r.Digest()) {
				continue
			}
			var x LoadStatement
			err := evidence.ParseStatement(r, target, evidence.ReportFormat, &x)
			return &x, err
		}
	}
	return nil, &ecluse.Error{
		Kind: ecluse.Unverified, What: "keep the rows put aside", Where: string(m), Why: "the lock does not show the report that was accepted", Next: "find out who took it away",
	}
}

// showKept tells each row that is kept, in the order of the source.
func (s *Source) showKept(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, k *Kept, key ssh.Signer, each func(*Rejected) error) error {
	const what = "open the rows kept"
	if p != k.Passage {
		return &ecluse.Error{Kind: ecluse.Refused, What: what, Where: p.String(), Err: exchange.ErrErased, Why: "of the passages only " + k.Passage.String() + " was accepted: rows of others went with the rest", Next: "ecluse gate rejects --passage " + k.Passage.String()}
	}
	if !k.Erased.IsZero() {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: string(m), Err: exchange.ErrErased, Article: "GDPR art. 5(1)(e)",
			Why: fmt.Sprintf("they were to be kept until %s, and were erased on %s", k.Until, k.Erased.UTC().Format("2006-01-02 15:04:05 MST")), Next: "look at the rows themselves in the old database, where they still stand",
		}
	}
	err := s.attended(ctx, m, key, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindShown, Subject: k.Key}, exchange.Event{
		Type: "rejects-shown", IDs: map[string]string{"passage": p.String()}, Numbers: map[string]int64{"rows": k.Rows, "chunks": int64(k.Files)},
	})
	if err != nil {
		return err
	}
	id, err := s.home.keptKey(m)
	if err != nil {
		return err
	}
	rows := int64(0)
	for n := range k.Files {
		sealed, err := s.home.keptText(m, keptFile(n))
		if err != nil {
			return err
		}
		text, err := seal.OpenBytes(id, keptLabel(m, p, n), sealed)
		if err != nil {
			return err
		}
		var chunk keptChunk
		err = json.Unmarshal(text, &chunk)
		clear(text)
		if err != nil { // its text is patients' data, and may be in the error
			return &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: keptFile(n), Why: "it is damaged"}
		}
		rows += int64(len(chunk.Rows))
		for _, row := range chunk.Rows {
			r := &Rejected{Dataset: chunk.Dataset, Ordinal: row.Ordinal, Reason: row.Reason}
			for _, c := range row.Cells {
				r.Cells = append(r.Cells, Cell{Column: c.Column, Text: c.Text, Null: c.Null, shape: c.Shape, behind: c.Behind})
			}
			if err := each(r); err != nil {
				return err
			}
		}
	}
	if rows != k.Rows {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: what, Where: p.String(), Why: fmt.Sprintf("%d rows lie in the gate's folder, and its ledger says that %d are kept", rows, k.Rows),
			Next: "bring the gate's folder back, or look at the rows themselves in the old database",
		}
	}
	return nil
}

// KeptShapes counts what the rows kept look like, by reason and column behind it, as the
// exact figures of the report did: the key of those is destroyed. Looking is journalled as
// for the rows.
func (s *Source) KeptShapes(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, key ssh.Signer) ([]reconcile.Shaped, error) {
	var all reconcile.Shapes
	err := s.Rejects(ctx, m, p, key, func(r *Rejected) error {
		for _, c := range r.Cells {
			if c.behind {
				all.Add(reconcile.Shaped{Dataset: r.Dataset, By: r.Reason, Column: c.Column, Shape: c.shape, Count: 1})
			}
		}
		return nil
	})
	return all.List(), err
}

// inKept opens the folder of rows kept, which is made when it is first needed. Which
// migration it is about, the lock says: an id that is none is refused.
func (h *Home) inKept(m ecluse.MigrationID, do func(root *os.Root, name string) error) (err error) {
	if !m.Valid() {
		return notAnID(m)
	}
	root, err := os.OpenRoot(filepath.Join(h.dir, keptDir))
	if errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err != nil {
		return cannotOpenKept(err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	return do(root, string(m))
}

// keptFolder makes the folder for a migration's rows, with their last day in it.
func (h *Home) keptFolder(m ecluse.MigrationID, until string) (string, error) {
	if err := durable.Mkdir(filepath.Join(h.dir, keptDir)); err != nil {
		return "", cannotKeep(m, err)
	}
	if err := h.inKept(m, func(root *os.Root, name string) error { return root.Mkdir(name, 0o700) }); err != nil {
		return "", cannotKeep(m, err)
	}
	dir := filepath.Join(h.dir, keptDir, string(m))
	if err := errors.Join(durable.SyncDir(filepath.Join(h.dir, keptDir)), durable.CreateFile(filepath.Join(dir, keptUntil), []byte(until+"\n"))); err != nil {
		return "", cannotKeep(m, err)
	}
	return dir, nil
}

// keptDay is the last day that stands beside rows kept; empty where none can be read.
func (h *Home) keptDay(m ecluse.MigrationID) string {
	text, err := h.keptText(m, keptUntil)
	day := strings.TrimSpace(string(text))
	if _, wrong := time.Parse(time.DateOnly, day); err != nil || wrong != nil {
		return ""
	}
	return day
}

// Orphan is a folder of rows kept that the gate's ledger does not know.
type Orphan struct {
	Name  string
	Until string // the last day; empty: nothing in it says so
}

// Orphans lists them. What has a day goes by itself when it ends.
func (h *Home) Orphans() ([]Orphan, error) {
	folders, err := os.ReadDir(filepath.Join(h.dir, keptDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, cannotOpenKept(err)
	}
	var all []Orphan
	for _, f := range folders {
		m := ecluse.MigrationID(f.Name())
		page, err := h.Entry(m)
		if err != nil {
			return nil, err
		}
		if page.Kept == nil {
			all = append(all, Orphan{f.Name(), h.keptDay(m)})
		}
	}
	return all, nil
}

func cannotOpenKept(err error) error {
	return &ecluse.Error{Kind: ecluse.Failed, What: "open the gate's folder of rows kept", Err: pathless(err), Next: "give the user that runs ecluse the right to write the gate's folder"}
}

// removeKept removes the key and the rows, the key first; nothing when there are none.
func (h *Home) removeKept(m ecluse.MigrationID) error {
	err := h.inKept(m, func(root *os.Root, name string) error {
		if err := root.Remove(filepath.Join(name, keptIdentity)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.RemoveAll(name)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(pathless(err), durable.SyncDir(filepath.Join(h.dir, keptDir)))
}

func (h *Home) keptText(m ecluse.MigrationID, name string) (text []byte, err error) {
	err = h.inKept(m, func(root *os.Root, folder string) (err error) {
		text, err = root.ReadFile(filepath.Join(folder, name))
		return err
	})
	if err != nil {
		err = &ecluse.Error{Kind: ecluse.Failed, What: "open the rows kept", Where: name, Err: pathless(err), Next: "bring the gate's folder back, or look at the rows themselves in the old database"}
	}
	return text, err
}

func (h *Home) keptKey(m ecluse.MigrationID) (*age.HybridIdentity, error) {
	text, err := h.keptText(m, keptIdentity)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	id, err := age.ParseHybridIdentity(string(text))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "open the rows kept", Where: keptIdentity, Why: "it is damaged"}
	}
	return id, nil
}

// EraseKept erases the rows kept whose last day is over, by the day beside them or the
// ledger's and by the latest time this gate has seen, and those ordered erased before it: a
// clock set back keeps nothing, and no server is asked. It names the migrations.
func (h *Home) EraseKept() (erased []ecluse.MigrationID, err error) {
	keeps := false
	err = h.locked(func(l *Ledger) error {
		for _, e := range l.Migrations {
			keeps = keeps || e.Kept != nil && e.Kept.Erased.IsZero()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	folders, err := os.ReadDir(filepath.Join(h.dir, keptDir))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil && len(folders) == 0 && !keeps {
		return nil, nil
	}
	if err != nil {
		return nil, cannotOpenKept(err)
	}
	now, err := h.Latest()
	if err != nil {
		return nil, err
	}
	var failed []error
	for _, f := range folders {
		m := ecluse.MigrationID(f.Name())
		page, err := h.Entry(m)
		switch {
		case err != nil:
			return erased, err
		case h.keptOver(m, now): // whatever the ledger says
		case page.Kept == nil && page.Erased.IsZero(), page.Kept != nil && !page.Kept.over(now):
			continue // they are being sealed, or the ledger does not know them; their day is not over
		}
		if err := h.removeKept(m); err != nil {
			failed = append(failed, &ecluse.Error{Kind: ecluse.Failed, What: "erase the rows kept", Where: string(m), Err: err, Next: "give the user that runs ecluse the right to write the gate's folder; it is tried again", Article: "GDPR art. 5(1)(e)"})
			continue
		}
		erased = append(erased, m)
	}
	return erased, errors.Join(append(failed, h.noteErased(now))...)
}

// eraseKeptNow erases rows kept before their day, where the controller ordered it by a
// signature that verifies, and says so to the lock. That it was ordered stands in the
// ledger first: it is carried out whatever comes between.
func (h *Home) eraseKeptNow(ctx context.Context, lock Papers, m ecluse.MigrationID) error {
	const what = "erase the rows kept"
	page, err := h.Entry(m)
	if err != nil {
		return err
	}
	if page.Kept == nil {
		return &ecluse.Error{Kind: ecluse.Refused, What: what, Where: string(m), Why: "this gate keeps none", Next: "ecluse status tells where rows are kept"}
	}
	if page.Kept.Erased.IsZero() && page.Kept.Ordered.IsZero() {
		c, err := lock.Case(ctx, m, ecluse.Final)
		if err != nil {
			return err
		}
		e, err := h.ending(m, c)
		if err != nil {
			return err
		}
		order := e.KeptErased(page.Kept.Key)
		if order.IsZero() {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: what, Where: string(m), Why: "their day is " + page.Kept.Until + ", and no signature of the controller that verifies orders it before", Article: "GDPR art. 29",
				Next: "let the controller sign it: ecluse erase --rejects --because … --as KEY",
			}
		}
		if err := h.Note(m, func(p *Entry) error { p.Kept.Ordered = order; return nil }); err != nil {
			return err
		}
	}
	if _, err := h.EraseKept(); err != nil {
		return err
	}
	return h.TellErased(ctx, lock)
}

// keptOver tells whether the day that stands beside rows kept is over.
func (h *Home) keptOver(m ecluse.MigrationID, now time.Time) bool {
	day := h.keptDay(m)
	return day != "" && !now.Before(evidence.KeptRows{Until: day}.Ends())
}

// noteErased notes which rows are gone: of a run that was cut short, too.
func (h *Home) noteErased(now time.Time) error {
	return h.locked(func(l *Ledger) error {
		changed := false
		for m, e := range l.Migrations {
			if e.Kept == nil || !e.Kept.Erased.IsZero() || !e.Kept.over(now) {
				continue
			}
			if _, err := os.Lstat(filepath.Join(h.dir, keptDir, string(m))); errors.Is(err, fs.ErrNotExist) {
				e.Kept.Erased, changed = now, true
			}
		}
		if !changed {
			return nil
		}
		return h.save(l)
	})
}

// TellErased hands in this gate's signed word that rows kept were erased. What the lock has
// of it already it takes no second time.
func (h *Home) TellErased(ctx context.Context, lock Papers) error {
	return h.tellErased(ctx, lock, map[ecluse.MigrationID]bool{})
}

// tellErased passes over what was told, and notes there what is.
func (h *Home) tellErased(ctx context.Context, lock Papers, told map[ecluse.MigrationID]bool) error {
	known, err := h.Migrations()
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range known {
		page, err := h.Entry(m)
		if err != nil {
			return err
		}
		if page.Kept == nil || page.Kept.Erased.IsZero() || told[m] {
			continue
		}
		signed, err := evidence.SignStatement(h.signer, &evidence.ErasedRows{
			StatementHead: evidence.StatementHead{Format: evidence.ErasedRowsFormat, Migration: m, Plan: page.ReadPlan},
			Kept:          page.Kept.KeptRows, Erased: page.Kept.Erased,
		})
		if err != nil {
			return err
		}
		err = lock.Post(ctx, m, exchange.ErasedRows, signed) // the same again is once
		told[m] = err == nil
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// keptEvery is how often a gate that runs looks whether rows that it keeps are to go.
const keptEvery = time.Minute

// WatchKept erases rows kept when their last day is over, and says so to the lock when it
// can, until ctx ends.
func WatchKept(ctx context.Context, h *Home, lock Papers, tell func(Doing)) {
	told := map[ecluse.MigrationID]bool{}
	for {
		erased, err := h.EraseKept()
		for _, m := range erased {
			tell(Doing{Work: exchange.Work{ID: keptDir, Verb: exchange.Erase, Migration: m}, Done: true})
		}
		if err != nil {
			tell(Doing{Work: exchange.Work{ID: keptDir, Verb: exchange.Erase}, Done: true, Err: err})
		}
		_ = h.tellErased(ctx, lock, told) // a lock that does not answer hears it the next time
		if !sleep(ctx, keptEvery) {
			return
		}
	}
}
