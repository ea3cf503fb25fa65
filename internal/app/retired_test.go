package app_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/api"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/lock"
	"ecluse/internal/mandate"
	"ecluse/internal/wire"
	"ecluse/internal/words"
)

// enrolledAlone opens a room whose gates no console admitted: both are let in by their
// papers, which the controller confirmed.
func enrolledAlone(t *testing.T, d *roomtest.Dir) *app.Room {
	t.Helper()
	var settings map[string]any
	if err := json.Unmarshal(d.Read("room", "lock", "lock.json"), &settings); err != nil {
		t.Fatal(err)
	}
	delete(settings, "gates")
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	d.Write(text, "room", "lock", "lock.json")
	r := d.Open()
	for part, place := range map[string]evidence.Gate{"source": evidence.SourceGate, "target": evidence.TargetGate} {
		signed, g := paper(t, d, r.LockKey(), func(g *mandate.Gate) { g.Place = place }, gateKeyOf(t, d, part))
		if _, err := r.Enrol(t.Context(), signed); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ConfirmGate(t.Context(), desk.GateRequest{Gate: g.Gate, Roots: d.Roots(), Lock: r.LockKey(), Key: d.Key(roomtest.Claire)}, spoken(t, g, words.English)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func retire(t *testing.T, d *roomtest.Dir, r *app.Room, places ...exchange.Place) {
	t.Helper()
	for _, at := range places {
		q := desk.GateRequest{Gate: r.Gate(at), Roots: d.Roots(), Lock: r.LockKey(), Key: d.Key(roomtest.Julie)}
		if _, err := r.RetireGate(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRetiredGateErases: a gate that was retired destroys its half of the key over the
// network, says so, and is nobody on every route that does anything else.
func TestRetiredGateErases(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Accepted, 3)
	r := enrolledAlone(t, d)
	retire(t, d, r, exchange.SourcePlace, exchange.TargetPlace)
	s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })

	of := s.prober(t, gateKeyOf(t, d, "source"))
	w := idsOfLab{
		lab: "room", migration: string(roomtest.Migration), work: "none", session: "none",
		document: ecluse.DigestOf([]byte("x")).String(), sha256: ecluse.DigestOf([]byte("x")).String(),
	}
	refused, let := 0, 0
	for _, route := range s.API.Routes {
		if route.Identity != "gate" && route.Identity != "gate, retired too" && route.Identity != "person" || strings.HasSuffix(route.Path, "/gate/work") {
			continue
		}
		status, _, body := of.ask(t, route.Method, w.fill(route.Path), bodyOf(route, w))
		switch {
		case route.Identity == "gate, retired too" && status != http.StatusUnauthorized:
			let++
		case route.Identity != "gate, retired too" && status == http.StatusUnauthorized:
			refused++
		default:
			t.Errorf("%s %s: %d %s", route.Method, route.Path, status, body)
		}
	}
	if refused < 20 || let != 4 {
		t.Errorf("%d routes refuse a retired gate, %d let it in", refused, let)
	}
	statement, err := evidence.SignStatement(gateKeyOf(t, d, "source"), struct {
		evidence.StatementHead
	}{evidence.StatementHead{Format: "privileges/v1", Migration: roomtest.Migration}})
	if err != nil {
		t.Fatal(err)
	}
	source := s.gate(t, "room", gateKeyOf(t, d, "source"))
	for _, kind := range []exchange.Paper{exchange.RecipientPaper, exchange.PrivilegesBefore, exchange.PrivilegesAfter, exchange.ExtractReport, exchange.LoadReport} {
		if err := source.Post(t.Context(), roomtest.Migration, kind, statement); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "retired") {
			t.Errorf("a retired gate hands in %s: %v", kind, err)
		}
	}
	stop := r.Elsewhere(t.Context(), func(_ exchange.Place, key ssh.Signer) gate.Lock { return s.gate(t, "room", key) })
	defer stop()
	v, err := r.Due(t.Context())
	if err != nil || len(v.Failed) > 0 {
		t.Fatalf("%+v %v", v, err)
	}
	for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
		if r.HomeOf(at).Holds(roomtest.Migration) {
			t.Errorf("the %s gate still holds its half", at)
		}
	}
	certificates, err := r.Lock().Posted(t.Context(), roomtest.Migration, exchange.Certificate)
	if err != nil || len(certificates) != 2 {
		t.Errorf("%d certificates, %v", len(certificates), err)
	}
	// What needs it for anything else is told so at once.
	begun := time.Now()
	if _, err := r.Evidence(t.Context(), roomtest.Migration, d.Join("evidence")); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "it was retired") {
		t.Errorf("asked to sign evidence: %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("that took %s", took)
	}
}

// expiring is a context that ends when it has been asked so often whether it has.
type expiring struct {
	context.Context
	left *atomic.Int32
	end  context.CancelFunc
}

func (e expiring) Done() <-chan struct{} {
	if e.left.Add(-1) <= 0 {
		e.end()
	}
	return e.Context.Done()
}

func (e expiring) Err() error {
	e.Done()
	return e.Context.Err()
}

// TestRetiredGateAndHangingUp: whenever whoever asks first hangs up, a retired gate is not
// taken for nobody.
func TestRetiredGateAndHangingUp(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Accepted, 3)
	r := enrolledAlone(t, d)
	retire(t, d, r, exchange.SourcePlace)
	of := r.Gate(exchange.SourcePlace)
	if err := r.Close(); err != nil { // its gates ask too
		t.Fatal(err)
	}
	l, err := lock.Open(t.Context(), d.Join("room", "lock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	hung := 0
	for n := range int32(10_000) {
		ctx, end := context.WithCancel(t.Context())
		left := &atomic.Int32{}
		left.Store(n)
		s, err := l.Standing(expiring{ctx, left, end}, of)
		end()
		if err != nil {
			hung++
			continue
		}
		if s != lock.Leaving {
			t.Errorf("after %d questions it is %v", n, s)
		}
		break
	}
	if s, err := l.Standing(t.Context(), of); s != lock.Leaving || err != nil || hung < 5 {
		t.Errorf("in the end it is %v, %v; %d hung up", s, err, hung)
	}
}

// TestRetiredGateLendsNothing: what was asked of a gate ends when it is retired, and it
// is not asked for the release secret.
func TestRetiredGateLendsNothing(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 3)
	r := enrolledAlone(t, d)
	stop := r.Elsewhere(t.Context(), func(exchange.Place, ssh.Signer) gate.Lock { return nowhere{} })
	defer stop()
	p, err := r.As(t.Context(), d.Key(roomtest.Marc))
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Begin(t.Context(), roomtest.Migration, exchange.Beginning{Kind: ecluse.Final})
	if err != nil {
		t.Fatal(err)
	}
	retire(t, d, r, exchange.SourcePlace)
	v, err := p.Look(t.Context(), b.Read, 0)
	if err != nil || v.Answer == nil || ecluse.KindOf(v.Answer.Err()) != ecluse.Refused {
		t.Errorf("the reading that it had been asked for: %+v %v", v, err)
	}
	request, err := evidence.SignStatement(gateKeyOf(t, d, "target"), struct {
		evidence.StatementHead
	}{evidence.StatementHead{Format: "lease/v1", Migration: roomtest.Migration}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Seat(exchange.TargetPlace).Ask(t.Context(), roomtest.Migration, request); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "it was retired") {
		t.Errorf("asked to lend: %v", err)
	}
	if _, err := p.Begin(t.Context(), roomtest.Migration, exchange.Beginning{Kind: ecluse.Final}); err == nil {
		t.Error("a passage begins without its source gate")
	}
}
