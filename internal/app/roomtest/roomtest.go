// Package roomtest makes lock folders for tests: the demonstration's invented
// laboratories and people, brought as far through the procedure as a test wants.
// A stage is made once in a test binary and copied for each test.
package roomtest

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

// PreProduction is the system that rehearsals go into, and TestBase its database.
const (
	PreProduction = "NOVALAB-TEST"
	TestBase      = "novalab-test.db"
)

// Migration is the one that rooms hold.
const Migration ecluse.MigrationID = "quatre-vents-01"

// Stage is how far a room has come.
type Stage int

// The stages, each after the one before.
const (
	Made       Stage = iota // three folders, two databases, both rosters
	Contracted              // contract signed by both parties
	Planned                 // instruction signed with its read plan; mapping signed; read plan not yet approved by the processor
	Approved                // read plan approved by both
	Ready                   // final load plan approved too: apply does everything
	Sealed                  // everything read, nothing loaded
	Loaded                  // loaded and compared
	Accepted                // accepted; nothing erased yet
	Erased                  // erased, with its certificate
)

// People, by the names of their key files; see package demo.
const (
	Claire = demo.Claire
	Helene = demo.Helene
	Julie  = demo.Julie
	Marc   = demo.Marc
)

// Dir is a room on the disk with all that belongs to it.
type Dir struct {
	testing.TB
	Path string
	room *app.Room
}

type template struct {
	once sync.Once
	path string
	err  error
}

type key struct {
	stage    Stage
	patients int
	window   string // of the instruction's limits
	deputy   string // whom the instruction names
	tries    bool   // the instruction grants dry runs and rehearsals
	twice    bool   // it grants two final passages
	keeps    bool   // rows put aside outlive the acceptance
	catchUps int    // how often it lets the source be read again
	distinct bool   // prescribers are the codes that requests name, numbered
}

var templates struct {
	mu   sync.Mutex
	dir  string
	made map[key]*template
}

// Run runs a package's tests and removes the templates; for TestMain.
func Run(m interface{ Run() int }) int {
	code := m.Run()
	if templates.dir != "" {
		os.RemoveAll(templates.dir)
	}
	return code
}

// At copies a room that stands at a stage, of so many patients.
func At(t testing.TB, s Stage, patients int) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients})
}

// Trying is At, under an instruction that grants dry runs and rehearsals: there, no final
// passage begins before one of them.
func Trying(t testing.TB, s Stage, patients int) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, tries: true})
}

// Twice is At, under an instruction that grants two final passages.
func Twice(t testing.TB, s Stage, patients int) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, twice: true})
}

// CatchingUp is Twice, under an instruction that lets the source be read again so often.
func CatchingUp(t testing.TB, s Stage, patients, times int) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, twice: true, catchUps: times})
}

// CatchingUpDistinct is CatchingUp, where prescribers are the distinct codes that requests
// name: the mapping numbers them by their ordinals, and holds them to look these up.
func CatchingUpDistinct(t testing.TB, s Stage, patients, times int) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, twice: true, catchUps: times, distinct: true})
}

// CatchingUpKeeping is CatchingUp, under an instruction by which rows put aside are kept until
// KeptUntil.
func CatchingUpKeeping(t testing.TB, s Stage, patients, times int) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, twice: true, catchUps: times, keeps: true})
}

// InWindow is At, under an instruction whose limits have a window.
func InWindow(t testing.TB, s Stage, patients int, window string) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, window: window})
}

// Keeping is At, under an instruction by which rows put aside are kept until KeptUntil.
func Keeping(t testing.TB, s Stage, patients int) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, keeps: true})
}

// KeptUntil is the last day on which rows put aside are kept there: after the deadline.
func KeptUntil() time.Time { return time.Now().UTC().AddDate(0, 0, 45).Truncate(24 * time.Hour) }

// WithDeputy is At, under an instruction that names a deputy.
func WithDeputy(t testing.TB, s Stage, patients int, deputy string) *Dir {
	t.Helper()
	return copied(t, key{stage: s, patients: patients, deputy: deputy})
}

func copied(t testing.TB, k key) *Dir {
	t.Helper()
	from, err := made(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	d := &Dir{TB: t, Path: filepath.Join(Temp(t), "laboratory")}
	if err := os.CopyFS(d.Path, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := private(d.Path); err != nil {
		t.Fatal(err)
	}
	return d
}

// Temp makes a folder for a test where rooms are made, and removes it after.
func Temp(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp(folder(), "ecluse-room-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// private gives copies the modes that the originals have.
func private(dir string) error {
	return filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return os.Chmod(path, 0o600)
	})
}

func made(ctx context.Context, k key) (string, error) {
	templates.mu.Lock()
	if templates.made == nil {
		dir, err := os.MkdirTemp(folder(), "ecluse-roomtest-")
		if err != nil {
			templates.mu.Unlock()
			return "", err
		}
		templates.dir, templates.made = dir, map[key]*template{}
	}
	t := templates.made[k]
	if t == nil {
		t = &template{path: filepath.Join(templates.dir, strconv.Itoa(len(templates.made)))}
		templates.made[k] = t
	}
	templates.mu.Unlock()
	t.once.Do(func() { t.err = t.make(context.WithoutCancel(ctx), k) })
	return t.path, t.err
}

// make takes the stage before one step further.
func (t *template) make(ctx context.Context, k key) error {
	if k.stage == Made {
		return begin(ctx, t.path, k.patients)
	}
	before := k
	before.stage--
	from, err := made(ctx, before)
	if err != nil {
		return err
	}
	if err := os.CopyFS(t.path, os.DirFS(from)); err != nil {
		return err
	}
	if err := private(t.path); err != nil {
		return err
	}
	r, err := app.Open(ctx, filepath.Join(t.path, "room"))
	if err != nil {
		return err
	}
	defer r.Close()
	w := &work{ctx, r, t.path, k}
	if err := steps[k.stage](w); err != nil {
		return fmt.Errorf("stage %d: %w", k.stage, err)
	}
	return settled(ctx, filepath.Join(t.path, "room", "lock", "control.db"))
}

// settled waits until the gates have done all that they are asked: what a stage
// leaves is always the same.
func settled(ctx context.Context, control string) error {
	db, err := sql.Open("sqlite", "file:"+control+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for open := 1; open > 0; time.Sleep(5 * time.Millisecond) {
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM work WHERE ended = 0").Scan(&open); err != nil {
			return fmt.Errorf("wait for the gates: %w", err)
		}
	}
	return nil
}

// begin makes databases, keys, folders and rosters.
func begin(ctx context.Context, dir string, patients int) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	old, fresh := filepath.Join(dir, "ancilab.db"), filepath.Join(dir, "novalab.db")
	if _, err := demo.MakeOld(ctx, old, patients); err != nil {
		return err
	}
	for _, path := range []string{fresh, filepath.Join(dir, TestBase)} {
		if err := demo.MakeNew(ctx, path); err != nil {
			return err
		}
	}
	cast, err := demo.NewCast(filepath.Join(dir, "keys"))
	if err != nil {
		return err
	}
	room := filepath.Join(dir, "room")
	if _, err := app.Init(ctx, room, cast.Prints); err != nil {
		return err
	}
	for gate, db := range map[string]string{"source": "ancilab.db", "target": "novalab.db"} {
		text := fmt.Sprintf("ecluse: gate/v1\nengine: sqlite\ncatalogue: {file: ../../%[1]s}\nrows: {file: ../../%[1]s}\n", db)
		if gate == "target" {
			text += fmt.Sprintf("rehearsal: {system: %s, engine: sqlite, catalogue: {file: ../../%[2]s}, rows: {file: ../../%[2]s}}\n", PreProduction, TestBase)
		}
		if err := os.WriteFile(filepath.Join(room, gate, "gate.yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	r, err := app.Open(ctx, room)
	if err != nil {
		return err
	}
	defer r.Close()
	for side, root := range cast.Roots {
		text, err := cast.Roster(side, time.Now())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "roster-"+string(side)+".yaml"), text, 0o600); err != nil {
			return err
		}
		if _, err := r.AddRoster(ctx, "roster.yaml", text, root); err != nil {
			return err
		}
	}
	text, err := cast.Contract(time.Now())
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "contract.yaml"), text, 0o600)
}

// work is one step being made.
type work struct {
	ctx  context.Context
	room *app.Room
	dir  string
	key
}

func (w *work) signer(who string) (ssh.Signer, error) {
	return desk.Signer(filepath.Join(w.dir, "keys", who), nil)
}

func (w *work) sign(name, who string, withPlan bool) error {
	file := filepath.Join(w.dir, name)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	k, err := w.signer(who)
	if err != nil {
		return err
	}
	_, err = w.room.Sign(w.ctx, desk.SignRequest{File: file, Text: text, WithPlan: withPlan, Key: k})
	return err
}

func (w *work) approve(file, who string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	k, err := w.signer(who)
	if err != nil {
		return err
	}
	_, err = w.room.Approve(w.ctx, text, k)
	return err
}

func (w *work) write(name string, text []byte) error {
	return os.WriteFile(filepath.Join(w.dir, name), text, 0o600)
}

var steps = map[Stage]func(*work) error{
	Contracted: func(w *work) error {
		if err := w.sign("contract.yaml", Julie, false); err != nil {
			return err
		}
		return w.sign("contract.yaml", Claire, false)
	},
	Planned: (*work).plan,
	Approved: func(w *work) error {
		return w.approve(filepath.Join(w.dir, "room", "plans", string(Migration)+"-readplan.json"), Marc)
	},
	Ready: func(w *work) error {
		p, err := w.room.Plan(w.ctx, desk.PlanRequest{Passage: ecluse.Final})
		if err != nil {
			return err
		}
		return w.approve(p.LoadFile, Claire)
	},
	Sealed: func(w *work) error {
		plan, err := os.ReadFile(filepath.Join(w.dir, "room", "plans", string(Migration)+"-readplan.json"))
		if err != nil {
			return err
		}
		_, err = w.room.Apply(w.ctx, desk.ApplyRequest{Passage: ecluse.Final, Plan: plan})
		return err
	},
	Loaded: func(w *work) error {
		_, err := w.room.Apply(w.ctx, desk.ApplyRequest{Passage: ecluse.Final})
		return err
	},
	Accepted: func(w *work) error {
		k, err := w.signer(Claire)
		if err != nil {
			return err
		}
		_, err = w.room.Accept(w.ctx, desk.AcceptRequest{ForAll: "entered by hand", Key: k})
		return err
	},
	Erased: func(w *work) error {
		d, err := w.room.Due(w.ctx)
		if err == nil && len(d.Failed) > 0 {
			err = fmt.Errorf("due: %+v", d.Failed)
		}
		return err
	},
}

// replaced puts a text in place of what stands from one on and before another.
func replaced(text []byte, from, before, instead string) []byte {
	head, rest, found := bytes.Cut(text, []byte(from))
	i := bytes.Index(rest, []byte(before))
	if !found || i < 0 {
		panic("the demonstration's papers have no " + from)
	}
	return slices.Concat(head, []byte(instead), rest[i:])
}

// plan writes instruction and mapping, and has them signed.
func (w *work) plan() error {
	contract, err := os.ReadFile(filepath.Join(w.dir, "contract.yaml"))
	if err != nil {
		return err
	}
	text, err := demo.Instruction(ecluse.DigestOf(contract), w.room.Gate(exchange.SourcePlace), w.room.Gate(exchange.TargetPlace), w.patients, time.Now().AddDate(0, 1, 0))
	if err != nil {
		return err
	}
	granted := "{untried: tests go straight to the final passage, dry: 0, rehearsal: 0,"
	if w.tries {
		granted = "{dry: 2, rehearsal: 2,"
	}
	if w.catchUps > 0 {
		granted += fmt.Sprintf(" catch_up: %d,", w.catchUps)
	}
	for _, x := range [][2]string{
		{"system: NOVALAB,", "system: NOVALAB, pre_production: " + PreProduction + ","},
		{"passages: {dry: 2, rehearsal: 0,", "passages: " + granted},
	} {
		if !bytes.Contains(text, []byte(x[0])) {
			return fmt.Errorf("the demonstration's instruction has no %q", x[0])
		}
		text = bytes.Replace(text, []byte(x[0]), []byte(x[1]), 1)
	}
	if w.distinct {
		text = replaced(text, "    from: PRESCRIPTEUR\n", "  patient:\n", "    from: DEMANDE\n    distinct: CODPRESC\n    class: technical\n    where: [{column: SAISIE, from: 20150101, before: 20201101}]\n")
	}
	if w.window != "" {
		text = bytes.Replace(text, []byte("limits: {"), []byte(`limits: {window: "`+w.window+`", `), 1)
	}
	if w.twice {
		text = bytes.Replace(text, []byte("final: 1"), []byte("final: 2"), 1)
	}
	if w.keeps {
		text = append(text, "rejects_until: "+KeptUntil().Format(time.DateOnly)+"\n"...)
	}
	if w.deputy != "" {
		text = append(text, "deputies: ["+w.deputy+"]\n"...)
	}
	if err := w.write("instruction.yaml", text); err != nil {
		return err
	}
	k, err := w.signer(Marc)
	if err != nil {
		return err
	}
	if _, err := w.room.Plan(w.ctx, desk.PlanRequest{Passage: ecluse.Final, Instruction: text, File: "instruction.yaml", Key: k}); err != nil {
		return err
	}
	if err := w.sign("instruction.yaml", Claire, true); err != nil {
		return err
	}
	mapping, frozen, err := demo.Mapping(ecluse.DigestOf(text))
	if err != nil {
		return err
	}
	if w.distinct {
		mapping = replaced(mapping, "from:\n", "  patient:\n", "hold: {prescriber: {key: [CODPRESC], rows: 10000}}\nfrom:\n  prescriber:\n    - into: prescriber\n      columns: {id: 1000 + ordinal, code: CODPRESC, name: CODPRESC}\n")
		mapping = replaced(mapping, "        prescriber_id: ", "        collected_at:", "        prescriber_id: {value: '1000 + prescriber[CODPRESC].ordinal', miss: reject}\n")
	}
	for name, table := range frozen {
		if err := w.write(name, table); err != nil {
			return err
		}
	}
	if err := w.write("mapping.yaml", mapping); err != nil {
		return err
	}
	return w.sign("mapping.yaml", Marc, false)
}
