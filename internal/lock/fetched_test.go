package lock_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/api"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/lock"
	"ecluse/internal/wire"
	"ecluse/internal/wire/wiretest"
)

// TestFetchCeiling: a gate that was sent the chamber many times over is cut in the middle of
// a chunk, and refused before any other; the journal says so once. The other gate goes on.
func TestFetchCeiling(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 3)
	l, err := lock.Open(t.Context(), d.Join("room", "lock"), "test")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Shut()
	url, pin := wiretest.Serve(t, roomtest.Temp(t), func(pin wire.Pin) http.Handler {
		s, err := api.New(api.Options{
			Labs:    []api.Lab{{ID: "lab", Lock: l, Door: account.NewDoor(ecluse.Digest(pin), "lab", l, l.Sessions())}},
			Version: "test", Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
	client := func(place string) (*http.Client, ecluse.Fingerprint) {
		key, err := ssh.ParsePrivateKey(d.Read("room", place, "gate_key"))
		if err != nil {
			t.Fatal(err)
		}
		way, err := wire.Transport(wire.Options{Pin: pin, Gate: key, HTTP1: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(way.CloseIdleConnections)
		return &http.Client{Transport: way, Timeout: 30 * time.Second}, evidence.FingerprintOf(key.PublicKey())
	}
	slots, err := l.Slots(t.Context(), roomtest.Migration)
	if err != nil || len(slots) == 0 {
		t.Fatal(len(slots), err)
	}
	var of evidence.Descriptor
	if err := evidence.DecodeJSON(slots[0].Body, &of); err != nil {
		t.Fatal(err)
	}
	fetch := func(c *http.Client) (status int, text string, closed bool, err error) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
			fmt.Sprintf("%s/v1/labs/lab/gate/migrations/%s/chunks/%s/%d/%d", url, roomtest.Migration, of.Slot.Dataset, of.Slot.Sequence, of.Slot.Version), nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Do(r)
		if err != nil {
			return 0, "", true, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res.StatusCode, string(b), res.Close, err
	}
	target, gate := client("target")
	if status, text, _, err := fetch(target); status != http.StatusOK || err != nil || int64(len(text)) != of.Size {
		t.Fatalf("before: %d, %d of %d bytes, %v", status, len(text), of.Size, err)
	}
	if err := lock.Fetched(t.Context(), l, roomtest.Migration, gate, 2*of.Size); err != nil {
		t.Fatal(err)
	}
	for range 2 { // some of what was left is what was fetched before
		_, _, _, _ = fetch(target)
	}
	for range 3 {
		status, text, closed, err := fetch(target)
		if status != http.StatusForbidden || !closed || err != nil || !strings.Contains(text, "several times more often") {
			t.Errorf("beyond: %d %s, closed: %v, %v", status, text, closed, err)
		}
	}
	if n := len(d.Query("room/lock/control.db", `SELECT idx FROM leaf WHERE CAST(text AS TEXT) LIKE '%"verb":"fetch"%'`)); n != 1 {
		t.Errorf("%d lines in the journal", n)
	}
	source, _ := client("source")
	if status, _, _, err := fetch(source); status != http.StatusOK || err != nil {
		t.Errorf("the other gate: %d, %v", status, err)
	}
}
