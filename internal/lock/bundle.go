package lock

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
)

// Evidence gathers the evidence of an erased migration (step 13), under both gates'
// signatures.
func (l *Lock) Evidence(ctx context.Context, m ecluse.MigrationID) (*exchange.Bundle, error) {
	mig, err := l.store.Migration(ctx, m)
	if err != nil {
		return nil, err
	}
	if mig.Place.Migration != procedure.Closed {
		if err := l.move(ctx, m, journal.Closed, procedure.Close, procedure.Lock); err != nil {
			return nil, err
		}
	}
	source, target, err := l.gates(ctx, m)
	if err != nil {
		return nil, err
	}
	gates := []evidencing{{evidence.SourceGate, source}, {evidence.TargetGate, target}}
	for _, g := range gates {
		// What a gate without a line looked at was carried there: it looks once.
		if looked, err := l.lookedByHand(ctx, m, g.print); err != nil {
			return nil, err
		} else if looked {
			continue
		}
		if _, err := l.ask(ctx, g.print, exchange.Work{Verb: exchange.Look, Migration: m}); err != nil {
			return nil, err
		}
	}
	b := &bundle{Builder: evidence.NewBuilder(), lock: l, m: m, of: map[ecluse.Fingerprint]evidence.Gate{}}
	for _, g := range gates {
		b.of[g.print] = g.gate
	}
	for _, add := range []func(context.Context) error{b.papers, b.plans, b.gates, b.chunks, b.ending, b.journal} {
		if err := add(ctx); err != nil {
			return nil, err
		}
	}
	sums, err := b.Sums()
	if err != nil {
		return nil, err
	}
	for _, g := range gates {
		// A signature under this very list holds as long as the list: one that was carried
		// stays for its day, whatever becomes of the folder that it is written into.
		w := exchange.Work{Verb: exchange.SignBundle, Migration: m, Papers: map[string][]byte{exchange.PaperSums: sums}}
		err := l.askFor(ctx, g.print, w, func(a *exchange.Answer, _ closing) error {
			if a.Signed == nil || a.Signed.VerifyBy(evidence.NamespaceBundle, g.print) != nil || !bytes.Equal(a.Signed.Body, sums) {
				return &ecluse.Error{Kind: ecluse.Unverified, What: "write evidence", Where: string(g.gate), Why: "the gate did not sign the list of files"}
			}
			return b.AddSums(g.gate, *a.Signed)
		})
		if err != nil {
			return nil, err
		}
	}
	out := &exchange.Bundle{Migration: m, Roots: l.Roots()}
	err = b.Write(func(name string, body []byte) error {
		out.Files = append(out.Files, exchange.File{Name: name, Body: body})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, l.store.Do(ctx, journal.Event{
		Tree: evidence.InstallationTree, Type: journal.BundleWritten, IDs: map[string]string{"migration": string(m), "bundle": ecluse.DigestOf(sums).String()},
	}, nil)
}

// evidencing is a gate that signs.
type evidencing struct {
	gate  evidence.Gate
	print ecluse.Fingerprint
}

// bundle is a folder of evidence being gathered.
type bundle struct {
	*evidence.Builder
	lock     *Lock
	of       map[ecluse.Fingerprint]evidence.Gate
	m        ecluse.MigrationID
	readPlan []byte        // as both parties approved it
	accepted ecluse.Digest // the report accepted; none: nothing was
}

// papers adds rosters, contract, instruction, mapping, acts and all they speak of.
func (b *bundle) papers(ctx context.Context) error {
	rosters, err := b.lock.rosters(ctx)
	if err != nil {
		return err
	}
	for _, s := range rosters {
		if err := b.AddRoster(s); err != nil {
			return err
		}
	}
	c, err := b.lock.Case(ctx, b.m, ecluse.Final)
	if err != nil {
		return err
	}
	// A plan that was never approved by both stands among the other documents.
	acts, err := b.lock.store.Acts(ctx, b.m)
	if err != nil {
		return err
	}
	if plan, err := b.lock.approvedPlan(ctx, b.m, acts); err != nil {
		return err
	} else if plan.IsZero() {
		c.ReadPlan = nil
	}
	b.readPlan = c.ReadPlan
	for _, a := range acts {
		for _, clause := range a.Clauses {
			if clause.Verb == evidence.VerbAccept && clause.Kind == evidence.KindReport {
				b.accepted = clause.Subject
			}
		}
	}
	if c.Mapping, err = b.mapping(ctx, c.Mapping); err != nil {
		return err
	}
	named := map[ecluse.Digest]bool{}
	for _, f := range []struct {
		name string
		body []byte
	}{
		{evidence.FileContract, c.Contract},
		{evidence.FileInstruction, c.Instruction},
		{evidence.FileMapping, c.Mapping},
		{evidence.FileReadPlan, c.ReadPlan},
	} {
		if f.body == nil {
			continue
		}
		named[ecluse.DigestOf(f.body)] = true
		if err := b.Add(f.name, f.body); err != nil {
			return err
		}
	}
	for _, f := range c.Frozen {
		if err := b.AddFrozen(f); err != nil {
			return err
		}
	}
	return b.acts(ctx, c, named)
}

// mapping is the one of the last final passage that began; a later one never came
// into use. Without such a passage it is the one in force.
func (b *bundle) mapping(ctx context.Context, current []byte) ([]byte, error) {
	passages, err := b.lock.store.Passages(ctx, b.m)
	if err != nil {
		return nil, err
	}
	last := store.Passage{}
	for _, p := range passages {
		if p.Kind == ecluse.Final && p.Number > last.Number {
			last = p
		}
	}
	if last.Number == 0 {
		return current, nil
	}
	text, err := b.lock.store.Document(ctx, last.LoadPlan)
	if err != nil {
		return nil, err
	}
	plan, err := mandate.ParseLoadPlan(text)
	if err != nil {
		return nil, err
	}
	return b.lock.store.Document(ctx, plan.Shape.Mapping)
}

// acts adds every act, and the documents they speak of that have no place of
// their own: earlier versions, dispositions, reasons.
func (b *bundle) acts(ctx context.Context, c *exchange.Case, named map[ecluse.Digest]bool) error {
	plans, err := b.loadPlans(ctx)
	if err != nil {
		return err
	}
	for d := range plans {
		named[d] = true
	}
	reports, err := b.lock.signed(ctx, b.m, string(exchange.LoadReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	for _, s := range reports { // they stand where their signature does
		named[s.Digest()] = true
	}
	gates, err := b.lock.gatePapers(ctx, b.of)
	if err != nil {
		return err
	}
	for _, s := range c.Acts {
		a, err := evidence.ParseAct(s.Body)
		if err != nil {
			return err
		}
		if onOtherGates(a, gates) {
			continue
		}
		if err := b.AddAct(s); err != nil {
			return err
		}
		for _, clause := range a.Clauses {
			if named[clause.Subject] || clause.Kind == evidence.KindMigration || clause.Kind == evidence.KindKept { // a key is no document
				continue
			}
			if clause.Kind == evidence.KindGate {
				if err := b.gatePaper(ctx, clause.Subject); err != nil {
					return err
				}
				continue
			}
			doc, err := b.lock.store.Document(ctx, clause.Subject)
			if err != nil {
				return err
			}
			if err := b.AddDocument(doc); err != nil {
				return err
			}
		}
	}
	return nil
}

// gatePaper adds what a gate says of itself, signed by it.
func (b *bundle) gatePaper(ctx context.Context, d ecluse.Digest) error {
	signed, err := b.lock.store.Signed(ctx, d, evidence.NamespaceGate)
	if err != nil {
		return err
	}
	for _, s := range signed {
		if err := b.AddGate(s); err != nil {
			return err
		}
	}
	return nil
}

// onOtherGates tells an act that speaks only of gates that this migration does not
// go through.
func onOtherGates(a *evidence.Act, ours map[ecluse.Digest]evidence.Signed) bool {
	return !slices.ContainsFunc(a.Clauses, func(c evidence.Clause) bool {
		_, own := ours[c.Subject]
		return c.Kind != evidence.KindGate || own
	})
}

// loadPlans finds the load plans of the passages that began.
func (b *bundle) loadPlans(ctx context.Context) (map[ecluse.Digest][]ecluse.Passage, error) {
	passages, err := b.lock.store.Passages(ctx, b.m)
	if err != nil {
		return nil, err
	}
	plans := map[ecluse.Digest][]ecluse.Passage{}
	for _, p := range passages {
		plans[p.LoadPlan] = append(plans[p.LoadPlan], p.Passage)
	}
	return plans, nil
}

func (b *bundle) plans(ctx context.Context) error {
	plans, err := b.loadPlans(ctx)
	if err != nil {
		return err
	}
	for d, passages := range plans {
		text, err := b.lock.store.Document(ctx, d)
		if err != nil {
			return err
		}
		for _, p := range passages {
			if err := b.AddLoadPlan(p, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// gates adds what the gates stated: recipients of the plan, privileges, erasure.
func (b *bundle) gates(ctx context.Context) error {
	if read, err := parseReadPlan(b.readPlan); err != nil {
		return err
	} else if read != nil {
		all, err := b.lock.signed(ctx, b.m, kindRecipient, evidence.NamespaceRecipient)
		if err != nil {
			return err
		}
		for _, s := range all {
			if d := s.Digest(); d == read.Recipient || d == read.Rejects {
				if err := b.AddRecipient(s); err != nil {
					return err
				}
			}
		}
	}
	for paper, label := range map[exchange.Paper]string{exchange.PrivilegesBefore: "before", exchange.PrivilegesAfter: "after"} {
		all, err := b.lock.signed(ctx, b.m, string(paper), evidence.NamespaceStatement)
		if err != nil {
			return err
		}
		for n, s := range all {
			if err := b.AddPrivileges(evidence.SourceGate, fmt.Sprintf("%d-%s", n+1, label), s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bundle) chunks(ctx context.Context) error {
	for kind, add := range map[string]func(evidence.Signed) error{kindChunk: b.AddChunk, kindReject: b.AddRejects} {
		all, err := b.lock.signed(ctx, b.m, kind, evidence.NamespaceChunk)
		if err != nil {
			return err
		}
		for _, s := range all {
			if err := add(s); err != nil {
				return err
			}
		}
	}
	manifest, err := b.lock.manifestKept(ctx, b.m)
	if err != nil || manifest == nil {
		return err
	}
	return b.AddManifest(*manifest)
}

// ending adds the accepted report, the gates' own words and the certificate.
func (b *bundle) ending(ctx context.Context) error {
	erasures, err := b.lock.signed(ctx, b.m, string(exchange.ErasureReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	for _, s := range erasures {
		key, err := s.Verify(evidence.NamespaceStatement)
		if err != nil {
			return err
		}
		if err := b.AddErasure(b.of[evidence.FingerprintOf(key)], s); err != nil {
			return err
		}
	}
	reports, err := b.lock.signed(ctx, b.m, string(exchange.LoadReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	for _, s := range reports {
		add := func(s evidence.Signed) error { return b.AddStatement(evidence.TargetGate, s) }
		if s.Digest() == b.accepted {
			add = b.AddReport
		}
		if err := add(s); err != nil {
			return err
		}
	}
	for _, kind := range []exchange.Paper{exchange.ExtractReport, exchange.ReleasedRow, exchange.ErasedRows} {
		said, err := b.lock.signed(ctx, b.m, string(kind), evidence.NamespaceStatement)
		if err != nil {
			return err
		}
		for _, s := range said {
			if err := b.AddStatement(evidence.SourceGate, s); err != nil {
				return err
			}
		}
	}
	undone, err := b.lock.signed(ctx, b.m, string(exchange.UndoReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	twins, err := b.twins(ctx)
	if err != nil {
		return err
	}
	for _, s := range append(undone, twins...) {
		if err := b.AddStatement(evidence.TargetGate, s); err != nil {
			return err
		}
	}
	d, err := b.lock.store.Current(ctx, b.m, kindCertificate)
	if err != nil {
		return err
	}
	both, err := b.lock.store.Signed(ctx, d, evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	signed := map[evidence.Gate]evidence.Signed{}
	for _, s := range both {
		key, err := s.Verify(evidence.NamespaceStatement)
		if err != nil {
			return err
		}
		signed[b.of[evidence.FingerprintOf(key)]] = s
	}
	if err := b.keptErased(ctx, signed[evidence.SourceGate].Body); err != nil {
		return err
	}
	return b.AddCertificate(signed[evidence.SourceGate], signed[evidence.TargetGate])
}

// keptErased refuses to write evidence that would not hold: of rows kept whose last day is
// over while the source gate has not said yet that it erased them.
func (b *bundle) keptErased(ctx context.Context, certificate []byte) error {
	kept, erased, err := b.lock.kept(ctx, b.m, certificate)
	if err != nil || kept == nil || !erased.IsZero() {
		return err
	}
	head, _, err := b.lock.store.LastHead(ctx, string(b.m))
	if err != nil {
		return err
	}
	h, err := evidence.ParseHead(head.Body)
	if err != nil || h.At.Before(kept.Ends()) {
		return err
	}
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "write evidence", Where: string(b.m), Why: "the last day of the rows put aside was " + kept.Until + ", and the source gate has not said yet that it erased them", Article: "GDPR art. 5(1)(e)",
		Next: "see to it that the source gate runs and its clock is right: it erases them by itself and says so; then run the same command again",
	}
}

// twins are the statements about invented rows, of the read plan that was approved.
func (b *bundle) twins(ctx context.Context) ([]evidence.Signed, error) {
	all, err := b.lock.signed(ctx, b.m, string(exchange.TwinReport), evidence.NamespaceStatement)
	return slices.DeleteFunc(all, func(s evidence.Signed) bool {
		var h evidence.StatementHead
		return b.readPlan == nil || json.Unmarshal(s.Body, &h) != nil || h.Plan != ecluse.DigestOf(b.readPlan)
	}), err
}

// journal adds the leaves up to the head that both gates cosigned.
func (b *bundle) journal(ctx context.Context) error {
	head, cosigned, err := b.lock.store.LastHead(ctx, string(b.m))
	if err != nil {
		return err
	}
	h, err := evidence.ParseHead(head.Body)
	if err != nil {
		return err
	}
	leaves, _, err := b.lock.log.Leaves(ctx, string(b.m), 0, h.Size)
	if err != nil {
		return err
	}
	if err := b.AddLeaves(leaves); err != nil {
		return err
	}
	by := map[evidence.Gate]evidence.Signed{}
	for _, s := range cosigned {
		key, err := s.Verify(evidence.NamespaceHead)
		if err != nil {
			return err
		}
		if g, ok := b.of[evidence.FingerprintOf(key)]; ok {
			by[g] = s
		}
	}
	return b.AddHead(head, by[evidence.SourceGate], by[evidence.TargetGate])
}
