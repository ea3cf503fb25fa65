package lock

import (
	"context"
	"encoding/json"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/erasure"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/procedure"
	"ecluse/internal/store/sqlite"
)

// keyHolder is one gate, as far as keys go. What a gate says once it is asked only
// once more, after a crash: it says the same.
type keyHolder struct {
	lock   *Lock
	at     exchange.Place
	gate   ecluse.Fingerprint
	actor  procedure.Actor
	plan   ecluse.Digest
	ids    map[string]ecluse.Digest // of keys, by what is sealed to their recipient
	probes func() ([][]byte, error)
	looked *exchange.Searched
	taken  closing            // of what it looked through; nil before
	kept   *evidence.KeptRows // rows put aside that it keeps; nil: none, or it was not asked yet
	unkept evidence.NotKept   // why not, where it was to keep some
}

// destroyed is what a lock reads in a gate's erasure/v1.
type destroyed struct {
	evidence.StatementHead
	Place string `json:"place"`
	Keys  []struct {
		Name      string `json:"name"`
		Opens     string `json:"opens,omitempty"`
		Algorithm string `json:"algorithm"`
	} `json:"keys"`
	At      time.Time          `json:"at"`
	Kept    *evidence.KeptRows `json:"kept,omitempty"`
	NotKept evidence.NotKept   `json:"not_kept,omitempty"`
}

func (k *keyHolder) Destroy(ctx context.Context, m ecluse.MigrationID) ([]evidence.DestroyedKey, error) {
	said, err := k.said(ctx, m)
	if err != nil {
		return nil, err
	}
	if said == nil {
		w := exchange.Work{Verb: exchange.Erase, Migration: m, Papers: map[string][]byte{}}
		if !k.plan.IsZero() {
			w.Papers[exchange.PaperReadPlan] = []byte(k.plan.String())
		}
		if _, err := k.lock.ask(ctx, k.gate, w); err != nil {
			return nil, err
		}
		if said, err = k.said(ctx, m); err != nil {
			return nil, err
		}
		if said == nil {
			return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "destroy the keys", Where: string(k.at), Why: "the gate answered and handed in no statement"}
		}
	}
	var keys []evidence.DestroyedKey
	for _, x := range said.Keys {
		keys = append(keys, evidence.DestroyedKey{Name: x.Name, ID: k.ids[x.Opens], Algorithm: x.Algorithm, Destroyed: said.At})
	}
	k.kept, k.unkept = said.Kept, said.NotKept
	return keys, k.lock.move(ctx, m, journal.KeyDestroyed, procedure.DestroyKey, k.actor)
}

// said is the gate's own statement that it destroyed its keys; nil before it has
// handed it in.
func (k *keyHolder) said(ctx context.Context, m ecluse.MigrationID) (*destroyed, error) {
	all, err := k.lock.Posted(ctx, m, exchange.ErasureReport)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.VerifyBy(evidence.NamespaceStatement, k.gate) != nil {
			continue // the other gate's
		}
		d := &destroyed{}
		if err := evidence.ParseStatement(s, k.gate, evidence.ErasureFormat, d); err != nil {
			return nil, err
		}
		if d.Place == string(k.at) {
			return d, nil
		}
	}
	return nil, nil
}

// look has the gate search its own folder.
func (k *keyHolder) look(ctx context.Context, m ecluse.MigrationID) (*exchange.Searched, error) {
	if k.looked != nil {
		return k.looked, nil
	}
	probes, err := k.probes()
	if err != nil {
		return nil, err
	}
	w := exchange.Work{Verb: exchange.Search, Migration: m, Papers: map[string][]byte{}}
	exchange.AddNumbered(w.Papers, exchange.PaperProbe, probes)
	err = k.lock.askFor(ctx, k.gate, w, func(a *exchange.Answer, taken closing) error {
		s := &exchange.Searched{}
		if err := json.Unmarshal(a.Papers[exchange.PaperSearched], s); err != nil {
			return &ecluse.Error{Kind: ecluse.Invalid, What: "read the gate's answer", Err: err}
		}
		k.looked = s
		if len(s.Left)+len(s.Found) > 0 { // it is no certificate's, and looked for again
			return k.lock.store.Note(ctx, func(tx *sqlite.Tx) error { return taken(ctx, tx) })
		}
		k.taken = taken // with the certificate that says so
		return nil
	})
	return k.looked, err
}

func (k *keyHolder) Left(ctx context.Context, m ecluse.MigrationID) ([]string, error) {
	s, err := k.look(ctx, m)
	if err != nil {
		return nil, err
	}
	return s.Left, nil
}

func (k *keyHolder) search(ctx context.Context, _ [][]byte) (erasure.Searched, error) {
	if k.looked == nil {
		return erasure.Searched{}, &ecluse.Error{Kind: ecluse.Failed, What: "search the gate's folder", Why: "it was not asked"}
	}
	return erasure.Searched{Files: k.looked.Files, Found: k.looked.Found, Unread: k.looked.Unread}, nil
}
