//go:build unix

// Command bench measures a whole passage beside what a user would pick instead: one
// database's client piped into `psql COPY` (L), which neither seals, maps, proves nor erases.
// Écluse is three processes with TLS between them: a server and a gate beside each database.
// Both move the same columns of the same tables between the same servers, in turn, in
// one run: on a machine that others use only ratios mean something.
//
//	make bench BENCHARGS='-patients 100000 -rounds 3 -svg docs/explanation/performance.svg'
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
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-sql-driver/mysql"
)

//go:embed lab.sql lab-mariadb.sql new.sql keys.sql instruction.yaml mapping.yaml tests.csv
var files embed.FS

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	b := bench{}
	flag.IntVar(&b.patients, "patients", 100_000, "patients; results are twenty times as many")
	flag.IntVar(&b.rounds, "rounds", 3, "rounds")
	flag.StringVar(&b.program, "ecluse", "bin/ecluse", "the program")
	only := flag.String("only", "", "one passage: "+strings.Join(names(), ", "))
	svg := flag.String("svg", "", "draw the table into this file")
	flag.Parse()
	if err := b.run(ctx, *only, *svg); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type bench struct {
	patients, rounds int
	program          string
	server           *url.URL      // PostgreSQL, as its owner
	maria            *mysql.Config // MariaDB, as its owner; nil: there is none
	dir              string
	old, fresh       string // databases
	reader           string // the account that reads the first
}

// passage is what is measured: from where, into what.
type passage struct {
	name, title string
	maria       bool // from MariaDB, not PostgreSQL
	keyed       bool // the new tables have primary keys
	undone      bool // the load is undone
	caughtUp    bool // one row in a thousand changes, and the load is brought up to it
	killed      bool // the target gate is killed half-way, and started again
}

func passages() []passage {
	return []passage{
		{name: "postgresql", title: "PostgreSQL to PostgreSQL"},
		{name: "keyed", title: "PostgreSQL to PostgreSQL, primary keys", keyed: true, undone: true},
		{name: "catch-up", title: "the same, then a catch-up", keyed: true, caughtUp: true},
		{name: "killed", title: "PostgreSQL to PostgreSQL, killed half-way", killed: true},
		{name: "mariadb", title: "MariaDB to PostgreSQL", maria: true},
	}
}

func names() (all []string) {
	for _, p := range passages() {
		all = append(all, p.name)
	}
	return all
}

// result is a passage's rounds.
type result struct {
	passage
	limit, chain, after []figure // of each round; after: the undoing, the catch-up, or how long it took to go on
}

func (b *bench) run(ctx context.Context, only, svg string) (err error) {
	if only != "" && !slices.Contains(names(), only) {
		return fmt.Errorf("no passage is called %q; there are: %s", only, strings.Join(names(), ", "))
	}
	at := os.Getenv("ECLUSE_TEST_POSTGRES")
	if at == "" {
		return errors.New("ECLUSE_TEST_POSTGRES is not set: scripts/servers up prints it")
	}
	if b.server, err = url.Parse(at); err != nil {
		return err
	}
	if at := os.Getenv("ECLUSE_TEST_MYSQL"); at != "" {
		if b.maria, err = mysql.ParseDSN(at); err != nil {
			return err
		}
	}
	if b.program, err = filepath.Abs(b.program); err != nil { // commands run in folders of their own
		return err
	}
	if b.dir, err = os.MkdirTemp("", "ecluse-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	tag := fmt.Sprintf("%08x", rand.Uint32())
	b.old, b.fresh, b.reader = "bench_old_"+tag, "bench_new_"+tag, "bench_read_"+tag
	drop, err := b.make(ctx)
	defer drop()
	if err != nil {
		return err
	}
	var all []result
	for _, p := range passages() {
		if only != "" && only != p.name {
			continue
		}
		if p.maria && b.maria == nil {
			fmt.Fprintln(os.Stderr, "not measured, ECLUSE_TEST_MYSQL is not set:", p.title)
			continue
		}
		r, err := b.measure(ctx, p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.title, err)
		}
		all = append(all, *r)
	}
	b.print(all)
	if svg == "" {
		return nil
	}
	return os.WriteFile(svg, []byte(draw(all, b.patients*20, time.Now())), 0o644) // for the docs
}

// measure runs both in turn, as often as there are rounds.
func (b *bench) measure(ctx context.Context, p passage) (*result, error) {
	r := &result{passage: p}
	if p.maria {
		drop, err := b.makeMaria(ctx)
		defer drop()
		if err != nil {
			return nil, err
		}
	}
	for n := range b.rounds {
		l, err := b.limit(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("round %d, L: %w", n+1, err)
		}
		e, after, err := b.ecluse(ctx, p, n)
		if err != nil {
			return nil, fmt.Errorf("round %d, ecluse: %w", n+1, err)
		}
		fmt.Fprintf(os.Stderr, "%s, round %d: L %.2f s, ecluse %.2f s, ratio %.2f, without proof %.2f\n", p.name, n+1, l.wall.Seconds(), e.wall.Seconds(),
			e.wall.Seconds()/l.wall.Seconds(), e.loaded.Seconds()/l.wall.Seconds())
		r.limit, r.chain = append(r.limit, l), append(r.chain, e)
		if p.undone || p.caughtUp || p.killed {
			r.after = append(r.after, after)
		}
	}
	return r, nil
}

// wall and loaded are durations of a figure, in seconds.
func wall(f figure) float64   { return f.wall.Seconds() }
func loaded(f figure) float64 { return f.loaded.Seconds() }

// ratio is the median of what one took in each round, in parts of what the other took.
func ratio(of, to []figure, x, y func(figure) float64) float64 {
	var all []float64
	for i := range of {
		all = append(all, x(of[i])/y(to[i]))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func (b *bench) print(all []result) {
	rows := float64(b.patients * 21)
	fmt.Printf("%d results, %d patients; %d rounds, medians; L = the old database's client | psql COPY\n", b.patients*20, b.patients, b.rounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := func(name string, f []figure, seconds func(figure) float64, ratio float64) {
		at := median(f, seconds)
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.0f\t%.2f\t%.0f\t\n", name, at, ratio, rows/at/1000,
			median(f, func(x figure) float64 { return float64(x.cpu.Microseconds()) })/rows, median(f, func(x figure) float64 { return x.peak }))
	}
	for _, r := range all {
		fmt.Fprintf(w, "%s\twall s\tratio to L\tkrows/s\tclient CPU µs/row\tpeak MiB\t\n", r.title)
		line("L", r.limit, wall, 1)
		fmt.Fprintf(w, "ecluse, without proof\t%.2f\t%.2f\t\t\t\t\n", median(r.chain, loaded), ratio(r.chain, r.limit, loaded, wall))
		line("ecluse, whole chain", r.chain, wall, ratio(r.chain, r.limit, wall, wall))
		for _, name := range slices.Sorted(maps.Keys(r.chain[0].parts)) {
			fmt.Fprintf(w, "%s\t\t\t\t%.2f\t%.0f\t\n", name,
				median(r.chain, func(x figure) float64 { return float64(x.parts[name].cpu.Microseconds()) })/rows, median(r.chain, func(x figure) float64 { return x.parts[name].peak }))
		}
		if r.undone {
			line("ecluse undo", r.after, wall, ratio(r.after, r.limit, wall, wall))
			fmt.Fprintf(w, "undo, in parts of the load\t\t%.2f\t\t\t\t\n", ratio(r.after, r.chain, wall, loaded))
		}
		if r.killed {
			fmt.Fprintf(w, "killed and started again, until the next chunk is in\t%.2f\t\t\t\t\t\n", median(r.after, wall))
		}
		if r.caughtUp {
			fmt.Fprintf(w, "catch-up, without proof\t%.2f\t%.2f\t\t\t\t\n", median(r.after, loaded), ratio(r.after, r.limit, loaded, wall))
			line("catch-up, whole", r.after, wall, ratio(r.after, r.limit, wall, wall))
			fmt.Fprintf(w, "both in parts of the first passage without proof\t\t%.2f, %.2f\t\t\t\t\n", ratio(r.after, r.chain, loaded, loaded), ratio(r.after, r.chain, wall, loaded))
		}
		fmt.Fprint(w, "\t\t\t\t\t\t\n")
	}
	w.Flush()
	for _, r := range all {
		for _, g := range r.goals() {
			verdict := "held"
			if g.got > g.most {
				verdict = "MISSED"
			}
			fmt.Printf("%-8s %s: %s %.2f, at most %.2f\n", verdict, r.title, g.of, g.got, g.most)
		}
	}
}

// goal is a bound that a passage is held to.
type goal struct {
	of        string
	got, most float64
}

// goals are what this version promises; ratios hold on any machine, seconds do not.
func (r *result) goals() []goal {
	whole := ratio(r.chain, r.limit, wall, wall)
	switch {
	case r.undone:
		return []goal{{"undo, in parts of the load", ratio(r.after, r.chain, wall, loaded), 1.5}}
	case r.killed:
		return []goal{{"seconds until it goes on", median(r.after, wall), 2}}
	case r.caughtUp:
		return []goal{
			{"catch-up without proof, in parts of the load", ratio(r.after, r.chain, loaded, loaded), 0.45},
			{"catch-up, in parts of the load", ratio(r.after, r.chain, wall, loaded), 0.75},
		}
	}
	if r.maria {
		return []goal{{"whole chain, in L", whole, 1.8}}
	}
	all := []goal{{"whole chain, in L", whole, 1.7}, {"without proof, in L", ratio(r.chain, r.limit, loaded, wall), 1.3}}
	for name, most := range map[string]float64{"  server": 96, "  source gate": 128, "  target gate": 128} {
		all = append(all, goal{"MiB of the" + name[1:], median(r.chain, func(x figure) float64 { return x.parts[name].peak }), most})
	}
	slices.SortFunc(all, func(a, b goal) int { return strings.Compare(a.of, b.of) })
	return all
}

func median(f []figure, of func(figure) float64) float64 {
	var v []float64
	for _, x := range f {
		v = append(v, of(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}
