package mandate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/crypto/ssh"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/mandate"
	"ecluse/internal/mandate/mandatetest"
)

// fixedGate is a gate whose text is always the same.
func fixedGate() *mandate.Gate {
	key := func(c string) ecluse.Fingerprint { return ecluse.Fingerprint("SHA256:" + strings.Repeat(c, 43)) }
	return &mandate.Gate{
		Format: mandate.GateFormat, Gate: key("g"), Place: evidence.TargetGate, System: `MEGABUS "2"`, StandsAt: "Passerelle Santé SAS, Orléans",
		Machine: mandate.Administrators{ecluse.Processor}, Database: mandate.Administrators{ecluse.Controller, ecluse.Processor},
		Lock: key("l"), Roots: mandate.GateRoots{Controller: key("c"), Processor: key("p")}, Made: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC),
	}
}

func TestGateText(t *testing.T) {
	want := `ecluse: gate/v1
gate: SHA256:` + strings.Repeat("g", 43) + `
place: target
system: "MEGABUS \"2\""
stands_at: "Passerelle Santé SAS, Orléans"
machine_administered_by: processor
database_administered_by: [controller, processor]
lock: SHA256:` + strings.Repeat("l", 43) + `
roots:
  controller: SHA256:` + strings.Repeat("c", 43) + `
  processor: SHA256:` + strings.Repeat("p", 43) + `
made: 2026-11-23T09:00:00Z
`
	if diff := cmp.Diff(want, string(fixedGate().Bytes())); diff != "" {
		t.Error(diff)
	}
}

func TestGateRoundTrip(t *testing.T) {
	line := rapid.StringOfN(rapid.RuneFrom(nil, unicode.Letter, unicode.Punct, unicode.Symbol), 1, 60, -1)
	rapid.Check(t, func(t *rapid.T) {
		g := fixedGate()
		// Three words keep what is drawn from being a text that says nothing.
		g.System, g.StandsAt = "X"+line.Draw(t, "system"), "Laboratoire Dupont Tours "+strings.ReplaceAll(line.Draw(t, "place"), "@", "")+"."
		g.Place = rapid.SampledFrom([]evidence.Gate{evidence.SourceGate, evidence.TargetGate}).Draw(t, "gate")
		sides := []mandate.Administrators{{ecluse.Controller}, {ecluse.Processor}, {ecluse.Controller, ecluse.Processor}}
		g.Machine, g.Database = rapid.SampledFrom(sides).Draw(t, "machine"), rapid.SampledFrom(sides).Draw(t, "database")
		g.Made = time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "made"), 0).UTC()
		text := g.Bytes()
		got, err := mandate.ParseGate("g.yaml", text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if diff := cmp.Diff(g, got, cmpopts.IgnoreUnexported(mandate.Gate{})); diff != "" {
			t.Fatal(diff)
		}
		if got.Digest() != ecluse.DigestOf(text) {
			t.Fatal("its digest is not that of the bytes")
		}
	})
}

func TestGateRefuses(t *testing.T) {
	good := string(fixedGate().Bytes())
	for name, c := range map[string]struct{ old, new, want string }{
		"format":                {"gate/v1", "gate/v2", "ecluse: want gate/v1"},
		"unknown key":           {"made:", "mode: fast\nmade:", "mode: unknown key"},
		"missing":               {"place: target\n", "", "place: missing"},
		"law":                   {`stands_at: "Passerelle Santé SAS, Orléans"` + "\n", "", "stands_at: missing (GDPR art. 5(2))"},
		"key":                   {"gate: SHA256:", "gate: MD5:", "gate: want SHA256: and 43 characters"},
		"place":                 {"place: target", "place: lock", `place: "lock" is not source or target`},
		"says nothing":          {"Passerelle Santé SAS, Orléans", "à définir", "stands_at: says nothing"},
		"two lines":             {"SAS, Orléans", `SAS\nOrléans`, "stands_at: want one line"},
		"hidden character":      {"SAS, Orléans", `SAS\u202e, Orléans`, "stands_at: want one line"},
		"space at the end":      {"Orléans", "Orléans ", "stands_at: begins or ends with a space"},
		"long":                  {"Orléans", strings.Repeat("Orléans", 40), "stands_at: is longer than 200 characters"},
		"person":                {"Orléans", "anne.martin@tilleuls.example", "stands_at: holds an address of mail"},
		"empty system":          {`"MEGABUS \"2\""`, `""`, "system: must not be empty"},
		"nobody administers":    {"machine_administered_by: processor", "machine_administered_by: somebody", "machine_administered_by: want controller, processor or [controller, processor]"},
		"no administrator":      {"[controller, processor]", "[]", "database_administered_by: want controller, processor"},
		"administrator twice":   {"[controller, processor]", "[processor, processor]", "database_administered_by: want controller, processor"},
		"one root":              {strings.Repeat("p", 43), strings.Repeat("c", 43), "roots.processor: is the key of roots.controller too"},
		"lock with gate's key":  {strings.Repeat("l", 43), strings.Repeat("g", 43), "lock: is the key of gate too"},
		"no root":               {"  processor: SHA256:" + strings.Repeat("p", 43) + "\n", "", "roots.processor: missing"},
		"part of a second":      {"09:00:00Z", "09:00:00.5Z", "made: want an instant in UTC and whole seconds"},
		"another zone":          {"09:00:00Z", "09:00:00+01:00", "made: want an instant in UTC and whole seconds"},
		"comment":               {"place: target", "place: target # ours", "its bytes are not those a gate writes"},
		"other order":           {"ecluse: gate/v1\n", "", "ecluse: missing"},
		"written in other ways": {"[controller, processor]", "\n- controller\n- processor", "its bytes are not those a gate writes"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Errorf("%s: the edit changes nothing", name)
		}
		_, err := mandate.ParseGate("g.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) || ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if name == "person" && strings.Contains(err.Error(), "anne") {
			t.Errorf("the error repeats it: %v", err)
		}
	}
}

func TestGateAdministeredBy(t *testing.T) {
	c, p, both := mandate.Administrators{ecluse.Controller}, mandate.Administrators{ecluse.Processor}, mandate.Administrators{ecluse.Controller, ecluse.Processor}
	for _, tc := range []struct {
		machine, database mandate.Administrators
		want              ecluse.Side
	}{{c, c, ecluse.Controller}, {p, c, ecluse.Processor}, {c, both, ecluse.Processor}, {both, both, ecluse.Processor}} {
		if got := (&mandate.Gate{Machine: tc.machine, Database: tc.database}).AdministeredBy(); got != tc.want {
			t.Errorf("machine %s, database %s: %s", tc.machine, tc.database, got)
		}
	}
}

// enrolment is what the source gate says of itself, and what it is held against.
type enrolment struct {
	*mandatetest.World
	roots map[ecluse.Side]ecluse.Fingerprint
	lock  ssh.Signer
	gate  evidence.Signed
}

func enrol(t *testing.T) *enrolment {
	t.Helper()
	w := mandatetest.New(t)
	e := &enrolment{World: w, roots: map[ecluse.Side]ecluse.Fingerprint{}, lock: mandatetest.Key(t)}
	for side, root := range w.Roots {
		e.roots[side] = evidence.FingerprintOf(root.PublicKey())
	}
	var err error
	if e.gate, err = mandate.SignGate(w.SourceGate, w.Gate(w.SourceGate, e.lock)); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e *enrolment) verify() (*mandate.Gate, error) {
	return mandate.VerifyGate(e.gate, e.roots, evidence.FingerprintOf(e.lock.PublicKey()))
}

func TestVerifyGate(t *testing.T) {
	e := enrol(t)
	g, err := e.verify()
	if err != nil {
		t.Fatal(err)
	}
	if g.Gate != evidence.FingerprintOf(e.SourceGate.PublicKey()) || g.Digest() != e.gate.Digest() || g.Place != evidence.SourceGate {
		t.Errorf("got %+v", g)
	}
}

func TestVerifyGateRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(t *testing.T, e *enrolment)
		kind  ecluse.Kind
		want  string
	}{
		"another lock": {func(t *testing.T, e *enrolment) { e.lock = mandatetest.Key(t) }, ecluse.Refused, "it was enrolled for the lock"},
		"other controller": {func(t *testing.T, e *enrolment) {
			e.roots[ecluse.Controller] = evidence.FingerprintOf(mandatetest.Key(t).PublicKey())
		}, ecluse.Refused, "as the root of the controller, which is"},
		"no root known": {func(_ *testing.T, e *enrolment) { delete(e.roots, ecluse.Processor) }, ecluse.Refused, "as the root of the processor"},
		"roots the other way": {func(_ *testing.T, e *enrolment) {
			r := e.roots
			r[ecluse.Controller], r[ecluse.Processor] = r[ecluse.Processor], r[ecluse.Controller]
		}, ecluse.Refused, "as the root of the controller"},
		"changed after": {func(_ *testing.T, e *enrolment) {
			e.gate.Body = []byte(strings.Replace(string(e.gate.Body), "Orléans", "Orleans", 1))
		}, ecluse.Unverified, "signature"},
		"signed for other use": {otherUse, ecluse.Unverified, "gate@ecluse"},
		"signed by another":    {byAnother, ecluse.Unverified, "it speaks of the gate"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enrol(t)
			c.spoil(t, e)
			_, err := e.verify()
			if err == nil || ecluse.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s: %s", err, c.kind, c.want)
			}
		})
	}
}

func otherUse(t *testing.T, e *enrolment) {
	s, err := evidence.Sign(e.SourceGate, evidence.NamespaceStatement, e.gate.Body)
	if err != nil {
		t.Fatal(err)
	}
	e.gate = s
}

func byAnother(t *testing.T, e *enrolment) {
	s, err := evidence.Sign(e.TargetGate, evidence.NamespaceGate, e.gate.Body)
	if err != nil {
		t.Fatal(err)
	}
	e.gate = s
}

func TestSignGateRefuses(t *testing.T) {
	w := mandatetest.New(t)
	lock := mandatetest.Key(t)
	if _, err := mandate.SignGate(w.TargetGate, w.Gate(w.SourceGate, lock)); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another gate's document: %v", err)
	}
	g := w.Gate(w.SourceGate, lock)
	g.StandsAt = "two\nlines"
	if _, err := mandate.SignGate(w.SourceGate, g); err == nil || ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("two lines: %v", err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mandate.SignGate(key, w.Gate(key, lock)); err == nil || !strings.Contains(err.Error(), "a gate's key is Ed25519") {
		t.Errorf("an ECDSA key: %v", err)
	}
}

func FuzzParseGate(f *testing.F) {
	f.Add(fixedGate().Bytes())
	f.Add([]byte("ecluse: gate/v1\nmachine_administered_by: {a: b}\nroots: []\nmade: 2026-11-23T09:00:00+00:00\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := mandate.ParseGate("g.yaml", b); err == nil && string(g.Bytes()) != string(b) {
			t.Error("another text is taken for the same gate")
		}
	})
}

// OpenSSH's own ssh-keygen reads what a gate signs, in that namespace only.
func TestGateStockSSHKeygen(t *testing.T) {
	e := enrol(t)
	sig := filepath.Join(t.TempDir(), "gate.yaml.sig")
	if err := os.WriteFile(sig, e.gate.Signature, 0o600); err != nil {
		t.Fatal(err)
	}
	for namespace, want := range map[string]bool{evidence.NamespaceGate: true, evidence.NamespaceStatement: false} {
		cmd := exec.Command("ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", sig)
		cmd.Stdin = bytes.NewReader(e.gate.Body)
		if out, err := cmd.CombinedOutput(); (err == nil) != want {
			t.Errorf("%s: %v\n%s", namespace, err, out)
		}
	}
}
