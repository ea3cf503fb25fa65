package nettest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/stocktest"
)

// Namespace is a machine of its own, as the network goes: two network namespaces,
// inside and outside, joined by a line. Programs run inside; from there nothing
// can be reached but what Reach puts outside: there is no default route, no name
// server, and the machine's own interfaces are elsewhere.
//
// The line is two TUN devices with this process between them, which delays and
// drops real packets: the kernel's own TCP meets them, at both ends, so that all
// that Relay leaves out is true here. It needs nothing of the kernel but TUN;
// netem (sch_netem) is a module that many kernels have not. It does not reorder or
// double packets. Nothing of the
// machine's own network is touched, and many can be at the same time.
type Namespace struct {
	t       testing.TB
	ctx     context.Context
	inside  string
	outside string
	line    Line
	dead    atomic.Bool
	packets [2]atomic.Int64
	lost    [2]atomic.Int64
}

// The two ends of the line; 198.18.0.0/15 is for tests of networks (RFC 2544).
const (
	outsideAddr = "198.18.0.1"
	insideAddr  = "198.18.0.2"
	namespaces  = "/run/netns/"
	prefix      = "ecluse-"
)

// NewNamespace makes one, until the test ends. Without the right to make one it
// skips the test and says why.
func NewNamespace(ctx context.Context, t testing.TB, line Line) *Namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		stocktest.Lacks(t, "root, who alone makes network namespaces")
	}
	stocktest.Tool(t, "ip")
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		stocktest.Lacks(t, "TUN, the line of a network namespace: %v", err)
	}
	sweep(ctx)
	name := fmt.Sprintf("%s%d-%08x", prefix, os.Getpid(), rand.Uint32())
	ctx, cancel := context.WithCancel(ctx)
	n := &Namespace{t: t, ctx: ctx, inside: name + "-in", outside: name + "-out", line: line}
	var carriers sync.WaitGroup
	var ends []*os.File
	t.Cleanup(func() {
		cancel()
		for _, e := range ends {
			_ = e.Close()
		}
		carriers.Wait()
		for _, ns := range []string{n.inside, n.outside} {
			if out, err := ip(context.WithoutCancel(ctx), "netns", "del", ns); err != nil && exists(ns) {
				t.Errorf("network namespace %s stays: %v: %s", ns, err, out)
			}
		}
	})
	for _, end := range []struct{ ns, own, peer string }{{n.inside, insideAddr, outsideAddr}, {n.outside, outsideAddr, insideAddr}} {
		if out, err := ip(ctx, "netns", "add", end.ns); err != nil {
			stocktest.Lacks(t, "the right to make a network namespace: %v: %s", err, out)
		}
		var f *os.File
		if err := within(end.ns, func() (err error) { f, err = tun("line"); return err }); err != nil {
			stocktest.Lacks(t, "TUN in a network namespace: %v", err)
		}
		ends = append(ends, f)
		for _, args := range [][]string{
			{"link", "set", "lo", "up"},
			{"addr", "add", end.own, "peer", end.peer, "dev", "line"},
			{"link", "set", "line", "up"},
		} {
			if out, err := ip(ctx, append([]string{"-n", end.ns}, args...)...); err != nil {
				t.Fatalf("ip %s: %v: %s", strings.Join(args, " "), err, out)
			}
		}
	}
	n.Congestion("reno") // in every kernel, and what loss hurts most: the same wherever the test runs
	n.carry(&carriers, 0, ends[0], ends[1])
	n.carry(&carriers, 1, ends[1], ends[0])
	return n
}

// Inside makes cmd run inside, as root, and gives it back. Signals reach the
// program itself. For another user, run setpriv.
func (n *Namespace) Inside(cmd *exec.Cmd) *exec.Cmd {
	n.t.Helper()
	at, err := exec.LookPath("ip")
	if err != nil {
		n.t.Fatal(err)
	}
	cmd.Args = append([]string{"ip", "netns", "exec", n.inside, cmd.Path}, cmd.Args[1:]...)
	cmd.Path = at
	return cmd
}

// Reach gives programs inside an address from which a relay leads to target, an
// address of this process's own network. The line is the namespace's; the relay
// adds none of its own, but can be cut and stalled.
func (n *Namespace) Reach(target string) *Relay {
	n.t.Helper()
	on := func(ctx context.Context, addr string) (l net.Listener, err error) {
		err = within(n.outside, func() (err error) { l, err = here(ctx, addr); return err })
		return l, err
	}
	// Nobody else is in there to take the port while the relay is cut.
	return newRelay(n.ctx, n.t, on, io.NopCloser(nil), outsideAddr+":0", target, Line{})
}

// Congestion chooses what TCP makes of losses from now on at both ends: reno, unless
// another is asked for. On Rural one connection of reno gets some 2 Mbit/s, of bbr
// some 15. What the kernel lacks, or allows in its first namespace alone (cubic, on
// some), changes nothing, and the test's log says so.
func (n *Namespace) Congestion(name string) {
	n.t.Helper()
	for _, ns := range []string{n.inside, n.outside} {
		err := within(ns, func() error { return os.WriteFile("/proc/sys/net/ipv4/tcp_congestion_control", []byte(name), 0) })
		if err != nil {
			n.t.Logf("TCP does not become %s in a network namespace: %v", name, err)
		}
	}
}

// Silence makes the line drop every packet, or carry them again: what a cable that
// was pulled looks like to both ends.
func (n *Namespace) Silence(on bool) { n.dead.Store(on) }

// Packets tells how many packets were sent and how many of them were lost, both
// ways together.
func (n *Namespace) Packets() (sent, lost int64) {
	for i := range n.packets {
		sent += n.packets[i].Load()
		lost += n.lost[i].Load()
	}
	return sent, lost
}

// carry takes packets from one end to the other until an end is closed.
func (n *Namespace) carry(work *sync.WaitGroup, way int, from, to *os.File) {
	const queue = 256 // packets; what does not fit is lost, as in a router
	packets := make(chan packet, queue)
	w := &wire{rate: n.line.Rate}
	r := rand.New(rand.NewPCG(n.line.Seed, uint64(way)))
	work.Go(func() {
		defer close(packets)
		for {
			b := make([]byte, 2048)
			k, err := from.Read(b)
			if err != nil {
				return
			}
			n.packets[way].Add(1)
			if n.dead.Load() || r.Float64() < n.line.Loss || w.full() > 0 {
				n.lost[way].Add(1)
				continue
			}
			select {
			case packets <- packet{data: b[:k], due: w.send(k).Add(n.line.Delay)}:
			default:
				n.lost[way].Add(1)
			}
		}
	})
	work.Go(func() {
		for p := range packets {
			if sleep(n.ctx, time.Until(p.due)) != nil {
				return
			}
			_, _ = to.Write(p.data) // an end that is not up drops packets
		}
	})
}

func ip(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func exists(ns string) bool {
	_, err := os.Stat(namespaces + ns)
	return err == nil
}

// sweep removes what test processes that were killed have left.
func sweep(ctx context.Context) {
	left, err := os.ReadDir(namespaces)
	if err != nil {
		return
	}
	for _, e := range left {
		rest, ours := strings.CutPrefix(e.Name(), prefix)
		digits, _, _ := strings.Cut(rest, "-")
		pid, err := strconv.Atoi(digits)
		if ours && err == nil && errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			_, _ = ip(ctx, "netns", "del", e.Name()) // another process may be sweeping too
		}
	}
}

// within calls do on a thread that is in a namespace. Sockets and devices that are
// made there stay there, whoever uses them.
func within(ns string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		f, err := os.Open(namespaces + ns)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			_ = f.Close()
		}
		if err == nil {
			err = do()
		}
		done <- err
	}()
	return <-done
}

// tun makes a device of IP packets in the calling thread's namespace.
func tun(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil // after TUNSETIFF: only then can it be polled
}
