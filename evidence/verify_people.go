package evidence

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/document"
)

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// scalars is a YAML document flattened: "source.gate" → its text. It lets the verifier read the few fields it needs of documents whose full
// form is another package's; of lists, their plain items: "deputies[0]".
type scalars map[string]string

// DecodeNode fills s from a document.
func (s *scalars) DecodeNode(n *document.Node, _ func(*document.Node, any)) error {
	*s = scalars{}
	return s.walk(n, "", 0)
}

func (s *scalars) walk(n *document.Node, path string, depth int) error {
	const maxDepth = 64
	switch {
	case n.Alias != nil || depth > maxDepth:
		return errors.New("aliases and deep nesting are not allowed")
	case document.IsScalar(n):
		(*s)[path] = n.Value
		return nil
	case document.IsList(n):
		for i, item := range n.Content {
			if document.IsScalar(item) {
				(*s)[fmt.Sprintf("%s[%d]", path, i)] = item.Value
			}
		}
		return nil
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i].Value
		if seen[key] || strings.Contains(key, ".") && depth == 0 {
			return fmt.Errorf("key %q is given twice or cannot be", key)
		}
		seen[key] = true
		if err := s.walk(n.Content[i+1], strings.TrimPrefix(path+"."+key, "."), depth+1); err != nil {
			return err
		}
	}
	return nil
}

func readScalars(name string, body []byte, format string) (scalars, error) {
	s := scalars{}
	if _, err := document.Decode(name, body, &s); err != nil {
		return nil, err
	}
	if s["ecluse"] != format {
		return nil, invalid("read "+name, "its format is %q, want %s", s["ecluse"], format)
	}
	return s, nil
}

// backup is what an instruction says of a folder's backups: none, or {until: day}.
func (s scalars) backup(folder string) string {
	if day, ok := s["backups."+folder+".until"]; ok {
		return day
	}
	return s["backups."+folder]
}

// list is the plain items of a list.
func (s scalars) list(path string) []string {
	var all []string
	for i := 0; ; i++ {
		item, ok := s[fmt.Sprintf("%s[%d]", path, i)]
		if !ok {
			return all
		}
		all = append(all, item)
	}
}

// contractView is what the verifier needs of contract/v1.
type contractView struct {
	digest ecluse.Digest
	roots  map[ecluse.Side]ecluse.Fingerprint
}

// instructionView is what the verifier needs of instruction/v1.
type instructionView struct {
	digest         ecluse.Digest
	id             ecluse.MigrationID
	source, target ecluse.Fingerprint // the gates

	// What the certificate must say after it.
	sourceAdmin, targetAdmin ecluse.Side
	backups                  Backups

	deputies []string // may say go or no-go beside a signatory
	kept     string   // until when rows put aside are kept at the source gate; empty: they are not
	catchUps int      // how often the source may be read again
	untried  string   // why no mapping is tried on the rows before the final passage
}

// checkDocuments reads contract and instruction and compares the roots given
// with those the parties put into the contract they signed.
func (v *verifier) checkDocuments() (string, error) {
	const what = "read documents"
	contract, err := readScalars(FileContract, v.files[FileContract], "contract/v1")
	if err != nil {
		return "", err
	}
	v.contract = contractView{digest: v.digest(FileContract), roots: map[ecluse.Side]ecluse.Fingerprint{}}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		root := ecluse.Fingerprint(contract["parties."+string(side)+".root"])
		if !root.Valid() {
			return "", unverified(what, "the contract does not name the root of the %s", side)
		}
		if given, ok := v.roots[side]; ok && given != root {
			return "", unverified(what, "the root of the %s is %s in the contract, not %s", side, root, given)
		}
		v.contract.roots[side] = root
	}
	if v.contract.roots[ecluse.Controller] == v.contract.roots[ecluse.Processor] {
		return "", unverified(what, "both parties have the same root")
	}
	in, err := readScalars(FileInstruction, v.files[FileInstruction], "instruction/v1")
	if err != nil {
		return "", err
	}
	v.instruction = instructionView{
		digest: v.digest(FileInstruction), id: ecluse.MigrationID(in["id"]),
		source: ecluse.Fingerprint(in["source.gate"]), target: ecluse.Fingerprint(in["target.gate"]),
		sourceAdmin: ecluse.Side(in["source.administered_by"]), targetAdmin: ecluse.Side(in["target.administered_by"]),
		backups:  Backups{in.backup("source_gate"), in.backup("lock"), in.backup("target_gate")},
		deputies: in.list("deputies"), untried: strings.TrimSpace(in["passages.untried"]), kept: in["rejects_until"],
	}
	v.instruction.catchUps, _ = strconv.Atoi(in["passages.catch_up"]) // what is no number grants nothing
	switch {
	case !ecluse.MigrationID(in["id"]).Valid():
		return "", unverified(what, "the instruction's id is not a migration's")
	case in["contract"] != v.contract.digest.String():
		return "", unverified(what, "the instruction is under another contract: %s", in["contract"])
	case !v.instruction.source.Valid() || !v.instruction.target.Valid() || v.instruction.source == v.instruction.target:
		return "", unverified(what, "the instruction does not name two gates")
	}
	return fmt.Sprintf("migration %s", v.instruction.id), nil
}

func (v *verifier) checkGates() (string, error) {
	for _, g := range []Gate{SourceGate, TargetGate} {
		s, err := v.signedBy(FileSums, string(g))
		if err != nil {
			return "", err
		}
		if err := s.VerifyBy(NamespaceBundle, v.gate(g)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("source %s, target %s", v.instruction.source, v.instruction.target), nil
}

func (v *verifier) checkRosters() (string, error) {
	const what = "verify roster"
	names := v.named("rosters/", ".yaml")
	for _, name := range names {
		s, err := v.signed(name)
		if err != nil {
			return "", err
		}
		side, _, _ := strings.Cut(strings.TrimPrefix(name, "rosters/"), "-")
		r, err := VerifyRoster(s, v.contract.roots[ecluse.Side(side)])
		if err != nil {
			return "", because(ecluse.Unverified, name, err)
		}
		if name != RosterFile(r.Side, r.Number) {
			return "", unverified(what, "%s holds roster %d of the %s", name, r.Number, r.Side)
		}
		if !bytes.Equal(v.files[signersFile(r.Side, r.Number)], r.AllowedSigners()) {
			return "", unverified(what, "%s is not what %s says", signersFile(r.Side, r.Number), name)
		}
		if err := v.rosters.Add(r); err != nil {
			return "", err
		}
	}
	if n := len(v.named("rosters/", ".signers")); n != len(names) {
		return "", unverified(what, "there are %d lists of signers for %d rosters", n, len(names))
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		of := v.rosters.Side(side)
		for i, r := range of {
			if i > 0 && r.Number == of[i-1].Number+1 && !r.Previous.IsZero() && r.Previous != of[i-1].Digest() {
				return "", unverified(what, "roster %d of the %s follows another number %d", r.Number, side, of[i-1].Number)
			}
		}
	}
	return fmt.Sprintf("%d rosters", len(names)), nil
}

// verifiedAct is an act whose signer was found entitled.
type verifiedAct struct {
	*Act
	digest ecluse.Digest
	person *Person
}

// checkActs verifies every act as of the instant at which the journal says it
// was handed in. Acts on contracts and gates alone stand outside the migration,
// and its journal does not know them: they are verified as of their own first
// instant.
func (v *verifier) checkActs() (string, error) {
	const what = "verify act"
	names := v.named("acts/", ".act")
	for _, name := range names {
		s, err := v.signed(name)
		if err != nil {
			return "", err
		}
		a, err := ParseAct(s.Body)
		if err != nil {
			return "", because(ecluse.Unverified, name, err)
		}
		at := a.NotBefore
		outside := !slices.ContainsFunc(a.Clauses, func(c Clause) bool { return !standing(c.Kind) })
		switch leaf := v.handed[s.Digest()]; {
		case name != ActFile(s.Digest()):
			return "", unverified(what, "%s is not named by its own hash", name)
		case a.Migration != v.instruction.id && (!outside || a.Migration != ""):
			return "", unverified(what, "%s is of the migration %q", name, a.Migration)
		case outside:
		case leaf == nil:
			return "", unverified(what, "%s was never handed in: the journal does not know it", name)
		default:
			at = leaf.At
		}
		_, person, err := VerifyAct(s, &v.rosters, at)
		if err != nil {
			return "", because(ecluse.Unverified, name, err)
		}
		if err := v.checkSubjects(name, a); err != nil {
			return "", err
		}
		v.acts = append(v.acts, verifiedAct{a, s.Digest(), person})
	}
	for d := range v.handed {
		if v.files[ActFile(d)] == nil {
			return "", unverified(what, "act %s was handed in and is not in the folder", d)
		}
	}
	return fmt.Sprintf("%d acts", len(names)), nil
}

// checkSubjects makes sure that what somebody took upon themselves is there to
// be read.
func (v *verifier) checkSubjects(name string, a *Act) error {
	for _, c := range a.Clauses {
		binding := c.Verb == VerbSign || c.Verb == VerbApprove || c.Verb == VerbAccept
		if binding && c.Kind == KindGate && v.files[GateFile(c.Subject)] == nil {
			return unverified("verify act", "%s: %q speaks of a document that is not in the folder, signed by its gate", name, c)
		}
		if binding && c.Kind != KindMigration && !v.has(c.Subject) {
			return unverified("verify act", "%s: %q speaks of a document that is not in the folder", name, c)
		}
	}
	return nil
}

// checkGatePapers checks what gates say of themselves: each signed it with the key that
// it names, and was given these roots and this journal's lock at its own console. One of
// a gate of this migration says on which side it stands.
func (v *verifier) checkGatePapers() (string, error) {
	const what = "verify gate"
	names := v.named("gates/", ".yaml")
	for _, name := range names {
		s, err := v.signed(name)
		if err != nil {
			return "", err
		}
		if name != GateFile(s.Digest()) {
			return "", unverified(what, "%s is not named by its own hash", name)
		}
		said, err := readScalars(name, s.Body, "gate/v1")
		if err != nil {
			return "", because(ecluse.Unverified, name, err)
		}
		key := ecluse.Fingerprint(said["gate"])
		if err := s.VerifyBy(NamespaceGate, key); err != nil {
			return "", because(ecluse.Unverified, name, err)
		}
		for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
			if got := said["roots."+string(side)]; got != string(v.contract.roots[side]) {
				return "", unverified(what, "%s was enrolled under %q as the root of the %s", name, got, side)
			}
		}
		if said["lock"] != string(v.lock) {
			return "", unverified(what, "%s was enrolled for another lock than the journal's: %q", name, said["lock"])
		}
		for _, g := range []Gate{SourceGate, TargetGate} {
			if key == v.gate(g) && said["place"] != string(g) {
				return "", unverified(what, "%s is of the %s gate, and says that it stands at the %q", name, g, said["place"])
			}
		}
	}
	return fmt.Sprintf("%d papers", len(names)), nil
}

// whose finds the people who said this of a document, in a side and one of some
// roles.
func (v *verifier) whose(verb Verb, kind string, subject ecluse.Digest, side ecluse.Side, roles ...ecluse.Role) []*Person {
	var out []*Person
	for _, a := range v.acts {
		if a.Side == side && slices.Contains(roles, a.Role) && a.Has(verb, kind, subject) {
			out = append(out, a.person)
		}
	}
	return out
}

// apart finds one person of each list who are two people.
func apart(a, b []*Person) (*Person, *Person, bool) {
	for _, p := range a {
		for _, q := range b {
			if !p.Same(q) {
				return p, q, true
			}
		}
	}
	return nil, nil, false
}

func (v *verifier) checkContractSigned() (string, error) {
	const what = "verify contract"
	c, p, ok := apart(
		v.whose(VerbSign, KindContract, v.contract.digest, ecluse.Controller, ecluse.Signatory),
		v.whose(VerbSign, KindContract, v.contract.digest, ecluse.Processor, ecluse.Signatory),
	)
	if !ok {
		return "", unverified(what, "signatories of both parties, two people, must have signed it")
	}
	by := v.whose(VerbSign, KindInstruction, v.instruction.digest, ecluse.Controller, ecluse.Signatory)
	if len(by) == 0 {
		return "", unverified(what, "no signatory of the controller signed the instruction")
	}
	return fmt.Sprintf("contract %s and %s, instruction %s", c.ID, p.ID, by[0].ID), nil
}
