package evidence

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"ecluse"
)

// testDay is the day on which the tests' people act.
var testDay = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// testPerson is an invented person with a key of their own.
func testPerson(t testing.TB, id, name, employee string, roles ...ecluse.Role) (Person, ssh.Signer) {
	t.Helper()
	signer, _ := testKey(t, "ed25519", "")
	return Person{
		ID: id, Name: name, Employee: employee, Email: id + "@tilleuls.example",
		Keys: []ssh.PublicKey{signer.PublicKey()}, Roles: roles,
		From: "2026-01-01", Until: "2026-12-31", Confidentiality: "2026-01-02",
	}, signer
}

func testRoster(t testing.TB, side ecluse.Side, number int, people ...Person) *Roster {
	t.Helper()
	r := &Roster{
		Party: "Laboratoire des Tilleuls", Side: side, Number: number,
		Issued: testDay.Add(-24 * time.Hour), Expires: testDay.Add(29 * 24 * time.Hour), People: people,
	}
	got, err := ParseRoster("roster.yaml", r.Text())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestRosterRoundTrip(t *testing.T) {
	anne, _ := testPerson(t, "anne-martin", "Anne «Nanou» Martin", "RPPS 10001234567", ecluse.Signatory, ecluse.DPO)
	luc, _ := testPerson(t, "luc.root", "Luc Root", "T-12", ecluse.Operator)
	r := testRoster(t, ecluse.Controller, 3, anne, luc)
	again, err := ParseRoster("r", r.Text())
	if err != nil {
		t.Fatal(err)
	}
	keys := cmp.Comparer(func(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) })
	if diff := cmp.Diff(r, again, cmp.AllowUnexported(Roster{}), keys); diff != "" {
		t.Error(diff)
	}
	if p, ok := r.Holder(FingerprintOf(luc.Keys[0])); !ok || p.ID != "luc.root" {
		t.Errorf("Holder: got %v, %v", p, ok)
	}
}

func TestPersonActive(t *testing.T) {
	p := Person{From: "2026-01-01", Confidentiality: "2026-01-02", Until: "2026-03-31"}
	for at, want := range map[string]bool{
		"2026-01-01T23:59:59Z": false, "2026-01-02T00:00:00Z": true,
		"2026-03-31T23:59:59Z": true, "2026-04-01T00:00:00Z": false,
	} {
		instant, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Active(instant); got != want {
			t.Errorf("at %s: got %v", at, got)
		}
	}
}

func TestParseRosterRefuses(t *testing.T) {
	anne, _ := testPerson(t, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory)
	luc, _ := testPerson(t, "luc-petit", "Luc Petit", "T-12", ecluse.Operator)
	good := string(testRoster(t, ecluse.Controller, 3, anne, luc).Text())
	key := keyText(anne.Keys[0])
	for name, c := range map[string]struct{ old, new, field string }{
		"format":             {"roster/v1", "roster/v2", "ecluse"},
		"side":               {"side: controller", "side: judge", "side"},
		"number":             {"number: 3", "number: 0", "number"},
		"instant":            {"issued: 2026-11-22T09:00:00Z", "issued: 2026-11-22", "issued"},
		"expiry":             {"expires: 2026-12-22", "expires: 2026-11-01", "expires"},
		"unknown key":        {"email: \"luc", "phone: 1\n    email: \"luc", "people.luc-petit.phone"},
		"no commitment":      {"    confidentiality: 2026-01-02\n", "", "people.anne-martin.confidentiality"},
		"one word":           {"Anne Martin", "Martin", "people.anne-martin.name"},
		"team":               {"Anne Martin", "Équipe Migration", "people.anne-martin.name"},
		"team, combining":    {"Anne Martin", "E\u0301quipe Martin", "people.anne-martin.name"},
		"function":           {"Anne Martin", "Administrateur Martin", "people.anne-martin.name"},
		"role for a name":    {"Anne Martin", "DPO Contact", "people.anne-martin.name"},
		"generic id":         {"anne-martin:", "labo-2:", "people.labo-2"},
		"id":                 {"anne-martin:", "Anne:", "people.Anne"},
		"mailbox":            {"anne-martin@", "support@", "people.anne-martin.email"},
		"info":               {"anne-martin@", "info@", "people.anne-martin.email"},
		"address":            {"anne-martin@tilleuls.example", "anne", "people.anne-martin.email"},
		"shared address":     {"luc-petit@", "Anne-Martin@", "people.luc-petit.email"},
		"no employee number": {"RPPS 10001234567", "biologiste", "people.anne-martin.employee"},
		"shared employee":    {"T-12", "rpps 10001234567", "people.luc-petit.employee"},
		"shared key":         {keyText(luc.Keys[0]), key, "people.luc-petit.keys[0]"},
		"key options":        {key, "no-pty " + key, "people.anne-martin.keys[0]"},
		"key type":           {key, "ssh-dss AAAAB3NzaC1kc3M=", "people.anne-martin.keys[0]"},
		"unknown role":       {"[operator]", "[king]", "people.luc-petit.roles[0]"},
		"role twice":         {"[operator]", "[operator, operator]", "people.luc-petit.roles[1]"},
		"no role":            {"[operator]", "[]", "people.luc-petit.roles"},
		"ends before":        {"until: 2026-12-31", "until: 2025-12-31", "people.anne-martin.until"},
		"flow keys":          {"keys:\n      - " + key, "keys: [" + key + "]", "people"},
		"quoted key":         {"- " + key, "- \"" + key + "\"", "people"},
		"quoted date":        {"until: 2026-12-31", "until: \"2026-12-31\"", "people"},
		"lines in a string":  {"\"Luc Petit\"", "|\n      Luc\n\n      Petit\n\n  anne-x:\n", ""},
		"people in a string": {"name: \"Luc Petit\"", "name: >-\n      Luc Petit\n      - x\n    roles: [dpo]\n", ""},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Errorf("%s: the edit changes nothing", name)
		}
		_, err := ParseRoster("roster.yaml", []byte(text))
		if ecluse.KindOf(err) != ecluse.Invalid || err == nil || !strings.Contains(err.Error(), c.field+":") && c.field != "" {
			t.Errorf("%s: got %v, want invalid at %s", name, err, c.field)
		}
	}
}

func TestRosterCommentsAndItems(t *testing.T) {
	anne, _ := testPerson(t, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory)
	text := "# the people\n" + string(testRoster(t, ecluse.Controller, 3, anne).Text())
	text = strings.Replace(text, "    roles: [signatory]\n", "    # since 2020\n    roles:\n      - signatory\n      - dpo   # too\n", 1)
	text = strings.Replace(text, keyText(anne.Keys[0]), keyText(anne.Keys[0])+" token of Anne", 1)
	text = strings.ReplaceAll(text, "\n", "\r\n")
	r, err := ParseRoster("roster.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if !r.People[0].May(ecluse.DPO) {
		t.Error("a role is lost")
	}
}

func TestVerifyRoster(t *testing.T) {
	root, _ := testKey(t, "ed25519", "")
	other, _ := testKey(t, "ed25519", "")
	anne, _ := testPerson(t, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory)
	text := testRoster(t, ecluse.Controller, 1, anne).Text()
	s, err := Sign(root, NamespaceRoster, text)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyRoster(s, FingerprintOf(root.PublicKey())); err != nil {
		t.Error(err)
	}
	if _, err := VerifyRoster(s, FingerprintOf(other.PublicKey())); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another root: %v", err)
	}
}

// actBy makes a signed act of a person in a roster.
func actBy(t testing.TB, r *Roster, person string, signer ssh.Signer, role ecluse.Role, clauses ...Clause) Signed {
	t.Helper()
	s, err := SignAct(signer, &Act{
		Migration: "tilleuls-2026", Side: r.Side, Person: person, Role: role,
		Roster: r.Digest(), RosterNumber: r.Number,
		NotBefore: testDay, NotAfter: testDay.Add(12 * time.Hour), Nonce: NewNonce(), Clauses: clauses,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVerifyAct(t *testing.T) {
	anne, anneKey := testPerson(t, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory)
	luc, lucKey := testPerson(t, "luc-petit", "Luc Petit", "T-12", ecluse.Operator)
	paul, paulKey := testPerson(t, "paul-roux", "Paul Roux", "T-13", ecluse.Operator)
	paul.Until = "2026-11-22"
	r := testRoster(t, ecluse.Controller, 3, anne, luc, paul)
	var rs Rosters
	if err := rs.Add(r); err != nil {
		t.Fatal(err)
	}
	clause := Clause{VerbApprove, KindReadPlan, ecluse.DigestOf([]byte("plan"))}
	now := testDay.Add(time.Hour)
	good := actBy(t, r, "anne-martin", anneKey, ecluse.Signatory, clause)
	a, p, err := VerifyAct(good, &rs, now)
	if err != nil || p.Name != "Anne Martin" || !a.Has(VerbApprove, KindReadPlan, clause.Subject) {
		t.Fatalf("got %v, %v, %v", a, p, err)
	}
	unknown := testRoster(t, ecluse.Controller, 2, anne)
	other := testRoster(t, ecluse.Processor, 3, anne)
	for name, c := range map[string]struct {
		s  Signed
		at time.Time
	}{
		"before it is valid":      {good, testDay.Add(-time.Second)},
		"after it is valid":       {good, testDay.Add(13 * time.Hour)},
		"another's key":           {actBy(t, r, "anne-martin", lucKey, ecluse.Signatory, clause), now},
		"another role":            {actBy(t, r, "anne-martin", anneKey, ecluse.Operator, clause), now},
		"mandate over":            {actBy(t, r, "paul-roux", paulKey, ecluse.Operator, clause), now},
		"nobody":                  {actBy(t, r, "nobody-known", anneKey, ecluse.Signatory, clause), now},
		"roster of another digit": {actBy(t, unknown, "anne-martin", anneKey, ecluse.Signatory, clause), now},
		"another side":            {actBy(t, other, "anne-martin", anneKey, ecluse.Signatory, clause), now},
		"another body":            {Signed{actBy(t, r, "anne-martin", anneKey, ecluse.Signatory, clause).Body, good.Signature}, now},
	} {
		if _, _, err := VerifyAct(c.s, &rs, c.at); ecluse.KindOf(err) != ecluse.Unverified || err == nil {
			t.Errorf("%s: got %v, want unverified", name, err)
		}
	}
	anne.Roles = []ecluse.Role{ecluse.DPO}
	later := testRoster(t, ecluse.Controller, 4, anne)
	if err := rs.Add(later); err != nil {
		t.Fatal(err)
	}
	if _, _, err := VerifyAct(good, &rs, now); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("role taken away by a later roster: %v", err)
	}
	if err := rs.Add(testRoster(t, ecluse.Controller, 4, luc)); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("two rosters of one number: %v", err)
	}
	if latest, ok := rs.Latest(ecluse.Controller); !ok || latest.Number != 4 {
		t.Errorf("latest: %v", latest)
	}
}

func TestVerifyActRosterExpired(t *testing.T) {
	anne, key := testPerson(t, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory)
	old := &Roster{
		Party: "Laboratoire", Side: ecluse.Controller, Number: 1,
		Issued: testDay.Add(-48 * time.Hour), Expires: testDay.Add(time.Hour), People: []Person{anne},
	}
	r, err := ParseRoster("r", old.Text())
	if err != nil {
		t.Fatal(err)
	}
	var rs Rosters
	if err := rs.Add(r); err != nil {
		t.Fatal(err)
	}
	s := actBy(t, r, "anne-martin", key, ecluse.Signatory, Clause{VerbAccept, KindReport, ecluse.DigestOf(nil)})
	if _, _, err := VerifyAct(s, &rs, testDay.Add(30*time.Minute)); err != nil {
		t.Error(err)
	}
	if _, _, err := VerifyAct(s, &rs, testDay.Add(2*time.Hour)); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("expired roster: %v", err)
	}
}

func TestAllowedSignersOpenSSH(t *testing.T) {
	dir := t.TempDir()
	var people []Person
	files := map[string]string{}
	for i, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		id := []string{"anne-martin", "luc-petit", "paul-roux"}[i]
		signer, file := testKey(t, kind, filepath.Join(dir, id))
		p, _ := testPerson(t, id, []string{"Anne Martin", "Luc Petit", "Paul Roux"}[i], fmt.Sprint("T-1", i), ecluse.Signatory)
		p.Keys = []ssh.PublicKey{signer.PublicKey()}
		people, files[id] = append(people, p), file
	}
	r := testRoster(t, ecluse.Controller, 1, people...)
	var rs Rosters
	if err := rs.Add(r); err != nil {
		t.Fatal(err)
	}
	allowed := filepath.Join(dir, "allowed_signers")
	write(t, allowed, r.AllowedSigners())
	for id, file := range files {
		a := testAct()
		a.Person, a.Roster, a.RosterNumber = id, r.Digest(), 1
		act := filepath.Join(dir, id+".act")
		write(t, act, a.Text())
		if out, err := sshKeygen(t, nil, "-q", "-Y", "sign", "-n", NamespaceAct, "-f", file, act); err != nil {
			t.Fatalf("sign: %v: %s", err, out)
		}
		sig, err := os.ReadFile(act + ".sig")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := VerifyAct(Signed{a.Text(), sig}, &rs, testDay); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		verify := func(identity, namespace, at string) error {
			_, err := sshKeygen(t, a.Text(), "-Y", "verify", "-f", allowed, "-I", identity, "-n", namespace, "-s", act+".sig", "-Overify-time="+at)
			return err
		}
		if err := verify(id, NamespaceAct, "20261123090000"); err != nil {
			t.Errorf("%s: ssh-keygen refuses our act: %v", id, err)
		}
		for name, err := range map[string]error{
			"another person":     verify("jean-noir", NamespaceAct, "20261123090000"),
			"another namespace":  verify(id, NamespaceRoster, "20261123090000"),
			"before the mandate": verify(id, NamespaceAct, "20260101120000"),
			"after the mandate":  verify(id, NamespaceAct, "20270101000000"),
		} {
			if err == nil {
				t.Errorf("%s: ssh-keygen accepts %s", id, name)
			}
		}
	}
}

// TestRosterEnds: a roster is taken until it is too old or expired, the sooner.
func TestRosterEnds(t *testing.T) {
	issued := time.Date(2026, 11, 1, 9, 0, 0, 0, time.UTC)
	for expires, want := range map[time.Duration]time.Duration{24 * time.Hour: 24 * time.Hour, RosterLife: RosterLife, 2 * RosterLife: RosterLife} {
		if got := (&Roster{Issued: issued, Expires: issued.Add(expires)}).Ends(); !got.Equal(issued.Add(want)) {
			t.Errorf("one that expires after %s ends on %s", expires, got)
		}
	}
}

func FuzzParseRoster(f *testing.F) {
	anne, _ := testPerson(f, "anne-martin", "Anne Martin", "RPPS 10001234567", ecluse.Signatory, ecluse.DPO)
	f.Add(testRoster(f, ecluse.Controller, 1, anne).Text())
	f.Add([]byte("ecluse: roster/v1\npeople:\n  a: {}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRoster("roster.yaml", text)
		if err != nil {
			return
		}
		again, err := ParseRoster("roster.yaml", r.Text())
		if err != nil {
			t.Fatalf("its own text is refused: %v", err)
		}
		if diff := cmp.Diff(r.scanned(), again.scanned()); diff != "" {
			t.Error(diff)
		}
	})
}
