package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/words"
)

// GateRequest names a gate, and what this device knows by itself of its lock: what
// the lock says of either is not believed.
type GateRequest struct {
	Gate  ecluse.Fingerprint
	Roots map[ecluse.Side]ecluse.Fingerprint
	Lock  ecluse.Fingerprint
	Key   ssh.Signer
}

// GatePaper is what a gate says of itself, verified here.
type GatePaper struct {
	*mandate.Gate
	Paper ecluse.Digest
}

// Enrolled are the gates whose papers verify under what this device knows.
func (d *Desk) Enrolled(ctx context.Context, q GateRequest) ([]GatePaper, error) {
	l, err := d.visit(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	return enrolled(ctx, l, q)
}

func enrolled(ctx context.Context, l Lock, q GateRequest) ([]GatePaper, error) {
	signed, err := l.EnrolledGates(ctx)
	if err != nil {
		return nil, err
	}
	var all []GatePaper
	for _, s := range signed {
		g, err := mandate.VerifyGate(s, q.Roots, q.Lock)
		if err != nil {
			return nil, err
		}
		all = append(all, GatePaper{g, s.Digest()})
	}
	return all, nil
}

// papersOf are the papers of the gate meant, the newest first.
func papersOf(ctx context.Context, l Lock, q GateRequest) ([]GatePaper, error) {
	all, err := enrolled(ctx, l, q)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(p GatePaper) bool { return p.Gate.Gate != q.Gate })
	slices.SortStableFunc(all, func(a, b GatePaper) int { return b.Made.Compare(a.Made) })
	if len(all) == 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: "find the gate", Where: string(q.Gate), Why: "none of that fingerprint enrolled here, or it waited for longer than a day",
			Next: "ecluse gates lists them; ecluse gate enrol, at the gate's own console, enrols it again",
		}
	}
	return all, nil
}

// GatePhrase is the words that the console of a gate shows.
func GatePhrase(g *mandate.Gate) (words.Phrase, error) {
	return words.Of(words.Enrolment{
		Gate: g.Gate, Place: string(g.Place), Controller: g.Roots.Controller, Processor: g.Roots.Processor, Lock: g.Lock,
	})
}

// ConfirmGate signs that a gate is the one whose console shows the words typed. They
// are compared with those that this device finds by itself: a lock that shows another
// gate, or another root, shows it up.
func (d *Desk) ConfirmGate(ctx context.Context, q GateRequest, typed string) (*Signature, error) {
	l, err := d.visit(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	papers, err := papersOf(ctx, l, q)
	if err != nil {
		return nil, err
	}
	phrase, err := GatePhrase(papers[0].Gate)
	if err != nil {
		return nil, err
	}
	if err := phrase.Check(typed); err != nil {
		return nil, err
	}
	return d.sign(ctx, l, q.Key, "", []evidence.Clause{{Verb: evidence.VerbSign, Kind: evidence.KindGate, Subject: papers[0].Paper}})
}

// RetireGate signs that a gate is one no more: each paper of it that stands.
func (d *Desk) RetireGate(ctx context.Context, q GateRequest) (*Signature, error) {
	l, err := d.visit(ctx, q.Key)
	if err != nil {
		return nil, err
	}
	papers, err := papersOf(ctx, l, q)
	if err != nil {
		return nil, err
	}
	var clauses []evidence.Clause
	for _, p := range papers[:min(len(papers), evidence.MaxClauses)] {
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindGate, Subject: p.Paper})
	}
	return d.sign(ctx, l, q.Key, "", clauses)
}

// FindGate is the one gate whose fingerprint begins as typed, with or without
// "SHA256:"; empty: the only one that waits to be confirmed.
func FindGate(all []exchange.GateView, typed string) (ecluse.Fingerprint, error) {
	var found []exchange.GateView
	for _, v := range all {
		if typed == "" && !v.Paper.IsZero() && !v.Confirmed && !v.Retired || typed != "" && beginsWith(v.Gate, typed) {
			found = append(found, v)
		}
	}
	if len(found) == 1 {
		return found[0].Gate, nil
	}
	return "", &ecluse.Error{
		Kind: ecluse.Invalid, What: "find the gate", Where: typed, Why: fmt.Sprintf("%d gates are meant by it", len(found)),
		Next: "name one by its fingerprint: ecluse gates lists them",
	}
}

func beginsWith(f ecluse.Fingerprint, typed string) bool {
	return strings.HasPrefix(strings.TrimPrefix(string(f), "SHA256:"), strings.TrimPrefix(typed, "SHA256:"))
}
