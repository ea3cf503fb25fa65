package lock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// recipientsOf are the digests of the recipients that an approved read plan names,
// by what is sealed to them: the keys' ids.
func (l *Lock) recipientsOf(ctx context.Context, plan ecluse.Digest) (map[string]ecluse.Digest, error) {
	if plan.IsZero() {
		return nil, nil
	}
	text, err := l.store.Document(ctx, plan)
	if err != nil {
		return nil, err
	}
	read, err := mandate.ParseReadPlan(text)
	if err != nil {
		return nil, err
	}
	return map[string]ecluse.Digest{evidence.ForChunks: read.Recipient, evidence.ForRejects: read.Rejects}, nil
}

// left names the passages that were given up, as the journal has it.
func (l *Lock) left(ctx context.Context, m ecluse.MigrationID, passages []store.Passage) ([]evidence.LeftPassage, error) {
	if !slices.ContainsFunc(passages, func(p store.Passage) bool { return p.State == procedure.Left }) {
		return nil, nil
	}
	leaves, err := l.leaves(ctx, m)
	if err != nil {
		return nil, err
	}
	var all []evidence.LeftPassage
	for _, p := range passages {
		for _, leaf := range leaves {
			if leaf.Type == evidence.LeafLeft && leaf.IDs["passage"] == p.Passage.String() {
				all = append(all, evidence.LeftPassage{Passage: p.Passage, Why: ecluse.Kind(leaf.IDs["reason"])})
			}
		}
	}
	return all, nil
}

// leaves are all of a migration's journal.
func (l *Lock) leaves(ctx context.Context, m ecluse.MigrationID) ([]*evidence.Leaf, error) {
	size, err := l.store.Size(ctx, string(m))
	if err != nil {
		return nil, err
	}
	_, leaves, err := l.log.Leaves(ctx, string(m), 0, size)
	return leaves, err
}

// stayed says of which passages rows stayed in the target, as the target gate states it.
func (l *Lock) stayed(ctx context.Context, m ecluse.MigrationID, target ecluse.Fingerprint) ([]evidence.StayedRows, error) {
	all, err := l.Posted(ctx, m, exchange.UndoReport)
	if err != nil {
		return nil, err
	}
	var out []evidence.StayedRows
	for _, s := range all {
		f, err := figuresOf(s, target, evidence.UndoFormat)
		if err != nil {
			return nil, err
		}
		if f.Stay != "" {
			out = append(out, evidence.StayedRows{Passage: f.Passage, Rows: f.Stay, Statement: s.Digest()})
		}
	}
	slices.SortFunc(out, func(a, b evidence.StayedRows) int { return a.Passage.Number - b.Passage.Number })
	return out, nil
}

// kept is what a certificate says of rows put aside that outlive a migration, and when the
// source gate said that it erased them; nil: none do.
func (l *Lock) kept(ctx context.Context, m ecluse.MigrationID, certificate []byte) (*evidence.KeptRows, time.Time, error) {
	var c struct {
		Kept *evidence.KeptRows `json:"kept"`
	}
	if err := json.Unmarshal(certificate, &c); err != nil || c.Kept == nil {
		return nil, time.Time{}, err
	}
	source, _, err := l.gates(ctx, m)
	if err != nil {
		return nil, time.Time{}, err
	}
	all, err := l.Posted(ctx, m, exchange.ErasedRows)
	if err != nil || len(all) == 0 {
		return c.Kept, time.Time{}, err
	}
	var x evidence.ErasedRows
	err = evidence.ParseStatement(all[0], source, evidence.ErasedRowsFormat, &x)
	return c.Kept, x.Erased, err
}

// ground says why a migration is erased, and what became of its load.
func (l *Lock) ground(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction) (*evidence.Certificate, error) {
	c := &evidence.Certificate{
		Migration: m, Contract: i.Contract, Instruction: i.Digest(), Trigger: evidence.ByDeadline, Outcome: evidence.NotLoaded, OneRoom: l.settings.OneRoom,
		SourceAdmin: i.Source.AdministeredBy, TargetAdmin: i.Target.AdministeredBy,
		Backups: evidence.Backups{SourceGate: i.Backups.SourceGate.String(), Lock: i.Backups.Lock.String(), TargetGate: i.Backups.TargetGate.String()},
		Tool:    l.tool,
	}
	if manifest, err := l.manifestKept(ctx, m); err != nil {
		return nil, err
	} else if manifest != nil {
		c.Manifest = manifest.Digest()
	}
	acts, err := l.store.Acts(ctx, m)
	if err != nil {
		return nil, err
	}
	if c.Plan, err = l.approvedPlan(ctx, m, acts); err != nil {
		return nil, err
	}
	for _, a := range acts {
		for _, clause := range a.Clauses {
			switch {
			case clause.Verb == evidence.VerbAccept && clause.Kind == evidence.KindReport:
				c.Trigger, c.Act, c.Report, c.Outcome = evidence.ByAcceptance, a.Digest, clause.Subject, evidence.Proven
				for _, with := range a.Clauses {
					switch {
					case with.Verb == evidence.VerbAccept && with.Kind == evidence.KindReservations:
						c.Outcome = evidence.Reserved
					case with.Verb == evidence.VerbAccept && with.Kind == evidence.KindDispositions:
						c.Disposed = with.Subject
					}
				}
				return c, binary(c)
			case clause.Verb == evidence.VerbErase && clause.Kind == evidence.KindMigration:
				c.Trigger, c.Act = evidence.ByOrder, a.Digest
			}
		}
	}
	passages, err := l.store.Passages(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, x := range passages {
		if x.Kind != ecluse.Dry {
			c.Outcome = evidence.Undone
		}
	}
	if c.Left, err = l.left(ctx, m, passages); err != nil {
		return nil, err
	}
	if len(c.Left) > 0 { // a run before this one gave up
		c.Outcome = evidence.NotUndone
	}
	if c.Trigger == evidence.ByDeadline {
		contract, err := l.contract(ctx, i.Contract)
		if err != nil {
			return nil, err
		}
		now, _, err := l.store.Now(ctx)
		if err != nil {
			return nil, err
		}
		if now.Before(i.EraseBy) && contract.ValidAt(now) != nil {
			c.Trigger = evidence.ByContractEnd
		}
	}
	return c, binary(c)
}

// approvedPlan is the read plan that both parties approved: without it nothing can
// have been read.
func (l *Lock) approvedPlan(ctx context.Context, m ecluse.MigrationID, acts []store.Act) (ecluse.Digest, error) {
	plan, err := l.store.Current(ctx, m, evidence.KindReadPlan)
	if err != nil {
		return plan, err
	}
	by := map[ecluse.Side]bool{}
	for _, a := range acts {
		for _, c := range a.Clauses {
			if c.Verb == evidence.VerbApprove && c.Kind == evidence.KindReadPlan && c.Subject == plan {
				by[a.Side] = true
			}
		}
	}
	if !by[ecluse.Controller] || !by[ecluse.Processor] {
		return ecluse.Digest{}, nil
	}
	return plan, nil
}

// binary is the program's own SHA-256.
func binary(c *evidence.Certificate) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	c.Binary = ecluse.Digest(h.Sum(nil))
	return nil
}

// certify has both gates sign the certificate; each compares what it says of it with
// its own ledger first.
func (l *Lock) certify(ctx context.Context, m ecluse.MigrationID, i *mandate.Instruction, c *evidence.Certificate) error {
	text, err := evidence.EncodeJSON(c)
	if err != nil {
		return err
	}
	signed, err := l.Posted(ctx, m, exchange.Certificate)
	if err != nil {
		return err
	}
	for _, gate := range []ecluse.Fingerprint{i.Source.Gate, i.Target.Gate} {
		by := func(s evidence.Signed) bool {
			return bytes.Equal(s.Body, text) && s.VerifyBy(evidence.NamespaceStatement, gate) == nil
		}
		if slices.ContainsFunc(signed, by) {
			continue
		}
		if _, err := l.ask(ctx, gate, exchange.Work{Verb: exchange.Certify, Migration: m, Papers: map[string][]byte{exchange.PaperCertificate: text}}); err != nil {
			return err
		}
	}
	// Both signed the same bytes, or there is none that both did: a run cut short
	// leaves one that a single gate signed.
	all, err := l.Posted(ctx, m, exchange.Certificate)
	if err != nil {
		return err
	}
	by := map[ecluse.Digest]map[ecluse.Fingerprint]bool{}
	var certificate ecluse.Digest
	for _, s := range all {
		key, err := s.Verify(evidence.NamespaceStatement)
		if err != nil {
			return err
		}
		if by[s.Digest()] == nil {
			by[s.Digest()] = map[ecluse.Fingerprint]bool{}
		}
		by[s.Digest()][evidence.FingerprintOf(key)] = true
		if d := s.Digest(); by[d][i.Source.Gate] && by[d][i.Target.Gate] {
			certificate = d
		}
	}
	if certificate.IsZero() {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "certify the erasure", Where: string(m), Why: "the gates signed two certificates, not one", Next: "ecluse due tries again; if it stays so, let server and gates be of one version"}
	}
	err = l.store.Do(ctx, journal.Event{Tree: string(m), Type: journal.Erased, IDs: map[string]string{"certificate": certificate.String()}},
		func(tx *sqlite.Tx) error {
			if err := tx.SetCurrent(ctx, m, kindCertificate, certificate); err != nil {
				return err
			}
			_, err := tx.Move(ctx, m, procedure.FinishErasure, procedure.Lock)
			return err
		})
	return errors.Join(err, l.chamber.Forget(m))
}

const kindCertificate = string(exchange.Certificate)
