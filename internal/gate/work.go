package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/config"
	"ecluse/internal/erasure"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice"
)

// papersOf makes an answer of named papers; what is no bytes becomes JSON.
func papersOf(of map[string]any) (*exchange.Answer, error) {
	a := &exchange.Answer{Papers: map[string][]byte{}}
	for name, v := range of {
		text, ok := v.([]byte)
		if !ok {
			var err error
			if text, err = evidence.EncodeJSON(v); err != nil {
				return nil, err
			}
		}
		a.Papers[name] = text
	}
	return a, nil
}

// stated is the answer of work that ended with a signed statement.
func stated(digest ecluse.Digest, err error) (*exchange.Answer, error) {
	if err != nil {
		return nil, err
	}
	return papersOf(map[string]any{exchange.PaperStatement: []byte(digest.String())})
}

// Work is what the source gate does for each verb.
func (s *Source) Work(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
	return s.home.unlessHeld(ctx, s.lock, w, func(ctx context.Context) (*exchange.Answer, error) { return s.work(ctx, w, watch) })
}

func (s *Source) work(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
	switch w.Verb {
	case exchange.Inspect:
		c, estimates, err := s.Inspect(ctx)
		if err != nil {
			return nil, err
		}
		return papersOf(map[string]any{exchange.PaperCatalogue: c, exchange.PaperEstimates: estimates})
	case exchange.Sketch, exchange.CompileRead:
		return s.compileWork(ctx, w)
	case exchange.MakeRecipient:
		i, err := mandate.ParseInstruction("instruction", w.Papers[exchange.PaperInstruction])
		if err != nil {
			return nil, err
		}
		return &exchange.Answer{}, s.Recipient(ctx, i)
	case exchange.Read:
		watch, err := s.expecting(ctx, w.Migration, watch)
		if err != nil {
			return nil, err
		}
		x, err := s.Read(ctx, w.Migration, w.Reading, watch)
		if err != nil {
			return nil, err
		}
		return stated(x.digest, nil)
	case exchange.Lend:
		i, err := mandate.ParseInstruction("instruction", w.Papers[exchange.PaperInstruction])
		if err != nil {
			return nil, err
		}
		return &exchange.Answer{}, s.Lend(ctx, i)
	case exchange.Erase:
		if err := s.settleLast(ctx, w.Migration); err != nil {
			return nil, err
		}
	}
	return s.home.Work(ctx, s.lock, w, exchange.SourcePlace)
}

func (s *Source) compileWork(ctx context.Context, w exchange.Work) (*exchange.Answer, error) {
	i, err := mandate.ParseInstruction("instruction", w.Papers[exchange.PaperInstruction])
	if err != nil {
		return nil, err
	}
	contract, err := mandate.ParseContract("contract", w.Papers[exchange.PaperContract])
	if err != nil {
		return nil, err
	}
	now, err := s.home.Now()
	if err != nil {
		return nil, err
	}
	var rosters []*evidence.Roster // of an instruction that nobody signed yet there is no case
	if w.Verb != exchange.Sketch {
		c, err := s.lock.Case(ctx, i.ID, ecluse.Final)
		if err != nil {
			return nil, err
		}
		rosters = rostersOf(c)
	}
	if err := mandate.InTime(contract, i, rosters, now); err != nil {
		return nil, err
	}
	var plan *mandate.ReadPlan
	if w.Verb == exchange.Sketch {
		plan, err = s.Sketch(ctx, contract, i)
	} else {
		plan, err = s.Compile(ctx, contract, i, w.Signed)
	}
	if err != nil {
		return nil, err
	}
	estimates, err := s.Estimates(ctx, plan)
	if err != nil {
		return nil, err
	}
	out := map[string]any{exchange.PaperReadPlan: plan.Bytes(), exchange.PaperEstimates: estimates}
	if w.Verb == exchange.CompileRead {
		line, err := s.lock.Probe(ctx)
		if err != nil {
			return nil, err
		}
		out[exchange.PaperLine] = line
	}
	return papersOf(out)
}

// Work is what the target gate does for each verb.
func (t *Target) Work(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
	return t.home.unlessHeld(ctx, t.lock, w, func(ctx context.Context) (*exchange.Answer, error) { return t.work(ctx, w, watch) })
}

func (t *Target) work(ctx context.Context, w exchange.Work, watch sluice.Watch) (*exchange.Answer, error) {
	switch w.Verb {
	case exchange.Inspect:
		c, err := t.Inspect(ctx)
		if err != nil {
			return nil, err
		}
		return papersOf(map[string]any{exchange.PaperCatalogue: c, exchange.PaperEstimates: map[string]int64{}})
	case exchange.MakeRecipient:
		i, err := mandate.ParseInstruction("instruction", w.Papers[exchange.PaperInstruction])
		if err != nil {
			return nil, err
		}
		return &exchange.Answer{}, t.Recipient(ctx, i)
	case exchange.CheckMapping:
		read, err := mandate.ParseReadPlan(w.Papers[exchange.PaperReadPlan])
		if err != nil {
			return nil, err
		}
		shape, unused, err := t.CheckMapping(ctx, read, w.Papers[exchange.PaperMapping], exchange.Numbered(w.Papers, exchange.PaperFrozen))
		if err != nil {
			return nil, err
		}
		return papersOf(map[string]any{exchange.PaperShape: exchange.Checked{Shape: shape, Unused: unused}})
	case exchange.CompileLoad:
		c, err := t.lock.Case(ctx, w.Migration, w.Passage.Kind)
		if err != nil {
			return nil, err
		}
		if err := t.inTime(c); err != nil {
			return nil, err
		}
		plan, checked, err := t.Compile(ctx, c, w.Passage.Kind)
		if err != nil {
			return nil, err
		}
		line, err := t.lock.Probe(ctx)
		if err != nil {
			return nil, err
		}
		return papersOf(map[string]any{exchange.PaperLoadPlan: plan.Bytes(), exchange.PaperShape: checked, exchange.PaperLine: line})
	case exchange.Twin:
		s, err := t.Twin(ctx, w.Migration)
		if err != nil {
			return nil, err
		}
		return stated(s.digest, nil)
	case exchange.Load:
		r, err := t.Load(ctx, w.Migration, w.Passage, w.Reading, watch)
		if err != nil {
			return nil, err
		}
		return stated(r.Digest, nil)
	case exchange.Undo:
		u, err := t.Undo(ctx, w.Migration, w.Passage, watch)
		if err != nil {
			return nil, err
		}
		return stated(u.digest, nil)
	case exchange.Keep:
		return &exchange.Answer{}, t.Keep(ctx, w.Migration, w.Passage)
	case exchange.Erase: // what is destroyed is not kept in memory either
		a, err := t.home.Work(ctx, t.lock, w, exchange.TargetPlace)
		if err == nil {
			t.ForgetLease(w.Migration)
		}
		return a, err
	}
	return t.home.Work(ctx, t.lock, w, exchange.TargetPlace)
}

// Work is what both gates do, without their databases.
func (h *Home) Work(ctx context.Context, lock Lock, w exchange.Work, at exchange.Place) (*exchange.Answer, error) {
	switch w.Verb {
	case exchange.Look:
		// A gate that holds keys does not sign past a ledger that was put back: what
		// was forgotten would never be found out.
		if at == exchange.TargetPlace {
			if err := h.seesGo(ctx, lock, w.Migration); err != nil {
				return nil, err
			}
		}
		if h.Holds(w.Migration) {
			return &exchange.Answer{}, h.upToDate(ctx, lock, w.Migration)
		}
		return &exchange.Answer{}, h.Watch(ctx, lock, w.Migration)
	case exchange.Erase:
		plan, err := digestIn(w.Papers[exchange.PaperReadPlan])
		if err != nil {
			return nil, err
		}
		if err := h.mayErase(ctx, lock, w.Migration); err != nil {
			return nil, err
		}
		if at == exchange.SourcePlace {
			if err := (&Source{home: h, lock: lock}).keepRows(ctx, w.Migration); err != nil { // it needs no database
				return nil, err
			}
		}
		d, err := h.Erase(w.Migration, plan, string(at))
		if err != nil {
			return nil, err
		}
		if err := lock.Post(ctx, w.Migration, exchange.ErasureReport, d.Signed); err != nil {
			return nil, err
		}
		return papersOf(map[string]any{exchange.PaperStatement: []byte(d.Signed.Digest().String())})
	case exchange.EraseKept:
		return &exchange.Answer{}, h.eraseKeptNow(ctx, lock, w.Migration)
	case exchange.Search:
		return h.search(ctx, w)
	case exchange.Certify:
		var c evidence.Certificate
		j := json.NewDecoder(bytes.NewReader(w.Papers[exchange.PaperCertificate]))
		j.DisallowUnknownFields()
		if err := j.Decode(&c); err != nil {
			return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "read the certificate to be signed", Err: err}
		}
		signed, err := h.Certify(w.Migration, at, &c)
		if err != nil {
			return nil, err
		}
		return &exchange.Answer{}, lock.Post(ctx, w.Migration, exchange.Certificate, signed)
	case exchange.SignBundle:
		signed, err := h.SignBundle(w.Migration, w.Papers[exchange.PaperSums])
		return &exchange.Answer{Signed: &signed}, err
	}
	return nil, notMine(w, string(at))
}

// digestIn reads a digest; empty is none.
func digestIn(text []byte) (d ecluse.Digest, err error) {
	if len(text) == 0 {
		return d, nil
	}
	if d, err = ecluse.ParseDigest(string(text)); err != nil {
		err = &ecluse.Error{Kind: ecluse.Invalid, What: "read the work asked for", Err: err}
	}
	return d, err
}

// shortestProbe is the least that a lock may have a gate look for: what is as long as that
// is known already to whoever asks for it.
const shortestProbe = 32

// own are the gate's files that hold secrets, or lie beside one: what a lock has a gate
// look for never touches them. What is left of the migration itself is listed by name.
func own() []string {
	return []string{keyFile, ledgerFile, ledgerLock, paperFile, holdFile, config.FileName, migrationsDir, keptDir}
}

// search looks in the gate's own folder for what must be gone.
func (h *Home) search(ctx context.Context, w exchange.Work) (*exchange.Answer, error) {
	left, err := h.Files(w.Migration)
	if err != nil {
		return nil, err
	}
	probes := exchange.Numbered(w.Papers, exchange.PaperProbe)
	for _, p := range probes {
		if len(p) < shortestProbe {
			return nil, &ecluse.Error{
				Kind: ecluse.Refused, What: "search the gate's folder", Where: string(w.Migration), Why: fmt.Sprintf("it is to look for %d bytes, and ciphertext is looked for by %d", len(p), shortestProbe),
				Next: "let server and gates be of one version; if they are, find out who changed what the lock asks",
			}
		}
	}
	s, err := erasure.Search(ctx, []string{h.dir}, probes, own()...)
	if err != nil {
		return nil, fmt.Errorf("search the gate's folder: %w", err)
	}
	return papersOf(map[string]any{exchange.PaperSearched: exchange.Searched{Left: left, Files: s.Files, Found: s.Found, Unread: s.Unread}})
}

// inTime refuses to compile for a night before whose end something ends.
func (t *Target) inTime(c *exchange.Case) error {
	i, err := mandate.ParseInstruction("instruction", c.Instruction)
	if err != nil {
		return err
	}
	contract, err := mandate.ParseContract("contract", c.Contract)
	if err != nil {
		return err
	}
	now, err := t.home.Now()
	if err != nil {
		return err
	}
	return mandate.InTime(contract, i, rostersOf(c), now)
}
