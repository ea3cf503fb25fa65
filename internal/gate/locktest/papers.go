package locktest

import (
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

func papers(t *testing.T, open Harness) {
	test(t, open, Reading, "what is signed", func(b *bench) {
		c, err := b.Lock.Case(b.Context(), b.Migration, ecluse.Final)
		b.must(err)
		if len(c.Rosters) < 2 || len(c.Acts) < 4 || len(c.Recipients) != 2 {
			b.Errorf("%d rosters, %d acts, %d recipients", len(c.Rosters), len(c.Acts), len(c.Recipients))
		}
		if got := ecluse.DigestOf(c.Instruction); got != b.read.Instruction {
			b.Errorf("the instruction is %s, and the read plan is of %s", got, b.read.Instruction)
		}
		for name, text := range map[string][]byte{"contract": c.Contract, "mapping": c.Mapping, "load plan": c.LoadPlan} {
			if len(text) == 0 {
				b.Errorf("no %s", name)
			}
		}
		for _, s := range c.Acts {
			if _, err := s.Verify(evidence.NamespaceAct); err != nil {
				b.Error(err)
			}
		}
	})
	test(t, open, Reading, "a plan of another kind", func(b *bench) {
		c, err := b.Lock.Case(b.Context(), b.Migration, ecluse.Dry)
		b.must(err)
		if c.LoadPlan != nil {
			b.Error("a dry run was never planned, and there is a load plan for it")
		}
	})
	test(t, open, Reading, "an unknown migration", func(b *bench) {
		_, err := b.Lock.Case(b.Context(), "nobody-knows-it", ecluse.Final)
		b.want("its papers", err, ecluse.Invalid)
	})
	test(t, open, Reading, "posting twice is once", func(b *bench) {
		s := b.statement(b.Source, evidence.PrivilegesFormat, ecluse.Digest{})
		before := b.size()
		for range 2 {
			b.must(b.Lock.Post(b.Context(), b.Migration, exchange.PrivilegesBefore, s))
		}
		if got := b.size() - before; got != 1 {
			b.Errorf("it was journalled %d times", got)
		}
	})
	test(t, open, Reading, "posting what nobody of them signed", func(b *bench) {
		s := b.statement(b.Source, evidence.PrivilegesFormat, ecluse.Digest{})
		s.Body = append(s.Body, ' ')
		b.want("a changed statement", b.Lock.Post(b.Context(), b.Migration, exchange.PrivilegesBefore, s), ecluse.Unverified)
		s = b.statement(b.stranger, evidence.PrivilegesFormat, ecluse.Digest{})
		b.want("a stranger's", b.Lock.Post(b.Context(), b.Migration, exchange.PrivilegesBefore, s), ecluse.Refused)
	})
	test(t, open, Reading, "recording", func(b *bench) {
		before := b.size()
		b.must(b.record())
		if got := b.size() - before; got != 1 {
			b.Errorf("the journal grew by %d", got)
		}
		err := b.Lock.Record(b.Context(), exchange.Event{Migration: b.Migration, Type: "never heard of"})
		b.want("an event of no type", err, ecluse.Invalid, ecluse.Refused)
	})
}

func (b *bench) record() error {
	return b.Lock.Record(b.Context(), exchange.Event{Migration: b.Migration, Type: "epoch", Numbers: map[string]int64{"epoch": 1}})
}

func heads(t *testing.T, open Harness) {
	test(t, open, Reading, "each continues the one before", func(b *bench) {
		old := b.head(0)
		for range 3 {
			b.must(b.record())
		}
		s, raw, err := b.Lock.Head(b.Context(), b.Migration, old.Size)
		b.must(err)
		h, err := evidence.VerifyHead(s, b.Key)
		b.must(err)
		proof := make(tlog.TreeProof, len(raw))
		for i, p := range raw {
			proof[i] = p
		}
		if err := evidence.CheckConsistency(proof, h, old); err != nil || h.Size != old.Size+3 || h.Tree != string(b.Migration) {
			b.Errorf("from %d to %d of %s: %v", old.Size, h.Size, h.Tree, err)
		}
	})
	test(t, open, Reading, "from nothing", func(b *bench) {
		if _, proof, err := b.Lock.Head(b.Context(), b.Migration, 0); err != nil || len(proof) != 0 {
			b.Errorf("%d hashes prove nothing, %v", len(proof), err)
		}
	})
	test(t, open, Reading, "from beyond the end", func(b *bench) {
		_, _, err := b.Lock.Head(b.Context(), b.Migration, b.size()+1)
		b.want("a proof", err, ecluse.Unverified)
	})
	test(t, open, Reading, "cosigning", func(b *bench) {
		h := b.head(0)
		if s, err := b.Lock.Cosigned(b.Context(), b.Migration, print(b.Source)); err == nil && s != nil {
			if known, err := evidence.VerifyHead(*s, print(b.Source)); err != nil || known.Size > h.Size {
				b.Errorf("cosigned before: %v", err)
			}
		}
		b.must(b.record()) // meanwhile it grows
		own, err := evidence.SignHead(b.Source, h)
		b.must(err)
		for range 2 {
			b.must(b.Lock.Cosign(b.Context(), b.Migration, own))
		}
		s, err := b.Lock.Cosigned(b.Context(), b.Migration, print(b.Source))
		b.must(err)
		if s == nil {
			b.Fatal("nothing is cosigned")
		}
		if got, err := evidence.VerifyHead(*s, print(b.Source)); err != nil || *got != *h {
			b.Errorf("cosigned %+v, %v, want %+v", got, err, h)
		}
	})
	test(t, open, Reading, "cosigning what is not the lock's", func(b *bench) {
		h := b.head(0)
		own, err := evidence.SignHead(b.stranger, h)
		b.must(err)
		b.want("a stranger", b.Lock.Cosign(b.Context(), b.Migration, own), ecluse.Refused)
		h.Root[0] ^= 1
		own, err = evidence.SignHead(b.Source, h)
		b.must(err)
		b.want("another root", b.Lock.Cosign(b.Context(), b.Migration, own), ecluse.Unverified)
	})
}

func leases(t *testing.T, open Harness) {
	const request, answer = "lease/v1", "lent/v1"
	test(t, open, Loading, "asked and lent", func(b *bench) {
		q := b.statement(b.Target, request, ecluse.Digest{})
		for range 2 {
			b.must(b.AtTarget.Ask(b.Context(), b.Migration, q))
		}
		if asked, err := b.Lock.Asked(b.Context(), b.Migration); err != nil || len(asked) != 1 || asked[0].Digest() != q.Digest() {
			b.Fatalf("%d are asked for, %v", len(asked), err)
		}
		if a, err := b.AtTarget.Lent(b.Context(), b.Migration, q.Digest()); err != nil || a != nil {
			b.Errorf("an answer before there is one: %v", err)
		}
		a := b.statement(b.Source, answer, q.Digest())
		b.must(b.Lock.Lend(b.Context(), b.Migration, a))
		if got, err := b.AtTarget.Lent(b.Context(), b.Migration, q.Digest()); err != nil || got == nil || got.Digest() != a.Digest() {
			b.Errorf("lent %v, %v", got, err)
		}
		if asked, err := b.Lock.Asked(b.Context(), b.Migration); err != nil || len(asked) != 0 {
			b.Errorf("%d are still asked for, %v", len(asked), err)
		}
	})
	test(t, open, Loading, "the first answer stands", func(b *bench) {
		q := b.statement(b.Target, request, ecluse.Digest{})
		b.must(b.AtTarget.Ask(b.Context(), b.Migration, q))
		first := b.statement(b.Source, answer, q.Digest())
		b.must(b.Lock.Lend(b.Context(), b.Migration, first))
		_ = b.Lock.Lend(b.Context(), b.Migration, b.statement(b.Source, answer, q.Digest()))
		if got, err := b.AtTarget.Lent(b.Context(), b.Migration, q.Digest()); err != nil || got == nil || got.Digest() != first.Digest() {
			b.Errorf("lent %v, %v", got, err)
		}
	})
	test(t, open, Loading, "from the wrong gate", func(b *bench) {
		q := b.statement(b.Target, request, ecluse.Digest{})
		b.must(b.AtTarget.Ask(b.Context(), b.Migration, q))
		b.want("the source gate asks", b.Lock.Ask(b.Context(), b.Migration, b.statement(b.Source, request, ecluse.Digest{})), ecluse.Unverified)
		b.want("the target gate lends", b.AtTarget.Lend(b.Context(), b.Migration, b.statement(b.Target, answer, q.Digest())), ecluse.Unverified)
		b.want("what nobody asked for", b.Lock.Lend(b.Context(), b.Migration, b.statement(b.Source, answer, ecluse.DigestOf(nil))), ecluse.Invalid)
	})
	test(t, open, Loading, "late", func(b *bench) {
		lent, open := b.statement(b.Target, request, ecluse.Digest{}), b.statement(b.Target, request, ecluse.Digest{})
		b.must(b.AtTarget.Ask(b.Context(), b.Migration, lent))
		b.must(b.AtTarget.Ask(b.Context(), b.Migration, open))
		b.must(b.Lock.Lend(b.Context(), b.Migration, b.statement(b.Source, answer, lent.Digest())))
		b.EndLeases(b.T)
		if got, err := b.AtTarget.Lent(b.Context(), b.Migration, lent.Digest()); err != nil || got != nil {
			b.Errorf("an answer outlived its time: %v", err)
		}
		if asked, err := b.Lock.Asked(b.Context(), b.Migration); err != nil || len(asked) != 0 {
			b.Errorf("%d are still asked for, %v", len(asked), err)
		}
		b.want("a late answer", b.Lock.Lend(b.Context(), b.Migration, b.statement(b.Source, answer, open.Digest())), ecluse.Refused)
	})
}
