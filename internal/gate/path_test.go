package gate_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"ecluse"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

// verbs are all that a lock can ask.
var verbs = []exchange.Verb{
	exchange.Inspect, exchange.Sketch, exchange.MakeRecipient, exchange.CompileRead, exchange.CheckMapping, exchange.CompileLoad, exchange.Read, exchange.Load,
	exchange.Undo, exchange.Keep, exchange.Lend, exchange.Erase, exchange.Search, exchange.Certify, exchange.Look, exchange.SignBundle,
}

// nowhere are ids that a server could make up to lead a gate out of its folder.
var nowhere = []ecluse.MigrationID{
	"../../victim", "..", ".", "../migrations", "a/b", "quatre-vents-01/..", "quatre-vents-01/../../../victim", "/etc", "C:\\x", "x\x00y", "..\\victim", "QV-01", "ab", "-rf",
}

// TestNoPathFromServer: what a server calls a migration leads nowhere out of the gate's
// folder of it, whatever it asks: nothing is removed, listed, made or noted.
func TestNoPathFromServer(t *testing.T) {
	at := t.TempDir()
	victim := filepath.Join(at, "victim", "records.db")
	if err := os.MkdirAll(filepath.Dir(victim), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(victim, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(at, "gate")
	roots := map[ecluse.Side]ecluse.Fingerprint{ecluse.Controller: rootA, ecluse.Processor: rootB}
	h, err := gate.CreateHome(dir, "gate", roots, lockKey, false)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "migrations", "quatre-vents-01", "secret")
	if err := errors.Join(os.Mkdir(filepath.Dir(other), 0o700), os.WriteFile(other, []byte("half a key"), 0o600)); err != nil {
		t.Fatal(err)
	}
	source := gate.NewSource(h, nil, nil, nil, ecluse.Digest{})
	target := gate.NewTarget(h, nil, gate.Base{}, nil, ecluse.Digest{})
	kept := func(what string, v exchange.Verb, m ecluse.MigrationID) {
		t.Helper()
		for _, path := range []string{victim, other} {
			if _, err := os.Stat(path); err != nil {
				t.Fatalf("%s: %s of %q removed %s", what, v, m, path)
			}
		}
	}
	for _, m := range nowhere {
		for _, v := range verbs {
			w := exchange.Work{Verb: v, Migration: m, Passage: ecluse.Passage{Kind: ecluse.Final, Number: 1}}
			if _, err := source.Work(t.Context(), w, nil); ecluse.KindOf(err) != ecluse.Refused {
				t.Errorf("source: %s of %q: %v", v, m, err)
			}
			kept("source", v, m)
			if _, err := target.Work(t.Context(), w, nil); ecluse.KindOf(err) != ecluse.Refused {
				t.Errorf("target: %s of %q: %v", v, m, err)
			}
			kept("target", v, m)
		}
	}
	for _, m := range append(nowhere, "") { // and where nothing asked before
		for _, v := range []exchange.Verb{exchange.Erase, exchange.Search} {
			if a, err := h.Work(t.Context(), nil, exchange.Work{Verb: v, Migration: m}, exchange.SourcePlace); err == nil {
				t.Errorf("home: %s of %q: %+v", v, m, a)
			}
			kept("home", v, m)
		}
		if names, err := h.Files(m); err == nil {
			t.Errorf("files of %q: %q", m, names)
		}
		if _, err := h.Destroy(m); err == nil {
			t.Errorf("destroyed %q", m)
		}
		kept("home", "destroy", m)
		if h.Holds(m) {
			t.Errorf("holds %q", m)
		}
		if err := h.Note(m, func(*gate.Entry) error { return nil }); err == nil {
			t.Errorf("noted %q", m)
		}
	}
	if all, err := h.Migrations(); err != nil || len(all) != 1 {
		t.Errorf("known afterwards: %q, %v", all, err)
	}
}

// TestNoLinkOut: a link in the gate's folder leads nowhere out of it either.
func TestNoLinkOut(t *testing.T) {
	dir, away := newHome(t), t.TempDir()
	h := open(t, dir)
	file := filepath.Join(away, "k")
	if err := os.WriteFile(file, make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(away, filepath.Join(dir, "migrations", string(migration))); err != nil {
		t.Skip(err)
	}
	if names, err := h.Files(migration); len(names) > 1 {
		t.Errorf("files: %q, %v", names, err)
	}
	_, _ = h.Destroy(migration) // it may refuse, or take the link away
	if _, err := os.Stat(file); err != nil {
		t.Errorf("behind the link: %v", err)
	}
}

// TestWorkDecodesNoPath: nor does it come as far as that over a line.
func TestWorkDecodesNoPath(t *testing.T) {
	for _, m := range nowhere {
		text, err := json.Marshal(map[string]any{"id": "w", "verb": exchange.Erase, "migration": m})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &exchange.Work{}); err == nil {
			t.Errorf("%s", text)
		}
	}
	for _, text := range []string{
		`{"passage":{"kind":"../x","number":1}}`, `{"dataset":"../x"}`, `{"dataset":".."}`, `{"dataset":"a/b"}`,
	} {
		if err := json.Unmarshal([]byte(text), &struct {
			Passage ecluse.Passage   `json:"passage"`
			Dataset ecluse.DatasetID `json:"dataset"`
		}{}); err == nil {
			t.Error(text)
		}
	}
}

// TestSearchIsNoOracle: whoever chooses what a gate looks for could learn, by asking
// often enough, what its files hold. Those with secrets are not gone through.
func TestSearchIsNoOracle(t *testing.T) {
	dir := newHome(t)
	h := open(t, dir)
	secret := filepath.Join(dir, "migrations", "quatre-vents-02", "release")
	piece := []byte("thirty-two bytes of ciphertext..")
	if err := errors.Join(os.Mkdir(filepath.Dir(secret), 0o700), os.WriteFile(secret, piece, 0o600), os.WriteFile(filepath.Join(dir, "copy"), piece, 0o600)); err != nil {
		t.Fatal(err)
	}
	w := exchange.Work{Verb: exchange.Search, Migration: migration, Papers: map[string][]byte{}}
	exchange.AddNumbered(w.Papers, exchange.PaperProbe, [][]byte{piece, []byte("-----BEGIN OPENSSH PRIVATE KEY-----")})
	a, err := h.Work(t.Context(), nil, w, exchange.SourcePlace)
	if err != nil {
		t.Fatal(err)
	}
	var found exchange.Searched
	if err := json.Unmarshal(a.Papers[exchange.PaperSearched], &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Found) != 1 || found.Found[0] != "copy" {
		t.Errorf("found in %q", found.Found)
	}
	exchange.AddNumbered(w.Papers, exchange.PaperProbe, [][]byte{piece[:31]})
	if _, err := h.Work(t.Context(), nil, w, exchange.SourcePlace); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("31 bytes: %v", err)
	}
}
