package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/config"
	"ecluse/internal/nettest"
)

// theServer is what a gate that stands elsewhere knows the server by: a name that a
// proxy alone can find.
const theServer = "lock.example:443"

// elsewhere starts a room's server and target gate, and leaves the source gate to be
// run elsewhere. It returns where the server listens.
func elsewhere(t *testing.T, d *roomtest.Dir) string {
	t.Helper()
	r, err := start(t, d, binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	for _, p := range []app.RoomPart{app.SourcePart, app.ServerPart} {
		if err := r.Kill(p); err != nil {
			t.Fatal(err)
		}
	}
	host, _, _ := strings.Cut(theServer, ":")
	d.Write(fmt.Appendf(d.Read("room", "lock", config.ServerName), "hosts: [%s]\n", host), "room", "lock", config.ServerName)
	if err := r.Restart(t.Context(), app.ServerPart); err != nil {
		t.Fatal(err)
	}
	x := r.Context()
	if err := config.SetServer(d.Join("room", "source"), "https://"+theServer, x.Laboratory, ecluse.Digest(x.Pin)); err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(x.Server, "https://")
}

// said waits until a process has said something on its error output.
func said(t *testing.T, c *exec.Cmd, want string) {
	t.Helper()
	errs, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer c.Process.Kill()
	late := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
	defer late.Stop()
	var all bytes.Buffer
	for lines := bufio.NewScanner(io.TeeReader(errs, &all)); lines.Scan(); {
		if strings.Contains(lines.Text(), want) {
			return
		}
	}
	t.Errorf("it does not say %q:\n%s", want, all.String())
}

// TestGateBehindProxy: a gate in a network namespace of its own, from where the proxy
// alone can be reached, which asks for a name and a password. With a wrong password the
// gate, and `ecluse gate check` beside it, say so, and what to ask of whoever runs the
// network; with the right one a migration is read through it.
func TestGateBehindProxy(t *testing.T) {
	t.Parallel()
	const password = "the-proxy's-password"
	n := nettest.NewNamespace(t.Context(), t, nettest.Line{})
	d := roomtest.At(t, roomtest.Ready, 100)
	server := elsewhere(t, d)
	proxy := nettest.NewProxy(t.Context(), t, nettest.ProxyOptions{User: "labo", Password: password, Hosts: map[string]string{theServer: server}})
	way := n.Reach(proxy.Addr())
	inside := func(ctx context.Context, args ...string) *exec.Cmd { return n.Inside(command(ctx, d, args...)) }
	dir := d.Join("room", "source")

	r := end(t, inside(t.Context(), "gate", "check", dir))
	if r.code != 1 || !strings.Contains(r.out, "no connection to "+theServer) && !strings.Contains(r.out, "Please let our machine find the name lock.example") {
		t.Errorf("without the proxy: exit %d\n%s%s", r.code, r.out, r.err)
	}
	d.Write(fmt.Appendf(d.Read("room", "source", config.FileName), "proxy: http://labo@%s\nproxy_password_file: proxy.password\n", way.Addr()), "room", "source", config.FileName)

	d.Write([]byte("another-password"), "room", "source", "proxy.password")
	const refused = "the proxy does not accept this user and password"
	r = end(t, inside(t.Context(), "gate", "check", dir))
	for _, want := range []string{refused, "to send to whoever runs the network", "Please give our machine a user and a password (Basic) for the proxy " + way.Addr() + ", or let it pass to " + theServer + " without."} {
		if r.code != 1 || !strings.Contains(r.out, want) {
			t.Errorf("with a wrong password: exit %d, want %q\n%s%s", r.code, want, r.out, r.err)
		}
	}
	said(t, inside(t.Context(), "gate", "run", dir), refused)
	if k := proxy.Count(); k.Tunnels != 0 || k.Asked == 0 {
		t.Errorf("the proxy counts %+v", k)
	}

	d.Write([]byte(password), "room", "source", "proxy.password")
	if r = end(t, inside(t.Context(), "gate", "check", dir)); r.code != 0 {
		t.Errorf("with the right password: exit %d\n%s%s", r.code, r.out, r.err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gate := inside(ctx, "gate", "run", dir)
	var errs bytes.Buffer
	gate.Stderr = &errs
	if err := gate.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); _ = gate.Wait() }()
	within, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if r = end(t, command(within, d, "apply")); r.code != 0 {
		cancel()
		_ = gate.Wait()
		t.Fatalf("apply: exit %d\n%s%s\nthe gate: %s", r.code, r.out, r.err, errs.String())
	}
	want, rows := roomtest.At(t, roomtest.Loaded, 100).Facts()
	if facts, _ := d.Facts(); facts != want || rows == 0 {
		t.Error("the target holds other rows than a gate without a proxy brings there")
	}
	if k := way.Count(); k.Up < 10<<10 {
		t.Errorf("of the chunks %d bytes went by the proxy", k.Up)
	}
	ok(t, d, "accept", "--all", "entered by hand", "--as", d.Join("keys", roomtest.Claire))
	verified(t, d)
}

// TestGateInspected: where a proxy opens TLS, `ecluse gate check` names who issued the
// certificate that came and says what to ask for; the gate says it too and gives away
// nothing.
func TestGateInspected(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	server := elsewhere(t, d)
	proxy := nettest.NewProxy(t.Context(), t, nettest.ProxyOptions{Inspect: nettest.NewAuthority(t), Hosts: map[string]string{theServer: server}})
	d.Write(fmt.Appendf(d.Read("room", "source", config.FileName), "proxy: http://%s\n", proxy.Addr()), "room", "source", config.FileName)
	dir := d.Join("room", "source")
	for lang, want := range map[string][]string{
		"en": {"issued by “CN=nettest authority”", "Please exempt connections from our machine to " + theServer + " from TLS inspection"},
		"fr": {"émis par « CN=nettest authority »", "Merci d'exclure de l'inspection TLS les connexions de notre machine vers " + theServer},
	} {
		c := command(t.Context(), d, "gate", "check", dir)
		c.Env = append(c.Env, "ECLUSE_LANG="+lang)
		r := end(t, c)
		for _, w := range want {
			if r.code != 1 || !strings.Contains(r.out, w) {
				t.Errorf("%s: exit %d, want %q\n%s%s", lang, r.code, w, r.out, r.err)
			}
		}
	}
	said(t, command(t.Context(), d, "gate", "run", dir), "nettest authority")
	if seen := proxy.Seen(); len(seen) > 0 {
		t.Errorf("the proxy has read %q", seen[:min(len(seen), 200)])
	}
}
