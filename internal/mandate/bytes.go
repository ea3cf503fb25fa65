package mandate

import (
	"bytes"
	"encoding/json"
	"fmt"

	"ecluse"
)

// maxPlan bounds a plan's bytes: a source of 10,000 tables has some 20 MB.
const maxPlan = 64 << 20

// Bytes is the plan's one encoding, the bytes that are approved: JSON indented
// by two spaces, for people to read.
func (p *ReadPlan) Bytes() []byte { return encodePlan(p) }

// Digest is that of Bytes.
func (p *ReadPlan) Digest() ecluse.Digest { return ecluse.DigestOf(p.Bytes()) }

// ParseReadPlan reads the bytes that Bytes wrote, and no others.
func ParseReadPlan(b []byte) (*ReadPlan, error) {
	p := new(ReadPlan)
	return p, decodePlan(b, p, &p.Format, ReadPlanFormat)
}

// Bytes is the plan's one encoding, as ReadPlan.Bytes.
func (p *LoadPlan) Bytes() []byte { return encodePlan(p) }

// Digest is that of Bytes.
func (p *LoadPlan) Digest() ecluse.Digest { return ecluse.DigestOf(p.Bytes()) }

// ParseLoadPlan reads the bytes that Bytes wrote, and no others.
func ParseLoadPlan(b []byte) (*LoadPlan, error) {
	p := new(LoadPlan)
	return p, decodePlan(b, p, &p.Format, LoadPlanFormat)
}

func encodePlan(p any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(p); err != nil {
		panic(fmt.Sprintf("mandate: a plan always encodes: %v", err))
	}
	return b.Bytes()
}

// decodePlan is strict by encoding again: an unknown or repeated field, another
// order, another way to write a number are different bytes.
func decodePlan(b []byte, p any, format *string, want string) error {
	what := "read " + want
	invalid := func(why string, err error) error {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: why, Err: err, Next: "compile it again; a plan is never written by hand"}
	}
	if len(b) > maxPlan {
		return invalid(fmt.Sprintf("it is larger than %d bytes", maxPlan), nil)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return invalid("it is not a plan's JSON", err)
	}
	if *format != want {
		return invalid(fmt.Sprintf("its format is %q", *format), nil)
	}
	if !bytes.Equal(encodePlan(p), b) {
		return invalid("its bytes are not those a plan is written with", nil)
	}
	return nil
}
