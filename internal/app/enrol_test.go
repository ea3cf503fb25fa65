package app_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/mandate"
	"ecluse/internal/words"
)

// paper is what a gate says of itself, signed by a new key unless one is given.
func paper(t *testing.T, d *roomtest.Dir, lock ecluse.Fingerprint, change func(*mandate.Gate), key ...ssh.Signer) (evidence.Signed, *mandate.Gate) {
	t.Helper()
	var signer ssh.Signer
	if len(key) > 0 {
		signer = key[0]
	} else {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer, err = ssh.NewSignerFromSigner(private); err != nil {
			t.Fatal(err)
		}
	}
	g := &mandate.Gate{
		Format: mandate.GateFormat, Gate: evidence.FingerprintOf(signer.PublicKey()), Place: evidence.SourceGate,
		System: "MEGABUS 5", StandsAt: "Laboratoire des Quatre-Vents, Saumur", Lock: lock,
		Machine: mandate.Administrators{ecluse.Controller}, Database: mandate.Administrators{ecluse.Controller},
		Roots: mandate.GateRoots{Controller: d.Roots()[ecluse.Controller], Processor: d.Roots()[ecluse.Processor]},
		Made:  time.Now().UTC().Truncate(time.Second),
	}
	if change != nil {
		change(g)
	}
	signed, err := mandate.SignGate(signer, g)
	if err != nil {
		t.Fatal(err)
	}
	return signed, g
}

func spoken(t *testing.T, g *mandate.Gate, l words.Language) string {
	t.Helper()
	p, err := desk.GatePhrase(g)
	if err != nil {
		t.Fatal(err)
	}
	return p.Text(l)
}

// TestEnrolment: a gate has no right before the controller confirms it by its words,
// and none after either party retires it.
func TestEnrolment(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Contracted, 3)
	r := d.Open()
	ctx := t.Context()
	knows := func(want bool, g ecluse.Fingerprint) {
		t.Helper()
		if got, err := r.Knows(ctx, g); err != nil || got != want {
			t.Errorf("known: %v %v, want %v", got, err, want)
		}
	}
	signed, g := paper(t, d, r.LockKey(), nil)
	for range 2 { // again after a crash
		if key, err := r.Enrol(ctx, signed); err != nil || key != r.LockKey() {
			t.Fatal(key, err)
		}
	}
	knows(false, g.Gate)
	q := desk.GateRequest{Gate: g.Gate, Roots: d.Roots(), Lock: r.LockKey(), Key: d.Key(roomtest.Claire)}

	wrong := strings.Fields(spoken(t, g, words.French))
	wrong[0], wrong[1] = wrong[1], wrong[0]
	if _, err := r.ConfirmGate(ctx, q, strings.Join(wrong, " ")); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("other words: %v", err)
	}
	for _, who := range []string{roomtest.Marc, roomtest.Julie, roomtest.Helene} {
		other := q
		other.Key = d.Key(who)
		if _, err := r.ConfirmGate(ctx, other, spoken(t, g, words.English)); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("confirmed by %s: %v", who, err)
		}
	}
	knows(false, g.Gate)
	if _, err := r.ConfirmGate(ctx, q, spoken(t, g, words.French)); err != nil {
		t.Fatal(err)
	}
	knows(true, g.Gate)
	all, err := r.Gates(ctx)
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, v := range all {
		if v.Gate == g.Gate {
			found = v.Confirmed && v.Place == exchange.SourcePlace && v.Paper == signed.Digest() && v.System == g.System && v.StandsAt == g.StandsAt
		}
	}
	if len(all) != 3 || !found {
		t.Errorf("the list of gates: %+v", all)
	}

	// What the processor retires the controller cannot bring back by the same paper.
	other := q
	other.Key = d.Key(roomtest.Julie)
	if _, err := r.RetireGate(ctx, other); err != nil {
		t.Fatal(err)
	}
	knows(false, g.Gate)
	if _, err := r.ConfirmGate(ctx, q, spoken(t, g, words.English)); err != nil {
		t.Fatal(err)
	}
	knows(false, g.Gate)
	if _, err := r.Enrol(ctx, signed); !errors.Is(err, exchange.ErrLapsed) {
		t.Errorf("a retired gate enrols by the same paper: %v", err)
	}
	// One in a room stays: the lock's own console admitted it.
	knows(true, r.Gate(exchange.SourcePlace))
}

// TestEnrolmentBounds: whoever reaches the server fills nothing with gates.
func TestEnrolmentBounds(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Made, 3)
	r := d.Open()
	first, _ := paper(t, d, r.LockKey(), nil)
	if _, err := r.Enrol(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	for range 15 {
		s, _ := paper(t, d, r.LockKey(), nil)
		if _, err := r.Enrol(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	more, _ := paper(t, d, r.LockKey(), nil)
	if _, err := r.Enrol(t.Context(), more); ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(fmt.Sprint(err), "16 gates wait") {
		t.Errorf("a seventeenth: %v", err)
	}
	d.Exec("room/lock/control.db", "UPDATE document SET added = added - 90000000 WHERE kind = 'gate' AND digest = '"+first.Digest().String()+"'")
	if _, err := r.Enrol(t.Context(), more); err != nil {
		t.Errorf("the oldest is not forgotten after a day: %v", err)
	}
	if _, err := r.Enrol(t.Context(), first); !errors.Is(err, exchange.ErrLapsed) {
		t.Errorf("the one forgotten: %v", err)
	}
	// What it said of itself is gone.
	kept := d.Query("room/lock/control.db", "SELECT digest FROM signature WHERE namespace = '"+evidence.NamespaceGate+"'")
	if len(kept) != 16 || slices.Contains(kept, first.Digest().String()) {
		t.Errorf("kept: %v", kept)
	}
	if _, err := os.Stat(d.Join("room", "lock", "documents", first.Digest().Hex())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the paper of the one forgotten: %v", err)
	}
	views, err := r.Gates(t.Context())
	if err != nil || len(views) != 2+16 {
		t.Errorf("%d gates, %v", len(views), err)
	}
}

// TestEnrolmentRefused: other roots, another lock, another's key.
func TestEnrolmentRefused(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Made, 3)
	r := d.Open()
	other := ecluse.Fingerprint("SHA256:" + strings.Repeat("x", 43))
	for name, change := range map[string]func(*mandate.Gate){
		"root": func(g *mandate.Gate) { g.Roots.Controller = other },
		"lock": func(g *mandate.Gate) { g.Lock = other },
	} {
		s, _ := paper(t, d, r.LockKey(), change)
		if _, err := r.Enrol(t.Context(), s); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
	s, _ := paper(t, d, r.LockKey(), nil)
	s.Body = append(s.Body, '\n')
	if _, err := r.Enrol(t.Context(), s); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("changed: %v", err)
	}
	// A lock that shows a gate of another lock is found out on the person's device.
	good, g := paper(t, d, r.LockKey(), nil)
	if _, err := r.Enrol(t.Context(), good); err != nil {
		t.Fatal(err)
	}
	q := desk.GateRequest{Gate: g.Gate, Roots: d.Roots(), Lock: other, Key: d.Key(roomtest.Claire)}
	if _, err := r.ConfirmGate(t.Context(), q, spoken(t, g, words.English)); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("under another lock: %v", err)
	}
}

// TestEvidenceHasGates: who confirmed the gates of a migration, and what they had
// said of themselves, is in its evidence; other gates of the laboratory are not.
func TestEvidenceHasGates(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Erased, 3)
	r := d.Open()
	var own, other evidence.Signed
	for _, c := range []struct {
		into *evidence.Signed
		key  []ssh.Signer
	}{{&own, []ssh.Signer{keyOf(t, d)}}, {&other, nil}} {
		s, g := paper(t, d, r.LockKey(), nil, c.key...)
		*c.into = s
		if _, err := r.Enrol(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		q := desk.GateRequest{Gate: g.Gate, Roots: d.Roots(), Lock: r.LockKey(), Key: d.Key(roomtest.Claire)}
		if _, err := r.ConfirmGate(t.Context(), q, spoken(t, g, words.French)); err != nil {
			t.Fatal(err)
		}
	}
	d.Verify(r)
	file := evidence.GateFile(own.Digest())
	if got := string(d.Read("evidence", file)); got != string(own.Body) || !bytes.Equal(d.Read("evidence", file+".sig"), own.Signature) {
		t.Error("what the gate said of itself is not in the evidence, under its signature")
	}
	script := exec.CommandContext(t.Context(), "sh", d.Join("evidence", evidence.FileScript), d.Join("evidence"),
		"--controller", string(d.Roots()[ecluse.Controller]), "--processor", string(d.Roots()[ecluse.Processor]))
	if out, err := script.CombinedOutput(); err != nil || !strings.Contains(string(out), "1 papers of gates") {
		t.Errorf("verify.sh: %v\n%s", err, out)
	}
	if _, err := os.Stat(d.Join("evidence", evidence.GateFile(other.Digest()))); err == nil {
		t.Error("a gate of another migration is in the evidence")
	}
}

// keyOf is the room's source gate's.
func keyOf(t *testing.T, d *roomtest.Dir) ssh.Signer {
	t.Helper()
	k, err := ssh.ParsePrivateKey(d.Read("room", "source", "gate_key"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
