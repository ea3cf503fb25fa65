package mandate

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/document"
)

// Gate is gate/v1: what a gate says of itself once both parties' roots and the
// lock's key were given at its own console. The gate writes and signs it; it
// counts once a signatory of the controller has confirmed its digest.
type Gate struct {
	Format   string             `yaml:"ecluse" enum:"gate/v1"`
	Gate     ecluse.Fingerprint `yaml:"gate"` // of the key that signs this, Ed25519
	Place    evidence.Gate      `yaml:"place" enum:"source target"`
	System   string             `yaml:"system"`                                        // the software whose database it stands beside
	StandsAt string             `yaml:"stands_at" law:"GDPR art. 5(2)"`                // where its machine stands: an organisation and a town, no person
	Machine  Administrators     `yaml:"machine_administered_by" law:"GDPR art. 5(2)"`  // whose people administer the machine
	Database Administrators     `yaml:"database_administered_by" law:"GDPR art. 5(2)"` // whose people administer the database
	Line     string             `yaml:"line,omitempty" enum:"none"`                    // none: what it says is carried by hand
	Lock     ecluse.Fingerprint `yaml:"lock"`                                          // of the key under journal heads
	Roots    GateRoots          `yaml:"roots"`                                         // as given at the console
	Made     time.Time          `yaml:"made"`                                          // UTC, whole seconds

	digest ecluse.Digest
}

// NoLine is how a gate says that it stands where no line goes to its lock.
const NoLine = "none"

// GateRoots are both parties' root keys.
type GateRoots struct {
	Controller ecluse.Fingerprint `yaml:"controller"`
	Processor  ecluse.Fingerprint `yaml:"processor"`
}

// Of is the root of a side.
func (r GateRoots) Of(s ecluse.Side) ecluse.Fingerprint {
	if s == ecluse.Processor {
		return r.Processor
	}
	return r.Controller
}

// Administrators are the parties whose people administer something: one side, or
// a list of both.
type Administrators []ecluse.Side

// DecodeNode reads either way of writing them.
func (a *Administrators) DecodeNode(n *document.Node, decode func(*document.Node, any)) error {
	var sides []ecluse.Side
	if document.IsScalar(n) {
		sides = make([]ecluse.Side, 1)
		decode(n, &sides[0])
	} else {
		decode(n, &sides)
	}
	*a = sides
	return a.check()
}

func (a Administrators) check() error {
	both := []ecluse.Side{ecluse.Controller, ecluse.Processor}
	if len(a) == 1 && slices.Contains(both, a[0]) || slices.Equal(a, both) {
		return nil
	}
	return errors.New("want controller, processor or [controller, processor]")
}

func (a Administrators) String() string {
	if len(a) == 1 {
		return string(a[0])
	}
	s := make([]string, len(a))
	for i, side := range a {
		s[i] = string(side)
	}
	return "[" + strings.Join(s, ", ") + "]"
}

// AdministeredBy is what an instruction has to say of the place as a whole: the
// processor, if its people administer the machine or the database.
func (g *Gate) AdministeredBy() ecluse.Side {
	if slices.Contains(g.Machine, ecluse.Processor) || slices.Contains(g.Database, ecluse.Processor) {
		return ecluse.Processor
	}
	return ecluse.Controller
}

// Bytes is the document's one text.
func (g *Gate) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "ecluse: %s\ngate: %s\nplace: %s\nsystem: %q\nstands_at: %q\n", GateFormat, g.Gate, g.Place, g.System, g.StandsAt)
	fmt.Fprintf(&b, "machine_administered_by: %s\ndatabase_administered_by: %s\n", g.Machine, g.Database)
	if g.Line != "" {
		fmt.Fprintf(&b, "line: %s\n", g.Line)
	}
	fmt.Fprintf(&b, "lock: %s\nroots:\n  controller: %s\n  processor: %s\n", g.Lock, g.Roots.Controller, g.Roots.Processor)
	fmt.Fprintf(&b, "made: %s\n", g.Made.UTC().Format(time.RFC3339Nano))
	return b.Bytes()
}

// Digest identifies the exact bytes of a document that was read.
func (g *Gate) Digest() ecluse.Digest { return g.digest }

// ParseGate reads the bytes that Bytes wrote, and no others. What is wrong gives
// document.Problems.
func ParseGate(file string, text []byte) (*Gate, error) {
	g := &Gate{digest: ecluse.DigestOf(text)}
	lines, err := document.Decode(file, text, g)
	if err != nil {
		return nil, err
	}
	p := &problems{lines: lines}
	g.check(p)
	if err := p.err("read gate"); err != nil {
		return nil, err
	}
	if !bytes.Equal(g.Bytes(), text) {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "read gate", Where: file, Why: "its bytes are not those a gate writes",
			Next: "take the file as the gate wrote it; it is never written by hand",
		}
	}
	return g, nil
}

func (g *Gate) check(p *problems) {
	if g.Format != GateFormat {
		p.add("ecluse", "want "+GateFormat, "")
	}
	if g.Place != evidence.SourceGate && g.Place != evidence.TargetGate {
		p.add("place", strconv.Quote(string(g.Place))+" is not source or target", "")
	}
	switch {
	case g.Line != "" && g.Line != NoLine:
		p.add("line", "want none, or no such field", "")
	case g.Line == NoLine && g.Place != evidence.SourceGate:
		p.add("line", "a target gate borrows a half of the key while it loads, and needs a line for it", "")
	}
	if why := freeLine(g.System); why != "" {
		p.add("system", why, "")
	}
	why := freeLine(g.StandsAt)
	if why == "" {
		why = boilerplate(g.StandsAt, "")
	}
	switch {
	case why != "":
		p.add("stands_at", why, "GDPR art. 5(2)")
	case strings.Contains(g.StandsAt, "@"):
		p.add("stands_at", "holds an address of mail: want an organisation and a town, no person", "GDPR art. 5(1)(c)")
	}
	g.checkKeys(p)
	if g.Made.Nanosecond() != 0 || g.Made.Location() != time.UTC {
		p.add("made", "want an instant in UTC and whole seconds", "")
	}
}

// checkKeys holds the four keys apart: each does one thing.
func (g *Gate) checkKeys(p *problems) {
	seen := map[ecluse.Fingerprint]string{}
	for _, k := range []struct {
		at  string
		key ecluse.Fingerprint
	}{{"gate", g.Gate}, {"lock", g.Lock}, {"roots.controller", g.Roots.Controller}, {"roots.processor", g.Roots.Processor}} {
		switch other := seen[k.key]; {
		case !k.key.Valid():
			p.add(k.at, "want SHA256: and 43 characters, the fingerprint of a key", "")
		case other != "":
			p.add(k.at, "is the key of "+other+" too: gate, lock and both roots have each their own", "")
		}
		seen[k.key] = k.at
	}
}

// maxLine bounds a free line, in characters.
const maxLine = 200

// freeLine says why a text is not one line, or "". It never repeats the text.
func freeLine(s string) string {
	unseen := func(r rune) bool { return !unicode.IsPrint(r) }
	switch {
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unseen):
		return "want one line of characters that can be seen"
	case strings.TrimSpace(s) != s:
		return "begins or ends with a space"
	case utf8.RuneCountInString(s) > maxLine:
		return fmt.Sprintf("is longer than %d characters", maxLine)
	}
	return ""
}

// SignGate checks what a gate says of itself and signs it with the gate's key.
func SignGate(key ssh.Signer, g *Gate) (evidence.Signed, error) {
	const what = "sign gate"
	if err := checkGateKey(what, key.PublicKey(), g); err != nil {
		return evidence.Signed{}, err
	}
	text := g.Bytes()
	if _, err := ParseGate("gate", text); err != nil {
		return evidence.Signed{}, err
	}
	return evidence.Sign(key, evidence.NamespaceGate, text)
}

func checkGateKey(what string, key ssh.PublicKey, g *Gate) error {
	if got := evidence.FingerprintOf(key); got != g.Gate {
		return &ecluse.Error{Kind: ecluse.Unverified, What: what, Why: fmt.Sprintf("it speaks of the gate %s and the key is %s", g.Gate, got)}
	}
	if key.Type() != ssh.KeyAlgoED25519 {
		return &ecluse.Error{Kind: ecluse.Unverified, What: what, Why: "a gate's key is Ed25519, not " + key.Type()}
	}
	return nil
}

// VerifyGate reads what a gate says of itself: the gate it names signed it, and it
// was given these roots and this lock at its console.
func VerifyGate(s evidence.Signed, roots map[ecluse.Side]ecluse.Fingerprint, lock ecluse.Fingerprint) (*Gate, error) {
	const what = "verify gate"
	key, err := s.Verify(evidence.NamespaceGate)
	if err != nil {
		return nil, err
	}
	g, err := ParseGate("gate", s.Body)
	if err != nil {
		return nil, err
	}
	if err := checkGateKey(what, key, g); err != nil {
		return nil, err
	}
	const next = "compare both with the parties, by telephone; then enrol the gate again at its own console"
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if got := g.Roots.Of(side); got != roots[side] {
			return nil, refusal(what, fmt.Sprintf("it was enrolled under %s as the root of the %s, which is %s", got, side, roots[side]), next)
		}
	}
	if g.Lock != lock {
		return nil, refusal(what, fmt.Sprintf("it was enrolled for the lock %s, and this one is %s", g.Lock, lock), next)
	}
	return g, nil
}

// ConfirmedGate reads what a gate says of itself, as VerifyGate does, and checks
// that a signatory of the controller confirmed it and that nobody retired it
// since. Rosters and acts are what the lock hands over; Trust.Gate, where it is
// known, is the gate meant.
func ConfirmedGate(t Trust, lock ecluse.Fingerprint, gate evidence.Signed, rosters, acts []evidence.Signed) (*Gate, error) {
	g, err := VerifyGate(gate, t.Roots, lock)
	if err != nil {
		return nil, err
	}
	if t.Gate != "" && t.Gate != g.Gate {
		return nil, refusal("verify gate", fmt.Sprintf("it speaks of the gate %s, and this one is %s", g.Gate, t.Gate), "give the one that this gate wrote")
	}
	d := newDocket(t)
	for _, step := range []func() error{
		func() error { return d.chain(rosters) },
		func() error { return d.current(ecluse.Controller) },
		func() error { return d.verifyActs(acts) },
		func() error { return d.confirmed(g) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Retired tells whether the gate was retired by somebody who might, and not confirmed
// again: each paper by which it was, by acts and rosters that verify. Whether a roster still
// runs is not asked, for what it lets be done is to end things.
func Retired(t Trust, p Papers) bool {
	d := newDocket(t)
	if d.chain(p.Rosters) != nil {
		return false
	}
	for _, s := range p.Acts {
		a, err := evidence.ParseAct(s.Body)
		if err != nil {
			continue
		}
		if a, by, err := evidence.VerifyAct(s, &d.rosters, a.NotBefore); err == nil {
			d.acts = append(d.acts, actBy{a, by, s})
		}
	}
	retired := false
	for _, s := range p.Gates {
		g, err := VerifyGate(s, t.Roots, t.Lock)
		if err != nil || g.Gate != t.Gate {
			continue
		}
		if d.confirmed(g) == nil {
			return false
		}
		retired = retired || d.stopped(evidence.KindGate, g.digest) != nil
	}
	return retired
}

// RosterRuns refuses rosters that do not chain to a side's root, or of which none runs: by
// them no signature of that side can be told.
func RosterRuns(t Trust, side ecluse.Side, rosters []evidence.Signed) error {
	d := newDocket(t)
	if err := d.chain(rosters); err != nil {
		return err
	}
	return d.current(side)
}

// confirmed checks that a signatory of the controller confirmed a gate, and that nobody
// retired it since.
func (d *docket) confirmed(g *Gate) error {
	if _, err := d.signed(ecluse.Controller, ecluse.Signatory, evidence.VerbSign, evidence.KindGate, g.digest); err != nil {
		return err
	}
	return d.stopped(evidence.KindGate, g.digest)
}

// verifyGates checks that both gates that the instruction names were confirmed by the
// controller, and that it says of their places what they say themselves. In one room the gates were made together with this one, at its console.
func (d *docket) verifyGates(papers []evidence.Signed) error {
	if d.trust.OneRoom {
		return nil
	}
	for _, at := range []evidence.Gate{evidence.SourceGate, evidence.TargetGate} {
		g, err := d.gateOf(at, d.instruction.gates()[at], papers)
		if err != nil {
			return err
		}
		if err := d.instruction.Fits(g); err != nil {
			return err
		}
	}
	return nil
}

func (i *Instruction) gates() map[evidence.Gate]ecluse.Fingerprint {
	return map[evidence.Gate]ecluse.Fingerprint{evidence.SourceGate: i.Source.Gate, evidence.TargetGate: i.Target.Gate}
}

// Fits checks that an instruction says of one of its places what its gate says of itself:
// the software whose database it stands beside, and whose people administer it. The name is
// all that binds the controller's word to a database: without it a gate of another system
// would do. A gate that the instruction does not name fits.
func (i *Instruction) Fits(g *Gate) error {
	if i.gates()[g.Place] != g.Gate {
		return nil
	}
	system, by := i.Source.System, i.Source.AdministeredBy
	if g.Place == evidence.TargetGate {
		system, by = i.Target.System, i.Target.AdministeredBy
	}
	e := &ecluse.Error{
		Kind: ecluse.Refused, What: "verify instruction", Article: "GDPR art. 5(2)",
		Next: "write what is the case in the instruction, or enrol the gate again; and have it signed",
	}
	switch got := g.AdministeredBy(); {
	case g.System != system:
		e.Where, e.Why = string(g.Place)+".system", fmt.Sprintf("it says %q, and by what the gate said of itself it stands beside %q", system, g.System)
	case got != by:
		e.Where, e.Why = string(g.Place)+".administered_by", fmt.Sprintf("it says %s, and by what the gate said of itself it is the %s", by, got)
	default:
		return nil
	}
	return e
}

// gateOf finds the last paper of a gate that was confirmed.
func (d *docket) gateOf(at evidence.Gate, gate ecluse.Fingerprint, papers []evidence.Signed) (*Gate, error) {
	var last *Gate
	var why error
	for _, s := range papers {
		g, err := VerifyGate(s, d.trust.Roots, d.trust.Lock)
		if err != nil || g.Gate != gate || g.Place != at { // of others, or of nobody: it counts for nothing
			continue
		}
		if err := d.confirmed(g); err != nil {
			why = err
		} else if last == nil || g.Made.After(last.Made) {
			last = g
		}
	}
	if last != nil {
		return last, nil
	}
	if ecluse.KindOf(why) == ecluse.Refused { // it was retired
		return nil, why
	}
	return nil, &ecluse.Error{
		Kind: ecluse.WaitsForSign, What: "verify instruction", Where: string(at) + ".gate", Article: "GDPR art. 29", Err: why,
		Why:  "nobody confirmed the gate " + string(gate) + " that it names",
		Next: "a signatory of the controller compares the words that its console shows, and confirms it: ecluse gates confirm",
	}
}
