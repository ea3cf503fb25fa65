//go:build unix

// Command bench measures a whole passage beside what a user would pick instead:
// `psql COPY | psql COPY` (L), which neither seals, maps, proves nor erases. Écluse is
// three processes with TLS between them: a server and a gate beside each database. Both
// move the same columns of the same tables between the same servers, in turn, in
// one run: on a machine that others use only ratios mean something.
//
//	make bench BENCHARGS='-patients 100000 -rounds 3'
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"text/template"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/config"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
)

//go:embed lab.sql new.sql instruction.yaml mapping.yaml tests.csv
var files embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{}
	flag.IntVar(&b.patients, "patients", 100_000, "patients; results are twenty times as many")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds")
	flag.StringVar(&b.program, "ecluse", "bin/ecluse", "the program")
	flag.Parse()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	patients, rounds int
	program          string
	server           *url.URL
	dir              string
	old, fresh       string // databases
	reader           string // the account that reads the first
}

// figure is one timed command.
type figure struct {
	wall, cpu time.Duration // cpu: of the client and all it waited for; of Écluse, of its processes and the command
	peak      float64       // MiB of its largest process
	parts     map[string]part
}

// part is one process of Écluse.
type part struct {
	cpu  time.Duration // during the passage
	peak float64       // MiB, since it started
}

// columns that move: eleven of twelve of result, seven of eleven of patient.
const (
	resultColumns  = "id, request_id, test_code, value_num, value_text, unit, ref_low, ref_high, flag, validated_at, validated_by"
	patientColumns = "id, nir, last_name, first_name, birth_date, sex, insurer"
)

func (b *bench) run(ctx context.Context) (err error) {
	at := os.Getenv("ECLUSE_TEST_POSTGRES")
	if at == "" {
		return errors.New("ECLUSE_TEST_POSTGRES is not set: scripts/servers up prints it")
	}
	if b.server, err = url.Parse(at); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "ecluse-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	tag := fmt.Sprintf("%08x", rand.Uint32())
	b.old, b.fresh, b.reader = "bench_old_"+tag, "bench_new_"+tag, "bench_read_"+tag
	if err := b.psql(ctx, "postgres", "-c", "CREATE ROLE "+b.reader+" LOGIN"); err != nil {
		return err
	}
	defer b.psql(context.WithoutCancel(ctx), "postgres", "-c", "DROP ROLE "+b.reader) //nolint:errcheck // the server is a private one
	for _, db := range []string{b.old, b.fresh} {
		if err := b.psql(ctx, "postgres", "-c", "CREATE DATABASE "+db); err != nil {
			return err
		}
		defer b.psql(context.WithoutCancel(ctx), "postgres", "-c", "DROP DATABASE "+db+" WITH (FORCE)") //nolint:errcheck // the server is a private one
	}
	if err := b.script(ctx, b.old, "lab.sql"); err != nil {
		return err
	}
	if err := b.psql(ctx, b.old, "-c", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+b.reader); err != nil {
		return err
	}
	if err := b.script(ctx, b.fresh, "new.sql"); err != nil {
		return err
	}
	var limit, chain []figure
	for n := range b.rounds {
		l, err := b.limit(ctx)
		if err != nil {
			return fmt.Errorf("round %d, psql: %w", n+1, err)
		}
		e, err := b.ecluse(ctx, n)
		if err != nil {
			return fmt.Errorf("round %d, ecluse: %w", n+1, err)
		}
		fmt.Fprintf(os.Stderr, "round %d: L %.2f s, ecluse %.2f s, ratio %.2f\n", n+1, l.wall.Seconds(), e.wall.Seconds(), e.wall.Seconds()/l.wall.Seconds())
		limit, chain = append(limit, l), append(chain, e)
	}
	b.print(limit, chain)
	return nil
}

func (b *bench) print(limit, chain []figure) {
	rows := float64(b.patients * 21)
	var ratios []float64
	for i := range limit {
		ratios = append(ratios, chain[i].wall.Seconds()/limit[i].wall.Seconds())
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "\twall s\tratio to L\tkrows/s\tclient CPU µs/row\tpeak MiB\t\n")
	line := func(name string, f []figure, ratio float64) {
		wall := median(f, func(x figure) float64 { return x.wall.Seconds() })
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.0f\t%.2f\t%.0f\t\n", name, wall, ratio, rows/wall/1000,
			median(f, func(x figure) float64 { return float64(x.cpu.Microseconds()) })/rows, median(f, func(x figure) float64 { return x.peak }))
	}
	fmt.Printf("%d results, %d patients; %d rounds, medians; L = psql COPY | psql COPY\n", b.patients*20, b.patients, b.rounds)
	line("psql COPY | psql COPY", limit, 1)
	slices.Sort(ratios)
	line("ecluse, whole chain", chain, ratios[len(ratios)/2])
	for _, name := range slices.Sorted(maps.Keys(chain[0].parts)) {
		fmt.Fprintf(w, "%s\t\t\t\t%.2f\t%.0f\t\n", name,
			median(chain, func(x figure) float64 { return float64(x.parts[name].cpu.Microseconds()) })/rows, median(chain, func(x figure) float64 { return x.parts[name].peak }))
	}
	w.Flush()
}

func median(f []figure, of func(figure) float64) float64 {
	var v []float64
	for _, x := range f {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// limit moves the columns with psql, table after table.
func (b *bench) limit(ctx context.Context) (figure, error) {
	if err := b.psql(ctx, b.fresh, "-c", "SET client_min_messages = warning", "-c", "TRUNCATE result, patient", "-c", "DROP SCHEMA IF EXISTS ecluse CASCADE", "-c", "CHECKPOINT"); err != nil {
		return figure{}, err
	}
	var script strings.Builder
	script.WriteString("set -e -o pipefail\n")
	for table, columns := range map[string]string{"patient": patientColumns, "result": resultColumns} {
		fmt.Fprintf(&script, "psql -Xq %[1]s -c 'COPY (SELECT %[3]s FROM %[4]s) TO STDOUT' | psql -Xq %[2]s -c 'COPY %[4]s (%[3]s) FROM STDIN'\n",
			b.database(b.old), b.database(b.fresh), columns, table)
	}
	f, err := timed(exec.CommandContext(ctx, "bash", "-c", script.String()))
	if err != nil {
		return f, err
	}
	return f, b.psql(ctx, b.fresh, "-c", "SET client_min_messages = warning", "-c", "TRUNCATE result, patient", "-c", "DROP SCHEMA IF EXISTS ecluse CASCADE", "-c", "CHECKPOINT")
}

// ecluse moves them through the lock. Server and gates, papers, plans and approvals
// come before the clock starts; reading, sealing, mapping, loading, reading back and
// comparing are timed, from the command's beginning to its end.
func (b *bench) ecluse(ctx context.Context, round int) (f figure, err error) {
	dir := filepath.Join(b.dir, fmt.Sprint(round))
	r, err := b.prepare(ctx, dir)
	if err != nil {
		return figure{}, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := known(dir, r.Context()); err != nil {
		return figure{}, err
	}
	before := r.Usage()
	cmd := exec.CommandContext(ctx, b.program, "apply", "--json", "--as", filepath.Join(dir, "keys", demo.Marc))
	cmd.Env = append(os.Environ(), "ECLUSE_CONFIG="+filepath.Join(dir, "device"), "XDG_CACHE_HOME="+filepath.Join(dir, "cache"))
	if f, err = timed(cmd); err != nil {
		return f, err
	}
	f.parts = map[string]part{"  the command": {f.cpu, f.peak}}
	for name, u := range r.Usage() {
		cpu := u.CPU - before[name].CPU
		f.parts["  "+string(name)] = part{cpu, u.PeakMiB}
		f.cpu += cpu
		f.peak = max(f.peak, u.PeakMiB)
	}
	return f, nil
}

// known lets the command's device know the laboratory.
func known(dir string, at *config.Context) error {
	x := *at
	x.Name = "bench"
	return config.ChangeContexts(filepath.Join(dir, "device"), func(all *config.Contexts) error { return all.Add(x) })
}

// prepare starts server and gates, with all signed up to both approvals.
func (b *bench) prepare(ctx context.Context, dir string) (*app.Running, error) {
	room := filepath.Join(dir, "room")
	cast, err := demo.NewCast(filepath.Join(dir, "keys"))
	if err != nil {
		return nil, err
	}
	made, err := app.Init(ctx, room, cast.Prints)
	if err != nil {
		return nil, err
	}
	for gate, db := range map[string]string{"source": b.old, "target": b.fresh} {
		account := func(user string) string {
			return fmt.Sprintf("{host: %s, port: %s, user: %s, database: %s}", b.server.Hostname(), b.server.Port(), user, db)
		}
		owner := b.server.User.Username()
		rows := owner
		if gate == "source" {
			rows = b.reader // no gate reads as a superuser
		}
		text := "ecluse: gate/v1\nengine: postgresql\ncatalogue: " + account(owner) + "\nrows: " + account(rows) + "\n"
		if err := os.WriteFile(filepath.Join(room, gate, "gate.yaml"), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	r, err := app.Start(ctx, room, app.StartOptions{Program: b.program})
	if err != nil {
		return nil, err
	}
	device := &app.Device{Context: r.Context(), Key: func() (ssh.Signer, error) { return cast.People[demo.Marc].Signer, nil }}
	if err := b.sign(ctx, app.Remote(device, filepath.Join(dir, "plans")), cast, made, dir); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// sign signs all the papers of a migration, up to both approvals.
func (b *bench) sign(ctx context.Context, r *desk.Desk, cast *demo.Cast, made *app.Made, dir string) error {
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
	instruction, err := fill("instruction.yaml", map[string]any{
		"Contract": ecluse.DigestOf(contract), "SourceGate": made.SourceGate, "TargetGate": made.TargetGate,
		"Rows": b.patients*21 + 1000, "EraseBy": now.AddDate(0, 1, 0).UTC().Format(time.RFC3339),
	})
	if err != nil {
		return err
	}
	p, err := r.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final, Instruction: instruction, File: "instruction.yaml", Key: cast.People[demo.Marc].Signer})
	if err != nil {
		return err
	}
	if _, err := r.Sign(ctx, desk.SignRequest{File: "instruction.yaml", Text: instruction, WithPlan: true, Key: cast.People[demo.Claire].Signer}); err != nil {
		return err
	}
	if _, err := r.Approve(ctx, p.Read.Bytes(), cast.People[demo.Marc].Signer); err != nil {
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
	if p, err = r.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final}); err != nil {
		return err
	}
	_, err = r.Approve(ctx, p.Load.Bytes(), cast.People[demo.Claire].Signer)
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

func (b *bench) database(db string) string {
	u := *b.server
	u.Path = "/" + db
	return u.String()
}

func (b *bench) psql(ctx context.Context, db string, args ...string) error {
	cmd := exec.CommandContext(ctx, "psql", append([]string{"-Xq", "-v", "ON_ERROR_STOP=1", b.database(db)}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func (b *bench) script(ctx context.Context, db, name string) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	return b.psql(ctx, db, "-v", fmt.Sprintf("patients=%d", b.patients), "-f", path)
}

// timed runs a command and says what it and its children took. What it prints
// goes nowhere but on failure.
func timed(cmd *exec.Cmd) (figure, error) {
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
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
