package demo

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/desk"
	"ecluse/internal/durable"
)

//go:embed files
var files embed.FS

// Person is one of the invented people, with a key of their own.
type Person struct {
	ID, Name, Employee, Email string
	Side                      ecluse.Side
	Role                      ecluse.Role
	Key                       string // authorized_keys line
	Signer                    ssh.Signer
}

// Cast is the invented people and the two roots.
type Cast struct {
	Dir    string
	Roots  map[ecluse.Side]ssh.Signer
	Prints map[ecluse.Side]ecluse.Fingerprint
	People map[string]*Person
}

// The people of the story.
const (
	Claire = "claire-aubry" // biologist, signs for the laboratory
	Helene = "helene-roche" // the laboratory's data-protection officer
	Julie  = "julie-carron" // signs for the processor
	Marc   = "marc-tissot"  // the processor's migration engineer
)

func people() map[string]*Person {
	return map[string]*Person{
		Claire: {Name: "Claire Aubry", Employee: "10000000001", Email: "claire.aubry@quatre-vents.example", Side: ecluse.Controller, Role: ecluse.Signatory},
		Helene: {Name: "Hélène Roche", Employee: "QV-0042", Email: "helene.roche@quatre-vents.example", Side: ecluse.Controller, Role: ecluse.DPO},
		Julie:  {Name: "Julie Carron", Employee: "PL-0007", Email: "julie.carron@passerelle.example", Side: ecluse.Processor, Role: ecluse.Signatory},
		Marc:   {Name: "Marc Tissot", Employee: "PL-0031", Email: "marc.tissot@passerelle.example", Side: ecluse.Processor, Role: ecluse.Operator},
	}
}

// RootKey is the name of the file of a party's root key.
func RootKey(side ecluse.Side) string { return "root-" + string(side) }

// NewCast makes keys for everybody in dir, as each would on a machine of their own.
func NewCast(dir string) (*Cast, error) {
	if err := durable.Mkdir(dir); err != nil {
		return nil, err
	}
	names := []string{RootKey(ecluse.Controller), RootKey(ecluse.Processor)}
	for id := range people() {
		names = append(names, id)
	}
	for _, name := range names {
		if _, err := desk.NewKey(filepath.Join(dir, name), name, nil); err != nil {
			return nil, err
		}
	}
	return OpenCast(dir)
}

// OpenCast reads the keys of everybody in dir: for each person, and each root, a
// file of that name and one ending in .pub.
func OpenCast(dir string) (*Cast, error) {
	c := &Cast{Dir: dir, Roots: map[ecluse.Side]ssh.Signer{}, Prints: map[ecluse.Side]ecluse.Fingerprint{}, People: people()}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		s, err := desk.Signer(filepath.Join(dir, RootKey(side)), nil)
		if err != nil {
			return nil, err
		}
		c.Roots[side], c.Prints[side] = s, ecluse.Fingerprint(ssh.FingerprintSHA256(s.PublicKey()))
	}
	for id, p := range c.People {
		public, err := os.ReadFile(filepath.Join(dir, id+".pub"))
		if err != nil {
			return nil, err
		}
		p.ID, p.Key = id, strings.TrimSpace(string(public))
		if p.Signer, err = desk.Signer(filepath.Join(dir, id), nil); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Roster writes a side's roster: number 1, issued now, for thirty days.
func (c *Cast) Roster(side ecluse.Side, now time.Time) ([]byte, error) {
	party := map[ecluse.Side]string{ecluse.Controller: "Laboratoire des Quatre Vents", ecluse.Processor: "Passerelle Logiciels SAS"}[side]
	var people []*Person
	for _, id := range []string{Claire, Helene, Julie, Marc} {
		if p := c.People[id]; p.Side == side {
			people = append(people, p)
		}
	}
	return fill("roster.yaml", map[string]any{
		"Party": party, "Side": side, "People": people,
		"Issued": stamp(now), "Expires": stamp(now.AddDate(0, 0, 29)),
		"From": day(now), "Until": day(now.AddDate(0, 6, 0)),
	})
}

// Contract writes the contract between the two, in force from today.
func (c *Cast) Contract(now time.Time) ([]byte, error) {
	return fill("contract.yaml", map[string]any{
		"ControllerRoot": c.Prints[ecluse.Controller], "ProcessorRoot": c.Prints[ecluse.Processor],
		"Start": day(now), "End": day(now.AddDate(0, 3, 0)),
	})
}

// Instruction writes the controller's instruction under a contract, for two gates
// and so many patients.
func Instruction(contract ecluse.Digest, source, target ecluse.Fingerprint, patients int, eraseBy time.Time) ([]byte, error) {
	return fill("instruction.yaml", map[string]any{
		"Contract": contract, "SourceGate": source, "TargetGate": target,
		"Rows": patients*(resultsPerPatient+requestsPerPatient+1) + 10000, "Bytes": "20GB", "EraseBy": stamp(eraseBy),
	})
}

// Mapping writes the mapping of an instruction, and returns its frozen tables by
// the names of their files, which lie beside it.
func Mapping(instruction ecluse.Digest) (text []byte, frozen map[string][]byte, err error) {
	with := map[string]any{"Instruction": instruction}
	frozen = map[string][]byte{}
	for key, name := range map[string]string{"Codes": "codes.csv", "Loinc": "loinc.csv"} {
		if frozen[name], err = files.ReadFile("files/" + name); err != nil {
			return nil, nil, err
		}
		with[key] = ecluse.DigestOf(frozen[name])
	}
	text, err = fill("mapping.yaml", with)
	return text, frozen, err
}

func day(t time.Time) string   { return t.UTC().Format(time.DateOnly) }
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// fill writes one of the embedded documents.
func fill(name string, with any) ([]byte, error) {
	text, err := files.ReadFile("files/" + name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Option("missingkey=error").Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var b bytes.Buffer
	err = t.Execute(&b, with)
	return b.Bytes(), err
}
