package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/durable"
	"ecluse/internal/gate"
	"ecluse/internal/journal"
	"ecluse/internal/mandate"
	"ecluse/internal/procedure"
	"ecluse/internal/store"
)

// BundleView is an evidence folder written.
type BundleView struct {
	Migration ecluse.MigrationID `json:"migration"`
	Dir       string             `json:"dir"`
	Files     int                `json:"files"`
	Verify    string             `json:"verify"`    // the command
	VerifySh  string             `json:"verify_sh"` // the one that needs stock tools only
}

// Evidence writes the evidence folder of an erased migration (step 13).
func (r *Room) Evidence(ctx context.Context, id ecluse.MigrationID, dir string) (*BundleView, error) {
	m, err := r.migration(ctx, id)
	if err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &ecluse.Error{Kind: ecluse.Refused, What: "write evidence", Where: dir, Why: "it is a file, or a folder that is not empty", Next: "name a new folder"}
	}
	if err := r.move(ctx, m, journal.Closed, procedure.Close, procedure.Lock); err != nil {
		return nil, err
	}
	if err := r.cosign(ctx, m); err != nil {
		return nil, err
	}
	b := &bundle{Builder: evidence.NewBuilder(), room: r, lock: r.lock, m: m}
	for _, add := range []func(context.Context) error{b.papers, b.plans, b.gates, b.chunks, b.ending, b.journal} {
		if err := add(ctx); err != nil {
			return nil, err
		}
	}
	sums, err := b.Sums()
	if err != nil {
		return nil, err
	}
	for at, g := range map[Place]evidence.Gate{SourcePlace: evidence.SourceGate, TargetPlace: evidence.TargetGate} {
		signed, err := r.homes[at].SignBundle(sums)
		if err != nil {
			return nil, err
		}
		if err := b.AddSums(g, signed); err != nil {
			return nil, err
		}
	}
	v := &BundleView{Migration: m, Dir: dir}
	err = whole(dir, func(into string) error {
		return b.Write(func(name string, body []byte) error {
			v.Files++
			path := filepath.Join(into, filepath.FromSlash(name))
			if err := durable.Mkdir(filepath.Dir(path)); err != nil {
				return err
			}
			return durable.WriteFile(path, body)
		})
	})
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Failed, What: "write evidence", Where: dir, Err: err, Next: "nothing was left behind: run the same command again, or name another folder"}
	}
	roots := fmt.Sprintf("--controller %s --processor %s", r.lock.roots[ecluse.Controller], r.lock.roots[ecluse.Processor])
	v.Verify = "ecluse verify " + dir + " " + roots
	v.VerifySh = "sh " + filepath.Join(dir, evidence.FileScript) + " " + dir + " " + roots
	return v, r.lock.store.Do(ctx, journal.Event{
		Tree: evidence.InstallationTree, Type: journal.BundleWritten, IDs: map[string]string{"migration": string(m), "bundle": ecluse.DigestOf(sums).String()},
	}, nil)
}

// bundle is a folder of evidence being gathered.
type bundle struct {
	*evidence.Builder
	room     *Room
	lock     *lock
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
func (b *bundle) acts(ctx context.Context, c *gate.Case, named map[ecluse.Digest]bool) error {
	plans, err := b.loadPlans(ctx)
	if err != nil {
		return err
	}
	for d := range plans {
		named[d] = true
	}
	reports, err := b.lock.signed(ctx, b.m, string(gate.LoadReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	for _, s := range reports { // they stand where their signature does
		named[s.Digest()] = true
	}
	for _, s := range c.Acts {
		a, err := evidence.ParseAct(s.Body)
		if err != nil {
			return err
		}
		if err := b.AddAct(s); err != nil {
			return err
		}
		for _, clause := range a.Clauses {
			if named[clause.Subject] || clause.Kind == evidence.KindMigration {
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
	for paper, label := range map[gate.Paper]string{gate.PrivilegesBefore: "before", gate.PrivilegesAfter: "after"} {
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
	of := map[ecluse.Fingerprint]evidence.Gate{
		b.room.homes[SourcePlace].Fingerprint(): evidence.SourceGate,
		b.room.homes[TargetPlace].Fingerprint(): evidence.TargetGate,
	}
	erasures, err := b.lock.signed(ctx, b.m, string(gate.ErasureReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	for _, s := range erasures {
		key, err := s.Verify(evidence.NamespaceStatement)
		if err != nil {
			return err
		}
		if err := b.AddErasure(of[evidence.FingerprintOf(key)], s); err != nil {
			return err
		}
	}
	reports, err := b.lock.signed(ctx, b.m, string(gate.LoadReport), evidence.NamespaceStatement)
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
	extracts, err := b.lock.signed(ctx, b.m, string(gate.ExtractReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	for _, s := range extracts {
		if err := b.AddStatement(evidence.SourceGate, s); err != nil {
			return err
		}
	}
	undone, err := b.lock.signed(ctx, b.m, string(gate.UndoReport), evidence.NamespaceStatement)
	if err != nil {
		return err
	}
	for _, s := range undone {
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
		signed[of[evidence.FingerprintOf(key)]] = s
	}
	return b.AddCertificate(signed[evidence.SourceGate], signed[evidence.TargetGate])
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
	by := map[Place]evidence.Signed{}
	for _, s := range cosigned {
		key, err := s.Verify(evidence.NamespaceHead)
		if err != nil {
			return err
		}
		for at, home := range b.room.homes {
			if home.Fingerprint() == evidence.FingerprintOf(key) {
				by[at] = s
			}
		}
	}
	return b.AddHead(head, by[SourcePlace], by[TargetPlace])
}
