package config

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse"
)

const (
	julie = ecluse.Fingerprint("SHA256:jjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjjj")
	marc  = ecluse.Fingerprint("SHA256:mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm")
)

func TestSessions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ecluse", "sessions")
	now := time.Now()
	x := other("a")
	read := func(x Context, key ecluse.Fingerprint, now time.Time) string {
		t.Helper()
		s, err := ReadSession(dir, &x, key, now)
		if err != nil {
			t.Fatal(err)
		}
		if s == nil {
			return ""
		}
		return s.Token
	}
	if read(x, julie, now) != "" {
		t.Error("a session out of nothing")
	}
	if err := RemoveSession(dir, &x, julie); err != nil {
		t.Error(err)
	}
	s := Session{Token: "sesame", Expires: now.Add(time.Hour)}
	for range 2 {
		if err := WriteSession(dir, &x, julie, s); err != nil {
			t.Fatal(err)
		}
	}
	same := x
	same.Name, same.Server, same.Proxy = "b", "https://OTHER.example", "http://proxy"
	if read(x, julie, now) != "sesame" || read(same, julie, now) != "sesame" {
		t.Error("the session is not found again")
	}
	if read(x, julie, now.Add(time.Hour)) != "" {
		t.Error("an expired session")
	}
	// It is for one server, known by its key, one laboratory and one key.
	server, pin, lab := x, x, x
	server.Server, pin.Pin, lab.Laboratory = "https://third.example", ecluse.DigestOf([]byte("another")), "lab-8"
	for name, y := range map[string]Context{"server": server, "pin": pin, "laboratory": lab} {
		if read(y, julie, now) != "" {
			t.Errorf("another %s gets the token", name)
		}
	}
	if read(x, marc, now) != "" {
		t.Error("another person gets the token")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || strings.Contains(entries[0].Name(), "lab") {
		t.Errorf("%v, %v", entries, err)
	}
	if st, err := entries[0].Info(); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if err := RemoveSession(dir, &x, julie); err != nil || read(x, julie, now) != "" {
		t.Errorf("not removed: %v", err)
	}
}

func TestSessionsRefuse(t *testing.T) {
	dir := t.TempDir()
	x := other("a")
	now := time.Now()
	good := Session{Token: "sesame", Expires: now.Add(time.Hour)}
	for _, s := range []Session{
		{Expires: good.Expires},
		{Token: "a\nb", Expires: good.Expires},
		{Token: "é", Expires: good.Expires},
		{Token: strings.Repeat("a", 4097), Expires: good.Expires},
		{Token: "sesame"},
	} {
		if err := WriteSession(dir, &x, julie, s); ecluse.KindOf(err) != ecluse.Invalid || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%v: %v", s, err)
		}
	}
	if err := WriteSession(dir, &x, julie, good); err != nil {
		t.Fatal(err)
	}
	path := sessionPath(dir, &x, julie)
	if runtime.GOOS != "windows" {
		for mode, refused := range map[os.FileMode]bool{0o640: true, 0o604: true, 0o620: true, 0o600: false, 0o400: false} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadSession(dir, &x, julie, now); (ecluse.KindOf(err) == ecluse.Refused) != refused || refused != (err != nil) {
				t.Errorf("%o: %v", mode, err)
			}
		}
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSession(dir, &x, julie, now); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("a folder that others may change: %v", err)
		}
		if err := WriteSession(dir, &x, julie, good); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("written to a folder that others may change: %v", err)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"", "sesame", "{}", `{"token":"sesame"}`, `{"token":"sesame","expires":"soon"}`, `{"token":["sesame"],"expires":1}`} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadSession(dir, &x, julie, now)
		if e, ok := err.(*ecluse.Error); !ok || e.Kind != ecluse.Invalid || e.Where != path || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestSessionPrintsNoToken: whatever the verb.
func TestSessionPrintsNoToken(t *testing.T) {
	s := Session{Token: "sesame", Expires: time.Unix(0, 0)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, text := range []string{fmt.Sprintf(verb, s), fmt.Sprintf(verb, &s)} {
			if text != "session until 1970-01-01T00:00:00Z" {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
}

// TestSessionsAtOnce: whoever reads while others write and remove gets a whole
// session or none.
func TestSessionsAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sessions")
	x := other("a")
	now := time.Now()
	var all sync.WaitGroup
	for i := range 4 {
		token := strings.Repeat(string(rune('a'+i)), 1000+i)
		all.Go(func() {
			for n := range 50 {
				if err := WriteSession(dir, &x, julie, Session{Token: token, Expires: now.Add(time.Hour)}); err != nil {
					t.Error(err)
				}
				s, err := ReadSession(dir, &x, julie, now)
				if err != nil {
					t.Error(err)
				}
				if s != nil && (strings.Trim(s.Token, s.Token[:1]) != "" || len(s.Token) != 1000+int(s.Token[0]-'a')) {
					t.Error("a torn token")
				}
				if n%10 == i {
					if err := RemoveSession(dir, &x, julie); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
}

func TestSessionsFolder(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", filepath.Join(string(filepath.Separator), "home", "julie", ".cache"))
	dir, err := SessionsFolder()
	if err != nil || !strings.HasSuffix(filepath.ToSlash(dir), "/ecluse/sessions") {
		t.Errorf("%q, %v", dir, err)
	}
}

func FuzzSession(f *testing.F) {
	f.Add([]byte(`{"token":"sesame","expires":"2026-01-01T00:00:00Z"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if s, err := parseSession(text); err == nil && s.check() != nil {
			t.Errorf("taken: %q", text)
		}
	})
}
