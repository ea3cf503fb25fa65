package cli_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/client"
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/wire"
)

// A server under way: in so many laboratories a migration is open, and that is what its
// process may hold of memory meanwhile, at any time.
const (
	openMigrations = 50
	mostMemory     = 96 << 20
	mostFilled     = mostMemory + 8<<20 // while people also take all the room that bodies have
)

// openServer is a server in a process of its own whose laboratories each have a migration
// under way.
type openServer struct {
	*server
	rooms []*roomtest.Dir   // the gates' folders and databases, and the people's keys
	lines []*config.Context // how a device reaches each
	leave func()            // ends the gates
}

// serveOpen serves laboratories whose migrations stand at a stage, with all their gates
// at work: each asks its lock for work as `ecluse gate run` does, and waits for it.
func serveOpen(t *testing.T, s roomtest.Stage) *openServer {
	t.Helper()
	d := &roomtest.Dir{TB: t, Path: roomtest.Temp(t)}
	labs := d.Join("server", "laboratories")
	if err := os.MkdirAll(labs, 0o700); err != nil {
		t.Fatal(err)
	}
	x := &openServer{}
	for i := range openMigrations {
		room := roomtest.At(t, s, 3)
		if err := os.Rename(room.Join("room", "lock"), filepath.Join(labs, fmt.Sprintf("lab-%02d", i))); err != nil {
			t.Fatal(err)
		}
		x.rooms = append(x.rooms, room)
	}
	x.server = serve(t, d, "server")
	ctx, cancel := context.WithCancel(t.Context())
	var gates sync.WaitGroup
	x.leave = func() { cancel(); gates.Wait() }
	t.Cleanup(x.leave)
	for i, lab := range x.Labs {
		line, err := config.ParseLine(lab.Line)
		if err != nil {
			t.Fatal(err)
		}
		line.Server = "https://" + site(ctx, t, address(i), x.Addr)
		x.lines = append(x.lines, line)
		for _, place := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
			dir := x.rooms[i].Join("room", string(place))
			if err := config.SetServer(dir, line.Server, line.Laboratory, line.Pin); err != nil {
				t.Fatal(err)
			}
			gates.Go(func() {
				if err := app.RunGate(ctx, dir, app.RunOptions{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	return x
}

func address(lab int) net.IP { return net.IPv4(127, 0, 1, byte(1+lab)) }

// site is where a laboratory's gates and people reach the server: from an address of their
// own, as they would.
func site(ctx context.Context, t *testing.T, from net.IP, server string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var lines sync.WaitGroup
	t.Cleanup(lines.Wait)
	context.AfterFunc(ctx, func() { l.Close() })
	lines.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			lines.Go(func() {
				defer near.Close()
				far, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}).DialContext(ctx, "tcp", server)
				if err != nil {
					return
				}
				defer far.Close()
				defer context.AfterFunc(ctx, func() { far.Close() })()
				lines.Go(func() {
					defer far.Close()
					_, _ = io.Copy(far, near)
				})
				_, _ = io.Copy(near, far)
			})
		}
	})
	return l.Addr().String()
}

// desk is somebody's machine before the i-th laboratory. Its connections end with ctx, as
// those of a command do.
func (x *openServer) desk(ctx context.Context, t *testing.T, i int, who string) *desk.Desk {
	t.Helper()
	d, line := x.rooms[i], *x.lines[i]
	line.Server = "https://" + site(ctx, t, address(i), x.Addr)
	return app.Remote(&app.Device{Context: &line, Key: func() (ssh.Signer, error) { return d.Key(who), nil }}, d.Join("room", "plans"))
}

// open has both parties sign the plans of the i-th laboratory's migration, compiled by its
// gates: after that it waits for nobody but whoever has it carried out.
func (x *openServer) open(t *testing.T, i int) error {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	d := x.rooms[i]
	marc, claire := x.desk(ctx, t, i, roomtest.Marc), x.desk(ctx, t, i, roomtest.Claire)
	if _, err := marc.Approve(ctx, d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json"), d.Key(roomtest.Marc)); err != nil {
		return err
	}
	p, err := marc.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		return err
	}
	if _, err := claire.Approve(ctx, p.Load.Bytes(), d.Key(roomtest.Claire)); err != nil {
		return err
	}
	all, err := marc.Status(ctx, "")
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("status: %+v", all)
	}
	return err
}

// memory is what the system says of the server's memory, in bytes: VmRSS now, VmHWM at the
// most so far.
func (s *server) memory(t *testing.T, field string) int64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(s.cmd.Process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if kib, ok := strings.CutPrefix(line, field+":"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kib), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	t.Fatalf("the system does not say %s", field)
	return 0
}

// within wants the server to have held so many bytes at the most until now.
func (s *server) within(t *testing.T, most int64, when string) {
	t.Helper()
	now, peak := s.memory(t, "VmRSS"), s.memory(t, "VmHWM")
	t.Logf("%s: %.1f MiB, at the most %.1f", when, float64(now)/(1<<20), float64(peak)/(1<<20))
	if peak > most {
		t.Errorf("%s: it held %d KiB, want at most %d", when, peak>>10, most>>10)
	}
}

// TestServeMemory: a server of fifty laboratories, each with a migration whose plans both
// parties signed over the network, and with both gates waiting for work.
// All the room for large bodies, taken on top of it, costs little more than they are long.
func TestServeMemory(t *testing.T) {
	x := serveOpen(t, roomtest.Planned)
	x.within(t, mostMemory, "begun")
	var all errgroup.Group
	all.SetLimit(4)
	for i := range x.rooms {
		all.Go(func() error { return x.open(t, i) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	x.within(t, mostMemory, "all signed")
	time.Sleep(3 * time.Second) // every laboratory looks at what is due
	x.within(t, mostMemory, "all waiting")
	x.fill(t, "QUFB")
	x.within(t, mostFilled, "all body room taken")
	x.fill(t, `\u0041`)
	x.within(t, mostFilled, "all body room taken by escapes")
	begun := time.Now()
	x.end(t) // with all gates waiting for work
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	x.leave()
}

// fill takes all the room that the server has for large bodies, with as many people as
// that needs, a byte missing of each; then all come in at once, to be compiled.
func (x *openServer) fill(t *testing.T, with string) {
	t.Helper()
	const slack = 1 << 10 // what stands about a paper
	var sent, answered sync.WaitGroup
	last := make(chan struct{})
	for i, size := range []int{4 << 20, 1 << 20, 1 << 20} {
		tokens := &memorySessions{}
		o := client.Options{Options: wire.Options{Pin: wire.Pin(x.lines[i].Pin)}, Server: x.lines[i].Server, Laboratory: x.lines[i].Laboratory}
		p, err := client.LogIn(t.Context(), o, x.rooms[i].Key(roomtest.Marc), tokens)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Me(t.Context()); err != nil {
			t.Fatal(err)
		}
		way, err := wire.Transport(o.Options)
		if err != nil {
			t.Fatal(err)
		}
		defer way.CloseIdleConnections()
		in, out := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.Server+"/v1/labs/"+o.Laboratory+"/sketches", in)
		if err != nil {
			t.Fatal(err)
		}
		text := []byte(`{"instruction":"` + strings.Repeat(with, (size-slack)/len(with)/4*4) + `"}`)
		r.ContentLength = int64(len(text))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+tokens.token)
		sent.Add(1)
		go func() {
			_, err := out.Write(text[:len(text)-1])
			if err != nil {
				t.Error(err)
			}
			sent.Done()
			<-last
			_, _ = out.Write(text[len(text)-1:])
			out.Close()
		}()
		answered.Go(func() {
			res, err := way.RoundTrip(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			said, err := io.ReadAll(res.Body)
			if err != nil || !strings.Contains(string(said), `"what":"read document"`) && (with[0] != '\\' || res.StatusCode != http.StatusBadRequest) {
				t.Errorf("%d %s %v", res.StatusCode, said, err)
			}
		})
	}
	sent.Wait()
	time.Sleep(time.Second)
	x.within(t, mostFilled, "all bodies but their ends")
	close(last)
	answered.Wait()
}

// memorySessions keeps a token.
type memorySessions struct{ token string }

func (m *memorySessions) Read(ecluse.Fingerprint) string { return m.token }

func (m *memorySessions) Write(_ ecluse.Fingerprint, token string, _ time.Time) error {
	m.token = token
	return nil
}

func (m *memorySessions) Remove(ecluse.Fingerprint) error { return nil }
