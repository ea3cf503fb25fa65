package app_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/api"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/client"
	"ecluse/internal/demo"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
	"ecluse/internal/stocktest"
	"ecluse/internal/wire"
)

// serveHere is the variable that makes the test binary a server of a lock's folder, in
// a process of its own.
const serveHere = "ECLUSE_TEST_SERVE"

// TestServeStolen is that server; without the variable it is nothing.
func TestServeStolen(t *testing.T) {
	dir := os.Getenv(serveHere)
	if dir == "" {
		t.Skip("it is started by TestStolenServer")
	}
	a, err := wire.OpenAuthority(filepath.Join(dir, "identity"), nil, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	lab, shut, err := app.OpenLab(t.Context(), filepath.Join(dir, "lock"), "room", a.Pin())
	if err != nil {
		t.Fatal(err)
	}
	defer shut()
	s, err := api.New(api.Options{Labs: []api.Lab{lab}, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { // whoever started it goes: so does it
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
		_ = h.Close()
	}()
	os.Stdout.WriteString("SERVES " + l.Addr().String() + " " + a.Pin().String() + "\n")
	_ = h.Serve(tls.NewListener(l, wire.ServerConfig(a)))
}

// TestStolenServer: with the disk of the server and an image of its memory nobody reads
// a record, or opens one: neither holds a value, nor a key of a gate.
func TestStolenServer(t *testing.T) {
	t.Parallel()
	gcore := stocktest.Tool(t, "gcore")
	d := roomtest.At(t, roomtest.Ready, 40)
	canaries := d.Plant()
	r := d.Open()
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	r.Close()
	server := roomtest.Temp(t)
	if err := os.Rename(d.Join("room", "lock"), filepath.Join(server, "lock")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestServeStolen$", "-test.v", "-test.timeout=170s")
	cmd.Env = append(os.Environ(), serveHere+"="+server, "GOTRACEBACK=none")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	var url string
	var pin wire.Pin
	for s := bufio.NewScanner(out); url == "" && s.Scan(); {
		if f := strings.Fields(s.Text()); len(f) == 3 && f[0] == "SERVES" {
			url = "https://" + f[1]
			if pin, err = wire.ParsePin(f[2]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if url == "" {
		t.Fatal("the server did not start")
	}
	go func() { _, _ = bufio.NewReader(out).WriteTo(discard{}) }()

	seat := func(part string) gate.Lock {
		key, err := ssh.ParsePrivateKey(d.Read("room", part, "gate_key"))
		if err != nil {
			t.Fatal(err)
		}
		g, err := client.NewGate(client.Options{Options: wire.Options{Pin: pin, Gate: key}, Server: url, Laboratory: "room"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(g.Disconnect)
		return g
	}
	source, err := app.Source(d.Join("room", "source"), seat("source"))
	if err != nil {
		t.Fatal(err)
	}
	target, err := app.Target(d.Join("room", "target"), seat("target"))
	if err != nil {
		t.Fatal(err)
	}
	lend(t, source, d.Read("instruction.yaml"))
	i, err := mandate.ParseInstruction("instruction.yaml", d.Read("instruction.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Recipient(t.Context(), i); err != nil { // the release secret goes through it
		t.Fatal(err)
	}
	if _, err := source.Read(t.Context(), roomtest.Migration, 0, nil); err != nil {
		t.Fatal(err)
	}
	slots, err := seat("source").Slots(t.Context(), roomtest.Migration)
	if err != nil || len(slots) == 0 {
		t.Fatalf("%d chunks, %v", len(slots), err)
	}

	image := filepath.Join(server, "image")
	if text, err := exec.CommandContext(ctx, gcore, "-o", image, strconv.Itoa(cmd.Process.Pid)).CombinedOutput(); err != nil {
		if strings.Contains(string(text), "ptrace") || strings.Contains(string(text), "not permitted") {
			stocktest.Lacks(t, "the right to look at another process's memory (kernel.yama.ptrace_scope)")
		}
		t.Fatalf("%v: %s", err, text)
	}
	secrets := []string{canaries.Moved, canaries.Refused}
	for _, part := range []string{"source", "target"} {
		dir := d.Join("room", part, "migrations", string(roomtest.Migration))
		for _, name := range []string{"k", "release", "rejects-identity", "secret"} {
			if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
				secrets = append(secrets, strings.TrimSpace(string(text)))
			}
		}
		key, err := ssh.ParseRawPrivateKey(d.Read("room", part, "gate_key"))
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, string((*key.(*ed25519.PrivateKey)).Seed()))
	}
	if len(secrets) != 8 {
		t.Fatalf("%d secrets", len(secrets))
	}
	none := func(string) bool { return false }
	for i, s := range secrets {
		found, err := demo.Find(server, none, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			t.Errorf("secret %d of %d stands in %s", i, len(secrets), filepath.Base(path))
		}
	}
	// What is there is found: the search can fail.
	key := ecluse.Fingerprint(source.Home().Fingerprint())
	found, err := demo.Find(server, none, string(key))
	if err != nil || len(found) < 2 {
		t.Errorf("what the server knows was found in %v, %v", found, err)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
