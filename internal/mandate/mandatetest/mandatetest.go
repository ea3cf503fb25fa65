// Package mandatetest makes permits for the tests of other packages: an invented
// laboratory and an invented processor, their people with keys of their own,
// rosters, a contract, an instruction, gates and recipients, everything signed,
// verified and permitted by package mandate itself. There is no back door: a
// test that wants a permit signs for it.
//
//	w := mandatetest.New(t)
//	p := w.ReadPermit(t, catalogue, dialect, `
//	datasets:
//	  patient: {from: patient, key: [id], columns: {id: technical, name: identity}}
//	`)
package mandatetest

import (
	"crypto/ed25519"
	_ "embed"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
)

// World is two organisations under contract and two gates. Its fields may be
// changed before a migration is made of it.
type World struct {
	Now         time.Time // of every signature and permit; the real time, in whole seconds
	Consistency string    // of the instructions; "snapshot" unless set
	Procedure   ecluse.Digest

	Anne *Person // signatory of the controller
	Paul *Person // data-protection officer of the controller
	Jean *Person // operator of the processor
	Lucy *Person // signatory and security officer of the processor

	Roots      map[ecluse.Side]ssh.Signer
	SourceGate ssh.Signer
	TargetGate ssh.Signer
	Chunks     *age.HybridIdentity // opens what is sealed to the target gate
	Rejects    *age.HybridIdentity // opens what is sealed to the source gate

	Contract      []byte    // contract/v1
	RecipientEnds time.Time // of both gates' recipients
	made          int       // migrations
}

// Person is somebody with a key.
type Person struct {
	evidence.Person
	Side   ecluse.Side
	Signer ssh.Signer
}

// New makes a world.
func New(t testing.TB) *World {
	t.Helper()
	w := &World{
		Now: time.Now().UTC().Truncate(time.Second), Consistency: mandate.Snapshot,
		Procedure: ecluse.DigestOf([]byte("an invented procedure")),
		Roots:     map[ecluse.Side]ssh.Signer{ecluse.Controller: Key(t), ecluse.Processor: Key(t)},
		Chunks:    identity(t), Rejects: identity(t),
	}
	w.SourceGate, w.TargetGate, w.RecipientEnds = Key(t), Key(t), w.Now.AddDate(0, 8, 0)
	w.Anne = w.person(t, ecluse.Controller, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory)
	w.Paul = w.person(t, ecluse.Controller, "paul-simon", "Paul Simon", "T-2", ecluse.DPO)
	w.Jean = w.person(t, ecluse.Processor, "jean-petit", "Jean Petit", "P-11", ecluse.Operator)
	w.Lucy = w.person(t, ecluse.Processor, "lucie-blanc", "Lucie Blanc", "P-12", ecluse.Signatory, ecluse.Security)
	w.Contract = w.contract()
	return w
}

// Key makes a new key.
func Key(t testing.TB) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func identity(t testing.TB) *age.HybridIdentity {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (w *World) person(t testing.TB, side ecluse.Side, id, name, employee string, roles ...ecluse.Role) *Person {
	t.Helper()
	key := Key(t)
	from := evidence.Day(w.Now.AddDate(0, -2, 0).Format(time.DateOnly))
	return &Person{
		Side: side, Signer: key,
		Person: evidence.Person{
			ID: id, Name: name, Employee: employee, Email: id + "@" + string(side) + ".example",
			Keys: []ssh.PublicKey{key.PublicKey()}, Roles: roles,
			From: from, Until: evidence.Day(w.Now.AddDate(1, 0, 0).Format(time.DateOnly)), Confidentiality: from,
		},
	}
}

//go:embed contract.yaml
var contractText string

// contract is the sample of contract.yaml with this world's roots and days.
func (w *World) contract() []byte {
	day := func(months int) string { return w.Now.AddDate(0, months, 0).Format(time.DateOnly) }
	return []byte(strings.NewReplacer(
		"SHA256:"+strings.Repeat("A", 43), string(w.Root(ecluse.Controller)),
		"SHA256:"+strings.Repeat("B", 43), string(w.Root(ecluse.Processor)),
		"start: 2026-01-05", "start: "+day(-2), "end: 2026-12-31", "end: "+day(9), "until: 2026-12-31", "until: "+day(9),
		"valid_until: 2027-05-01", "valid_until: "+day(12),
	).Replace(contractText))
}

// Root is the fingerprint of a side's root key.
func (w *World) Root(side ecluse.Side) ecluse.Fingerprint {
	return evidence.FingerprintOf(w.Roots[side].PublicKey())
}

// Roster is a side's roster with the world's people on it.
func (w *World) Roster(side ecluse.Side, number int, issued time.Time) *evidence.Roster {
	r := &evidence.Roster{
		Party: "Laboratoire des Tilleuls", Side: side, Number: number, Issued: issued, Expires: issued.AddDate(0, 3, 0),
	}
	if side == ecluse.Processor {
		r.Party = "Passerelle Santé SAS"
	}
	for _, p := range []*Person{w.Anne, w.Paul, w.Jean, w.Lucy} {
		if p.Side == side {
			r.People = append(r.People, p.Person)
		}
	}
	return r
}

// SignRoster signs a roster with its side's root key and reads it back.
func (w *World) SignRoster(t testing.TB, r *evidence.Roster) (evidence.Signed, *evidence.Roster) {
	t.Helper()
	s, err := evidence.Sign(w.Roots[r.Side], evidence.NamespaceRoster, r.Text())
	if err != nil {
		t.Fatal(err)
	}
	read, err := evidence.VerifyRoster(s, w.Root(r.Side))
	if err != nil {
		t.Fatal(err)
	}
	return s, read
}

// recipient is a gate's signed recipient for an instruction.
func (w *World) recipient(t testing.TB, id ecluse.MigrationID, i ecluse.Digest, purpose string) evidence.Signed {
	t.Helper()
	gate, to := w.TargetGate, w.Chunks
	if purpose == evidence.ForRejects {
		gate, to = w.SourceGate, w.Rejects
	}
	s, err := evidence.SignRecipient(gate, &evidence.Recipient{
		Migration: id, Instruction: i, Purpose: purpose, Recipient: to.Recipient().String(), NotAfter: w.RecipientEnds,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instruction writes an instruction: the world's head, then body, whose first
// keys may be datasets, sensitive, checks, accounts, passages, limits and
// erase_by; the last three have defaults.
func (w *World) instruction(id ecluse.MigrationID, body string) []byte {
	gate := func(s ssh.Signer) ecluse.Fingerprint { return evidence.FingerprintOf(s.PublicKey()) }
	var b strings.Builder
	fmt.Fprintf(&b, "ecluse: instruction/v1\nid: %s\ncontract: %s\npurpose: Replacement of an invented old software by a new one\n", id, ecluse.DigestOf(w.Contract))
	frozen := ""
	if w.Consistency == mandate.Frozen {
		frozen = fmt.Sprintf(", frozen: {by: Anne Martin, from: %s}", w.Now.Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "source: {gate: %s, system: ancien, administered_by: controller, consistency: %s%s}\n", gate(w.SourceGate), w.Consistency, frozen)
	fmt.Fprintf(&b, "target: {gate: %s, system: nouveau, administered_by: controller, pre_production: nouveau-essai}\nbackups: {source_gate: none, lock: none, target_gate: none}\n", gate(w.TargetGate))
	b.WriteString(strings.TrimSpace(body) + "\n")
	for _, d := range [][2]string{
		{"passages", "{dry: 5, rehearsal: 2, final: 1}"},
		{"limits", "{rows: 1000000000, bytes: 1TB}"},
		{"erase_by", w.Now.AddDate(0, 6, 0).Format(time.RFC3339)},
	} {
		if !strings.Contains("\n"+body, "\n"+d[0]+":") {
			fmt.Fprintf(&b, "%s: %s\n", d[0], d[1])
		}
	}
	return []byte(b.String())
}

// Instruction reads an instruction of a body and signs the two recipients made
// for it.
func (w *World) Instruction(t testing.TB, id ecluse.MigrationID, body string) (i *mandate.Instruction, chunks, rejects evidence.Signed) {
	t.Helper()
	i, err := mandate.ParseInstruction("instruction.yaml", w.instruction(id, body))
	if err != nil {
		t.Fatal(err)
	}
	return i, w.recipient(t, id, i.Digest(), evidence.ForChunks), w.recipient(t, id, i.Digest(), evidence.ForRejects)
}

// Gate is what a gate of the world, beside the source, says of itself under this
// lock.
func (w *World) Gate(gate, lock ssh.Signer) *mandate.Gate {
	return &mandate.Gate{
		Format: mandate.GateFormat, Gate: evidence.FingerprintOf(gate.PublicKey()), Place: evidence.SourceGate,
		System: "ancien", StandsAt: "Laboratoire des Tilleuls, Orléans",
		Machine:  mandate.Administrators{ecluse.Controller},
		Database: mandate.Administrators{ecluse.Controller, ecluse.Processor},
		Lock:     evidence.FingerprintOf(lock.PublicKey()),
		Roots:    mandate.GateRoots{Controller: w.Root(ecluse.Controller), Processor: w.Root(ecluse.Processor)},
		Made:     w.Now,
	}
}
