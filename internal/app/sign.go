package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/sluice/mapping"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// AddRoster signs a roster with a party's root key and takes it in. Root keys
// sign nothing else.
func (r *Room) AddRoster(ctx context.Context, file string, text []byte, root ssh.Signer) (v *RosterView, err error) {
	l := r.lock
	a := &attempt{verb: "roster", subject: ecluse.DigestOf(text)}
	defer a.journal(ctx, l, &err)
	roster, err := evidence.ParseRoster(file, text)
	if err != nil {
		return nil, err
	}
	if got := evidence.FingerprintOf(root.PublicKey()); got != l.roots[roster.Side] {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "take in roster", Where: file, Why: fmt.Sprintf("%s is not the root of the %s", got, roster.Side),
			Next: "sign it with the root key whose fingerprint was given to `ecluse init`",
		}
	}
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	if !now.Before(roster.Expires) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "take in roster", Where: file, Why: "it expired on " + roster.Expires.UTC().Format(time.RFC3339), Article: "GDPR art. 32(4)",
			Next: "write one of the next number, for at most 30 days, and sign it",
		}
	}
	signed, err := evidence.Sign(root, evidence.NamespaceRoster, text)
	if err != nil {
		return nil, err
	}
	people := []journal.PersonID{}
	for _, p := range roster.People {
		people = append(people, journal.PersonID(p.ID))
	}
	err = l.store.Do(ctx, journal.Event{
		Tree: evidence.InstallationTree, Type: journal.RosterAccepted,
		IDs:  map[string]string{"roster": roster.Digest().String(), "side": string(roster.Side)},
		Body: journal.Roster{Side: roster.Side, Number: roster.Number, People: people},
	}, func(tx *sqlite.Tx) error {
		if _, err := tx.AddSigned(ctx, kindRoster, "", evidence.NamespaceRoster, signed); err != nil {
			return err
		}
		if err := tx.AddRoster(ctx, store.Roster{Side: roster.Side, Number: roster.Number, Digest: roster.Digest(), Issued: roster.Issued}); err != nil {
			return err
		}
		return tx.Schedule(ctx, ecluse.Digest{}, due.ForRoster(roster.Digest(), roster.Issued))
	})
	if err != nil {
		return nil, withNext(err, "write one of a higher number than any before, and sign it")
	}
	return &RosterView{Side: roster.Side, Number: roster.Number, Digest: roster.Digest(), People: len(people), Expires: roster.Expires}, nil
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
func (r *Room) Sign(ctx context.Context, q SignRequest) (v *Signature, err error) {
	a := &attempt{verb: "sign", subject: ecluse.DigestOf(q.Text), key: q.Key}
	defer a.journal(ctx, r.lock, &err)
	who, err := r.lock.who(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	switch kind := formatOf(q.Text); kind {
	case "contract/v1":
		v, err = r.signContract(ctx, q, who)
	case "instruction/v1":
		a.migration = idOf(q.Text)
		v, err = r.signInstruction(ctx, q, who)
	case mapping.Format:
		v, err = r.signMapping(ctx, q, who, a)
	default:
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "sign", Where: q.File, Why: fmt.Sprintf("its first key is not `ecluse:` with a kind that people sign (%q)", kind),
			Next: "contract/v1, instruction/v1 or mapping/v1; plans are approved: ecluse approve",
		}
	}
	if err != nil {
		return nil, err
	}
	return v, r.waits(ctx, v)
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

func (r *Room) signContract(ctx context.Context, q SignRequest, who *signer) (*Signature, error) {
	c, err := mandate.ParseContract(q.File, q.Text)
	if err != nil {
		return nil, err
	}
	for side, root := range r.lock.roots {
		if got := c.Party(side).Root; got != root {
			return nil, &ecluse.Error{
				Kind: ecluse.Refused, What: "sign contract", Where: fmt.Sprintf("%s: parties.%s.root", q.File, side),
				Why: fmt.Sprintf("it names %s, and this lock was made for %s", got, root), Next: "compare with that party, by telephone",
			}
		}
	}
	return r.lock.handIn(ctx, "", who, []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindContract, Subject: c.Digest()}},
		paper{evidence.KindContract, q.Text})
}

func (r *Room) signInstruction(ctx context.Context, q SignRequest, who *signer) (*Signature, error) {
	i, err := r.open(ctx, q.File, q.Text, who)
	if err != nil {
		return nil, err
	}
	clauses := []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindInstruction, Subject: i.Digest()}}
	if q.WithPlan {
		text, err := r.lock.current(ctx, i.ID, evidence.KindReadPlan)
		if err != nil {
			return nil, err
		}
		plan, err := parseReadPlan(text)
		if err != nil {
			return nil, err
		}
		if plan == nil || plan.Instruction != i.Digest() {
			return nil, &ecluse.Error{
				Kind: ecluse.Differs, What: "sign with its plan", Where: q.File, Why: "no read plan was compiled from exactly this instruction",
				Next: "ecluse plan --instruction " + q.File + " --as KEY, and read it",
			}
		}
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbApprove, Kind: evidence.KindReadPlan, Subject: plan.Digest()})
	}
	return r.lock.handIn(ctx, i.ID, who, clauses, paper{evidence.KindInstruction, q.Text})
}

func parseReadPlan(text []byte) (*mandate.ReadPlan, error) {
	if text == nil {
		return nil, nil
	}
	return mandate.ParseReadPlan(text)
}

// open makes the migration of an instruction, unless it exists: from a contract
// that is complete, signed by both parties and current. There is no other way to
// make one.
func (r *Room) open(ctx context.Context, file string, text []byte, who *signer) (*mandate.Instruction, error) {
	l := r.lock
	i, err := mandate.ParseInstruction(file, text)
	if err != nil {
		return nil, err
	}
	c, err := l.contract(ctx, i.Contract)
	if err != nil {
		return nil, err
	}
	if err := l.inForce(ctx, c.Digest()); err != nil {
		return nil, err
	}
	now, _, err := l.store.Now(ctx)
	if err != nil {
		return nil, err
	}
	if err := c.ValidAt(now); err != nil {
		return nil, err
	}
	if i.EraseBy.After(c.EraseBy()) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "open migration", Where: file + ": erase_by", Article: "GDPR art. 28(3)(g)",
			Why: "it is after the last day the contract leaves for erasing, " + c.EraseBy().Format("2006-01-02"),
		}
	}
	all, err := l.store.Migrations(ctx)
	if err != nil {
		return nil, err
	}
	known := false
	for _, m := range all {
		known = known || m.ID == i.ID
	}
	event := journal.Event{Tree: string(i.ID), Type: journal.DocumentStored, IDs: map[string]string{"instruction": i.Digest().String()}}
	if !known {
		event.Type, event.IDs["contract"] = journal.Born, c.Digest().String()
		event.Body = journal.Act{Side: who.roster.Side, Person: journal.PersonID(who.person.ID), Role: who.person.Roles[0]}
	}
	return i, l.store.Do(ctx, event, func(tx *sqlite.Tx) error {
		if !known {
			tx.Also(journal.Event{Tree: evidence.InstallationTree, Type: journal.MigrationOpened, IDs: map[string]string{"migration": string(i.ID), "contract": c.Digest().String()}})
			if err := tx.OpenMigration(ctx, i.ID, c.Digest(), i.EraseBy, who.actors()...); err != nil {
				return err
			}
		}
		m, err := tx.Migration(ctx, i.ID)
		if err != nil {
			return err
		}
		if err := instructionFollows(ctx, tx, m, i); err != nil {
			return err
		}
		if _, err := tx.AddDocument(ctx, evidence.KindInstruction, i.ID, text); err != nil {
			return err
		}
		if m.Place.Migration != procedure.Born {
			return nil // a signed instruction stays in force until another is signed
		}
		return tx.SetCurrent(ctx, i.ID, evidence.KindInstruction, i.Digest())
	})
}

func (r *Room) signMapping(ctx context.Context, q SignRequest, who *signer, a *attempt) (*Signature, error) {
	doc, err := mapping.Parse(q.File, q.Text)
	if err != nil {
		return nil, err
	}
	m, err := r.mappingOf(ctx, doc)
	if err != nil {
		return nil, err
	}
	a.migration = m
	frozen, err := frozenBeside(q.File, doc)
	if err != nil {
		return nil, err
	}
	if _, err := r.checkMapping(ctx, m, q.Text, frozen); err != nil {
		return nil, err
	}
	papers := []paper{{evidence.KindMapping, q.Text}}
	for _, f := range frozen {
		papers = append(papers, paper{kindFrozen, f})
	}
	return r.lock.handIn(ctx, m, who, []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindMapping, Subject: doc.Digest()}}, papers...)
}

// mappingOf finds the migration a mapping is written for.
func (r *Room) mappingOf(ctx context.Context, doc *mapping.Document) (ecluse.MigrationID, error) {
	all, err := r.lock.store.Migrations(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range all {
		if d, err := r.lock.store.Current(ctx, m.ID, evidence.KindInstruction); err == nil && d == doc.Instruction {
			return m.ID, nil
		}
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

// Approve approves a plan by its exact bytes.
func (r *Room) Approve(ctx context.Context, text []byte, key ssh.Signer) (v *Signature, err error) {
	a := &attempt{verb: "approve", subject: ecluse.DigestOf(text), key: key}
	defer a.journal(ctx, r.lock, &err)
	who, err := r.lock.who(ctx, key)
	if err != nil {
		return nil, err
	}
	var head struct {
		Format    string             `json:"ecluse"`
		Migration ecluse.MigrationID `json:"migration"`
		Passage   ecluse.PassageKind `json:"passage"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read plan", Why: "it is not a plan that `ecluse plan` wrote", Err: err}
	}
	a.migration = head.Migration
	kind, inForce := evidence.KindReadPlan, evidence.KindReadPlan
	if head.Format == mandate.LoadPlanFormat {
		kind, inForce = evidence.KindLoadPlan, kindLoadPlan(head.Passage)
	}
	current, err := r.lock.store.Current(ctx, head.Migration, inForce)
	if err != nil {
		return nil, err
	}
	if got := ecluse.DigestOf(text); got != current {
		return nil, &ecluse.Error{
			Kind: ecluse.Differs, What: "approve " + kind, Where: got.String(), Why: "the plan in force is " + current.String(),
			Next: "ecluse plan, read it, and approve the file it names",
		}
	}
	v, err = r.lock.handIn(ctx, head.Migration, who, []evidence.Clause{{Verb: evidence.VerbApprove, Kind: kind, Subject: current}})
	if err != nil {
		return nil, err
	}
	return v, r.waits(ctx, v)
}
