package app_test

import (
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/exchange"
)

// breaks has the control database refuse something, as a disk that is full does, until
// mends is called; the server ends and starts again either time.
func (h *hand) breaks(when string) (mends func()) {
	h.Helper()
	at := func(text string) {
		h.Helper()
		h.must(h.lock.Shut())
		h.d.Exec("room/lock/control.db", text)
		h.open()
	}
	at("CREATE TRIGGER broken BEFORE " + when + " BEGIN SELECT RAISE(ABORT, 'broken'); END")
	return func() { h.Helper(); at("DROP TRIGGER broken") }
}

// count counts what a query of the control database finds.
func (h *hand) count(query string) int {
	h.Helper()
	return len(h.d.Query("room/lock/control.db", query))
}

// TestAnswerTakenOnce: whatever of an answer that was carried in cannot be kept, its
// consequence or that it was taken, costs no second trip, and comes once.
func TestAnswerTakenOnce(t *testing.T) {
	t.Parallel()
	h := byHand(t)
	inspect := func() error {
		_, err := h.marc().Inspect(t.Context(), exchange.SourcePlace)
		return err
	}
	inspected := func() int {
		return h.count("SELECT idx FROM leaf WHERE CAST(text AS TEXT) LIKE '%\"type\":\"inspected\"%'")
	}
	for _, when := range []string{
		"INSERT ON leaf WHEN CAST(NEW.text AS TEXT) LIKE '%\"type\":\"inspected\"%'", // what comes of it
		"DELETE ON work", // that it was taken
	} {
		before := inspected()
		if err := inspect(); ecluse.KindOf(err) != ecluse.WaitsForSign {
			t.Fatalf("asked: %v", err)
		}
		h.answered()
		_, err := h.in()
		h.must(err)
		mends := h.breaks(when)
		if err := inspect(); ecluse.KindOf(err) != ecluse.Failed {
			t.Errorf("%s: %v", when, err)
		}
		if n := inspected() - before; n != 0 {
			t.Errorf("%s: journalled %d times while the answer stays", when, n)
		}
		mends()
		if err := inspect(); err != nil {
			t.Errorf("%s: mended: %v", when, err)
		}
		if n := inspected() - before; n != 1 {
			t.Errorf("%s: journalled %d times", when, n)
		}
	}
}

// TestAnswerInOnce: what comes of an answer and that the gate gave it are kept together:
// taken in again after either failed, it comes once.
func TestAnswerInOnce(t *testing.T) {
	t.Parallel()
	for what, when := range map[string]string{
		"what comes of it":       "INSERT ON work WHEN NEW.verb = 'look'",
		"that it was answered":   "UPDATE OF ended ON work WHEN NEW.verb = 'read'",
		"how far it was taken":   "UPDATE OF items ON carried WHEN (SELECT ended FROM work WHERE verb = 'read') > 0",
		"the closing manifest":   "INSERT ON leaf WHEN CAST(NEW.text AS TEXT) LIKE '%\"type\":\"manifest\"%'",
		"a chunk, when it is in": "INSERT ON leaf WHEN CAST(NEW.text AS TEXT) LIKE '%\"type\":\"chunk\"%'",
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := byHand(t)
			r := h.answered()
			mends := h.breaks(when)
			if _, err := h.in(); ecluse.KindOf(err) != ecluse.Failed {
				t.Errorf("%v", err)
			}
			mends()
			v, err := h.in()
			if err != nil || v.Items != len(r.Items) {
				t.Errorf("again: %+v, %v", v, err)
			}
			looks := h.count("SELECT id FROM work WHERE verb = 'look' AND migration = '" + string(roomtest.Migration) + "'")
			answered := h.count("SELECT id FROM work WHERE verb = 'read' AND ended > 0 AND CAST(answer AS TEXT) NOT LIKE '%problem%'")
			if looks != 2 || answered != 1 || h.events("manifest") != 1 || h.events("chunk") != len(puts(r.Return)) {
				t.Errorf("looks %d, answered %d, manifests %d, chunks %d of %d", looks, answered, h.events("manifest"), h.events("chunk"), len(puts(r.Return)))
			}
		})
	}
}
