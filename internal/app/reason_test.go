package app_test

import (
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
	"ecluse/internal/procedure"
)

// TestReason: the reason of an order is signed with it, shown while it holds the
// migration, and in the evidence, which does not verify without it.
func TestReason(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 40)
	r := d.Open()
	held := func() []exchange.Hold {
		t.Helper()
		all, err := r.Status(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return all[0].Held
	}
	if h := held(); h == nil || len(h) != 0 {
		t.Fatalf("held before anybody did: %+v", h)
	}
	reasons := []string{"the second site was not asked", "a key was lost", "the second site agrees", "the contract is ended"}
	for i, do := range []struct {
		order func(*app.Room, desk.Order) (*desk.Signature, error)
		who   string
	}{
		{func(r *app.Room, o desk.Order) (*desk.Signature, error) { return r.Object(t.Context(), o) }, roomtest.Helene},
		{func(r *app.Room, o desk.Order) (*desk.Signature, error) { return r.Suspend(t.Context(), o) }, roomtest.Julie},
		{func(r *app.Room, o desk.Order) (*desk.Signature, error) { return r.Resume(t.Context(), o) }, roomtest.Claire},
		{func(r *app.Room, o desk.Order) (*desk.Signature, error) { return r.Erase(t.Context(), o) }, roomtest.Claire},
	} {
		s, err := do.order(r, desk.Order{Because: "  " + reasons[i] + "\n", Key: d.Key(do.who)})
		if err != nil {
			t.Fatal(err)
		}
		if want := "sign reason " + ecluse.DigestOf([]byte(reasons[i])).String(); len(s.Clauses) < 2 || s.Clauses[1] != want {
			t.Errorf("the act says %q, want %q in it", s.Clauses, want)
		}
		switch h := held(); i {
		case 0:
			if len(h) != 1 || h[0].Verb != procedure.Object || h[0].Person != roomtest.Helene || h[0].Side != ecluse.Controller ||
				h[0].Role != ecluse.DPO || h[0].Because != reasons[0] || time.Since(h[0].Since) > time.Minute {
				t.Errorf("held: %+v", h)
			}
		case 1:
			if len(h) != 2 || h[1].Verb != procedure.Suspend || h[1].Because != reasons[1] {
				t.Errorf("held: %+v", h)
			}
		case 2: // what the other side holds stays
			if len(h) != 1 || h[0].Person != roomtest.Julie {
				t.Errorf("held: %+v", h)
			}
		}
	}
	d.Verify(r)
	for _, reason := range reasons {
		file := d.Join("evidence", filepath.FromSlash(evidence.DocumentFile(ecluse.DigestOf([]byte(reason)))))
		text, err := os.ReadFile(file)
		if err != nil || string(text) != reason {
			t.Errorf("%q is not in the evidence: %q, %v", reason, text, err)
		}
	}
	// Taken out, with its line in the sums: the folder's own signatures aside, the
	// act misses what it signs.
	if err := os.Remove(d.Join("evidence", filepath.FromSlash(evidence.DocumentFile(ecluse.DigestOf([]byte(reasons[0])))))); err != nil {
		t.Fatal(err)
	}
	if report := evidence.Verify(os.DirFS(d.Join("evidence")), d.Roots()); report.OK() {
		t.Error("the evidence verifies without the reason of the objection")
	}
}

// TestReasonRefused: an order without a reason that can be read is not signed.
func TestReasonRefused(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Approved, 3)
	r := d.Open()
	for _, because := range []string{"", " \n", "two\nlines", "a bell \a", "\xff", strings.Repeat("é", 501)} {
		_, err := r.Object(t.Context(), desk.Order{Because: because, Key: d.Key(roomtest.Helene)})
		wantError(t, err, ecluse.Invalid)
	}
	if p := place(t, r); p.Held() {
		t.Error("it is held all the same")
	}
	if _, err := r.Object(t.Context(), desk.Order{Because: strings.Repeat("é", 500), Key: d.Key(roomtest.Helene)}); err != nil {
		t.Error(err)
	}
}
