package gate

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// between carries requests and loans from one gate to the other. Nobody reads a paper of it.
type between struct {
	Lock
	source *Source
	draft  *mandate.Instruction
	held   error // of a source gate that is held at its own console
	asked  []evidence.Signed
	lent   *evidence.Signed
}

func (b *between) Ask(ctx context.Context, _ ecluse.MigrationID, request evidence.Signed) error {
	if b.held != nil {
		return b.held
	}
	b.asked, b.lent = []evidence.Signed{request}, nil
	return b.source.Lend(ctx, b.draft)
}

func (b *between) Asked(context.Context, ecluse.MigrationID) ([]evidence.Signed, error) {
	return b.asked, nil
}

func (b *between) Lend(_ context.Context, _ ecluse.MigrationID, answer evidence.Signed) error {
	b.asked, b.lent = nil, &answer
	return nil
}

func (b *between) Lent(context.Context, ecluse.MigrationID, ecluse.Digest) (*evidence.Signed, error) {
	return b.lent, nil
}

func (*between) Post(context.Context, ecluse.MigrationID, exchange.Paper, evidence.Signed) error {
	return nil
}

// TestDraftLendsNoLoad: what was lent for a draft of 72 hours, which nobody signed, makes a
// recipient and opens nothing afterwards. What was lent for long is gone after a quarter of
// an hour for whoever may have it that long, however long a lock had it lent.
func TestDraftLendsNoLoad(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		home := func() *Home {
			h, err := CreateHome(filepath.Join(t.TempDir(), "gate"), "gate@test", map[ecluse.Side]ecluse.Fingerprint{
				ecluse.Controller: ecluse.Fingerprint("SHA256:" + strings.Repeat("A", 43)), ecluse.Processor: ecluse.Fingerprint("SHA256:" + strings.Repeat("E", 43)),
			}, ecluse.Fingerprint("SHA256:"+strings.Repeat("I", 43)), false)
			if err != nil {
				t.Fatal(err)
			}
			return h
		}
		b := &between{}
		b.source = NewSource(home(), b, nil, nil, ecluse.Digest{})
		x := NewTarget(home(), b, Base{}, nil, ecluse.Digest{})
		text, err := os.ReadFile(filepath.Join("..", "mandate", "testdata", "instruction.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if b.draft, err = mandate.ParseInstruction("instruction.yaml", text); err != nil {
			t.Fatal(err)
		}
		b.draft.Limits.Lease = "72h"
		b.draft.Source.Gate, b.draft.Target.Gate = b.source.home.Fingerprint(), x.home.Fingerprint()
		if err := x.Recipient(t.Context(), b.draft); err != nil {
			t.Fatal(err)
		}

		signed := lender{b.draft.Source.Gate, mandate.UsualLease, x.lease(b.draft.ID)}
		open := x.opener(b.draft.ID, signed, x.home.Now)
		b.held = errors.New("the source gate is held")
		if _, err := open(t.Context()); !errors.Is(err, b.held) {
			t.Errorf("a load opens with what was lent for a draft: %v", err)
		}

		b.held = nil
		long := signed
		long.lasts = mandate.MostLease
		if _, err := x.identity(t.Context(), b.draft.ID, long, x.home.Now); err != nil {
			t.Fatal(err)
		}
		b.held = errors.New("the source gate is held")
		time.Sleep(mandate.UsualLease)
		if _, err := open(t.Context()); err != nil {
			t.Errorf("within a quarter of an hour: %v", err)
		}
		time.Sleep(time.Second)
		if _, err := open(t.Context()); !errors.Is(err, b.held) {
			t.Errorf("loading goes on after a quarter of an hour: %v", err)
		}
	})
}
