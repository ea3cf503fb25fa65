package evidence

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/stocktest"
)

const placesSentence = "source administered by the controller, target by the controller; " +
	"last backup expires, by the instruction: source gate none, lock 2027-01-31, target gate none"

// What the instruction says of places and backups stands in the first lines of
// README.txt and of both verifiers.
func TestVerifyPlaces(t *testing.T) {
	c := newCast(t)
	s := newStory(c)
	s.instruction = strings.ReplaceAll(s.instruction, "administered_by: controller", "administered_by: processor")
	s.instruction = strings.Replace(s.instruction, "source_gate: none", "source_gate: {until: 2027-02-15}", 1)
	s.instruction = strings.Replace(s.instruction, `target_gate: "none"`, "target_gate:\n    until: '2027-03-01'", 1)
	s.certificate = func(c *Certificate) {
		c.SourceAdmin, c.TargetAdmin = ecluse.Processor, ecluse.Processor
		c.Backups = Backups{"2027-02-15", "2027-01-31", "2027-03-01"}
	}
	bundle := s.tell(t)
	want := "OK\nnote  " + strings.Join([]string{
		OneRoomSentence, SourceByProcessorSentence, TargetByProcessorSentence,
		"both gates' folders are in backups until 2027-02-15: until then the key can be put together again from them",
		"the source gate's folder and the lock's are in backups until 2027-01-31: until then rows put aside can be opened from them",
		"source administered by the processor, target by the processor; last backup expires, by the instruction: source gate 2027-02-15, lock 2027-01-31, target gate 2027-03-01",
	}, "\nnote  ") + "\n"
	if text := Verify(bundle, c.roots()).Text(); !strings.HasPrefix(text, want) {
		t.Errorf("%s", text)
	}
	if out := runScript(t, onDisk(t, bundle), c.roots()); !strings.HasPrefix(out, want) {
		t.Errorf("verify.sh:\n%s", out)
	}
}

func TestVerifyOK(t *testing.T) {
	c := newCast(t)
	for _, trigger := range []Trigger{ByAcceptance, ByOrder, ByDeadline} {
		s := newStory(c)
		s.trigger = trigger
		r := Verify(s.tell(t), c.roots())
		if !r.OK() {
			t.Errorf("%s:\n%s", trigger, r.Text())
		}
		if text := r.Text(); !strings.HasPrefix(text, "OK\nnote  "+OneRoomSentence+"\nnote  "+placesSentence+"\n") {
			t.Errorf("first lines:\n%s", text)
		}
	}
}

// leaves makes a story of a load that could not be taken out of the target.
func leaves(s *story, named, journalled int) {
	s.trigger = ByDeadline
	l := []LeftPassage{{ecluse.Passage{Kind: ecluse.Final, Number: 1}, ecluse.Failed}}
	s.left, s.journalLeft = l[:named], l[:journalled]
}

// stay makes a story of an undoing that left rows.
func stay(s *story, f func(*undone, *Certificate)) { s.trigger, s.stays = ByDeadline, f }

// Rows that an undoing left are accepted, and shown before anything else.
func TestVerifyStayed(t *testing.T) {
	const sentence = "passage final-1 was taken out of the target, but for rows that people changed or refer to since, and that stay there: 12 + <10"
	c := newCast(t)
	s := newStory(c)
	stay(s, func(*undone, *Certificate) {})
	bundle := s.tell(t)
	if r := Verify(bundle, c.roots()); !r.OK() || !strings.Contains(r.Text(), "\nnote  "+sentence+"\n") {
		t.Errorf("%s", r.Text())
	}
	if out := runScript(t, onDisk(t, bundle), c.roots()); !strings.HasPrefix(out, "OK\n") || !strings.Contains(out, "\nnote  "+sentence+"\n") {
		t.Errorf("%s", out)
	}
}

// Rows that stay may be counted so that none of their counts tells another.
func TestVerifyStayedKeptBack(t *testing.T) {
	c := newCast(t)
	s := newStory(c)
	stay(s, func(x *undone, c *Certificate) {
		for i := range x.Left {
			x.Left[i].Count = "*"
		}
		x.Stay, c.Stayed[0].Rows = "* + *", "* + *"
	})
	bundle := s.tell(t)
	for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
		if !strings.HasPrefix(text, "OK\n") || !strings.Contains(text, "that stay there: * + *\n") {
			t.Errorf("%s:\n%s", by, text)
		}
	}
}

// By table, the rows that stay add up to what is said of them in all.
func TestVerifyStayedInAll(t *testing.T) {
	c := newCast(t)
	s := newStory(c)
	stay(s, func(x *undone, c *Certificate) { x.Stay, c.Stayed[0].Rows = "12", "12" })
	if Verify(s.tell(t), c.roots()).OK() {
		t.Error("a statement that adds up otherwise verifies")
	}
}

// A passage left in the target is accepted, and shown before anything else.
func TestVerifyLeft(t *testing.T) {
	const sentence = "erased; passage final-1 was not taken out of the target (failed)"
	c := newCast(t)
	s := newStory(c)
	leaves(s, 1, 1)
	bundle := s.tell(t)
	r := Verify(bundle, c.roots())
	if want := "OK\nnote  " + OneRoomSentence + "\nnote  " + sentence + "\nnote  " + placesSentence + "\n"; !strings.HasPrefix(r.Text(), want) {
		t.Errorf("%s", r.Text())
	}
	for _, name := range []string{FileReadme, FileLimits} {
		if !strings.Contains(string(bundle[name].Data), "\n"+sentence+"\n") {
			t.Errorf("%s does not say it:\n%s", name, bundle[name].Data)
		}
	}
	if out := runScript(t, onDisk(t, bundle), c.roots()); !strings.HasPrefix(out, "OK\nnote  "+OneRoomSentence+"\nnote  "+sentence+"\n") {
		t.Errorf("%s", out)
	}
}

// A report without rejects needs no dispositions.
func TestVerifyNoRejects(t *testing.T) {
	c := newCast(t)
	s := newStory(c)
	s.compared, s.dispositions = func(c *compared) { c.Compared.Rejected = nil }, nil
	bundle := s.tell(t)
	if r := Verify(bundle, c.roots()); !r.OK() {
		t.Error(r.Text())
	}
	if out := runScript(t, onDisk(t, bundle), c.roots()); !strings.HasPrefix(out, "OK\n") {
		t.Error(out)
	}
}

// firstFormat says the same words of a reason whatever the dataset, but nothing of some.
func firstFormat(but ...string) func(*Dispositions) {
	return func(d *Dispositions) {
		d.Format, d.Reasons = dispositionsV1, map[string]string{}
		for _, x := range d.Rows {
			if !slices.Contains(but, x.By) {
				d.Reasons[x.By] = x.Becomes
			}
		}
		d.Rows = nil
	}
}

// TestVerifyFirstDispositions: what was accepted with dispositions/v1 still verifies, of a
// certificate that does not name them.
func TestVerifyFirstDispositions(t *testing.T) {
	for _, named := range []bool{true, false} {
		c := newCast(t)
		s := newStory(c)
		s.dispositions = firstFormat()
		s.certificate = func(c *Certificate) {
			if !named {
				c.Disposed = ecluse.Digest{}
			}
		}
		bundle := s.tell(t)
		if r := Verify(bundle, c.roots()); !r.OK() {
			t.Error(r.Text())
		}
		if out := runScript(t, onDisk(t, bundle), c.roots()); !strings.HasPrefix(out, "OK\n") {
			t.Error(out)
		}
	}
}

// TestFirstDispositionsAreOld: who accepts now says what becomes of rows by dataset and reason:
// desk and lock take no dispositions/v1, which verifiers read.
func TestFirstDispositionsAreOld(t *testing.T) {
	report := must(EncodeJSON(struct {
		StatementHead
		compared
	}{StatementHead{ReportFormat, testMigration, ecluse.DigestOf(nil)}, func() (c compared) {
		c.Compared.Equal, c.Compared.Rejected = true, []reason{{"patient", "no code", "<10"}}
		return c
	}()}))
	of := func(d Dispositions) []byte {
		d.Migration, d.Report = testMigration, ecluse.DigestOf(report)
		return must(EncodeJSON(d))
	}
	second := of(Dispositions{Format: DispositionsFormat, Rows: []Disposition{{"patient", "no code", "kept"}}})
	if err := Explained(report, second, nil); err != nil {
		t.Error(err)
	}
	for text, then := range map[string]bool{"kept": true, "kept\nor not": false, "  ": false, strings.Repeat("x", maxLineV1+1): false} {
		first := of(Dispositions{Format: dispositionsV1, Reasons: map[string]string{"no code": text}})
		if err := Explained(report, first, nil); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%.20q now: %v", text, err)
		}
		if err := explained(report, first, nil); then != (err == nil) {
			t.Errorf("%.20q then: %v", text, err)
		}
	}
}

func FuzzExplained(f *testing.F) {
	report := must(EncodeJSON(struct {
		StatementHead
		compared
	}{StatementHead: StatementHead{ReportFormat, testMigration, ecluse.DigestOf(nil)}}))
	f.Add(report, must(EncodeJSON(Dispositions{Format: DispositionsFormat, Migration: testMigration, Report: ecluse.DigestOf(report), Rows: []Disposition{{"patient", "no code", "kept"}}})))
	f.Add(report, must(EncodeJSON(Dispositions{Format: dispositionsV1, Migration: testMigration, Report: ecluse.DigestOf(report), Reasons: map[string]string{"no code": "kept"}})))
	f.Add([]byte(strings.Replace(string(report), "false", "true", 1)), []byte(nil))
	f.Fuzz(func(t *testing.T, report, dispositions []byte) {
		if err := explained(report, dispositions, nil); err == nil && !strings.Contains(string(report), "true") {
			t.Error("accepted though nothing says that it is equal")
		}
	})
}

// What was said of gates stands in a bundle: acts outside the migration, unknown
// to its journal, on a document that no other check reads.
func TestVerifyGateActs(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	print := func(s ssh.Signer) string { return string(FingerprintOf(s.PublicKey())) }
	of := func(key ssh.Signer, place string, changes ...string) Signed {
		text := "ecluse: gate/v1\ngate: " + print(key) + "\nplace: " + place + "\nsystem: \"a, gate: b # c\"\nmachine_administered_by: [controller]\nlock: " +
			print(c.lock) + "\nroots:\n  controller: " + string(c.roots()[ecluse.Controller]) + "\n  processor: " + string(c.roots()[ecluse.Processor]) + "\n"
		return must(Sign(key, NamespaceGate, []byte(strings.NewReplacer(changes...).Replace(text))))
	}
	source, target := of(c.source, "source"), of(c.target, "target")
	stranger := newCast(t).source
	confirmed := func(w *telling, name string, p Person, by ssh.Signer, s Signed) {
		w.do(w.b.AddGate(s))
		w.says(name, ecluse.Controller, p, by, ecluse.Signatory, Clause{VerbSign, KindGate, s.Digest()})
	}
	paper := func(s Signed) func(w *telling) {
		return func(w *telling) { confirmed(w, "gate", w.pAnne, w.anne, s) }
	}
	by := func(s Signed, key ssh.Signer, namespace string) Signed {
		s.Signature = must(Sign(key, namespace, s.Body)).Signature
		return s
	}
	for name, tc := range map[string]struct {
		standing func(w *telling)
		want     string // empty: all holds
	}{
		"both confirmed, one retired since": {standing: func(w *telling) {
			confirmed(w, "source gate", w.pAnne, w.anne, source)
			confirmed(w, "target gate", w.pAnne, w.anne, target)
			w.says("retired", ecluse.Processor, w.pPaul, w.paul, ecluse.Signatory, Clause{VerbRefuse, KindGate, ecluse.DigestOf([]byte("an older one"))})
		}},
		"the document is not there": {standing: func(w *telling) {
			w.says("source gate", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{VerbSign, KindGate, source.Digest()})
		}, want: "speaks of a document that is not in the folder"},
		"without its signature": {standing: func(w *telling) {
			w.do(w.b.AddDocument(source.Body))
			w.says("source gate", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, Clause{VerbSign, KindGate, source.Digest()})
		}, want: "speaks of a document that is not in the folder, signed by its gate"},
		"of another gate too":      {standing: paper(of(stranger, "source"))},
		"signed by another":        {standing: paper(by(source, stranger, NamespaceGate)), want: "what gates say of themselves"},
		"signed as something else": {standing: paper(by(source, c.source, NamespaceStatement)), want: "what gates say of themselves"},
		"at the other side":        {standing: paper(of(c.source, "target")), want: "is of the source gate"},
		"under another root":       {standing: paper(of(c.source, "source", string(c.roots()[ecluse.Processor]), print(stranger))), want: "was enrolled under"},
		"for another lock":         {standing: paper(of(c.source, "source", print(c.lock), print(stranger))), want: "for another lock"},
		"of another format":        {standing: paper(of(c.source, "source", "gate/v1", "gate/v2")), want: "its format is"},
		"naming a gate twice":      {standing: paper(of(c.source, "source", "system: ", "gate: x\nsystem: ")), want: "what gates say of themselves"},
		"by somebody in no roster": {standing: func(w *telling) {
			p, key := testPerson(t, "eve-noir", "Eve Noir", "X-1", ecluse.Signatory)
			confirmed(w, "source gate", p, key, source)
		}, want: "eve-noir is not in roster 3 of the controller"},
		"by somebody under another's name": {standing: func(w *telling) {
			confirmed(w, "source gate", w.pAnne, w.hugo, source)
		}, want: "is not anne-martin's in roster 3"},
		"by the data-protection officer as signatory": {standing: func(w *telling) {
			confirmed(w, "source gate", w.pHugo, w.hugo, source)
		}, want: "hugo-blanc is not signatory in roster 3"},
	} {
		s := newStory(c)
		s.standing = tc.standing
		bundle := s.tell(t)
		text, out := Verify(bundle, c.roots()).Text(), runScript(t, onDisk(t, bundle), c.roots())
		if tc.want == "" && (!strings.HasPrefix(text, "OK\n") || !strings.HasPrefix(out, "OK\n")) {
			t.Errorf("%s:\n%s\nverify.sh:\n%s", name, text, out)
		}
		if tc.want != "" && (!strings.HasPrefix(text, "KO\n") || !strings.Contains(text, tc.want) || !strings.HasPrefix(out, "KO\n")) {
			t.Errorf("%s: want %q\n%s\nverify.sh:\n%s", name, tc.want, text, out)
		}
	}
}

// Inside a migration nobody confirms a gate, whatever a forged text says.
func TestVerifyGateActInside(t *testing.T) {
	c := newCast(t)
	doc := must(Sign(c.source, NamespaceGate, []byte("ecluse: gate/v1\n")))
	s := newStory(c)
	s.standing = func(w *telling) {
		r := w.roster[ecluse.Controller]
		a := &Act{
			Migration: testMigration, Side: ecluse.Controller, Person: w.pAnne.ID, Role: ecluse.Signatory, Roster: r.Digest(), RosterNumber: r.Number,
			NotBefore: w.at.Truncate(time.Second), NotAfter: w.at.Truncate(time.Second).Add(time.Hour), Nonce: NewNonce(),
			Clauses: []Clause{{VerbSign, KindGate, doc.Digest()}},
		}
		w.do(w.b.AddGate(doc))
		w.do(w.b.AddAct(must(Sign(w.anne, NamespaceAct, a.Text()))))
	}
	bundle := s.tell(t)
	for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
		if !strings.HasPrefix(text, "KO\n") || !strings.Contains(text, "an act on a gate names no migration") {
			t.Errorf("%s:\n%s", by, text)
		}
	}
}

func TestVerifyNotAnchored(t *testing.T) {
	c := newCast(t)
	bundle := newStory(c).tell(t)
	if got := Verify(bundle, nil).Verdict(); got != VerdictNotAnchored {
		t.Errorf("without roots: %s", got)
	}
	one := map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: c.roots()[ecluse.Controller]}
	if got := Verify(bundle, one).Verdict(); got != VerdictNotAnchored {
		t.Errorf("with one root: %s", got)
	}
	other := newCast(t).roots()
	if got := Verify(bundle, other).Verdict(); got != VerdictKO {
		t.Errorf("with other roots: %s", got)
	}
	other[ecluse.Controller] = c.roots()[ecluse.Controller]
	if got := Verify(bundle, other).Verdict(); got != VerdictKO {
		t.Errorf("with another processor's root: %s", got)
	}
	if got := Verify(fstest.MapFS{}, c.roots()).Verdict(); got != VerdictKO {
		t.Errorf("an empty folder: %s", got)
	}
}

// listedOnce is a bundle of which the same files stay: it is listed once, not for each of
// some hundred thousand flips.
type listedOnce struct {
	fstest.MapFS
	dirs map[string][]fs.DirEntry
}

func (s listedOnce) ReadDir(name string) ([]fs.DirEntry, error) {
	if all, ok := s.dirs[name]; ok {
		return all, nil
	}
	all, err := s.MapFS.ReadDir(name)
	s.dirs[name] = all
	return all, err
}

func (s listedOnce) ReadFile(name string) ([]byte, error) { return s.MapFS[name].Data, nil }

// TestVerifyEveryByte flips every byte of every file of a bundle; in the files
// that close it, which no sum protects, several bits of each.
func TestVerifyEveryByte(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	bundle := newStory(c).tell(t)
	folder := listedOnce{bundle, map[string][]fs.DirEntry{}}
	flips, runs := 0, stocktest.Share(t, 4)
	for name, f := range bundle {
		for i := range f.Data {
			if !runs(i) {
				continue
			}
			bits := []byte{0x01, 0x20, 0x80}
			if !strings.HasPrefix(name, FileSums) {
				bits = bits[i%3 : i%3+1]
			}
			for _, bit := range bits {
				f.Data[i] ^= bit
				if r := Verify(folder, c.roots()); r.Verdict() != VerdictKO {
					t.Fatalf("%s, byte %d ^ %#x:\n%s", name, i, bit, r.Text())
				}
				f.Data[i] ^= bit
				flips++
			}
		}
	}
	if r := Verify(folder, c.roots()); !r.OK() {
		t.Fatalf("the bundle was not put back:\n%s", r.Text())
	}
	t.Logf("%d flips in %d files", flips, len(bundle))
}

func TestVerifyFiles(t *testing.T) {
	c := newCast(t)
	bundle := newStory(c).tell(t)
	for name, f := range bundle {
		delete(bundle, name)
		if got := Verify(bundle, c.roots()).Verdict(); got != VerdictKO {
			t.Errorf("without %s: %s", name, got)
		}
		bundle[name] = f
	}
	for _, name := range []string{"extra.txt", "acts/SHA256SUMS", DocumentFile(ecluse.DigestOf([]byte("x")))} {
		bundle[name] = &fstest.MapFile{Data: []byte("x"), Mode: 0o600}
		if got := Verify(bundle, c.roots()).Verdict(); got != VerdictKO {
			t.Errorf("with %s: %s", name, got)
		}
		delete(bundle, name)
	}
}

// forgery is a story in which somebody with keys of their own cheats: every sum
// and every signature holds, and one check must still fail.
type forgery struct {
	name  string
	check string // beginning of the check's name
	cheat func(s *story)
}

func forgeries(t testing.TB) []forgery {
	stranger, _ := testKey(t, "ed25519", "")
	drop := func(which string) func(*story) {
		return func(s *story) { s.act = func(name string, _ *Act, _ *ssh.Signer) bool { return name != which } }
	}
	edit := func(which string, f func(s *story, a *Act, by *ssh.Signer)) func(*story) {
		return func(s *story) {
			s.act = func(name string, a *Act, by *ssh.Signer) bool {
				if name == which {
					f(s, a, by)
				}
				return true
			}
		}
	}
	replace := func(old, with string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, with, 1) }
	}
	zero := ecluse.DigestOf(nil).String()
	tried := func(edit func(x *trial)) func(*story) { return func(s *story) { s.tried = edit } }
	released := func(edit func(r *MaskedRow)) func(*story) {
		return func(s *story) {
			s.release, s.released = func(*Released, *Act, *ssh.Signer) {}, edit
		}
	}
	return []forgery{
		{"a gate nobody instructed signs the sums", "both gates", func(s *story) { s.sumsBy[TargetGate] = stranger }},
		{"one gate signs twice", "both gates", func(s *story) { s.sumsBy[TargetGate] = s.source }},
		{"same root for both", "contract, instruction", func(s *story) { s.root[ecluse.Processor] = s.root[ecluse.Controller] }},
		{"no root in the contract", "contract, instruction", func(s *story) { s.contract = strings.ReplaceAll(s.contract, "root:", "key:") }},
		{"instruction under another contract", "contract, instruction", func(s *story) {
			s.instruction = strings.Replace(s.instruction, "contract: %s", "contract: "+zero+" # %s", 1)
		}},
		{"a root given twice", "contract, instruction", func(s *story) { s.contract += "parties: {}\n" }},
		{"roster of another root", "rosters", func(s *story) {
			s.rosterRoot = map[ecluse.Side]ssh.Signer{ecluse.Controller: stranger, ecluse.Processor: s.root[ecluse.Processor]}
		}},
		{"roster that follows another", "rosters", func(s *story) { s.roster = func(r *Roster) { r.Previous[0] ^= 1 } }},
		{"signers who are not in the roster", "rosters", func(s *story) {
			s.files = func(f map[string][]byte) { f["rosters/processor-3.signers"] = []byte("x") }
		}},
		{"a file under another name", "every file", func(s *story) {
			s.files = func(f map[string][]byte) { f["patients.csv"] = []byte("x") }
		}},

		{"act by a stranger's key", "acts", edit("loadplan", func(_ *story, _ *Act, by *ssh.Signer) { *by = stranger })},
		{"act by a colleague's key", "acts", edit("loadplan", func(s *story, _ *Act, by *ssh.Signer) { *by = s.hugo })},
		{"act in a role not given", "acts", edit("loadplan", func(_ *story, a *Act, _ *ssh.Signer) { a.Role = ecluse.Operator })},
		{"act handed in too late", "acts", edit("loadplan", func(_ *story, a *Act, _ *ssh.Signer) { a.NotAfter = a.NotBefore.Add(time.Second) })},
		{"act of another migration", "acts", edit("loadplan", func(_ *story, a *Act, _ *ssh.Signer) { a.Migration = "other-2026" })},
		{"act on a document not there", "acts", edit("accept", func(_ *story, a *Act, _ *ssh.Signer) { a.Clauses[1].Subject[0] ^= 1 })},
		{"act under another number of roster", "acts", edit("loadplan", func(_ *story, a *Act, _ *ssh.Signer) { a.RosterNumber = 2 })},
		{"act handed in and left out", "acts", func(s *story) {
			s.leaf = func(l *Leaf) bool {
				if l.Type == "manifest" {
					l.Type, l.IDs = LeafAct, map[string]string{"act": l.IDs["manifest"]}
				}
				return true
			}
		}},
		{"act never handed in", "acts", func(s *story) { s.leaf = func(l *Leaf) bool { return l.Index != 1 || l.Type != LeafAct } }},
		{"contract act before the mandate", "acts", edit("contract", func(_ *story, a *Act, _ *ssh.Signer) { a.NotBefore = a.NotBefore.AddDate(-1, 0, 0) })},
		{"a person whose mandate ended", "acts", func(s *story) {
			s.people = func(_ ecluse.Side, ps []Person) []Person { ps[0].Until = "2026-11-22"; return ps }
		}},

		{"contract signed by nobody", "contract signed", drop("contract")},
		{"contract signed by the operator", "contract signed", edit("contract", func(s *story, a *Act, by *ssh.Signer) {
			if a.Side == ecluse.Processor {
				a.Person, a.Role, *by = s.pLuc.ID, ecluse.Operator, s.luc
			}
		})},
		{"contract signed by one person for both", "contract signed", func(s *story) {
			s.people = func(side ecluse.Side, ps []Person) []Person {
				if side == ecluse.Processor {
					ps[0].Employee = s.pAnne.Employee
				}
				return ps
			}
		}},
		{"instruction signed by nobody", "contract signed", edit("instruction", func(_ *story, a *Act, _ *ssh.Signer) { a.Clauses = a.Clauses[1:] })},
		{"instruction refused", "contract signed", edit("instruction", func(_ *story, a *Act, _ *ssh.Signer) { a.Clauses[0].Verb = VerbRefuse })},

		{"read plan approved by one party", "read plan", drop("readplan")},
		{"read plan approved by one person", "read plan", func(s *story) {
			s.people = func(side ecluse.Side, ps []Person) []Person {
				if side == ecluse.Processor {
					ps[1].Email = strings.ToUpper(s.pAnne.Email)
				}
				return ps
			}
		}},
		{"read plan of another instruction", "read plan", func(s *story) {
			s.readPlan = replace(`"instruction":"sha256:`, `"instruction":"`+zero+`","was":"sha256:`)
		}},
		{"read plan for another gate", "read plan", func(s *story) { s.readPlan = replace(`"target":{"gate":"SHA256:`, `"target":{"gate":"SHA256:x`) }},
		{"read plan with a field twice", "read plan", func(s *story) { s.readPlan = replace(`"datasets":[]`, `"datasets":[],"datasets":[1]`) }},
		{"certificate of another read plan", "read plan", func(s *story) { s.certificate = func(c *Certificate) { c.Plan[0] ^= 1 } }},
		{"final load plan approved by nobody", "load plans", drop("loadplan")},
		{"final load plan approved by the processor", "load plans", edit("loadplan", func(s *story, a *Act, by *ssh.Signer) {
			a.Side, a.Person, a.Role, *by = ecluse.Processor, s.pLuc.ID, ecluse.Operator, s.luc
			a.Roster = s.processor.Digest()
		})},
		{"read plan of another contract", "read plan", func(s *story) { s.readPlan = replace(`"contract":"sha256:`, `"contract":"`+zero+`","was":"sha256:`) }},
		{"mapping that is not the final one", "load plans", func(s *story) {
			s.files = func(f map[string][]byte) {
				f[DocumentFile(ecluse.DigestOf(f[FileMapping]))] = f[FileMapping]
				f[FileMapping] = []byte("another")
			}
		}},
		{"load plan of another read plan", "load plans", func(s *story) { s.loadPlan = replace(`"read_plan":"sha256:`, `"read_plan":"`+zero+`","was":"sha256:`) }},
		{"load plan of an unknown mapping", "load plans", func(s *story) { s.loadPlan = replace(`"mapping":"sha256:`, `"mapping":"`+zero+`","was":"sha256:`) }},
		{"load plan of an unknown table", "load plans", func(s *story) {
			s.loadPlan = replace(`"file":"m.csv","sha256":"sha256:`, `"file":"m.csv","sha256":"`+zero+`","was":"sha256:`)
		}},
		{"final load plan said to be dry", "load plans", func(s *story) { s.loadPlan = replace(`"final"`, `"dry"`) }},

		{"a passage that began under another plan", "load plans", func(s *story) {
			s.leaf = func(l *Leaf) bool {
				if l.Type == LeafBegun {
					l.IDs["load_plan"] = zero
				}
				return true
			}
		}},
		{"a rehearsal whose plan lies among the documents", "load plans", func(s *story) {
			hidden := []byte("{}\n")
			s.leaf = func(l *Leaf) bool {
				if l.Type == LeafBegun {
					l.IDs = map[string]string{"passage": "rehearsal-1", "load_plan": ecluse.DigestOf(hidden).String()}
				}
				return true
			}
			s.files = func(f map[string][]byte) { f[DocumentFile(ecluse.DigestOf(hidden))] = hidden }
		}},
		{"a rehearsal said to be the final passage", "load plans", func(s *story) {
			s.leaf = func(l *Leaf) bool {
				if l.Type == LeafBegun {
					l.IDs["passage"] = "rehearsal-1"
				}
				return true
			}
		}},
		{"a passage that began, and nobody says which", "load plans", func(s *story) {
			s.leaf = func(l *Leaf) bool {
				if l.Type == LeafBegun {
					delete(l.IDs, "passage")
				}
				return true
			}
		}},

		{"recipient made by the source", "recipients", func(s *story) { s.recipient = func(_ *Recipient, g *ssh.Signer) { *g = s.source } }},
		{"recipient of another instruction", "recipients", func(s *story) { s.recipient = func(r *Recipient, _ *ssh.Signer) { r.Instruction[0] ^= 1 } }},
		{"recipient not in the plan", "recipients", func(s *story) { s.readPlan = replace(`"recipient":"sha256:`, `"recipient":"`+zero+`","was":"sha256:`) }},

		{"chunk of another plan", "chunks", func(s *story) { s.descriptor = func(d *Descriptor) { d.Plan[0] ^= 1 } }},
		{"superseded chunk of another plan", "chunks", func(s *story) {
			s.descriptor = func(d *Descriptor) {
				if d.Slot.Dataset == "result" {
					d.Plan[0] ^= 1
				}
			}
			s.manifest = func(m *Manifest) { m.Datasets = m.Datasets[:2] }
		}},
		{"rejects of an unknown load plan", "chunks", func(s *story) {
			s.descriptor = func(d *Descriptor) {
				if d.Slot.Dataset == "ecluse.rejects.patient" {
					d.Plan[0] ^= 1
				}
			}
		}},
		{"chunk of another migration", "chunks", func(s *story) { s.descriptor = func(d *Descriptor) { d.Migration = "other-2026" } }},
		{"chunk the journal never saw", "chunks", func(s *story) { s.leaf = func(l *Leaf) bool { return l.Index != 4 || l.Type != LeafChunk } }},
		{"chunk left out of the folder", "chunks", func(s *story) {
			s.files = func(f map[string][]byte) {
				delete(f, "rejects/ecluse.rejects.patient/000000.0.json")
				delete(f, "rejects/ecluse.rejects.patient/000000.0.json.sig")
			}
		}},
		{"chunk under another name", "chunks", func(s *story) {
			s.files = func(f map[string][]byte) {
				for _, suffix := range []string{"", ".sig"} {
					f["chunks/other/000000.0.json"+suffix] = f["chunks/result/000000.0.json"+suffix]
					delete(f, "chunks/result/000000.0.json"+suffix)
				}
			}
		}},
		{"manifest with other rows", "chunks", func(s *story) {
			s.manifest = func(m *Manifest) { m.Datasets[1].Rows++; m.Datasets[1].Chunks[0].Rows++ }
		}},
		{"manifest of another plan", "chunks", func(s *story) { s.manifest = func(m *Manifest) { m.Plan[0] ^= 1 } }},
		{"manifest not the certificate's", "chunks", func(s *story) { s.certificate = func(c *Certificate) { c.Manifest[0] ^= 1 } }},

		{"the source read again, which nobody granted", "chunks", func(s *story) { again(s, 0, 1, 1) }},
		{"the source read again more often than was granted", "chunks", func(s *story) { again(s, 1, 2, 2) }},
		{"the source read again, and granted what is no number", "chunks", func(s *story) {
			again(s, 0, 1, 1)
			s.instruction += "passages: {catch_up: 1x}\n"
		}},
		{"a report of the reading before the last accepted", "report accepted", func(s *story) { again(s, 2, 2, 1) }},
		{"a report of the first reading accepted", "report accepted", func(s *story) { again(s, 2, 1, 0) }},
		{"a report of a reading that never was", "report accepted", func(s *story) { again(s, 2, 1, 2) }},

		{"chunk not erased", "every chunk", func(s *story) { s.certificate = func(c *Certificate) { c.Objects = c.Objects[1:] } }},
		{"chunk erased that never was", "every chunk", func(s *story) {
			s.certificate = func(c *Certificate) {
				o := c.Objects[0]
				o.Slot.Dataset = "zzz"
				c.Objects = append(c.Objects, o)
			}
		}},
		{"chunk erased otherwise", "every chunk", func(s *story) { s.certificate = func(c *Certificate) { c.Objects[0].Size++ } }},
		{"privileges of another plan", "records", func(s *story) { s.privileges = func(h *StatementHead) { h.Plan[0] ^= 1 } }},
		{"privileges of another migration", "records", func(s *story) { s.privileges = func(h *StatementHead) { h.Migration = "other-2026" } }},
		{"no record of privileges after", "records", func(s *story) {
			s.files = func(f map[string][]byte) {
				delete(f, "privileges/source-1-after.json")
				delete(f, "privileges/source-1-after.json.sig")
			}
		}},
		{"certificate of another instruction", "certificate", func(s *story) { s.certificate = func(c *Certificate) { c.Instruction[0] ^= 1 } }},
		{"another administers the source", "certificate", func(s *story) { s.certificate = func(c *Certificate) { c.SourceAdmin = ecluse.Processor } }},
		{"another administers the target", "certificate", func(s *story) { s.certificate = func(c *Certificate) { c.TargetAdmin = ecluse.Processor } }},
		{"a backup more", "certificate", func(s *story) { s.certificate = func(c *Certificate) { c.Backups.SourceGate = "2027-01-31" } }},
		{"a backup less", "certificate", func(s *story) { s.certificate = func(c *Certificate) { c.Backups.Lock = NoBackup } }},
		{"nobody said a word on backups", "certificate", func(s *story) { s.instruction = strings.Replace(s.instruction, "backups:", "other:", 1) }},
		{"a half of the key not destroyed", "every chunk", func(s *story) { s.certificate = func(c *Certificate) { c.Keys[0].ID = ecluse.Digest{} } }},
		{"the key of rejects not destroyed", "every chunk", func(s *story) { s.certificate = func(c *Certificate) { c.Keys[1].ID = c.Keys[0].ID } }},
		{"readme without the warning", "certificate", func(s *story) {
			s.files = func(f map[string][]byte) {
				f[FileReadme] = []byte(strings.Replace(string(f[FileReadme]), OneRoomSentence, "", 1))
			}
		}},

		{"report accepted by nobody", "report", drop("accept")},
		{"report accepted by the DPO", "report", edit("accept", func(s *story, a *Act, by *ssh.Signer) {
			a.Person, a.Role, *by = s.pHugo.ID, ecluse.DPO, s.hugo
		})},
		{"accepted though not equal", "report", func(s *story) { s.compared = func(c *compared) { c.Compared.Equal = false } }},
		{"accepted with rejects and no word on them", "report", func(s *story) { s.dispositions = nil }},
		{"accepted with a reason left out", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Rows = d.Rows[:2] } }},
		{"accepted with a reason of another dataset", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Rows[1].Dataset = "patient2" } }},
		{"accepted with a reason left blank", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Rows[1].Becomes = "  " } }},
		{"accepted with a reason twice", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Rows = append(d.Rows, d.Rows[0]) } }},
		{"accepted with a word that is two lines", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Rows[1].Becomes = "by\nhand" } }},
		{"accepted with words of two formats", "report", func(s *story) {
			s.dispositions = func(d *Dispositions) { d.Reasons = map[string]string{"no code": "left"} }
		}},
		{"accepted by the first format, in two lines", "report", func(s *story) {
			s.dispositions = func(d *Dispositions) { firstFormat()(d); d.Reasons["no code"] = "by\nhand" }
		}},
		{"accepted by the first format, a reason left out", "report", func(s *story) { s.dispositions = firstFormat("no code") }},
		{"accepted by the first format, a reason left blank", "report", func(s *story) {
			s.dispositions = func(d *Dispositions) { firstFormat()(d); d.Reasons["no code"] = "  " }
		}},
		{"a certificate of other dispositions", "report", func(s *story) { s.certificate = func(c *Certificate) { c.Disposed[0] ^= 1 } }},
		{"a certificate without the dispositions", "report", func(s *story) { s.certificate = func(c *Certificate) { c.Disposed = ecluse.Digest{} } }},
		{"accepted with a field for a reason", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Rows[1].By = "migration" } }},
		{"accepted with a part of a reason", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Rows[1].By = "code" } }},
		{"accepted with dispositions of another report", "report", func(s *story) { s.dispositions = func(d *Dispositions) { d.Report[0] ^= 1 } }},
		{"accepted with a reason too many", "report", func(s *story) {
			s.dispositions = func(d *Dispositions) { d.Rows = append(d.Rows, Disposition{"patient", "whim", "none"}) }
		}},
		{"report of another load", "report", func(s *story) { s.report = func(h *StatementHead) { h.Plan = ecluse.DigestOf(nil) } }},
		{"report of the reading", "report", func(s *story) { s.report = func(h *StatementHead) { h.Plan = s.plan } }},
		{"report of another kind", "report", func(s *story) { s.report = func(h *StatementHead) { h.Format = PrivilegesFormat } }},
		{"a report in the accepted one's place", "report", func(s *story) {
			s.trigger = ByOrder
			s.files = func(f map[string][]byte) {
				r := must(SignStatement(s.target, StatementHead{ReportFormat, testMigration, s.plan}))
				f[FileReport], f[FileReport+".sig"] = r.Body, r.Signature
			}
		}},
		{"accepted and never closed", "report", func(s *story) {
			s.certificate = func(c *Certificate) { c.Manifest = ecluse.Digest{} }
			s.files = func(f map[string][]byte) { delete(f, FileManifest); delete(f, FileManifest+".sig") }
		}},
		{"another act named", "report", func(s *story) { s.certificate = func(c *Certificate) { c.Act[0] ^= 1 } }},

		{"left in the target, and the journal does not say so", "passages that stay", func(s *story) { leaves(s, 1, 0) }},
		{"said to be undone, and left", "passages that stay", func(s *story) { leaves(s, 0, 1) }},
		{"left for another reason", "passages that stay", func(s *story) {
			leaves(s, 1, 1)
			s.journalLeft = []LeftPassage{{s.left[0].Passage, ecluse.Unverified}}
		}},
		{"another passage left", "passages that stay", func(s *story) {
			leaves(s, 1, 1)
			l := []LeftPassage{{ecluse.Passage{Kind: ecluse.Final, Number: 2}, ecluse.Failed}}
			s.left, s.journalLeft = l, l
		}},
		{"read, and nobody says what", "other statements", func(s *story) {
			s.files = func(f map[string][]byte) {
				maps.DeleteFunc(f, func(name string, _ []byte) bool { return strings.HasPrefix(name, "statements/source-") })
			}
		}},
		{"reading of another manifest", "other statements", func(s *story) { s.extract = func(x *extracted) { x.Manifest[0] ^= 1 } }},
		{"reading of another plan", "other statements", func(s *story) { s.extract = func(x *extracted) { x.Plan = ecluse.DigestOf(nil) } }},
		{"reading under another format", "other statements", func(s *story) { s.extract = func(x *extracted) { x.Format = ReportFormat } }},
		{"reading of more rows", "other statements", func(s *story) { s.extract = func(x *extracted) { x.Rows["patient"]++ } }},
		{"reading of another dataset", "other statements", func(s *story) { s.extract = func(x *extracted) { x.Rows["sida"] = 1 } }},
		{"row released by nobody of the roster", "other statements", func(s *story) { s.release = func(_ *Released, _ *Act, by *ssh.Signer) { *by = stranger } }},
		{"row released by the processor", "other statements", func(s *story) { s.release = func(_ *Released, a *Act, _ *ssh.Signer) { a.Side = ecluse.Processor } }},
		{"row released in another migration", "other statements", func(s *story) { s.release = func(_ *Released, a *Act, _ *ssh.Signer) { a.Migration = "other-2026" } }},
		{"another row released", "other statements", func(s *story) { s.release = func(x *Released, _ *Act, _ *ssh.Signer) { x.Row.Cells[0].Shape = "AAA" } }},
		{"row released in another role", "other statements", func(s *story) { s.release = func(_ *Released, a *Act, _ *ssh.Signer) { a.Role = ecluse.DPO } }},
		{"row released before its roster", "other statements", func(s *story) {
			s.release = func(_ *Released, a *Act, _ *ssh.Signer) { a.NotBefore = testDay.AddDate(-1, 0, 0) }
		}},
		{"row released by an act that it does not name", "other statements", func(s *story) {
			s.release = func(x *Released, _ *Act, _ *ssh.Signer) { x.ActDigest = ecluse.DigestOf(nil) }
		}},
		{"row released by an act that says more", "other statements", func(s *story) {
			s.release = func(_ *Released, a *Act, _ *ssh.Signer) {
				a.Clauses = append(a.Clauses, Clause{VerbSign, KindShown, ecluse.DigestOf(nil)})
			}
		}},
		{"row released, and not in the journal", "other statements", func(s *story) {
			s.release = func(*Released, *Act, *ssh.Signer) {}
			s.leaf = func(l *Leaf) bool { return l.Type != LeafReleased }
		}},
		{"row released, and another in the journal", "other statements", func(s *story) {
			s.release = func(*Released, *Act, *ssh.Signer) {}
			s.leaf = func(l *Leaf) bool {
				if l.Type == LeafReleased {
					l.IDs["statement"] = zero
				}
				return true
			}
		}},
		{"row released in other words", "other statements", func(s *story) {
			s.release = func(*Released, *Act, *ssh.Signer) {}
			s.leaf = func(l *Leaf) bool {
				if l.Type == LeafReleased {
					l.Type = "rejects-shown"
				}
				return true
			}
		}},
		{"row released with a value", "other statements", released(func(r *MaskedRow) { r.Cells[0].Shape = "Dupont" })},
		{"row released with a result for a shape", "other statements", released(func(r *MaskedRow) { r.Cells[0].Shape = "+++" })},
		{"row released with a sign at an end", "other statements", released(func(r *MaskedRow) { r.Cells[0].Shape = "<9.99" })},
		{"row released with a count that is none", "other statements", released(func(r *MaskedRow) { r.Cells[0].Shape = "A{77}" })},
		{"row released at length", "other statements", released(func(r *MaskedRow) { r.Cells[0].Shape = strings.Repeat("A9", 40) })},
		{"row released of no column", "other statements", released(func(r *MaskedRow) { r.Cells[0].Column = "" })},
		{"row released of no dataset", "other statements", released(func(r *MaskedRow) { r.Dataset = "" })},
		{"undone, and nobody says so", "other statements", func(s *story) { s.trigger, s.undoFormat = ByDeadline, ReportFormat }},
		{"undone by the source's word", "other statements", func(s *story) { s.trigger, s.undoBy = ByDeadline, s.source }},
		{"rows stay, and the certificate does not say so", "other statements", func(s *story) { stay(s, func(_ *undone, c *Certificate) { c.Stayed = nil }) }},
		{"rows stay, and the certificate says fewer", "other statements", func(s *story) { stay(s, func(_ *undone, c *Certificate) { c.Stayed[0].Rows = "<10" }) }},
		{"rows stay, by another statement", "other statements", func(s *story) {
			stay(s, func(_ *undone, c *Certificate) { c.Stayed[0].Statement = ecluse.DigestOf(nil) })
		}},
		{"rows stay, of another passage", "other statements", func(s *story) { stay(s, func(_ *undone, c *Certificate) { c.Stayed[0].Passage.Number = 2 }) }},
		{"no rows stay, and the certificate says so", "other statements", func(s *story) { stay(s, func(x *undone, _ *Certificate) { x.Left, x.Stay = nil, "" }) }},
		{"statement under another name", "other statements", func(s *story) {
			s.trigger = ByDeadline
			s.files = func(f map[string][]byte) {
				name := StatementFile(TargetGate, ecluse.DigestOf(nil))
				for old := range f {
					if strings.HasPrefix(old, "statements/target-") && !strings.HasPrefix(old, name) {
						f[name+strings.TrimPrefix(old, old[:len(name)])] = f[old]
						delete(f, old)
					}
				}
			}
		}},
		{"mapping that never met invented rows", "final mappings", tried(func(x *trial) { x.by = nil })},
		{"mapping that did not pass on invented rows", "final mappings", tried(func(x *trial) { x.passed = false })},
		{"another mapping on invented rows", "final mappings", tried(func(x *trial) { x.mapping[0] ^= 1 })},
		{"invented rows of another plan", "other statements", tried(func(x *trial) { x.twin.Plan[0] ^= 1 })},
		{"invented rows by the source's word", "other statements", func(s *story) { s.tried = func(x *trial) { x.by = s.source } }},
		{"mapping that was never tried", "final mappings", tried(func(x *trial) { x.passage = "" })},
		{"mapping tried on hardly any row", "final mappings", tried(func(x *trial) { x.scant = []ecluse.DatasetID{"patient"} })},
		{"mapping tried, and nobody says so", "final mappings", tried(func(x *trial) { x.unsaid = true })},
		{"another mapping was tried", "final mappings", tried(func(x *trial) { x.of = ecluse.DigestOf([]byte("code,test\n1,GLU\n")) })},
		{"mapping of whose dry run a check differs", "final mappings", tried(func(x *trial) { x.checks = []checkVerdict{{"n", 2, 0}, {"m", 3, 1}} })},
		{"mapping whose rehearsal was not equal", "final mappings", tried(func(x *trial) { x.passage = ecluse.Rehearsal })},
		{"rehearsal before its mapping met invented rows", "final mappings", func(s *story) {
			s.tried = func(x *trial) {
				x.passage, x.equal, x.of, x.took = ecluse.Rehearsal, true, ecluse.DigestOf([]byte("code,test\n1,GLU\n")), 1
			}
			s.instruction += "passages: {dry: 0, rehearsal: 1, untried: \"three rows: they are compared by eye\"}\n"
		}},
		{"rehearsal that loaded rows, and nothing was there to be taken out", "other statements", func(s *story) {
			s.tried = func(x *trial) { x.passage, x.equal, x.took = ecluse.Rehearsal, true, 0 }
		}},
		{"rehearsal that loaded rows, and nothing was there to be taken out, said otherwise once more", "other statements", func(s *story) {
			s.tried = func(x *trial) { x.passage, x.equal, x.took, x.denied = ecluse.Rehearsal, true, 0, true }
		}},
		{"test base that does not stand as before", "other statements", func(s *story) {
			s.tried = func(x *trial) { x.passage, x.equal, x.altered = ecluse.Rehearsal, true, true }
		}},
		{"no order after all", "report", func(s *story) {
			s.trigger = ByOrder
			edit("order", func(_ *story, a *Act, _ *ssh.Signer) { a.Clauses[0].Verb = VerbObject })(s)
		}},
		{"ordered by the security officer", "acts", func(s *story) {
			s.trigger = ByOrder
			edit("order", func(_ *story, a *Act, _ *ssh.Signer) { a.Role = ecluse.Security })(s)
		}},

		{"head over another tree", "journal", func(s *story) { s.head = func(h *Head) { h.Root[0] ^= 1 } }},
		{"head of another size", "journal", func(s *story) { s.head = func(h *Head) { h.Size++ } }},
		{"head dated before its leaves", "journal", func(s *story) { s.head = func(h *Head) { h.At = testDay } }},
		{"two locks", "journal", func(s *story) {
			s.head = func(h *Head) {
				s.headBy["lock"] = s.lock
				if h.Size == 3 {
					s.headBy["lock"] = stranger
				}
			}
		}},
		{"heads whose time runs backwards", "journal", func(s *story) {
			s.head = func(h *Head) {
				if h.Size == 3 {
					h.At = h.At.Add(time.Hour)
				}
			}
		}},
		{"head of another migration", "journal", func(s *story) { s.head = func(h *Head) { h.Tree = "other-2026" } }},
		{"head cosigned by one gate twice", "journal", func(s *story) { s.headBy["target"] = s.source }},
		{"lock with the gate's key", "journal", func(s *story) { s.headBy["lock"] = s.source }},
		{"leaves after the last head", "journal", func(s *story) {
			s.files = func(f map[string][]byte) {
				lines := strings.SplitAfter(string(f[FileLeaves]), "\n")
				l := must(ParseLeaf([]byte(strings.TrimSpace(lines[len(lines)-2]))))
				l.Index++
				f[FileLeaves] = append(append(f[FileLeaves], must(l.Bytes())...), '\n')
			}
		}},
		{"leaves reordered", "journal", func(s *story) {
			s.files = func(f map[string][]byte) {
				lines := strings.SplitAfter(string(f[FileLeaves]), "\n")
				lines[3], lines[4] = lines[4], lines[3]
				f[FileLeaves] = []byte(strings.Join(lines, ""))
			}
		}},
		{"time running backwards", "journal", func(s *story) {
			s.leaf = func(l *Leaf) bool {
				if l.Index == 5 {
					l.At = testDay.Add(3 * time.Hour)
				}
				return true
			}
		}},
	}
}

// TestVerifyReleased: a row that somebody of the controller's released is no obstacle.
func TestVerifyReleased(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	s := newStory(c)
	s.release = func(*Released, *Act, *ssh.Signer) {}
	bundle := s.tell(t)
	for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
		if !strings.HasPrefix(text, "OK\n") {
			t.Errorf("%s:\n%s", by, text)
		}
	}
}

// TestVerifyTried: a mapping was tried dry, or in a rehearsal that was equal, or the
// instruction says why not; older procedures asked for less.
func TestVerifyTried(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	procedure := func(digest string) func(string) string {
		return func(text string) string {
			return strings.Replace(text, `"passage":"final"`, `"procedure":"`+digest+`","passage":"final"`, 1)
		}
	}
	none := func(x *trial) { x.by, x.passage = nil, "" }
	for name, tc := range map[string]struct {
		change func(s *story)
		ok     bool
	}{
		"dry, with figures": {func(s *story) { s.tried = func(x *trial) { x.checks = []checkVerdict{{"n", 2, 0}, {"m", 0, 0}} } }, true},
		"in rehearsal":      {func(s *story) { s.tried = func(x *trial) { x.passage, x.equal = ecluse.Rehearsal, true } }, true},
		"the instruction says why not": {func(s *story) {
			s.tried = func(x *trial) { x.passage = "" }
			s.instruction += "passages: {dry: 0, rehearsal: 0, untried: \"three rows: they are compared by eye\"}\n"
		}, true},
		"the instruction says nothing of why not": {func(s *story) {
			s.tried = func(x *trial) { x.passage = "" }
			s.instruction += "passages: {dry: 0, rehearsal: 0, untried: ' '}\n"
		}, false},
		"a dataset came to nothing": {func(s *story) { s.tried = func(x *trial) { x.unmapped = []ecluse.DatasetID{"patient"} } }, false},
		"a figure differs": {func(s *story) {
			s.tried = func(x *trial) { x.checks = []checkVerdict{{Name: "results", Lines: 3, Off: 1}} }
		}, false},
		"no figure differs":                {func(s *story) { s.tried = func(x *trial) { x.checks = []checkVerdict{{Name: "results", Lines: 3}} } }, true},
		"on invented rows only afterwards": {func(s *story) { s.tried = func(x *trial) { x.late = true } }, false},
		"on real rows only afterwards":     {func(s *story) { s.tried = func(x *trial) { x.reportLate = true } }, false},
		"by the first procedure":           {func(s *story) { s.tried, s.loadPlan = none, procedure(untriedProcedures()[0]) }, true},
		"by the last without":              {func(s *story) { s.tried, s.loadPlan = none, procedure(untriedProcedures()[6]) }, true},
		"by the first with": {func(s *story) {
			s.tried, s.loadPlan = none, procedure("sha256:bf42ef6a070412dc28836f272e8ff61df2ae228390f55a79b43d104c8194bab3")
		}, false},
		"by a later one": {func(s *story) { s.tried, s.loadPlan = none, procedure(ecluse.DigestOf(nil).String()) }, false},
	} {
		s := newStory(c)
		tc.change(s)
		bundle := s.tell(t)
		for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
			if strings.HasPrefix(text, "OK\n") != tc.ok {
				t.Errorf("%s, %s:\n%s", name, by, text)
			}
			if only := strings.Contains(text, "tried dry only: 1 checks of rows as they would be written were equal, nothing was written or read back"); only != (name == "dry, with figures" || name == "no figure differs") {
				t.Errorf("%s, %s: what the dry run was:\n%s", name, by, text)
			}
		}
	}
}

// again has the source read again: as often as granted, up to a reading, and the report of
// another.
func again(s *story, granted, reading, reported int) {
	if granted > 0 {
		s.instruction += fmt.Sprintf("passages: {dry: 1, catch_up: %d, final: 1}\n", granted)
	}
	s.manifest = func(m *Manifest) { m.Epochs, m.Reading = reading+1, reading }
	s.reported = reported
}

// TestVerifyReadings: the report of the last reading, as many as were granted, is what is
// accepted; both verifiers say so.
func TestVerifyReadings(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	for _, n := range []struct{ granted, reading int }{{1, 0}, {1, 1}, {12, 10}, {12, 12}} {
		s := newStory(c)
		again(s, n.granted, n.reading, n.reading)
		bundle := s.tell(t)
		for by, text := range map[string]string{"ecluse": Verify(bundle, c.roots()).Text(), "verify.sh": runScript(t, onDisk(t, bundle), c.roots())} {
			if !strings.HasPrefix(text, "OK\n") {
				t.Errorf("%+v, %s:\n%s", n, by, text)
			}
		}
	}
}

func TestVerifyForgeries(t *testing.T) {
	for _, f := range forgeries(t) {
		t.Run(f.name, func(t *testing.T) {
			c := newCast(t)
			s := newStory(c)
			f.cheat(s)
			r := Verify(s.tell(t), c.roots())
			for _, l := range r.Lines {
				if !l.OK {
					if !strings.HasPrefix(l.Check, f.check) {
						t.Errorf("another check fails first:\n%s", r.Text())
					}
					t.Logf("%s: %s", l.Check, l.Why)
					return
				}
			}
			t.Errorf("accepted:\n%s", r.Text())
		})
	}
}

func TestCertificateRefuses(t *testing.T) {
	for name, edit := range map[string]func(c *Certificate){
		"found afterwards":    func(c *Certificate) { c.Looked[0].Found = 1 },
		"not looked":          func(c *Certificate) { c.Looked = nil },
		"one half of the key": func(c *Certificate) { c.Keys = c.Keys[:3] },
		"key destroyed later": func(c *Certificate) { c.Keys[0].Destroyed = c.Erased.Add(time.Second) },
		"chunk twice":         func(c *Certificate) { c.Objects[1] = c.Objects[0] },
		"no act":              func(c *Certificate) { c.Act = ecluse.Digest{} },
		"no report":           func(c *Certificate) { c.Report = ecluse.Digest{} },
		"undone and accepted": func(c *Certificate) { c.Outcome = Undone },
		"left, undone": func(c *Certificate) {
			c.Left = []LeftPassage{{ecluse.Passage{Kind: ecluse.Final, Number: 1}, ecluse.Failed}}
		},
		"left, and which": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, NotUndone
		},
		"left for a whim": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, NotUndone
			c.Left = []LeftPassage{{ecluse.Passage{Kind: ecluse.Final, Number: 1}, "whim"}}
		},
		"a dry run left": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, NotUndone
			c.Left = []LeftPassage{{ecluse.Passage{Kind: ecluse.Dry, Number: 1}, ecluse.Failed}}
		},
		"in use, undone": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, Undone
			c.InUse = &InUsePassage{ecluse.Passage{Kind: ecluse.Final, Number: 1}, ecluse.DigestOf(nil)}
		},
		"in use, and which": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, InUse
		},
		"in use, and accepted": func(c *Certificate) {
			c.Outcome, c.InUse = InUse, &InUsePassage{ecluse.Passage{Kind: ecluse.Final, Number: 1}, ecluse.DigestOf(nil)}
		},
		"a rehearsal in use": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, InUse
			c.InUse = &InUsePassage{ecluse.Passage{Kind: ecluse.Rehearsal, Number: 1}, ecluse.DigestOf(nil)}
		},
		"in use without a go": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, InUse
			c.InUse = &InUsePassage{Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}}
		},
		"rows of a rehearsal stayed": func(c *Certificate) {
			c.Stayed = []StayedRows{{ecluse.Passage{Kind: ecluse.Rehearsal, Number: 1}, "12", ecluse.DigestOf(nil)}}
		},
		"rows kept, and nothing accepted": func(c *Certificate) {
			c.Trigger, c.Report, c.Act, c.Disposed, c.Outcome = ByDeadline, ecluse.Digest{}, ecluse.Digest{}, ecluse.Digest{}, Undone
			c.Kept = &KeptRows{ecluse.Passage{Kind: ecluse.Final, Number: 1}, "2026-12-31", ecluse.DigestOf(nil)}
		},
		"rows of a dry run kept": func(c *Certificate) {
			c.Kept = &KeptRows{ecluse.Passage{Kind: ecluse.Dry, Number: 1}, "2026-12-31", ecluse.DigestOf(nil)}
		},
		"rows kept for ever": func(c *Certificate) {
			c.Kept = &KeptRows{ecluse.Passage{Kind: ecluse.Final, Number: 1}, "ever", ecluse.DigestOf(nil)}
		},
		"a value stayed": func(c *Certificate) {
			c.Stayed = []StayedRows{{ecluse.Passage{Kind: ecluse.Final, Number: 1}, "DUPONT", ecluse.DigestOf(nil)}}
		},
		"unknown trigger":      func(c *Certificate) { c.Trigger = "whim" },
		"no limits":            func(c *Certificate) { c.Limits = nil },
		"line in a limit":      func(c *Certificate) { c.Limits[0] = "a\nb" },
		"who administers":      func(c *Certificate) { c.SourceAdmin = "" },
		"who, of the target":   func(c *Certificate) { c.TargetAdmin = "nobody" },
		"a backup unsaid":      func(c *Certificate) { c.Backups.Lock = "" },
		"a backup some day":    func(c *Certificate) { c.Backups.Lock = "2027-02-30" },
		"chunks without plan":  func(c *Certificate) { c.Plan = ecluse.Digest{} },
		"time with a fraction": func(c *Certificate) { c.Erased = c.Erased.Add(time.Millisecond) },
	} {
		c := newCast(t)
		s := newStory(c)
		var err error
		s.certificate = func(cert *Certificate) {
			changed := *cert
			changed.Keys = append([]DestroyedKey(nil), cert.Keys...)
			changed.Objects = append([]ErasedObject(nil), cert.Objects...)
			changed.Looked = append([]LookedFor(nil), cert.Looked...)
			changed.Limits = append([]string(nil), cert.Limits...)
			edit(&changed)
			_, err = SignCertificate(c.source, &changed)
		}
		s.tell(t)
		if ecluse.KindOf(err) != ecluse.Invalid || err == nil {
			t.Errorf("%s: got %v, want invalid", name, err)
		}
	}
}
