//go:build linux && amd64

package faults

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/config"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/nettest"
	"ecluse/internal/procedure"
)

// world is what a run is made from: rooms that stand at a stage, and what comes of
// them when nothing goes wrong.
type world struct{ stages map[string]*stage }

// site is a laboratory and its databases.
type site struct {
	operator, signatory string                          // names of keys
	migration, plans    string                          // plans: folder below the room's
	fresh               func(r *room)                   // makes the databases of a room ready
	facts               func(r *room) (string, error)   // of the targets
	bareFacts           func(r *room) (string, error)   // the same, as far as they come back when a passage is undone
	marks               func(r *room) ([]string, error) // "dataset/sequence" of each chunk that is marked in them, as often
	leaks               func(r *room) []string          // files with values in them
}

// demonstration is the site of invented people, on SQLite. What is locked is an error, and
// looked at again.
func demonstration(c roomtest.Canaries) *site {
	targets := []string{"novalab.db", roomtest.TestBase}
	facts := func(r *room) (string, error) {
		var all []string
		for _, base := range targets {
			hash, _, err := r.FactsOf(base)
			if err != nil {
				return "", err
			}
			all = append(all, hash)
		}
		return strings.Join(all, " "), nil
	}
	return &site{
		operator: roomtest.Marc, signatory: roomtest.Claire, migration: string(roomtest.Migration), plans: filepath.Join("room", "plans"),
		fresh: func(*room) {},
		facts: facts, bareFacts: facts,
		marks: func(r *room) ([]string, error) {
			var all []string
			for _, base := range targets {
				marks, err := marksOf(r.Context(), r.Join(base))
				if err != nil {
					return nil, err
				}
				all = append(all, marks...)
			}
			return all, nil
		},
		leaks: func(r *room) []string { return r.Leaks(c) },
	}
}

// marksOf are the marks in a database; there may never have been one.
func marksOf(ctx context.Context, file string) ([]string, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	var table bool
	if err := db.QueryRowContext(ctx, "SELECT count(*) > 0 FROM sqlite_master WHERE name = 'ecluse_marker'").Scan(&table); err != nil || !table {
		return nil, err
	}
	var all sql.NullString
	err = db.QueryRowContext(ctx, "SELECT group_concat(dataset || '/' || sequence, ' ') FROM ecluse_marker").Scan(&all)
	return strings.Fields(all.String), err
}

// wrongMarks tells what is wrong with the marks of a load: want are those when nothing goes
// wrong, each chunk that something is made of once.
func wrongMarks(marks, want []string) error {
	marks, want = slices.Sorted(slices.Values(marks)), slices.Sorted(slices.Values(want))
	if n := len(slices.Compact(slices.Clone(marks))); n == 0 || n != len(marks) || !slices.Equal(marks, want) {
		return fmt.Errorf("chunks are marked %v in the target; when nothing goes wrong, %v", marks, want)
	}
	return nil
}

// deadlineKept tells what a certificate says was there after its deadline.
func deadlineKept(c *evidence.Certificate, by time.Time) error {
	late := func(what string, at time.Time) error {
		if at.After(by) {
			return fmt.Errorf("%s: %s, after the deadline, %s", what, at, by)
		}
		return nil
	}
	all := []error{late("erased", c.Erased)}
	for _, k := range c.Keys {
		all = append(all, late(k.Name, k.Destroyed))
	}
	for _, o := range c.Objects {
		all = append(all, late(o.Slot.String(), o.Erased))
	}
	if len(c.Keys) == 0 || len(c.Objects) == 0 {
		all = append(all, errors.New("no key or no chunk was erased"))
	}
	return errors.Join(all...)
}

// The stages.
const (
	approved  = "approved"
	loaded    = "loaded"
	accepted  = "accepted"
	changed   = "changed"   // loaded, and the source is not as it was read
	compared  = "compared"  // loaded, and somebody is about to say no-go
	caughtUp  = "caught-up" // the same, brought up to what changed
	begun     = "begun"     // about to be loaded, by somebody who breaks it off
	givenUp   = "given up"  // changed, and the same
	rehearsed = "rehearsed" // loaded into the test base
)

// stage is a room from which runs begin.
type stage struct {
	*site
	name      string
	path      string
	readings  int            // to which the source is read, for what changed; 0: as often as it was
	undoes    string         // the passage that is undone
	breaksOff []string       // a command that somebody breaks off before that
	early     *stage         // what it comes to when its later reading is not closed by then; nil: the same
	facts     string         // of the targets at the end
	marks     []string       // in them before acceptance
	bare      string         // of them before anything is loaded
	lasts     time.Duration  // in which faults are to come
	calls     map[string]int // durable writes of each part in that time
}

// room is a room in which something goes wrong.
type room struct {
	*roomtest.Dir
	*site
	stage    *stage
	control  string // what the tracers are asked and tell
	relay    *nettest.Relay
	desk     *nettest.Relay
	lost     sync.Mutex // who works with parts
	parts    *app.Running
	log      *os.File
	said     int
	line     nettest.Line
	turns    sync.Mutex    // held by whoever does the next step, or has sent them away
	held     atomic.Bool   // somebody works with the parts: whoever goes on waits
	marked   []string      // in the target, before acceptance takes them away
	patience time.Duration // after which a command is broken off
	brokeOff bool
	readings int  // of the source, closed when the passage that stays was compared
	undone   bool // a passage was, and the target was looked at

	deadline time.Time // after which all is erased by itself, accepted by nobody; zero: it is accepted
	live     bool      // and somebody said go before that
	begun    time.Time // when it was first seen to be erased
	erased   time.Time // and when it was over

	mu      sync.Mutex
	errors  []string // what stopped a command, one line each
	unclear []string // the same, when it does not say what to do
	killed  int      // commands
	current *os.Process
	doing   string // what a person has it do
	struck  string // the same, when something went wrong
}

// stops notes what stopped a command or a part.
func (r *room) stops(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, line)
}

// strikes notes what was being done when something began to go wrong.
func (r *room) strikes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.struck = r.doing
}

// trouble counts what stopped something so far.
func (r *room) trouble() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.errors) + len(r.unclear) + r.killed
}

// copyOf copies a room's folder.
func copyOf(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

// newRoom makes one; where is a folder that is there.
func newRoom(t testing.TB, s *stage, where string) *room {
	t.Helper()
	r := &room{Dir: &roomtest.Dir{TB: t, Path: filepath.Join(where, "laboratory")}, site: s.site, stage: s, control: filepath.Join(roomtest.Temp(t), "control")}
	if err := os.Mkdir(r.control, 0o700); err != nil {
		t.Fatal(err)
	}
	copyOf(t, s.path, r.Path)
	_ = os.Remove(r.Join("room", "lock", config.ServerName)) // where it listens: each copy for itself
	for _, p := range processes() {
		if err := os.MkdirAll(r.temp(p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	r.fresh(r)
	var err error
	if r.log, err = os.OpenFile(r.Join("parts.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.down()
		r.log.Close()
	})
	return r
}

// temp is the temporary folder of a process, below what is searched for values.
func (r *room) temp(part string) string { return r.Join("tmp", part) }

// environment is what a process of the room has. The stand-in makes its own of TMPDIR.
func (r *room) environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.Path, "TMPDIR=" + r.Join("tmp"), "LANG=C", "ECLUSE_CONFIG=" + r.Join("device"), "ECLUSE_PLANS=" + r.Join(r.plans), programEnv + "=" + program, controlEnv + "=" + r.control}
}

// up starts server and gates.
func (r *room) up(ctx context.Context) error {
	r.lost.Lock()
	defer r.lost.Unlock()
	way := func(server string) string {
		if r.relay == nil {
			return server
		}
		return r.relay.Addr()
	}
	if r.relay != nil {
		r.relay.Close()
		r.desk.Close()
		r.relay, r.desk = nil, nil
	}
	first := func(server string) string {
		if r.relay == nil {
			r.relay = nettest.NewRelay(context.WithoutCancel(ctx), r.TB, server, r.line)
			r.desk = nettest.NewRelay(context.WithoutCancel(ctx), r.TB, server, r.line)
		}
		return way(server)
	}
	starting, giveUp := context.WithCancel(ctx) // not before the room's end, once it runs
	r.Cleanup(giveUp)
	running := make(chan struct{})
	go r.killedMeanwhile(running, giveUp)
	defer close(running)
	p, err := app.Start(starting, r.Join("room"), app.StartOptions{Program: os.Args[0], Way: first, Log: r.log, Env: append(r.environment(), "GOMAXPROCS=2")})
	if err != nil {
		return err
	}
	r.parts = p
	x := *p.Context()
	x.Name, x.Key, x.Server = "room", r.Join("keys", r.operator), "https://"+r.desk.Addr()
	return config.ChangeContexts(r.Join("device"), func(all *config.Contexts) error {
		for _, name := range all.Names() {
			if err := all.Remove(name); err != nil {
				return err
			}
		}
		return all.Add(x)
	})
}

// killedMeanwhile gives a start up when the fault kills one of its processes: the stand-in stays,
// and would be waited for.
func (r *room) killedMeanwhile(running <-chan struct{}, giveUp func()) {
	before := map[string]bool{}
	for _, p := range processes() {
		before[p] = r.told(p, "killed") != ""
	}
	for {
		select {
		case <-running:
			return
		case <-time.After(20 * time.Millisecond):
		}
		for _, p := range processes() {
			if !before[p] && r.told(p, "killed") != "" {
				giveUp()
				return
			}
		}
	}
}

// down ends them.
func (r *room) down() {
	r.lost.Lock()
	defer r.lost.Unlock()
	if r.parts != nil {
		_ = r.parts.Close()
		r.parts = nil
	}
}

// again starts what has ended, as whoever looks after the machines does.
func (r *room) again(ctx context.Context) error {
	r.down()
	return r.up(ctx)
}

// ended tells whether a part has ended by itself, and why.
func (r *room) ended() error {
	r.lost.Lock()
	defer r.lost.Unlock()
	if r.parts == nil {
		return errors.New("the room does not run")
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range 3 { // of two that are ready one is taken at random
		if err := r.parts.Wait(over); err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
	}
	return nil
}

// run runs a command to its end; a person waits no longer than three minutes: a gate
// that waits for the other has a patience of two.
func (r *room) run(ctx context.Context, args ...string) (out string, code int) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], args...)
	c.Dir, c.Env, c.WaitDelay = r.Path, r.environment(), 5*time.Second
	var o, e bytes.Buffer
	c.Stdout, c.Stderr = &o, &e
	err := c.Start()
	if err == nil {
		r.mu.Lock()
		r.current, r.doing = c.Process, args[0]
		r.mu.Unlock()
		left := make(chan struct{})
		go r.leave(ctx, c.Process, left)
		err = c.Wait()
		close(left)
		r.mu.Lock()
		r.current = nil
		r.mu.Unlock()
	}
	r.said++
	_ = os.WriteFile(r.Join(fmt.Sprintf("said-%03d-%s.txt", r.said, args[0])), append(o.Bytes(), e.Bytes()...), 0o600)
	if err == nil {
		return o.String(), 0
	}
	code = c.ProcessState.ExitCode()
	first, _, _ := strings.Cut(strings.TrimSpace(e.String()), "\n")
	if at := strings.LastIndex(e.String(), "ecluse: "); at >= 0 {
		first, _, _ = strings.Cut(e.String()[at:], "\n")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	line := fmt.Sprintf("%s: exit %d: %s", args[0], code, first)
	switch {
	case ctx.Err() != nil:
		r.unclear = append(r.unclear, args[0]+" hung for three minutes")
	case code == -1 || code == 137:
		r.killed++
		return o.String(), code
	case slices.Contains(args, "--json"):
		var problem struct{ Error, Next string }
		if json.Unmarshal(o.Bytes(), &problem) != nil || problem.Error == "" || problem.Next == "" {
			r.unclear = append(r.unclear, line+"\n"+o.String())
		}
		line += problem.Error
	case !strings.Contains(e.String(), "ecluse: ") || !strings.Contains(e.String(), "\n  next: ") || strings.Contains(e.String(), "goroutine "):
		r.unclear = append(r.unclear, line+"\n"+e.String())
	}
	r.errors = append(r.errors, line)
	return o.String(), code
}

// leave ends a command that waits for a part which has ended by itself: it says so, and
// whoever reads it sees to that part first.
func (r *room) leave(ctx context.Context, p *os.Process, left <-chan struct{}) {
	for seen := 0; seen < 6; {
		select {
		case <-left:
			return
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
		if !r.held.Load() && r.ended() != nil {
			seen++
		}
	}
	_ = p.Kill()
}

// place is where the migration stands.
func (r *room) place(ctx context.Context) (*exchange.Status, bool) {
	out, code := r.run(ctx, "status", "--json")
	var v struct{ Migrations []exchange.Status }
	if code != 0 || json.Unmarshal([]byte(out), &v) != nil || len(v.Migrations) != 1 {
		return nil, false
	}
	s := &v.Migrations[0]
	if r.begun.IsZero() && slices.Contains([]procedure.State{procedure.Erasing, procedure.Erased, procedure.Closed}, s.Place.Migration) {
		r.begun = time.Now()
	}
	if r.erased.IsZero() && slices.Contains([]procedure.State{procedure.Erased, procedure.Closed}, s.Place.Migration) {
		r.erased = time.Now()
	}
	return s, true
}

// step does what comes next, as whoever reads `ecluse status` does, and tells whether
// nothing is left to do.
func (r *room) step(ctx context.Context) (done bool) {
	v, ok := r.place(ctx)
	if !ok {
		return false
	}
	p := v.Place
	switch {
	case p.Migration == procedure.Erased || p.Migration == procedure.Closed:
		if _, code := r.run(ctx, "due"); code != 0 { // what failed between erasing and noting it is tried again
			return false
		}
		os.RemoveAll(r.Join("evidence"))
		_, code := r.run(ctx, "evidence", r.Join("evidence"))
		if code != 0 {
			return false
		}
		roots := r.Roots()
		_, code = r.run(ctx, "verify", r.Join("evidence"), "--controller", string(roots[ecluse.Controller]), "--processor", string(roots[ecluse.Processor]))
		return code == 0
	case p.Migration == procedure.Accepted || p.Migration == procedure.Erasing:
		r.run(ctx, "due") // what fails is tried again by itself: whoever reads it looks into it
	case r.next(ctx, v):
	case p.Passage == procedure.Compared && r.live:
		r.run(ctx, "go", "--as", r.Join("keys", r.signatory))
	case !r.deadline.IsZero() && (p.Passage == procedure.Compared || p.Passage == procedure.Live): // nobody does anything
		wait(ctx, 200*time.Millisecond)
	case p.Passage == procedure.Compared:
		// Acceptance takes the marks away: they are looked at before.
		marks, err := r.site.marks(r)
		if err != nil {
			r.Logf("the marks cannot be read now: %v", err)
			wait(ctx, 200*time.Millisecond)
			return false
		}
		r.marked = marks
		if v.Readings != nil {
			r.readings = v.Readings.Closed
		}
		r.run(ctx, "accept", "--all", "entered by hand", "--as", r.Join("keys", r.signatory))
	default:
		r.run(ctx, "apply")
	}
	return false
}

// goOn does one step after the other until all is erased, and starts again what has
// ended. It gives up when that takes longer than patience, once all is healed.
func (r *room) goOn(ctx context.Context, patience time.Duration, healed func() bool) error {
	since := time.Now()
	for {
		for r.held.Load() {
			time.Sleep(20 * time.Millisecond)
		}
		if !healed() {
			since = time.Now()
		}
		before := r.trouble()
		if r.turn(ctx) {
			return nil
		}
		if ctx.Err() != nil || time.Since(since) > patience {
			r.mu.Lock()
			defer r.mu.Unlock()
			return fmt.Errorf("it does not go on: %s", strings.Join(r.errors[max(0, len(r.errors)-3):], "\n"))
		}
		if r.trouble() > before && !r.held.Load() {
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// turn is a step, and seeing to what has ended.
func (r *room) turn(ctx context.Context) (done bool) {
	r.turns.Lock()
	defer r.turns.Unlock()
	if r.step(ctx) {
		return true
	}
	if r.held.Load() {
		return false
	}
	if why := r.ended(); why != nil {
		r.stops(why.Error())
		if err := r.again(ctx); err != nil {
			r.stops("start: " + err.Error())
			time.Sleep(100 * time.Millisecond)
		}
	}
	return false
}

// away sends whoever goes on away from the room until it is called back.
func (r *room) away() (back func()) {
	r.held.Store(true)
	for !r.turns.TryLock() {
		r.mu.Lock()
		if r.current != nil {
			_ = r.current.Kill()
		}
		r.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
	}
	return func() {
		r.turns.Unlock()
		r.held.Store(false)
	}
}

// holds checks all that has to be true at the end.
func (r *room) holds(stock bool) {
	r.Helper()
	var c evidence.Certificate
	text, err := os.ReadFile(r.Join("evidence", evidence.FileCertificate))
	if err := errors.Join(err, json.Unmarshal(text, &c)); err != nil {
		r.Error(err)
	}
	want, look := r.endsAs().facts, r.site.facts
	if !r.deadline.IsZero() && c.Outcome == evidence.Undone {
		want, look = r.stage.bare, r.bareFacts
	}
	if facts, err := look(r); err != nil || facts != want {
		r.Errorf("the target holds other rows than when nothing goes wrong, %v", err)
	}
	if r.stage.undoes != "" && r.deadline.IsZero() && !r.undone {
		r.Error("nobody saw the passage undone")
	}
	r.inTime(&c)
	if r.deadline.IsZero() && r.stage.name != accepted {
		if err := wrongMarks(r.marked, r.endsAs().marks); err != nil {
			r.Error(err)
		}
	}
	for _, dir := range []string{"source/migrations", "target/migrations", "lock/chamber/live"} {
		if left, err := os.ReadDir(r.Join("room", dir)); err != nil || len(left) > 0 {
			r.Errorf("%s still holds %d things, %v", dir, len(left), err)
		}
	}
	if report := evidence.Verify(os.DirFS(r.Join("evidence")), r.Roots()); !report.OK() {
		r.Errorf("the evidence does not verify:\n%s", report.Text())
	}
	if stock {
		roots := r.Roots()
		c := exec.Command("sh", r.Join("evidence", "verify.sh"), r.Join("evidence"), "--controller", string(roots[ecluse.Controller]), "--processor", string(roots[ecluse.Processor]))
		if out, err := c.CombinedOutput(); err != nil {
			r.Errorf("verify.sh: %v\n%s", err, out)
		}
	}
	if leaks := r.leaks(r); len(leaks) > 0 {
		r.Errorf("values are in %v", leaks)
	}
	for _, u := range r.unclear {
		r.Errorf("stopped without saying why and what to do: %s", u)
	}
}

// inTime checks that nothing outlived its deadline: that of the instruction by the
// certificate or, of a room that nobody accepts, that which was set for it by the clock on
// the wall, for its gates have seen another time.
func (r *room) inTime(c *evidence.Certificate) {
	r.Helper()
	if open := r.Query(filepath.Join("room", "lock", "control.db"), "SELECT migration FROM due WHERE kind = 'erase' AND done = 0"); len(open) > 0 {
		r.Errorf("%v is still to be erased", open)
	}
	if r.deadline.IsZero() {
		text, err := os.ReadFile(r.Join("evidence", evidence.FileInstruction))
		if err != nil {
			r.Error(err)
			return
		}
		i, err := mandate.ParseInstruction("instruction", text)
		if err == nil {
			err = deadlineKept(c, i.EraseBy)
		}
		if err != nil {
			r.Error(err)
		}
		if c.Trigger != evidence.ByAcceptance {
			r.Errorf("it was accepted, and erased by %s", c.Trigger)
		}
		return
	}
	if c.Trigger != evidence.ByDeadline || c.Outcome != evidence.Undone && (!r.live || c.Outcome != evidence.InUse) {
		r.Errorf("nobody accepted it, and it is %s by %s", c.Outcome, c.Trigger)
	}
	if r.begun.Before(r.deadline) {
		r.Errorf("erasure began %s before the deadline", r.deadline.Sub(r.begun))
	}
	if late := r.erased.Sub(r.deadline); late > time.Minute {
		r.Errorf("it was erased %s after the deadline", late)
	}
}

// newWorld makes rooms at the stages of a passage.
func newWorld(t *testing.T, patients int) *world {
	t.Helper()
	d := roomtest.At(t, roomtest.Ready, patients)
	c := d.Plant()
	before(d)
	w := &world{stages: map[string]*stage{}}
	w.from(t, d, c, func(r *room, keep func(*stage)) {
		keep(&stage{name: approved})
		for _, s := range []string{loaded, accepted} {
			r.step(t.Context())
			keep(&stage{name: s})
		}
	})
	return w
}

// measure lets a stage go to its end with nothing going wrong: until what its scenario is
// about is over, or the end where that is all of it, with every write counted.
func (w *world) measure(t *testing.T, s *stage) {
	t.Helper()
	r := newRoom(t, s, roomtest.Temp(t))
	for _, p := range processes() {
		r.ask(p, spec{Below: r.Path, How: never})
	}
	if err := r.up(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.patience = time.Minute
	begun := time.Now()
	whole := s.whole()
	for over := false; !whole && !over; {
		if v, ok := r.place(t.Context()); ok {
			if over = s.reached(v); !over && !r.next(t.Context(), v) {
				t.Fatalf("%s: it does not go on from %+v: %v %v", s.name, v.Place, r.errors, r.unclear)
			}
		}
		if time.Since(begun) > time.Minute {
			t.Fatalf("%s: it does not go on: %v %v", s.name, r.errors, r.unclear)
		}
	}
	goOn := func() {
		if err := r.goOn(t.Context(), time.Minute, atOnce); err != nil {
			t.Fatal(err)
		}
	}
	if whole {
		goOn()
	}
	s.lasts = time.Since(begun)
	r.down()
	s.calls = map[string]int{}
	for _, p := range processes() {
		n := 0
		_, _ = fmt.Sscan(r.told(p, "count"), &n)
		s.calls[p] = n
	}
	if !whole {
		if err := r.up(t.Context()); err != nil {
			t.Fatal(err)
		}
		goOn()
	}
	r.down()
	s.marks = r.marked
	facts, err := s.site.facts(r)
	if err != nil {
		t.Fatal(err)
	}
	s.facts = facts
	r.holds(true)
	if trouble := r.trouble(); trouble > 0 {
		t.Errorf("%s: nothing went wrong, and %v %v", s.name, r.errors, r.unclear)
	}
	t.Logf("%s: a room lasts %s, with writes %v", s.name, s.lasts.Round(time.Millisecond), s.calls)
}

// ask tells the tracer of a part what it has to do, when the part is started next.
func (r *room) ask(part string, s spec) {
	r.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.control, part+".json"), text, 0o600); err != nil {
		r.Fatal(err)
	}
}

// told is what a tracer left word of.
func (r *room) told(part, what string) string {
	text, err := os.ReadFile(filepath.Join(r.control, part+"."+what))
	if err != nil {
		return ""
	}
	if len(text) == 0 {
		return " "
	}
	return string(text)
}
