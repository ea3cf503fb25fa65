package carry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// said is a server that says of each return what a test has it say, and keeps what it was told.
type said struct {
	Lines
	err  map[string]error // by gate and number
	told []string
}

func (s *said) CarryIn(_ context.Context, signed evidence.Signed, later bool) (*exchange.Taken, error) {
	var r exchange.Return
	if err := evidence.DecodeJSON(signed.Body, &r); err != nil {
		return nil, err
	}
	of := fmt.Sprint(r.Gate, " ", r.Number)
	s.told = append(s.told, fmt.Sprint(of, " ", later))
	if err := s.err[of]; err != nil {
		return nil, err
	}
	return &exchange.Taken{Done: len(r.Items), Of: len(r.Items), New: len(r.Items)}, nil
}

// returns puts a return of a gate to a dispatch into the folder.
func (b *bench) returns(number int64, lock, gate ssh.Signer) {
	b.Helper()
	text, err := evidence.EncodeJSON(&exchange.Return{
		Format: exchange.ReturnFormat, Lock: print(lock), Gate: print(gate), Number: number, Made: time.Now().UTC().Truncate(time.Second),
		Items: []exchange.Item{{Kind: exchange.ItemRecord, Migration: migration, Event: &event}},
	})
	b.must(err)
	s, err := evidence.Sign(gate, evidence.NamespaceCarried, text)
	b.must(err)
	b.must(os.MkdirAll(filepath.Join(b.dir, inOf(number)), 0o700))
	b.must(inDisk(b.dir, func(at disk) error { return at.writeSigned(filepath.Join(inOf(number), returnFile), s) }))
}

// TestTwoGates: what is carried to a gate is not written over what is another's, and takes
// nothing of it away.
func TestTwoGates(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other := b.key()
	b.returns(3, b.lock, b.gate)
	d := b.dispatch()
	d.Gate = print(other)
	for number, want := range map[int64]ecluse.Kind{1: ecluse.Refused, 3: ecluse.Refused, 9: ""} {
		d.Number, d.Came = number, exchange.Came{Number: number}
		before, err := os.ReadFile(filepath.Join(b.dir, "out-000001", dispatchFile))
		b.must(err)
		err = WriteDispatch(t.Context(), b.dir, b.signed(d, b.lock), d, nil)
		if want != "" {
			b.refused(fmt.Sprint(number), err, want, "another gate")
		} else if err != nil {
			t.Errorf("%d: %v", number, err)
		}
		if after, err := os.ReadFile(filepath.Join(b.dir, "out-000001", dispatchFile)); err != nil || !slices.Equal(before, after) {
			t.Errorf("%d: written over: %v", number, err)
		}
		if _, err := os.Stat(filepath.Join(b.dir, "in-000003", returnFile)); err != nil {
			t.Errorf("%d: %v", number, err)
		}
	}
}

// TestSeveral: of several returns in a folder each comes in or not by itself. What cannot is
// told, and stays; only what has nothing left to come in is cleared unread. Returns of two
// gates are each their own gate's latest.
func TestSeveral(t *testing.T) {
	t.Parallel()
	refuses := func(next string, cause error) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "carry in", Why: "no", Next: next, Err: cause}
	}
	spoil := func(b *bench, number int64) {
		b.must(os.WriteFile(filepath.Join(b.dir, inOf(number), returnFile), []byte("{"), 0o600))
	}
	for name, x := range map[string]struct {
		put    func(b *bench, other ssh.Signer)
		err    map[string]error // by A, the bench's gate, or B, the other, and number
		told   []string         // with whether a later one is there
		failed []string
		stays  []string
		fatal  ecluse.Kind // nothing came in
	}{
		"nothing of the first is left": {
			put:  func(b *bench, _ ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, b.lock, b.gate) },
			err:  map[string]error{"A 1": refuses("carry out anew", exchange.ErrCameIn)},
			told: []string{"A 1 true", "A 2 false"},
		},
		"the first is another than came in": {
			put:  func(b *bench, _ ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, b.lock, b.gate) },
			err:  map[string]error{"A 1": refuses("keep the folder as it is", nil)},
			told: []string{"A 1 true", "A 2 false"}, failed: []string{"in-000001"}, stays: []string{"in-000001"},
		},
		"neither comes in": {
			put: func(b *bench, _ ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, b.lock, b.gate) },
			err: map[string]error{
				"A 1": refuses("carry out anew", exchange.ErrCameIn),
				"A 2": &ecluse.Error{Kind: ecluse.Failed, What: "carry in", Why: "the chunk is not in the folder"},
			},
			told: []string{"A 1 true", "A 2 false"}, stays: []string{"in-000001", "in-000002", "out-000001"}, fatal: ecluse.Failed,
		},
		"the first is damaged": {
			put:  func(b *bench, _ ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, b.lock, b.gate); spoil(b, 1) },
			told: []string{"A 2 false"}, failed: []string{"in-000001"}, stays: []string{"in-000001"},
		},
		"the last is damaged": { // it may have what is not in of the first
			put:  func(b *bench, _ ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, b.lock, b.gate); spoil(b, 2) },
			err:  map[string]error{"A 1": refuses("carry out anew", exchange.ErrCameIn)},
			told: []string{"A 1 true"}, stays: []string{"in-000001", "in-000002", "out-000001"}, fatal: ecluse.Unverified,
		},
		"the last is for another lock": {
			put:  func(b *bench, other ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, other, b.gate) },
			told: []string{"A 1 false"}, failed: []string{"in-000002"}, stays: []string{"in-000002"},
		},
		"two gates": {
			put:  func(b *bench, other ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, b.lock, other) },
			told: []string{"A 1 false", "B 2 false"},
		},
		"a stranger": {
			put:  func(b *bench, other ssh.Signer) { b.returns(1, b.lock, other); b.returns(2, b.lock, b.gate) },
			err:  map[string]error{"B 1": &ecluse.Error{Kind: ecluse.Invalid, What: "find the gate without a line"}},
			told: []string{"B 1 false", "A 2 false"}, failed: []string{"in-000001"}, stays: []string{"in-000001"},
		},
		"a stranger, the last": {
			put:  func(b *bench, other ssh.Signer) { b.returns(1, b.lock, b.gate); b.returns(2, b.lock, other) },
			err:  map[string]error{"B 2": &ecluse.Error{Kind: ecluse.Invalid, What: "find the gate without a line"}},
			told: []string{"A 1 false", "B 2 false"}, failed: []string{"in-000002"}, stays: []string{"in-000002"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			other := b.key()
			named := map[string]string{"A": string(print(b.gate)), "B": string(print(other))}
			x.put(b, other)
			server := &said{err: map[string]error{}}
			for of, err := range x.err {
				server.err[named[of[:1]]+of[1:]] = err
			}
			v, err := CarryIn(t.Context(), server, print(b.lock), b.dir, func(exchange.Taken) {})
			if x.fatal != "" {
				if ecluse.KindOf(err) != x.fatal {
					t.Errorf("%+v, %v", v, err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			for i, told := range x.told {
				x.told[i] = named[told[:1]] + told[1:]
			}
			if !slices.Equal(server.told, x.told) {
				t.Errorf("told %v, want %v", server.told, x.told)
			}
			if v != nil {
				var failed []string
				for _, f := range v.Failed {
					failed = append(failed, f.Folder)
				}
				if !slices.Equal(failed, x.failed) {
					t.Errorf("could not be handed in: %v, want %v", failed, x.failed)
				}
			}
			entries, err := os.ReadDir(b.dir)
			b.must(err)
			var stays []string
			for _, e := range entries {
				stays = append(stays, e.Name())
			}
			if !slices.Equal(stays, x.stays) {
				t.Errorf("in the folder stay %v, want %v", stays, x.stays)
			}
		})
	}
}
