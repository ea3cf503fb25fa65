package lock

import (
	"context"
	"encoding/json"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
)

// Ask takes in a request for the release secret.
func (l *Lock) Ask(ctx context.Context, m ecluse.MigrationID, request evidence.Signed) error {
	i, err := l.instruction(ctx, m)
	if err != nil {
		return err
	}
	target := i.Target.Gate
	if err := l.mayAsk(ctx, i.Source.Gate, exchange.Lend); err != nil { // nobody would answer
		return err
	}
	if err := request.VerifyBy(evidence.NamespaceStatement, target); err != nil {
		return err
	}
	err = l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.LeaseAsked, IDs: map[string]string{"request": request.Digest().String(), "gate": string(target)},
	}, func(tx *sqlite.Tx) error {
		return tx.AskLease(ctx, m, request, tx.Now().Add(i.Limits.LeaseTime()))
	})
	l.tell()
	return err
}

// Asked lists requests that have no answer yet.
func (l *Lock) Asked(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	leases, err := l.store.Leases(ctx, m)
	if err != nil {
		return nil, err
	}
	var open []evidence.Signed
	for _, x := range leases {
		if x.Ended.IsZero() && x.Answer.Body == nil {
			open = append(open, x.Request)
		}
	}
	return open, nil
}

// Lend takes in the source gate's answer.
func (l *Lock) Lend(ctx context.Context, m ecluse.MigrationID, answer evidence.Signed) error {
	source, _, err := l.gates(ctx, m)
	if err != nil {
		return err
	}
	if err := answer.VerifyBy(evidence.NamespaceStatement, source); err != nil {
		return err
	}
	var to struct {
		Request ecluse.Digest `json:"request"`
	}
	if err := json.Unmarshal(answer.Body, &to); err != nil {
		return &ecluse.Error{Kind: ecluse.Unverified, What: "lend the release secret", Where: string(m), Why: "what the gate signed is no answer to a request", Err: err}
	}
	err = l.store.Do(ctx, journal.Event{
		Tree: string(m), Type: journal.LeaseLent, IDs: map[string]string{"request": to.Request.String(), "answer": answer.Digest().String()},
	}, func(tx *sqlite.Tx) error { return tx.LendLease(ctx, m, to.Request, answer) })
	l.tell()
	return err
}

// Lent returns the answer to a request.
func (l *Lock) Lent(ctx context.Context, m ecluse.MigrationID, request ecluse.Digest) (*evidence.Signed, error) {
	leases, err := l.store.Leases(ctx, m)
	if err != nil {
		return nil, err
	}
	for _, x := range leases {
		if x.Request.Digest() == request && x.Answer.Body != nil {
			return &x.Answer, nil
		}
	}
	return nil, nil
}

// Head returns the newest head of a migration's tree, with the proof that it
// continues the tree of size from.
func (l *Lock) Head(ctx context.Context, m ecluse.MigrationID, from int64) (evidence.Signed, [][32]byte, error) {
	head, err := l.log.Head(ctx, string(m))
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	h, err := evidence.ParseHead(head.Body)
	if err != nil {
		return evidence.Signed{}, nil, err
	}
	proof, err := l.log.Consistency(ctx, string(m), from, h.Size)
	out := make([][32]byte, len(proof))
	for i, p := range proof {
		out[i] = p
	}
	return head, out, err
}

// Cosign keeps a gate's signature under a head.
func (l *Lock) Cosign(ctx context.Context, m ecluse.MigrationID, head evidence.Signed) error {
	key, err := head.Verify(evidence.NamespaceHead)
	if err != nil {
		return err
	}
	by := evidence.FingerprintOf(key)
	if err := l.ofGates(ctx, m, by, "cosign head"); err != nil {
		return err
	}
	return l.log.Cosign(ctx, by, head)
}

// Cosigned returns the newest head of a migration's journal that a gate signed.
func (l *Lock) Cosigned(ctx context.Context, m ecluse.MigrationID, by ecluse.Fingerprint) (*evidence.Signed, error) {
	s, err := l.store.Cosigned(ctx, string(m), by)
	if err != nil || s.Body == nil {
		return nil, err
	}
	return &s, nil
}
