package carry

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Lock is the lock as a source gate sees it in a folder: gate.Lock. What it says is what
// was carried out, and what the gate itself said since; what the gate says is kept
// durably before a method returns, and carried in later.
type Lock struct {
	dir      string
	gate     ecluse.Fingerprint
	kept     string // the gate's own file of what it said, a line each
	Dispatch *exchange.Dispatch

	// Broken is told what keeps the gate from saying anything, such as a full disk: what
	// it is asked goes on when the same command is run again, or after ErrFull when this
	// return came in. It may be nil.
	Broken func(error)

	mu    sync.Mutex
	items []exchange.Item
	size  int                                           // of the items, encoded
	slots map[ecluse.MigrationID]map[ecluse.Slot][]byte // bodies of descriptors; of a migration nil before a first is put
	moved chan struct{}                                 // closed when the gate said something
}

// Open reads the latest dispatch in a folder, which the lock signed for this gate. GoOn is
// to be called before anything is said.
func Open(dir string, lock, gate ecluse.Fingerprint) (*Lock, error) {
	const what = "read what was carried out"
	at, err := openDisk(dir)
	if err != nil {
		return nil, broken(what, dir, err)
	}
	defer at.Close()
	all, err := at.numbers("out")
	if err != nil {
		return nil, broken(what, dir, err)
	}
	all = slices.DeleteFunc(all, func(n int64) bool { return !at.has(path.Join(outOf(n), dispatchFile)) })
	if len(all) == 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: what, Where: dir, Why: "nothing was carried out into this folder", Err: fs.ErrNotExist,
			Next: "where there is a line: ecluse carry out FOLDER; then carry the folder here",
		}
	}
	n := slices.Max(all)
	s, err := at.readSigned(path.Join(outOf(n), dispatchFile))
	if err != nil {
		return nil, broken(what, dir, err)
	}
	l := &Lock{dir: dir, gate: gate, moved: make(chan struct{}), slots: map[ecluse.MigrationID]map[ecluse.Slot][]byte{}}
	if l.Dispatch, err = exchange.ParseDispatch(s, lock, gate); err != nil {
		return nil, err
	}
	if l.Dispatch.Number != n {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: what, Where: outOf(n), Why: "the dispatch in it has another number", Next: "carry it out anew"}
	}
	if err := at.mkdir(l.chunks()); err != nil {
		return nil, broken(what, dir, err)
	}
	if err := at.sweep(l.chunks()); err != nil {
		return nil, broken(what, dir, err)
	}
	return l, nil
}

func (l *Lock) chunks() string { return path.Join(inOf(l.Dispatch.Number), chunksDir) }

// open lists what is asked of the gate and not answered; the caller holds mu.
func (l *Lock) open() []exchange.Work {
	var all []exchange.Work
	for _, w := range l.Dispatch.Work {
		if w.Verb == exchange.Lend {
			if len(l.unlent(w.Migration)) > 0 {
				all = append(all, w)
			}
			continue
		}
		if !slices.ContainsFunc(l.items, func(it exchange.Item) bool { return it.Kind == exchange.ItemAnswer && it.Work == w.ID }) {
			all = append(all, w)
		}
	}
	return all
}

// Wanted lists what is asked and not answered; when all of it is known it waits until the
// gate says something.
func (l *Lock) Wanted(ctx context.Context, known []string) ([]exchange.Work, error) {
	for {
		l.mu.Lock()
		wanted, moved := l.open(), l.moved
		l.mu.Unlock()
		if !exchange.SameWork(wanted, known) || len(wanted) == 0 {
			return wanted, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Tell passes nothing on: nobody looks on at the other end.
func (l *Lock) Tell(context.Context, string, exchange.Progress) error { return nil }

// Probe measures nothing: how long a way by hand takes, nobody knows.
func (l *Lock) Probe(context.Context) (exchange.Line, error) { return exchange.Line{}, nil }

// Answer ends a piece of work.
func (l *Lock) Answer(_ context.Context, work string, a exchange.Answer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.ContainsFunc(l.open(), func(w exchange.Work) bool { return w.ID == work }) {
		return nil
	}
	if slices.ContainsFunc(l.Dispatch.Work, func(w exchange.Work) bool { return w.ID == work && w.Verb == exchange.Lend }) {
		// Of a loan only the loan is carried; what kept the gate from it, it says itself.
		l.drop(work)
		return nil
	}
	return l.say(exchange.Item{Kind: exchange.ItemAnswer, Work: work, Answer: &a})
}

// drop stops asking for a piece of work, until the folder is opened again.
func (l *Lock) drop(work string) {
	l.Dispatch.Work = slices.DeleteFunc(slices.Clone(l.Dispatch.Work), func(w exchange.Work) bool { return w.ID == work })
	close(l.moved)
	l.moved = make(chan struct{})
}

// of is what was carried out of a migration.
func (l *Lock) of(m ecluse.MigrationID) (*exchange.CarriedCase, error) {
	for i := range l.Dispatch.Cases {
		if c := &l.Dispatch.Cases[i]; c.Migration == m && c.Case != nil {
			return &l.Dispatch.Cases[i], nil
		}
	}
	return nil, &ecluse.Error{
		Kind: ecluse.Invalid, What: "look for the migration", Where: string(m), Why: "nothing of it was carried out", Next: "where there is a line: ecluse carry out FOLDER; then carry the folder here",
	}
}

// said lists what the gate said of a kind about a migration; the caller holds mu.
func (l *Lock) said(m ecluse.MigrationID, kind exchange.ItemKind) []exchange.Item {
	var all []exchange.Item
	for _, it := range l.items {
		if it.Kind == kind && it.Migration == m {
			all = append(all, it)
		}
	}
	return all
}

// Case returns what stood about a migration when it was carried out.
func (l *Lock) Case(_ context.Context, m ecluse.MigrationID, _ ecluse.PassageKind) (*exchange.Case, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	if posted := l.posted(c, exchange.RecipientPaper); len(posted) > len(c.Papers[exchange.RecipientPaper]) {
		with := *c.Case
		with.Recipients = posted
		return &with, nil
	}
	return c.Case, nil
}

func (l *Lock) posted(c *exchange.CarriedCase, kind exchange.Paper) []evidence.Signed {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(c.Papers[kind])
	for _, it := range l.said(c.Migration, exchange.ItemPost) {
		if it.Paper == kind {
			all = append(all, *it.Signed)
		}
	}
	return all
}

// Post hands in something that the gate signed; the same bytes twice is once.
func (l *Lock) Post(_ context.Context, m ecluse.MigrationID, kind exchange.Paper, s evidence.Signed) error {
	c, err := l.of(m)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(l.posted(c, kind), func(x evidence.Signed) bool {
		return bytes.Equal(x.Body, s.Body) && bytes.Equal(x.Signature, s.Signature)
	}) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.say(exchange.Item{Kind: exchange.ItemPost, Migration: m, Paper: kind, Signed: &s})
}

// Posted returns what gates handed in of a kind.
func (l *Lock) Posted(_ context.Context, m ecluse.MigrationID, kind exchange.Paper) ([]evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	return l.posted(c, kind), nil
}

// Record tells the journal what the gate did.
func (l *Lock) Record(_ context.Context, e exchange.Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.say(exchange.Item{Kind: exchange.ItemRecord, Migration: e.Migration, Event: &e})
}

// Ask is nothing that a source gate does.
func (l *Lock) Ask(context.Context, ecluse.MigrationID, evidence.Signed) error {
	return needsLine("ask for the release secret")
}

// Lent is nothing that a source gate asks.
func (l *Lock) Lent(context.Context, ecluse.MigrationID, ecluse.Digest) (*evidence.Signed, error) {
	return nil, needsLine("ask for the release secret")
}

// unlent lists the requests for the release secret that have no answer; the caller holds
// mu.
func (l *Lock) unlent(m ecluse.MigrationID) []evidence.Signed {
	c, err := l.of(m)
	if err != nil {
		return nil
	}
	lent := map[ecluse.Digest]bool{}
	for _, it := range l.said(m, exchange.ItemLend) {
		var to struct {
			Request ecluse.Digest `json:"request"`
		}
		if json.Unmarshal(it.Signed.Body, &to) == nil {
			lent[to.Request] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(c.Asked), func(s evidence.Signed) bool { return lent[s.Digest()] })
}

// Asked lists the requests for the release secret that have no answer.
func (l *Lock) Asked(_ context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	if _, err := l.of(m); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unlent(m), nil
}

// Lend keeps the sealed loan to be carried in.
func (l *Lock) Lend(_ context.Context, m ecluse.MigrationID, answer evidence.Signed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.say(exchange.Item{Kind: exchange.ItemLend, Migration: m, Signed: &answer})
}

// Head returns the journal's head as it was carried out, with the proof that it continues
// an earlier one.
func (l *Lock) Head(_ context.Context, m ecluse.MigrationID, from int64) (evidence.Signed, [][32]byte, error) {
	c, err := l.of(m)
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	head, err := evidence.ParseHead(c.Head.Body)
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	wrong := func(why string) error {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "watch the journal", Where: string(m), Why: why, Next: "stop, keep the folder as it is, and call the laboratory's data-protection officer"}
	}
	if from > head.Size {
		return evidence.Signed{}, nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "watch the journal", Where: string(m), Why: "this gate saw more of it already than was carried out", Next: "where there is a line: ecluse carry out FOLDER, anew",
		}
	}
	if int64(len(c.Leaves)) != head.Size {
		return evidence.Signed{}, nil, wrong("not all of it was carried out")
	}
	if from == 0 || from == head.Size {
		return c.Head, nil, nil
	}
	var tree evidence.Tree
	for _, leaf := range c.Leaves {
		var h tlog.Hash
		if copy(h[:], leaf) != len(h) || len(leaf) != len(h) {
			return evidence.Signed{}, nil, wrong("what was carried out of it is damaged")
		}
		if err := tree.Append(h); err != nil {
			return evidence.Signed{}, nil, err
		}
	}
	proof, err := tlog.ProveTree(head.Size, from, &tree)
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	out := make([][32]byte, len(proof))
	for i, p := range proof {
		out[i] = p
	}
	return c.Head, out, nil
}

// Cosign keeps the gate's signature under a head to be carried in.
func (l *Lock) Cosign(_ context.Context, m ecluse.MigrationID, head evidence.Signed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, it := range l.said(m, exchange.ItemCosign) {
		if bytes.Equal(it.Signed.Body, head.Body) {
			return nil
		}
	}
	return l.say(exchange.Item{Kind: exchange.ItemCosign, Migration: m, Signed: &head})
}

// Cosigned returns the newest head that a gate signed.
func (l *Lock) Cosigned(_ context.Context, m ecluse.MigrationID, gate ecluse.Fingerprint) (*evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if said := l.said(m, exchange.ItemCosign); gate == l.gate && len(said) > 0 {
		return said[len(said)-1].Signed, nil
	}
	if s, ok := c.Cosigned[gate]; ok {
		return &s, nil
	}
	return nil, nil
}

func needsLine(what string) error {
	return &ecluse.Error{Kind: ecluse.Refused, What: what, Why: "this gate has no line to its lock", Next: "that is done where there is one"}
}
