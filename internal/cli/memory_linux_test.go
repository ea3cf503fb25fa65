package cli_test

import (
	"context"
	"fmt"
	"io"
	"net"
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
	"ecluse/internal/config"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

// A server under way: in so many laboratories a migration is open, and that is what its
// process may hold of memory meanwhile, at any time.
const (
	openMigrations = 50
	mostMemory     = 96 << 20
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
		line.Server = "https://" + site(ctx, t, net.IPv4(127, 0, 1, byte(1+i)), x.Addr)
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

// site is where a laboratory's gates and people reach the server: from an address of their
// own, as they would.
func site(ctx context.Context, t *testing.T, from net.IP, server string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var lines sync.WaitGroup
	t.Cleanup(func() { l.Close(); lines.Wait() })
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

// desk is somebody's machine before the i-th laboratory.
func (x *openServer) desk(i int, who string) *desk.Desk {
	d := x.rooms[i]
	return app.Remote(&app.Device{Context: x.lines[i], Key: func() (ssh.Signer, error) { return d.Key(who), nil }}, d.Join("room", "plans"))
}

// open has both parties sign the plans of the i-th laboratory's migration, compiled by its
// gates: after that it waits for nobody but whoever has it carried out.
func (x *openServer) open(ctx context.Context, i int) error {
	d := x.rooms[i]
	marc, claire := x.desk(i, roomtest.Marc), x.desk(i, roomtest.Claire)
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

// within wants the server to have stayed within its bounds until now.
func (s *server) within(t *testing.T, when string) {
	t.Helper()
	now, peak := s.memory(t, "VmRSS"), s.memory(t, "VmHWM")
	t.Logf("%s: %.1f MiB, at the most %.1f", when, float64(now)/(1<<20), float64(peak)/(1<<20))
	if peak > mostMemory {
		t.Errorf("%s: it held %d KiB, want at most %d", when, peak>>10, mostMemory>>10)
	}
}

// TestServeMemory: a server of fifty laboratories, each with a migration whose plans both
// parties signed over the network, and with both gates waiting for work.
func TestServeMemory(t *testing.T) {
	x := serveOpen(t, roomtest.Planned)
	x.within(t, "begun")
	var all errgroup.Group
	all.SetLimit(4)
	for i := range x.rooms {
		all.Go(func() error { return x.open(t.Context(), i) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	x.within(t, "all signed")
	time.Sleep(3 * time.Second) // every laboratory looks at what is due
	x.within(t, "all waiting")
	x.leave()
	x.end(t)
}
