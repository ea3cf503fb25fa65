package evidence

import (
	"fmt"
	"io/fs"
	"strings"

	"ecluse"
)

// Report is what Verify found, check by check.
type Report struct {
	Anchored bool     // both roots were given
	Warnings []string // what a reader must know before anything else
	Lines    []Line   // in the order checked
}

// Line is the result of one check.
type Line struct {
	Check string
	OK    bool
	Why   string // what is wrong; of a good check, what was seen
}

// The verdicts, the first line of a report.
const (
	VerdictOK          = "OK"
	VerdictKO          = "KO"
	VerdictNotAnchored = "KO not anchored" // all holds together, but whose roots these are was not said
)

// Verdict is the first line: a single failed check makes a bundle KO.
func (r Report) Verdict() string {
	for _, l := range r.Lines {
		if !l.OK {
			return VerdictKO
		}
	}
	switch {
	case len(r.Lines) == 0:
		return VerdictKO
	case !r.Anchored:
		return VerdictNotAnchored
	}
	return VerdictOK
}

// OK tells whether everything holds and hangs on the roots given.
func (r Report) OK() bool { return r.Verdict() == VerdictOK }

// Text is the report for people: verdict, warnings, then a line for each check.
func (r Report) Text() string {
	var b strings.Builder
	fmt.Fprintln(&b, r.Verdict())
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "note  %s\n", w)
	}
	for _, l := range r.Lines {
		word := "ok"
		if !l.OK {
			word = "KO"
		}
		fmt.Fprintf(&b, "%s    %s: %s\n", word, l.Check, l.Why)
	}
	return b.String()
}

// verifier carries what one check found to those after it.
type verifier struct {
	fsys  fs.FS
	roots map[ecluse.Side]ecluse.Fingerprint // given; may be empty

	files    map[string][]byte
	byDigest map[ecluse.Digest]string // one name of each listed file
	sums     []byte

	contract    contractView
	instruction instructionView
	rosters     Rosters
	leaves      []*Leaf
	handed      map[ecluse.Digest]*Leaf // act → leaf
	lock        ecluse.Fingerprint      // of the key under the journal's heads
	last        *Head
	acts        []verifiedAct
	readPlan    readPlanView
	finals      map[ecluse.Digest]bool // digests of the final load plans
	loads       map[ecluse.Digest]bool // digests of all load plans
	descriptors []*Descriptor          // of the source gate
	rejects     []*Descriptor          // of the target gate
	manifest    *Manifest
	certificate *Certificate
	rowsErased  string // the sentence on rows that were kept, once they were erased
}

// check is one step of Verify. Later checks build on a step that stops; when it
// fails they are not made.
type check struct {
	name  string
	run   func(*verifier) (seen string, err error)
	stops bool
}

func bundleChecks() []check {
	return []check{
		{"every file is listed, and every sum holds", (*verifier).checkFolder, true},
		{"contract, instruction and roots", (*verifier).checkDocuments, true},
		{"both gates signed the sums", (*verifier).checkGates, true},
		{"rosters chain to the roots", (*verifier).checkRosters, true},
		{"journal: the tree recomputed, every head signed three times", (*verifier).checkJournal, true},
		{"acts: signer, role, roster, time", (*verifier).checkActs, true},
		{"what gates say of themselves is signed by them", (*verifier).checkGatePapers, false},
		{"certificate of erasure", (*verifier).checkCertificate, true},
		{"contract signed by both parties, instruction by the controller", (*verifier).checkContractSigned, false},
		{"read plan approved by two parties and two people", (*verifier).checkReadPlan, false},
		{"load plans approved", (*verifier).checkLoadPlans, false},
		{"recipients are those of the plan", (*verifier).checkRecipients, false},
		{"chunks, manifest and journal agree", (*verifier).checkChunks, false},
		{"every chunk is erased", (*verifier).checkErased, false},
		{"records of privileges", (*verifier).checkPrivileges, false},
		{"report accepted, or erasure otherwise grounded", (*verifier).checkGround, false},
		{"go and no-go said by who may", (*verifier).checkDecisions, false},
		{"passages that stay in the target are named", (*verifier).checkLeft, false},
		{"a load in use without acceptance has its go", (*verifier).checkInUse, false},
		{"other statements of the gates", (*verifier).checkStatements, false},
		{"final mappings were tried before", (*verifier).checkTried, false},
		{"rows put aside are erased, or kept until the day instructed", (*verifier).checkKept, false},
	}
}

// Verify checks a bundle offline against the parties' roots. It trusts nothing
// in the folder: gates are believed because the instruction names them, the
// instruction because a signatory of the controller signed it, the signatory
// because a roster lists them, the roster because the root signed it. Without
// both roots everything is still checked against those the contract names, and
// the verdict is VerdictNotAnchored at best.
func Verify(fsys fs.FS, roots map[ecluse.Side]ecluse.Fingerprint) Report {
	v := &verifier{fsys: fsys, roots: roots}
	r := Report{Anchored: roots[ecluse.Controller].Valid() && roots[ecluse.Processor].Valid()}
	failed := ""
	for _, c := range bundleChecks() {
		if failed != "" {
			r.Lines = append(r.Lines, Line{Check: c.name, Why: "not checked, because of: " + failed})
			continue
		}
		seen, err := c.run(v)
		if err != nil {
			seen = err.Error()
			if c.stops {
				failed = c.name
			}
		}
		r.Lines = append(r.Lines, Line{Check: c.name, OK: err == nil, Why: seen})
	}
	if v.certificate != nil {
		r.Warnings = v.certificate.firstLines()
		if v.rowsErased != "" {
			r.Warnings = append(r.Warnings, v.rowsErased)
		}
	}
	return r
}

// maxFile bounds one file of a bundle, in bytes: a journal of a million leaves.
const maxFile = 512 << 20

// checkFolder reads every file there is and compares with SHA256SUMS.
func (v *verifier) checkFolder() (string, error) {
	const what = "read folder"
	v.files = map[string][]byte{}
	err := fs.WalkDir(v.fsys, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			return nil
		case !e.Type().IsRegular():
			return unverified(what, "%q is not a plain file", name)
		}
		if info, err := e.Info(); err != nil || info.Size() > maxFile {
			return unverified(what, "%q cannot be read or is too large", name)
		}
		v.files[name], err = fs.ReadFile(v.fsys, name)
		return err
	})
	if err != nil {
		return "", because(ecluse.Unverified, what, err)
	}
	v.sums = v.files[FileSums]
	sums, err := ParseSums(v.sums)
	if err != nil {
		return "", err
	}
	v.byDigest = map[ecluse.Digest]string{}
	for name, d := range sums {
		body, ok := v.files[name]
		switch {
		case !ok:
			return "", unverified(what, "%s is listed and not there", name)
		case ecluse.DigestOf(body) != d:
			return "", unverified(what, "%s was altered", name)
		}
		v.byDigest[d] = name
	}
	for name := range v.files {
		closing := name == FileSums || name == sigBy(FileSums, string(SourceGate)) || name == sigBy(FileSums, string(TargetGate))
		if _, ok := sums[name]; !ok && !closing {
			return "", unverified(what, "%q is there and not listed", name)
		}
		if !closing && !bundleNames.MatchString(name) {
			return "", unverified(what, "%s has no place in a bundle", name)
		}
	}
	return fmt.Sprintf("%d files", len(sums)), nil
}

// signed finds a file and its signature.
func (v *verifier) signed(name string) (Signed, error) { return v.signedBy(name, "") }

func (v *verifier) signedBy(name, by string) (Signed, error) {
	sig := name + sigSuffix
	if by != "" {
		sig = sigBy(name, by)
	}
	for _, f := range []string{name, sig} {
		if _, ok := v.files[f]; !ok {
			return Signed{}, unverified("read folder", "%s is missing", f)
		}
	}
	return Signed{Body: v.files[name], Signature: v.files[sig]}, nil
}

func (v *verifier) digest(name string) ecluse.Digest {
	body, ok := v.files[name]
	if !ok {
		return ecluse.Digest{}
	}
	return ecluse.DigestOf(body)
}

// has tells whether a file of that digest is in the folder.
func (v *verifier) has(d ecluse.Digest) bool { return v.byDigest[d] != "" }

// named lists the files whose name begins and ends so, sorted.
func (v *verifier) named(prefix, suffix string) []string {
	var out []string
	for name := range v.files {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) {
			out = append(out, name)
		}
	}
	return sorted(out)
}

func (v *verifier) gate(g Gate) ecluse.Fingerprint {
	if g == SourceGate {
		return v.instruction.source
	}
	return v.instruction.target
}
