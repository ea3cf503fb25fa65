package evidence

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"ecluse"
)

// checkErased compares the chunks that were ever stored with those that the
// certificate says are gone.
func (v *verifier) checkErased() (string, error) {
	const what = "verify erasure"
	all := slices.Concat(v.descriptors, v.rejects)
	gone := map[ecluse.Slot]ErasedObject{}
	for _, o := range v.certificate.Objects {
		gone[o.Slot] = o
	}
	if len(gone) != len(all) {
		return "", unverified(what, "%d chunks were stored and the certificate lists %d", len(all), len(gone))
	}
	for _, d := range all {
		o, ok := gone[d.Slot]
		if !ok || o.SHA256 != d.SHA256 || o.Size != d.Size || o.Rows != d.Rows {
			return "", unverified(what, "chunk %s is not listed as erased, or otherwise than described", d.Slot)
		}
	}
	if err := v.checkKeys(); err != nil {
		return "", err
	}
	for _, g := range []Gate{SourceGate, TargetGate} {
		if _, ok := v.files[ErasureFile(g)]; !ok {
			continue
		}
		if err := v.checkStatement(ErasureFile(g), g, ErasureFormat); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d of %d", len(gone), len(all)), nil
}

// checkKeys looks for the keys of the recipients that chunks and rejects were
// sealed to among those destroyed: a half at each gate, and the source's own.
func (v *verifier) checkKeys() error {
	const what = "verify erasure"
	held := map[Gate][]ecluse.Digest{}
	for _, k := range v.certificate.Keys {
		held[k.Holder] = append(held[k.Holder], k.ID)
		if !k.ID.IsZero() && k.ID != v.readPlan.Recipient && k.ID != v.readPlan.Rejects {
			return unverified(what, "the key destroyed as %q is of no recipient of the plan", k.ID)
		}
	}
	for _, want := range []struct {
		of     []*Descriptor
		holder Gate
		id     ecluse.Digest
	}{{v.descriptors, SourceGate, v.readPlan.Recipient}, {v.descriptors, TargetGate, v.readPlan.Recipient}, {v.rejects, SourceGate, v.readPlan.Rejects}} {
		if len(want.of) > 0 && !slices.Contains(held[want.holder], want.id) {
			return unverified(what, "no key of the recipient %s was destroyed at the %s gate", want.id, want.holder)
		}
	}
	return nil
}

// checkKept holds what the certificate says of rows put aside that are kept to the
// instruction and, once their last day is over, to the source gate's word that it erased
// them. Evidence from before that day says that they are kept, and is whole.
func (v *verifier) checkKept() (string, error) {
	const what = "verify rows kept"
	kept := v.certificate.Kept
	var gone []ErasedRows
	for _, name := range v.named("statements/"+string(SourceGate)+"-", ".json") {
		head, err := peekStatement(v.files[name])
		if err != nil || head.Format != ErasedRowsFormat {
			continue // checkStatements reads them all
		}
		s, err := v.signed(name)
		if err != nil {
			return "", err
		}
		var x ErasedRows
		if err := ParseStatement(s, v.gate(SourceGate), ErasedRowsFormat, &x); err != nil {
			return "", because(ecluse.Unverified, name, err)
		}
		if kept == nil || x.Kept != *kept || x.Migration != v.certificate.Migration || !wholeSecond(x.Erased) || x.Erased.Before(v.certificate.Erased) {
			return "", unverified(what, "%s is about other rows than the certificate says are kept", name)
		}
		gone = append(gone, x)
	}
	due, err := v.keepDue()
	if err != nil {
		return "", err
	}
	silent, err := v.keptUnsaid()
	if err != nil {
		return "", err
	}
	switch why := v.certificate.NotKept; {
	case due && !silent && kept == nil && why == "":
		return "", unverified(what, "the instruction has rows put aside kept until %s, and the certificate says neither that they are nor why not", v.instruction.kept)
	case !due && (kept != nil || why != ""):
		return "", unverified(what, "the certificate speaks of rows that are kept, and none were put aside, or the instruction states no day")
	case why != "":
		return why.String(), nil
	case kept == nil:
		return "erased with the rest", nil
	}
	head, err := peekStatement(v.files[FileReport])
	switch {
	case err != nil || kept.Until != v.instruction.kept:
		return "", unverified(what, "the certificate says that they are kept until %s, and the instruction until %q", kept.Until, v.instruction.kept)
	case v.digest(LoadPlanFile(kept.Passage)) != head.Plan:
		return "", unverified(what, "they are not those of the passage that was accepted")
	case len(gone) > 1:
		return "", unverified(what, "the source gate says twice that it erased them")
	case len(gone) == 1 && gone[0].Erased.Before(kept.Ends()) && !v.orderedGone(kept):
		return "", unverified(what, "they were erased on %s, before their last day, and the controller did not order it", formatTime(gone[0].Erased))
	case len(gone) == 1:
		v.rowsErased = fmt.Sprintf("rows put aside, kept until %s, were erased by the laboratory's gate on %s", kept.Until, formatTime(gone[0].Erased))
		if gone[0].Erased.Before(kept.Ends()) {
			v.rowsErased += ", by the controller's order"
		}
		return "kept until " + kept.Until + ", erased " + formatTime(gone[0].Erased), nil
	case !v.last.At.Before(kept.Ends()):
		return "", unverified(what, "their last day was %s, and the source gate does not say that it erased them", kept.Until)
	}
	return kept.String(), nil
}

// orderedGone tells whether the controller ordered rows kept erased before their day.
func (v *verifier) orderedGone(kept *KeptRows) bool {
	return slices.ContainsFunc(v.acts, func(a verifiedAct) bool {
		return a.Side == ecluse.Controller && slices.Contains([]ecluse.Role{ecluse.Signatory, ecluse.DPO}, a.Role) && a.Has(VerbErase, KindKept, kept.Key)
	})
}

// keepDue tells whether rows put aside were to be kept: the instruction states a day, and
// the report accepted has some.
func (v *verifier) keepDue() (bool, error) {
	if v.instruction.kept == "" || v.certificate.Trigger != ByAcceptance {
		return false, nil
	}
	var r compared
	err := readView(FileReport, v.files[FileReport], &r)
	return len(r.Compared.Rejected) > 0, err
}

// keptUnsaid tells whether the passage accepted was by a procedure under which a certificate
// could say nothing of rows put aside that were to be kept.
func (v *verifier) keptUnsaid() (bool, error) {
	if v.certificate.Trigger != ByAcceptance {
		return false, nil
	}
	head, err := peekStatement(v.files[FileReport])
	if err != nil {
		return false, err
	}
	procedure, err := v.procedureOf(head.Plan)
	return slices.Contains(anybodysUndo(), procedure), err
}

// procedureOf is the procedure that a load plan names; empty: none, or there is no such plan.
func (v *verifier) procedureOf(plan ecluse.Digest) (string, error) {
	var p loadPlanView
	for _, name := range v.named("loadplan-", ".json") {
		if v.digest(name) == plan {
			err := readView(name, v.files[name], &p)
			return p.Procedure, err
		}
	}
	return "", nil
}

// checkLeft compares the passages that the certificate says could not be taken out
// of the target with those that the journal says so of.
func (v *verifier) checkLeft() (string, error) {
	const what = "verify passages left"
	named := map[string]ecluse.Kind{}
	for _, l := range v.certificate.Left {
		named[l.Passage.String()] = l.Why
		if _, ok := v.files[LoadPlanFile(l.Passage)]; !ok {
			return "", unverified(what, "%s is missing", LoadPlanFile(l.Passage))
		}
	}
	left := 0
	for _, l := range v.leaves {
		if l.Type != LeafLeft {
			continue
		}
		left++
		if why, ok := named[l.IDs["passage"]]; !ok || string(why) != l.IDs["reason"] {
			return "", unverified(what, "the journal says that passage %s was left (%s), and the certificate does not", l.IDs["passage"], l.IDs["reason"])
		}
	}
	if left != len(v.certificate.Left) {
		return "", unverified(what, "the certificate names %d and the journal %d", len(v.certificate.Left), left)
	}
	if left == 0 {
		return "none", nil
	}
	said := make([]string, 0, left)
	for _, l := range v.certificate.Left {
		said = append(said, l.String())
	}
	return strings.Join(said, "; "), nil
}

// checkInUse demands, of a passage that the certificate says is in use and not accepted,
// the controller's go of its report, that nobody took back since, and that the journal
// says so.
func (v *verifier) checkInUse() (string, error) {
	const what = "verify load in use"
	var said []*Leaf
	for _, l := range v.leaves {
		if l.Type == LeafInUse {
			said = append(said, l)
		}
	}
	in := v.certificate.InUse
	switch {
	case in == nil && len(said) == 0:
		return "none", nil
	case in == nil:
		return "", unverified(what, "the journal says that passage %s stays in use, and the certificate does not", said[0].IDs["passage"])
	case len(said) != 1 || said[0].IDs["passage"] != in.Passage.String() || said[0].IDs["act"] != in.Act.String():
		return "", unverified(what, "the certificate says that passage %s stays in use, and the journal does not", in.Passage)
	case v.manifest == nil:
		return "", unverified(what, "a load is in use and no manifest closes the reading")
	}
	plan := v.digest(LoadPlanFile(in.Passage))
	if plan.IsZero() {
		return "", unverified(what, "%s is missing", LoadPlanFile(in.Passage))
	}
	by, report := v.goOf(in.Act, plan)
	if by == nil || v.handed[in.Act].Index > said[0].Index {
		return "", unverified(what, "the act named is not a go of the controller's, of a report of passage %s", in.Passage)
	}
	var loaded struct {
		Reading int `json:"reading"`
	}
	if err := readView(v.byDigest[report], v.files[v.byDigest[report]], &loaded); err != nil {
		return "", err
	}
	if loaded.Reading != v.manifest.Reading {
		return "", unverified(what, "go was said of a report of reading %d of the source, and the last is reading %d", loaded.Reading, v.manifest.Reading)
	}
	against := []ecluse.Digest{report, plan}
	for _, a := range v.acts {
		if a.Has(VerbApprove, KindLoadPlan, plan) {
			against = append(against, a.digest)
		}
	}
	for _, a := range v.acts {
		leaf := v.handed[a.digest]
		if leaf == nil || leaf.Index < v.handed[in.Act].Index {
			continue
		}
		for _, c := range a.Clauses {
			if (c.Verb == VerbNoGo || c.Verb == VerbRefuse) && slices.Contains(against, c.Subject) {
				return "", unverified(what, "passage %s was refused after the go, by %s", in.Passage, a.Person)
			}
		}
	}
	for _, name := range v.named("statements/target-", ".json") {
		h, err := peekStatement(v.files[name])
		if err != nil || h.Format != UndoFormat || h.Plan != plan {
			continue // what is no statement is refused with the other statements
		}
		var u undoView
		if err := readView(name, v.files[name], &u); err != nil {
			return "", err
		}
		if u.Passage == in.Passage {
			return "", unverified(what, "%s says that passage %s was taken out", name, in.Passage)
		}
	}
	return fmt.Sprintf("%s, go by %s", in.Passage, by.Person), nil
}

// goOf is the act of that digest when the controller says go by it, of a report under the
// load plan; nil when it is another.
func (v *verifier) goOf(act, plan ecluse.Digest) (by *Act, report ecluse.Digest) {
	for _, a := range v.acts {
		if a.digest != act || a.Side != ecluse.Controller || v.handed[act] == nil {
			continue
		}
		for _, c := range a.Clauses {
			head, err := peekStatement(v.files[v.byDigest[c.Subject]])
			if c.Verb == VerbGo && err == nil && head.Format == ReportFormat && head.Plan == plan {
				return a.Act, c.Subject
			}
		}
	}
	return nil, ecluse.Digest{}
}

// checkDecisions checks who said go or no-go, of a report of a final passage that is in
// the folder, and that what stays open or the reason goes with it.
func (v *verifier) checkDecisions() (string, error) {
	const what = "verify go"
	var said []string
	for _, a := range v.acts {
		if !Decides(a.Act) {
			if slices.ContainsFunc(a.Clauses, func(c Clause) bool { return c.Kind == KindDecision }) {
				return "", unverified(what, "%s speaks of a decision and says neither go nor no-go", ActFile(a.digest))
			}
			continue
		}
		if err := MayDecide(a.Act, v.instruction.deputies); err != nil {
			return "", because(ecluse.Unverified, what, err)
		}
		var decision []byte
		for _, c := range a.Clauses {
			if c.Kind == KindDecision {
				decision = v.files[v.byDigest[c.Subject]]
			}
		}
		if err := Decided(a.Act, decision); err != nil {
			return "", because(ecluse.Unverified, what, err)
		}
		for _, c := range a.Clauses {
			if c.Verb != VerbGo && c.Verb != VerbNoGo {
				continue
			}
			name := v.byDigest[c.Subject]
			if name != FileReport && name != StatementFile(TargetGate, c.Subject) {
				return "", unverified(what, "%s is said of a report that is not in the folder, signed by the target gate", c.Verb)
			}
			head, err := peekStatement(v.files[name])
			if err != nil || head.Format != ReportFormat || !v.finals[head.Plan] {
				return "", unverified(what, "%s is said of something else than the report of a final passage", c.Verb)
			}
			said = append(said, fmt.Sprintf("%s by %s", c.Verb, a.Person))
		}
	}
	if err := v.checkTakenBack(); err != nil {
		return "", err
	}
	if v.certificate.Trigger == ByAcceptance && v.lastSaid(v.certificate.Report) == VerbNoGo {
		return "", unverified(what, "the report was accepted, and the last that was said of it is no-go")
	}
	if len(said) == 0 {
		return "none said", nil
	}
	return strings.Join(said, "; "), nil
}

// anybodysUndo are the procedures, by the digest that a load plan names, under which an
// operator could order undone what the laboratory worked in, and a certificate did not have
// to say what became of rows put aside that were to be kept.
func anybodysUndo() []string {
	return append(
		untriedProcedures(),
		"sha256:bf42ef6a070412dc28836f272e8ff61df2ae228390f55a79b43d104c8194bab3",
		"sha256:5c84e17b144656992d84b0c50cdeb04ce076fa487a1bcdc2755ef499b0b4f6d3",
		"sha256:2ef360fb74a618f595b8df5b20226c999b527f58d5abb0d3ae24d41ec599645c",
		"sha256:0269d56964f11b2722a8bf2219d3f0bf9bca8745294ac387f8a24af987bce1f7",
		"sha256:4d0bf0905771a42b05ba5e7d13d0b8301dfb55de1a9c37d3a5cbd58950ee5eb8",
		"sha256:7cd4d90470f5f128ab77459c0275e8b46e2be7e12611c3b69bcbc630f0231105",
		"sha256:4dbee63197bcb8c119477115b1c4cc5f465524c955e65bd6334acea876ff1767",
	)
}

// checkTakenBack checks that what the controller said go of was refused by nobody but who
// could say it. After that it is no longer in use, and refused by whoever may.
func (v *verifier) checkTakenBack() error {
	var acts []verifiedAct
	for _, a := range v.acts {
		if v.handed[a.digest] != nil {
			acts = append(acts, a)
		}
	}
	slices.SortStableFunc(acts, func(a, b verifiedAct) int { return cmp.Compare(v.handed[a.digest].Index, v.handed[b.digest].Index) })
	live := map[ecluse.Digest]ecluse.Digest{} // a report → its load plan
	approves := map[ecluse.Digest][]ecluse.Digest{}
	for _, a := range acts {
		for _, c := range a.Clauses {
			switch c.Verb {
			case VerbApprove:
				approves[a.digest] = append(approves[a.digest], c.Subject)
			case VerbGo:
				h, err := peekStatement(v.files[v.byDigest[c.Subject]])
				if err != nil {
					return err
				}
				procedure, err := v.procedureOf(h.Plan)
				if err != nil {
					return err
				}
				if !slices.Contains(anybodysUndo(), procedure) {
					live[c.Subject] = h.Plan
				}
			case VerbRefuse:
				for report, plan := range live {
					if c.Subject != report && c.Subject != plan && !slices.Contains(approves[c.Subject], plan) {
						continue
					}
					if MayDecide(a.Act, v.instruction.deputies) != nil {
						return unverified("verify go", "what the controller said go of was refused by %s, who neither signs for the controller nor is named a deputy", a.Person)
					}
					delete(live, report)
				}
			}
		}
	}
	return nil
}

// lastSaid is what was said last of a report, go or no-go, in the journal's order.
func (v *verifier) lastSaid(report ecluse.Digest) Verb {
	var last Verb
	at := int64(-1)
	for _, a := range v.acts {
		leaf := v.handed[a.digest]
		for _, c := range a.Clauses {
			if (c.Verb == VerbGo || c.Verb == VerbNoGo) && c.Subject == report && leaf != nil && leaf.Index > at {
				last, at = c.Verb, leaf.Index
			}
		}
	}
	return last
}

// checkCertificate reads the certificate and what is derived from it.
func (v *verifier) checkCertificate() (string, error) {
	const what = "verify certificate"
	for _, g := range []Gate{SourceGate, TargetGate} {
		s, err := v.signedBy(FileCertificate, string(g))
		if err != nil {
			return "", err
		}
		if v.certificate, err = ParseCertificate(s, v.gate(g)); err != nil {
			return "", because(ecluse.Unverified, FileCertificate, err)
		}
	}
	c := v.certificate
	if c.Migration != v.instruction.id || c.Contract != v.contract.digest || c.Instruction != v.instruction.digest {
		return "", unverified(what, "it is about another migration, contract or instruction")
	}
	if i := v.instruction; c.SourceAdmin != i.sourceAdmin || c.TargetAdmin != i.targetAdmin || c.Backups != i.backups {
		return "", unverified(what, "of the places and their backups it says otherwise than the instruction")
	}
	for name, body := range map[string][]byte{FileReadme: c.Readme(), FileBinary: c.binaryText(), FileLimits: c.limitsText()} {
		if !bytes.Equal(v.files[name], body) {
			return "", unverified(what, "%s is not what the certificate says", name)
		}
	}
	return fmt.Sprintf("%s, erased %s by %s", c.Outcome, formatTime(c.Erased), c.Trigger), nil
}

// disposed holds what the certificate says becomes of rows put aside to what was accepted
// with the report: of the first format it says nothing.
func (c *Certificate) disposed(accepted []byte) error {
	var want ecluse.Digest
	if accepted != nil {
		want = ecluse.DigestOf(accepted)
	}
	old := bytes.HasPrefix(accepted, []byte(`{"ecluse":"`+dispositionsV1+`"`))
	if c.Disposed != want && (!old || !c.Disposed.IsZero()) {
		return unverified("verify ground", "of what becomes of the rows put aside the certificate says otherwise than the acceptance")
	}
	return nil
}

// checkGround checks why the migration was erased: an accepted report, an order,
// or time.
func (v *verifier) checkGround() (string, error) {
	const what = "verify ground"
	c := v.certificate
	if _, ok := v.files[FileReport]; ok {
		if c.Trigger != ByAcceptance {
			return "", unverified(what, "%s stands for a report that was accepted, and none was", FileReport)
		}
		if err := v.checkStatement(FileReport, TargetGate, ReportFormat); err != nil {
			return "", err
		}
	}
	var by *Act
	for _, a := range v.acts {
		if a.digest == c.Act && a.Side == ecluse.Controller {
			by = a.Act
		}
	}
	switch c.Trigger {
	case ByAcceptance:
		head, err := peekStatement(v.files[FileReport])
		var loaded struct {
			Reading int `json:"reading"`
		}
		if err == nil {
			err = readView(FileReport, v.files[FileReport], &loaded)
		}
		switch {
		case err != nil || v.digest(FileReport) != c.Report || !v.finals[head.Plan]:
			return "", unverified(what, "%s is not the report that the certificate names, or not of a final passage", FileReport)
		case v.manifest == nil:
			return "", unverified(what, "a load was accepted and no manifest closes the reading")
		case loaded.Reading != v.manifest.Reading:
			return "", unverified(what, "the report accepted is of reading %d of the source, and the last is reading %d", loaded.Reading, v.manifest.Reading)
		case by == nil || by.Role != ecluse.Signatory || !by.Has(VerbAccept, KindReport, c.Report):
			return "", unverified(what, "the act named is not a signatory of the controller accepting the report")
		}
		with := map[string][]byte{}
		for _, clause := range by.Clauses {
			if clause.Verb == VerbAccept {
				with[clause.Kind] = v.files[v.byDigest[clause.Subject]]
			}
		}
		if err := c.disposed(with[KindDispositions]); err != nil {
			return "", err
		}
		reservations := with[KindReservations]
		if err := explained(v.files[FileReport], with[KindDispositions], reservations); err != nil {
			return "", because(ecluse.Unverified, what, err)
		}
		if (c.Outcome == Reserved) != (reservations != nil) {
			return "", unverified(what, "of reservations the certificate says otherwise than the acceptance")
		}
		if reservations != nil {
			return "accepted with reservations by " + by.Person, nil
		}
		return "accepted by " + by.Person, nil
	case ByOrder:
		if by == nil || by.Role != ecluse.Signatory && by.Role != ecluse.DPO || !by.Has(VerbErase, KindMigration, v.instruction.digest) {
			return "", unverified(what, "the act named is not the controller's order to erase this migration")
		}
		return "ordered by " + by.Person, nil
	}
	return "by " + string(c.Trigger), nil
}
