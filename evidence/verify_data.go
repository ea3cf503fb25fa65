package evidence

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ecluse"
)

// readPlanView is what the verifier needs of readplan/v1.
type readPlanView struct {
	Format      string             `json:"ecluse"`
	Migration   ecluse.MigrationID `json:"migration"`
	Contract    ecluse.Digest      `json:"contract"`
	Instruction ecluse.Digest      `json:"instruction"`
	Source      placeView          `json:"source"`
	Target      placeView          `json:"target"`
	Recipient   ecluse.Digest      `json:"recipient"`
	Rejects     ecluse.Digest      `json:"rejects"`

	digest ecluse.Digest
}

type placeView struct {
	Gate ecluse.Fingerprint `json:"gate"`
}

// loadPlanView is what the verifier needs of loadplan/v1.
type loadPlanView struct {
	Format      string             `json:"ecluse"`
	Migration   ecluse.MigrationID `json:"migration"`
	Instruction ecluse.Digest      `json:"instruction"`
	ReadPlan    ecluse.Digest      `json:"read_plan"`
	Passage     ecluse.PassageKind `json:"passage"`
	Procedure   string             `json:"procedure"`
	Target      placeView          `json:"target"`
	Shape       struct {
		Mapping ecluse.Digest `json:"mapping"`
		Frozen  []struct {
			Digest ecluse.Digest `json:"sha256"`
		} `json:"frozen"`
	} `json:"shape"`
}

// readView reads some fields of a JSON document, none of which stands twice.
func readView(name string, body []byte, view any) error {
	if _, err := uniqueKeys(body); err != nil {
		return because(ecluse.Unverified, "read "+name, err)
	}
	if err := json.Unmarshal(body, view); err != nil {
		return because(ecluse.Unverified, "read "+name, err)
	}
	return nil
}

func (v *verifier) checkReadPlan() (string, error) {
	const what = "verify read plan"
	body, ok := v.files[FileReadPlan]
	if !ok {
		if v.certificate.Plan.IsZero() {
			return "nothing was ever read", nil
		}
		return "", unverified(what, "%s is missing", FileReadPlan)
	}
	p := &v.readPlan
	if err := readView(FileReadPlan, body, p); err != nil {
		return "", err
	}
	p.digest = v.digest(FileReadPlan)
	switch {
	case p.Format != "readplan/v1" || p.Migration != v.instruction.id:
		return "", unverified(what, "it is a %s of the migration %s", p.Format, p.Migration)
	case p.Contract != v.contract.digest || p.Instruction != v.instruction.digest:
		return "", unverified(what, "it is under another contract or instruction")
	case p.Source.Gate != v.instruction.source || p.Target.Gate != v.instruction.target:
		return "", unverified(what, "it is for other gates")
	case p.digest != v.certificate.Plan:
		return "", unverified(what, "the certificate is about another plan")
	}
	c, o, ok := apart(
		v.whose(VerbApprove, KindReadPlan, p.digest, ecluse.Controller, ecluse.Signatory),
		v.whose(VerbApprove, KindReadPlan, p.digest, ecluse.Processor, ecluse.Operator),
	)
	if !ok {
		return "", unverified(what, "a signatory of the controller and an operator of the processor, two people, must have approved it")
	}
	return fmt.Sprintf("%s and %s", c.ID, o.ID), nil
}

func (v *verifier) checkLoadPlans() (string, error) {
	const what = "verify load plan"
	v.finals, v.loads = map[ecluse.Digest]bool{}, map[ecluse.Digest]bool{}
	names := v.named("loadplan-", ".json")
	mappings := map[ecluse.Digest]bool{}
	for _, name := range names {
		var p loadPlanView
		if err := readView(name, v.files[name], &p); err != nil {
			return "", err
		}
		d := v.digest(name)
		switch {
		case p.Format != "loadplan/v1" || p.Migration != v.instruction.id || !strings.HasPrefix(name, "loadplan-"+string(p.Passage)+"-"):
			return "", unverified(what, "%s is a %s of the migration %s for a %s passage", name, p.Format, p.Migration, p.Passage)
		case p.Instruction != v.instruction.digest || p.ReadPlan != v.readPlan.digest || p.Target.Gate != v.instruction.target:
			return "", unverified(what, "%s is under another instruction, read plan or gate", name)
		case !v.has(p.Shape.Mapping):
			return "", unverified(what, "%s: its mapping is not in the folder", name)
		}
		for _, f := range p.Shape.Frozen {
			if !v.has(f.Digest) {
				return "", unverified(what, "%s: a frozen table of its mapping is not in the folder", name)
			}
		}
		v.loads[d] = true
		if p.Passage == ecluse.Final {
			v.finals[d] = true
			mappings[p.Shape.Mapping] = true
		}
		var by []*Person
		for _, who := range Approvers(p.Passage) {
			by = append(by, v.whose(VerbApprove, KindLoadPlan, d, who.Side, who.Role)...)
		}
		if len(by) == 0 {
			return "", unverified(what, "nobody entitled approved %s", name)
		}
	}
	if err := v.checkBegun(); err != nil {
		return "", err
	}
	if len(v.finals) > 0 && !mappings[v.digest(FileMapping)] {
		return "", unverified(what, "%s is not the mapping of a final load plan", FileMapping)
	}
	return fmt.Sprintf("%d plans, %d final", len(names), len(v.finals)), nil
}

// checkBegun demands the load plan of each passage that the journal saw begin, under the
// passage's name: what else is asked of a passage is asked by that name. Of final ones it
// demands an approval each, handed in before: none lets two begin.
func (v *verifier) checkBegun() error {
	begun := map[ecluse.Digest][]string{}
	for _, l := range v.leaves {
		if l.Type != LeafBegun {
			continue
		}
		name := "loadplan-" + l.IDs["passage"] + ".json"
		d := v.digest(name)
		if len(l.IDs) != 2 || d.IsZero() || d.String() != l.IDs["load_plan"] {
			return unverified("verify load plan", "leaf %d of the journal says that a passage began, and %s is not its load plan", l.Index, name)
		}
		if !v.finals[d] || slices.Contains(begun[d], name) {
			continue
		}
		begun[d] = append(begun[d], name)
		if n := v.approvals(d, l.Index); n < len(begun[d]) {
			return unverified("verify load plan", "%d passages began under %s by leaf %d of the journal, and %d approvals of it had been handed in", len(begun[d]), name, l.Index, n)
		}
	}
	return nil
}

// approvals counts the acts handed in before a leaf by which the controller approved a final
// passage's load plan.
func (v *verifier) approvals(plan ecluse.Digest, before int64) (n int) {
	for _, a := range v.acts {
		leaf := v.handed[a.digest]
		if MayApproveLoad(ecluse.Final, a.Side, a.Role) && a.Has(VerbApprove, KindLoadPlan, plan) && leaf != nil && leaf.Index < before {
			n++
		}
	}
	return n
}

// checkRecipients holds the recipients against the read plan: chunks were sealed
// to the target gate's key and rejects to the source gate's.
func (v *verifier) checkRecipients() (string, error) {
	const what = "verify recipient"
	if v.readPlan.digest.IsZero() {
		return "none", nil
	}
	for purpose, want := range map[string]struct {
		gate   Gate
		digest ecluse.Digest
	}{ForChunks: {TargetGate, v.readPlan.Recipient}, ForRejects: {SourceGate, v.readPlan.Rejects}} {
		s, err := v.signed(RecipientFile(purpose))
		if err != nil {
			return "", err
		}
		r, err := ParseRecipient(s, v.gate(want.gate))
		if err != nil {
			return "", err
		}
		if s.Digest() != want.digest || r.Purpose != purpose || r.Migration != v.instruction.id || r.Instruction != v.instruction.digest {
			return "", unverified(what, "%s is not the one of the read plan", RecipientFile(purpose))
		}
	}
	return "chunks to the target gate, rejects to the source gate", nil
}

// checkChunks holds descriptors, manifest and the journal's leaves against each
// other.
func (v *verifier) checkChunks() (string, error) {
	const what = "verify chunks"
	var err error
	if v.descriptors, err = v.readDescriptors("chunks/", SourceGate, ChunkFile); err != nil {
		return "", err
	}
	if v.rejects, err = v.readDescriptors("rejects/", TargetGate, RejectsFile); err != nil {
		return "", err
	}
	for _, d := range v.descriptors {
		if d.Plan != v.readPlan.digest {
			return "", unverified(what, "chunk %s was made under another plan", d.Slot)
		}
	}
	for _, d := range v.rejects {
		if !v.loads[d.Plan] {
			return "", unverified(what, "rejects %s were made under a load plan that is not in the folder", d.Slot)
		}
	}
	if err := v.checkStored(); err != nil {
		return "", err
	}
	seen := fmt.Sprintf("%d chunks, %d of rejects", len(v.descriptors), len(v.rejects))
	if v.certificate.Manifest.IsZero() && v.files[FileManifest] == nil {
		return seen + ", reading was never completed", nil
	}
	s, err := v.signed(FileManifest)
	if err != nil {
		return "", err
	}
	if v.manifest, err = ParseManifest(s, v.instruction.source); err != nil {
		return "", err
	}
	if s.Digest() != v.certificate.Manifest || v.manifest.Plan != v.readPlan.digest || v.manifest.Migration != v.instruction.id {
		return "", unverified(what, "the manifest is of another plan, or not the certificate's")
	}
	if n := v.manifest.Reading; n > v.instruction.catchUps {
		return "", unverified(what, "the source was read again %d times, and the instruction allows %d", n, v.instruction.catchUps)
	}
	return seen, v.manifest.Covers(v.descriptors)
}

func (v *verifier) readDescriptors(folder string, g Gate, file func(ecluse.Slot) string) ([]*Descriptor, error) {
	var out []*Descriptor
	for _, name := range v.named(folder, ".json") {
		s, err := v.signed(name)
		if err != nil {
			return nil, err
		}
		d, err := ParseDescriptor(s, v.gate(g))
		if err != nil {
			return nil, because(ecluse.Unverified, name, err)
		}
		if name != file(d.Slot) || d.Migration != v.instruction.id {
			return nil, unverified("verify chunks", "%s describes %s of the migration %s", name, d.Slot, d.Migration)
		}
		out = append(out, d)
	}
	return out, nil
}

// checkStored compares the descriptors with what the journal says was stored.
func (v *verifier) checkStored() error {
	const what = "verify chunks"
	stored := map[string]bool{}
	for _, l := range v.leaves {
		if l.Type == LeafChunk {
			stored[l.IDs["descriptor"]] = true
		}
	}
	for _, name := range append(v.named("chunks/", ".json"), v.named("rejects/", ".json")...) {
		d := v.digest(name).String()
		if !stored[d] {
			return unverified(what, "%s is of a chunk that the journal never saw", name)
		}
		delete(stored, d)
	}
	for d := range stored {
		return unverified(what, "the journal saw a chunk whose descriptor %s is not in the folder", d)
	}
	return nil
}

// statement checks a gate's statement about this migration and reads its head.
func (v *verifier) statement(name string, g Gate) (StatementHead, error) {
	s, err := v.signed(name)
	if err != nil {
		return StatementHead{}, err
	}
	h, err := PeekStatement(s, v.gate(g))
	if err != nil {
		return h, because(ecluse.Unverified, name, err)
	}
	if h.Migration != v.instruction.id {
		return h, unverified("verify statement", "%s is of the migration %s", name, h.Migration)
	}
	if h.Plan != v.certificate.Plan && !v.loads[h.Plan] {
		return h, unverified("verify statement", "%s is about a plan that is not in the folder", name)
	}
	return h, nil
}

func (v *verifier) checkStatement(name string, g Gate, format string) error {
	h, err := v.statement(name, g)
	if err == nil && h.Format != format {
		return unverified("verify statement", "%s is a %s", name, h.Format)
	}
	return err
}

// extractView is what the verifier needs of extract/v1.
type extractView struct {
	Manifest ecluse.Digest              `json:"manifest"`
	Rows     map[ecluse.DatasetID]int64 `json:"rows"`
}

// checkExtract holds the source gate's statement of a reading against the manifest
// that closed it; false when it is about another epoch's.
func (v *verifier) checkExtract(name string) (bool, error) {
	var x extractView
	if err := readView(name, v.files[name], &x); err != nil {
		return false, err
	}
	if v.manifest == nil || x.Manifest != v.certificate.Manifest {
		return false, nil
	}
	n := 0
	for _, d := range v.manifest.Datasets {
		if strings.HasPrefix(string(d.Dataset), "ecluse.") {
			continue
		}
		n++
		if rows, ok := x.Rows[d.Dataset]; !ok || rows != d.Rows {
			return false, unverified("verify statement", "%s says that %d rows of %s were read, and the manifest has %d", name, rows, d.Dataset, d.Rows)
		}
	}
	if n != len(x.Rows) {
		return false, unverified("verify statement", "%s is of other datasets than the manifest", name)
	}
	return true, nil
}

// checkStatements checks what else the gates said. A completed reading has the
// source gate's word for what it came to, and a load that the certificate calls
// undone the target gate's.
func (v *verifier) checkStatements() (string, error) {
	undone, read := v.certificate.Outcome != Undone, v.manifest == nil
	out, wrote, stayed := map[undoView]tookView{}, map[undoView]bool{}, []StayedRows(nil)
	names := v.named("statements/", ".json")
	for _, name := range names {
		g := TargetGate
		if strings.HasPrefix(name, "statements/source-") {
			g = SourceGate
		}
		h, err := v.statement(name, g)
		if err != nil {
			return "", err
		}
		if name != StatementFile(g, v.digest(name)) {
			return "", unverified("verify statement", "%s is not named by its own hash", name)
		}
		if g == TargetGate && h.Format == UndoFormat {
			u := undoView{Plan: h.Plan}
			var left leftView
			if err := errors.Join(readView(name, v.files[name], &u), readView(name, v.files[name], &left)); err != nil {
				return "", err
			}
			if left.Stay != Told(left.Left) {
				return "", unverified("verify statement", "%s says otherwise how many rows stay than by table", name)
			}
			if left.Stay != "" {
				stayed = append(stayed, StayedRows{Passage: u.Passage, Rows: left.Stay, Statement: v.digest(name)})
			}
			var took tookView
			if err := readView(name, v.files[name], &took); err != nil {
				return "", err
			}
			undone, out[u] = true, took
		}
		if g == TargetGate && h.Format == ReportFormat {
			var r struct {
				Passage ecluse.Passage `json:"passage"`
				Rows    int64          `json:"rows_loaded"`
			}
			if err := readView(name, v.files[name], &r); err != nil {
				return "", err
			}
			of := undoView{Plan: h.Plan, Passage: r.Passage}
			wrote[of] = wrote[of] || r.Rows > 0 && r.Passage.Kind != ecluse.Dry // whatever another report of it says
		}
		if g == SourceGate && h.Format == ExtractFormat && h.Plan == v.readPlan.digest {
			of, err := v.checkExtract(name)
			if err != nil {
				return "", err
			}
			read = read || of
		}
		if h.Format == ReleasedFormat {
			if err := v.checkReleased(name, g); err != nil {
				return "", err
			}
		}
	}
	if !read {
		return "", unverified("verify statement", "the source gate's statement of what it read is missing")
	}
	if !undone {
		return "", unverified("verify statement", "the target gate's statement of what it took out again is missing")
	}
	if err := v.checkRehearsals(out); err != nil {
		return "", err
	}
	for u, took := range out {
		if wrote[u] && took.Chunks == 0 {
			return "", unverified("verify statement", "the target gate says that nothing was there to be taken out of %s, and that it had loaded rows", u.Passage)
		}
	}
	slices.SortFunc(stayed, func(a, b StayedRows) int { return a.Passage.Number - b.Passage.Number })
	if !slices.Equal(stayed, v.certificate.Stayed) {
		return "", unverified("verify statement", "of rows that stay in the target the certificate says otherwise than the target gate's statements")
	}
	return fmt.Sprintf("%d statements", len(names)), nil
}

// undoView is what the verifier needs of undo/v1.
type undoView struct {
	Plan    ecluse.Digest  `json:"plan"`
	Passage ecluse.Passage `json:"passage"`
}

// tookView is what undo/v1 says was taken out, and how the tables stood then.
type tookView struct {
	Chunks int    `json:"chunks"`
	Stay   string `json:"stay"`
	Tables []struct {
		Equal bool `json:"equal"`
	} `json:"tables"`
}

// asBefore tells whether the database stood as before the passage.
func (t *tookView) asBefore() bool {
	for _, table := range t.Tables {
		if !table.Equal {
			return false
		}
	}
	return t.Stay == ""
}

// leftView is what the verifier needs of the rows that undo/v1 says stay.
type leftView struct {
	Left []ecluse.MaskedGroup `json:"left"`
	Stay string               `json:"stay"`
}

// checkRehearsals demands, of each rehearsal that began, the target gate's word that it
// was taken out of the test base; but of one that the certificate names as left there.
func (v *verifier) checkRehearsals(out map[undoView]tookView) error {
	for _, name := range v.named("loadplan-"+string(ecluse.Rehearsal)+"-", ".json") {
		var u undoView
		for _, l := range v.certificate.Left {
			if name == LoadPlanFile(l.Passage) {
				u.Passage = l.Passage
			}
		}
		if u.Passage.Number > 0 {
			continue
		}
		number, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(name, "loadplan-"+string(ecluse.Rehearsal)+"-"), ".json"))
		u.Plan, u.Passage = v.digest(name), ecluse.Passage{Kind: ecluse.Rehearsal, Number: number}
		took, ok := out[u]
		if err != nil || !ok {
			return unverified("verify statement", "the target gate's statement that %s was taken out of the test base is missing", u.Passage)
		}
		if !took.asBefore() {
			return unverified("verify statement", "the target gate says that the test base does not stand as before %s", u.Passage)
		}
	}
	return nil
}

// checkPrivileges checks the records of what accounts could do. A completed
// reading has one of the source from before and one from after.
func (v *verifier) checkPrivileges() (string, error) {
	names := v.named("privileges/", ".json")
	for _, name := range names {
		g := TargetGate
		if strings.HasPrefix(name, "privileges/source-") {
			g = SourceGate
		}
		if err := v.checkStatement(name, g, PrivilegesFormat); err != nil {
			return "", err
		}
	}
	for _, when := range []string{"before", "after"} {
		if v.manifest != nil && len(v.named("privileges/source-", when+".json")) == 0 {
			return "", unverified("verify privileges", "there is no record of the source's account from %s the reading", when)
		}
	}
	return fmt.Sprintf("%d records", len(names)), nil
}
