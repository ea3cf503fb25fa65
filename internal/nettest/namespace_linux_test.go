package nettest

import (
	"context"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ecluse/internal/stocktest"
)

// TestMain plays a program inside a namespace: this binary, started again.
func TestMain(m *testing.M) {
	if target := os.Getenv("NETTEST_INSIDE"); target != "" {
		os.Exit(inside(target, os.Getenv("NETTEST_FORBIDDEN")))
	}
	os.Exit(m.Run())
}

// inside sends 150 kB to the echo at target, and tries what must be out of reach.
func inside(target, forbidden string) int {
	c, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		os.Stdout.WriteString("cannot reach the target: " + err.Error())
		return 1
	}
	defer c.Close()
	if err := say(c, strings.Repeat("x", 150_000)); err != nil {
		os.Stdout.WriteString("no echo: " + err.Error())
		return 1
	}
	if c, err := net.DialTimeout("tcp", forbidden, time.Second); err == nil {
		c.Close()
		os.Stdout.WriteString("reached " + forbidden)
		return 1
	}
	return 0
}

func self(ctx context.Context, t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

func TestNamespace(t *testing.T) {
	t.Parallel()
	var names [2]string
	t.Run("use", func(t *testing.T) {
		n := NewNamespace(t.Context(), t, Line{Rate: 20_000_000, Delay: 10 * time.Millisecond, Loss: 0.02, Seed: 1})
		names = [2]string{n.inside, n.outside}
		host := echo(t)
		r := n.Reach(host)
		begin := time.Now()
		if out, err := n.Inside(self(t.Context(), t, "NETTEST_INSIDE="+r.Addr(), "NETTEST_FORBIDDEN="+host)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		between(t, "150 kB there and back", time.Since(begin), 100*time.Millisecond, 20*time.Second)
		if k := r.Count(); k.Up != 150_000 || k.Down != 150_000 {
			t.Errorf("count %+v", k)
		}
		sent, lost := n.Packets()
		if sent < 200 || lost == 0 || lost > sent/5 {
			t.Errorf("%d packets, %d lost", sent, lost)
		}
	})
	for _, ns := range names {
		if ns != "" && exists(ns) {
			t.Errorf("%s is left", ns)
		}
	}
}

// TestNamespaceSilence: a pulled cable tells nobody anything.
func TestNamespaceSilence(t *testing.T) {
	t.Parallel()
	n := NewNamespace(t.Context(), t, Line{})
	r := n.Reach(echo(t))
	if out, err := n.Inside(self(t.Context(), t, "NETTEST_INSIDE="+r.Addr(), "NETTEST_FORBIDDEN=127.0.0.1:1")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	n.Silence(true)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	out, err := n.Inside(self(ctx, t, "NETTEST_INSIDE="+r.Addr())).CombinedOutput()
	if err == nil || ctx.Err() == nil {
		t.Errorf("over a silent line: %v: %s", err, out)
	}
}

// TestNamespaceProxy: from inside only the proxy can be reached, which asks for a
// password, and through it the rest.
func TestNamespaceProxy(t *testing.T) {
	t.Parallel()
	curl := stocktest.Tool(t, "curl")
	n := NewNamespace(t.Context(), t, Line{})
	a := NewAuthority(t)
	roots := t.TempDir() + "/roots.pem"
	if err := os.WriteFile(roots, a.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	p := NewProxy(t.Context(), t, ProxyOptions{
		User: "labo", Password: "secret",
		Hosts: map[string]string{"lock.example:443": site(t, a, nil).Listener.Addr().String()},
	})
	via := &url.URL{Scheme: "http", Host: n.Reach(p.Addr()).Addr(), User: p.URL().User}
	get := func(via string) (string, error) {
		cmd := n.Inside(exec.CommandContext(t.Context(), curl, "-sS", "--max-time", "10", "--cacert", roots, "--proxy", via, "https://lock.example/"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if got, err := get(via.String()); err != nil || !strings.HasSuffix(got, "for lock.example") {
		t.Errorf("through the proxy: %q, %v", got, err)
	}
	via.User = nil
	if got, err := get(via.String()); err == nil || !strings.Contains(got, "407") {
		t.Errorf("without a password: %q, %v", got, err)
	}
	if got, err := get(""); err == nil {
		t.Errorf("without the proxy: %q", got)
	}
	if k := p.Count(); k.Tunnels != 1 || k.Asked == 0 {
		t.Errorf("count %+v", k)
	}
}
