package demo

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestCanaryIsFound plants the canary in every encoding, at every place of a
// group of digits, at the edges of what is read at a time, and among others.
func TestCanaryIsFound(t *testing.T) {
	var little, big []byte
	for _, u := range utf16.Encode([]rune(canary)) {
		little, big = append(little, byte(u), byte(u>>8)), append(big, byte(u>>8), byte(u))
	}
	planted := map[string][]byte{
		"plain": []byte("x" + canary + "y"), "lower": []byte(strings.ToLower(canary)), "UTF-16LE": little, "UTF-16BE": big,
		"hex": []byte(hex.EncodeToString([]byte("a" + canary + "b"))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(canary)))),
	}
	for i := range 6 {
		text := []byte(strings.Repeat("-", i) + canary + "; more")
		planted["base64-"+string(rune('0'+i))] = []byte(base64.StdEncoding.EncodeToString(text))
		planted["base64url-"+string(rune('0'+i))] = []byte(base64.URLEncoding.EncodeToString(text))
		planted["base32-"+string(rune('0'+i))] = []byte(base32.StdEncoding.EncodeToString(text))
	}
	for _, at := range []int{1<<20 - 1, 1<<20 - 10, 1 << 20, 1<<20 + 30, 3<<20 + 5} {
		planted["block"+hex.EncodeToString([]byte{byte(at >> 16), byte(at >> 8), byte(at)})] = append(bytes.Repeat([]byte{'.'}, at), canary...)
	}
	for name, text := range planted {
		dir := t.TempDir()
		for file, b := range map[string][]byte{"deep/down/file": text, "other": []byte("nothing"), "old.db-wal": []byte(canary)} {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		aside := func(path string) bool { return strings.HasPrefix(path, filepath.Join(dir, "old.db")) }
		if found, err := Find(dir, aside, "something else", canary); len(found) != 1 || err != nil {
			t.Errorf("%s: found in %v, %v", name, found, err)
		}
	}
	if found, err := Find(t.TempDir(), func(string) bool { return false }, canary); len(found) != 0 || err != nil {
		t.Errorf("in an empty folder: %v, %v", found, err)
	}
}

// TestFindShort: a short text is found as it is; its coded forms, which could be
// anything, are not looked for.
func TestFindShort(t *testing.T) {
	dir := t.TempDir()
	for n, text := range []string{"x", "Ann", "Winifred", "Winifred M"} {
		name := filepath.Join(dir, text)
		if err := os.WriteFile(name, []byte("a "+text+" b"), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, err := Find(dir, func(path string) bool { return path != name }, text); len(found) != 1 || err != nil {
			t.Errorf("%d letters (%d): found in %v, %v", len(text), n, found, err)
		}
	}
}
