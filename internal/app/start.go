package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/lock"
)

// RoomPart is one of the three processes of a room.
type RoomPart string

// The parts.
const (
	ServerPart RoomPart = "server"
	SourcePart RoomPart = "source gate"
	TargetPart RoomPart = "target gate"
)

// ParentEnv tells a process that its standard input ends with whoever started it: it
// ends then too. It stands in no documentation: only Start sets it.
const ParentEnv = "ECLUSE_PARENT"

// StartOptions say how a room is started.
type StartOptions struct {
	Program string    // the program's file; empty: this one
	Log     io.Writer // what the processes say; nil: nowhere. The last lines are kept for errors.
	Env     []string  // more of the environment, each NAME=VALUE

	// Way tells, for the address where the server listens (host:port), the one where
	// the gates reach it: a line that tests break stands between. nil: the same.
	Way func(server string) string
}

// Running is a room whose server and gates are processes of their own.
type Running struct {
	dir     string
	options StartOptions
	context *config.Context

	mu    sync.Mutex
	parts map[RoomPart]*child
	ended chan struct{} // closed when a part has ended by itself
	why   error
}

// Start starts the three processes of a room (Init): the server over the lock's folder,
// on an address of this machine that stays the room's, and a gate in each other folder.
// They talk over TLS as they would from afar, and end when this process does.
func Start(ctx context.Context, dir string, o StartOptions) (_ *Running, err error) {
	if os.Getenv(ParentEnv) != "" { // a program that starts rooms whatever it is told would start them without end
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "start the room", Where: dir, Why: "this process is itself a part of a room", Next: "start it from a process that no room has started"}
	}
	if o.Program == "" {
		if o.Program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	r := &Running{dir: dir, options: o, parts: map[RoomPart]*child{}, ended: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	for _, p := range []RoomPart{ServerPart, SourcePart, TargetPart} {
		if err := r.Restart(ctx, p); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Context is how a device reaches the room.
func (r *Running) Context() *config.Context { return r.context }

// settle writes down where the room's server listens, once: on a port of this machine
// that is free. One that is taken meanwhile is given up for another.
func (r *Running) settle(ctx context.Context) error {
	at := filepath.Join(r.dir, lockDir)
	if !lock.In(at) {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "start the room", Where: r.dir, Why: "there is no room in this folder", Next: "ecluse init DIR --controller SHA256:… --processor SHA256:…"}
	}
	if _, err := os.Stat(filepath.Join(at, config.ServerName)); errors.Is(err, fs.ErrNotExist) {
		// the first start
	} else if c, err := config.LoadServer(at); err == nil {
		l, busy := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
		if busy == nil {
			return l.Close()
		}
	} else {
		return err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	text := fmt.Sprintf("# Where the room's server listens: a port of this machine, chosen when it was first started.\necluse: server/v1\npublic: https://%[1]s\nlisten: %[1]s\n", address)
	return durable.WriteFile(filepath.Join(at, config.ServerName), []byte(text))
}

// Restart starts a part that does not run.
func (r *Running) Restart(ctx context.Context, p RoomPart) error {
	args := map[RoomPart][]string{
		ServerPart: {"serve", filepath.Join(r.dir, lockDir), "--json"},
		SourcePart: {"gate", "run", filepath.Join(r.dir, string(exchange.SourcePlace)), "--json"},
		TargetPart: {"gate", "run", filepath.Join(r.dir, string(exchange.TargetPlace)), "--json"},
	}[p]
	c, err := r.spawn(p, args)
	if err != nil {
		return err
	}
	if p != ServerPart {
		return nil
	}
	var at Serving
	if err := c.first(ctx, &at); err != nil {
		return err
	}
	return r.known(&at)
}

// known tells the gates, and Context, where the server is.
func (r *Running) known(at *Serving) error {
	if len(at.Labs) != 1 {
		return &ecluse.Error{Kind: ecluse.Failed, What: "start the room", Why: fmt.Sprintf("its server serves %d laboratories", len(at.Labs))}
	}
	lab := at.Labs[0]
	r.context = &config.Context{Name: lab.ID, Server: at.URL, Laboratory: lab.ID, Pin: ecluse.Digest(at.Pin), Lock: lab.Lock, Roots: lab.Roots}
	server := at.URL
	if r.options.Way != nil {
		server = "https://" + r.options.Way(at.Addr)
	}
	for _, place := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
		if err := config.SetServer(filepath.Join(r.dir, string(place)), server, lab.ID, ecluse.Digest(at.Pin)); err != nil {
			return err
		}
	}
	return nil
}

// child is a process of the room.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser // closed: it ends
	out   *bufio.Reader
	tail  *tail
	over  chan struct{} // closed when it has ended
	err   error
	asked bool // it was ended by Close or Kill
}

// spawn starts a process.
func (r *Running) spawn(p RoomPart, args []string) (*child, error) {
	c := &child{cmd: exec.Command(r.options.Program, args...), tail: &tail{log: r.options.Log}, over: make(chan struct{})} //nolint:gosec // the program itself
	c.cmd.Env = append(append(os.Environ(), ParentEnv+"=stdin"), r.options.Env...)
	c.cmd.Stderr = c.tail
	var err error
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	pr, pw := io.Pipe()
	c.out, c.cmd.Stdout = bufio.NewReader(pr), pw
	if err := c.cmd.Start(); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "start the " + string(p), Where: r.options.Program, Err: err}
	}
	r.mu.Lock()
	r.parts[p] = c
	r.mu.Unlock()
	go func() {
		err := c.cmd.Wait()
		pw.CloseWithError(io.EOF)
		r.mu.Lock()
		defer r.mu.Unlock()
		c.err = err
		if !c.asked && r.why == nil {
			r.why = &ecluse.Error{Kind: ecluse.Failed, What: "run the " + string(p), Why: "its process has ended: " + c.tail.last(), Err: err, Next: "put right what it says, and start the room again"}
			close(r.ended)
		}
		close(c.over)
	}()
	if p != ServerPart { // what it prints is its log
		go func() { _, _ = io.Copy(c.tail, c.out) }()
	}
	return c, nil
}

// first reads the first line that a process prints, an object of JSON, and lets the
// rest go to its log.
func (c *child) first(ctx context.Context, into any) error {
	line := make(chan []byte, 1)
	go func() {
		text, _ := c.out.ReadBytes('\n')
		line <- text
		_, _ = io.Copy(c.tail, c.out)
	}()
	select {
	case text := <-line:
		if json.Unmarshal(text, into) == nil {
			return nil
		}
		<-c.over
		return &ecluse.Error{Kind: ecluse.Failed, What: "start the server", Why: "it did not come up: " + c.tail.last(), Next: "put right what it says, and start the room again"}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Wait waits until the context ends, or a part ends by itself; then it says why.
func (r *Running) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-r.ended:
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.why
	}
}

// Kill kills a part as a power cut would (SIGKILL).
func (r *Running) Kill(p RoomPart) error {
	c := r.take(p)
	if c == nil {
		return nil
	}
	err := c.cmd.Process.Kill()
	<-c.over
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// take marks a part as ended on purpose.
func (r *Running) take(p RoomPart) *child {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.parts[p]
	if c != nil {
		c.asked = true
	}
	return c
}

// closeTime is how long a part may take to end.
const closeTime = 15 * time.Second

// Close ends all parts: the gates first, which wait for the server, then the server.
func (r *Running) Close() error {
	var errs []error
	for _, parts := range [][]RoomPart{{SourcePart, TargetPart}, {ServerPart}} {
		var wg sync.WaitGroup
		var mu sync.Mutex
		for _, p := range parts {
			c := r.take(p)
			if c == nil {
				continue
			}
			wg.Go(func() {
				err := c.end()
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, err)
			})
		}
		wg.Wait()
	}
	return errors.Join(errs...)
}

// end asks a process to end, and makes it when it does not.
func (c *child) end() error {
	_ = c.stdin.Close()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	t := time.NewTimer(closeTime)
	defer t.Stop()
	select {
	case <-c.over:
		return nil
	case <-t.C:
	}
	err := c.cmd.Process.Kill()
	<-c.over
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Used is what a process has used.
type Used struct {
	CPU     time.Duration
	PeakMiB float64 // of memory, at its highest
}

// Usage is what each part has used since it was started, as far as this system tells.
func (r *Running) Usage() map[RoomPart]Used {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[RoomPart]Used{}
	for p, c := range r.parts {
		all[p] = usedBy(c.cmd.Process.Pid)
	}
	return all
}

// tail keeps the last of what a process says, and passes all of it on. It takes
// everything: a log on a full disk must not stop the process that writes it.
type tail struct {
	log io.Writer

	mu   sync.Mutex
	kept []byte
}

const tailKept = 4 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if n := len(t.kept) - tailKept; n > 0 {
		t.kept = t.kept[n:]
	}
	if t.log != nil {
		_, _ = t.log.Write(b)
	}
	return len(b), nil
}

// last is the last lines, on one.
func (t *tail) last() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(bytes.ToValidUTF8(t.kept, nil))), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], " · ")
}
