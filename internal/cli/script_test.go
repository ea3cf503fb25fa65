package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/demo"
)

// TestScripts tells the story by hand, through the command line: testdata/script.
// Beside testscript's own, scripts have these commands:
//
//	labs N             both laboratories, of N patients, and gate.yaml of both gates when room/ is there
//	people             all that story.txtar does until then: keys, room/, 200 patients, roots, up
//	up                 start server and gates of room/, and let the device know of them
//	roots              CONTROLLER and PROCESSOR become the fingerprints of keys/root-….pub
//	papers KIND…       write rosters, contract, instruction, mapping
//	code N COMMAND…    run it and want that exit code
//	fields NAME        stdout is one JSON object whose fields are those of testdata/json/NAME.txt
//	due KIND           what is due of a kind has come
//	sql DB STATEMENT   run a statement
//	facts NAME         remember what stands in the new laboratory, or compare with it
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", WorkdirRoot: roomtest.Temp(t), RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			e.Setenv("TMPDIR", e.WorkDir)
			e.Setenv("LANG", "C")
			e.Setenv("ECLUSE_CONFIG", filepath.Join(e.WorkDir, "device"))
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Values["facts"] = map[string]string{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"labs": labs, "roots": roots, "people": people, "up": isUp, "papers": papers, "code": code, "fields": fields, "due": isDue, "sql": runSQL, "facts": facts,
		},
	})
}

// laboratory is the script's folder, as roomtest sees one.
func laboratory(ts *testscript.TestScript) *roomtest.Dir {
	return &roomtest.Dir{TB: scriptTB{ts: ts}, Path: ts.MkAbs(".")}
}

// scriptTB lets a script's helpers fail the script.
type scriptTB struct {
	testing.TB
	ts *testscript.TestScript
}

func (s scriptTB) Helper()                   {}
func (s scriptTB) Context() context.Context  { return context.Background() }
func (s scriptTB) Cleanup(f func())          { s.ts.Defer(f) }
func (s scriptTB) Fatal(args ...any)         { s.ts.Fatalf("%s", fmt.Sprint(args...)) }
func (s scriptTB) Fatalf(f string, a ...any) { s.ts.Fatalf(f, a...) }

func labs(ts *testscript.TestScript, _ bool, args []string) {
	patients, err := strconv.Atoi(args[0])
	ts.Check(err)
	_, err = demo.MakeOld(context.Background(), ts.MkAbs("ancilab.db"), patients)
	ts.Check(err)
	ts.Check(demo.MakeNew(context.Background(), ts.MkAbs("novalab.db")))
	for gate, db := range map[string]string{"source": "ancilab.db", "target": "novalab.db"} {
		text := fmt.Sprintf("ecluse: gate/v1\nengine: sqlite\ncatalogue: {file: ../../%[1]s}\nrows: {file: ../../%[1]s}\n", db)
		ts.Check(os.WriteFile(ts.MkAbs(filepath.Join("room", gate, "gate.yaml")), []byte(text), 0o600))
	}
}

func people(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(os.Mkdir(ts.MkAbs("keys"), 0o700))
	for _, who := range []string{"root-controller", "root-processor", roomtest.Claire, roomtest.Helene, roomtest.Julie, roomtest.Marc} {
		ts.Check(ts.Exec("ecluse", "key", "new", "keys/"+who))
	}
	roots(ts, false, nil)
	ts.Check(ts.Exec("ecluse", "init", "room", "--controller", ts.Getenv("CONTROLLER"), "--processor", ts.Getenv("PROCESSOR")))
	labs(ts, false, []string{"200"})
	isUp(ts, false, nil)
}

func isUp(ts *testscript.TestScript, _ bool, _ []string) { up(scriptTB{ts: ts}, laboratory(ts)) }

func roots(ts *testscript.TestScript, _ bool, _ []string) {
	for name, side := range map[string]ecluse.Side{"CONTROLLER": ecluse.Controller, "PROCESSOR": ecluse.Processor} {
		out, err := exec.Command("ssh-keygen", "-lf", ts.MkAbs(filepath.Join("keys", demo.RootKey(side)+".pub"))).Output()
		ts.Check(err)
		ts.Setenv(name, strings.Fields(string(out))[1])
	}
}

func papers(ts *testscript.TestScript, _ bool, kinds []string) {
	cast, err := demo.OpenCast(ts.MkAbs("keys"))
	ts.Check(err)
	now := time.Now()
	write := func(name string, text []byte, err error) {
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name), text, 0o600))
	}
	for _, kind := range kinds {
		switch kind {
		case "rosters":
			for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
				text, err := cast.Roster(side, now)
				write("roster-"+string(side)+".yaml", text, err)
			}
		case "contract":
			text, err := cast.Contract(now)
			write("contract.yaml", text, err)
		case "instruction", "keeping", "catching": // keeping rows put aside, until a day after the deadline; letting the source be read again
			text, err := demo.Instruction(ecluse.DigestOf([]byte(ts.ReadFile("contract.yaml"))), gatePrint(ts, "source"), gatePrint(ts, "target"), 1000, now.AddDate(0, 1, 0))
			if kind == "keeping" {
				text = append(text, "rejects_until: "+now.AddDate(0, 0, 45).Format(time.DateOnly)+"\n"...)
			}
			if kind == "catching" {
				text = bytes.Replace(text, []byte("final: 1}"), []byte("final: 1, catch_up: 2}"), 1)
			}
			write("instruction.yaml", text, err)
		case "mapping":
			text, frozen, err := demo.Mapping(ecluse.DigestOf([]byte(ts.ReadFile("instruction.yaml"))))
			write("mapping.yaml", text, err)
			for name, table := range frozen {
				write(name, table, nil)
			}
		default:
			ts.Fatalf("no papers of the kind %s", kind)
		}
	}
}

func gatePrint(ts *testscript.TestScript, gate string) ecluse.Fingerprint {
	out, err := exec.Command("ssh-keygen", "-lf", ts.MkAbs(filepath.Join("room", gate, "gate_key"))).Output()
	ts.Check(err)
	return ecluse.Fingerprint(strings.Fields(string(out))[1])
}

func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func isDue(ts *testscript.TestScript, _ bool, args []string) {
	if args[0] == "erase" || args[0] == "contract-end" {
		laboratory(ts).Late()
	}
	laboratory(ts).Exec("room/lock/control.db", "UPDATE due SET at = 1 WHERE kind = '"+args[0]+"' AND done = 0")
}

func runSQL(ts *testscript.TestScript, _ bool, args []string) { laboratory(ts).Exec(args[0], args[1]) }

func facts(ts *testscript.TestScript, neg bool, args []string) {
	known := ts.Value("facts").(map[string]string)
	now, _ := laboratory(ts).Facts()
	was, ok := known[args[0]]
	if !ok {
		known[args[0]] = now
	} else if (was == now) == neg {
		ts.Fatalf("the new laboratory stands as when %s was noted: %v", args[0], was == now)
	}
}

// fields compares the fields of the JSON object on stdout, with a list that
// ECLUSE_UPDATE writes. What the list says is what docs/reference/cli.md prints.
func fields(ts *testscript.TestScript, _ bool, args []string) {
	if err := sameFields(args[0], ts.ReadFile("stdout")); err != nil {
		ts.Fatalf("%v", err)
	}
}

// sameFields wants text to be one JSON object whose fields are those of a list.
func sameFields(name, text string) error {
	dec := json.NewDecoder(strings.NewReader(text))
	var object map[string]any
	if err := dec.Decode(&object); err != nil {
		return fmt.Errorf("stdout is no JSON object: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one object on stdout")
	}
	found := map[string]bool{}
	flatten("", object, found)
	list := make([]string, 0, len(found))
	for f := range found {
		list = append(list, f)
	}
	slices.Sort(list)
	got := strings.Join(list, "\n") + "\n"
	file := filepath.Join(testdata, name+".txt")
	if os.Getenv("ECLUSE_UPDATE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			return err
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if got != string(want) {
		return fmt.Errorf("the fields of %s changed; they are part of the interface.\ngot:\n%swant:\n%s", name, got, want)
	}
	return nil
}

// testdata is where the lists of fields are; a script's own folder is elsewhere.
var testdata = func() string {
	dir, err := filepath.Abs(filepath.Join("testdata", "json"))
	if err != nil {
		panic(err)
	}
	return dir
}()

// names that stand for data: datasets, tables.
var dataset = regexp.MustCompile(`^(ecluse\.checks|prescriber|patient|request|result|PATIENT|DEMANDE|RESULTAT|PRESCRIPTEUR|ANALYSE|COMPTE|[A-Z_]{4,})$`)

// flatten lists the paths of an object's fields: a.b, a[].b, a.NAME.b where the
// keys are names of data. Each ends in its kind of value.
func flatten(path string, v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			into[path+" object"] = true
		}
		for k, x := range v {
			if dataset.MatchString(k) {
				k = "NAME"
			}
			flatten(strings.TrimPrefix(path+"."+k, "."), x, into)
		}
	case []any:
		if len(v) == 0 {
			into[path+"[]"] = true
		}
		for _, x := range v {
			flatten(path+"[]", x, into)
		}
	case nil:
		into[path+" null"] = true
	case string:
		into[path+" string"] = true
	case bool:
		into[path+" boolean"] = true
	case float64:
		into[path+" number"] = true
	}
}
