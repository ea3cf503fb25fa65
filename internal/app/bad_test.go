package app_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/procedure"
)

// hostile is a lock that hands out something else than what was signed.
type hostile struct {
	gate.Lock
	change func(*exchange.Case)
}

func (h *hostile) Case(ctx context.Context, m ecluse.MigrationID, k ecluse.PassageKind) (*exchange.Case, error) {
	c, err := h.Lock.Case(ctx, m, k)
	if err == nil && h.change != nil {
		h.change(c)
	}
	return c, err
}

// flipped is a copy with one byte changed.
func flipped(b []byte, at int) []byte {
	c := append([]byte(nil), b...)
	c[at] ^= 1
	return c
}

// spots are n places spread over a text, its first and last byte among them.
func spots(b []byte, n int) []int {
	var all []int
	for i := range n {
		all = append(all, i*(len(b)-1)/max(n-1, 1))
	}
	return all
}

// TestChangedPapers: both gates refuse whatever of their papers is changed by one
// byte, before anything is read or written, whatever the lock says about it.
func TestChangedPapers(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	if _, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	lock := &hostile{Lock: r.Lock()}
	source, target := gates(t, d, lock)
	honest, err := r.Lock().Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(all *[]evidence.Signed, n, at int, signature bool) {
		c := append([]evidence.Signed(nil), *all...)
		if signature {
			c[n].Signature = flipped(c[n].Signature, at)
		} else {
			c[n].Body = flipped(c[n].Body, at)
		}
		*all = c
	}
	tried := 0
	try := func(name string, atSource, atTarget bool, change func(*exchange.Case)) {
		lock.change = change
		tried++
		for who, run := range map[string]func() error{
			"source gate": func() error {
				_, err := source.Read(t.Context(), roomtest.Migration, 0, nil)
				return err
			},
			"target gate": func() error {
				_, err := target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
				return err
			},
		} {
			if who == "source gate" && !atSource || who == "target gate" && !atTarget {
				continue
			}
			switch err := run(); ecluse.KindOf(err) {
			case ecluse.Unverified, ecluse.Refused, ecluse.Differs, ecluse.Invalid, ecluse.WaitsForSign:
			default:
				t.Errorf("%s at the %s: %v", name, who, err)
			}
		}
	}
	for _, p := range []struct {
		name       string
		of         func(*exchange.Case) *[]byte
		src, tgt   bool
		everywhere int
	}{
		{"contract", func(c *exchange.Case) *[]byte { return &c.Contract }, true, true, 25},
		{"instruction", func(c *exchange.Case) *[]byte { return &c.Instruction }, true, true, 25},
		{"read plan", func(c *exchange.Case) *[]byte { return &c.ReadPlan }, true, true, 25},
		{"load plan", func(c *exchange.Case) *[]byte { return &c.LoadPlan }, false, true, 25},
		{"mapping", func(c *exchange.Case) *[]byte { return &c.Mapping }, false, true, 25},
	} {
		for _, at := range spots(*p.of(honest), p.everywhere) {
			try(fmt.Sprintf("%s, byte %d", p.name, at), p.src, p.tgt, func(c *exchange.Case) { *p.of(c) = flipped(*p.of(c), at) })
		}
	}
	for name, of := range map[string]func(*exchange.Case) *[]evidence.Signed{
		"roster": func(c *exchange.Case) *[]evidence.Signed { return &c.Rosters },
		"act":    func(c *exchange.Case) *[]evidence.Signed { return &c.Acts },
	} {
		for n, s := range *of(honest) {
			for _, at := range spots(s.Body, 8) {
				try(fmt.Sprintf("%s %d, byte %d", name, n, at), true, true, func(c *exchange.Case) { signed(of(c), n, at, false) })
			}
			for _, at := range spots(s.Signature, 8)[1:7] {
				if s.Signature[at] != '\n' {
					try(fmt.Sprintf("%s %d, byte %d of its signature", name, n, at), true, true, func(c *exchange.Case) { signed(of(c), n, at, true) })
				}
			}
		}
	}
	for n := range honest.Frozen {
		try(fmt.Sprintf("frozen table %d", n), false, true, func(c *exchange.Case) {
			frozen := append([][]byte(nil), c.Frozen...)
			frozen[n] = flipped(frozen[n], len(frozen[n])/2)
			c.Frozen = frozen
		})
	}
	t.Logf("%d changes", tried)
	if slots, err := r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(slots) > 0 {
		t.Errorf("%d chunks were sealed meanwhile, %v", len(slots), err)
	}
	lock.change = nil
	if _, err := source.Read(t.Context(), roomtest.Migration, 0, nil); err != nil {
		t.Errorf("the papers as they are: %v", err)
	}
	if v, err := target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil); err != nil || !v.Statement.Compared.Equal {
		t.Errorf("the papers as they are: %v", err)
	}
}

// TestMissingSignatures: what a gate is not shown was not signed.
func TestMissingSignatures(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	if _, err := r.BeginLoading(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	lock := &hostile{Lock: r.Lock()}
	source, target := gates(t, d, lock)
	honest, err := r.Lock().Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	without := func(all []evidence.Signed, n int) []evidence.Signed {
		return append(append([]evidence.Signed(nil), all[:n]...), all[n+1:]...)
	}
	needed := map[string]int{}
	for n, s := range honest.Acts {
		act, err := evidence.ParseAct(s.Body)
		if err != nil {
			t.Fatal(err)
		}
		lock.change = func(c *exchange.Case) { c.Acts = without(c.Acts, n) }
		switch kind := act.Clauses[0].Kind; kind {
		case evidence.KindMapping: // stands in the load plan, which the controller approves
		case evidence.KindLoadPlan:
			_, err = target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
			needed[kind]++
			wantError(t, err, ecluse.WaitsForSign)
		default:
			_, err = source.Read(t.Context(), roomtest.Migration, 0, nil)
			needed[kind]++
			wantError(t, err, ecluse.WaitsForSign)
		}
	}
	if needed[evidence.KindContract] != 2 || needed[evidence.KindInstruction] != 1 || needed[evidence.KindReadPlan] != 1 || needed[evidence.KindLoadPlan] != 1 {
		t.Errorf("needed %v", needed)
	}
	lock.change = func(c *exchange.Case) { c.Rosters = without(c.Rosters, 0) }
	if _, err := source.Read(t.Context(), roomtest.Migration, 0, nil); err == nil {
		t.Error("read without the controller's roster")
	}
}

// TestOldRoster: a roster of a lower number than a gate, or the lock, has seen is
// refused; and so is one that has expired, or that another root signed.
func TestOldRoster(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := d.Open()
	roster := string(d.Read("roster-controller.yaml"))
	next := strings.Replace(roster, "number: 1", "number: 2", 1)
	add := func(text, by string) error {
		_, err := r.AddRoster(t.Context(), "roster.yaml", []byte(text), d.Key(by))
		return err
	}
	wantError(t, add(next, "root-processor"), ecluse.Refused)
	wantError(t, add(next, roomtest.Claire), ecluse.Refused)
	past := time.Now().Add(-48 * time.Hour).UTC().Format(time.RFC3339)
	expired := replaceLine(replaceLine(next, "issued: ", past), "expires: ", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339))
	wantError(t, add(expired, "root-controller"), ecluse.Refused)
	for range 2 { // again, the one in force is as it was
		if err := add(next, "root-controller"); err != nil {
			t.Fatal(err)
		}
	}
	wantError(t, add(next+"# another\n", "root-controller"), ecluse.Refused)
	wantError(t, add(roster, "root-controller"), ecluse.Refused)

	// A lock that hides number 2 from a gate that has seen it.
	lock := &hostile{Lock: r.Lock()}
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	source, _ := gates(t, d, lock)
	if _, err := source.Read(t.Context(), roomtest.Migration, 0, nil); err != nil {
		t.Fatal(err)
	}
	lock.change = func(c *exchange.Case) {
		var old []evidence.Signed
		for _, s := range c.Rosters {
			if !strings.Contains(string(s.Body), "number: 2") {
				old = append(old, s)
			}
		}
		c.Rosters = old
	}
	_, err := source.Read(t.Context(), roomtest.Migration, 0, nil)
	wantError(t, err, ecluse.Refused)
}

func replaceLine(text, begins, with string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, begins) {
			lines[i] = begins + with
		}
	}
	return strings.Join(lines, "\n")
}

// TestWrongSigner: an act of the wrong party, role, or the same person twice, is
// refused and leaves nothing behind.
func TestWrongSigner(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 3)
	r := d.Open()
	readPlan := d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json")
	acts := func() int { return len(d.Query("room/lock/control.db", "SELECT digest FROM act")) }
	before := acts()
	sign := func(name, who string) error {
		_, err := r.Sign(t.Context(), desk.SignRequest{File: d.Join(name), Text: d.Read(name), Key: d.Key(who)})
		return err
	}
	approve := func(text []byte, who string) error {
		_, err := r.Approve(t.Context(), text, d.Key(who))
		return err
	}
	for what, err := range map[string]error{
		"the controller approves the read plan a second time": approve(readPlan, roomtest.Claire),
		"the processor's signatory approves":                  approve(readPlan, roomtest.Julie),
		"the data-protection officer approves":                approve(readPlan, roomtest.Helene),
		"a root approves":                                     approve(readPlan, "root-processor"),
		"the processor signs the instruction":                 sign("instruction.yaml", roomtest.Julie),
		"an operator signs the contract":                      sign("contract.yaml", roomtest.Marc),
		"the data-protection officer signs the mapping":       sign("mapping.yaml", roomtest.Helene),
	} {
		if ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := approve(flipped(readPlan, len(readPlan)/2), roomtest.Marc); ecluse.KindOf(err) != ecluse.Differs && ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a plan changed by one byte: %v", err)
	}
	if n := acts(); n != before {
		t.Errorf("%d acts were recorded", n-before)
	}
	if err := approve(readPlan, roomtest.Marc); err != nil {
		t.Fatal(err)
	}
	err := approve(readPlan, roomtest.Marc)
	wantError(t, err, ecluse.Refused)
	_, err = r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, Plan: flipped(readPlan, 20)})
	wantError(t, err, ecluse.Differs)
}

// TestSourceChanged: an instructed column or key that changed since the approval
// stops the reading; a column that came is refused and reported.
func TestSourceChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql   string
		kinds []ecluse.Kind // none: it goes on
	}{
		"an instructed column renamed":      {"ALTER TABLE PATIENT RENAME COLUMN NIR TO NUMSECU", []ecluse.Kind{ecluse.Differs}},
		"a column that filters renamed":     {"ALTER TABLE DEMANDE RENAME COLUMN SAISIE TO SAISI", []ecluse.Kind{ecluse.Differs}},
		"a table gone":                      {"DROP TABLE PRESCRIPTEUR", []ecluse.Kind{ecluse.Differs}},
		"a column that came":                {"ALTER TABLE PATIENT ADD COLUMN EMPREINTE TEXT DEFAULT 'x'", nil},
		"a column not instructed that left": {"ALTER TABLE DEMANDE DROP COLUMN COMMENT", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Ready, 40)
			c.sql = strings.Replace(c.sql, "COMMENT", lastColumn(d, "DEMANDE"), 1)
			d.Exec("ancilab.db", c.sql)
			r := d.Open()
			_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			if c.kinds == nil {
				if err != nil {
					t.Fatal(err)
				}
				if facts, _ := d.Facts(); facts != loadedFacts(t, 40) {
					t.Error("other rows than from the source as it was")
				}
				return
			}
			wantError(t, err, c.kinds...)
			if slots, err := r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(slots) > 0 {
				t.Errorf("%d chunks were sealed, %v", len(slots), err)
			}
		})
	}
}

func lastColumn(d *roomtest.Dir, table string) string {
	all := d.Query("ancilab.db", "SELECT name FROM pragma_table_info('"+table+"') ORDER BY cid DESC LIMIT 1")
	return all[0]
}

// TestSourceGone: a source that cannot be opened, or is no database.
func TestSourceGone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(d *roomtest.Dir){
		"gone":           func(d *roomtest.Dir) { d.Query("ancilab.db", "SELECT 1"); os.Remove(d.Join("ancilab.db")) },
		"not a database": func(d *roomtest.Dir) { d.Write([]byte(strings.Repeat("nothing ", 1000)), "ancilab.db") },
	} {
		d := roomtest.At(t, roomtest.Ready, 3)
		spoil(d)
		r := d.Open()
		_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
		wantError(t, err, ecluse.Failed, ecluse.Invalid, ecluse.Refused, ecluse.Differs)
		t.Log(name, err)
	}
}

// TestTargetRefusesARow: a row that the target does not take is put aside with
// the constraint's name and no value, and needs a disposition like any other.
func TestTargetRefusesARow(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 40)
	d.Exec("novalab.db", `INSERT INTO prescriber (id, code, name) VALUES (3, 'DÉJÀ LÀ', 'Dr DÉJÀ LÀ')`)
	r := d.Open()
	v := apply(t, r, ecluse.Final)
	if v.RowsRejected == 0 {
		t.Fatal("no row was put aside")
	}
	reasons := 0
	for _, g := range v.Load.Compared.Rejected {
		t.Log(g.Dataset, g.By, g.Count)
		if strings.Contains(g.By, "prescriber") {
			reasons++
		}
		if strings.Contains(g.By, "DÉJÀ") {
			t.Errorf("a reason holds a value: %s", g.By)
		}
	}
	if reasons == 0 || !v.Reconciled {
		t.Errorf("equal %v, reasons %+v", v.Reconciled, v.Load.Compared.Rejected)
	}
	for _, table := range v.Load.Compared.Tables {
		if table.Table.Name == "prescriber" && table.Before != 1 {
			t.Errorf("the row that stood there before: %+v", table)
		}
	}
	_, err := r.Accept(t.Context(), desk.AcceptRequest{Key: d.Key(roomtest.Claire)})
	wantError(t, err, ecluse.Refused)
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Key: d.Key(roomtest.Marc)}); err != nil {
		t.Fatal(err)
	}
	if left := d.Query("novalab.db", "SELECT code FROM prescriber"); len(left) != 1 || left[0] != "DÉJÀ LÀ" {
		t.Errorf("after undoing %d prescribers are left", len(left))
	}
}

// TestTargetReadOnly: a target whose file may not be written (SQLite refuses to
// write a file of a later write version, whoever asks).
func TestTargetReadOnly(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 3)
	d.Exec("novalab.db", "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode = DELETE")
	text := d.Read("novalab.db")
	version := text[18]
	text[18] = 3
	d.Write(text, "novalab.db")
	r := d.Open()
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.Refused, ecluse.Failed)
	t.Log(err)
	text[18] = version
	d.Write(text, "novalab.db")
	if v := apply(t, r, ecluse.Final); !v.Reconciled {
		t.Error("not equal once it may be written")
	}
}

// TestLedger: a gate without its ledger, with a damaged one, or with one put back
// from an older copy, opens nothing.
func TestLedger(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"source", "target"} {
		for name, spoil := range map[string]func(ledger string) error{
			"missing": os.Remove,
			"damaged": func(ledger string) error { return os.WriteFile(ledger, []byte(`{"roots":`), 0o600) },
			"emptied": func(ledger string) error { return os.WriteFile(ledger, nil, 0o600) },
		} {
			d := roomtest.At(t, roomtest.Sealed, 3)
			if err := spoil(d.Join("room", part, "ledger.json")); err != nil {
				t.Fatal(err)
			}
			_, err := app.Open(t.Context(), d.Join("room"))
			if ecluse.KindOf(err) != ecluse.Refused {
				t.Errorf("%s ledger %s: %v", part, name, err)
			}
		}
		// Put back: the reading goes on under a new epoch, or the load begins, with a
		// ledger from before.
		d := roomtest.At(t, roomtest.Sealed, 3)
		old := roomtest.At(t, roomtest.Ready, 3).Read("room", part, "ledger.json")
		d.Write(old, "room", part, "ledger.json")
		r := d.Open()
		if part == "source" {
			d.Exec("room/lock/control.db", "UPDATE migration SET state = 'reading'")
			if err := os.Remove(d.Join("room", "lock", "chamber", "live", string(roomtest.Migration), "manifest")); err != nil {
				t.Fatal(err)
			}
		}
		_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
		wantError(t, err, ecluse.Refused)
		if err == nil || !strings.Contains(err.Error(), "older copy") {
			t.Errorf("%s: %v", part, err)
		}
		if _, err := r.Erase(t.Context(), desk.Order{Because: "the gate was put back", Key: d.Key(roomtest.Claire)}); err != nil {
			t.Errorf("%s: erasing is refused too: %v", part, err)
		}
		nothingLeft(t, d)
	}
}

// TestGateKey: a gate whose key was exchanged is another gate: nothing is asked of
// it, nobody waits for ever for the one there was, and what it does unasked is
// refused.
func TestGateKey(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"source", "target"} {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			gateKey(t, part)
		})
	}
}

func gateKey(t *testing.T, part string) {
	t.Helper()
	d := roomtest.At(t, roomtest.Ready, 3)
	d.Write(roomtest.At(t, roomtest.Ready, 3).Read("keys", "marc-tissot"), "room", part, "gate_key")
	r := d.Open()
	_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
	wantError(t, err, ecluse.Failed)
	if !errors.Is(err, exchange.ErrAway) {
		t.Errorf("%v, want it to say that the gate is away", err)
	}
	source, err := app.Source(d.Join("room", "source"), r.Lock())
	if err != nil {
		t.Fatal(err)
	}
	target, err := app.Target(d.Join("room", "target"), r.Lock())
	if err != nil {
		t.Fatal(err)
	}
	if part == "source" {
		_, err = source.Read(t.Context(), roomtest.Migration, 0, nil)
	} else {
		_, err = target.Load(t.Context(), roomtest.Migration, ecluse.Passage{Kind: ecluse.Final, Number: 1}, 0, nil)
	}
	if kind := ecluse.KindOf(err); kind != ecluse.Refused && kind != ecluse.Unverified {
		t.Errorf("unasked: %v", err)
	}
	if facts, _ := d.Facts(); facts != emptyFacts(t) {
		t.Error("rows were loaded")
	}
	d.Write([]byte("no key"), "room", part, "gate_key")
	_, err = app.Open(t.Context(), d.Join("room"))
	if ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a damaged key: %v", err)
	}
}

func emptyFacts(t *testing.T) string {
	t.Helper()
	facts, _ := roomtest.At(t, roomtest.Ready, 3).Facts()
	return facts
}

// seenLater makes the clocks of both gates and of the lock have seen a time an
// hour on: the machine's clock stands set back.
func seenLater(d *roomtest.Dir, parts ...string) {
	d.Helper()
	for _, part := range parts {
		if part == "lock" {
			d.Exec("room/lock/control.db", fmt.Sprintf("UPDATE clock SET high = %d", time.Now().Add(time.Hour).UnixMilli()))
			continue
		}
		d.Seen(time.Now().Add(time.Hour), part)
	}
}

// TestClockSetBack: neither lock nor gate goes on when the clock stands before a
// time already seen, and no deadline moves for it.
func TestClockSetBack(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"source", "target"} {
		d := roomtest.At(t, roomtest.Ready, 3)
		seenLater(d, part)
		r := d.Open()
		_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
		wantError(t, err, ecluse.Refused)
		if err == nil || !strings.Contains(err.Error(), "already been") {
			t.Errorf("%s: %v", part, err)
		}
	}
	d := roomtest.At(t, roomtest.Ready, 3)
	seenLater(d, "lock")
	r := d.Open()
	_, err := r.Due(t.Context())
	wantError(t, err, ecluse.Refused)
	all, err := r.Status(t.Context(), roomtest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(all[0].EraseBy); left < 29*24*time.Hour || left > 32*24*time.Hour {
		t.Errorf("the deadline is in %s", left)
	}
	// A deadline reached while every clock is set back is kept all the same: what
	// was loaded and not accepted goes, and the keys, whatever was last seen where.
	for _, c := range []struct {
		stage roomtest.Stage
		parts []string
	}{
		{roomtest.Ready, []string{"lock", "source", "target"}},
		{roomtest.Loaded, []string{"lock", "source", "target"}},
		{roomtest.Loaded, []string{"source"}},
		{roomtest.Loaded, []string{"target"}},
		{roomtest.Accepted, []string{"lock", "source", "target"}},
	} {
		d := roomtest.At(t, c.stage, 3)
		seenLater(d, c.parts...)
		isDue(d, "erase")
		r := d.Open()
		v, err := r.Due(t.Context())
		if c.parts[0] == "lock" {
			wantError(t, err, ecluse.Refused)
		} else if err != nil || len(v.Failed) > 0 {
			t.Errorf("stage %d, %v: %+v, %v", c.stage, c.parts, v, err)
		}
		if p := place(t, r); p.Migration != procedure.Erased {
			t.Errorf("stage %d: clocks set back of %v kept data: %+v", c.stage, c.parts, p)
		}
		nothingLeft(t, d)
		if facts, _ := d.Facts(); c.stage != roomtest.Accepted && facts != emptyFacts(t) {
			t.Errorf("stage %d, %v: what was not accepted is still in the target", c.stage, c.parts)
		}
	}
}

// TestDocumentsChangedOnDisk: the lock notices that what it keeps was changed.
func TestDocumentsChangedOnDisk(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	docs, err := os.ReadDir(d.Join("room", "lock", "documents"))
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, e := range docs {
		path := filepath.Join(d.Join("room", "lock", "documents"), e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, flipped(text, len(text)/2), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := app.Open(t.Context(), d.Join("room"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final}); err == nil {
			t.Fatalf("%s was changed and nobody noticed", e.Name())
		} else if ecluse.KindOf(err) == ecluse.Unverified {
			changed++
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d documents, %d seen as changed", len(docs), changed)
	if changed < len(docs)/2 {
		t.Errorf("of %d documents %d were seen as changed", len(docs), changed)
	}
}
