package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/config"
	"ecluse/internal/nettest"
)

// parts is a room of three processes, with a line between server and gates that can
// be cut, in which faults come one after the other while somebody applies.
type parts struct {
	testing.TB
	*roomtest.Dir
	room   *app.Running
	line   *nettest.Relay
	random *rand.Rand
	over   chan error // what came of applying
	said   int
}

// fault is something that goes wrong, and is put right.
type fault struct {
	part  app.RoomPart // killed, and started again; empty: the line is cut
	lasts time.Duration
}

func (f fault) String() string {
	if f.part == "" {
		return "the line cut"
	}
	return "the " + string(f.part) + " killed"
}

// everyPart are the faults that each hit another part, the line's among them. Who is
// killed is started again after such a while at most.
func (p *parts) everyPart(down, cut time.Duration) []fault {
	pause := func() time.Duration { return time.Duration(p.random.Int64N(int64(down))) }
	all := []fault{{app.ServerPart, pause()}, {app.SourcePart, pause()}, {app.TargetPart, pause()}, {"", cut}}
	p.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// apart starts a room whose gates reach the server over a line. ECLUSE_TEST_SEED
// repeats the faults of another run.
func apart(t testing.TB, d *roomtest.Dir, line nettest.Line) *parts {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("ECLUSE_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("ECLUSE_TEST_SEED=%d", seed)
	p := &parts{TB: t, Dir: d, random: rand.New(rand.NewPCG(seed, 1)), over: make(chan error, 1)}
	way := func(server string) string {
		if p.line == nil {
			p.line = nettest.NewRelay(context.WithoutCancel(t.Context()), t, server, line)
		}
		return p.line.Addr()
	}
	var err error
	p.room, err = app.Start(t.Context(), d.Join("room"), app.StartOptions{Program: binary, Way: way, Log: p.log()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.room.Close() })
	x := *p.room.Context()
	x.Name, x.Key = "room", d.Join("keys", roomtest.Marc)
	err = config.ChangeContexts(d.Join("device"), func(all *config.Contexts) error {
		for _, name := range all.Names() {
			if err := all.Remove(name); err != nil {
				return err
			}
		}
		return all.Add(x)
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// log is the file of what the parts say, which is searched for canaries as all is.
func (p *parts) log() *os.File {
	p.TB.Helper()
	f, err := os.Create(p.Join("parts.log"))
	if err != nil {
		p.TB.Fatal(err)
	}
	p.TB.Cleanup(func() {
		f.Close()
		if p.TB.Failed() {
			p.TB.Logf("what the parts said:\n%s", p.Read("parts.log"))
		}
	})
	return f
}

// apply applies, and again whenever it ends otherwise than well, as who sits before it
// would.
func (p *parts) apply(ctx context.Context) {
	go func() {
		for {
			c := command(ctx, p.Dir, "apply")
			text, err := c.CombinedOutput()
			p.said++
			_ = os.WriteFile(p.Join(fmt.Sprintf("said-apply-%d.txt", p.said)), text, 0o600)
			if err != nil { // killed at the very end there is nothing left to apply
				status, _ := command(ctx, p.Dir, "status").Output()
				if bytes.Contains(status, []byte("compared")) {
					err = nil
				}
			}
			if err == nil || ctx.Err() != nil {
				if err != nil {
					err = fmt.Errorf("%w after %d times\n%s", err, p.said, text)
				}
				p.over <- err
				return
			}
			time.Sleep(300 * time.Millisecond)
		}
	}()
}

// suffers lets faults come, each when so many bytes more, on average, have gone over
// the line, or a while later where none go.
func (p *parts) suffers(ctx context.Context, faults []fault, bytes int64) {
	p.TB.Helper()
	for i, f := range faults {
		at := p.carried() + 1 + p.random.Int64N(2*bytes)
		late := time.Now().Add(time.Duration(p.random.Int64N(int64(3 * time.Second))))
		for p.carried() < at && time.Now().Before(late) {
			select {
			case err := <-p.over:
				p.TB.Fatalf("it was over before %s, the fault number %d: %v", f, i+1, err)
			case <-ctx.Done():
				p.TB.Fatalf("it hangs before %s, the fault number %d", f, i+1)
			case <-time.After(5 * time.Millisecond):
			}
		}
		p.TB.Logf("%s for %s, after %d KiB", f, f.lasts.Round(time.Millisecond), p.carried()>>10)
		if f.part == "" {
			p.line.Cut()
			time.Sleep(f.lasts)
			p.line.Heal()
			continue
		}
		if err := p.room.Kill(f.part); err != nil {
			p.TB.Fatal(err)
		}
		time.Sleep(f.lasts)
		if err := p.room.Restart(ctx, f.part); err != nil {
			p.TB.Fatal(err)
		}
	}
}

func (p *parts) carried() int64 {
	n := p.line.Count()
	return n.Up + n.Down
}

// ends waits until it is applied.
func (p *parts) ends(ctx context.Context) {
	p.TB.Helper()
	select {
	case err := <-p.over:
		if err != nil {
			p.TB.Fatal(err)
		}
	case <-ctx.Done():
		p.TB.Fatalf("it hangs after the last fault\n%s", run(p.TB, p.Dir, "status").out)
	}
}

// TestKillParts: server and gates are killed, each once, and the line between is cut,
// in any order, while all is read and while all is loaded. What it comes to is what
// nobody disturbed comes to, each row once, and its evidence verifies.
func TestKillParts(t *testing.T) {
	want := undisturbed(t, roomtest.Loaded)
	for name, stage := range map[string]roomtest.Stage{"reading": roomtest.Ready, "loading": roomtest.Sealed} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			p := apart(t, roomtest.At(t, stage, killPatients), nettest.Line{Rate: 2_000_000})
			p.apply(ctx)
			p.suffers(ctx, p.everyPart(time.Second, time.Second), 60<<10) // of some 800 KiB
			p.ends(ctx)
			if facts, _ := p.Facts(); facts != want {
				t.Error("the target holds other rows than an undisturbed passage puts there")
			}
			if twice := p.Query("novalab.db", "SELECT dataset FROM ecluse_marker GROUP BY dataset, sequence HAVING count(*) > 1"); len(twice) > 0 {
				t.Errorf("chunks marked twice: %v", twice)
			}
			slots, _ := chamber(t, p.Dir, roomtest.Migration)
			onceEach(t, p.Dir, roomtest.Migration, len(slots))
			ok(t, p.Dir, "accept", "--all", "entered by hand", "--as", p.Join("keys", roomtest.Claire))
			verified(t, p.Dir)
		})
	}
}
