package gate

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
)

// filling is a chamber that gets another chunk each time somebody waits, and then its manifest.
type filling struct {
	Chambers
	chunks   []evidence.Signed
	manifest evidence.Signed

	mu    sync.Mutex
	in    int
	asked int
}

// Slots takes its time now and then: what it answers is old by then.
func (f *filling) Slots(context.Context, ecluse.MigrationID) ([]evidence.Signed, error) {
	f.mu.Lock()
	all, late := f.chunks[:min(f.in, len(f.chunks))], f.asked%3 == 0
	f.asked++
	f.mu.Unlock()
	if late {
		time.Sleep(time.Millisecond)
	}
	return all, nil
}

func (f *filling) Manifest(context.Context, ecluse.MigrationID) (*evidence.Signed, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.in <= len(f.chunks) {
		return nil, nil
	}
	return &f.manifest, nil
}

func (f *filling) Wait(ctx context.Context, _ ecluse.MigrationID, _ int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.in++
	return ctx.Err()
}

func (f *filling) Get(_ context.Context, _ ecluse.MigrationID, s ecluse.Slot) (evidence.Signed, io.ReadCloser, error) {
	return f.chunks[s.Sequence], io.NopCloser(bytes.NewReader(nil)), nil
}

// TestInletBesideItself: one goroutine opens chunks as they come while others open them once
// more, count them and wait for the end. What one saw another does not lose.
func TestInletBesideItself(t *testing.T) {
	t.Parallel()
	const chunks = 40
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	const m, plan = ecluse.MigrationID("quatre-vents-01"), "plan"
	all := evidence.ManifestDataset{Dataset: "patient"}
	f := &filling{}
	for n := range chunks {
		d := &evidence.Descriptor{
			Migration: m, Plan: ecluse.DigestOf([]byte(plan)), Epoch: 1, Slot: ecluse.Slot{Dataset: "patient", Sequence: n},
			Rows: 1, Last: n == chunks-1, Size: 1, SHA256: ecluse.DigestOf([]byte{byte(n)}), Sum: ecluse.DigestOf([]byte{byte(n), 1}),
		}
		s, err := evidence.SignDescriptor(signer, d)
		if err != nil {
			t.Fatal(err)
		}
		f.chunks = append(f.chunks, s)
		all.Chunks, all.Rows = append(all.Chunks, evidence.ManifestChunk{Slot: d.Slot, SHA256: d.SHA256, Rows: 1}), all.Rows+1
	}
	f.manifest, err = evidence.SignManifest(signer, &evidence.Manifest{Migration: m, Plan: ecluse.DigestOf([]byte(plan)), Epochs: 1, Datasets: []evidence.ManifestDataset{all}})
	if err != nil {
		t.Fatal(err)
	}
	in := &inlet{lock: f, migration: m, source: evidence.FingerprintOf(signer.PublicKey()), plan: ecluse.DigestOf([]byte(plan))}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	for range 3 {
		g.Go(func() error {
			for n := range chunks {
				if _, _, err := in.Next(ctx, "patient", n); err != nil {
					return err
				}
				time.Sleep(2 * time.Millisecond) // it is mapped meanwhile, and another looks
				if _, _, err := in.Version(ctx, ecluse.Slot{Dataset: "patient", Sequence: n}); err != nil {
					return err
				}
				if seen := len(in.sealed()); seen <= n {
					t.Errorf("chunk %d is in, and %d are counted", n, seen)
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		closed, err := in.Complete(ctx)
		if err == nil && len(closed.Datasets[0].Chunks) != chunks {
			t.Errorf("%d chunks are closed", len(closed.Datasets[0].Chunks))
		}
		return err
	})
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}
