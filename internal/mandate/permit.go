package mandate

import (
	"time"

	"ecluse"
)

// ReadPermit opens a reader. Only PermitRead makes one that is not zero; a zero
// permit opens nothing.
type ReadPermit struct {
	plan     *ReadPlan
	digest   ecluse.Digest
	notAfter time.Time
}

// Plan is what may be read; nil for the zero permit.
func (p ReadPermit) Plan() *ReadPlan { return p.plan }

// Digest is the plan's.
func (p ReadPermit) Digest() ecluse.Digest { return p.digest }

// NotAfter is when the permit ends: the earliest end of contract, instruction,
// approvals and plan.
func (p ReadPermit) NotAfter() time.Time { return p.notAfter }

// LoadPermit opens a writer. Only PermitLoad makes one that is not zero.
type LoadPermit struct {
	plan     *LoadPlan
	digest   ecluse.Digest
	passage  ecluse.Passage
	notAfter time.Time
}

// Plan is what may be written; nil for the zero permit.
func (p LoadPermit) Plan() *LoadPlan { return p.plan }

// Digest is the plan's.
func (p LoadPermit) Digest() ecluse.Digest { return p.digest }

// Passage is the run that this permit is for.
func (p LoadPermit) Passage() ecluse.Passage { return p.passage }

// NotAfter is when the permit ends.
func (p LoadPermit) NotAfter() time.Time { return p.notAfter }
