package config

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"ecluse"
	"ecluse/internal/document"
)

const contextsExample = `# This laptop knows two laboratories.
ecluse: contexts/v1
current: megabus # most of the week
contexts:
  # Dr Aubry's
  megabus:
    server: https://ecluse.vendor.example:8443
    laboratory: megabus
    pin: sha256:abababababababababababababababababababababababababababababababab
    lock: SHA256:lllllllllllllllllllllllllllllllllllllllllll
    roots: {controller: 'SHA256:ccccccccccccccccccccc+ccccccccccccccccccccc', processor: 'SHA256:ppppppppppppppppppppp/ppppppppppppppppppppp'} # told on 3 March
    key: ~/.ssh/id_ed25519
    proxy: http://julie@proxy:3128
    proxy_password_file: proxy.password
  # only in summer
  quatre-vents:
    server: https://[2001:db8::7]
    laboratory: quatre-vents
    pin: sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
    lock: SHA256:LLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLLL
    roots:
      controller: SHA256:CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC
      processor: SHA256:ppppppppppppppppppppp/ppppppppppppppppppppp
    key: SHA256:KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK
`

// device is a configuration folder with contexts.yaml.
func device(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ContextsName), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func fileOf(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, ContextsName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// other is a context that the example does not have.
func other(name string) Context {
	return Context{
		Name: name, Server: "https://other.example", Laboratory: "lab-7",
		Pin: ecluse.DigestOf([]byte("server")), Lock: "SHA256:" + ecluse.Fingerprint(strings.Repeat("l", 43)),
		Roots: Roots{"SHA256:" + ecluse.Fingerprint(strings.Repeat("+", 43)), "SHA256:" + ecluse.Fingerprint(strings.Repeat("/", 43))},
	}
}

func TestContextsLoad(t *testing.T) {
	t.Setenv("HOME", "/home/julie")
	dir := device(t, contextsExample)
	c, err := LoadContexts(dir)
	if err != nil {
		t.Fatal(err)
	}
	if c.Current != "megabus" || !slices.Equal(c.Names(), []string{"megabus", "quatre-vents"}) {
		t.Errorf("current %q of %q", c.Current, c.Names())
	}
	m, err := c.Get("megabus")
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "megabus" || !m.Current || m.Roots.Controller != "SHA256:ccccccccccccccccccccc+ccccccccccccccccccccc" {
		t.Errorf("got %+v", m)
	}
	if runtime.GOOS != "windows" && m.Key != "/home/julie/.ssh/id_ed25519" || m.ProxyPasswordFile != filepath.Join(dir, "proxy.password") {
		t.Errorf("paths %q, %q", m.Key, m.ProxyPasswordFile)
	}
	if q, err := c.Get("quatre-vents"); err != nil || q.Current || q.Key != "SHA256:KKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKKK" {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := c.Get("megabu"); err == nil || !strings.Contains(err.Error(), "known: megabus, quatre-vents") {
		t.Errorf("unknown: %v", err)
	}
}

// TestContextsNone: a device without the file knows nobody, and that is no error.
func TestContextsNone(t *testing.T) {
	c, err := LoadContexts(filepath.Join(t.TempDir(), "not", "there"))
	if err != nil || len(c.Names()) > 0 || c.Current != "" {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestContextsRefuse(t *testing.T) {
	replace := func(old, by string) string { return strings.Replace(contextsExample, old, by, 1) }
	for name, c := range map[string]struct{ text, want string }{
		"format":     {replace("contexts/v1", "contexts/v2"), "contexts.yaml:2: ecluse: want contexts/v1"},
		"current":    {replace("current: megabus", "current: megabu"), "contexts.yaml:3: current: there is no such context"},
		"name":       {strings.ReplaceAll(contextsExample, "quatre-vents:", "Quatre_Vents:"), "contexts.Quatre_Vents: the name: want lower-case"},
		"unknown":    {replace("    key: ~", "    token: x\n    key: ~"), "contexts.yaml:12: contexts.megabus.token: unknown key"},
		"missing":    {replace("    laboratory: megabus\n", ""), "contexts.megabus.laboratory: missing"},
		"clear":      {replace("https://ecluse", "http://ecluse"), "contexts.yaml:7: contexts.megabus.server: want https"},
		"path":       {replace(":8443", ":8443/"), "contexts.megabus.server: want https"},
		"laboratory": {replace("laboratory: megabus", "laboratory: "+strings.Repeat("a", 41)), "contexts.yaml:8: contexts.megabus.laboratory: want lower-case"},
		"pin":        {replace("pin: sha256:abab", "pin: sha256:ab"), "contexts.yaml:9: contexts.megabus.pin"},
		"no pin":     {replace("pin: sha256:abababababababababababababababababababababababababababababababab", "pin: ''"), "contexts.megabus.pin: "},
		"lock":       {replace("lock: SHA256:l", "lock: SHA256:"), "contexts.yaml:10: contexts.megabus.lock: want a key's fingerprint"},
		"root":       {replace("{controller: 'SHA256:c", "{controller: 'SHA256:"), "contexts.yaml:11: contexts.megabus.roots.controller"},
		"one root":   {replace("ppppppppppppppppppppp/ppppppppppppppppppppp'}", "ccccccccccccccccccccc+ccccccccccccccccccccc'}"), "one key cannot be the root of both"},
		"third root": {replace("{controller:", "{lock: SHA256:x, controller:"), "contexts.megabus.roots.lock: unknown key"},
		"key":        {replace("key: ~/.ssh/id_ed25519", "key: SHA256:short"), "contexts.yaml:12: contexts.megabus.key: want a key's fingerprint"},
		"key lines":  {replace("key: ~/.ssh/id_ed25519", `key: "a\nb"`), "contexts.megabus.key: want a path on one line"},
		"proxy":      {replace("http://julie@proxy", "ftp://julie@proxy"), "contexts.yaml:13: contexts.megabus.proxy: want http"},
		"secret":     {replace("julie@", "julie:sesame@"), "a password does not stand here"},
		"whose":      {replace("julie@", ""), "a password is one account's"},
		"no proxy":   {replace("    proxy: http://julie@proxy:3128\n", ""), "contexts.megabus.proxy_password_file: there is no proxy"},
		"twice":      {replace("  quatre-vents:", "  megabus:"), "key given twice"},
		"alias":      {replace("key: ~/.ssh/id_ed25519", "key: *a"), "unknown anchor"},
		"empty":      {"", "document is empty"},
	} {
		_, err := LoadContexts(device(t, c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: it is %s", name, ecluse.KindOf(err))
		}
	}
	// Everything wrong is told at once, in the order of the lines.
	_, err := LoadContexts(device(t, strings.ReplaceAll(strings.Replace(contextsExample, "current: megabus", "current: x", 1), "SHA256:p", "SHA256:")))
	if ps, ok := err.(document.Problems); !ok || len(ps) != 3 || ps[0].Line != 3 || ps[1].Line != 11 || ps[2].Line != 23 {
		t.Errorf("got %v", err)
	}
}

// TestContextsAreTheirOwners: whoever may write in the file or its folder would
// choose whom the device believes.
func TestContextsAreTheirOwners(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("rights are not modes there")
	}
	dir := device(t, contextsExample)
	path := filepath.Join(dir, ContextsName)
	elsewhere := device(t, contextsExample)
	linked := t.TempDir()
	if err := os.Symlink(filepath.Join(elsewhere, ContextsName), filepath.Join(linked, ContextsName)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dir, changed string
		mode         os.FileMode
		refused      bool
	}{
		{dir, path, 0o644, false},
		{dir, path, 0o620, true},
		{dir, path, 0o602, true},
		{dir, path, 0o600, false},
		{dir, dir, 0o770, true},
		{dir, dir, 0o755, false},
		{linked, elsewhere, 0o777, true},
		{linked, elsewhere, 0o700, false},
	} {
		if err := os.Chmod(c.changed, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadContexts(c.dir)
		if (err != nil) != c.refused {
			t.Errorf("%s %o: %v", c.changed, c.mode, err)
		}
		if e, ok := err.(*ecluse.Error); c.refused && (!ok || e.Kind != ecluse.Refused || e.Next != "chmod go-w "+c.changed) {
			t.Errorf("%s %o: %#v", c.changed, c.mode, err)
		}
	}
	if err := ChangeContexts(linked, func(c *Contexts) error { return c.Use("quatre-vents") }); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Lstat(filepath.Join(linked, ContextsName)); err != nil || st.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", st, err)
	}
	if !strings.Contains(fileOf(t, elsewhere), "current: quatre-vents") {
		t.Error("the file behind the link was not written")
	}
}

// TestContextsChange: a program changes what it means to; the rest stays as its
// owner wrote it, comments too.
func TestContextsChange(t *testing.T) {
	dir := device(t, contextsExample)
	change := func(f func(c *Contexts) error) {
		t.Helper()
		if err := ChangeContexts(dir, f); err != nil {
			t.Fatal(err)
		}
	}
	x := other("third")
	x.Key, x.Proxy = "/k: #1", "https://proxy"
	change(func(c *Contexts) error { return c.Add(x) })
	text := fileOf(t, dir)
	if !strings.HasPrefix(text, contextsExample) {
		t.Errorf("what stood there changed:\n%s", text)
	}
	c, err := LoadContexts(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get("third"); err != nil || !reflect.DeepEqual(*got, x) || c.Current != "megabus" {
		t.Errorf("got %+v, %v; want %+v", got, err, x)
	}

	change(func(c *Contexts) error { return c.Use("third") })
	if want := strings.Replace(text, "current: megabus #", "current: third #", 1); fileOf(t, dir) != want {
		t.Errorf("got\n%s", fileOf(t, dir))
	}
	change(func(c *Contexts) error { return c.Remove("megabus") })
	if text = fileOf(t, dir); strings.Contains(text, "Aubry") || !strings.Contains(text, "# only in summer") || !strings.Contains(text, "# This laptop") {
		t.Errorf("got\n%s", text)
	}
	change(func(c *Contexts) error { return c.Remove("third") })
	change(func(c *Contexts) error { return c.Remove("quatre-vents") })
	if c, err = LoadContexts(dir); err != nil || c.Current != "" || len(c.Names()) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
	if !strings.Contains(fileOf(t, dir), "# This laptop") {
		t.Errorf("got\n%s", fileOf(t, dir))
	}
	change(func(c *Contexts) error { return c.Add(other("again")) })
	if c, err = LoadContexts(dir); err != nil || c.Current != "again" {
		t.Errorf("%+v, %v", c, err)
	}
	if st, err := os.Stat(filepath.Join(dir, ContextsName)); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// TestContextsNew: the first context makes folder and file, for their owner alone.
func TestContextsNew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := ChangeContexts(dir, func(c *Contexts) error { return c.Add(other("first")) }); err != nil {
		t.Fatal(err)
	}
	if text := fileOf(t, dir); !strings.HasPrefix(text, "ecluse: contexts/v1\ncurrent: first\ncontexts:\n  first:\n    server: https://other.example\n") {
		t.Errorf("got\n%s", text)
	}
	if st, err := os.Stat(dir); err != nil || runtime.GOOS != "windows" && st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestContextsChangeRefuses(t *testing.T) {
	dir := device(t, contextsExample)
	bad := other("-")
	bad.Server, bad.Lock, bad.Proxy = "https://a/b", "", "http://u:sesame@p"
	for want, f := range map[string]func(*Contexts) error{
		"the name is taken":          func(c *Contexts) error { return c.Add(other("megabus")) },
		"it is not there; known":     func(c *Contexts) error { return c.Use("x") },
		`remove context "x"`:         func(c *Contexts) error { return c.Remove("x") },
		"name: want lower-case":      func(c *Contexts) error { return c.Add(bad) },
		"server: want https":         func(c *Contexts) error { return c.Add(bad) },
		"; lock: want a key's":       func(c *Contexts) error { return c.Add(bad) },
		"; proxy: a password does n": func(c *Contexts) error { return c.Add(bad) },
	} {
		if err := ChangeContexts(dir, f); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if fileOf(t, dir) != contextsExample {
		t.Error("a refused change was written")
	}
	// What did not change is not written again.
	if err := ChangeContexts(dir, func(c *Contexts) error { return c.Use("megabus") }); err != nil || fileOf(t, dir) != contextsExample {
		t.Errorf("%v", err)
	}
}

// TestContextsAtOnce: several processes add, and nobody's context is lost.
func TestContextsAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			if err := ChangeContexts(dir, func(c *Contexts) error { return c.Add(other(fmt.Sprintf("lab-%d", i))) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if c, err := LoadContexts(dir); err != nil || len(c.Names()) != 20 {
		t.Errorf("%v, %v", c.Names(), err)
	}
}

func TestProxyURL(t *testing.T) {
	dir := device(t, contextsExample)
	c, err := LoadContexts(dir)
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.Get("megabus")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.ProxyURL(); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("without the file: %v", err)
	}
	if err := os.WriteFile(x.ProxyPasswordFile, []byte("p@ss\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := x.ProxyURL(); runtime.GOOS != "windows" && (ecluse.KindOf(err) != ecluse.Refused || strings.Contains(err.Error(), "p@ss")) {
		t.Errorf("readable by others: %v", err)
	}
	if err := os.Chmod(x.ProxyPasswordFile, 0o600); err != nil {
		t.Fatal(err)
	}
	if u, err := x.ProxyURL(); err != nil || u.String() != "http://julie:p%40ss@proxy:3128" {
		t.Errorf("%v, %v", u, err)
	}
	if u, err := (&Context{}).ProxyURL(); u != nil || err != nil {
		t.Errorf("%v, %v", u, err)
	}
}

func TestLine(t *testing.T) {
	c, err := LoadContexts(device(t, contextsExample))
	if err != nil {
		t.Fatal(err)
	}
	x, err := c.Get("megabus")
	if err != nil {
		t.Fatal(err)
	}
	const want = "ecluse://ecluse.vendor.example:8443/megabus?pin=sha256:abababababababababababababababababababababababababababababababab" +
		"&lock=SHA256:lllllllllllllllllllllllllllllllllllllllllll&controller=SHA256:ccccccccccccccccccccc%2Bccccccccccccccccccccc&processor=SHA256:ppppppppppppppppppppp/ppppppppppppppppppppp"
	if x.Line() != want {
		t.Errorf("got %s", x.Line())
	}
	*x = Context{Server: x.Server, Laboratory: x.Laboratory, Pin: x.Pin, Lock: x.Lock, Roots: x.Roots}
	for _, line := range []string{want, " " + want + "\r\n", strings.Replace(want, "%2B", "+", 1), strings.Replace(want, ":l", "%3Al", 1)} {
		if got, err := ParseLine(line); err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for name, c := range map[string]struct{ line, want string }{
		"https":    {strings.Replace(want, "ecluse://", "https://", 1), "want ecluse://"},
		"long":     {want + strings.Repeat("&", maxLine), "want ecluse://"},
		"cut":      {strings.SplitN(want, "&", 2)[0], "lock: missing; controller: missing; processor: missing"},
		"no query": {"ecluse://h/l", "pin: missing"},
		"host":     {strings.Replace(want, "ecluse.vendor", "é", 1), "server: want https"},
		"user":     {strings.Replace(want, "://", "://julie:sesame@", 1), "server: want https"},
		"deeper":   {strings.Replace(want, "/megabus", "/megabus/x", 1), "laboratory: want lower-case"},
		"pin":      {strings.Replace(want, "sha256:ab", "sha256:", 1), "pin: want the SHA-256"},
		"twice":    {want + "&lock=SHA256:x", "lock: given twice"},
		"unknown":  {want + "&key=SHA256:x", `"key": unknown`},
		"escape":   {strings.Replace(want, "%2B", "%zz", 1), "controller: a %"},
	} {
		_, err := ParseLine(c.line)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "sesame") || ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestFolder(t *testing.T) {
	env := func(string) string { return "/elsewhere" }
	if dir, err := Folder(env); err != nil || dir != "/elsewhere" {
		t.Errorf("%q, %v", dir, err)
	}
	none := func(string) string { return "" }
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(string(filepath.Separator), "home", "julie", ".config"))
	if dir, err := Folder(none); err != nil || filepath.Base(dir) != "ecluse" {
		t.Errorf("%q, %v", dir, err)
	}
	if runtime.GOOS == "linux" {
		t.Setenv("XDG_CONFIG_HOME", "")
		t.Setenv("HOME", "")
		if _, err := Folder(none); err == nil || !strings.Contains(err.(*ecluse.Error).Next, "ECLUSE_CONFIG") {
			t.Errorf("without a home: %v", err)
		}
	}
}

// FuzzContexts: whatever a file says, a change to it changes nothing else.
func FuzzContexts(f *testing.F) {
	f.Add([]byte(contextsExample))
	f.Add([]byte("ecluse: contexts/v1\n"))
	f.Add([]byte("{ecluse: contexts/v1, contexts: {}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseContexts("contexts.yaml", bytes.Clone(text))
		if err != nil {
			return
		}
		before := map[string]Context{}
		for name, x := range c.All.All() {
			before[name] = *x
		}
		const name = "the-name-that-is-added-by-the-fuzz"
		if _, taken := before[name]; taken {
			return
		}
		x := other(name)
		x.Name = ""
		if err := c.Add(other(name)); err != nil {
			return // said, and nothing written
		}
		if err := c.Use(name); err != nil {
			t.Fatal(err)
		}
		if got, _ := c.All.Get(name); !reflect.DeepEqual(*got, x) || c.Current != name {
			t.Errorf("added %+v, current %q", got, c.Current)
		}
		if err := c.Remove(name); err != nil {
			t.Fatal(err)
		}
		if c.Current != "" || c.All.Len() != len(before) {
			t.Errorf("current %q of %q", c.Current, c.Names())
		}
		for n, was := range before {
			if is, ok := c.All.Get(n); !ok || !reflect.DeepEqual(*is, was) {
				t.Errorf("%s was %+v, is %+v\n%s", n, was, is, c.text)
			}
		}
	})
}

// FuzzLine: a line that is taken is written the same way by everybody.
func FuzzLine(f *testing.F) {
	x := other("")
	f.Add(x.Line())
	f.Add("ecluse://h:1/l?pin=&lock&=&%")
	f.Fuzz(func(t *testing.T, line string) {
		x, err := ParseLine(line)
		if err != nil {
			return
		}
		y, err := ParseLine(x.Line())
		if err != nil || !reflect.DeepEqual(x, y) {
			t.Errorf("%+v became %+v, %v", x, y, err)
		}
	})
}
