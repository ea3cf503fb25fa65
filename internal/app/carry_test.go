package app_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/carry"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/lock"
	"ecluse/internal/mandate"
	"ecluse/internal/words"
)

// hand is a room whose source gate no line reaches: a lock alone, a folder that is
// carried, and the gate beside its database.
type hand struct {
	*testing.T
	d      *roomtest.Dir
	folder string
	gate   ssh.Signer // the source gate's key
	lock   *lock.Lock
	desk   *desk.Desk
}

// byHand brings a room to the beginning of reading, with a gate that said that no line
// reaches it.
func byHand(t *testing.T) *hand {
	t.Helper()
	h := byHandAt(t, roomtest.Ready, 3)
	h.begin()
	return h
}

// byHandAt is a room at a stage, of so many patients: of other numbers all keys are others.
func byHandAt(t *testing.T, at roomtest.Stage, patients int) *hand {
	t.Helper()
	return handWith(t, roomtest.At(t, at, patients))
}

// handWith makes the source gate of a room one without a line.
func handWith(t *testing.T, d *roomtest.Dir) *hand {
	t.Helper()
	h := &hand{T: t, d: d}
	r := h.d.Open()
	home := r.HomeOf(exchange.SourcePlace)
	_, signed, err := home.Describe(mandate.Gate{
		Place: evidence.SourceGate, System: "ANCILAB", StandsAt: "Laboratory, Saumur", Line: mandate.NoLine,
		Machine: mandate.Administrators{ecluse.Controller}, Database: mandate.Administrators{ecluse.Controller},
	}, false)
	h.must(err)
	_, err = r.Enrol(t.Context(), signed)
	h.must(err)
	g, err := mandate.ParseGate("gate", signed.Body)
	h.must(err)
	q := desk.GateRequest{Gate: g.Gate, Roots: h.d.Roots(), Lock: r.LockKey(), Key: h.d.Key(roomtest.Claire)}
	_, err = r.ConfirmGate(t.Context(), q, spoken(t, g, words.English))
	h.must(err)
	h.must(r.Close())

	settings := "ecluse: gate/v1\nserver: https://127.0.0.1:1\nlaboratory: lab\npin: " + ecluse.DigestOf(nil).String() +
		"\nengine: sqlite\ncatalogue: {file: ../../ancilab.db}\nrows: {file: ../../ancilab.db}\n"
	h.d.Write([]byte(settings), "room", "source", "gate.yaml")
	h.gate, err = ssh.ParsePrivateKey(h.d.Read("room", "source", "gate_key"))
	h.must(err)
	h.folder = h.d.Join("disk")
	h.open()
	t.Cleanup(func() { h.lock.Shut() })
	return h
}

func (h *hand) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// open opens the lock, as a server that starts does.
func (h *hand) open() {
	h.Helper()
	var err error
	h.lock, err = lock.Open(h.Context(), h.d.Join("room", "lock"), "test")
	h.must(err)
	h.desk = desk.New(func(ctx context.Context, key ssh.Signer) (desk.Lock, error) {
		if key == nil {
			return h.lock.Nobody(), nil
		}
		return h.lock.As(ctx, evidence.FingerprintOf(key.PublicKey()))
	}, h.d.Join("room", "plans"), h.lock.TakeRoster)
}

// killed has the server end and start again.
func (h *hand) killed() {
	h.Helper()
	h.must(h.lock.Shut())
	h.open()
}

func (h *hand) marc() *lock.Person {
	h.Helper()
	p, err := h.lock.As(h.Context(), evidence.FingerprintOf(h.d.Key(roomtest.Marc).PublicKey()))
	h.must(err)
	return p
}

// target has the target gate work, on its line, until stop is called.
func (h *hand) target() (stop func()) {
	h.Helper()
	key, err := ssh.ParsePrivateKey(h.d.Read("room", "target", "gate_key"))
	h.must(err)
	seat := h.lock.Seat(evidence.FingerprintOf(key.PublicKey()))
	target, err := app.Target(h.d.Join("room", "target"), seat)
	h.must(err)
	ctx, cancel := context.WithCancel(h.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = gate.Run(ctx, seat, target.Work, nil) })
	return func() {
		cancel()
		running.Wait()
		target.Close()
	}
}

// begin has everything that is approved carried out.
func (h *hand) begin() {
	h.Helper()
	_, err := h.marc().Begin(h.Context(), roomtest.Migration, exchange.Beginning{Kind: ecluse.Final, Plan: ecluse.DigestOf(h.d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json"))})
	h.must(err)
}

// lines are a person's, without a network between.
type lines struct{ *lock.Person }

func (l lines) CarryChunk(ctx context.Context, of ecluse.Digest, item int, body io.ReadSeeker) (*exchange.Taken, error) {
	return l.Person.CarryChunk(ctx, of, item, body)
}

func (h *hand) out() *carry.Out {
	h.Helper()
	v, err := carry.CarryOut(h.Context(), lines{h.marc()}, h.lock.Key(), h.folder, "")
	h.must(err)
	return v
}

func (h *hand) in() (*exchange.CarriedIn, error) {
	return carry.CarryIn(h.Context(), lines{h.marc()}, h.lock.Key(), h.folder, func(exchange.Taken) {})
}

func (h *hand) atGate(lost bool) (*app.Carried, error) {
	return app.RunCarried(h.Context(), h.d.Join("room", "source"), app.CarriedOptions{Folder: h.folder, Lost: lost})
}

// trip carries out, has the gate answer, and carries in.
func (h *hand) trip() *exchange.CarriedIn {
	h.Helper()
	h.out()
	_, err := h.atGate(false)
	h.must(err)
	v, err := h.in()
	h.must(err)
	return v
}

// trips makes trips until nothing that is due waits for one, or so many. It returns what
// failed last.
func (h *hand) trips(most int) (failed []exchange.DueItem) {
	h.Helper()
	for range most {
		h.trip()
		v, err := h.desk.Due(h.Context())
		h.must(err)
		if failed = v.Failed; len(failed) == 0 {
			break
		}
	}
	return failed
}

// answered carries out, has the gate answer, and returns what it said.
func (h *hand) answered() *carry.Returned {
	h.Helper()
	h.out()
	_, err := h.atGate(false)
	h.must(err)
	return h.returned()
}

func (h *hand) returned() *carry.Returned {
	h.Helper()
	all, unread, err := carry.ReadReturns(h.folder, h.lock.Key())
	h.must(err)
	if len(unread) > 0 {
		h.Fatalf("%v", unread)
	}
	return all[len(all)-1]
}

// signed is a return that the gate's key signed.
func (h *hand) signed(r exchange.Return, key ssh.Signer) evidence.Signed {
	h.Helper()
	text, err := evidence.EncodeJSON(r)
	h.must(err)
	s, err := evidence.Sign(key, evidence.NamespaceCarried, text)
	h.must(err)
	return s
}

// says puts a return into the folder as its gate would.
func (h *hand) says(r *exchange.Return) {
	h.Helper()
	signed, at := h.signed(*r, h.gate), filepath.Join(h.folder, fmt.Sprintf("in-%06d", r.Number), "return.json")
	h.must(os.WriteFile(at, signed.Body, 0o600))
	h.must(os.WriteFile(at+".sig", signed.Signature, 0o600))
}

// taken is how far what was carried came in, and how much the journal has.
func (h *hand) taken() string {
	h.Helper()
	return strings.Join(append(
		h.d.Query("room/lock/control.db", "SELECT number || ' ' || came || ' ' || items || ' ' || hex(digest) FROM carried"),
		h.d.Query("room/lock/control.db", "SELECT tree || ' ' || count(*) FROM leaf GROUP BY tree ORDER BY tree")...,
	), ", ")
}

// events counts a type of event in the migration's journal.
func (h *hand) events(kind string) int {
	h.Helper()
	return len(h.d.Query("room/lock/control.db", "SELECT idx FROM leaf WHERE tree = '"+string(roomtest.Migration)+"' AND CAST(text AS TEXT) LIKE '%\"type\":\""+kind+"\"%'"))
}

// puts are the places of chunks among what a gate said.
func puts(r *exchange.Return) []int {
	var all []int
	for i, it := range r.Items {
		if it.Kind == exchange.ItemPut {
			all = append(all, i)
		}
	}
	return all
}

// refused wants an error of a kind with words, and nothing taken in.
func (h *hand) refused(what string, err error, kind ecluse.Kind, words, before string) {
	h.Helper()
	if ecluse.KindOf(err) != kind || !strings.Contains(fmt.Sprint(err), words) {
		h.Errorf("%s: %v, want %s: %s", what, err, kind, words)
	}
	if now := h.taken(); now != before {
		h.Errorf("%s: taken in: %s; before: %s", what, now, before)
	}
}

// TestCarriedReturnRefused: what a gate did not say, or said to somebody else or before, is
// refused with its own words, and nothing of it is taken in.
func TestCarriedReturnRefused(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	good := h.answered()
	stranger := h.d.Key("root-processor")
	with := func(change func(*exchange.Return)) exchange.Return {
		r := *good.Return
		r.Items = slices.Clone(r.Items)
		change(&r)
		return r
	}
	altered := evidence.Signed{Body: bytes.Replace(good.Signed.Body, []byte(`"number":1`), []byte(`"number":2`), 1), Signature: good.Signed.Signature}
	for name, x := range map[string]struct {
		signed evidence.Signed
		kind   ecluse.Kind
		words  string
	}{
		"a byte altered":           {altered, ecluse.Unverified, "signature"},
		"another's signature":      {evidence.Signed{Body: good.Signed.Body, Signature: h.signed(*good.Return, stranger).Signature}, ecluse.Unverified, "another key signed it"},
		"another gate":             {h.signed(with(func(r *exchange.Return) { r.Gate = evidence.FingerprintOf(stranger.PublicKey()) }), stranger), ecluse.Invalid, "it is no gate that said so"},
		"for another lock":         {h.signed(with(func(r *exchange.Return) { r.Lock = r.Gate }), h.gate), ecluse.Unverified, "for another lock"},
		"a number never carried":   {h.signed(with(func(r *exchange.Return) { r.Number = 99 }), h.gate), ecluse.Refused, "nothing of that number was carried out: the last was 1"},
		"no number":                {h.signed(with(func(r *exchange.Return) { r.Number = 0 }), h.gate), ecluse.Unverified, "it has no number"},
		"an item of two kinds":     {h.signed(with(func(r *exchange.Return) { r.Items[0].Answer = &exchange.Answer{} }), h.gate), ecluse.Unverified, "not the parts of its kind"},
		"a dispatch, not a return": {h.signed(with(func(r *exchange.Return) { r.Format = exchange.DispatchFormat }), h.gate), ecluse.Unverified, "its format is not return/v1"},
	} {
		before := h.taken()
		_, err := h.marc().CarryIn(t.Context(), x.signed, false)
		h.refused(name, err, x.kind, x.words, before)
	}

	// A part comes in, as far as the second chunk.
	taken, err := h.marc().CarryIn(t.Context(), good.Signed, false)
	h.must(err)
	first := puts(good.Return)[0]
	if taken.Done != first || first == 0 {
		t.Fatalf("taken %+v, the first chunk is item %d", taken, first)
	}
	chunk, err := good.Chunk(first)
	h.must(err)
	defer chunk.Close()
	taken, err = h.marc().CarryChunk(t.Context(), good.Signed.Digest(), first, chunk)
	h.must(err)
	if taken.Done <= first {
		t.Fatalf("taken %+v", taken)
	}
	const begins = "does not begin with what came in of it before"
	for name, r := range map[string]exchange.Return{
		"in another order": with(func(r *exchange.Return) { r.Items[0], r.Items[1] = r.Items[1], r.Items[0] }),
		"cut":              with(func(r *exchange.Return) { r.Items = r.Items[:first] }),
		"emptied":          with(func(r *exchange.Return) { r.Items = []exchange.Item{} }),
		"one left out":     with(func(r *exchange.Return) { r.Items = slices.Delete(r.Items, 0, 1) }),
	} {
		before := h.taken()
		_, err := h.marc().CarryIn(t.Context(), h.signed(r, h.gate), false)
		h.refused(name, err, ecluse.Refused, begins, before)
	}
	_, err = h.in()
	h.must(err)

	// Again, from a copy: once.
	before := h.taken()
	taken, err = h.marc().CarryIn(t.Context(), good.Signed, false)
	if err != nil || taken.Done != taken.Of || h.taken() != before {
		t.Errorf("again: %+v, %v", taken, err)
	}
	// Older than what came in since.
	h.answered()
	_, err = h.in()
	h.must(err)
	before = h.taken()
	_, err = h.marc().CarryIn(t.Context(), good.Signed, false)
	h.refused("a late one", err, ecluse.Refused, "the return to dispatch 2 came in before", before)
}

// TestCarriedKilled: a server that is killed between two chunks goes on; whoever carries
// in sees it and runs the same again.
func TestCarriedKilled(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	r := h.answered()
	taken, err := h.marc().CarryIn(t.Context(), r.Signed, false)
	h.must(err)
	chunk := func(item int) (*exchange.Taken, error) {
		f, err := r.Chunk(item)
		h.must(err)
		defer f.Close()
		return h.marc().CarryChunk(t.Context(), r.Signed.Digest(), item, f)
	}
	taken, err = chunk(taken.Done)
	h.must(err)
	h.killed()
	if _, err := chunk(taken.Done); ecluse.KindOf(err) != ecluse.Interrupted {
		t.Errorf("to a server that started again: %v", err)
	}
	again, err := h.marc().CarryIn(t.Context(), r.Signed, false)
	if err != nil || again.Done != taken.Done {
		t.Fatalf("%+v, %v; before %+v", again, err, taken)
	}
	// A chunk at another place than the next is not read, and harms nothing.
	for _, item := range []int{0, again.Done - 1, again.Done + 1, len(r.Items), -1} {
		if v, err := h.marc().CarryChunk(t.Context(), r.Signed.Digest(), item, unread{t}); err != nil || v.Done != again.Done {
			t.Errorf("at %d: %+v, %v", item, v, err)
		}
	}
	for again.Done < again.Of {
		at := again.Done
		again, err = chunk(at)
		h.must(err)
		if same, err := chunk(at); err != nil || same.Done != again.Done { // what was answered was not heard
			t.Errorf("again at %d: %+v, %v", at, same, err)
		}
	}
	v, err := h.in()
	h.must(err)
	if v.Items != len(r.Items) || h.events("epoch") != 1 || h.events(evidence.LeafChunk) != len(puts(r.Return)) || h.events("manifest") != 1 {
		t.Errorf("%+v; epochs %d, chunks %d of %d, manifests %d", v, h.events("epoch"), h.events(evidence.LeafChunk), len(puts(r.Return)), h.events("manifest"))
	}
	if left, _ := os.ReadDir(h.folder); len(left) != 0 {
		t.Errorf("left in the folder: %v", left)
	}
}

type unread struct{ *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.Error("the body was read")
	return 0, io.ErrUnexpectedEOF
}

// TestCarriedSeams: a crash after anything that a gate said came in, and before it was
// noted that it did, takes it in once.
func TestCarriedSeams(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	r := h.answered()
	sum := []byte{}
	for n, it := range r.Items {
		part := *r.Return
		part.Items = part.Items[:n+1]
		signed := h.signed(part, h.gate)
		text, err := evidence.EncodeJSON(it)
		h.must(err)
		before, records := sum, it.Kind == exchange.ItemRecord
		next := sha256.Sum256(append(bytes.Clone(sum), text...))
		sum = next[:]
		for try := range 2 {
			taken, err := h.marc().CarryIn(t.Context(), signed, false)
			if err == nil && taken.Done == n {
				f, open := r.Chunk(n)
				h.must(open)
				taken, err = h.marc().CarryChunk(t.Context(), signed.Digest(), n, f)
				h.must(f.Close())
			}
			if err != nil || taken.Done != n+1 {
				t.Fatalf("item %d, %s, the %d. time: %+v, %v", n, it.Kind, try+1, taken, err)
			}
			if try == 0 && !records { // which are one with the note
				h.must(h.lock.Shut())
				h.d.Exec("room/lock/control.db", fmt.Sprintf("UPDATE carried SET items = %d, digest = x'%s'", n, hex.EncodeToString(before)))
				h.open()
			}
		}
	}
	for kind, want := range map[string]int{"epoch": 1, evidence.LeafChunk: len(puts(r.Return)), "manifest": 1} {
		if n := h.events(kind); n != want {
			t.Errorf("%s: %d, want %d", kind, n, want)
		}
	}
}

// suspended has the controller suspend a migration.
func (h *hand) suspended(m ecluse.MigrationID) (resume func()) {
	h.Helper()
	order := desk.Order{Migration: m, Because: "a question is open", Key: h.d.Key(roomtest.Claire)}
	_, err := h.desk.Suspend(h.Context(), order)
	h.must(err)
	return func() {
		h.Helper()
		_, err := h.desk.Resume(h.Context(), order)
		h.must(err)
	}
}

// TestCarriedSuspended: chunks of a suspended migration do not come in; when it goes on, so
// do they, also after another trip.
func TestCarriedSuspended(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	r := h.answered()
	resume := h.suspended(roomtest.Migration)
	first := puts(r.Return)[0]
	for range 2 { // again is the same
		v, err := h.in()
		if err != nil || len(v.Refused) != 1 || v.Refused[0].Item != first || !v.Again || v.Waiting != len(r.Items)-first-1 || v.Items != len(r.Items) {
			t.Fatalf("%+v, %v", v, err)
		}
		if why := v.Refused[0].Why; why.Kind != ecluse.Refused || !strings.Contains(fmt.Sprint(why.Err()), "held by controller") {
			t.Errorf("%+v", why)
		}
	}
	if n := h.events(evidence.LeafChunk); n != 0 {
		t.Errorf("%d chunks came in", n)
	}
	// The gate is let go on, and is not asked about it meanwhile.
	if v := h.out(); slices.Contains(v.Work, exchange.Read) {
		t.Errorf("asked %v", v.Work)
	}
	_, err := h.atGate(false)
	h.must(err)
	if v, err := h.in(); err != nil || len(v.Refused) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	h.killed()
	resume()
	v, err := h.in()
	// The reading was withdrawn meanwhile: of its answer comes nothing.
	if err != nil || len(v.Refused)+v.Waiting != 0 || v.New != len(r.Items)-first-1 || v.Late != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	if chunks := h.events(evidence.LeafChunk); chunks != len(puts(r.Return)) || h.events("manifest") != 1 || h.events("epoch") != 1 {
		t.Errorf("%d chunks of %d, %d manifests, %d epochs", chunks, len(puts(r.Return)), h.events("manifest"), h.events("epoch"))
	}
	if left, _ := os.ReadDir(h.folder); len(left) != 0 {
		t.Errorf("left in the folder: %v", left)
	}
	h.accepted()
}

// accepted has what was read loaded, with the loans that it takes, and accepted.
func (h *hand) accepted() {
	h.Helper()
	defer h.target()()
	_, err := h.marc().Begin(h.Context(), roomtest.Migration, exchange.Beginning{Kind: ecluse.Final, Plan: ecluse.DigestOf(h.d.Read("room", "plans", string(roomtest.Migration)+"-loadplan-final.json"))})
	h.must(err)
	for until := time.Now().Add(time.Minute); h.events("passage-ended") == 0; time.Sleep(50 * time.Millisecond) {
		asked, err := h.lock.Asked(h.Context(), roomtest.Migration)
		h.must(err)
		if len(asked) > 0 {
			if v := h.trip(); len(v.Refused)+v.Late > 0 {
				h.Errorf("%+v", v)
			}
		}
		if time.Now().After(until) {
			h.Fatal("nothing is loaded")
		}
	}
	_, err = h.desk.Accept(h.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: h.d.Key(roomtest.Claire)})
	h.must(err)
	if n := h.events("accepted"); n != 1 {
		h.Errorf("accepted %d times", n)
	}
}

// TestCarriedTwo: what is refused of one migration holds up what follows it of that one, and
// nothing of another.
func TestCarriedTwo(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	defer h.target()()
	const other ecluse.MigrationID = "quatre-vents-02"
	text := bytes.Replace(h.d.Read("instruction.yaml"), []byte(roomtest.Migration), []byte(other), 1)
	_, err := h.desk.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final, Instruction: text, File: "instruction.yaml", Key: h.d.Key(roomtest.Marc)})
	if ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Fatalf("%v", err)
	}
	r := h.answered()
	work := h.d.Query("room/lock/control.db", "SELECT id FROM work WHERE migration = '"+string(other)+"'")
	of := func(it exchange.Item) int { // what was read before what is of the other
		if it.Migration == other || slices.Contains(work, it.Work) {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(r.Items, func(a, b exchange.Item) int { return of(a) - of(b) })
	h.says(r.Return)
	others := 0
	for _, it := range r.Items {
		others += of(it)
	}

	resume := h.suspended(roomtest.Migration)
	first := puts(r.Return)[0]
	v, err := h.in()
	if err != nil || len(v.Refused) != 1 || v.Refused[0].Migration != roomtest.Migration || others < 2 || v.New != first+others || v.Waiting != len(r.Items)-first-others-1 {
		t.Fatalf("%+v, %v; of the other %d", v, err, others)
	}
	if made, err := h.lock.Posted(t.Context(), other, exchange.RecipientPaper); err != nil || len(made) == 0 {
		t.Errorf("of the other came %d papers, %v", len(made), err)
	}
	// The other goes on: a trip of its own.
	for range 2 {
		_, err = h.desk.Plan(t.Context(), desk.PlanRequest{Migration: other, Passage: ecluse.Final, Instruction: text, File: "instruction.yaml", Key: h.d.Key(roomtest.Marc)})
		if err == nil {
			break
		}
		h.out()
		_, err := h.atGate(false)
		h.must(err)
		if v, err = h.in(); err != nil || len(v.Refused) != 1 {
			t.Errorf("%+v, %v", v, err)
		}
	}
	h.must(err)
	resume()
	v, err = h.in()
	if err != nil || len(v.Refused)+v.Waiting != 0 || h.events(evidence.LeafChunk) != len(puts(r.Return)) {
		t.Errorf("%+v, %v; %d chunks", v, err, h.events(evidence.LeafChunk))
	}
}

// TestCarriedFull: a gate that has said as much as a lock takes at a time signs that, and goes
// on after the next dispatch.
func TestCarriedFull(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.out()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := app.RunCarried(ctx, h.d.Join("room", "source"), app.CarriedOptions{Folder: h.folder}); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	// Something was said already, to which nothing comes.
	said := exchange.Item{Kind: exchange.ItemAnswer, Work: "none", Answer: &exchange.Answer{Papers: map[string][]byte{"a": bytes.Repeat([]byte{0}, (exchange.MaxReturn-7<<10)/4*3)}}}
	text, err := evidence.EncodeJSON(said)
	h.must(err)
	h.d.Write(text, "room", "source", "said-000001")

	read := 0
	for trip := 1; ; trip++ {
		v, err := h.atGate(false)
		h.must(err)
		r := h.returned()
		read += len(puts(r.Return))
		if v.Full != (trip == 1) || len(v.Failed) > 0 || len(r.Signed.Body) > exchange.MaxReturn || v.Items != len(r.Items) {
			t.Errorf("trip %d: %+v, %d bytes", trip, v, len(r.Signed.Body))
		}
		in, err := h.in()
		if err != nil || len(in.Refused) > 0 || in.New+in.Late != len(r.Items) || (in.Late == 1) != (trip == 1) {
			t.Fatalf("trip %d: %+v, %v", trip, in, err)
		}
		if trip == 1 && (read == 0 || h.events("manifest") != 0) {
			t.Fatalf("%d chunks came in, %d manifests", read, h.events("manifest"))
		}
		if !v.Full || trip > 3 {
			break
		}
		h.out()
	}
	if n := h.events(evidence.LeafChunk); n != read || h.events("manifest") != 1 || h.events("epoch") == 0 {
		t.Errorf("%d chunks, %d of them carried, %d manifests", n, read, h.events("manifest"))
	}
}

// TestCarriedMalformed: what a gate signed and nobody can read is refused, and keeps nothing
// of others from coming in; so does a migration whose papers here are damaged.
func TestCarriedMalformed(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	inspect := func() error {
		_, err := h.marc().Inspect(t.Context(), exchange.SourcePlace)
		return err
	}
	if err := inspect(); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Fatalf("%v", err)
	}
	r := h.answered()
	lend, err := evidence.Sign(h.gate, evidence.NamespaceStatement, []byte("no JSON"))
	h.must(err)
	r.Items = slices.Insert(r.Items, 0, exchange.Item{Kind: exchange.ItemLend, Migration: roomtest.Migration, Signed: &lend})
	h.says(r.Return)
	v, err := h.in()
	if err != nil || len(v.Refused) != 1 || v.Refused[0].Item != 0 || v.Refused[0].Why.Kind != ecluse.Unverified || v.New != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	h.must(inspect())

	// A chunk that was asked for, and whose plan the lock cannot read.
	h = byHand(t)
	if err := inspect(); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Fatalf("%v", err)
	}
	h.answered()
	h.must(h.lock.Shut())
	h.d.Exec("room/lock/control.db", "UPDATE current SET digest = '"+ecluse.DigestOf(nil).String()+"' WHERE kind = 'readplan'")
	h.open()
	v, err = h.in()
	if err != nil || len(v.Refused) != 1 || v.Refused[0].Kind != exchange.ItemPut {
		t.Fatalf("%+v, %v", v, err)
	}
	h.must(inspect())
}

// TestCarriedAnew: once the gate is asked anew for what was refused, the return of before has
// it no more, and says so; the gate does it again.
func TestCarriedAnew(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	r := h.answered()
	resume := h.suspended(roomtest.Migration)
	if v, err := h.in(); err != nil || len(v.Refused) != 1 || !v.Again {
		t.Fatalf("%+v, %v", v, err)
	}
	h.out() // which asks nothing
	resume()
	h.begin()
	h.out()
	v, err := h.in()
	if err != nil || v.New != 0 || len(v.Refused) != 1 || v.Again || !strings.Contains(fmt.Sprint(v.Refused[0].Why.Err()), "asked for it anew") {
		t.Errorf("%+v, %v", v, err)
	}
	_, err = h.atGate(false)
	h.must(err)
	v, err = h.in()
	if err != nil || len(v.Refused)+v.Waiting != 0 || h.events(evidence.LeafChunk) != len(puts(r.Return)) || h.events("manifest") != 1 {
		t.Errorf("%+v, %v; %d chunks, %d manifests", v, err, h.events(evidence.LeafChunk), h.events("manifest"))
	}
	if n := h.count("SELECT item FROM carried_left"); n != 0 {
		t.Errorf("%d items are left", n)
	}
}

// TestCarriedOver: what comes in of a migration that is over is refused once, and the folder
// is cleared of its ciphertext.
func TestCarriedOver(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.answered()
	_, err := h.desk.Erase(t.Context(), desk.Order{Migration: roomtest.Migration, Because: "it is not needed any more", Key: h.d.Key(roomtest.Claire)})
	if err == nil {
		t.Error("erased without either gate")
	}
	v, err := h.in()
	if err != nil || len(v.Refused) != 1 || v.Again || h.events(evidence.LeafChunk) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if left, _ := os.ReadDir(h.folder); len(left) != 0 {
		t.Errorf("left in the folder: %v", left)
	}
	h.out()
	_, err = h.atGate(false)
	h.must(err)
	if v, err := h.in(); err != nil || len(v.Refused) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestCarriedOverLost: what was left of a migration that is over is forgotten, also when the
// folder that holds it never comes back.
func TestCarriedOverLost(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.answered()
	h.suspended(roomtest.Migration)
	if v, err := h.in(); err != nil || !v.Again {
		t.Fatalf("%+v, %v", v, err)
	}
	left := func() int { return h.count("SELECT item FROM carried_left") }
	h.folder = h.d.Join("another disk")
	h.out()
	if left() == 0 {
		t.Fatal("nothing is left of one that is held")
	}
	_, err := h.desk.Erase(t.Context(), desk.Order{Migration: roomtest.Migration, Because: "it is not needed any more", Key: h.d.Key(roomtest.Claire)})
	if err == nil {
		t.Error("erased without either gate")
	}
	s, err := h.marc().CarryOut(t.Context(), "")
	h.must(err)
	d, err := exchange.ParseDispatch(*s, h.lock.Key(), "")
	h.must(err)
	if n := left(); n != 0 || len(d.Left) != 0 {
		t.Errorf("%d items are left of one that is over; the gate hears of %v", n, d.Left)
	}
}

// TestCarriedLost: a return that is lost is done again when whoever stands at the gate
// says so, and then the folder that was found again is refused.
func TestCarriedLost(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.answered()
	found := h.d.Join("found")
	h.must(os.Rename(h.folder, found))
	h.out()
	if _, err := h.atGate(false); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("done twice: %v", err)
	}
	_, err := h.atGate(true)
	h.must(err)
	_, err = h.in()
	h.must(err)
	before := h.taken()
	h.folder = found
	_, err = h.in()
	h.refused("found again", err, ecluse.Refused, "came in before", before)
	if _, err := h.atGate(false); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), "was here already") {
		t.Errorf("an old dispatch at the gate: %v", err)
	}
}

// TestCarriedLostBeside: what a gate did again comes in, also when the damaged return of
// before lies in the same folder; of that one no more comes in, whether its chunks are there
// after all or not.
func TestCarriedLostBeside(t *testing.T) {
	t.Parallel()
	for name, damaged := range map[string]bool{"a chunk is missing": true, "found again": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := byHand(t)
			r := h.answered()
			all := puts(r.Return)
			d, err := evidence.ParseDescriptor(*r.Items[all[len(all)-1]].Signed, r.Gate)
			h.must(err)
			chunk := filepath.Join(h.folder, "in-000001", "chunks", d.SHA256.Hex())
			h.must(os.Rename(chunk, chunk+"x"))
			if _, err := h.in(); ecluse.KindOf(err) != ecluse.Failed {
				t.Fatalf("a chunk is missing: %v", err)
			}
			h.out()
			_, err = h.atGate(true)
			h.must(err)
			if !damaged {
				h.must(os.Rename(chunk+"x", chunk))
			}
			again := h.returned()
			v, err := h.in()
			if err != nil || v.Number != 2 || v.Items != len(again.Items) || v.New != len(again.Items) || len(v.Failed)+len(v.Refused)+v.Waiting > 0 {
				t.Errorf("%+v, %v; want %d", v, err, len(again.Items))
			}
			if n := h.events(evidence.LeafChunk); n != len(all) || h.events("manifest") != 1 {
				t.Errorf("%d chunks of %d, %d manifests", n, len(all), h.events("manifest"))
			}
			if left, _ := os.ReadDir(h.folder); len(left) != 0 {
				t.Errorf("left in the folder: %v", left)
			}
		})
	}
}

// TestHostileCarrier: whoever carries the folder changes nothing in it that either end
// takes.
func TestHostileCarrier(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.out()
	keep := func() string {
		h.Helper()
		at := filepath.Join(roomtest.Temp(t), "copy")
		h.must(os.CopyFS(at, os.DirFS(h.folder)))
		return at
	}
	flip := func(path string) {
		h.Helper()
		text, err := os.ReadFile(path)
		h.must(err)
		text[len(text)/2] ^= 1
		h.must(os.WriteFile(path, text, 0o600))
	}
	asked := keep()

	flip(filepath.Join(h.folder, "out-000001", "dispatch.json"))
	if _, err := h.atGate(false); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("a dispatch with a byte altered: %v", err)
	}
	h.folder = asked
	// Words put into the gate's mouth: it goes by its own folder.
	h.must(os.MkdirAll(filepath.Join(h.folder, "in-000001"), 0o700))
	forged, err := evidence.EncodeJSON(exchange.Item{Kind: exchange.ItemAnswer, Work: "x", Answer: &exchange.Answer{}})
	h.must(err)
	for _, name := range []string{"items", "said-000001", "return.json"} {
		h.must(os.WriteFile(filepath.Join(h.folder, "in-000001", name), forged, 0o600))
	}
	fresh := keep() // as the gate finds it
	_, err = h.atGate(false)
	h.must(err)
	good := h.returned()
	for _, it := range good.Items {
		if it.Work == "x" {
			t.Error("the gate signed what it did not say")
		}
	}
	done := keep()

	// The same dispatch once more, from a copy: the gate's chunks are not in it.
	h.folder = fresh
	if _, err := h.atGate(false); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), "a chunk that this gate sealed is not in it") {
		t.Errorf("a copy of before: %v", err)
	}
	h.folder = done

	chunks := func() []string {
		all, err := filepath.Glob(filepath.Join(h.folder, "in-000001", "chunks", "*"))
		h.must(err)
		return all
	}
	whole := keep()
	flip(chunks()[0])
	if _, err := h.in(); ecluse.KindOf(err) != ecluse.Unverified && ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a chunk with a byte altered: %v", err)
	}
	h.folder = whole
	whole = keep()
	h.must(os.Remove(chunks()[0]))
	if _, err := h.in(); ecluse.KindOf(err) != ecluse.Failed || !strings.Contains(fmt.Sprint(err), "it was not carried whole") {
		t.Errorf("a chunk dropped: %v", err)
	}
	h.folder = whole
	whole = keep()
	a, b := chunks()[0], chunks()[1]
	h.must(os.Rename(a, a+"x"))
	h.must(os.Rename(b, a))
	h.must(os.Rename(a+"x", b))
	if _, err := h.in(); err == nil {
		t.Error("two chunks swapped: taken in")
	}
	h.folder = whole
	whole = keep()
	flip(filepath.Join(h.folder, "in-000001", "return.json"))
	if _, err := h.in(); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("a return with a byte altered: %v", err)
	}
	h.folder = whole
	if v, err := h.in(); err != nil || v.Items != len(good.Items) {
		t.Errorf("as it was: %+v, %v", v, err)
	}
	if n := h.events(evidence.LeafChunk); n != len(puts(good.Return)) {
		t.Errorf("%d chunks of %d", n, len(puts(good.Return)))
	}
}

// TestCarriedStrangers: what another laboratory's lock said, or its gate, is refused in this
// one's places.
func TestCarriedStrangers(t *testing.T) {
	t.Parallel()
	h, other := byHand(t), byHandAt(t, roomtest.Ready, 4)
	other.begin()
	h.out()
	other.answered()
	mine := h.folder
	h.folder = other.folder
	if _, err := h.atGate(false); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another laboratory's dispatch: %v", err)
	}
	before := h.taken()
	_, err := h.in()
	h.refused("another laboratory's return", err, ecluse.Unverified, "for another lock", before)
	h.folder = mine
	_, err = h.atGate(false)
	h.must(err)
}

// TestCarriedNothingInClear: the folder that is carried, and the gate's own, hold no value of
// a record.
func TestCarriedNothingInClear(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	c := h.d.Plant()
	h.answered()
	leaks := h.d.Leaks(c)
	if len(leaks) > 0 {
		t.Errorf("in clear in %v", leaks)
	}
	// The same search finds what was put there.
	h.must(os.WriteFile(filepath.Join(h.folder, "in-000001", "chunks", "x"), []byte(c.Moved), 0o600))
	found, err := demo.Find(h.folder, func(string) bool { return false }, c.Moved)
	if err != nil || len(found) != 1 {
		t.Errorf("found %v, %v", found, err)
	}
}

// TestCarriedSlow: whoever sends a chunk slowly, or not at all, keeps nobody else of the
// laboratory from carrying in; and whoever waits for their turn waits no longer than their
// own context.
func TestCarriedSlow(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	r := h.answered()
	taken, err := h.marc().CarryIn(t.Context(), r.Signed, false)
	h.must(err)
	body, stuck := io.Pipe()
	slow := make(chan error, 1)
	go func() {
		_, err := h.marc().CarryChunk(t.Context(), r.Signed.Digest(), taken.Done, body)
		slow <- err
	}()
	_, err = stuck.Write([]byte("a")) // it is being read
	h.must(err)
	v, err := h.in()
	if err != nil || v.Items != len(r.Items) {
		t.Errorf("%+v, %v", v, err)
	}
	h.must(stuck.CloseWithError(io.ErrUnexpectedEOF))
	if err := <-slow; err == nil {
		t.Error("half a chunk came in")
	}
	if n := h.events(evidence.LeafChunk); n != len(puts(r.Return)) {
		t.Errorf("%d chunks of %d", n, len(puts(r.Return)))
	}
}

// TestCarriedNumbers: no number is given to two dispatches, while what was carried comes
// in, too.
func TestCarriedNumbers(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.answered()
	marc := h.marc()
	in := make(chan error, 1)
	go func() {
		_, err := h.in()
		in <- err
	}()
	seen := map[int64]bool{1: true}
	for over := false; !over; {
		select {
		case err := <-in:
			h.must(err)
			over = true
		default:
		}
		s, err := marc.CarryOut(t.Context(), "")
		h.must(err)
		d, err := exchange.ParseDispatch(*s, h.lock.Key(), "")
		h.must(err)
		if seen[d.Number] {
			t.Fatalf("two dispatches have the number %d", d.Number)
		}
		seen[d.Number] = true
	}
	if now := h.taken(); !strings.HasPrefix(now, fmt.Sprintf("%d 1 ", len(seen))) {
		t.Errorf("after %d dispatches: %s", len(seen), now)
	}
}

// TestAskedByHand: what is asked of a gate without a line stays asked when whoever asked
// goes away; the answer is there for whoever asks the same next, once.
func TestAskedByHand(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	ask := func(within time.Duration) (*exchange.Inspection, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return h.marc().Inspect(ctx, exchange.SourcePlace)
	}
	if _, err := ask(50 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("somebody who went away: %v", err)
	}
	var both sync.WaitGroup
	for range 2 { // at once
		both.Go(func() {
			if _, err := ask(time.Minute); ecluse.KindOf(err) != ecluse.WaitsForSign || !strings.Contains(fmt.Sprint(err), "waits to be carried") {
				t.Errorf("asked again: %v", err)
			}
		})
	}
	both.Wait()
	v := h.out()
	if n := len(slices.DeleteFunc(v.Work, func(v exchange.Verb) bool { return v != exchange.Inspect })); n != 1 {
		t.Errorf("asked %d times", n)
	}
	_, err := h.atGate(false)
	h.must(err)
	_, err = h.in()
	h.must(err)
	if v, err := ask(time.Minute); err != nil || len(v.Catalogue) == 0 {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := ask(time.Minute); ecluse.KindOf(err) != ecluse.WaitsForSign { // anew
		t.Errorf("%v", err)
	}
}

// TestIdleByHand: what waits for a trip is told, and what would be carried in vain is
// withdrawn before: of a migration that is held or whose deadline passed, and what nobody
// carried for a week. What erases goes all the same.
func TestIdleByHand(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	waits := func() (all []exchange.Verb) {
		t.Helper()
		list, err := h.lock.Status(t.Context(), roomtest.Migration)
		h.must(err)
		for _, w := range list[0].Carry {
			if w.Gate != evidence.FingerprintOf(h.gate.PublicKey()) || time.Since(w.Since) > time.Hour {
				t.Errorf("%+v", w)
			}
			all = append(all, w.Verb)
		}
		return all
	}
	asks := func(what string, want ...exchange.Verb) {
		t.Helper()
		if v := h.out(); !slices.Equal(v.Work, want) && len(v.Work)+len(want) > 0 {
			t.Errorf("%s: carried out %v, want %v", what, v.Work, want)
		}
	}
	control := func(text string) {
		t.Helper()
		h.must(h.lock.Shut())
		h.d.Exec("room/lock/control.db", text)
		h.open()
	}
	if all := waits(); !slices.Equal(all, []exchange.Verb{exchange.Read}) {
		t.Errorf("waits for a trip: %v", all)
	}
	if _, err := h.marc().Inspect(t.Context(), exchange.SourcePlace); ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Errorf("%v", err)
	}
	asks("before", exchange.Read, exchange.Inspect)
	control("UPDATE work SET asked = asked - 8*24*3600*1000 WHERE verb = 'inspect'")
	asks("a week later", exchange.Read)

	resume := h.suspended(roomtest.Migration)
	if all := waits(); len(all) != 0 {
		t.Errorf("held: waits for a trip: %v", all)
	}
	asks("held")
	resume()
	asks("resumed, and nobody asked again")
	h.begin()
	asks("asked again", exchange.Read)
	control("UPDATE migration SET erase_by = erase_by - 1000000000000")
	asks("after the deadline")
	control("UPDATE migration SET erase_by = erase_by + 1000000000000")
	defer h.target()()
	_, err := h.desk.Erase(t.Context(), desk.Order{Migration: roomtest.Migration, Because: "it is not needed any more", Key: h.d.Key(roomtest.Claire)})
	if err == nil {
		t.Error("erased without the gate")
	}
	if all := waits(); !slices.Equal(all, []exchange.Verb{exchange.Erase}) {
		t.Errorf("being erased: waits for a trip: %v", all)
	}
	asks("being erased", exchange.Erase)
}

// TestOldAnswer: what a gate answered more than a day ago is asked anew.
func TestOldAnswer(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	for _, old := range []bool{false, true} {
		if _, err := h.marc().Inspect(t.Context(), exchange.SourcePlace); ecluse.KindOf(err) != ecluse.WaitsForSign {
			t.Errorf("%v", err)
		}
		h.trip()
		if old {
			h.must(h.lock.Shut())
			h.d.Exec("room/lock/control.db", "UPDATE work SET ended = ended - 24*3600*1000 - 1 WHERE verb = 'inspect'")
			h.open()
		}
		_, err := h.marc().Inspect(t.Context(), exchange.SourcePlace)
		if got := ecluse.KindOf(err) == ecluse.WaitsForSign; got != old {
			t.Errorf("old %v: %v", old, err)
		}
	}
	if n := len(h.d.Query("room/lock/control.db", "SELECT id FROM work WHERE verb = 'inspect' AND ended = 0")); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// TestLoadPlanOfNow: what the target gate is to compile stays asked for nobody, where the
// source gate has no line either, and what it compiled of another mapping than the one in
// force is none.
func TestLoadPlanOfNow(t *testing.T) {
	t.Parallel()
	h := byHandAt(t, roomtest.Ready, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.marc().Plan(ctx, roomtest.Migration, ecluse.Final); err == nil {
		t.Error("compiled by nobody")
	}
	if n := len(h.d.Query("room/lock/control.db", "SELECT id FROM work WHERE verb = 'compile-load' AND ended = 0")); n != 0 {
		t.Errorf("%d questions stay", n)
	}

	plan := h.d.Read("room", "plans", string(roomtest.Migration)+"-loadplan-final.json")
	p, err := mandate.ParseLoadPlan(plan)
	h.must(err)
	current := func() string {
		return fmt.Sprint(h.d.Query("room/lock/control.db", "SELECT kind || digest FROM current ORDER BY 1"))
	}
	before := current()
	other := bytes.ReplaceAll(plan, []byte(p.Shape.Mapping.String()), []byte(ecluse.DigestOf([]byte("another")).String()))
	if bytes.Equal(other, plan) {
		t.Fatal("the plan names no mapping")
	}
	key, err := ssh.ParsePrivateKey(h.d.Read("room", "target", "gate_key"))
	h.must(err)
	seat := h.lock.Seat(evidence.FingerprintOf(key.PublicKey()))
	go func() {
		all, err := seat.Wanted(t.Context(), nil)
		for err == nil && len(all) == 0 {
			all, err = seat.Wanted(t.Context(), nil)
		}
		if err == nil {
			err = seat.Answer(t.Context(), all[0].ID, exchange.Answer{Papers: map[string][]byte{exchange.PaperLoadPlan: other, exchange.PaperShape: []byte("{}")}})
		}
		if err != nil {
			t.Error(err)
		}
	}()
	if _, err := h.marc().Plan(t.Context(), roomtest.Migration, ecluse.Final); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), "another mapping than the one that is in force") {
		t.Errorf("%v", err)
	}
	if now := current(); now != before {
		t.Errorf("in force: %s; before: %s", now, before)
	}
}

// TestErasedByHand: while what is asked of the source gate waits to be carried, the other
// half of the key and the ciphertext go, as soon as the target gate is there; the journal
// does not grow by the minute meanwhile.
func TestErasedByHand(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.answered()
	_, err := h.in()
	h.must(err)
	due := func() string {
		t.Helper()
		v, err := h.desk.Due(t.Context())
		h.must(err)
		return fmt.Sprint(v.Failed)
	}
	_, err = h.desk.Erase(t.Context(), desk.Order{Migration: roomtest.Migration, Because: "it is not needed any more", Key: h.d.Key(roomtest.Claire)})
	if err == nil {
		t.Error("erased without either gate")
	}
	statements := func() int {
		return len(h.d.Query("room/lock/control.db", "SELECT digest FROM document WHERE kind = '"+string(exchange.ErasureReport)+"'"))
	}
	if n := statements(); n != 0 {
		t.Fatalf("%d gates erased", n)
	}
	if all, err := h.lock.Slots(t.Context(), roomtest.Migration); err != nil || len(all) != 0 {
		t.Errorf("ciphertext is left: %d, %v", len(all), err)
	}
	defer h.target()()

	if said := due(); !strings.Contains(said, "waits to be carried") {
		t.Errorf("due: %s", said)
	}
	if n := statements(); n != 1 {
		t.Errorf("%d gates erased, want the target gate", n)
	}
	before := h.taken()
	for range 3 {
		due()
	}
	if now := h.taken(); now != before {
		t.Errorf("the journal grows by waiting: %s, before %s", now, before)
	}
	left := h.trips(6)
	if n := h.events("erased"); n != 1 {
		t.Errorf("erased %d times; due: %v", n, left)
	}
}

// TestRetiredByHand: a gate without a line that was retired destroys its half of the key and
// says so; whatever else it says is passed over, chunks of before too.
func TestRetiredByHand(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	h.answered()
	h.must(h.lock.Shut())
	settings := map[string]any{}
	h.must(json.Unmarshal(h.d.Read("room", "lock", "lock.json"), &settings))
	gates, ok := settings["gates"].(map[string]any)
	if !ok {
		t.Fatalf("%v", settings)
	}
	delete(gates, string(exchange.SourcePlace)) // let in by its paper alone
	text, err := json.Marshal(settings)
	h.must(err)
	h.d.Write(text, "room", "lock", "lock.json")
	h.open()
	defer h.target()()
	gate := evidence.FingerprintOf(h.gate.PublicKey())
	_, err = h.desk.RetireGate(t.Context(), desk.GateRequest{Gate: gate, Roots: h.d.Roots(), Lock: h.lock.Key(), Key: h.d.Key(roomtest.Julie)})
	h.must(err)

	v, err := h.in()
	if err != nil || v.Items == 0 || h.events(evidence.LeafChunk) != 0 || h.events("manifest") != 0 {
		t.Errorf("%+v, %v: %d chunks, %d manifests", v, err, h.events(evidence.LeafChunk), h.events("manifest"))
	}
	_, err = h.desk.Erase(t.Context(), desk.Order{Migration: roomtest.Migration, Because: "it is not needed any more", Key: h.d.Key(roomtest.Claire)})
	if err == nil {
		t.Error("erased without the gate")
	}
	left := h.trips(6)
	if n := h.events("erased"); n != 1 {
		t.Errorf("erased %d times; due: %v", n, left)
	}
}

// TestCarriedDamaged: a migration whose papers are damaged keeps no dispatch from being
// carried out; nothing is asked about it.
func TestCarriedDamaged(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // to ask; nobody answers
	defer cancel()
	_, _ = h.marc().Inspect(ctx, exchange.SourcePlace) // of no migration
	if v := h.out(); !slices.Contains(v.Work, exchange.Read) || !slices.Contains(v.Work, exchange.Inspect) {
		t.Fatalf("asked %v", v.Work)
	}
	h.must(h.lock.Shut())
	h.d.Exec("room/lock/control.db", "UPDATE current SET digest = '"+ecluse.DigestOf(nil).String()+"' WHERE kind = 'readplan'")
	h.open()
	if v := h.out(); !slices.Equal(v.Work, []exchange.Verb{exchange.Inspect}) {
		t.Errorf("asked %v", v.Work)
	}
}

// TestUndoneByHand: what is loaded and not accepted is undone before it is erased; while the
// loan for it waits to be carried, nothing else that is due waits with it.
func TestUndoneByHand(t *testing.T) {
	t.Parallel()
	h := byHandAt(t, roomtest.Loaded, 3)
	defer h.target()()
	begun := time.Now()
	_, err := h.desk.Erase(t.Context(), desk.Order{Migration: roomtest.Migration, Because: "it is not needed any more", Key: h.d.Key(roomtest.Claire)})
	if !strings.Contains(fmt.Sprint(err), "waits to be carried") || time.Since(begun) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	h.trips(8)
	if h.events("undo-ended") != 1 || h.events("erased") != 1 || h.events("passage-left") != 0 {
		t.Errorf("undone %d times, erased %d, left %d", h.events("undo-ended"), h.events("erased"), h.events("passage-left"))
	}
}
