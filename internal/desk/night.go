package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// GoRequest says go of the final passage in hand: the laboratory works in the new
// software from now on, and acceptance comes when it is sure.
type GoRequest struct {
	Migration ecluse.MigrationID
	Open      []evidence.OpenPoint // what stays open
	Key       ssh.Signer

	// Warn is told, before anything is signed, until when the passage can be accepted or
	// undone: then its keys go and it stays. nil is nobody reading.
	Warn func(until time.Time)
}

// Go signs it, with what stays open in a document of the same act.
func (d *Desk) Go(ctx context.Context, q GoRequest) (*Signature, error) {
	for _, p := range q.Open {
		if err := p.Check(); err != nil {
			return nil, err
		}
	}
	var until time.Time
	s, err := d.decide(ctx, q.Key, q.Migration, evidence.VerbGo, func(l Lock, i *mandate.Instruction, report ecluse.Digest) (kind string, text []byte, err error) {
		contract, err := contractOf(ctx, l, i)
		if err != nil {
			return "", nil, err
		}
		c, err := mandate.ParseContract("contract", contract)
		if err != nil {
			return "", nil, err
		}
		if until = mandate.ErasedBy(c, i); q.Warn != nil {
			q.Warn(until)
		}
		if len(q.Open) == 0 {
			return "", nil, nil
		}
		x := &evidence.Decision{Format: evidence.DecisionFormat, Migration: i.ID, Report: report, Open: q.Open}
		if err := x.Check(); err != nil {
			return "", nil, err
		}
		text, err = evidence.EncodeJSON(x)
		return evidence.KindDecision, text, err
	})
	if err == nil {
		s.AcceptBy = until
	}
	return s, err
}

// contractOf reads the contract that an instruction names.
func contractOf(ctx context.Context, l Lock, i *mandate.Instruction) ([]byte, error) {
	text, err := l.Document(ctx, i.Contract)
	if err == nil && ecluse.DigestOf(text) != i.Contract {
		err = another("read the contract", string(i.ID), "it is not the one that the instruction names")
	}
	return text, err
}

// NoGo says that the laboratory does not go over, with its reason. What is in the
// target stays there until it is undone, or until somebody says go after all.
func (d *Desk) NoGo(ctx context.Context, q Order) (*Signature, error) {
	because, err := reasonOf(q.Because)
	if err != nil {
		return nil, err
	}
	return d.decide(ctx, q.Key, q.Migration, evidence.VerbNoGo, func(Lock, *mandate.Instruction, ecluse.Digest) (string, []byte, error) {
		return evidence.KindReason, []byte(because), nil
	})
}

// decide signs a go or no-go of the report in hand, with the document that with makes.
func (d *Desk) decide(ctx context.Context, key ssh.Signer, id ecluse.MigrationID, v evidence.Verb, with func(Lock, *mandate.Instruction, ecluse.Digest) (string, []byte, error)) (*Signature, error) {
	l, m, err := d.as(ctx, key, id)
	if err != nil {
		return nil, err
	}
	me, err := l.Me(ctx)
	if err != nil {
		return nil, err
	}
	i, err := instructionOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	// In what role is for the lock to say; whoever holds none in which they may is told here.
	as := ecluse.Role("")
	if slices.Contains(me.Roles, ecluse.Signatory) {
		as = ecluse.Signatory
	}
	if err := evidence.MayDecide(&evidence.Act{Side: me.Side, Person: me.ID, Role: as}, i.Deputies); err != nil {
		return nil, err
	}
	report, digest, err := inHand(ctx, l, m)
	if err != nil {
		return nil, err
	}
	if report.Passage.Kind != ecluse.Final {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: string(v), Where: string(m), Why: fmt.Sprintf("%s is in hand: go and no-go are said of a final passage", report.Passage), Next: "ecluse status"}
	}
	clauses := []evidence.Clause{{Verb: v, Kind: evidence.KindReport, Subject: digest}}
	kind, text, err := with(l, i, digest)
	if err != nil {
		return nil, err
	}
	var papers []exchange.Enclosure
	if text != nil {
		clauses = append(clauses, evidence.Clause{Verb: evidence.VerbSign, Kind: kind, Subject: ecluse.DigestOf(text)})
		papers = append(papers, exchange.Enclosure{Kind: kind, Text: text})
	}
	return d.sign(ctx, l, key, m, clauses, papers...)
}

// ParseOpenPoint reads WHAT=OWNER,YYYY-MM-DD, as a person types it: what is open may
// hold both signs.
func ParseOpenPoint(s string) (evidence.OpenPoint, error) {
	what, owner, day, ok := followedUp(s)
	if !ok {
		return evidence.OpenPoint{}, &ecluse.Error{
			Kind: ecluse.Invalid, What: "read an open point", Where: "--open", Why: "it does not say what is open, whose it is and until when",
			Next: "write --open 'what is open=person,YYYY-MM-DD'",
		}
	}
	p := evidence.OpenPoint{What: what, Owner: owner, Due: day}
	return p, p.Check()
}

// ParseReservation reads "table NAME=WHY=OWNER,YYYY-MM-DD", or check in table's place.
func ParseReservation(s string) (evidence.Reservation, error) {
	said, owner, day, ok := followedUp(s)
	of, why, named := strings.Cut(said, "=")
	kind, name, _ := strings.Cut(strings.TrimSpace(of), " ")
	if name = strings.TrimSpace(name); !ok || !named || name == "" {
		return evidence.Reservation{}, &ecluse.Error{
			Kind: ecluse.Invalid, What: "read a reservation", Where: "--reserve", Why: "it does not say which table or check differs, why, who follows it up and until when",
			Next: "write --reserve 'table NAME=why=person,YYYY-MM-DD'; ecluse report names tables and checks",
		}
	}
	r := evidence.Reservation{Difference: evidence.Difference{Of: kind, Name: name}, Why: strings.TrimSpace(why), Owner: owner, Until: day}
	return r, r.Check()
}

// followedUp reads TEXT=OWNER,DAY, from its end.
func followedUp(s string) (text, owner, day string, ok bool) {
	at := strings.LastIndex(s, "=")
	if at < 0 {
		return "", "", "", false
	}
	owner, day, ok = strings.Cut(s[at+1:], ",")
	return strings.TrimSpace(s[:at]), strings.TrimSpace(owner), strings.TrimSpace(day), ok
}

// Night is what a lock knows of a migration that a sheet for its night says.
type Night struct {
	Status      exchange.Status
	Instruction *mandate.Instruction
	Ends        []mandate.Deadline
}

// Night reads it. Nothing is sent: what the sheet holds besides stays with whoever prints it.
func (d *Desk) Night(ctx context.Context, id ecluse.MigrationID) (*Night, error) {
	l, m, err := d.at(ctx, id)
	if err != nil {
		return nil, err
	}
	all, err := l.Status(ctx, m)
	if err != nil {
		return nil, err
	}
	i, err := instructionOf(ctx, l, m)
	if err != nil {
		return nil, err
	}
	contract, err := contractOf(ctx, l, i)
	if err != nil {
		return nil, err
	}
	rosters, err := l.Rosters(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := mandate.ReadDeadlines(contract, i, rosters, time.Now())
	if at := all[0].Lapses; !at.IsZero() {
		ends = append(ends, mandate.Deadline{Of: mandate.OfApproval, At: at})
	}
	slices.SortStableFunc(ends, func(a, b mandate.Deadline) int { return a.At.Compare(b.At) })
	return &Night{Status: all[0], Instruction: i, Ends: ends}, err
}
