//go:build unix

package cli_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"ecluse/internal/app/roomtest"
	"ecluse/internal/wire"
)

// server is a server in a process of its own.
type server struct {
	cmd  *exec.Cmd
	out  *bufio.Reader
	errs *bytes.Buffer
	line string
	Addr string `json:"addr"`
	URL  string `json:"url"`
	Pin  string `json:"pin"`
	Labs []struct {
		ID   string `json:"id"`
		Line string `json:"line"`
	} `json:"laboratories"`
}

// serve starts a server over a folder.
func serve(t *testing.T, d *roomtest.Dir, dir string, more ...string) *server {
	t.Helper()
	s := &server{cmd: command(t.Context(), d, append([]string{"serve", dir, "--listen", "127.0.0.1:0", "--json"}, more...)...), errs: &bytes.Buffer{}}
	s.cmd.Stderr = s.errs
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	s.out = bufio.NewReader(out)
	line, err := s.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%v\n%s", err, s.errs)
	}
	if err := json.Unmarshal([]byte(line), s); err != nil {
		t.Fatal(err)
	}
	s.line = line
	return s
}

// end asks a server to stop and wants it to.
func (s *server) end(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, s.out)
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, s.errs)
	}
}

// addLab adds a laboratory with the roots of nobody.
func addLab(t *testing.T, d *roomtest.Dir, id string) {
	t.Helper()
	ok(t, d, "lab", "add", "server", id, "--controller", "SHA256:"+strings.Repeat("c", 43), "--processor", "SHA256:"+strings.Repeat("p", 43))
}

// TestServeVerbose: a line for each request, when it is asked for.
func TestServeVerbose(t *testing.T) {
	t.Parallel()
	d := &roomtest.Dir{TB: t, Path: roomtest.Temp(t)}
	for _, more := range [][]string{nil, {"--verbose"}} {
		s := serve(t, d, "server", more...)
		pin, err := wire.ParsePin(s.Pin)
		if err != nil {
			t.Fatal(err)
		}
		way, err := wire.Transport(wire.Options{Pin: pin})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.Addr+"/healthz", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := way.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		way.CloseIdleConnections()
		s.end(t)
		if got := strings.Contains(s.errs.String(), `"route":"GET /healthz","status":200`); got != (more != nil) {
			t.Errorf("%v: %s", more, s.errs)
		}
	}
}

// TestServe: the pin that a server prints is the one that its connections show; a
// laboratory added while it runs is there when it has been killed and started again,
// and a second server on the folder is refused meanwhile.
func TestServe(t *testing.T) {
	t.Parallel()
	d := &roomtest.Dir{TB: t, Path: roomtest.Temp(t)}
	addLab(t, d, "megabus")
	s := serve(t, d, "server")
	if err := sameFields("serve", s.line); err != nil {
		t.Error(err)
	}
	pin, err := wire.ParsePin(s.Pin)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range wire.Check(t.Context(), wire.Options{Pin: pin}, "https://"+s.Addr) {
		if f.Level == wire.Stop {
			t.Errorf("reached with the printed pin: %s", f.Found.EN)
		}
	}
	other := pin
	other[0] ^= 1
	reached := true
	for _, f := range wire.Check(t.Context(), wire.Options{Pin: other}, "https://"+s.Addr) {
		reached = reached && f.Level != wire.Stop
	}
	if reached {
		t.Error("reached with another pin")
	}
	if r := run(t, d, "serve", "server", "--listen", "127.0.0.1:0"); r.code != 3 || !strings.Contains(r.err, "another server has this folder open") {
		t.Errorf("a second server: exit %d\n%s", r.code, r.err)
	}
	addLab(t, d, "vents")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	again := serve(t, d, "server")
	if len(s.Labs) != 1 || len(again.Labs) != 2 || again.Pin != s.Pin {
		t.Errorf("%d laboratories, then %d; pin %s, then %s", len(s.Labs), len(again.Labs), s.Pin, again.Pin)
	}
	again.end(t)
}
