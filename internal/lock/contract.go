package lock

import (
	"context"
	"fmt"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/due"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// contractFollows holds a contract to the version of the same id that both parties
// signed before, and that none of these replaces.
func contractFollows(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	text, err := tx.Document(ctx, subjectOf(act, evidence.KindContract))
	if err != nil {
		return err
	}
	c, err := mandate.ParseContract("contract", text)
	if err != nil {
		return err
	}
	acts, err := tx.Acts(ctx, "")
	if err != nil {
		return err
	}
	docs, err := tx.Documents(ctx, "", evidence.KindContract)
	if err != nil {
		return err
	}
	inForce, replaced := map[ecluse.Digest]bool{}, map[ecluse.Digest]bool{}
	for _, d := range docs {
		if d.Digest == c.Digest() || unsigned(acts, d.Digest) != "" {
			continue
		}
		if text, err = tx.Document(ctx, d.Digest); err != nil {
			return err
		}
		other, err := mandate.ParseContract("contract", text)
		if err != nil {
			return err
		}
		if other.ID != c.ID {
			continue
		}
		inForce[d.Digest] = true
		if other.Replaces != nil {
			replaced[*other.Replaces] = true
		}
	}
	for d := range inForce {
		if !replaced[d] {
			return c.Follows(d)
		}
	}
	return c.Follows(ecluse.Digest{})
}

// contractSigned sets the deadlines of a contract that both parties have signed.
func contractSigned(ctx context.Context, tx *sqlite.Tx, act *evidence.Act) error {
	acts, err := tx.Acts(ctx, "")
	if err != nil {
		return err
	}
	for _, c := range act.Clauses {
		if missing := unsigned(acts, c.Subject); missing != "" {
			continue
		}
		text, err := tx.Document(ctx, c.Subject)
		if err != nil {
			return err
		}
		contract, err := mandate.ParseContract("contract", text)
		if err != nil {
			return err
		}
		tx.Also(journal.Event{Tree: evidence.InstallationTree, Type: journal.ContractSigned, IDs: map[string]string{"contract": c.Subject.String()}})
		if err := tx.Schedule(ctx, ecluse.Digest{}, due.ForContract(c.Subject, tx.Now(), contract.End.Ends())...); err != nil {
			return err
		}
	}
	return nil
}

// unsigned is the side that has not signed a contract; empty when both have.
func unsigned(acts []store.Act, contract ecluse.Digest) ecluse.Side {
	by := map[ecluse.Side]bool{}
	for _, a := range acts {
		for _, c := range a.Clauses {
			if c.Verb == evidence.VerbSign && c.Kind == evidence.KindContract && c.Subject == contract {
				by[a.Side] = true
			}
		}
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		if !by[side] {
			return side
		}
	}
	return ""
}

// inForce tells whether both parties signed a contract.
func (l *Lock) inForce(ctx context.Context, contract ecluse.Digest) error {
	acts, err := l.store.Acts(ctx, "")
	if err != nil {
		return err
	}
	if side := unsigned(acts, contract); side != "" {
		return &ecluse.Error{
			Kind: ecluse.WaitsForSign, What: "find the contract", Where: contract.String(), Why: fmt.Sprintf("the %s has not signed it", side),
			Next: "a signatory of that party: ecluse sign contract.yaml --as KEY", Article: "GDPR art. 28(3), 28(9)",
		}
	}
	return nil
}
