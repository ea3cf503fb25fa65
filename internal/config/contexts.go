package config

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/document"
	"ecluse/internal/durable"
)

// ContextsName is the name of the file in a person's configuration folder that
// lists the laboratories their device knows.
const ContextsName = "contexts.yaml"

// contextsLock is held by whoever changes the file.
const contextsLock = "contexts.lock"

// contextsBegin is a list before its first context.
const contextsBegin = "ecluse: contexts/v1\n"

// Contexts is contexts.yaml: laboratories, on servers, by names that the device's
// owner chose.
type Contexts struct {
	// Format is always "contexts/v1".
	Format string `yaml:"ecluse"`
	// Current is the context of commands that name none.
	Current string `yaml:"current,omitempty"`
	// All of them, by name: lower-case letters, digits and hyphens, at most 40.
	All document.Map[Context] `yaml:"contexts,omitempty"`

	path string
	text []byte
}

// Context is one laboratory on one server, and what a device must know before it
// believes either. Nothing in it is secret.
type Context struct {
	// Name is the key it stands under, and Current tells whether commands that
	// name no context go there. Get sets them.
	Name    string `yaml:"-"`
	Current bool   `yaml:"-"`
	// Server is https://HOST or https://HOST:PORT.
	Server string `yaml:"server"`
	// Laboratory on that server: lower-case letters, digits and hyphens, at most 40.
	Laboratory string `yaml:"laboratory"`
	// Pin is the SHA-256 of the server's public key. It is verified instead of an
	// authority and a name.
	Pin ecluse.Digest `yaml:"pin"`
	// Lock is the key that signs the laboratory's journal.
	Lock ecluse.Fingerprint `yaml:"lock"`
	// Roots are the parties' root keys: who is believed about people.
	Roots Roots `yaml:"roots"`
	// Key signs where no other is named: a file, relative to contexts.yaml or
	// beginning with ~/, or the fingerprint of a key that ssh-agent holds.
	Key string `yaml:"key,omitempty"`
	// Proxy between this device and the server: http://HOST:PORT or https://HOST:PORT,
	// with the account's name where one is asked for: http://NAME@HOST:PORT.
	Proxy string `yaml:"proxy,omitempty"`
	// ProxyPasswordFile holds the proxy account's password, alone on its line, mode
	// 0600; found as Key is.
	ProxyPasswordFile string `yaml:"proxy_password_file,omitempty"`
}

// Roots are the fingerprints of the parties' root keys.
type Roots struct {
	Controller ecluse.Fingerprint `yaml:"controller" json:"controller"`
	Processor  ecluse.Fingerprint `yaml:"processor" json:"processor"`
}

// Folder is a person's configuration folder: what ECLUSE_CONFIG names, or ecluse
// in the user's configuration folder of the system.
func Folder(getenv func(string) string) (string, error) {
	if dir := getenv("ECLUSE_CONFIG"); dir != "" {
		return dir, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", &ecluse.Error{Kind: ecluse.Invalid, What: "find the configuration folder", Err: err, Next: "name one in ECLUSE_CONFIG"}
	}
	return filepath.Join(dir, "ecluse"), nil
}

const readContexts = "read the contexts"

// LoadContexts reads contexts.yaml of a configuration folder; where there is none,
// the list is empty. A file or folder that others may change is refused: who
// writes there chooses whom this device believes.
func LoadContexts(dir string) (*Contexts, error) {
	path := filepath.Join(dir, ContextsName)
	for _, d := range []string{dir, filepath.Dir(linked(path))} {
		if err := ownFolder(readContexts, d); err != nil {
			return nil, err
		}
	}
	text, err := readOwn(readContexts, path, othersWrite)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(contextsBegin), nil
	}
	if err != nil {
		return nil, err
	}
	return parseContexts(path, text)
}

// ChangeContexts loads the list, lets change do something to it and writes it,
// while no other process does. Comments in the file stay where they are; blank
// lines and indentation do not.
func ChangeContexts(dir string, change func(*Contexts) error) (err error) {
	const what = "write the contexts"
	failed := func(err error) error {
		return &ecluse.Error{Kind: ecluse.Failed, What: what, Where: dir, Err: cause(err)}
	}
	if err := durable.Mkdir(dir); err != nil {
		return failed(err)
	}
	unlock, err := durable.Lock(filepath.Join(dir, contextsLock))
	if err != nil {
		return failed(err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	c, err := LoadContexts(dir)
	if err != nil {
		return err
	}
	was := string(c.text)
	if err := change(c); err != nil || string(c.text) == was {
		return err
	}
	if err := durable.WriteFile(linked(c.path), c.text); err != nil {
		return failed(err)
	}
	return nil
}

// linked is where the file lies: a link into a folder of dotfiles stays a link.
func linked(path string) string {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		return at
	}
	return path
}

func parseContexts(path string, text []byte) (*Contexts, error) {
	c := &Contexts{path: path, text: text}
	lines, err := document.Decode(path, text, c)
	if err != nil {
		return nil, err
	}
	var problems document.Problems
	wrong := func(field, why string) { problems = append(problems, lines.Problem(field, why, "")) }
	if c.Format != "contexts/v1" {
		wrong("ecluse", "want contexts/v1")
	}
	if _, known := c.All.Get(c.Current); c.Current != "" && !known {
		wrong("current", "there is no such context below")
	}
	for name, x := range c.All.All() {
		at := "contexts." + name
		if !validID(name) {
			wrong(at, "the name: "+idRule)
		}
		x.check(func(field, why string) { wrong(at+"."+field, why) })
	}
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b document.Problem) int { return a.Line - b.Line })
		return nil, problems
	}
	return c, nil
}

// Names are the contexts' names, as they stand in the file.
func (c *Contexts) Names() []string { return c.All.Keys() }

// Get finds a context. Paths in it come back absolute.
func (c *Contexts) Get(name string) (*Context, error) {
	x, ok := c.All.Get(name)
	if !ok {
		return nil, c.unknown("find context " + strconv.Quote(name))
	}
	found := *x
	found.Name, found.Current = name, name == c.Current
	for _, p := range []*string{&found.Key, &found.ProxyPasswordFile} {
		if *p == "" || p == &found.Key && ecluse.Fingerprint(*p).Valid() {
			continue
		}
		var err error
		if *p, err = absolute(filepath.Dir(c.path), *p); err != nil {
			return nil, err
		}
	}
	return &found, nil
}

func (c *Contexts) unknown(what string) error {
	e := &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: c.path, Why: "it is not there", Next: "ecluse context list"}
	if c.All.Len() > 0 {
		e.Why += "; known: " + strings.Join(c.Names(), ", ")
	}
	return e
}

// absolute is a path as it stands in contexts.yaml, seen from anywhere.
func absolute(dir, path string) (string, error) {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", &ecluse.Error{Kind: ecluse.Invalid, What: "find the home folder", Where: path, Err: err, Next: "write the whole path in " + ContextsName}
		}
		return filepath.Join(home, rest), nil
	}
	if filepath.IsAbs(path) {
		return path, nil
	}
	return filepath.Abs(filepath.Join(dir, path))
}

// Add puts a context at the end of the list, under its name, which must be free.
// When none is the current one, it is from now on.
func (c *Contexts) Add(x Context) error {
	what := "add context " + strconv.Quote(x.Name)
	if _, taken := c.All.Get(x.Name); taken {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: c.path, Why: "the name is taken",
			Next: "choose another, or first: ecluse context remove " + x.Name,
		}
	}
	var w wrongs
	if !validID(x.Name) {
		w.add("name", idRule)
	}
	x.check(w.add)
	if len(w) > 0 {
		return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: w.String()}
	}
	return c.edit(what, func(root *document.Node) error {
		if c.Current == "" { // in a new file above the contexts, where people look for it
			if err := document.SetField(root, "current", x.Name); err != nil {
				return err
			}
		}
		all := document.Field(root, "contexts")
		if all == nil {
			return document.SetField(root, "contexts", map[string]Context{x.Name: x})
		}
		return document.SetField(all, x.Name, x)
	})
}

// Use makes a context the current one.
func (c *Contexts) Use(name string) error {
	what := "use context " + strconv.Quote(name)
	if _, ok := c.All.Get(name); !ok {
		return c.unknown(what)
	}
	if c.Current == name {
		return nil
	}
	return c.edit(what, func(root *document.Node) error { return document.SetField(root, "current", name) })
}

// Remove takes a context from the list. When it was the current one, none is.
func (c *Contexts) Remove(name string) error {
	what := "remove context " + strconv.Quote(name)
	if _, ok := c.All.Get(name); !ok {
		return c.unknown(what)
	}
	return c.edit(what, func(root *document.Node) error {
		if c.Current == name {
			document.RemoveField(root, "current")
		}
		if c.All.Len() == 1 {
			document.RemoveField(root, "contexts")
			return nil
		}
		document.RemoveField(document.Field(root, "contexts"), name)
		return nil
	})
}

// edit changes the text and reads it again: what is written later has been read.
func (c *Contexts) edit(what string, change func(root *document.Node) error) error {
	text, err := document.Edit(c.text, change)
	if err == nil {
		var after *Contexts
		if after, err = parseContexts(c.path, text); err == nil {
			*c = *after
			return nil
		}
	}
	return &ecluse.Error{
		Kind: ecluse.Failed, What: what, Where: c.path, Why: "the file is written in a way that a program cannot change safely",
		Next: "change it by hand", Err: err,
	}
}

// check tells everything wrong in a context, by field.
func (x *Context) check(wrong func(field, why string)) {
	x.way().check(wrong)
	key := func(field string, f ecluse.Fingerprint) {
		if !f.Valid() {
			wrong(field, "want a key's fingerprint, SHA256: and 43 characters, as ssh-keygen -lf prints it")
		}
	}
	key("lock", x.Lock)
	key("roots.controller", x.Roots.Controller)
	key("roots.processor", x.Roots.Processor)
	if x.Roots.Controller == x.Roots.Processor && x.Roots.Controller.Valid() {
		wrong("roots.processor", "one key cannot be the root of both parties")
	}
	if strings.HasPrefix(x.Key, "SHA256:") && !ecluse.Fingerprint(x.Key).Valid() {
		wrong("key", "want a key's fingerprint, SHA256: and 43 characters, as ssh-add -l prints it")
	}
	onOneLine("key", x.Key, wrong)
}

func (x *Context) way() way { return way{x.Server, x.Laboratory, x.Pin, x.Proxy, x.ProxyPasswordFile} }

// ProxyURL is the proxy with the account's password, read now; nil when there is
// no proxy. It is for the connection alone, never for a screen.
func (x *Context) ProxyURL() (*url.URL, error) { return x.way().proxyURL() }

// lineScheme begins a context written as one line.
const lineScheme = "ecluse://"

// maxLine bounds such a line; a real one has some 350 characters.
const maxLine = 2048

// Line is what a colleague needs to add the context to their own device:
//
//	ecluse://HOST:PORT/LABORATORY?pin=…&lock=…&controller=…&processor=…
//
// Key and proxy are this device's own and stay out.
func (x *Context) Line() string {
	// A plus is the one character of these values that forms read otherwise.
	plus := func(f ecluse.Fingerprint) string { return strings.ReplaceAll(string(f), "+", "%2B") }
	return lineScheme + strings.TrimPrefix(x.Server, "https://") + "/" + x.Laboratory + "?pin=" + x.Pin.String() +
		"&lock=" + plus(x.Lock) + "&controller=" + plus(x.Roots.Controller) + "&processor=" + plus(x.Roots.Processor)
}

// ParseLine reads what Line wrote. The context has no name yet.
func ParseLine(line string) (*Context, error) {
	const what = "read the context's line"
	line = strings.TrimSpace(line)
	rest, ok := strings.CutPrefix(line, lineScheme)
	if !ok || len(line) > maxLine {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: what, Why: "want ecluse://HOST:PORT/LABORATORY?pin=…&lock=…&controller=…&processor=…",
			Next: "ask whoever sent it to copy the line of: ecluse context show --as-line",
		}
	}
	place, query, _ := strings.Cut(rest, "?")
	host, laboratory, _ := strings.Cut(place, "/")
	x := &Context{Server: "https://" + host, Laboratory: laboratory}
	var w wrongs
	seen := map[string]bool{}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		value, err := url.PathUnescape(value) // it leaves a plus alone
		if err != nil {
			w.add(name, "a % without two hexadecimal digits behind it")
			continue
		}
		if seen[name] {
			w.add(name, "given twice")
			continue
		}
		seen[name] = true
		switch name {
		case "pin":
			if d, err := ecluse.ParseDigest(value); err == nil {
				x.Pin = d // else it stays zero, which check tells
			}
		case "lock":
			x.Lock = ecluse.Fingerprint(value)
		case "controller":
			x.Roots.Controller = ecluse.Fingerprint(value)
		case "processor":
			x.Roots.Processor = ecluse.Fingerprint(value)
		default:
			w.add(strconv.Quote(name), "unknown")
		}
	}
	x.check(func(field, why string) {
		field = strings.TrimPrefix(field, "roots.")
		if slices.Contains([]string{"pin", "lock", "controller", "processor"}, field) && !seen[field] {
			why = "missing"
		}
		w.add(field, why)
	})
	if len(w) > 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Invalid, What: what, Why: w.String(),
			Next: "copy the whole line and put it in quotes, for a shell ends it at the first &",
		}
	}
	return x, nil
}

// wrongs is everything wrong in what has no lines.
type wrongs []string

func (w *wrongs) add(field, why string) { *w = append(*w, field+": "+why) }

func (w wrongs) String() string { return strings.Join(w, "; ") }
