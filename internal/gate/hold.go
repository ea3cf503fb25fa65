package gate

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ecluse"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
)

// holdFile stands while the gate is held.
const holdFile = "hold.json"

// Hold is the switch at a gate's own console: while it stands the gate neither reads,
// loads, lends nor compiles, whatever anybody signed. It still takes away: it undoes,
// erases, and looks at the journal.
//
// A held source gate does not lend for an undoing either. A lock asks for undoing by
// itself, without anybody's signature; what it is lent for opens for a quarter of an hour
// whatever the target gate is shown permits for. Whoever stands beside the gate said stop
// and releases it for the undoing; if nobody does, keys are destroyed at the deadline
// all the same (erasure.Grace).
type Hold struct {
	Since   time.Time            `json:"since"`
	Because string               `json:"because"`
	Told    []ecluse.MigrationID `json:"told,omitempty"` // whose journals know
}

// maxBecause bounds the reason, in characters.
const maxBecause = 200

// Hold holds the gate. Held already, it keeps the first instant and takes the new
// reason.
func (h *Home) Hold(because string) error {
	const what = "hold the gate"
	because = strings.TrimSpace(because)
	if because == "" || len([]rune(because)) > maxBecause || strings.ContainsFunc(because, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: "--because", Why: "want one line of at most 200 characters, without personal data", Next: "say why; the laboratory's lock will show it"}
	}
	x := Hold{Since: time.Now().UTC().Truncate(time.Second), Because: because}
	before, err := h.Held()
	if err != nil {
		return err
	}
	if before != nil {
		x.Since = before.Since
	}
	return h.saveHold(&x)
}

func (h *Home) saveHold(x *Hold) error {
	text, err := json.Marshal(x)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(h.dir, holdFile), append(text, '\n')); err != nil {
		return &ecluse.Error{Kind: ecluse.Failed, What: "hold the gate", Where: holdFile, Err: err, Next: "make room; until then end the process that runs the gate"}
	}
	return nil
}

// Release lets a gate work again; one that is not held stays as it is.
func (h *Home) Release() error {
	if err := os.Remove(filepath.Join(h.dir, holdFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &ecluse.Error{Kind: ecluse.Failed, What: "release the gate", Where: holdFile, Err: pathless(err)}
	}
	return durable.SyncDir(h.dir)
}

// Held is why the gate is held; nil when it is not. A file that cannot be read holds
// all the same.
func (h *Home) Held() (*Hold, error) {
	text, err := os.ReadFile(filepath.Join(h.dir, holdFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	x := &Hold{}
	if err == nil {
		err = json.Unmarshal(text, x)
	}
	if err != nil {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "see whether the gate is held", Where: holdFile, Why: "it cannot be read, so it is", Err: errors.Join(exchange.ErrHeld, pathless(err)),
			Next: "ecluse gate hold DIR --release, then hold it again if it should be",
		}
	}
	return x, nil
}

func heldError(x *Hold) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "open the gate", Why: "it is held at its own console since " + x.Since.Format(time.RFC3339) + ": " + x.Because, Err: exchange.ErrHeld,
		Next: "whoever stands beside it releases it: ecluse gate hold DIR --release",
	}
}

// stillDone are the verbs that a held gate carries out: they open nothing.
func stillDone(v exchange.Verb) bool {
	switch v {
	case exchange.Undo, exchange.Keep, exchange.Erase, exchange.EraseKept, exchange.Search, exchange.Certify, exchange.Look, exchange.SignBundle:
		return true
	}
	return false
}

// holdLook is how often work under way looks at the switch.
const holdLook = time.Second

// unlessHeld does a piece of work that a hold forbids, and gives it up when one comes.
// What stands whole stays, and it goes on there later.
func (h *Home) unlessHeld(ctx context.Context, lock Papers, w exchange.Work, do func(context.Context) (*exchange.Answer, error)) (*exchange.Answer, error) {
	if w.Migration != "" && !w.Migration.Valid() { // before anything makes a path of it
		return nil, notAnID(w.Migration)
	}
	if stillDone(w.Verb) {
		return do(ctx)
	}
	if err := h.refuseHeld(ctx, lock, w.Migration); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	over := make(chan struct{})
	defer close(over)
	go func() {
		tick := time.NewTicker(holdLook)
		defer tick.Stop()
		for {
			select {
			case <-over:
				return
			case <-tick.C:
			}
			if err := h.refuseHeld(ctx, lock, w.Migration); err != nil {
				cancel(err)
				return
			}
		}
	}()
	a, err := do(ctx)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, exchange.ErrHeld) {
		return nil, cause
	}
	return a, err
}

// refuseHeld refuses while the gate is held, and has the migration's journal know
// once.
func (h *Home) refuseHeld(ctx context.Context, lock Papers, m ecluse.MigrationID) error {
	x, err := h.Held()
	if err != nil || x == nil {
		return err
	}
	if m != "" && !slices.Contains(x.Told, m) {
		// Whoever holds the gate need not reach the server for it.
		if lock.Record(ctx, exchange.Event{Migration: m, Type: "gate-held", IDs: map[string]string{"gate": string(h.Fingerprint())}}) == nil {
			x.Told = append(x.Told, m)
			_ = h.tellHold(x)
		}
	}
	return heldError(x)
}

// tellHold keeps who knows of a hold, unless it was released or renewed meanwhile.
func (h *Home) tellHold(x *Hold) error {
	now, err := h.Held()
	if err != nil || now == nil || !now.Since.Equal(x.Since) || now.Because != x.Because {
		return err
	}
	return h.saveHold(x)
}
