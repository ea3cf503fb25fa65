package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
)

// lying is a lock that shows another case than stands.
type lying struct {
	gate.Lock
	change func(*exchange.Case)
}

func (l lying) Case(ctx context.Context, m ecluse.MigrationID, k ecluse.PassageKind) (*exchange.Case, error) {
	c, err := l.Lock.Case(ctx, m, k)
	if err == nil && l.change != nil {
		l.change(c)
	}
	return c, err
}

// ordered is an act on the room's migration that claims to be a person's.
func ordered(t *testing.T, d *roomtest.Dir, c *exchange.Case, person, key string, role ecluse.Role, m ecluse.MigrationID, clause evidence.Clause, from time.Time) evidence.Signed {
	t.Helper()
	for _, s := range c.Rosters {
		r, err := evidence.ParseRoster("roster", s.Body)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.Holder(evidence.FingerprintOf(d.Key(person).PublicKey())); !ok {
			continue
		}
		from = from.UTC().Truncate(time.Second)
		signed, err := evidence.SignAct(d.Key(key), &evidence.Act{
			Migration: m, Side: r.Side, Person: person, Role: role, Roster: r.Digest(), RosterNumber: r.Number,
			NotBefore: from, NotAfter: from.Add(time.Hour), Nonce: evidence.NewNonce(), Clauses: []evidence.Clause{clause},
		})
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	t.Fatalf("no roster has %s", person)
	return evidence.Signed{}
}

func erase(t *testing.T, r *app.Room, at exchange.Place, change func(*exchange.Case)) error {
	t.Helper()
	w := exchange.Work{Verb: exchange.Erase, Migration: roomtest.Migration}
	_, err := r.HomeOf(at).Work(t.Context(), lying{r.Seat(at), change}, w, at)
	return err
}

// TestEraseNeedsAGround: a lock's asking destroys nothing, and no lie is a ground.
func TestEraseNeedsAGround(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 3)
	r := d.Open()
	standing, err := r.Seat(exchange.SourcePlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	order := evidence.Clause{Verb: evidence.VerbErase, Kind: evidence.KindMigration, Subject: ecluse.DigestOf(standing.Instruction)}
	accept := evidence.Clause{Verb: evidence.VerbAccept, Kind: evidence.KindReport, Subject: ecluse.DigestOf([]byte("report"))}
	now := time.Now()
	with := func(person, key string, role ecluse.Role, m ecluse.MigrationID, c evidence.Clause, from time.Time) func(*exchange.Case) {
		s := ordered(t, d, standing, person, key, role, m, c, from)
		return func(c *exchange.Case) { c.Acts = append(c.Acts, s) }
	}
	lies := map[string]func(*exchange.Case){
		"nothing but the asking":      nil,
		"forged order":                with(roomtest.Claire, roomtest.Marc, ecluse.Signatory, roomtest.Migration, order, now),
		"order by the processor":      with(roomtest.Julie, roomtest.Julie, ecluse.Signatory, roomtest.Migration, order, now),
		"order of another migration":  with(roomtest.Claire, roomtest.Claire, ecluse.Signatory, "quatre-vents-02", order, now),
		"order to come":               with(roomtest.Claire, roomtest.Claire, ecluse.Signatory, roomtest.Migration, order, now.Add(time.Hour)),
		"acceptance by the DPO":       with(roomtest.Helene, roomtest.Helene, ecluse.DPO, roomtest.Migration, accept, now),
		"acceptance by the processor": with(roomtest.Julie, roomtest.Julie, ecluse.Signatory, roomtest.Migration, accept, now),
		"order without its roster": func(c *exchange.Case) {
			with(roomtest.Claire, roomtest.Claire, ecluse.Signatory, roomtest.Migration, order, now)(c)
			c.Rosters = nil
		},
		"another deadline":             func(c *exchange.Case) { c.Instruction = earlier(t, c.Instruction) },
		"another migration's contract": func(c *exchange.Case) { c.Contract = []byte("ecluse: contract/v1\n") },
	}
	for name, lie := range lies {
		for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
			if err := erase(t, r, at, lie); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "destroy this gate's half of the key") {
				t.Errorf("%s, %s: %v", name, at, err)
			}
			if !r.HomeOf(at).Holds(roomtest.Migration) {
				t.Fatalf("%s: the %s gate destroyed its half", name, at)
			}
		}
	}
	for at, ground := range map[exchange.Place]func(*exchange.Case){
		exchange.SourcePlace: with(roomtest.Helene, roomtest.Helene, ecluse.DPO, roomtest.Migration, order, now),
		exchange.TargetPlace: with(roomtest.Claire, roomtest.Claire, ecluse.Signatory, roomtest.Migration, order, now),
	} {
		if err := erase(t, r, at, ground); err != nil {
			t.Errorf("%s, ordered by the controller: %v", at, err)
		}
		if r.HomeOf(at).Holds(roomtest.Migration) {
			t.Errorf("%s: still there", at)
		}
		if err := erase(t, r, at, nil); err != nil { // again says the same
			t.Errorf("%s, again: %v", at, err)
		}
	}
}

// earlier is an instruction with a deadline that has passed.
func earlier(t *testing.T, text []byte) []byte {
	t.Helper()
	i, err := mandate.ParseInstruction("instruction", text)
	if err != nil {
		t.Fatal(err)
	}
	day := i.EraseBy.Format("2006-01-02")
	other := bytes.ReplaceAll(text, []byte(day), []byte("2026-01-02"))
	if bytes.Equal(other, text) {
		t.Fatalf("no %s in the instruction", day)
	}
	return other
}

// TestEraseGrounds: acceptance, the deadline by the gate's own clock, and that nothing
// began here.
func TestEraseGrounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		stage roomtest.Stage
		late  bool
		lie   func(*exchange.Case)
	}{
		"accepted":                     {roomtest.Accepted, false, nil},
		"late":                         {roomtest.Loaded, true, nil},
		"late, and the lock hides why": {roomtest.Loaded, true, func(c *exchange.Case) { c.Acts, c.Rosters = nil, nil }},
		"nothing began":                {roomtest.Ready, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, c.stage, 3)
			if c.late {
				d.Late()
			}
			r := d.Open()
			for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
				if err := erase(t, r, at, c.lie); err != nil {
					t.Errorf("%s: %v", at, err)
				}
			}
		})
	}
}

// TestAcceptedStays: what the controller accepted is not taken out because a lock asks,
// nor when it hides the acceptance later; what nobody accepted is not let go of.
func TestAcceptedStays(t *testing.T) {
	t.Parallel()
	final := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	d := roomtest.At(t, roomtest.Loaded, 3)
	r := d.Open()
	target, err := app.Target(d.Join("room", "target"), r.Seat(exchange.TargetPlace))
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if err := target.Keep(t.Context(), roomtest.Migration, final); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "no acceptance") {
		t.Errorf("let go of what nobody accepted: %v", err)
	}

	d = roomtest.At(t, roomtest.Accepted, 3)
	r = d.Open()
	_, rows := d.Facts()
	hides := &lying{Lock: r.Seat(exchange.TargetPlace)}
	if target, err = app.Target(d.Join("room", "target"), hides); err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	for range 2 {
		if _, err := target.Undo(t.Context(), roomtest.Migration, final, nil); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "has accepted the load") {
			t.Errorf("taken out after acceptance: %v", err)
		}
		hides.change = func(c *exchange.Case) { c.Acts = nil }
	}
	if _, left := d.Facts(); left != rows || rows == 0 {
		t.Errorf("%d rows of %d are left", left, rows)
	}
}

// TestLiveIsNotTakenOut: the gate lets no lock take out what the controller said go of, before
// somebody who may ordered it, whoever else did.
func TestLiveIsNotTakenOut(t *testing.T) {
	t.Parallel()
	final := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	d := roomtest.At(t, roomtest.Loaded, 3)
	r := d.Open()
	if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	standing, err := r.Seat(exchange.TargetPlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	refuse := evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(standing.LoadPlan)}
	show := func(person, key string, role ecluse.Role) func(*exchange.Case) {
		s := ordered(t, d, standing, person, key, role, roomtest.Migration, refuse, time.Now())
		return func(c *exchange.Case) { c.Acts = append(c.Acts, s) }
	}
	lock := &lying{Lock: r.Seat(exchange.TargetPlace)}
	target, err := app.Target(d.Join("room", "target"), lock)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	_, rows := d.Facts()
	for name, change := range map[string]func(*exchange.Case){
		"nobody's order": nil, "forged": show(roomtest.Claire, roomtest.Marc, ecluse.Signatory), "the data-protection officer's": show(roomtest.Helene, roomtest.Helene, ecluse.DPO),
		"an operator's": show(roomtest.Marc, roomtest.Marc, ecluse.Operator), "the processor's signatory's": show(roomtest.Julie, roomtest.Julie, ecluse.Signatory),
	} {
		lock.change = change
		if _, err := target.Undo(t.Context(), roomtest.Migration, final, nil); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "works in it since") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, left := d.Facts(); left != rows || rows == 0 {
		t.Errorf("%d rows of %d are left", left, rows)
	}

	// Nor does it sign that one is in use that it took out, or never loaded.
	if _, err := r.Undo(t.Context(), desk.UndoRequest{Because: "results are printed twice", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Erase(t.Context(), desk.Order{Because: "the night is over", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
	for _, p := range []ecluse.Passage{final, {Kind: ecluse.Final, Number: 2}} {
		var c evidence.Certificate
		if err := json.Unmarshal(d.Read("evidence", evidence.FileCertificate), &c); err != nil {
			t.Fatal(err)
		}
		c.Outcome, c.InUse = evidence.InUse, &evidence.InUsePassage{Passage: p, Act: ecluse.DigestOf(nil)}
		if _, err := r.HomeOf(exchange.TargetPlace).Certify(roomtest.Migration, exchange.TargetPlace, &c); ecluse.KindOf(err) != ecluse.Unverified || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: signed, or %v", p, err)
		}
	}
}

// TestHiddenGo: a go that the target gate saw it keeps, whatever the lock shows later, to the
// deadline and beyond; and where it was shown none, nothing that it reported is taken out
// without an order that verifies, before all is over by its own clock.
func TestHiddenGo(t *testing.T) {
	t.Parallel()
	final := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	for name, x := range map[string]struct {
		goes, late bool
		refused    string // empty: taken out
	}{
		"shown, then hidden":                 {true, false, "works in it since"},
		"shown, then hidden, and it is late": {true, true, "works in it since"},
		"never shown":                        {false, false, "nobody who may ordered it undone"},
		"never shown, and it is late":        {false, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Loaded, 3)
			r := d.Open()
			if x.goes {
				if _, err := r.Go(t.Context(), desk.GoRequest{Key: d.Key(roomtest.Claire)}); err != nil {
					t.Fatal(err)
				}
				for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					page, err := r.HomeOf(exchange.TargetPlace).Entry(roomtest.Migration)
					if err != nil || time.Now().After(end) {
						t.Fatalf("the gate saw no go: %v", err)
					}
					if !page.Live[final.String()].Act.IsZero() {
						break
					}
				}
			}
			if x.late {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
				d.Late()
				r = d.Open()
			}
			standing, err := r.Seat(exchange.TargetPlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
			if err != nil {
				t.Fatal(err)
			}
			lock := &lying{Lock: r.Seat(exchange.TargetPlace), change: func(c *exchange.Case) { c.Acts = nil }}
			target, err := app.Target(d.Join("room", "target"), lock)
			if err != nil {
				t.Fatal(err)
			}
			defer target.Close()
			_, rows := d.Facts()
			_, err = target.Undo(t.Context(), roomtest.Migration, final, nil)
			if x.refused == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), x.refused) {
				t.Errorf("%v", err)
			}
			if _, left := d.Facts(); left != rows || rows == 0 {
				t.Errorf("%d rows of %d are left", left, rows)
			}

			refuse := evidence.Clause{Verb: evidence.VerbRefuse, Kind: evidence.KindLoadPlan, Subject: ecluse.DigestOf(standing.LoadPlan)}
			order := ordered(t, d, standing, roomtest.Marc, roomtest.Marc, ecluse.Operator, roomtest.Migration, refuse, time.Now())
			lock.change = func(c *exchange.Case) { c.Acts = []evidence.Signed{order} }
			if x.goes { // from a go on it takes somebody who could say one
				if _, err := target.Undo(t.Context(), roomtest.Migration, final, nil); ecluse.KindOf(err) != ecluse.Refused {
					t.Errorf("ordered by an operator: %v", err)
				}
				order = ordered(t, d, standing, roomtest.Claire, roomtest.Claire, ecluse.Signatory, roomtest.Migration, refuse, time.Now())
			}
			if x.late { // years later nobody is on a roster any more
				return
			}
			if _, err := target.Undo(t.Context(), roomtest.Migration, final, nil); err != nil {
				t.Errorf("ordered: %v", err)
			}
		})
	}
}

// TestContractEndIsAGround: by the words of a contract that the instruction names.
func TestContractEndIsAGround(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)
	e := mandate.Ending{Deadline: at.AddDate(0, 0, 30), Contract: at}
	if got := e.Over(at.Add(-time.Second)); got != "" {
		t.Errorf("a second before: %q", got)
	}
	if got := e.Over(at); got != evidence.ByContractEnd {
		t.Errorf("at its end: %q", got)
	}
	if got := (mandate.Ending{}).Over(at); got != "" {
		t.Errorf("nothing verifies: %q", got)
	}
}

// TestStruckOffErasesNothing: an order that somebody backdated after the roster struck them off
// destroys nothing at a gate, one by somebody who is on it does.
func TestStruckOffErasesNothing(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Loaded, 3)
	r := d.Open()
	line := func(k ssh.Signer) string { return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.PublicKey()))) }
	first, err := evidence.ParseRoster("roster", d.Read("roster-controller.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	from := first.Issued
	struck := from.Add(time.Second)
	time.Sleep(time.Until(struck))
	next := strings.Replace(string(d.Read("roster-controller.yaml")), "number: 1", "number: 2", 1)
	next = strings.Replace(next, line(d.Key(roomtest.Claire)), line(stranger(t)), 1)
	next = regexp.MustCompile(`(?m)^issued: .*$`).ReplaceAllString(next, "issued: "+struck.UTC().Format(time.RFC3339))
	standing, err := r.Seat(exchange.SourcePlace).Case(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddRoster(t.Context(), "roster.yaml", []byte(next), d.Key("root-controller")); err != nil {
		t.Fatal(err)
	}
	order := evidence.Clause{Verb: evidence.VerbErase, Kind: evidence.KindMigration, Subject: ecluse.DigestOf(standing.Instruction)}
	accept := evidence.Clause{Verb: evidence.VerbAccept, Kind: evidence.KindReport, Subject: ecluse.DigestOf([]byte("report"))}
	for _, c := range []evidence.Clause{order, accept} {
		s := ordered(t, d, standing, roomtest.Claire, roomtest.Claire, ecluse.Signatory, roomtest.Migration, c, from)
		for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
			err := erase(t, r, at, func(x *exchange.Case) { x.Acts = append(x.Acts, s) })
			if ecluse.KindOf(err) != ecluse.Refused || !r.HomeOf(at).Holds(roomtest.Migration) {
				t.Errorf("%s, %s gate: %v", c.Verb, at, err)
			}
		}
	}
	s := ordered(t, d, standing, roomtest.Helene, roomtest.Helene, ecluse.DPO, roomtest.Migration, order, from)
	if err := erase(t, r, exchange.SourcePlace, func(x *exchange.Case) { x.Acts = append(x.Acts, s) }); err != nil {
		t.Errorf("ordered by somebody who is on the roster: %v", err)
	}
}
