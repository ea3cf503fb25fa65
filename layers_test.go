package ecluse_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// Imports point down towards the record; never sideways, never back up. What a
// package may import of ours is listed here; what is not listed is refused.
//
// "x/*" is every package one step below x, "x/**" every package below it, and
// "engine/=" the engine of the same name as the importing leaf. Test files are
// free; packages whose name ends in "test" are suites and helpers, free too, and
// only test files and other suites may import them.
const (
	water   = "internal/sluice"
	rec     = water + "/record"
	engine  = water + "/engine"
	mandate = "internal/mandate"
	doc     = "internal/document"
	durable = "internal/durable" // files that survive; imports nothing of ours
	root    = "."
)

type layer struct {
	pkg  string
	uses []string
}

func layers() []layer {
	return []layer{
		{root, nil},
		{durable, nil},
		{doc, []string{root}},
		{"internal/config", []string{root, doc, durable}},
		{"evidence", []string{root, doc}},
		{"internal/words", []string{root}},
		{"internal/french", []string{root, doc}}, // errors as a French screen shows them; whoever makes one does not know it

		{mandate, []string{root, "evidence", doc}},
		{rec, []string{root}},
		{water + "/screen", []string{root, rec, mandate}},
		{engine + "/*", []string{root, rec, mandate}},
		{water + "/reader", []string{root, rec, mandate}},
		{water + "/writer", []string{root, rec, mandate, water + "/reader"}},
		{water + "/reader/*", []string{root, rec, mandate, water + "/reader", engine + "/="}},
		{water + "/writer/*", []string{root, rec, mandate, water + "/reader", water + "/writer", engine + "/="}},
		{water + "/seal", []string{root, rec, "evidence"}},
		{water + "/mapping", []string{root, rec, "evidence", doc, water + "/mapping/expr"}},
		{water + "/mapping/expr", []string{root, rec}},
		{water + "/twin", []string{root, rec}}, // given a schema, and nothing that opens a database
		{water + "/reconcile", []string{root, rec, water + "/reader", engine + "/*"}},
		{water + "/bucket", []string{root, rec, water + "/reader", water + "/reconcile"}}, // what changed between two readings
		{water, []string{root, "evidence", mandate, water + "/**"}},

		{"internal/procedure", []string{root, "evidence"}},
		{"internal/journal", []string{root, "evidence"}},
		{"internal/due", []string{root, "evidence"}},
		{"internal/chamber", []string{root, "evidence", durable}},
		{"internal/erasure", []string{root, "evidence", durable}},
		{"internal/account", []string{root, "evidence"}},
		{"internal/sheet", []string{root, doc}},                // the cut-over sheet on paper; it knows no server
		{"internal/wire", []string{root, "evidence", durable}}, // TLS between server, gates and people
		{"internal/store", []string{root, "evidence", "internal/procedure", "internal/journal", "internal/due", "internal/account"}},
		{"internal/store/*", []string{root, "evidence", durable, "internal/store", "internal/procedure", "internal/journal", "internal/due", "internal/account"}},

		// What lock, gates and people say to each other: nouns, and no way to say them.
		{"internal/exchange", []string{root, "evidence", doc, "internal/procedure", "internal/due"}},
		{"internal/gate", []string{root, "evidence", doc, mandate, durable, "internal/config", "internal/exchange", "internal/erasure", water, water + "/**"}},
		{"internal/lock", []string{
			root, "evidence", doc, mandate, durable, "internal/exchange", "internal/words", "internal/procedure", "internal/journal", "internal/chamber",
			"internal/erasure", "internal/due", "internal/account", "internal/store", "internal/store/*",
		}},
		// A person's own machine: gate for the statements that gates sign, never to run one.
		{"internal/desk", []string{
			root, "evidence", doc, mandate, durable, "internal/exchange", "internal/words", "internal/procedure", "internal/due", "internal/gate", water + "/mapping",
		}},
		{"internal/api", []string{root, "evidence", doc, "internal/exchange", "internal/account", "internal/lock", "internal/wire", "internal/due", "internal/procedure"}},
		{"internal/client", []string{root, "evidence", doc, "internal/exchange", "internal/wire", "internal/due", "internal/procedure"}},
		{"internal/carry", []string{root, "evidence", durable, "internal/exchange"}}, // fills gate.Lock from a folder that is carried
		{"internal/app", []string{"**"}},
		{"internal/app/*", []string{"**"}},
		{"internal/demo", []string{root, "evidence", durable, "internal/app", "internal/desk", "internal/exchange", "internal/procedure", water}},
		// Beside app: the types of what app hands it to show (plans, places,
		// progress, reports, problems of documents), never what makes them.
		{"internal/cli", []string{
			root, "evidence", durable, "internal/app", "internal/config", "internal/demo", "internal/desk", "internal/exchange", "internal/wire", "internal/words", "internal/account",
			"internal/french", doc, mandate, "internal/sheet", "internal/procedure", "internal/due", "internal/gate", water, water + "/reconcile",
		}},
		{"cmd/ecluse", []string{"internal/cli"}},
		{"bench", []string{"**"}},
		{"faults", nil}, // all of it is in tests
	}
}

// An outside package has owners and a reason. The owner of x owns what is below
// x too. An empty list of owners forbids the package.
type outside struct {
	pkg    string
	owners []string
	reason string
}

func outsiders() []outside {
	everywhere := []string{"**"}
	return []outside{
		{"github.com/apache/arrow-go/v18/arrow/compute", nil, "30 MB of kernels and gRPC"},
		{"github.com/apache/arrow-go/v18/arrow/flight", nil, "gRPC"},
		{"github.com/apache/arrow-go/v18/parquet", nil, "35 MB; unbounded on damaged files"},
		{"github.com/google/cel-go", nil, "moved to cel.dev/cel-go"},
		{"github.com/mattn/go-sqlite3", nil, "needs cgo"},
		{"unsafe", nil, "no code of ours needs it"},
		{"plugin", nil, "the binary is one piece"},
		{"net/http", []string{"internal/api", "internal/web", "internal/client", "internal/wire"}, "one place serves, one place asks, wire makes the connection between them (http.Transport, CONNECT)"},
		{"database/sql", []string{engine, water + "/reader", water + "/writer", "internal/store", "internal/app", "internal/demo", "bench"}, "databases stand behind reader, writer and store"},
		{"os/exec", []string{"internal/cli", "internal/app", "bench"}, "only what a person typed starts a process"},

		{"github.com/apache/arrow-go/v18", []string{rec}, "the one shape in flight"},
		{"github.com/jackc/pgx/v5", []string{engine + "/postgres", water + "/reader/postgres", water + "/writer/postgres", "bench"}, "PostgreSQL"},
		{"github.com/go-sql-driver/mysql", []string{engine + "/mysql", water + "/reader/mysql", water + "/writer/mysql", "bench"}, "MariaDB and MySQL"},
		{"modernc.org/sqlite", []string{engine + "/sqlite", water + "/reader/sqlite", water + "/writer/sqlite", "internal/store/sqlite", "internal/app", "internal/demo"}, "SQLite without cgo"},
		{"github.com/pressly/goose/v3", []string{"internal/store"}, "migrations of the control database"},
		{"filippo.io/age", []string{water, "internal/gate", "internal/app", "evidence"}, "chunks"},
		{"github.com/hiddeco/sshsig", []string{"evidence"}, "signatures"},
		{"golang.org/x/crypto/ssh", []string{"bench", "internal/lock", "internal/desk", "internal/client", "evidence", mandate, water, "internal/gate", "internal/journal", "internal/store", "internal/erasure", "internal/chamber", "internal/wire", "internal/app", "internal/demo", "internal/cli"}, "people's and gates' keys"},
		{"golang.org/x/mod/sumdb", []string{"evidence", "internal/journal", "internal/store", "internal/gate", "internal/carry"}, "Merkle trees"},
		{"github.com/danielgtaylor/huma/v2", []string{"internal/api"}, "JSON routes, their validation and OpenAPI 3.1"},
		{"golang.org/x/time", []string{"internal/api"}, "how often one may ask"},
		{"github.com/klauspost/compress", []string{water + "/seal"}, "zstd"},
		{"cel.dev/cel-go", []string{water + "/mapping"}, "syntax and type checker of mappings"},
		{"cel.dev/expr", []string{water + "/mapping"}, "the checked tree"},
		{"go.yaml.in/yaml/v3", []string{doc, "internal/app"}, "documents people write"},
		{"github.com/alecthomas/kong", []string{"internal/cli"}, "the command line"},
		{"golang.org/x/term", []string{"internal/cli"}, "is a person watching"},
		{"golang.org/x/text", []string{water, "evidence", "internal/app", "internal/cli", "internal/words"}, "character sets, accents"},
		{"github.com/tyler-smith/go-bip39/wordlists", []string{"internal/words"}, "2048 words of each language, known to the letter"},
		{"github.com/tyler-smith/go-bip39", nil, "wallets"},
		{"codeberg.org/go-pdf/fpdf", []string{"internal/sheet"}, "PDF"},
		{"golang.org/x/image", []string{"internal/sheet"}, "two fonts with accents, for the PDF, and which characters they have"},
		{"golang.org/x/sync", everywhere, "errgroup"},
		{"golang.org/x/sys", everywhere, "what the standard library lacks of an operating system"},
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

const module = "ecluse"

// short is a package's path inside the module, "." for the root.
func short(importPath string) (string, bool) {
	if importPath == module {
		return root, true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// matches tells whether package p is meant by pattern; from is who imports it.
func matches(pattern, p, from string) bool {
	switch {
	case pattern == "**":
		return true
	case strings.HasSuffix(pattern, "/**"):
		return strings.HasPrefix(p, strings.TrimSuffix(pattern, "**"))
	case strings.HasSuffix(pattern, "/*"):
		return path.Dir(p) == strings.TrimSuffix(pattern, "/*")
	case strings.HasSuffix(pattern, "/="):
		return p == strings.TrimSuffix(pattern, "=")+path.Base(from)
	}
	return p == pattern
}

func isSuite(p string) bool { return strings.HasSuffix(path.Base(p), "test") }

// violations checks a graph of packages against the two tables.
func violations(graph []goPackage, table []layer, out []outside) []string {
	var bad []string
	for _, g := range graph {
		from, _ := short(g.ImportPath)
		var uses []string
		listed := false
		for _, l := range table {
			if matches(l.pkg, from, "") {
				uses, listed = l.uses, true
				break
			}
		}
		if isSuite(from) {
			continue
		}
		if !listed {
			bad = append(bad, fmt.Sprintf("%s is not in the table of layers", from))
			continue
		}
		for _, i := range g.Imports {
			p, ours := short(i)
			switch {
			case ours && isSuite(p):
				bad = append(bad, fmt.Sprintf("%s imports %s: suites are for tests", from, p))
			case ours && !slices.ContainsFunc(uses, func(u string) bool { return matches(u, p, from) }):
				bad = append(bad, fmt.Sprintf("%s may not import %s", from, p))
			case !ours:
				bad = append(bad, outsideViolation(from, i, out)...)
			}
		}
	}
	return bad
}

func outsideViolation(from, imported string, out []outside) []string {
	for _, o := range out {
		if imported != o.pkg && !strings.HasPrefix(imported, o.pkg+"/") {
			continue
		}
		for _, owner := range o.owners {
			if owner == "**" || from == owner || strings.HasPrefix(from, owner+"/") {
				return nil
			}
		}
		return []string{fmt.Sprintf("%s may not import %s (%s)", from, imported, o.reason)}
	}
	if strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		return []string{fmt.Sprintf("%s imports %s, which has no owner in the table", from, imported)}
	}
	return nil
}

func TestLayers(t *testing.T) {
	graph := goList[goPackage](t, "-e", "-json=ImportPath,Imports", "./...")
	if len(graph) < 5 {
		t.Fatalf("go list found %d packages", len(graph))
	}
	for _, v := range violations(graph, layers(), outsiders()) {
		t.Error(v)
	}
}

// TestLayersCatch plants faults: the check must be able to fail.
func TestLayersCatch(t *testing.T) {
	faults := []struct{ from, imports, want string }{
		{"internal/due", "ecluse/internal/journal", "internal/due may not import internal/journal"},
		{water + "/reconcile", "ecluse/internal/sluice/mapping", "may not import internal/sluice/mapping"},
		{water + "/reader/postgres", "ecluse/internal/sluice/engine/mysql", "may not import internal/sluice/engine/mysql"},
		{water + "/reader/postgres", "ecluse/internal/sluice/engine/postgres", ""},
		{water + "/seal", "ecluse/internal/sluice/writer", "may not import internal/sluice/writer"},
		{"internal/gate", "ecluse/internal/sluice/reader/readertest", "suites are for tests"},
		{"internal/gate", "ecluse/internal/sluice/reader/postgres", ""},
		{"internal/nowhere", "fmt", "not in the table"},
		{rec, "github.com/apache/arrow-go/v18/arrow/compute", "30 MB"},
		{rec, "github.com/apache/arrow-go/v18/arrow/ipc", ""},
		{mandate, "github.com/apache/arrow-go/v18/arrow", "the one shape in flight"},
		{mandate, "example.org/anything", "no owner"},
		{"evidence", "net/http", "one place serves"},
		{root, "unsafe", "no code of ours"},
	}
	for _, f := range faults {
		graph := []goPackage{{ImportPath: module + "/" + f.from, Imports: []string{"fmt", f.imports}}}
		if f.from == root {
			graph[0].ImportPath = module
		}
		got := strings.Join(violations(graph, layers(), outsiders()), "\n")
		if (f.want == "") != (got == "") || !strings.Contains(got, f.want) {
			t.Errorf("%s importing %s: got %q, want %q", f.from, f.imports, got, f.want)
		}
	}
}

// TestEvidenceLinks: whoever verifies a bundle offline can read all that does it.
func TestEvidenceLinks(t *testing.T) {
	forbidden := []string{"net/http", "database/sql", "os/exec", "plugin", "github.com/apache/arrow-go/v18/arrow"}
	for _, g := range goList[goPackage](t, "-e", "-deps", "-json=ImportPath", "./evidence") {
		if slices.Contains(forbidden, g.ImportPath) {
			t.Errorf("evidence links %s", g.ImportPath)
		}
	}
}

// TestLibc: modernc.org/sqlite works with the libc it was made for and no other
// (cznic/sqlite#177).
func TestLibc(t *testing.T) {
	want := required(t, strings.TrimSpace(string(run(t, "go", "list", "-m", "-f", "{{.GoMod}}", "modernc.org/sqlite"))))
	if got := required(t, "go.mod"); got != want {
		t.Errorf("go.mod requires modernc.org/libc %s, modernc.org/sqlite was made for %s", got, want)
	}
}

func required(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := modfile.Parse(file, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range m.Require {
		if r.Mod.Path == "modernc.org/libc" {
			return r.Mod.Version
		}
	}
	t.Fatalf("%s does not require modernc.org/libc", file)
	return ""
}

// TestDepaware: depaware.txt lists every package that is not the standard
// library's and that cmd/ecluse links. A new line is a decision.
func TestDepaware(t *testing.T) {
	linked := map[string]bool{}
	for _, g := range goList[goPackage](t, "-e", "-deps", "-json=ImportPath,Standard", "./cmd/ecluse") {
		if _, ours := short(g.ImportPath); !ours && !g.Standard {
			linked[g.ImportPath] = true
		}
	}
	got := strings.Join(slices.Sorted(maps.Keys(linked)), "\n") + "\n"
	const file = "depaware.txt"
	if os.Getenv("ECLUSE_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("cmd/ecluse links other packages than %s says; look at the difference, then: make docs", file)
	}
}

func goList[T any](t *testing.T, args ...string) []T {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(run(t, "go", append([]string{"list"}, args...)...)))
	var all []T
	for {
		var one T
		if err := dec.Decode(&one); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return out
}
