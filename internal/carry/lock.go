package carry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
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
	// it is asked goes on when the same command is run again. It may be nil.
	Broken func(error)

	mu    sync.Mutex
	items []exchange.Item
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

// GoOn reads what the gate said to this dispatch before, and keeps there what it says. The
// file is in the gate's own folder: to one that is carried, whoever carries it could add
// what the gate would then sign. A line that a crash cut short was never said.
func (l *Lock) GoOn(said string) error {
	const what = "read what the gate said"
	l.kept = said
	text, err := readFile(said)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return broken(what, filepath.Base(said), err)
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if whole < len(text) {
		if err := os.Truncate(said, int64(whole)); err != nil {
			return broken(what, filepath.Base(said), err)
		}
	}
	if l.items, err = parseItems(text[:whole]); err != nil {
		return &ecluse.Error{
			Kind: ecluse.Unverified, What: what, Where: filepath.Base(said), Why: "it is damaged", Err: err,
			Next: "where there is a line: ecluse carry out FOLDER; then here, with --lost: what was said is done again",
		}
	}
	return l.whole()
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readText(f)
}

// parseItems reads what a gate said, a line each.
func parseItems(text []byte) ([]exchange.Item, error) {
	var all []exchange.Item
	for line := range bytes.Lines(text) {
		var it exchange.Item
		if err := evidence.DecodeJSON(line, &it); err != nil {
			return nil, err
		}
		if err := it.Check(); err != nil {
			return nil, err
		}
		all = append(all, it)
	}
	return all, nil
}

// whole refuses a folder that lacks chunks that the gate sealed: it is a copy of before, or
// was not carried whole, and what is signed over it could never come in.
func (l *Lock) whole() error {
	at, err := openDisk(l.dir)
	if err != nil {
		return broken("go on in the folder", l.dir, err)
	}
	defer at.Close()
	for _, it := range l.items {
		if it.Kind != exchange.ItemPut {
			continue
		}
		d, err := evidence.ParseDescriptor(*it.Signed, l.gate)
		if err != nil {
			return err
		}
		if info, err := at.Lstat(path.Join(l.chunks(), d.SHA256.Hex())); err != nil || !info.Mode().IsRegular() || info.Size() != d.Size {
			return &ecluse.Error{
				Kind: ecluse.Refused, What: "go on in the folder", Where: d.Slot.String(), Why: "a chunk that this gate sealed is not in it: it is a copy of before, or was not carried whole",
				Next: "carry the folder here in which this gate answered; if it is lost: ecluse carry out FOLDER, anew, and then here, with --lost",
			}
		}
	}
	return nil
}

// say keeps something that the gate says; the caller holds mu.
func (l *Lock) say(it exchange.Item) error {
	text, err := evidence.EncodeJSON(it)
	if err != nil {
		return err
	}
	if err := appendLine(l.kept, text); err != nil {
		return l.fail(broken("answer the lock", filepath.Base(l.kept), err))
	}
	l.items = append(l.items, it)
	close(l.moved)
	l.moved = make(chan struct{})
	return nil
}

// appendLine adds a whole line to a file, or nothing.
func appendLine(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	before, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		if _, err = f.Write(line); err == nil {
			err = f.Sync()
		}
		if err != nil { // half a line must not stand before the next
			err = errors.Join(err, f.Truncate(before))
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil && before == 0 { // its name, too
		err = durable.SyncDir(filepath.Dir(path))
	}
	return err
}

// fail tells that the gate can say nothing more.
func (l *Lock) fail(err error) error {
	if l.Broken != nil {
		l.Broken(err)
	}
	return err
}

// Items is how many things the gate said.
func (l *Lock) Items() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.items)
}

// Seal signs all that the gate said, for the lock.
func (l *Lock) Seal(sign func(namespace string, body []byte) (evidence.Signed, error), now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := evidence.EncodeJSON(&exchange.Return{
		Format: exchange.ReturnFormat, Lock: l.Dispatch.Lock, Gate: l.gate, Number: l.Dispatch.Number, Made: now.UTC().Truncate(time.Second),
		Items: append([]exchange.Item{}, l.items...),
	})
	if err != nil {
		return err
	}
	s, err := sign(evidence.NamespaceCarried, text)
	if err != nil {
		return err
	}
	err = inDisk(l.dir, func(at disk) error { return at.writeSigned(path.Join(inOf(l.Dispatch.Number), returnFile), s) })
	return broken("sign what is carried in", l.dir, err)
}

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
		same := len(wanted) == len(known) && !slices.ContainsFunc(wanted, func(w exchange.Work) bool { return !slices.Contains(known, w.ID) })
		if !same || len(wanted) == 0 {
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

// Slots lists the descriptors of the chunks that are in, and of those to be carried in.
func (l *Lock) Slots(_ context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(c.Slots)
	for _, it := range l.said(m, exchange.ItemPut) {
		all = append(all, *it.Signed)
	}
	return all, nil
}

// Put keeps a chunk to be carried in. A slot is written once.
func (l *Lock) Put(ctx context.Context, m ecluse.MigrationID, signed evidence.Signed, body io.Reader) (evidence.Signed, error) {
	d, err := evidence.ParseDescriptor(signed, l.gate)
	if err != nil {
		return evidence.Signed{}, err
	}
	there, err := l.taken(ctx, m)
	if err != nil {
		return evidence.Signed{}, err
	}
	l.mu.Lock()
	before := there[d.Slot]
	l.mu.Unlock()
	switch {
	case before == nil:
	case bytes.Equal(before, signed.Body):
		return signed, nil
	default:
		return evidence.Signed{}, &ecluse.Error{Kind: ecluse.Refused, What: "store chunk " + d.Slot.String(), Why: "the slot holds another chunk, and is written once", Next: "a chunk that is read again with another content takes the next version"}
	}
	if err := inDisk(l.dir, func(at disk) error { return at.keep(l.chunks(), d, body) }); err != nil {
		return evidence.Signed{}, l.fail(broken("store chunk "+d.Slot.String(), l.dir, err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.say(exchange.Item{Kind: exchange.ItemPut, Migration: m, Signed: &signed}); err != nil {
		return evidence.Signed{}, err
	}
	there[d.Slot] = signed.Body
	return signed, nil
}

// taken are the slots that hold a chunk, or will once it is carried in; held by mu.
func (l *Lock) taken(ctx context.Context, m ecluse.MigrationID) (map[ecluse.Slot][]byte, error) {
	l.mu.Lock()
	there := l.slots[m]
	l.mu.Unlock()
	if there != nil {
		return there, nil
	}
	all, err := l.Slots(ctx, m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slots[m] != nil { // another was first
		return l.slots[m], nil
	}
	there = map[ecluse.Slot][]byte{}
	for _, s := range all {
		d, err := descriptor(s)
		if err != nil {
			return nil, err
		}
		there[d.Slot] = s.Body
	}
	l.slots[m] = there
	return there, nil
}

// Get fetches nothing: the gate that seals chunks opens none.
func (l *Lock) Get(context.Context, ecluse.MigrationID, ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	return evidence.Signed{}, nil, needsLine("fetch a chunk")
}

// Close keeps the closing manifest to be carried in.
func (l *Lock) Close(_ context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.say(exchange.Item{Kind: exchange.ItemClose, Migration: m, Signed: &manifest})
}

// Manifest returns the closing manifest, or nil before there is one.
func (l *Lock) Manifest(_ context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if closed := l.said(m, exchange.ItemClose); len(closed) > 0 {
		return closed[0].Signed, nil
	}
	return c.Manifest, nil
}

// Wait waits for nothing: nothing more comes before the next dispatch.
func (l *Lock) Wait(context.Context, ecluse.MigrationID, int) error {
	return needsLine("wait for what comes")
}

// PutReject is nothing that a source gate does.
func (l *Lock) PutReject(context.Context, ecluse.MigrationID, evidence.Signed, io.Reader) error {
	return needsLine("store rows put aside")
}

// Rejects lists the descriptors of what was put aside.
func (l *Lock) Rejects(_ context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	c, err := l.of(m)
	if err != nil {
		return nil, err
	}
	return c.Rejects, nil
}

// GetReject opens rows put aside, which were carried out with the dispatch.
func (l *Lock) GetReject(_ context.Context, _ ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	at, err := openDisk(l.dir)
	if err != nil {
		return nil, broken("open rows put aside", l.dir, err)
	}
	defer at.Close()
	f, _, err := at.open(path.Join(outOf(l.Dispatch.Number), rejectsDir, sha256.Hex()))
	if err != nil {
		return nil, broken("open rows put aside", l.dir, err)
	}
	return f, nil
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
