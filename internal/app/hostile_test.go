package app_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/api"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/client"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/hostiletest"
	"ecluse/internal/mandate"
	"ecluse/internal/wire"
)

// A server built to lie, with the real gates and desks behind real TLS. What each test
// shows stands in docs/explanation/trust.md.

// liar is such a server of a room.
type liar struct {
	*hostiletest.Server
	t *testing.T
	d *roomtest.Dir
	r *app.Room
}

func liarOf(t *testing.T, d *roomtest.Dir) *liar {
	t.Helper()
	l := &liar{t: t, d: d, r: d.Open()}
	l.Server = hostiletest.Start(t, roomtest.Temp(t), func(pin wire.Pin) http.Handler { return l.serving(l.r, pin) })
	return l
}

// serving is an honest handler of a room.
func (l *liar) serving(r *app.Room, pin wire.Pin) http.Handler {
	l.t.Helper()
	s, err := api.New(api.Options{Labs: []api.Lab{r.Lab("room", pin)}, Version: "test"})
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// earlier is another server of a copy of a lock's folder, as it stands now: what was, or
// what forks from it.
func (l *liar) earlier() (http.Handler, *app.Room) {
	l.t.Helper()
	at := &roomtest.Dir{TB: l.t, Path: roomtest.Temp(l.t)}
	l.r.Close()
	if err := os.CopyFS(at.Path, os.DirFS(l.d.Path)); err != nil {
		l.t.Fatal(err)
	}
	err := filepath.WalkDir(at.Path, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.r = l.d.Open()
	l.Honest(l.serving(l.r, l.Pin))
	r := at.Open()
	return l.serving(r, l.Pin), r
}

func (l *liar) options(key ssh.Signer) client.Options {
	return client.Options{Options: wire.Options{Pin: l.Pin, Gate: key}, Server: l.URL, Laboratory: "room"}
}

// seat is the lock as the gate at a place sees it.
func (l *liar) seat(part string) *client.Gate {
	l.t.Helper()
	key, err := ssh.ParsePrivateKey(l.d.Read("room", part, "gate_key"))
	if err != nil {
		l.t.Fatal(err)
	}
	g, err := client.NewGate(l.options(key))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(g.Disconnect)
	return g
}

// gates are both, which see the lock through the server.
func (l *liar) gates() (*gate.Source, *gate.Target) {
	l.t.Helper()
	s, err := app.Source(l.d.Join("room", "source"), l.seat("source"))
	if err != nil {
		l.t.Fatal(err)
	}
	t, err := app.Target(l.d.Join("room", "target"), l.seat("target"))
	if err != nil {
		l.t.Fatal(err)
	}
	return s, t
}

// desk is a person's machine.
func (l *liar) desk(who string) *desk.Desk {
	s := &served{URL: l.URL, Pin: l.Pin}
	return s.desk(l.t, l.d, "room", who)
}

// reading makes the procedure's moves to where both gates may work.
func (l *liar) reading() {
	l.t.Helper()
	if err := l.r.BeginReading(l.t.Context(), roomtest.Migration); err != nil {
		l.t.Fatal(err)
	}
}

func (l *liar) loading() {
	l.t.Helper()
	if _, err := l.r.BeginLoading(l.t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		l.t.Fatal(err)
	}
}

func read(t *testing.T, s *gate.Source) error {
	_, err := s.Read(t.Context(), roomtest.Migration, 0, nil)
	return err
}

func load(t *testing.T, g *gate.Target) error {
	_, err := g.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
	return err
}

// refusal wants an error of a kind that says some words, and what to do next.
func refusal(t *testing.T, what string, err error, kind ecluse.Kind, words string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: it was believed", what)
		return
	}
	if ecluse.KindOf(err) != kind || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: got %v (%s), want %s with %q", what, err, ecluse.KindOf(err), kind, words)
	}
}

func stranger(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// papersLie changes the papers that gates are shown.
func (l *liar) papersLie(change func(*exchange.Case)) hostiletest.Lie {
	return hostiletest.Lie{Path: hostiletest.About("/case"), Change: hostiletest.JSON(l.t, change)}
}

// TestHostileRecipient: chunks are sealed to the key that the target gate signed and
// both parties approved, whatever the server puts in its place.
func TestHostileRecipient(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	l.reading()
	source, _ := l.gates()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	thief := stranger(t)
	forge := func(by ssh.Signer) evidence.Signed {
		s, err := evidence.SignRecipient(by, &evidence.Recipient{
			Migration: roomtest.Migration, Instruction: ecluse.DigestOf(l.d.Read("instruction.yaml")), Purpose: evidence.ForChunks,
			Recipient: id.Recipient().String(), NotAfter: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	l.Lie(l.papersLie(func(c *exchange.Case) { c.Recipients = append([]evidence.Signed{forge(thief)}, c.Recipients[1:]...) }))
	refusal(t, "a key of its own", read(t, source), ecluse.Differs, "has made none for the instruction")
	// With everything else made to fit it: plan and instruction.
	l.Lie(l.papersLie(func(c *exchange.Case) {
		thiefs := string(evidence.FingerprintOf(thief.PublicKey()))
		i, err := mandate.ParseInstruction("instruction", c.Instruction)
		if err != nil {
			t.Error(err)
			return
		}
		c.Instruction = bytes.ReplaceAll(c.Instruction, []byte(i.Target.Gate), []byte(thiefs))
		c.ReadPlan = bytes.ReplaceAll(c.ReadPlan, []byte(i.Target.Gate), []byte(thiefs))
		s, err := evidence.SignRecipient(thief, &evidence.Recipient{
			Migration: roomtest.Migration, Instruction: ecluse.DigestOf(c.Instruction), Purpose: evidence.ForChunks,
			Recipient: id.Recipient().String(), NotAfter: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
		})
		if err != nil {
			t.Error(err)
		}
		c.Recipients = append(c.Recipients, s)
	}))
	refusal(t, "a thief's instruction", read(t, source), ecluse.Differs, "has made none for the instruction")
	l.Lie()
	if slots, err := l.r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(slots) > 0 {
		t.Errorf("%d chunks, %v", len(slots), err)
	}
}

// TestHostilePlan: gates carry out the plan that they compile themselves and that two
// people of two parties signed; one column more, one fewer on the people's screens,
// and nothing is read.
func TestHostilePlan(t *testing.T) {
	t.Parallel()
	wider := func(text []byte) []byte {
		p, err := mandate.ParseReadPlan(text)
		if err != nil {
			t.Fatal(err)
		}
		d := &p.Datasets[0]
		d.Columns = append(d.Columns, d.Columns[len(d.Columns)-1])
		d.Columns[len(d.Columns)-1].Name = "MOTDEPASSE"
		return p.Bytes()
	}
	narrower := func(text []byte) []byte {
		p, err := mandate.ParseReadPlan(text)
		if err != nil {
			t.Fatal(err)
		}
		d := &p.Datasets[0]
		d.Columns = d.Columns[:len(d.Columns)-1]
		return p.Bytes()
	}
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	l.reading()
	source, _ := l.gates()
	l.Lie(l.papersLie(func(c *exchange.Case) { c.ReadPlan = wider(c.ReadPlan) }))
	refusal(t, "a column more", read(t, source), ecluse.Differs, "datasets[prescriber].columns has no MOTDEPASSE any more")

	// Whoever signs an instruction with its plan signs the plan that they read.
	l = liarOf(t, roomtest.At(t, roomtest.Planned, 3))
	l.Lie(hostiletest.Lie{Path: hostiletest.About("/current/readplan"), Change: hostiletest.JSON(t, func(v *hostiletest.Item[[]byte]) { *v.Item = narrower(*v.Item) })})
	_, err := l.desk(roomtest.Claire).Sign(t.Context(), desk.SignRequest{
		File: l.d.Join("instruction.yaml"), Text: l.d.Read("instruction.yaml"), WithPlan: true, Key: l.d.Key(roomtest.Claire),
	})
	refusal(t, "signed with another plan", err, ecluse.Differs, "the lock now shows another read plan than the one here")

	// People see and sign fewer columns; the gates get the whole plan, and their act.
	l = liarOf(t, roomtest.At(t, roomtest.Planned, 3))
	source, _ = l.gates()
	var act evidence.Signed
	l.Lie(
		hostiletest.Lie{Method: http.MethodPost, Path: hostiletest.About("/plans"), Change: hostiletest.JSON(t, func(p *exchange.Plans) { p.Read = narrower(p.Read) })},
		hostiletest.Lie{Method: http.MethodPost, Path: hostiletest.About("/acts"), Instead: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			var q struct {
				Act evidence.Signed `json:"act"`
			}
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				t.Error(err)
			}
			act = q.Act
			_ = json.NewEncoder(rw).Encode(exchange.Receipt{Act: act.Digest()})
		})},
	)
	marc := l.desk(roomtest.Marc)
	p, err := marc.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(p.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := marc.Approve(t.Context(), text, l.d.Key(roomtest.Marc)); err != nil && act.Body == nil {
		t.Fatal(err)
	}
	l.Lie(l.papersLie(func(c *exchange.Case) { c.Acts = append(c.Acts, act) }))
	refusal(t, "people saw another plan", read(t, source), ecluse.WaitsForSign, "")
	l.Lie(l.papersLie(func(c *exchange.Case) { c.Acts, c.ReadPlan = append(c.Acts, act), narrower(c.ReadPlan) }))
	refusal(t, "a plan that nobody compiled", read(t, source), ecluse.Differs, "datasets[prescriber].columns has a new RPPS")
}

// TestHostileOldState: a server put back to an earlier state, with signatures that held
// then, is seen by a gate that knows a later one.
func TestHostileOldState(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	l.reading()
	old, _ := l.earlier()
	if _, err := l.r.Suspend(t.Context(), desk.Order{Because: "a question is open", Key: l.d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	source, target := l.gates()
	for _, h := range []struct {
		*gate.Home
		seat gate.Lock
	}{{source.Home(), l.seat("source")}, {target.Home(), l.seat("target")}} {
		if err := h.Watch(t.Context(), h.seat, roomtest.Migration); err != nil {
			t.Fatal(err)
		}
	}
	refusal(t, "suspended", read(t, source), ecluse.Refused, "suspend")
	l.Lie(hostiletest.Lie{Path: hostiletest.About(".*"), Instead: old})
	refusal(t, "the state before the suspension, at the source gate", read(t, source), ecluse.Unverified, "rewritten")
	refusal(t, "the state before the suspension, at the target gate", load(t, target), ecluse.Unverified, "")

	// The papers of then with the journal of now.
	l.Lie(hostiletest.Lie{Path: hostiletest.About("/case"), Instead: old})
	refusal(t, "the papers of then with the journal of now", read(t, source), ecluse.Refused, "held by controller")
	if slots, err := l.r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(slots) > 0 {
		t.Errorf("%d chunks came in, %v", len(slots), err)
	}
}

// TestHostileSuspensionOfOneGate: a suspension that is kept from the target gate, by
// papers of before and a journal that has it or does not, while the source gate is shown
// it: that gate lends nothing to load with.
func TestHostileSuspensionOfOneGate(t *testing.T) {
	t.Parallel()
	for name, paths := range map[string]string{"papers of before": "/case", "papers and journal of before": "/(case|head|cosignatures)"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := liarOf(t, roomtest.At(t, roomtest.Sealed, 3))
			l.loading()
			old, _ := l.earlier()
			l.stopGates()
			if _, err := l.r.Suspend(t.Context(), desk.Order{Because: "a question is open", Key: l.d.Key(roomtest.Claire)}); err != nil {
				t.Fatal(err)
			}
			l.d.Exec("room/lock/control.db", "UPDATE migration SET suspended = 0") // nor does it keep to its own procedure
			i, err := mandate.ParseInstruction("instruction", l.d.Read("instruction.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			source, err := app.Source(l.d.Join("room", "source"), l.r.Seat(exchange.SourcePlace)) // it is shown what is
			if err != nil {
				t.Fatal(err)
			}
			_, target := l.gates()
			l.Lie(hostiletest.Lie{Path: hostiletest.About(paths), Instead: old})
			before, _ := l.d.Facts()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			loaded := make(chan error, 1)
			go func() {
				_, err := target.Load(ctx, roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
				loaded <- err
			}()
			for begun := time.Now(); ; time.Sleep(10 * time.Millisecond) {
				open, err := l.r.Lock().Asked(t.Context(), roomtest.Migration)
				if err != nil {
					t.Fatal(err)
				}
				if len(open) > 0 {
					break
				}
				select {
				case err := <-loaded:
					t.Fatal("it did not come to ask: ", err)
				default:
				}
				if time.Since(begun) > 20*time.Second {
					t.Fatal("nobody asked")
				}
			}
			refusal(t, "lending for a load that is suspended", source.Lend(t.Context(), i), ecluse.Refused, "suspended by claire-aubry")
			cancel()
			if err := <-loaded; err == nil {
				t.Error("it loaded")
			}
			if after, rows := l.d.Facts(); after != before {
				t.Errorf("the target has other rows than before: %d", rows)
			}
		})
	}
}

// TestHostileApproval: an approval of an earlier plan, put in the place of that of the
// plan in force, lets nothing through at either gate.
func TestHostileApproval(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	l.reading()
	l.loading()
	source, target := l.gates()
	other := ecluse.DigestOf([]byte("an earlier plan"))
	older := func(kind string) func(*exchange.Case) {
		return func(c *exchange.Case) {
			var acts []evidence.Signed
			for _, s := range c.Acts {
				a, err := evidence.ParseAct(s.Body)
				if err != nil {
					t.Error(err)
					return
				}
				subject := ecluse.Digest{}
				for _, x := range a.Clauses {
					if x.Verb == evidence.VerbApprove && x.Kind == kind {
						subject = x.Subject
					}
				}
				if subject.IsZero() {
					acts = append(acts, s)
					continue
				}
				// The same person approved something else, truly.
				for i, x := range a.Clauses {
					if x.Subject == subject {
						a.Clauses[i].Subject = other
					}
				}
				if old, err := evidence.SignAct(l.d.Key(a.Person), a); err != nil {
					t.Error(err)
				} else {
					acts = append(acts, old)
				}
			}
			c.Acts = acts
		}
	}
	l.Lie(l.papersLie(older(evidence.KindReadPlan)))
	refusal(t, "an old approval for a new read plan", read(t, source), ecluse.WaitsForSign, "has signed it (approve)")
	if l.Told() == 0 {
		t.Error("it did not lie")
	}
	l.Lie(l.papersLie(older(evidence.KindLoadPlan)))
	refusal(t, "an old approval for a new load plan", load(t, target), ecluse.WaitsForSign, "has signed it (approve)")
	// The bytes of the old one, made to speak of the new plan.
	l.Lie(l.papersLie(func(c *exchange.Case) {
		for i, s := range c.Acts {
			c.Acts[i].Body = bytes.ReplaceAll(s.Body, []byte(ecluse.DigestOf(c.ReadPlan).String()), []byte(other.String()))
		}
	}))
	refusal(t, "an approval altered to fit", read(t, source), ecluse.Unverified, "")
	if slots, err := l.r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(slots) > 0 {
		t.Errorf("%d chunks came in, %v", len(slots), err)
	}
}

// TestHostileReplay: a migration that was erased is not opened again by a server that
// is put back to before.
func TestHostileReplay(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Erased, 3))
	before := roomtest.At(t, roomtest.Sealed, 3)
	old := l.serving(before.Open(), l.Pin)
	l.Lie(hostiletest.Lie{Path: hostiletest.About(".*"), Instead: old})
	source, target := l.gates()
	refusal(t, "read again", read(t, source), ecluse.Unverified, "rewritten")
	refusal(t, "load again", load(t, target), ecluse.Unverified, "rewritten")
	i, err := mandate.ParseInstruction("instruction", l.d.Read("instruction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	refusal(t, "a key again, of the source gate", source.Recipient(t.Context(), i), ecluse.Refused, "the key was destroyed")
	refusal(t, "a key again, of the target gate", target.Recipient(t.Context(), i), ecluse.Refused, "the key was destroyed")
}

// TestHostilePerson: nobody becomes a person of the controller but by its root.
func TestHostilePerson(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	l.reading()
	source, _ := l.gates()
	thief := stranger(t)
	roster := strings.Replace(string(l.d.Read("roster-controller.yaml")), "number: 1", "number: 2", 1)
	forged, err := evidence.Sign(thief, evidence.NamespaceRoster, []byte(roster))
	if err != nil {
		t.Fatal(err)
	}
	l.Lie(l.papersLie(func(c *exchange.Case) { c.Rosters = append(c.Rosters, forged) }))
	refusal(t, "a roster that another root signed", read(t, source), ecluse.Unverified, "is not signed by the root that this gate was given")
	processors, err := evidence.Sign(l.d.Key("root-processor"), evidence.NamespaceRoster, []byte(roster))
	if err != nil {
		t.Fatal(err)
	}
	l.Lie(l.papersLie(func(c *exchange.Case) { c.Rosters = append(c.Rosters, processors) }))
	refusal(t, "a roster of the controller by the processor's root", read(t, source), ecluse.Unverified, "is not signed by the root that this gate was given")
	// An act by a key of nobody, in the place of the controller's.
	l.Lie(l.papersLie(func(c *exchange.Case) {
		for n, s := range c.Acts {
			a, err := evidence.ParseAct(s.Body)
			if err != nil {
				t.Error(err)
				return
			}
			if a.Side != ecluse.Controller {
				continue
			}
			if c.Acts[n], err = evidence.SignAct(thief, a); err != nil {
				t.Error(err)
			}
		}
	}))
	refusal(t, "acts by a key in no roster", read(t, source), ecluse.Unverified, "is not claire-aubry's in roster 1 of the controller")
}

// TestHostileFork: a server that shows each gate another journal is found out when the
// release secret is lent, and each gate stops when it is shown the other's.
func TestHostileFork(t *testing.T) {
	t.Parallel()
	l := liarOf(t, roomtest.At(t, roomtest.Ready, 3))
	l.reading()
	l.loading()
	fork, other := l.earlier()
	mark := func(r *app.Room, epoch int64) {
		t.Helper()
		if err := r.Lock().Record(t.Context(), exchange.Event{Migration: roomtest.Migration, Type: "epoch", Numbers: map[string]int64{"epoch": epoch}}); err != nil {
			t.Fatal(err)
		}
	}
	mark(l.r, 1)
	mark(other, 2)
	source, target := l.gates()
	watch := func(h *gate.Home, part string) error { return h.Watch(t.Context(), l.seat(part), roomtest.Migration) }
	if err := watch(source.Home(), "source"); err != nil {
		t.Fatal(err)
	}
	toFork := hostiletest.Lie{Path: hostiletest.About("/(head|cosignatures|case)"), Instead: fork}
	l.Lie(toFork)
	if err := watch(target.Home(), "target"); err != nil {
		t.Fatal(err)
	}
	// Neither has seen anything wrong. Each is shown its own journal only, and the
	// target gate asks for the source gate's half.
	l.Lie()
	i, err := mandate.ParseInstruction("instruction", l.d.Read("instruction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	l.stopGates()
	asked := make(chan error, 1)
	go func() { asked <- target.Recipient(t.Context(), i) }()
	for begun := time.Now(); ; {
		if open, err := l.r.Lock().Asked(t.Context(), roomtest.Migration); err != nil {
			t.Fatal(err)
		} else if len(open) > 0 {
			break
		}
		if time.Since(begun) > 20*time.Second {
			t.Fatal("nobody asked")
		}
		time.Sleep(10 * time.Millisecond)
	}
	refusal(t, "lending across a fork", source.Lend(t.Context(), i), ecluse.Unverified, "the lock shows the gates two")
	// Shown the other's, each stops.
	refusal(t, "the target gate is shown the source gate's", watch(target.Home(), "target"), ecluse.Unverified, "rewritten")
	l.Lie(toFork)
	refusal(t, "the source gate is shown the target gate's", watch(source.Home(), "source"), ecluse.Unverified, "rewritten")
}

// stopGates keeps the room's own gates from working beside a test's.
func (l *liar) stopGates() {
	l.t.Cleanup(l.r.Elsewhere(l.t.Context(), func(exchange.Place, ssh.Signer) gate.Lock { return nowhere{} }))
}

// nowhere is a lock that asks for nothing.
type nowhere struct{ gate.Lock }

func (nowhere) Wanted(ctx context.Context, _ []string) ([]exchange.Work, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}
