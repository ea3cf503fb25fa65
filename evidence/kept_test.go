package evidence

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// keeping tells a story in which rows put aside are kept until the end of 2026.
type keeping struct {
	kept      KeptRows
	unkept    NotKept     // why not, in place of kept
	none      bool        // no rows were put aside
	instructs string      // the instruction's word on them
	procedure string      // that the load plan names; empty: none
	first     bool        // what becomes of them was said in dispositions/v1
	erased    *ErasedRows // the source gate's word that they are gone; nil: none
	by        ssh.Signer
	orders    func(w *telling, c Clause) // says that they go before their day; nil: nobody does
	again     bool                       // it says so twice, of two times
	at        time.Time                  // of the journal's last head; zero: as told
	files     func(map[string][]byte)
}

func (k *keeping) tell(t *testing.T, c *cast) (string, string) {
	t.Helper()
	s := newStory(c)
	s.instruction += k.instructs
	if k.procedure != "" {
		s.loadPlan = func(text string) string {
			return strings.Replace(text, `"passage":"final"`, `"procedure":"`+k.procedure+`","passage":"final"`, 1)
		}
	}
	if k.first {
		s.dispositions = firstFormat()
	}
	s.decided = func(w *telling, _ ecluse.Digest) {
		if k.erased == nil {
			return
		}
		if k.orders != nil {
			k.orders(w, Clause{VerbErase, KindKept, k.kept.Key})
		}
		g := SourceGate
		if k.by == s.target {
			g = TargetGate
		}
		x := *k.erased
		x.Format, x.Migration, x.Plan = ErasedRowsFormat, testMigration, w.plan
		w.do(w.b.AddStatement(g, must(SignStatement(k.by, x))))
		if k.again {
			x.Erased = x.Erased.Add(time.Hour)
			w.do(w.b.AddStatement(g, must(SignStatement(k.by, x))))
		}
	}
	s.certificate = func(c *Certificate) {
		if k.kept.Until != "" {
			c.Kept = &k.kept
		}
		c.NotKept = k.unkept
	}
	if k.none {
		s.compared, s.dispositions = func(c *compared) { c.Compared.Rejected = nil }, nil
	}
	if !k.at.IsZero() {
		s.head = func(h *Head) {
			if h.Size > 8 {
				h.At = k.at
			}
		}
	}
	if k.files != nil {
		s.files = k.files
	}
	bundle := s.tell(t)
	return Verify(bundle, c.roots()).Text(), runScript(t, onDisk(t, bundle), c.roots())
}

// TestVerifyKept: rows put aside that outlive the acceptance. Both verifiers hold what the
// certificate says of them to the instruction, to the accepted passage and, once their day
// is over, to the source gate's word that they are gone.
func TestVerifyKept(t *testing.T) {
	c := newCast(t)
	kept := KeptRows{Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}, Until: "2026-12-31", Key: ecluse.DigestOf([]byte("recipient"))}
	over := time.Date(2027, 1, 1, 0, 0, 5, 0, time.UTC)
	const (
		keeps   = "note  rows that passage final-1 put aside are kept until 2026-12-31 at the laboratory's gate, which alone can open them\n"
		ordered = "note  rows put aside, kept until 2026-12-31, were erased by the laboratory's gate on 2026-12-31T23:59:59Z, by the controller's order\n"
		gone    = "note  rows put aside, kept until 2026-12-31, were erased by the laboratory's gate on 2027-01-01T00:00:05Z\n"
	)
	honest := keeping{kept: kept, instructs: "rejects_until: 2026-12-31\n", by: c.source}
	with := func(edit func(*keeping)) keeping {
		k := honest
		edit(&k)
		return k
	}
	not := func(why NotKept) keeping {
		return with(func(k *keeping) { k.kept, k.unkept = KeptRows{}, why })
	}
	under := func(procedure string, edit func(*keeping)) keeping {
		return with(func(k *keeping) { k.procedure = procedure; edit(k) })
	}
	silent := func(k *keeping) { k.kept = KeptRows{} }
	old := anybodysUndo()
	erased := func(edit func(*keeping)) keeping {
		return with(func(k *keeping) {
			k.erased, k.at = &ErasedRows{Kept: kept, Erased: over}, over.Add(time.Hour)
			edit(k)
		})
	}
	early := func(edit func(*keeping)) keeping {
		return erased(func(k *keeping) {
			k.erased.Erased = time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)
			edit(k)
		})
	}
	anne := func(w *telling, c Clause) { w.says("kept", ecluse.Controller, w.pAnne, w.anne, ecluse.Signatory, c) }
	for name, x := range map[string]struct {
		keeping
		want string // empty: KO
	}{
		"kept":                                  {honest, keeps},
		"kept, on the last day":                 {with(func(k *keeping) { k.at = over.Add(-6 * time.Second) }), keeps},
		"kept, and the day is over":             {with(func(k *keeping) { k.at = over }), ""},
		"erased":                                {erased(func(*keeping) {}), gone},
		"erased, by the target gate's word":     {erased(func(k *keeping) { k.by = c.target }), ""},
		"erased twice":                          {erased(func(k *keeping) { k.again = true }), ""},
		"erased before it was certified":        {erased(func(k *keeping) { k.erased.Erased = testDay }), ""},
		"erased, of another key":                {erased(func(k *keeping) { k.erased.Kept.Key[0] ^= 1 }), ""},
		"erased, and none were kept":            {erased(func(k *keeping) { k.kept = KeptRows{} }), ""},
		"ordered":                               {early(func(k *keeping) { k.orders = anne }), ordered},
		"before its day, and nobody ordered it": {early(func(*keeping) {}), ""},
		"ordered by the processor": {early(func(k *keeping) {
			k.orders = func(w *telling, c Clause) { w.says("kept", ecluse.Processor, w.pLuc, w.luc, ecluse.Operator, c) }
		}), ""},
		"ordered, of other rows": {early(func(k *keeping) {
			k.orders = func(w *telling, c Clause) { c.Subject[0] ^= 1; anne(w, c) }
		}), ""},
		"longer than instructed":           {with(func(k *keeping) { k.kept.Until = "2027-01-01" }), ""},
		"nothing instructed":               {with(func(k *keeping) { k.instructs = "" }), ""},
		"kept, and none put aside":         {with(func(k *keeping) { k.none = true }), ""},
		"neither kept nor said why":        {with(func(k *keeping) { k.kept = KeptRows{} }), ""},
		"neither, by the first procedure":  {under(old[0], silent), "\n"},
		"neither, by the last that let it": {under(old[len(old)-1], silent), "\n"},
		"neither, by a later procedure":    {under(ecluse.DigestOf(nil).String(), silent), ""},
		"neither, first dispositions":      {under(old[0], func(k *keeping) { silent(k); k.first = true }), "\n"},
		"kept, by an old procedure":        {under(old[0], func(*keeping) {}), keeps},
		"kept, first dispositions":         {with(func(k *keeping) { k.first = true }), keeps},
		"not kept, first dispositions":     {with(func(k *keeping) { k.kept, k.unkept, k.first = KeptRows{}, NotFetched, true }), "not: the deadline of erasure came"},
		"none put aside":                   {with(func(k *keeping) { k.kept, k.none = KeptRows{}, true }), "\n"},
		"none put aside, and said why not": {with(func(k *keeping) { k.kept, k.none, k.unkept = KeptRows{}, true, NotFetched }), ""},
		"why not, and nothing instructed":  {with(func(k *keeping) { k.kept, k.instructs, k.unkept = KeptRows{}, "", NotFetched }), ""},
		"the deadline came":                {not(NotFetched), "note  rows put aside were to be kept at the laboratory's gate and are not: the deadline of erasure came before the gate had all of them\n"},
		"the gate was retired":             {not(NotLet), "note  rows put aside were to be kept at the laboratory's gate and are not: the gate had been retired\n"},
		"all was ordered erased":           {not(NotOrdered), "note  rows put aside were to be kept at the laboratory's gate and are not: the controller ordered all erased\n"},
		"the contract ends":                {not(NotContract), "note  rows put aside were to be kept at the laboratory's gate and are not: the contract ends before\n"},
		"why not, and not said to a reader": {with(func(k *keeping) {
			k.kept, k.unkept = KeptRows{}, NotFetched
			k.files = func(f map[string][]byte) {
				f[FileReadme] = []byte(strings.Replace(string(f[FileReadme]), NotFetched.String()+"\n", "", 1))
			}
		}), ""},
		"of another passage": {with(func(k *keeping) { k.kept.Passage.Number = 2 }), ""},
		"not said to a reader": {with(func(k *keeping) {
			k.files = func(f map[string][]byte) {
				f[FileReadme] = []byte(strings.Replace(string(f[FileReadme]), strings.TrimPrefix(keeps, "note  "), "", 1))
			}
		}), ""},
	} {
		text, out := x.tell(t, c)
		for by, said := range map[string]string{"ecluse": text, "verify.sh": out} {
			switch {
			case x.want == "" && strings.HasPrefix(said, "OK\n"):
				t.Errorf("%s: %s accepts\n%s", name, by, said)
			case x.want != "" && (!strings.HasPrefix(said, "OK\n") || !strings.Contains(said, x.want)):
				t.Errorf("%s: %s:\n%s", name, by, said)
			}
		}
	}
}
