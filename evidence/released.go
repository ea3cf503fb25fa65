package evidence

import (
	"regexp"
	"time"

	"ecluse"
)

// Released is released/v1: one row that was put aside, masked, which a person of the
// controller's lets others see. The source gate signs it; the person's act stands in it.
// There is no room in it for a value.
type Released struct {
	StatementHead                // Plan is the read plan's
	Passage       ecluse.Passage `json:"passage"`
	Row           MaskedRow      `json:"row"`
	ActDigest     ecluse.Digest  `json:"act_digest"`
	Act           Signed         `json:"act"`
	At            time.Time      `json:"at"`
}

// MaskedRow is a row put aside as the shapes of its columns.
type MaskedRow struct {
	Dataset ecluse.DatasetID `json:"dataset"`
	Ordinal int64            `json:"ordinal"` // its place in the dataset, from 0
	Reason  string           `json:"reason"`
	Cells   []MaskedCell     `json:"cells"` // of the columns behind the reason
}

// MaskedCell is what one value looks like.
type MaskedCell struct {
	Column string `json:"column"`
	Shape  string `json:"shape"` // as reconcile.ShapeOf makes it
}

// Digest is the subject of the act that releases the row: of the row as it stands in the
// statement.
func (m *MaskedRow) Digest() (ecluse.Digest, error) {
	text, err := EncodeJSON(m)
	if err != nil {
		return ecluse.Digest{}, err
	}
	return ecluse.DigestOf(text[:len(text)-1]), nil // without the newline
}

// The grammar of shapes, which verify.sh knows too: counts stand after what they count;
// without them a shape has letters and digits, punctuation, and signs only between two of
// the former.
var (
	shapeCount = regexp.MustCompile(`([^{}])\{(?:[5-9]|[12][0-9]|3[0-2]|32\+)\}`)
	shapeForm  = regexp.MustCompile(`^(null|empty|bytes|boolean|other|\?|[] !"#$%&'()*,./:;?@[\\^_\x60|~]*[A9]+([-+<=>][A9]+)*([] !"#$%&'()*,./:;?@[\\^_\x60|~]+[A9]+([-+<=>][A9]+)*)*([] !"#$%&'()*,./:;?@[\\^_\x60|~]*(…)?|[-+<=>]…))$`)
)

// maxShape bounds a shape without its counts, in bytes: sixteen runs of four.
const maxShape = 64 + len("…")

// ValidShape tells what could be the shape of a value.
func ValidShape(s string) bool {
	bare := shapeCount.ReplaceAllString(s, "$1")
	return len(bare) <= maxShape && shapeForm.MatchString(bare)
}

// ParseReleased reads released/v1 as the source gate signed it, and the act in it: only
// the canonical text, whose row has shapes alone and is the one that the act releases.
// Who signed the act is for VerifyAct.
func ParseReleased(s Signed, source ecluse.Fingerprint) (*Released, *Act, error) {
	const what = "read a released row"
	x := &Released{}
	if err := ParseStatement(s, source, ReleasedFormat, x); err != nil {
		return nil, nil, err
	}
	if !x.Row.Dataset.Valid() || x.Row.Ordinal < 0 || x.Row.Reason == "" || x.Row.Cells == nil {
		return nil, nil, unverified(what, "it does not say which row it is, and why it was put aside")
	}
	for i, c := range x.Row.Cells {
		if c.Column == "" || !ValidShape(c.Shape) { // its text may be a value
			return nil, nil, unverified(what, "cell %d of %s has no shape", i+1, x.Row.Dataset)
		}
	}
	act, err := ParseAct(x.Act.Body)
	if err != nil {
		return nil, nil, because(ecluse.Unverified, what, err)
	}
	digest, err := x.Row.Digest()
	if err != nil {
		return nil, nil, err
	}
	if x.ActDigest != x.Act.Digest() || act.Side != ecluse.Controller || act.Migration != x.Migration || len(act.Clauses) != 1 || !act.Has(VerbSign, KindReleased, digest) {
		return nil, nil, unverified(what, "the act in it releases another row")
	}
	return x, act, nil
}

// checkReleased holds the statement that a row put aside was released, masked, against
// the act of the controller's person who released it, and the journal.
func (v *verifier) checkReleased(name string, g Gate) error {
	const what = "verify statement"
	if g != SourceGate {
		return unverified(what, "%s is not the source gate's to say", name)
	}
	s, err := v.signed(name)
	if err != nil {
		return err
	}
	x, a, err := ParseReleased(s, v.gate(g))
	if err == nil {
		_, _, err = VerifyAct(x.Act, &v.rosters, a.NotBefore)
	}
	if err != nil {
		return because(ecluse.Unverified, name, err)
	}
	for _, l := range v.leaves {
		if l.Type == LeafReleased && l.IDs["act"] == x.ActDigest.String() && l.IDs["statement"] == s.Digest().String() {
			return nil
		}
	}
	return unverified(what, "%s shows a row, and the journal does not say who released it", name)
}
