package gate

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/sluice/reader"
	"ecluse/internal/sluice/seal"
)

const whole = `{
  "roots": {"controller": "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "processor": "SHA256:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"},
  "lock": "SHA256:CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC",
  "rosters": {"controller": 2},
  "high_water": "2026-11-23T09:00:00Z",
  "migrations": {"quatre-vents-01": {"epoch": 1, "passages": {"final-1": "2026-11-23T09:00:00Z"}, "undone": {"final-1": {"chunks": 1, "rows": 2}}}}
}`

// TestDamagedLedger: a ledger that lost a part opens nothing.
func TestDamagedLedger(t *testing.T) {
	if _, err := parseLedger([]byte(whole)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty":              "",
		"null":               "null",
		"cut":                whole[:len(whole)/2],
		"two":                whole + whole,
		"no root":            strings.Replace(whole, `"controller": "SHA256:A`, `"controller": "A`, 1),
		"no lock":            strings.Replace(whole, `"lock"`, `"luck"`, 1),
		"an empty page":      strings.Replace(whole, `{"epoch"`, `null, "other": {"epoch"`, 1),
		"an empty line":      strings.Replace(whole, `{"chunks": 1, "rows": 2}`, "null", 1),
		"an epoch in words":  strings.Replace(whole, `"epoch": 1`, `"epoch": "one"`, 1),
		"a migration's list": strings.Replace(whole, `"migrations": {`, `"migrations": [`, 1),
	} {
		if _, err := parseLedger([]byte(text)); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzLedger: what is read is written and read again the same, and a page may be
// noted on.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte(`{"migrations": {"x": null}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := parseLedger(text)
		if err != nil {
			if ecluse.KindOf(err) != ecluse.Refused {
				t.Fatalf("not refused: %v", err)
			}
			return
		}
		for _, e := range l.Migrations {
			if e.Passages == nil || e.Plans == nil || e.Undone == nil {
				t.Fatal("a page cannot be noted on")
			}
		}
		again, err := json.Marshal(l)
		if err != nil {
			t.Skip() // a year of five digits
		}
		same, err := parseLedger(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(l, same); diff != "" {
			t.Error(diff)
		}
	})
}

// TestKeepFile: a folder that takes no file of a reading is told as what it is, and what to do.
func TestKeepFile(t *testing.T) {
	gone := &readings{filepath.Join(t.TempDir(), "gone")}
	marks := &bookmarks{gone.dir, new(seal.Key)}
	for what, err := range map[string]error{
		"sums": gone.SetSums(1, "patient", nil), "manifest": gone.setManifest(1, evidence.Signed{}), "bookmark": marks.SetBookmark("patient", 0, reader.Cursor("x")),
	} {
		var e *ecluse.Error
		if !errors.As(err, &e) || e.Next == "" || strings.Contains(err.Error(), gone.dir) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
