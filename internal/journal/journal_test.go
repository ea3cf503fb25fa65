package journal_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/journal"
	"ecluse/internal/store/sqlite"
)

func newLog(t *testing.T) (*journal.Log, *sqlite.Store, ssh.Signer) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewSignerFromSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Create(t.Context(), t.TempDir(), map[ecluse.Side]ecluse.Fingerprint{
		ecluse.Controller: evidence.FingerprintOf(key.PublicKey()), ecluse.Processor: evidence.FingerprintOf(key.PublicKey()),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return journal.New(s, key), s, key
}

func add(t *testing.T, s *sqlite.Store, e journal.Event) {
	t.Helper()
	if err := s.Do(t.Context(), e, nil); err != nil {
		t.Fatal(err)
	}
}

// TestBodiesHoldNoValues walks the types of what is journalled: no field takes a
// free text, so no record's value has a place to be in.
func TestBodiesHoldNoValues(t *testing.T) {
	allowed := map[reflect.Type]bool{}
	for _, v := range []any{
		ecluse.Side(""), ecluse.Role(""), ecluse.Kind(""),
		ecluse.Digest{},
		ecluse.Fingerprint(""), ecluse.MigrationID(""),
		journal.PersonID(""), evidence.Verb(""),
		time.Time{},
	} {
		allowed[reflect.TypeOf(v)] = true
	}
	var check func(typ reflect.Type, path string) []string
	check = func(typ reflect.Type, path string) (bad []string) {
		if allowed[typ] {
			return nil
		}
		switch typ.Kind() {
		case reflect.Bool, reflect.Int, reflect.Int64:
			return nil
		case reflect.Slice:
			return check(typ.Elem(), path+"[]")
		case reflect.Struct:
			for i := range typ.NumField() {
				bad = append(bad, check(typ.Field(i).Type, path+"."+typ.Field(i).Name)...)
			}
			return bad
		}
		return []string{path + " is a " + typ.String()}
	}
	if len(journal.Bodies()) == 0 {
		t.Fatal("no bodies")
	}
	for _, b := range journal.Bodies() {
		typ := reflect.TypeOf(b)
		for _, bad := range check(typ, typ.Name()) {
			t.Error(bad)
		}
	}
	type leaky struct {
		Name  string
		Any   any
		Notes map[string]string
	}
	if bad := check(reflect.TypeFor[leaky](), "leaky"); len(bad) != 3 {
		t.Errorf("the check sees %v in a type made to leak", bad)
	}
}

// TestIDsHoldNoValues: no id takes a person's name, a birth date, a NIR or a
// sentence.
func TestIDsHoldNoValues(t *testing.T) {
	values := []string{
		"Jeanne DUPONT", "DUPONT", "2 55 08 14 168 025 38", "1955-08-14", "0612345678", "jeanne@example.org", "HIV positive", "é", "",
	}
	forms := journal.IDForms()
	if len(forms) < 20 {
		t.Fatalf("%d ids", len(forms))
	}
	// A migration's id and the names of a schema are chosen by people, and signed.
	names := map[string]bool{"migration": true, "dataset": true, "table": true, "slot": true}
	for key, form := range forms {
		for _, v := range values {
			if form.MatchString(v) && !names[key] {
				t.Errorf("id %q takes %q", key, v)
			}
		}
	}
}

func TestClosedList(t *testing.T) {
	seen := map[journal.Type]bool{}
	for _, typ := range journal.Types() {
		e := journal.Event{Tree: "t-1", Type: typ}
		if err := e.Check(); err != nil || seen[typ] {
			t.Errorf("%s: %v, seen %v", typ, err, seen[typ])
		}
		seen[typ] = true
	}
	for name, e := range map[string]journal.Event{
		"type": {Type: "patient"},
		"id":   {Type: journal.Born, IDs: map[string]string{"patient": "x"}},
		"form": {Type: journal.Born, IDs: map[string]string{"plan": "sha256:short"}},
	} {
		if err := e.Check(); ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSalt: the same body twice gives two digests, so that nobody can guess a
// forgotten one.
func TestSalt(t *testing.T) {
	log, s, _ := newLog(t)
	for range 2 {
		add(t, s, journal.Event{Tree: "m-1", Type: journal.ActRecorded, Body: journal.Act{Side: ecluse.Processor, Person: "paul"}})
	}
	_, leaves, err := log.Leaves(t.Context(), "m-1", 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	if leaves[0].Body == leaves[1].Body {
		t.Error("two leaves have one digest of body")
	}
	for _, l := range leaves {
		if b, err := log.Body(t.Context(), l); err != nil || !strings.Contains(string(b), `"person":"paul"`) {
			t.Errorf("%s, %v", b, err)
		}
	}
	swapped := *leaves[0]
	swapped.Index = 1
	if _, err := log.Body(t.Context(), &swapped); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("the body of another leaf was taken: %v", err)
	}
}

// TestAgainstMemory: the stored tree is the one evidence.Tree grows from the
// same leaves, at every size.
func TestAgainstMemory(t *testing.T) {
	log, s, key := newLog(t)
	tree := 0
	rapid.Check(t, func(rt *rapid.T) {
		tree++
		name := "tree-" + strings.Repeat("x", tree%20) + string(rune('a'+tree/20%26))
		var whole evidence.Tree
		start, err := s.Size(t.Context(), name)
		if err != nil || start != 0 {
			return // the name came before
		}
		for n := range int64(rapid.IntRange(1, 20).Draw(rt, "leaves")) {
			add(t, s, journal.Event{Tree: name, Type: journal.ChunkStored, Numbers: map[string]int64{"rows": n}})
			raw, leaves, err := log.Leaves(t.Context(), name, n, n+1)
			if err != nil || leaves[0].Index != n {
				rt.Fatal(err)
			}
			if err := whole.Append(evidence.LeafHash(raw[0])); err != nil {
				rt.Fatal(err)
			}
			signed, err := log.Head(t.Context(), name)
			if err != nil {
				rt.Fatal(err)
			}
			h, err := evidence.VerifyHead(signed, evidence.FingerprintOf(key.PublicKey()))
			if err != nil {
				rt.Fatal(err)
			}
			if root, err := whole.Root(n + 1); err != nil || root != h.Root || h.Size != n+1 {
				rt.Fatalf("size %d: root %v, head %v, %v", n+1, root, h, err)
			}
		}
	})
}

func TestAppendNeedsItsHashes(t *testing.T) {
	_, err := journal.Append(t.Context(), empty{size: 3}, journal.Event{Tree: "m-1", Type: journal.Born}, time.Now())
	if !errors.Is(err, errNone) {
		t.Errorf("grew a tree whose hashes are gone: %v", err)
	}
	if _, err := journal.Append(t.Context(), empty{}, journal.Event{Tree: "M 1", Type: journal.Born}, time.Now()); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a tree of any name: %v", err)
	}
}

var errNone = errors.New("no hash is there")

// empty is a tree that says it has leaves, and has no hashes.
type empty struct{ size int64 }

func (e empty) Size(context.Context, string) (int64, error) { return e.size, nil }
func (empty) Hashes(context.Context, string, []int64) ([]tlog.Hash, error) {
	return nil, errNone
}
func (empty) Grow(context.Context, journal.Entry) error { return nil }
