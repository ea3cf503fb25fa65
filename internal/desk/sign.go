package desk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/mapping"
)

// actLife is how long an act holds for what is still to begin: as long as a
// passage may begin after its approval (mandate.BeginWithin).
const actLife = mandate.BeginWithin

// sign makes an act of clauses, signs it and hands it in.
func (d *Desk) sign(ctx context.Context, l Lock, key ssh.Signer, m ecluse.MigrationID, clauses []evidence.Clause, papers ...exchange.Enclosure) (*Signature, error) {
	me, err := l.Me(ctx)
	if err != nil {
		return nil, err
	}
	roster, err := evidence.ParseRoster("roster", me.Roster.Body)
	if err != nil {
		return nil, err
	}
	p, ok := roster.Holder(evidence.FingerprintOf(key.PublicKey()))
	if !ok || p.ID != me.ID || roster.Side != me.Side {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "sign", Where: me.ID, Why: "the roster that the lock shows does not give this key to that person", Next: "find out who changed it; sign nothing meanwhile"}
	}
	if d.roots != nil {
		if _, err := evidence.VerifyRoster(me.Roster, d.roots[me.Side]); err != nil {
			return nil, &ecluse.Error{
				Kind: ecluse.Unverified, What: "sign", Where: me.ID, Why: "the roster that the lock shows is not signed by the root that this device knows", Err: err,
				Next: "find out who changed it; sign nothing meanwhile",
			}
		}
	}
	draft, err := l.Draft(ctx, m, clauses)
	if err != nil {
		return nil, err
	}
	act := &evidence.Act{
		Migration: m, Side: roster.Side, Person: p.ID, Roster: roster.Digest(), RosterNumber: roster.Number, Nonce: evidence.NewNonce(), Clauses: clauses,
	}
	if act.Role, err = roleFor(act, p, draft.Role); err != nil {
		return nil, err
	}
	if act.NotBefore, err = begins(ctx, act, roster, draft.NotBefore); err != nil {
		return nil, err
	}
	act.NotAfter = act.NotBefore.Add(actLife)
	signed, err := evidence.SignAct(key, act)
	if err != nil {
		return nil, err
	}
	receipt, err := l.HandIn(ctx, signed, papers)
	if err != nil {
		return nil, err
	}
	if err := d.keep(m, receipt, signed.Digest()); err != nil {
		return nil, err
	}
	v := &Signature{Act: receipt.Act, Migration: m, Person: act.Person, Side: act.Side, Role: act.Role}
	for _, c := range clauses {
		v.Clauses = append(v.Clauses, c.String())
	}
	if m != "" {
		v.Waits, err = d.waits(ctx, l, m)
	}
	return v, err
}

// roleFor is the role to sign in: the lock says which one the migration's state asks for,
// and the desk takes none that the person has not in their roster, or in which nobody may
// ever do this. An act in a role that gates do not count would be as good as none.
func roleFor(act *evidence.Act, p *evidence.Person, drafted ecluse.Role) (ecluse.Role, error) {
	verbs, err := procedure.ForAct(act)
	if err != nil {
		return "", err
	}
	by := procedure.Person(act.Side, drafted)
	mayNot := func(v procedure.Verb) bool {
		return !procedure.MayEver(v, by) && (v != procedure.RefuseLoad || !procedure.MayEver(procedure.Undo, by))
	}
	if !p.May(drafted) || slices.ContainsFunc(verbs, mayNot) {
		return "", &ecluse.Error{
			Kind: ecluse.Unverified, What: "sign", Where: p.ID, Why: fmt.Sprintf("the lock asks for a signature as %q, which by the roster and the procedure is not this person's to give", drafted),
			Next: "find out who changed what the lock shows; sign nothing meanwhile",
		}
	}
	return drafted, nil
}

// clockSlack is how far the clocks of a desk and of its lock may be apart.
const clockSlack = 2 * time.Minute

// begins is from when an act holds: now, by this machine. Which of two acts of a side
// comes after the other decides whether a refusal stands, so a lock, whose clock may be a
// little ahead or behind, moves only what it cannot gain by: what stops is never dated
// back, and what lifts is never dated ahead. For what stops, a lock that is behind is
// waited for.
func begins(ctx context.Context, act *evidence.Act, roster *evidence.Roster, drafted time.Time) (time.Time, error) {
	now := time.Now().UTC().Truncate(time.Second)
	if apart := drafted.Sub(now).Abs(); apart > clockSlack {
		return now, &ecluse.Error{
			Kind: ecluse.Unverified, What: "sign", Where: "the clock", Why: fmt.Sprintf("it is %s here, and the lock would have the act hold from %s", now.Format(time.RFC3339), drafted.UTC().Format(time.RFC3339)),
			Next: "set this machine's clock right; if it is, find out who changed the lock's, and sign nothing meanwhile",
		}
	}
	stops := slices.ContainsFunc(act.Clauses, func(c evidence.Clause) bool {
		return c.Verb == evidence.VerbSuspend || c.Verb == evidence.VerbObject || c.Verb == evidence.VerbRefuse
	})
	from, drafted := now, drafted.UTC().Truncate(time.Second)
	if stops && drafted.After(now) || !stops && drafted.Before(now) {
		from = drafted
	}
	if issued := roster.Issued.UTC(); from.Before(issued) { // by the root's own word
		from = issued
	}
	if !stops || !drafted.Before(now) {
		return from, nil
	}
	t := time.NewTimer(now.Sub(drafted))
	defer t.Stop()
	select {
	case <-t.C:
		return from, nil
	case <-ctx.Done():
		return from, context.Cause(ctx)
	}
}

func (d *Desk) waits(ctx context.Context, l Lock, m ecluse.MigrationID) (string, error) {
	all, err := l.Status(ctx, m)
	if err != nil || len(all) == 0 || len(all[0].Next) == 0 {
		return "", err
	}
	return d.local(all[0].Next[0].Command), nil
}

// AddRoster signs a roster with a party's root key and hands it in. Root keys sign
// nothing else.
func (d *Desk) AddRoster(ctx context.Context, file string, text []byte, root ssh.Signer) (*exchange.RosterReceipt, error) {
	if _, err := evidence.ParseRoster(file, text); err != nil {
		return nil, err
	}
	signed, err := evidence.Sign(root, evidence.NamespaceRoster, text)
	if err != nil {
		return nil, err
	}
	return d.take(ctx, signed)
}

// CheckContract reads a contract and says what is missing.
func CheckContract(file string, text []byte) (*ContractView, error) {
	c, err := mandate.ParseContract(file, text)
	if err != nil {
		return nil, err
	}
	return &ContractView{ID: c.ID, Digest: c.Digest()}, nil
}

// Sign signs a document: contract, instruction or mapping, by its first key.
func (d *Desk) Sign(ctx context.Context, q SignRequest) (*Signature, error) {
	l, err := d.visit(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	switch kind := formatOf(q.Text); kind {
	case mandate.ContractFormat:
		return d.signContract(ctx, l, q)
	case mandate.InstructionFormat:
		return d.signInstruction(ctx, l, q)
	case mapping.Format:
		return d.signMapping(ctx, l, q)
	default:
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "sign", Where: q.File, Why: fmt.Sprintf("its first key is not `ecluse:` with a kind that people sign (%q)", kind),
			Next: "contract/v1, instruction/v1 or mapping/v1; plans are approved: ecluse approve",
		}
	}
}

// formatOf finds the value of the key "ecluse" without reading the rest.
func formatOf(text []byte) string {
	for line := range bytes.Lines(text) {
		if rest, ok := bytes.CutPrefix(line, []byte("ecluse:")); ok {
			word, _, _ := strings.Cut(strings.TrimSpace(string(rest)), " ")
			return strings.Trim(word, `"'`)
		}
	}
	return ""
}

func (d *Desk) signContract(ctx context.Context, l Lock, q SignRequest) (*Signature, error) {
	c, err := mandate.ParseContract(q.File, q.Text)
	if err != nil {
		return nil, err
	}
	return d.sign(ctx, l, q.Key, "", []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindContract, Subject: c.Digest()}},
		exchange.Enclosure{Kind: evidence.KindContract, Text: q.Text})
}

// signInstruction opens the instruction's migration first: what the lock refuses is
// journalled there.
func (d *Desk) signInstruction(ctx context.Context, l Lock, q SignRequest) (*Signature, error) {
	i, err := d.open(ctx, l, q.File, q.Text)
	if err != nil {
		return nil, err
	}
	clauses := []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindInstruction, Subject: i.Digest()}}
	if q.WithPlan {
		text, err := l.Current(ctx, i.ID, evidence.KindReadPlan)
		if err != nil {
			return nil, err
		}
		var plan *mandate.ReadPlan
		if text != nil {
			if plan, err = mandate.ParseReadPlan(text); err != nil {
				return nil, err
			}
		}
		if plan == nil || plan.Instruction != i.Digest() {
			return nil, &ecluse.Error{
				Kind: ecluse.Differs, What: "sign with its plan", Where: q.File, Why: "no read plan was compiled from exactly this instruction",
				Next: "ecluse plan --instruction " + q.File + " --as KEY, and read it",
			}
		}
		if err := d.sameAsRead(i.ID, plan, text); err != nil {
			return nil, err
		}
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: plan.Digest()})
	}
	return d.sign(ctx, l, q.Key, i.ID, clauses, exchange.Enclosure{Kind: evidence.KindInstruction, Text: q.Text})
}

// sameAsRead refuses to sign another read plan than the one that lies on this machine to
// be read. Where none lies, it is written down and nothing is signed yet: whoever signs with
// a plan has had it before their eyes.
func (d *Desk) sameAsRead(m ecluse.MigrationID, plan *mandate.ReadPlan, text []byte) error {
	const what = "sign with its plan"
	name := planFile(m, "readplan")
	own, err := os.ReadFile(filepath.Join(d.plans, name))
	if errors.Is(err, fs.ErrNotExist) {
		path, err := d.writePlan(m, "readplan", text)
		if err != nil {
			return err
		}
		n := countVerdicts(plan)
		return &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: what, Where: path, Article: "GDPR art. 29",
			Why: fmt.Sprintf("it was not on this machine to be read; it is now: %d columns are taken, %d filter rows, %d are refused, %d of them as credentials",
				n.Taken, n.Filters, n.Refused+n.Credential, n.Credential),
			Next: "read it, then run the same command again",
		}
	}
	if err != nil {
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: name, Err: err, Next: "give yourself the right to read it"}
	}
	if bytes.Equal(own, text) {
		return nil
	}
	return &ecluse.Error{
		Kind: ecluse.Differs, What: what, Where: name, Why: "the lock now shows another read plan than the one here: " + ecluse.DigestOf(text).String(), Article: "GDPR art. 29",
		Next: "ecluse plan, read it again, and find out who changed it",
	}
}

// open opens an instruction's migration. A document that is wrong is told by its
// file; one that the lock refuses is the lock's to refuse, and to journal.
func (d *Desk) open(ctx context.Context, l Lock, file string, text []byte) (*mandate.Instruction, error) {
	i, err := mandate.ParseNewInstruction(file, text)
	if err != nil && ecluse.KindOf(err) != ecluse.Refused {
		return nil, err
	}
	if _, refused := l.OpenMigration(ctx, text); refused != nil && err == nil {
		return nil, refused
	}
	return i, err
}

func (d *Desk) signMapping(ctx context.Context, l Lock, q SignRequest) (*Signature, error) {
	doc, err := mapping.Parse(q.File, q.Text)
	if err != nil {
		return nil, err
	}
	m, err := mappingOf(ctx, l, doc)
	if err != nil {
		return nil, err
	}
	frozen, err := frozenBeside(q.File, doc)
	if err != nil {
		return nil, err
	}
	papers := []exchange.Enclosure{{Kind: evidence.KindMapping, Text: q.Text}}
	for _, f := range frozen {
		papers = append(papers, exchange.Enclosure{Kind: exchange.KindFrozen, Text: f})
	}
	return d.sign(ctx, l, q.Key, m, []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindMapping, Subject: doc.Digest()}}, papers...)
}

// mappingOf finds the migration a mapping is written for.
func mappingOf(ctx context.Context, l Lock, doc *mapping.Document) (ecluse.MigrationID, error) {
	all, err := l.Status(ctx, "")
	if err != nil {
		return "", err
	}
	for _, s := range all {
		text, err := l.Current(ctx, s.Migration, evidence.KindInstruction)
		if err != nil || ecluse.DigestOf(text) != doc.Instruction {
			continue
		}
		i, err := mandate.ParseInstruction("instruction", text)
		if err != nil {
			return "", err
		}
		if i.ID != s.Migration { // the instruction itself says which it is of
			return "", another("read mapping", string(i.ID), fmt.Sprintf("the lock shows its instruction as that of the migration %q", s.Migration))
		}
		return i.ID, nil
	}
	return "", &ecluse.Error{
		Kind: ecluse.Differs, What: "read mapping", Where: "instruction", Why: "no migration here has the instruction " + doc.Instruction.String() + " in force",
		Next: "write the digest of the instruction in force: sha256sum instruction.yaml",
	}
}

// frozenBeside reads a mapping's frozen tables, which lie beside it or in the
// folder its author names.
func frozenBeside(file string, doc *mapping.Document) ([][]byte, error) {
	var all [][]byte
	for name, t := range doc.Tables.All() {
		path := t.File
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(file), path)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read frozen table " + name, Where: t.File, Err: err}
		}
		if got := ecluse.DigestOf(text); got != t.SHA256.Digest {
			return nil, &ecluse.Error{
				Kind: ecluse.Differs, What: "read frozen table " + name, Where: t.File, Why: fmt.Sprintf("its digest is %s, the mapping says %s", got, t.SHA256.Digest),
				Next: "correct the mapping or bring the file back; then sign the mapping",
			}
		}
		all = append(all, text)
	}
	return all, nil
}

// Difference is a plan as the difference from what whoever is asked to approve it may know
// already.
type Difference struct {
	Load      bool       // of a load plan; else of a read plan
	Since     *Since     // of a load plan: from the last one tried; nil: the lock shows no trial
	ReadSince *ReadSince // of a read plan: from the last one that both parties approved; nil: none is known
}

// Approve approves a plan by its exact bytes, for whoever has read them.
func (d *Desk) Approve(ctx context.Context, text []byte, key ssh.Signer) (*Signature, error) {
	return d.ApproveShown(ctx, text, key, func(Difference) error { return nil })
}

// ApproveShown is Approve by somebody who is shown first how the plan differs: nothing is
// signed before show returns, and nothing when it returns an error.
func (d *Desk) ApproveShown(ctx context.Context, text []byte, key ssh.Signer, show func(Difference) error) (*Signature, error) {
	l, err := d.visit(ctx, key)
	if err != nil {
		return nil, err
	}
	var head struct {
		Format    string             `json:"ecluse"`
		Migration ecluse.MigrationID `json:"migration"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read plan", Why: "it is not a plan that `ecluse plan` wrote", Err: err}
	}
	kind := evidence.KindReadPlan
	var v Difference
	if head.Format == mandate.LoadPlanFormat {
		kind, v.Load = evidence.KindLoadPlan, true
		plan, err := mandate.ParseLoadPlan(text)
		if err != nil {
			return nil, err
		}
		if v.Since, err = since(ctx, l, head.Migration, plan); err != nil {
			return nil, err
		}
	} else {
		plan, err := mandate.ParseReadPlan(text)
		if err != nil {
			return nil, err
		}
		if v.ReadSince, err = d.readSince(ctx, l, plan); err != nil {
			return nil, err
		}
	}
	if err := show(v); err != nil {
		return nil, err
	}
	s, err := d.sign(ctx, l, key, head.Migration, []evidence.Clause{{Verb: evidence.VerbApprove, Kind: kind, Subject: ecluse.DigestOf(text)}})
	if err != nil {
		return nil, err
	}
	s.Since, s.ReadSince = v.Since, v.ReadSince
	return s, nil
}
