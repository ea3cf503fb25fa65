//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/config"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
	"ecluse/internal/sluice/reader"
)

// figure is one timed command.
type figure struct {
	wall, cpu time.Duration // cpu: of the client and all it waited for; of Écluse, of its processes and the command
	loaded    time.Duration // of Écluse: until the proof begins
	peak      float64       // MiB of its largest process
	parts     map[string]part
}

// part is one process of Écluse.
type part struct {
	cpu  time.Duration // during the passage
	peak float64       // MiB, since it started
}

// ecluse moves them through the lock. Server and gates, papers, plans and approvals
// come before the clock starts; reading, sealing, mapping, loading, reading back and
// comparing are timed, from the command's beginning to its end; so is what comes after.
func (b *bench) ecluse(ctx context.Context, p passage, round int) (f, after figure, err error) {
	dir := filepath.Join(b.dir, p.name, fmt.Sprint(round))
	r, err := b.prepare(ctx, p, dir)
	if err != nil {
		return f, after, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := known(dir, r.Context()); err != nil {
		return f, after, err
	}
	if p.killed {
		return b.killed(ctx, r, dir)
	}
	if f, err = b.apply(ctx, r, dir); err != nil {
		return f, after, err
	}
	switch {
	case p.undone:
		var undone struct{}
		after, err = b.command(ctx, r, dir, &undone, "undo")
	case p.caughtUp:
		if err := b.change(ctx); err != nil {
			return f, after, err
		}
		after, err = b.apply(ctx, r, dir, "--catch-up")
	}
	return f, after, err
}

// killed kills the target gate when half of the chunks are in, starts it again and tells
// how long it takes until the next chunk is in. No chunk is loaded twice (its marker is a
// key), so that what is lost is the one that was being loaded.
func (b *bench) killed(ctx context.Context, r *app.Running, dir string) (f, resumed figure, err error) {
	done := make(chan error, 1)
	go func() {
		var err error
		f, err = b.apply(ctx, r, dir)
		done <- err
	}()
	half := b.patients * 21 / reader.ChunkRows / 2
	if err := b.markers(ctx, half); err != nil {
		return f, resumed, err
	}
	if err := r.Kill(app.TargetPart); err != nil {
		return f, resumed, err
	}
	in, err := b.ask(ctx, "SELECT count(*) FROM ecluse.marker")
	if err != nil {
		return f, resumed, err
	}
	begun := time.Now()
	if err := r.Restart(ctx, app.TargetPart); err != nil {
		return f, resumed, err
	}
	if err := b.markers(ctx, in+1); err != nil {
		return f, resumed, err
	}
	resumed.wall = time.Since(begun)
	return f, resumed, <-done
}

// apply has what is approved carried out.
func (b *bench) apply(ctx context.Context, r *app.Running, dir string, more ...string) (figure, error) {
	begun := time.Now()
	var applied desk.Applied
	f, err := b.command(ctx, r, dir, &applied, "apply", more...)
	if err != nil {
		return f, err
	}
	if !applied.Reconciled {
		return f, errors.New("what was loaded is not what was sealed")
	}
	f.loaded = applied.Load.Compared.ReadBack.Sub(begun) // the database's clock is this machine's
	return f, nil
}

// command times a command of Marc's, and what the other processes took meanwhile.
func (b *bench) command(ctx context.Context, r *app.Running, dir string, v any, name string, more ...string) (figure, error) {
	before := r.Usage()
	var out strings.Builder
	cmd := exec.CommandContext(ctx, b.program, append([]string{name, "--json", "--as", filepath.Join(dir, "keys", demo.Marc)}, more...)...)
	cmd.Dir = dir // receipts are kept there
	cmd.Env = append(os.Environ(), "ECLUSE_CONFIG="+filepath.Join(dir, "device"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
	cmd.Stdout = &out
	f, err := timed(cmd)
	if err != nil {
		return f, fmt.Errorf("%w%s", err, out.String())
	}
	f.parts = map[string]part{"  the command": {f.cpu, f.peak}}
	for name, u := range r.Usage() {
		cpu := u.CPU - before[name].CPU
		f.parts["  "+string(name)] = part{cpu, u.PeakMiB}
		f.cpu += cpu
		f.peak = max(f.peak, u.PeakMiB)
	}
	return f, json.Unmarshal([]byte(out.String()), v)
}

// known lets the command's device know the laboratory.
func known(dir string, at *config.Context) error {
	x := *at
	x.Name = "bench"
	return config.ChangeContexts(filepath.Join(dir, "device"), func(all *config.Contexts) error { return all.Add(x) })
}

// prepare starts server and gates, with all signed up to both approvals.
func (b *bench) prepare(ctx context.Context, p passage, dir string) (*app.Running, error) {
	room := filepath.Join(dir, "room")
	cast, err := demo.NewCast(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	made, err := app.Init(ctx, room, cast.Prints)
	if err != nil {
		return nil, err
	}
	for gate, text := range b.places(p) {
		if err := os.WriteFile(filepath.Join(room, gate, "gate.yaml"), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	r, err := app.Start(ctx, room, app.StartOptions{Program: b.program})
	if err != nil {
		return nil, err
	}
	device := &app.Device{Context: r.Context(), Key: func() (ssh.Signer, error) { return cast.People[demo.Marc].Signer, nil }}
	if err := b.sign(ctx, app.Remote(device, filepath.Join(dir, "plans")), p, cast, made, dir); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// sign signs all the papers of a migration, up to both approvals.
func (b *bench) sign(ctx context.Context, r *desk.Desk, p passage, cast *demo.Cast, made *app.Made, dir string) error {
	now := time.Now()
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		text, err := cast.Roster(side, now)
		if err != nil {
			return err
		}
		if _, err := r.AddRoster(ctx, "roster.yaml", text, cast.Roots[side]); err != nil {
			return err
		}
	}
	contract, err := cast.Contract(now)
	if err != nil {
		return err
	}
	for _, who := range []string{demo.Julie, demo.Claire} {
		if _, err := r.Sign(ctx, desk.SignRequest{File: "contract.yaml", Text: contract, Key: cast.People[who].Signer}); err != nil {
			return err
		}
	}
	schema := "public"
	if p.maria {
		schema = b.old
	}
	catchUps := 0
	if p.caughtUp {
		catchUps = 1
	}
	instruction, err := fill("instruction.yaml", map[string]any{
		"Schema": schema, "CatchUps": catchUps,
		"Contract": ecluse.DigestOf(contract), "SourceGate": made.SourceGate, "TargetGate": made.TargetGate,
		"Rows": b.patients*21 + 1000, "EraseBy": now.AddDate(0, 1, 0).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	plans, err := r.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final, Instruction: instruction, File: "instruction.yaml", Key: cast.People[demo.Marc].Signer})
	if err != nil {
		return err
	}
	if _, err := r.Sign(ctx, desk.SignRequest{File: "instruction.yaml", Text: instruction, WithPlan: true, Key: cast.People[demo.Claire].Signer}); err != nil {
		return err
	}
	if _, err := r.Approve(ctx, plans.Read.Bytes(), cast.People[demo.Marc].Signer); err != nil {
		return err
	}
	tests, err := files.ReadFile("tests.csv")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "tests.csv"), tests, 0o600); err != nil {
		return err
	}
	mapping, err := fill("mapping.yaml", map[string]any{"Instruction": ecluse.DigestOf(instruction), "Tests": ecluse.DigestOf(tests)})
	if err != nil {
		return err
	}
	if _, err := r.Sign(ctx, desk.SignRequest{File: filepath.Join(dir, "mapping.yaml"), Text: mapping, Key: cast.People[demo.Marc].Signer}); err != nil {
		return err
	}
	if plans, err = r.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final}); err != nil {
		return err
	}
	_, err = r.Approve(ctx, plans.Load.Bytes(), cast.People[demo.Claire].Signer)
	return err
}

func fill(name string, with any) ([]byte, error) {
	t, err := template.New(name).Option("missingkey=error").ParseFS(files, name)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = t.Execute(&b, with)
	return []byte(b.String()), err
}

// timed runs a command and says what it and its children took. What it prints is kept for
// a failure.
func timed(cmd *exec.Cmd) (figure, error) {
	var out, errs strings.Builder
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &errs
	begun := time.Now()
	err := cmd.Run()
	f := figure{wall: time.Since(begun)}
	if err != nil {
		return f, fmt.Errorf("%w: %s%s", err, out.String(), errs.String())
	}
	f.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		f.peak = float64(u.Maxrss) / 1024
	}
	return f, nil
}
