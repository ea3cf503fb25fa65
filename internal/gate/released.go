package gate

import (
	"context"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// masked masks a row: of it only the columns behind the reason, for the shapes of all of
// them side by side can tell whose row it is.
func (r *Rejected) masked() evidence.MaskedRow {
	m := evidence.MaskedRow{Dataset: r.Dataset, Ordinal: r.Ordinal, Reason: r.Reason, Cells: []evidence.MaskedCell{}}
	for _, c := range r.Cells {
		if c.behind {
			m.Cells = append(m.Cells, evidence.MaskedCell{Column: c.Column, Shape: c.shape.String()})
		}
	}
	return m
}

// Release lets others see one row that a passage put aside, masked, by the act of one of
// the controller's people, whose key it is. Releasing it again is another act.
func (s *Source) Release(ctx context.Context, m ecluse.MigrationID, p ecluse.Passage, d ecluse.DatasetID, ordinal int64, key ssh.Signer) (*evidence.Released, error) {
	const what = "release a row"
	var row *Rejected
	err := s.Rejects(ctx, m, p, key, func(x *Rejected) error {
		if x.Dataset == d && x.Ordinal == ordinal {
			row = x
		}
		return nil // to the end: whether all are there is known there
	})
	if err != nil {
		return nil, err
	}
	if row == nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: p.String(), Why: "no such row was put aside", Next: "ecluse gate rejects names them: DATASET:ROW"}
	}
	page, err := s.home.Entry(m)
	if err != nil {
		return nil, err
	}
	now, err := s.home.Now()
	if err != nil {
		return nil, err
	}
	out := &evidence.Released{
		StatementHead: evidence.StatementHead{Format: evidence.ReleasedFormat, Migration: m, Plan: page.ReadPlan}, Passage: p, Row: row.masked(), At: now,
	}
	digest, err := out.Row.Digest()
	if err != nil {
		return nil, err
	}
	act, err := s.actOf(ctx, m, key, evidence.Clause{Verb: evidence.VerbSign, Kind: evidence.KindReleased, Subject: digest})
	if err != nil {
		return nil, err
	}
	out.Act, out.ActDigest = *act, act.Digest()
	signed, err := evidence.SignStatement(s.home.signer, out)
	if err != nil {
		return nil, err
	}
	if _, _, err := evidence.ParseReleased(signed, s.home.Fingerprint()); err != nil {
		return nil, err
	}
	err = s.record(ctx, m, act, exchange.Event{
		Type: "reject-released", IDs: map[string]string{"passage": p.String(), "dataset": string(d), "statement": signed.Digest().String()}, Numbers: map[string]int64{"row": ordinal},
	})
	if err != nil {
		return nil, err
	}
	return out, s.lock.Post(ctx, m, exchange.ReleasedRow, signed)
}

// attended journals what one of the controller's people does at this gate's console, with
// who it is, before it is done.
func (s *Source) attended(ctx context.Context, m ecluse.MigrationID, key ssh.Signer, c evidence.Clause, e exchange.Event) error {
	act, err := s.actOf(ctx, m, key, c)
	if err != nil {
		return err
	}
	return s.record(ctx, m, act, e)
}

func (s *Source) record(ctx context.Context, m ecluse.MigrationID, act *evidence.Signed, e exchange.Event) error {
	e.Migration, e.Act = m, act
	e.IDs["gate"] = string(s.home.Fingerprint())
	return s.lock.Record(ctx, e)
}

// actOf has whoever is at the console sign what they do, and checks it by this gate's own
// roots: the lock is not asked who may.
func (s *Source) actOf(ctx context.Context, m ecluse.MigrationID, key ssh.Signer, c evidence.Clause) (*evidence.Signed, error) {
	if key == nil {
		return nil, &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: "find who is at the console", Where: string(m), Why: "no key is named", Article: "GDPR art. 32(4)",
			Next: "add --as KEY: the key of one of the controller's people",
		}
	}
	papers, err := s.lock.Case(ctx, m, ecluse.Final)
	if err != nil {
		return nil, err
	}
	t, err := s.home.trust(m)
	if err != nil {
		return nil, err
	}
	who, err := mandate.AtConsole(t, m, standingPapers(papers), evidence.FingerprintOf(key.PublicKey()))
	if err != nil {
		return nil, err
	}
	if err := s.home.saw(papers); err != nil {
		return nil, err
	}
	signed, err := evidence.SignAct(key, who.Act(c))
	if err != nil {
		return nil, err
	}
	return &signed, who.Verify(signed)
}
