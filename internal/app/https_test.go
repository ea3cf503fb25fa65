package app_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/api"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/client"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/gate/locktest"
	"ecluse/internal/nettest"
	"ecluse/internal/wire"
	"ecluse/internal/wire/wiretest"
)

// served is a server in this process over real TLS, of rooms as laboratories.
type served struct {
	URL string
	Pin wire.Pin
	API *api.Server
}

// fromNetwork is the header by which a test says from where a request comes.
const fromNetwork = "Test-From"

// serveLabs serves laboratories until the test ends.
func serveLabs(t *testing.T, labs func(pin wire.Pin) []api.Lab) *served {
	t.Helper()
	s := &served{}
	s.URL, s.Pin = wiretest.Serve(t, roomtest.Temp(t), func(pin wire.Pin) http.Handler {
		var err error
		if s.API, err = api.New(api.Options{Labs: labs(pin), Version: "test"}); err != nil {
			t.Fatal(err)
		}
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if from := r.Header.Get(fromNetwork); from != "" {
				r.RemoteAddr = from
			}
			s.API.ServeHTTP(rw, r)
		})
	})
	return s
}

// gate is the lock as a gate sees it through the server.
func (s *served) gate(t *testing.T, lab string, key ssh.Signer) *client.Gate {
	t.Helper()
	g, err := client.NewGate(client.Options{Options: wire.Options{Pin: s.Pin, Gate: key}, Server: s.URL, Laboratory: lab})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Disconnect)
	return g
}

// TestLockOverHTTPS holds the lock behind a server against what gates rely on: the
// same suite as the lock in this process.
func TestLockOverHTTPS(t *testing.T) {
	t.Parallel()
	locktest.Run(t, func(t *testing.T, at locktest.State) *locktest.Case {
		t.Helper()
		c, r := lockCase(t, at)
		s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
		c.Lock, c.AtTarget = s.gate(t, "room", c.Source), s.gate(t, "room", c.Target)
		return c
	})
}

// desk is a person's machine that reaches the server, as a key's owner when no other is
// named.
func (s *served) desk(t *testing.T, d *roomtest.Dir, lab, who string) *desk.Desk {
	t.Helper()
	o := client.Options{Options: wire.Options{Pin: s.Pin}, Server: s.URL, Laboratory: lab}
	return desk.New(func(ctx context.Context, key ssh.Signer) (desk.Lock, error) {
		if key == nil {
			key = d.Key(who)
		}
		return client.LogIn(ctx, o, key, nil)
	}, d.Join("room", "plans"), func(ctx context.Context, signed evidence.Signed) (*exchange.RosterReceipt, error) {
		return client.TakeRoster(ctx, o, signed)
	}).Trust(map[ecluse.Side]ecluse.Fingerprint{
		ecluse.Controller: evidence.FingerprintOf(d.Key("root-controller").PublicKey()),
		ecluse.Processor:  evidence.FingerprintOf(d.Key("root-processor").PublicKey()),
	}, "")
}

// TestMigrationOverHTTPS: from approval to evidence with a server between the parts.
func TestMigrationOverHTTPS(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 40)
	r := d.Open()
	s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
	stop := r.Elsewhere(t.Context(), func(_ exchange.Place, key ssh.Signer) gate.Lock { return s.gate(t, "room", key) })
	defer stop()
	s.migrate(t, d)
}

// TestMigrationOverRuralLine: the same with both gates behind 20 Mbit/s, 60 ms and one
// segment in a hundred lost, and a line that breaks in the middle.
func TestMigrationOverRuralLine(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Planned, 300)
	r := d.Open()
	s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
	relay := nettest.NewRelay(t.Context(), t, strings.TrimPrefix(s.URL, "https://"), nettest.Rural())
	far := *s
	far.URL = "https://" + relay.Addr()
	stop := r.Elsewhere(t.Context(), func(_ exchange.Place, key ssh.Signer) gate.Lock { return far.gate(t, "room", key) })
	defer stop()
	relay.ResetAfter(100 << 10)
	begun := time.Now()
	s.migrate(t, d)
	t.Logf("%s; over the line: %+v", time.Since(begun).Round(time.Millisecond), relay.Count())
}

// migrate goes from approval to evidence.
func (s *served) migrate(t *testing.T, d *roomtest.Dir) {
	t.Helper()
	marc, claire := s.desk(t, d, "room", roomtest.Marc), s.desk(t, d, "room", roomtest.Claire)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := marc.Approve(t.Context(), d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json"), d.Key(roomtest.Marc))
	must(err)
	p, err := marc.Plan(t.Context(), desk.PlanRequest{Passage: ecluse.Final})
	must(err)
	_, err = claire.Approve(t.Context(), p.Load.Bytes(), d.Key(roomtest.Claire))
	must(err)
	seen := map[string]bool{}
	v, err := marc.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, Watch: func(p exchange.Progress) { seen[p.Stage] = true }})
	must(err)
	if !v.Reconciled || v.RowsLoaded == 0 || len(seen) == 0 {
		t.Errorf("%+v, stages %v", v, seen)
	}
	_, err = claire.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)})
	must(err)
	due, err := marc.Due(t.Context())
	must(err)
	for _, f := range due.Failed {
		t.Errorf("%s: %s", f.What, f.Why)
	}
	e, err := claire.Evidence(t.Context(), "", d.Join("evidence"))
	must(err)
	if report := evidence.Verify(os.DirFS(e.Dir), d.Roots()); !report.OK() {
		t.Error(report.Text())
	}
}

// TestProbe: a gate measures its way to the lock.
func TestProbe(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Made, 3)
	r := d.Open()
	s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
	key := gateKeyOf(t, d, "source")
	relay := nettest.NewRelay(t.Context(), t, strings.TrimPrefix(s.URL, "https://"), nettest.Line{Rate: 4 << 20})
	s.URL = "https://" + relay.Addr()
	l, err := s.gate(t, "room", key).Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const want = 4 << 20 / 8
	if l.Up < want/4 || l.Up > want*4 || l.Down < want/4 || l.Down > want*4 || l.Local {
		t.Errorf("of a line of %d bytes a second it says %.0f up, %.0f down", want, l.Up, l.Down)
	}
}

// gateKeyOf is the key of a room's gate.
func gateKeyOf(t *testing.T, d *roomtest.Dir, part string) ssh.Signer {
	t.Helper()
	k, err := ssh.ParsePrivateKey(d.Read("room", part, "gate_key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
