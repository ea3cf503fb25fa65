package evidence

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

const testMigration = ecluse.MigrationID("tilleuls-2026")

// cast is everybody who signs something in a small invented migration.
type cast struct {
	root                      map[ecluse.Side]ssh.Signer
	source, target, lock      ssh.Signer
	anne, hugo, paul, luc     ssh.Signer // signatory and DPO of the laboratory; signatory and operator of the processor
	pAnne, pHugo, pPaul, pLuc Person
}

func newCast(t testing.TB) *cast {
	t.Helper()
	key := func() ssh.Signer { s, _ := testKey(t, "ed25519", ""); return s }
	c := &cast{source: key(), target: key(), lock: key()}
	c.root = map[ecluse.Side]ssh.Signer{ecluse.Controller: key(), ecluse.Processor: key()}
	c.pAnne, c.anne = testPerson(t, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory)
	c.pHugo, c.hugo = testPerson(t, "hugo-blanc", "Hugo Blanc", "L-7", ecluse.DPO)
	c.pPaul, c.paul = testPerson(t, "paul-roux", "Paul Roux", "T-1", ecluse.Signatory)
	c.pLuc, c.luc = testPerson(t, "luc-petit", "Luc Petit", "T-2", ecluse.Operator)
	return c
}

func (c *cast) roots() map[ecluse.Side]ecluse.Fingerprint {
	return map[ecluse.Side]ecluse.Fingerprint{
		ecluse.Controller: FingerprintOf(c.root[ecluse.Controller].PublicKey()),
		ecluse.Processor:  FingerprintOf(c.root[ecluse.Processor].PublicKey()),
	}
}

// story is a migration from contract to certificate. A test changes a part of it
// before it is told; everything after that part is then signed as if the change
// were the truth.
type story struct {
	*cast
	contract, instruction string // %s: roots; contract and gates
	readPlan, loadPlan    func(string) string
	people                func(side ecluse.Side, ps []Person) []Person
	rosterRoot            map[ecluse.Side]ssh.Signer
	standing              func(w *telling)                               // what else is signed outside the migration
	act                   func(name string, a *Act, by *ssh.Signer) bool // false: nobody signs it
	leaf                  func(l *Leaf) bool                             // false: not in the journal
	descriptor            func(d *Descriptor)
	manifest              func(m *Manifest)
	recipient             func(r *Recipient, gate *ssh.Signer)
	certificate           func(c *Certificate)
	report                func(h *StatementHead)
	reported              int // of which reading of the source the report is
	compared              func(c *compared)
	dispositions          func(d *Dispositions)                  // nil: none are accepted
	reservations          func(d *Reservations)                  // nil: none are made
	decided               func(w *telling, report ecluse.Digest) // what was said before acceptance
	privileges            func(h *StatementHead)
	extract               func(x *extracted)
	roster                func(r *Roster)
	head                  func(h *Head)
	headBy                map[string]ssh.Signer
	files                 func(files map[string][]byte)
	sumsBy                map[Gate]ssh.Signer
	trigger               Trigger
	processor             *Roster       // as told
	plan                  ecluse.Digest // as told
	disposed              ecluse.Digest // as told
	left                  []LeftPassage // not taken out again, of another trigger than acceptance
	journalLeft           []LeftPassage
	inUse                 func(w *telling, x *inUse) // nil: no load is in use without acceptance
	undoFormat            string
	undoBy                ssh.Signer
	stays                 func(x *undone, c *Certificate)           // nil: all rows were taken out
	release               func(x *Released, a *Act, by *ssh.Signer) // nil: no row was released
	tried                 func(t *trial)
	released              func(r *MaskedRow) // before the act is made
}

// inUse is a load that nobody accepted, as its ending is told.
type inUse struct {
	report StatementHead  // that go is said of
	unsaid bool           // nobody says it
	passes InUsePassage   // in the certificate
	leaves []InUsePassage // in the journal; nil: the same
	times  int            // how often it is said there; 0: once
	silent bool           // the certificate names no passage, and says that nothing was loaded
	undone ecluse.Passage // which the target gate says it took out; zero: none

	decisions []Verb // what is said of the report after the go

	unapproves bool // then the act that approved its load plan is refused
}

// goesLive says go of a report, and nothing more.
func (w *telling) goesLive(load ecluse.Digest) {
	x := &inUse{report: StatementHead{ReportFormat, testMigration, load}, passes: InUsePassage{Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}}}
	w.live = x
	w.story.inUse(w, x)
	s := must(SignStatement(w.target, x.report))
	w.do(w.b.AddStatement(TargetGate, s))
	if !x.unsaid {
		act := w.says("go", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{VerbGo, KindReport, s.Digest()})
		if x.passes.Act.IsZero() {
			x.passes.Act = act
		}
	}
	for _, v := range x.decisions {
		reason := []byte("results are printed twice")
		w.do(w.b.AddDocument(reason))
		w.says("after the go", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{v, KindReport, s.Digest()}, Clause{VerbSign, KindReason, ecluse.DigestOf(reason)})
	}
	if x.unapproves {
		w.says("after the go", ecluse.Processor, w.pLuc, w.luc, ecluse.Operator, Clause{VerbRefuse, KindAct, w.approved})
	}
	if x.leaves == nil {
		x.leaves = slices.Repeat([]InUsePassage{x.passes}, max(1, x.times))
	}
	for _, p := range x.leaves {
		w.at = w.at.Add(time.Second)
		w.leaves = append(w.leaves, must((&Leaf{
			Index: int64(len(w.leaves)), At: w.at, Tree: string(testMigration), Type: LeafInUse,
			IDs: map[string]string{"passage": p.Passage.String(), "act": p.Act.String()}, Body: BodyDigest([32]byte{7}, []byte(LeafInUse)),
		}).Bytes()))
	}
	if x.undone.Number > 0 {
		w.do(w.b.AddStatement(TargetGate, must(SignStatement(w.target, undone{StatementHead: StatementHead{UndoFormat, testMigration, load}, Passage: x.undone}))))
	}
}

// undone is what the target gate says that it took out.
type undone struct {
	StatementHead
	Passage ecluse.Passage       `json:"passage"`
	Left    []ecluse.MaskedGroup `json:"left,omitempty"`
	Stay    string               `json:"stay,omitempty"`
}

// undone says it, and the certificate names what stays.
func (w *telling) undone(c *Certificate) any {
	if w.stays == nil {
		return StatementHead{w.undoFormat, testMigration, c.Plan}
	}
	x := &undone{
		StatementHead: StatementHead{w.undoFormat, testMigration, c.Plan}, Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1},
		Left: []ecluse.MaskedGroup{{Dataset: "patient", By: "patient: changed", Count: "12"}, {Dataset: "patient", By: "patient: referred", Count: "<10"}}, Stay: "12 + <10",
	}
	c.Stayed = []StayedRows{{Passage: x.Passage, Rows: x.Stay}}
	w.stays(x, c)
	for i := range c.Stayed {
		if c.Stayed[i].Statement.IsZero() {
			c.Stayed[i].Statement = ecluse.DigestOf(must(EncodeJSON(x)))
		}
	}
	return x
}

// releases is what the source gate says of it.
func (w *telling) releases(plan ecluse.Digest) {
	if w.release == nil {
		return
	}
	r, by := w.roster[ecluse.Controller], w.anne
	x := &Released{
		StatementHead: StatementHead{ReleasedFormat, testMigration, plan}, Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}, At: w.at.UTC(),
		Row: MaskedRow{"patient", 12, `no "sex"`, []MaskedCell{{"SEXE", `A{5}&"\'9-A{32+} ?{7}…`}, {`the "name"`, "null"}, {"x", "?"}}},
	}
	w.story.released(&x.Row)
	a := &Act{
		Migration: testMigration, Side: ecluse.Controller, Person: w.pAnne.ID, Role: ecluse.Signatory, Roster: r.Digest(), RosterNumber: r.Number,
		NotBefore: w.at.Truncate(time.Second), NotAfter: w.at.Truncate(time.Second).Add(time.Hour), Nonce: NewNonce(),
		Clauses: []Clause{{VerbSign, KindReleased, must(x.Row.Digest())}},
	}
	w.story.release(x, a, &by)
	x.Act = must(SignAct(by, a))
	if x.ActDigest.IsZero() {
		x.ActDigest = x.Act.Digest()
	}
	s := must(SignStatement(w.source, x))
	w.do(w.b.AddStatement(SourceGate, s))
	w.at = w.at.Add(time.Second)
	l := &Leaf{
		Index: int64(len(w.leaves)), At: w.at, Tree: string(testMigration), Type: LeafReleased,
		IDs: map[string]string{"act": x.Act.Digest().String(), "dataset": "patient", "passage": "final-1", "statement": s.Digest().String()},
	}
	if w.story.leaf(l) {
		w.leaves = append(w.leaves, must(l.Bytes()))
	}
}

func newStory(c *cast) *story {
	same := func(s string) string { return s }
	return &story{
		cast: c, readPlan: same, loadPlan: same, trigger: ByAcceptance,
		undoFormat: UndoFormat, undoBy: c.target,
		contract: `ecluse: contract/v1
parties:
  controller: {name: Laboratoire des Tilleuls, root: %s}
  processor:
    name: Reprise SARL
    root: %s   # see its web site
start: 2026-01-01
`,
		instruction: `ecluse: instruction/v1
id: tilleuls-2026
contract: %s
source: {gate: %s, system: OLD, administered_by: controller}
target:
  gate: %s
  system: NEW
  administered_by: controller
backups:
  source_gate: none # by its manual
  lock: {until: 2027-01-31}
  target_gate: "none"
datasets: {patient: {columns: {patient_id: technical}}}
`,
		people:      func(_ ecluse.Side, ps []Person) []Person { return ps },
		rosterRoot:  c.root,
		standing:    func(*telling) {},
		act:         func(string, *Act, *ssh.Signer) bool { return true },
		leaf:        func(*Leaf) bool { return true },
		descriptor:  func(*Descriptor) {},
		manifest:    func(*Manifest) {},
		recipient:   func(*Recipient, *ssh.Signer) {},
		certificate: func(*Certificate) {},
		report:      func(*StatementHead) {},
		compared:    func(*compared) {},

		dispositions: func(*Dispositions) {},
		released:     func(*MaskedRow) {},
		tried:        func(*trial) {},
		decided:      func(*telling, ecluse.Digest) {},
		privileges:   func(*StatementHead) {},
		extract:      func(*extracted) {},
		roster:       func(*Roster) {},
		head:         func(*Head) {},
		headBy:       map[string]ssh.Signer{"lock": c.lock, "source": c.source, "target": c.target},
		files:        func(map[string][]byte) {},
		sumsBy:       map[Gate]ssh.Signer{SourceGate: c.source, TargetGate: c.target},
	}
}

// telling is a story being told: what was said so far.
type telling struct {
	later    []ecluse.Digest // statements of the target gate that come once the final passage began
	approved ecluse.Digest   // the act under the final load plan
	*story
	t      testing.TB
	b      *Builder
	roster map[ecluse.Side]*Roster
	leaves [][]byte
	at     time.Time
	live   *inUse
	dry    ecluse.Digest // load plan of the passage in which the mapping was tried

	recipients map[string]ecluse.Digest
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (w *telling) do(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *telling) journal(kind, id string, d ecluse.Digest) {
	w.at = w.at.Add(1500 * time.Millisecond)
	l := &Leaf{
		Index: int64(len(w.leaves)), At: w.at, Tree: string(testMigration), Type: kind,
		IDs: map[string]string{id: d.String()}, Body: BodyDigest([32]byte{7}, []byte(kind)),
	}
	if w.story.leaf(l) {
		w.leaves = append(w.leaves, must(l.Bytes()))
	}
}

// begins is what the lock's journal says of a passage that begins.
func (w *telling) begins(passage string, plan ecluse.Digest) {
	w.at = w.at.Add(1500 * time.Millisecond)
	l := &Leaf{
		Index: int64(len(w.leaves)), At: w.at, Tree: string(testMigration), Type: LeafBegun,
		IDs: map[string]string{"passage": passage, "load_plan": plan.String()},
	}
	if w.story.leaf(l) {
		w.leaves = append(w.leaves, must(l.Bytes()))
	}
}

// says makes a person sign an act and hands it in.
func (w *telling) says(name string, side ecluse.Side, p Person, by ssh.Signer, role ecluse.Role, clauses ...Clause) ecluse.Digest {
	w.t.Helper()
	r := w.roster[side]
	a := &Act{
		Migration: testMigration, Side: side, Person: p.ID, Role: role, Roster: r.Digest(), RosterNumber: r.Number,
		NotBefore: w.at.Truncate(time.Second), NotAfter: w.at.Truncate(time.Second).Add(time.Hour), Clauses: clauses,
		Nonce: ecluse.DigestOf([]byte(name)).Hex()[:32],
	}
	outside := standing(clauses[0].Kind)
	if outside {
		a.Migration, a.NotBefore = "", w.at.Add(-2*time.Hour).Truncate(time.Second)
	}
	if !w.story.act(name, a, &by) {
		return ecluse.DigestOf(a.Text())
	}
	s := must(SignAct(by, a))
	w.do(w.b.AddAct(s))
	if !outside {
		w.journal(LeafAct, "act", s.Digest())
	}
	return s.Digest()
}

func (s *story) tell(t testing.TB) fstest.MapFS {
	t.Helper()
	w := &telling{story: s, t: t, b: NewBuilder(), roster: map[ecluse.Side]*Roster{}, at: testDay.Add(3 * time.Hour)}
	contract := []byte(fmt.Sprintf(s.contract, s.roots()[ecluse.Controller], s.roots()[ecluse.Processor]))
	instruction := []byte(fmt.Sprintf(s.instruction, ecluse.DigestOf(contract), FingerprintOf(s.source.PublicKey()), FingerprintOf(s.target.PublicKey())))
	w.do(w.b.Add(FileContract, contract))
	w.do(w.b.Add(FileInstruction, instruction))
	w.rosters()
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		p, by := s.pAnne, s.anne
		if side == ecluse.Processor {
			p, by = s.pPaul, s.paul
		}
		w.says("contract", side, p, by, ecluse.Signatory, Clause{VerbSign, KindContract, ecluse.DigestOf(contract)})
	}
	s.standing(w)
	plan := w.reading(contract, instruction)
	chunks, manifest := w.chunks(plan)
	load, rejects := w.loading(instruction, plan)
	report, act := w.ending(instruction, load)
	w.closing(&Certificate{
		Migration: testMigration, Plan: plan, Contract: ecluse.DigestOf(contract), Instruction: ecluse.DigestOf(instruction),
		Manifest: manifest, Report: report, Trigger: s.trigger, Act: act, Outcome: Proven, OneRoom: true,
		SourceAdmin: ecluse.Controller, TargetAdmin: ecluse.Controller, Backups: Backups{NoBackup, "2027-01-31", NoBackup},
		Method: "both halves of the key destroyed, then the ciphertext deleted", Tool: "ecluse 0.1.0", Binary: ecluse.DigestOf([]byte("program")),
		Keys: []DestroyedKey{
			{"release secret", w.recipients[ForChunks], SourceGate, "HKDF-SHA-256", w.at.Truncate(time.Second)},
			{"identity of rejects", w.recipients[ForRejects], SourceGate, "MLKEM768X25519", w.at.Truncate(time.Second)},
			{"K", ecluse.Digest{}, SourceGate, "HMAC-SHA-256", w.at.Truncate(time.Second)},
			{"chunk identity", w.recipients[ForChunks], TargetGate, "MLKEM768X25519", w.at.Truncate(time.Second)},
		},
		Places: []ErasedPlace{{"lock/chamber", "ciphertext", "none"}},
		Looked: []LookedFor{{"files of the chamber", 0, w.at.Truncate(time.Second).Add(time.Minute)}},
		Limits: []string{"what was copied from the source without Écluse"},
	}, append(chunks, rejects...))
	return w.write()
}

func (w *telling) rosters() {
	for side, people := range map[ecluse.Side][]Person{
		ecluse.Controller: {w.pAnne, w.pHugo}, ecluse.Processor: {w.pPaul, w.pLuc},
	} {
		older := testRoster(w.t, side, 2, people...)
		r := testRoster(w.t, side, 3, w.people(side, people)...)
		r.Previous = older.Digest()
		w.story.roster(r)
		r = must(ParseRoster("roster.yaml", r.Text()))
		for _, each := range []*Roster{older, r} {
			w.do(w.b.AddRoster(must(Sign(w.rosterRoot[side], NamespaceRoster, each.Text()))))
		}
		w.roster[side] = r
		if side == ecluse.Processor {
			w.processor = r
		}
	}
}

// reading is steps 3 to 6: instruction, recipients, read plan, approvals.
func (w *telling) reading(contract, instruction []byte) ecluse.Digest {
	digest := map[string]ecluse.Digest{}
	w.recipients = digest
	for purpose, gate := range map[string]ssh.Signer{ForChunks: w.target, ForRejects: w.source} {
		r := testRecipient()
		r.Instruction, r.Purpose = ecluse.DigestOf(instruction), purpose
		w.recipient(r, &gate)
		s := must(SignRecipient(gate, r))
		digest[purpose] = s.Digest()
		w.do(w.b.AddRecipient(s))
	}
	text := w.readPlan(fmt.Sprintf(`{"ecluse":"readplan/v1","migration":"tilleuls-2026","contract":"%s","instruction":"%s","source":{"gate":"%s","system":"OLD"},"target":{"gate":"%s","system":"NEW"},"recipient":"%s","rejects":"%s","datasets":[]}`+"\n",
		ecluse.DigestOf(contract), ecluse.DigestOf(instruction), FingerprintOf(w.source.PublicKey()), FingerprintOf(w.target.PublicKey()),
		digest[ForChunks], digest[ForRejects]))
	w.do(w.b.Add(FileReadPlan, []byte(text)))
	plan := ecluse.DigestOf([]byte(text))
	w.plan = plan
	w.says("instruction", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory,
		Clause{VerbSign, KindInstruction, ecluse.DigestOf(instruction)}, Clause{VerbApprove, KindReadPlan, plan})
	w.says("readplan", ecluse.Processor, w.pLuc, w.luc, ecluse.Operator, Clause{VerbApprove, KindReadPlan, plan})
	return plan
}

// extracted is what the verifier knows of extract/v1.
type extracted struct {
	StatementHead
	Epoch    int                        `json:"epoch"`
	Manifest ecluse.Digest              `json:"manifest"`
	Rows     map[ecluse.DatasetID]int64 `json:"rows"`
}

// chunks is steps 7 and 8.
func (w *telling) chunks(plan ecluse.Digest) ([]*Descriptor, ecluse.Digest) {
	ds := []*Descriptor{
		testDescriptor("ecluse.key", 0, true),
		testDescriptor("patient", 0, false), testDescriptor("patient", 1, true), testDescriptor("result", 0, true),
	}
	privileges := func(label string) {
		h := StatementHead{PrivilegesFormat, testMigration, plan}
		w.story.privileges(&h)
		w.do(w.b.AddPrivileges(SourceGate, label, must(SignStatement(w.source, h))))
	}
	privileges("1-before")
	for _, d := range ds {
		d.Plan = plan
		w.descriptor(d)
		s := must(SignDescriptor(w.source, d))
		w.do(w.b.AddChunk(s))
		w.journal(LeafChunk, "descriptor", s.Digest())
	}
	privileges("1-after")
	m := manifestOf(plan, ds...)
	w.manifest(m)
	s := must(SignManifest(w.source, m))
	w.do(w.b.AddManifest(s))
	x := extracted{StatementHead{ExtractFormat, testMigration, plan}, 1, s.Digest(), map[ecluse.DatasetID]int64{}}
	for _, d := range m.Datasets {
		if d.Dataset != ecluse.KeyDataset {
			x.Rows[d.Dataset] = d.Rows
		}
	}
	w.story.extract(&x)
	w.do(w.b.AddStatement(SourceGate, must(SignStatement(w.source, x))))
	w.journal("manifest", "manifest", s.Digest())
	return ds, s.Digest()
}

// loading is step 9, for one final passage with one chunk of rejects.
func (w *telling) loading(instruction []byte, plan ecluse.Digest) (ecluse.Digest, []*Descriptor) {
	mapping, frozen := []byte("ecluse: mapping/v1\n"), []byte("code,test\n1,GLU\n")
	w.do(w.b.Add(FileMapping, mapping))
	w.do(w.b.AddFrozen(frozen))
	w.tries(instruction, plan, mapping)
	text := []byte(w.loadPlan(fmt.Sprintf(`{"ecluse":"loadplan/v1","migration":"tilleuls-2026","instruction":"%s","read_plan":"%s","passage":"final","target":{"gate":"%s"},"shape":{"mapping":"%s","frozen":[{"name":"m","file":"m.csv","sha256":"%s"}]}}`+"\n",
		ecluse.DigestOf(instruction), plan, FingerprintOf(w.target.PublicKey()), ecluse.DigestOf(mapping), ecluse.DigestOf(frozen))))
	w.do(w.b.AddLoadPlan(ecluse.Passage{Kind: ecluse.Final, Number: 1}, text))
	load := ecluse.DigestOf(text)
	w.releases(plan)
	w.approved = w.says("loadplan", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{VerbApprove, KindLoadPlan, load})
	w.begins("final-1", load)
	for _, d := range w.later {
		w.journal(LeafStated, "statement", d)
	}
	d := testDescriptor("ecluse.rejects.patient", 0, true)
	d.Plan = load
	w.descriptor(d)
	s := must(SignDescriptor(w.target, d))
	w.do(w.b.AddRejects(s))
	w.journal(LeafChunk, "descriptor", s.Digest())
	return load, []*Descriptor{d}
}

// tries takes the mapping through invented rows, and dry.
func (w *telling) tries(instruction []byte, plan ecluse.Digest, mapping []byte) {
	try := trial{
		twin: StatementHead{TwinFormat, testMigration, plan}, mapping: ecluse.DigestOf(mapping), passed: true,
		passage: ecluse.Dry, of: ecluse.DigestOf(mapping), by: w.target, took: 1,
	}
	w.tried(&try)
	if try.by != nil {
		w.states(must(SignStatement(try.by, struct {
			StatementHead
			Mapping ecluse.Digest `json:"mapping"`
			Passed  bool          `json:"passed"`
		}{try.twin, try.mapping, try.passed})), try.late)
	}
	if try.passage == "" {
		return
	}
	text := fmt.Appendf(nil, `{"ecluse":"loadplan/v1","migration":"tilleuls-2026","instruction":"%s","read_plan":"%s","passage":"%s","target":{"gate":"%s"},"shape":{"mapping":"%s"}}`+"\n",
		ecluse.DigestOf(instruction), plan, try.passage, FingerprintOf(w.target.PublicKey()), try.of)
	p := ecluse.Passage{Kind: try.passage, Number: 1}
	w.do(w.b.AddLoadPlan(p, text))
	d := ecluse.DigestOf(text)
	w.says("try", ecluse.Processor, w.pLuc, w.luc, ecluse.Operator, Clause{VerbApprove, KindLoadPlan, d})
	w.begins(p.String(), d)
	w.dry = d
	r := struct {
		StatementHead
		Passage  ecluse.Passage     `json:"passage"`
		Loaded   int                `json:"rows_loaded"`
		Unmapped []ecluse.DatasetID `json:"unmapped,omitempty"`
		Scant    []ecluse.DatasetID `json:"scant,omitempty"`
		compared
	}{StatementHead: StatementHead{ReportFormat, testMigration, d}, Passage: p, Loaded: 3, Unmapped: try.unmapped, Scant: try.scant}
	r.Compared.Equal, r.Compared.Checks = try.equal, try.checks
	if !try.unsaid {
		s := must(SignStatement(w.target, r))
		w.states(s, try.reportLate)
		if r.Loaded = 0; try.denied {
			denial := s
			for n := 0; denial.Digest().String() <= s.Digest().String(); n++ { // the last by its name
				r.Compared.Checks = []checkVerdict{{Name: strconv.Itoa(n)}}
				denial = must(SignStatement(w.target, r))
			}
			w.do(w.b.AddStatement(TargetGate, denial))
		}
	}
	if p.Kind == ecluse.Rehearsal {
		w.do(w.b.AddStatement(TargetGate, must(SignStatement(w.target, struct {
			StatementHead
			Passage ecluse.Passage `json:"passage"`
			System  string         `json:"system"`
			Chunks  int            `json:"chunks"`
			Tables  []tookTable    `json:"tables"`
		}{StatementHead{UndoFormat, testMigration, d}, p, `a "quoted" {system`, try.took, []tookTable{{"patient", true}, {"result", !try.altered}}}))))
	}
}

// tookTable is how a table stood when a passage was out.
type tookTable struct {
	Table string `json:"table"`
	Equal bool   `json:"equal"`
}

// trial is how a mapping was tried before the final passage.
type trial struct {
	twin    StatementHead
	mapping ecluse.Digest // that invented rows went through
	passed  bool
	by      ssh.Signer // of what is said of them; nil: nothing is

	passage ecluse.PassageKind // then; empty: none
	of      ecluse.Digest      // its mapping
	equal   bool
	checks  []checkVerdict
	unsaid  bool // there is no report of it
	took    int  // chunks that a rehearsal was taken out in
	altered bool // and its test base does not stand as before
	denied  bool // another report says that it loaded nothing

	unmapped, scant  []ecluse.DatasetID
	late, reportLate bool // said once the final passage had begun
}

// states hands in what the target gate states, at once or once the final passage began.
func (w *telling) states(s Signed, late bool) {
	w.do(w.b.AddStatement(TargetGate, s))
	if late {
		w.later = append(w.later, s.Digest())
	} else {
		w.journal(LeafStated, "statement", s.Digest())
	}
}

// ending is steps 10 and 11, or what replaces them.
func (w *telling) ending(instruction []byte, load ecluse.Digest) (report, act ecluse.Digest) {
	if w.story.inUse != nil {
		w.goesLive(load)
	}
	switch w.trigger {
	case ByAcceptance:
		h := StatementHead{ReportFormat, testMigration, load}
		w.story.report(&h)
		r := struct {
			StatementHead
			System  string `json:"system"`
			Reading int    `json:"reading,omitempty"`
			Chunks  int    `json:"chunks"`
			compared
		}{StatementHead: h, System: `a "quoted" {system`, Reading: w.reported}
		r.Compared.Equal = true
		r.Compared.Rejected = []reason{{"patient", `a "quoted" reason: {x], "y"`, "≥10"}, {"result", "no code", "<10"}, {"patient", "no code", "<10"}}
		w.story.compared(&r.compared)
		s := must(SignStatement(w.target, r))
		w.do(w.b.AddReport(s))
		w.decided(w, s.Digest())
		clauses := []Clause{{VerbAccept, KindReport, s.Digest()}}
		if w.dispositions != nil {
			d := Dispositions{Format: DispositionsFormat, Migration: testMigration, Report: s.Digest()}
			for i, x := range r.Compared.Rejected {
				d.Rows = append(d.Rows, Disposition{x.Dataset, x.By, []string{"entered by hand", `left out, see "the list"`, "corrected in the source, and read again"}[i%3]})
			}
			w.dispositions(&d)
			text := must(EncodeJSON(d))
			w.disposed = ecluse.DigestOf(text)
			w.do(w.b.AddDocument(text))
			clauses = append(clauses, Clause{VerbAccept, KindDispositions, ecluse.DigestOf(text)})
		}
		if w.reservations != nil {
			d := Reservations{ReservationsFormat, testMigration, s.Digest(), nil}
			w.reservations(&d)
			text := must(EncodeJSON(d))
			w.do(w.b.AddDocument(text))
			clauses = append(clauses, Clause{VerbAccept, KindReservations, ecluse.DigestOf(text)})
		}
		return s.Digest(), w.says("accept", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, clauses...)
	case ByOrder:
		return report, w.says("order", ecluse.Controller, w.pHugo, w.hugo, ecluse.DPO, Clause{VerbErase, KindMigration, ecluse.DigestOf(instruction)})
	}
	return report, act
}

// closing is step 12: the certificate, and the journal's last head.
func (w *telling) closing(c *Certificate, stored []*Descriptor) {
	for _, l := range w.journalLeft {
		w.at = w.at.Add(time.Second)
		leaf := &Leaf{
			Index: int64(len(w.leaves)), At: w.at, Tree: string(testMigration), Type: LeafLeft,
			IDs: map[string]string{"passage": l.Passage.String(), "reason": string(l.Why)}, Body: BodyDigest([32]byte{7}, []byte(LeafLeft)),
		}
		w.leaves = append(w.leaves, must(leaf.Bytes()))
	}
	switch {
	case w.live != nil:
		if c.Outcome, c.InUse = InUse, &w.live.passes; w.live.silent {
			c.Outcome, c.InUse = NotLoaded, nil
		}
	case len(w.left) > 0:
		c.Outcome, c.Left = NotUndone, w.left
	case w.trigger != ByAcceptance:
		c.Outcome = Undone
		w.do(w.b.AddStatement(TargetGate, must(SignStatement(w.undoBy, w.undone(c)))))
	}
	for _, d := range stored {
		c.Objects = append(c.Objects, ErasedObject{d.Slot, d.SHA256, d.Size, d.Rows, w.at.Truncate(time.Second)})
	}
	slices.SortFunc(c.Objects, func(a, b ErasedObject) int {
		if slotLess(a.Slot, b.Slot) {
			return -1
		}
		return 1
	})
	c.Erased = w.at.Truncate(time.Second).Add(2 * time.Minute)
	c.Disposed = w.disposed
	w.certificate(c)
	w.do(w.b.AddCertificate(must(SignCertificate(w.source, c)), must(SignCertificate(w.target, c))))
	w.do(w.b.AddErasure(SourceGate, must(SignStatement(w.source, StatementHead{ErasureFormat, testMigration, c.Plan}))))
	w.do(w.b.AddErasure(TargetGate, must(SignStatement(w.target, StatementHead{ErasureFormat, testMigration, c.Plan}))))
	w.journal("certificate", "certificate", ecluse.DigestOf(must(EncodeJSON(c))))
	w.do(w.b.AddLeaves(w.leaves))
	tree := &Tree{}
	for _, l := range w.leaves {
		w.do(tree.Append(LeafHash(l)))
	}
	for _, size := range []int64{3, 8, tree.Size()} {
		h := &Head{Tree: string(testMigration), Size: size, Root: must(tree.Root(size)), At: w.at.Truncate(time.Second).Add(time.Minute)}
		w.head(h)
		w.do(w.b.AddHead(must(SignHead(w.headBy["lock"], h)), must(SignHead(w.headBy["source"], h)), must(SignHead(w.headBy["target"], h))))
	}
}

func (w *telling) write() fstest.MapFS {
	w.files(w.b.files)
	sums := must(w.b.Sums())
	for g, key := range w.sumsBy {
		w.do(w.b.AddSums(g, must(Sign(key, NamespaceBundle, sums))))
	}
	out := fstest.MapFS{}
	w.do(w.b.Write(func(name string, body []byte) error {
		out[name] = &fstest.MapFile{Data: body, Mode: 0o600}
		return nil
	}))
	return out
}
