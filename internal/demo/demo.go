package demo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/desk"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice"
)

// Request asks for the demonstration.
type Request struct {
	Patients int
	Dir      string // to make; empty: a new one in the temporary folder
	Program  string // what server and gates run; empty: this program
	Tell     func(Scene)
	Watch    desk.Watch
}

// Scene is one step of the story, in both languages.
type Scene struct {
	Number int // of the procedure's steps; 0 for what comes before and after
	Title  procedure.Text
	Place  procedure.Place // where the migration stands; zero before it is born
	Lines  []procedure.Text
}

// Outcome is what the demonstration came to. Its JSON is stable.
type Outcome struct {
	RowsRead             int64   `json:"rows_read"`
	RowsLoaded           int64   `json:"rows_loaded"`
	RowsRejected         int64   `json:"rows_rejected"`
	ColumnsRefused       int     `json:"columns_refused"` // log-ins and passwords included
	Credentials          int     `json:"columns_credential"`
	Reconciled           bool    `json:"reconciled"`
	Erased               bool    `json:"erased"`
	FilesLeft            int     `json:"files_left"` // of keys and ciphertext, looked for after the erasure
	Bundle               string  `json:"bundle"`
	Verdict              string  `json:"verdict"` // of the evidence, verified offline; empty when there is none
	Roots                Roots   `json:"roots"`
	CanariesFound        int     `json:"canaries_found"` // files, the old database aside
	ControllerSignatures int     `json:"controller_signatures"`
	Seconds              float64 `json:"seconds"`
	PassageSeconds       float64 `json:"passage_seconds"` // reading, loading and comparing
	PeakRSSMiB           float64 `json:"peak_rss_mib"`
	Dir                  string  `json:"dir"`
}

// OK tells whether all of it came to what a migration has to come to.
func (o *Outcome) OK() bool {
	return o.Reconciled && o.Erased && o.Verdict == evidence.VerdictOK && o.CanariesFound == 0
}

// Roots are the fingerprints that the evidence is verified against.
type Roots struct {
	Controller ecluse.Fingerprint `json:"controller"`
	Processor  ecluse.Fingerprint `json:"processor"`
}

// Expected guesses rows for the progress line.
func Expected(patients int) func(stage string) int64 {
	return func(string) int64 { return int64(patients) * (resultsPerPatient + requestsPerPatient + 1) / 2 }
}

const migration ecluse.MigrationID = "quatre-vents-01"

// story is a demonstration under way.
type story struct {
	Request
	cast *Cast
	room *app.Running // server and both gates, each a process of its own
	desk *desk.Desk
	made *app.Made
	old  *Made
	out  *Outcome
	now  time.Time

	readPlan string // its file
	sealed   int    // chunks
	files    int    // of keys and ciphertext, before the acceptance
	rejected int64  // rows that the dry run put aside
	invented int64  // rows of the synthetic twin
}

func (s *story) path(name string) string { return filepath.Join(s.Dir, name) }

// within tells a scene from within a step: what the gates do now may be over before
// the server has said where the migration stands.
func (s *story) within(at procedure.Place, number int, en, fr string, lines ...procedure.Text) {
	s.Tell(Scene{Number: number, Title: procedure.Text{EN: en, FR: fr}, Place: at, Lines: lines})
}

func (s *story) tell(ctx context.Context, number int, en, fr string, lines ...procedure.Text) error {
	scene := Scene{Number: number, Title: procedure.Text{EN: en, FR: fr}, Lines: lines}
	if s.desk != nil {
		all, err := s.desk.Status(ctx, "")
		if err != nil {
			return err
		}
		if len(all) > 0 {
			scene.Place = all[0].Place
		}
	}
	s.Tell(scene)
	return nil
}

func line(en, fr string, args ...any) procedure.Text {
	return procedure.Text{EN: fmt.Sprintf(en, args...), FR: fmt.Sprintf(fr, args...)}
}

// Run tells the whole story on data of its own: an invented old laboratory is
// made, and nothing else is touched.
func Run(ctx context.Context, q Request) (*Outcome, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	s := &story{Request: q, out: &Outcome{Dir: q.Dir}, now: time.Now()}
	for _, step := range []func(context.Context) error{
		s.people, s.contract, s.inspect, s.instruct, s.mapping, s.plan, s.read, s.rehearse, s.load, s.accept, s.erase, s.prove,
	} {
		if err := step(ctx); err != nil {
			if s.room != nil {
				err = errors.Join(err, s.room.Close())
			}
			return nil, err
		}
	}
	s.out.Seconds = time.Since(s.now).Seconds()
	for _, u := range s.room.Usage() {
		s.out.PeakRSSMiB = max(s.out.PeakRSSMiB, u.PeakMiB)
	}
	return s.out, s.room.Close()
}

// check refuses what cannot be, and makes the folder.
func (q *Request) check() error {
	if q.Patients < 1 || q.Patients > 1_000_000 {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "run the demonstration", Where: "--patients", Why: "want 1 to 1,000,000"}
	}
	return q.folder()
}

// folder makes the demonstration's own folder; it never enters one with
// something in it.
func (q *Request) folder() error {
	if q.Dir == "" {
		dir, err := os.MkdirTemp("", "ecluse-demo-")
		q.Dir = dir
		return err
	}
	entries, err := os.ReadDir(q.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(entries) > 0 {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "run the demonstration", Where: q.Dir, Why: "the folder is not empty, and the demonstration touches nothing but its own data",
			Next: "name a new folder",
		}
	}
	return durable.Mkdir(q.Dir)
}

// during applies what is approved, and tells one scene from within: when the gate
// of a stage is open.
func (s *story) during(ctx context.Context, q desk.ApplyRequest, stage sluice.Stage, tell func()) (*desk.Applied, error) {
	tell = sync.OnceFunc(tell)
	q.Migration = migration
	q.Watch = func(p exchange.Progress) {
		if p.Stage == string(stage) {
			tell()
		}
		if s.Watch != nil {
			s.Watch(p)
		}
	}
	v, err := s.desk.Apply(ctx, q)
	if err != nil {
		return nil, err
	}
	tell()
	s.out.PassageSeconds += v.Seconds
	return v, nil
}

func (s *story) read(ctx context.Context) error {
	plan, err := os.ReadFile(s.readPlan)
	if err != nil {
		return err
	}
	v, err := s.during(ctx, desk.ApplyRequest{Passage: ecluse.Dry, Plan: plan}, sluice.StageRead, func() {
		s.within(procedure.Place{Migration: procedure.Reading}, 7, "Reading", "Lecture",
			line("The source gate has verified every signature and reads, chunk by chunk, what was approved.",
				"Le programme côté ancien logiciel a vérifié chaque signature et lit, paquet par paquet, ce qui a été approuvé."))
	})
	if err != nil {
		return err
	}
	s.out.RowsRead, s.sealed = v.RowsRead, v.Chunks
	return s.tell(ctx, 8, "Chamber", "Dépôt scellé",
		line("%d rows read, sealed at once for the target gate alone: %d chunks in the chamber. Nothing there opens one.",
			"%d lignes lues, scellées aussitôt pour le seul programme d'en face : %d paquets au dépôt. Rien ne les y ouvre.", v.RowsRead, v.Chunks))
}

// rehearse makes the dry run.
// rehearse tries the mapping on invented rows first, then dry.
func (s *story) rehearse(ctx context.Context) error {
	twin, err := s.desk.Twin(ctx, migration)
	if err != nil {
		return err
	}
	for _, d := range twin.Datasets {
		s.invented += d.Rows
	}
	p, err := s.desk.Plan(ctx, desk.PlanRequest{Passage: ecluse.Dry})
	if err != nil {
		return err
	}
	if err := s.approvePlan(ctx, p.LoadFile, Marc); err != nil {
		return err
	}
	v, err := s.desk.Apply(ctx, desk.ApplyRequest{Migration: migration, Passage: ecluse.Dry, Watch: s.Watch})
	if err != nil {
		return err
	}
	s.rejected = v.RowsRejected
	s.out.PassageSeconds += v.Seconds
	return nil
}

func (s *story) load(ctx context.Context) error {
	p, err := s.desk.Plan(ctx, desk.PlanRequest{Passage: ecluse.Final})
	if err != nil {
		return err
	}
	if err := s.approvePlan(ctx, p.LoadFile, Claire); err != nil {
		return err
	}
	s.out.ControllerSignatures++
	v, err := s.during(ctx, desk.ApplyRequest{Passage: ecluse.Final}, sluice.StageLoad, func() {
		s.within(procedure.Place{Migration: procedure.Sealed, Kind: ecluse.Final, Passage: procedure.Loading}, 9, "Loading", "Chargement",
			line("%d rows, invented from the schema alone, went through the mapping first: no final passage begins before.",
				"%d lignes, inventées d'après la seule structure, ont d'abord passé la table : aucune bascule ne commence avant.", s.invented),
			line("The dry run mapped and checked everything and wrote nothing; the mapping puts %d rows aside.",
				"L'essai à vide a tout transcodé et vérifié sans rien écrire ; la table met %d lignes de côté.", s.rejected),
			line("Claire has approved the load plan: her second signature. The target gate opens, maps and loads.",
				"Claire a approuvé le plan de chargement : sa deuxième signature. Le programme d'en face ouvre, transcode et charge."))
	})
	if err != nil {
		return err
	}
	s.out.RowsLoaded, s.out.RowsRejected, s.out.Reconciled = v.RowsLoaded, v.RowsRejected, v.Reconciled
	lines := []procedure.Text{line("%d rows loaded, each chunk in one transaction with its marker; %d source rows put aside, sealed for the laboratory.",
		"%d lignes chargées, chaque paquet en une transaction avec sa marque ; %d lignes source mises de côté, scellées pour le laboratoire.", v.RowsLoaded, v.RowsRejected)}
	for _, t := range v.Load.Compared.Tables {
		lines = append(lines, line("%s: %d before, %d loaded, %d after: %s", "%s : %d avant, %d chargées, %d après : %s", t.Table, t.Before, t.Loaded, t.After, t.Verdict()))
	}
	for _, c := range v.Load.Compared.Checks {
		lines = append(lines, line("check %s: %d figures counted on both sides, %d differ", "contrôle %s : %d chiffres comptés des deux côtés, %d diffèrent", c.Name, c.Lines, c.Off))
	}
	return s.tell(ctx, 10, "Comparison", "Comparaison", lines...)
}

// accept has the report signed; where rows differ nobody can, and the story ends
// with what was found.
func (s *story) accept(ctx context.Context) error {
	if !s.out.Reconciled {
		return nil
	}
	var err error
	if s.files, err = s.left(); err != nil {
		return err
	}
	if _, err := s.desk.Accept(ctx, desk.AcceptRequest{Migration: migration, ForAll: "stays readable in ANCILAB's archive until it is entered by hand", Key: s.cast.People[Claire].Signer}); err != nil {
		return err
	}
	s.out.ControllerSignatures++
	return s.tell(ctx, 11, "Decision", "Décision",
		line("Claire accepts: she signs the report and says what becomes of the rows put aside. Her third and last signature.",
			"Claire prononce la recette : elle signe le rapport et dit le sort des lignes mises de côté. Sa troisième et dernière signature."))
}

func (s *story) erase(ctx context.Context) error {
	if !s.out.Reconciled {
		return nil
	}
	// The server erases by itself; to ask makes it do so now, and waits for it.
	d, err := s.desk.Due(ctx)
	if err != nil {
		return err
	}
	for _, f := range d.Failed {
		return &ecluse.Error{Kind: ecluse.Failed, What: string(f.What), Why: f.Why}
	}
	all, err := s.desk.Status(ctx, migration)
	if err != nil {
		return err
	}
	if s.out.FilesLeft, err = s.left(); err != nil {
		return err
	}
	s.out.Erased = all[0].Place.Migration == procedure.Erased && s.out.FilesLeft == 0
	return s.tell(ctx, 12, "Erasure, by itself", "Effacement, de lui-même",
		line("Both halves of the key and %d sealed chunks destroyed. Of %d files of keys and ciphertext, looked for afterwards, %d are left.",
			"Les deux moitiés de la clé et %d paquets scellés détruits. De %d fichiers de clés et de chiffré, recherchés ensuite, il en reste %d.",
			s.sealed, s.files, s.out.FilesLeft),
		line("Both gates sign the certificate.", "Les deux programmes signent l'attestation."))
}

// left counts the files of keys and ciphertext.
func (s *story) left() (int, error) {
	n := 0
	for _, of := range []string{"source/migrations", "target/migrations", "lock/chamber/live"} {
		err := filepath.WalkDir(filepath.Join(s.path("room"), filepath.FromSlash(of)), func(_ string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				n++
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	return n, nil
}

// prove writes the evidence of what was erased, verifies it, and searches what
// was written for what must not travel.
func (s *story) prove(ctx context.Context) error {
	files := 0
	if s.out.Erased {
		v, err := s.desk.Evidence(ctx, migration, s.path("evidence"))
		if err != nil {
			return err
		}
		files, s.out.Bundle, s.out.Verdict = v.Files, v.Dir, evidence.Verify(os.DirFS(v.Dir), s.cast.Prints).Verdict()
	}
	found, err := s.canaries()
	if err != nil {
		return err
	}
	s.out.CanariesFound = found
	if !s.out.Erased {
		return nil
	}
	return s.tell(ctx, 13, "Evidence", "Preuve",
		line("%d files; verified offline: %s", "%d fichiers ; vérifiés hors ligne : %s", files, s.out.Verdict),
		line("What must not travel was searched in every file but the old database: found in %d.",
			"Ce qui ne doit pas sortir a été cherché dans tous les fichiers hors l'ancienne base : trouvé dans %d.", found))
}
