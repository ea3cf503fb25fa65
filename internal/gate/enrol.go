package gate

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
)

// paperFile is what the gate says of itself (gate/v1), with its signature.
const paperFile = "gate.paper"

// Describe signs what the gate says of itself: its key, roots and lock are those of
// its own ledger, the rest is the caller's. The same words give the paper that is
// kept, so that it can be handed in again; anew gives another in any case, for one
// that is over.
func (h *Home) Describe(g mandate.Gate, anew bool) (*mandate.Gate, evidence.Signed, error) {
	g.Format, g.Gate, g.Lock = mandate.GateFormat, h.Fingerprint(), h.lock
	g.Roots = mandate.GateRoots{Controller: h.roots[ecluse.Controller], Processor: h.roots[ecluse.Processor]}
	kept, signed, err := h.Paper()
	if err != nil {
		return nil, evidence.Signed{}, err
	}
	if kept != nil {
		if kept.Place != g.Place {
			return nil, evidence.Signed{}, &ecluse.Error{
				Kind: ecluse.Refused, What: "enrol the gate", Where: "place", Why: "this folder is the " + string(kept.Place) + " gate's",
				Next: "name that place, or another folder for another gate",
			}
		}
		if !anew && kept.System == g.System && kept.StandsAt == g.StandsAt && slices.Equal(kept.Machine, g.Machine) && slices.Equal(kept.Database, g.Database) && kept.Line == g.Line {
			return kept, signed, nil
		}
	}
	now, err := h.Now()
	if err != nil {
		return nil, signed, err
	}
	if kept != nil && !now.After(kept.Made) { // never the same paper again
		now = kept.Made.Add(time.Second)
	}
	g.Made = now.UTC().Truncate(time.Second)
	if signed, err = mandate.SignGate(h.signer, &g); err != nil {
		return nil, signed, err
	}
	text, err := json.Marshal(signed)
	if err != nil {
		return nil, signed, err
	}
	if err := durable.WriteFile(filepath.Join(h.dir, paperFile), append(text, '\n')); err != nil {
		return nil, signed, &ecluse.Error{Kind: ecluse.Failed, What: "enrol the gate", Where: paperFile, Err: err, Next: "make room and run the same command again"}
	}
	return &g, signed, nil
}

// Paper is what the gate said of itself last; nil before it was enrolled.
func (h *Home) Paper() (*mandate.Gate, evidence.Signed, error) {
	var signed evidence.Signed
	text, err := os.ReadFile(filepath.Join(h.dir, paperFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, signed, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &signed)
	}
	var g *mandate.Gate
	if err == nil {
		g, err = mandate.VerifyGate(signed, h.roots, h.lock)
	}
	if err == nil && g.Gate != h.Fingerprint() {
		err = errors.New("it speaks of another gate")
	}
	if err != nil {
		return nil, signed, &ecluse.Error{
			Kind: ecluse.Unverified, What: "open gate", Where: paperFile, Why: "what the gate said of itself is damaged", Err: pathless(err),
			Next: "bring the file back, or remove it and run `ecluse gate enrol` again",
		}
	}
	return g, signed, nil
}

// Lock is the key under the journal's heads, given at this gate's console.
func (h *Home) Lock() ecluse.Fingerprint { return h.lock }

// Place is the database that an enrolled gate stands beside.
func (h *Home) Place() (exchange.Place, error) {
	var at exchange.Place
	if err := h.locked(func(l *Ledger) error {
		at = l.Place
		return nil
	}); err != nil || at != "" {
		return at, err
	}
	g, _, err := h.Paper()
	if err != nil {
		return "", err
	}
	if g == nil {
		return "", &ecluse.Error{Kind: ecluse.WaitsForSign, What: "open gate", Why: "it was never enrolled", Next: "ecluse gate enrol DIR source|target LINE …"}
	}
	return exchange.Place(g.Place), nil
}

// Stand says where a gate made in one room stands; it enrols with nobody.
func (h *Home) Stand(at exchange.Place) error {
	return h.locked(func(l *Ledger) error {
		l.Place = at
		return h.save(l)
	})
}
