package lock

import (
	"context"
	"io"
	"math"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/journal"
)

// What a gate is sent of a migration is counted, for its key may be with somebody else:
// whoever has it could fetch all of the chamber again and again. The count is this
// process's, which a gate cannot make begin anew.

// eachPassage is how often a passage of the instruction's budget may have the chamber
// fetched: to load it, to undo that, twice to trace what differs; and as often again, for
// lines that break in the middle of a chunk and gates that begin anew. What is in the chamber
// is itself within limits.bytes, and mostly far from it.
const eachPassage = 8

// aside may be fetched beside that: of a small migration, what was put aside is looked at
// again and again.
const aside = 64 << 20

// mostFetched is how many bytes of a migration a gate is sent, at the most.
func (l *Lock) mostFetched(ctx context.Context, m ecluse.MigrationID) (int64, error) {
	i, err := l.instruction(ctx, m)
	if err != nil {
		return 0, err
	}
	u, err := l.chamber.Usage(m)
	if err != nil {
		return 0, err
	}
	times := int64(eachPassage) * int64(max(1, i.Passages.Dry+i.Passages.Rehearsal+i.Passages.Final+i.Passages.CatchUp))
	if u.Bytes > (math.MaxInt64-aside)/times {
		return math.MaxInt64, nil
	}
	return times*u.Bytes + aside, nil
}

// fetches are those of one gate of one migration.
type fetches struct {
	bytes int64
	most  int64 // when it was last looked at: more chunks make it more
	told  bool  // the journal knows that there were too many
}

// fetcher is whose fetches they are.
type fetcher struct {
	migration ecluse.MigrationID
	gate      ecluse.Fingerprint
}

// Get fetches a chunk, as far as the gate may fetch any more.
func (s *Seat) Get(ctx context.Context, m ecluse.MigrationID, slot ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	of := fetcher{m, s.gate}
	if err := s.count(ctx, of, 1); err != nil {
		return evidence.Signed{}, nil, err
	}
	signed, body, err := s.Lock.Get(ctx, m, slot)
	if err != nil {
		return signed, nil, err
	}
	return signed, &counted{body, func(n int) error { return s.count(ctx, of, n) }}, nil
}

// GetReject fetches what was put aside, as far as the gate may fetch any more.
func (s *Seat) GetReject(ctx context.Context, m ecluse.MigrationID, sha256 ecluse.Digest) (io.ReadCloser, error) {
	of := fetcher{m, s.gate}
	if err := s.count(ctx, of, 1); err != nil {
		return nil, err
	}
	body, err := s.Lock.GetReject(ctx, m, sha256)
	if err != nil {
		return nil, err
	}
	return &counted{body, func(n int) error { return s.count(ctx, of, n) }}, nil
}

// counted is a body that ends with an error when its gate was sent too much.
type counted struct {
	io.ReadCloser
	count func(n int) error
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	if over := c.count(n); over != nil {
		return 0, over
	}
	return n, err
}

// count counts bytes that are about to be sent, or refuses them: that is journalled once.
func (l *Lock) count(ctx context.Context, of fetcher, n int) error {
	if ok, _ := l.addFetched(of, n, 0); ok {
		return nil
	}
	most, err := l.mostFetched(ctx, of.migration)
	if err != nil {
		return err
	}
	ok, told := l.addFetched(of, n, most)
	if ok {
		return nil
	}
	if !told {
		if err := l.store.Do(ctx, journal.Event{
			Tree: string(of.migration), Type: journal.MoveRefused,
			IDs: map[string]string{"verb": "fetch", "reason": string(ecluse.Refused), "gate": string(of.gate)},
		}, nil); err != nil {
			return err
		}
		l.mu.Lock()
		l.fetched[of].told = true
		l.mu.Unlock()
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "send chunks", Where: string(of.gate), Article: "GDPR art. 32(1)(b)",
		Why:  "this gate was sent all of the migration several times more often than its passages need",
		Next: "find out who has the gate's key, and retire the gate if that is not clear (ecluse gates); if a bad line is to blame, whoever runs the server starts it again: it counts anew",
	}
}

// addFetched counts bytes when there may be so many; most is what may be fetched now, or 0
// for what was known last.
func (l *Lock) addFetched(of fetcher, n int, most int64) (ok, told bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.fetched[of]
	if f == nil {
		f = &fetches{}
		l.fetched[of] = f
	}
	f.most = max(f.most, most)
	if f.bytes+int64(n) > f.most {
		if most > 0 { // what is left is less than anything that is sent
			f.bytes = f.most
		}
		return false, f.told
	}
	f.bytes += int64(n)
	return true, f.told
}
