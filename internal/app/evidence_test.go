package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sync/errgroup"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/demo"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/stocktest"
)

// bundleOf writes the evidence of a small migration with rows put aside, and
// reads it.
func bundleOf(t *testing.T, patients int) (d *roomtest.Dir, bundle fstest.MapFS) {
	t.Helper()
	d = roomtest.At(t, roomtest.Erased, patients)
	r := d.Open()
	d.Verify(r)
	bundle = fstest.MapFS{}
	err := fs.WalkDir(os.DirFS(d.Join("evidence")), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		bundle[name] = &fstest.MapFile{Data: d.Read("evidence", filepath.FromSlash(name))}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return d, bundle
}

// held is a bundle in memory that costs nothing to walk and to read; one file of
// it may be another.
type held struct {
	fstest.MapFS
	dirs    map[string][]fs.DirEntry
	name    string
	instead []byte
}

func hold(t *testing.T, bundle fstest.MapFS) *held {
	t.Helper()
	h := &held{MapFS: bundle, dirs: map[string][]fs.DirEntry{}}
	err := fs.WalkDir(bundle, ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			h.dirs[name], err = fs.ReadDir(bundle, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *held) ReadDir(name string) ([]fs.DirEntry, error) { return h.dirs[name], nil }

func (h *held) ReadFile(name string) ([]byte, error) {
	if name == h.name {
		return h.instead, nil
	}
	return h.MapFS[name].Data, nil
}

// TestEveryByteOfTheEvidence flips every byte of every file of a real, small
// bundle in turn, the list of sums and its signatures included: each is refused.
func TestEveryByteOfTheEvidence(t *testing.T) {
	t.Parallel()
	d, bundle := bundleOf(t, 3)
	roots := d.Roots()
	if r := evidence.Verify(bundle, roots); !r.OK() {
		t.Fatalf("unchanged it does not verify:\n%s", r.Text())
	}
	total := 0
	whole := hold(t, bundle)
	runs := stocktest.Share(t, 6)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, name := range slices.Sorted(maps.Keys(bundle)) {
		total += len(bundle[name].Data)
		g.Go(func() error {
			text := bytes.Clone(bundle[name].Data)
			own := &held{bundle, whole.dirs, name, text}
			for at := range text {
				if !runs(at) {
					continue
				}
				text[at] ^= 1 << (at % 8)
				if r := evidence.Verify(own, roots); r.OK() || r.Verdict() != evidence.VerdictKO {
					return fmt.Errorf("%s, byte %d ^ %#x: %s", name, at, 1<<(at%8), r.Verdict())
				}
				text[at] ^= 1 << (at % 8)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d bytes in %d files", total, len(bundle))
}

// TestFilesOfTheEvidence takes each file away in turn, and puts one more in.
func TestFilesOfTheEvidence(t *testing.T) {
	t.Parallel()
	d, bundle := bundleOf(t, 3)
	roots := d.Roots()
	for name := range bundle {
		less := maps.Clone(bundle)
		delete(less, name)
		if r := evidence.Verify(less, roots); r.OK() {
			t.Errorf("without %s: %s", name, r.Verdict())
		}
	}
	for _, name := range []string{"notes.txt", "acts/more.act", "chunks/patient/000001.0.json"} {
		more := maps.Clone(bundle)
		more[name] = &fstest.MapFile{Data: []byte("x")}
		if r := evidence.Verify(more, roots); r.OK() {
			t.Errorf("with %s: %s", name, r.Verdict())
		}
	}
	// The journal cut, or two of its lines exchanged.
	lines := strings.SplitAfter(string(bundle[evidence.FileLeaves].Data), "\n")
	for what, text := range map[string]string{
		"cut":       strings.Join(lines[:len(lines)-2], ""),
		"exchanged": strings.Join(append(append([]string{}, lines[1], lines[0]), lines[2:]...), ""),
		"doubled":   strings.Join(append(append([]string{}, lines[0]), lines...), ""),
	} {
		other := maps.Clone(bundle)
		other[evidence.FileLeaves] = &fstest.MapFile{Data: []byte(text)}
		if r := evidence.Verify(other, roots); r.OK() {
			t.Errorf("the journal %s: %s", what, r.Verdict())
		}
	}
}

// TestScriptOnTheEvidence runs verify.sh, with nothing but stock tools, on a real
// bundle, and on it with a byte flipped: at places spread over every file, six of
// each of those that no sum protects.
func TestScriptOnTheEvidence(t *testing.T) {
	t.Parallel()
	d, bundle := bundleOf(t, 200)
	if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, "OK\n") {
		t.Fatalf("unchanged:\n%s", out)
	}
	names := slices.Sorted(maps.Keys(bundle))
	if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "rejects/") }) {
		t.Error("no rows were put aside: the bundle is too simple")
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	flips := 0
	runs := stocktest.Share(t, 3)
	for i, name := range names {
		if !runs(i) {
			continue
		}
		n := 1
		if strings.HasPrefix(name, evidence.FileSums+".") {
			n = 6
		}
		flips += n
		g.Go(func() error {
			dir := filepath.Join(roomtest.Temp(t), "evidence")
			if err := os.CopyFS(dir, os.DirFS(d.Join("evidence"))); err != nil {
				return err
			}
			file := filepath.Join(dir, filepath.FromSlash(name))
			for k := range n {
				text := bytes.Clone(bundle[name].Data)
				at := (k*len(text) + (i*7919)%len(text)) / n
				text[at] ^= 1
				if err := os.WriteFile(file, text, 0o600); err != nil {
					return err
				}
				if out := script(t, d, dir); !strings.HasPrefix(out, "KO\n") {
					return fmt.Errorf("%s, byte %d:\n%s", name, at, out)
				}
			}
			return os.RemoveAll(dir)
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d flips in %d files", flips, len(names))
}

// TestCertificateSaysWhatWasSigned: who administers the places and which backups
// there are is the signed instruction's to say; keys are named by the recipients
// they opened for.
func TestCertificateSaysWhatWasSigned(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Contracted, 3)
	r := d.Open()
	text, err := demo.Instruction(ecluse.DigestOf(d.Read("contract.yaml")), r.Gate(exchange.SourcePlace), r.Gate(exchange.TargetPlace), 3, time.Now().AddDate(0, 0, 9))
	if err != nil {
		t.Fatal(err)
	}
	last := time.Now().AddDate(0, 0, 30).UTC().Format(time.DateOnly)
	for old, with := range map[string]string{
		"system: ANCILAB, administered_by: controller": "system: ANCILAB, administered_by: processor",
		"lock: none": "lock: {until: " + last + "}",
	} {
		text = bytes.Replace(text, []byte(old), []byte(with), 1)
	}
	plan := desk.PlanRequest{Passage: ecluse.Final, Instruction: text, File: "i.yaml", Key: d.Key(roomtest.Marc)}
	if _, err := r.Plan(t.Context(), plan); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sign(t.Context(), desk.SignRequest{File: "i.yaml", Text: text, WithPlan: true, Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Approve(t.Context(), d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json"), d.Key(roomtest.Marc)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, Plan: d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json")}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Erase(t.Context(), desk.Order{Because: "stopped", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	d.Verify(r)
	lines := evidence.SourceByProcessorSentence + "\nsource administered by the processor, target by the controller; " +
		"last backup expires, by the instruction: source gate none, lock " + last + ", target gate none\n\n"
	if readme := string(d.Read("evidence", evidence.FileReadme)); !strings.Contains(readme, lines) {
		t.Errorf("%s", readme)
	}
	var c evidence.Certificate
	if err := json.Unmarshal(d.Read("evidence", evidence.FileCertificate), &c); err != nil {
		t.Fatal(err)
	}
	ids := map[evidence.Gate][]ecluse.Digest{}
	for _, k := range c.Keys {
		ids[k.Holder] = append(ids[k.Holder], k.ID)
	}
	chunks, rejects := ecluse.DigestOf(d.Read("evidence", "recipients", "chunks.json")), ecluse.DigestOf(d.Read("evidence", "recipients", "rejects.json"))
	if !slices.Contains(ids[evidence.SourceGate], chunks) || !slices.Contains(ids[evidence.SourceGate], rejects) || !slices.Contains(ids[evidence.TargetGate], chunks) {
		t.Errorf("%+v", c.Keys)
	}
	for _, p := range c.Places {
		if want := map[bool]string{true: "the last one expires " + last, false: "none"}[p.Place == "the lock's folder"]; p.Backups != want {
			t.Errorf("%+v", p)
		}
	}
	if out := script(t, d, d.Join("evidence")); !strings.HasPrefix(out, "OK\n") {
		t.Errorf("%s", out)
	}
}

func script(t *testing.T, d *roomtest.Dir, dir string) string {
	t.Helper()
	args := []string{d.Join("evidence", "verify.sh"), dir}
	for side, root := range d.Roots() {
		args = append(args, "--"+string(side), string(root))
	}
	out, err := exec.Command("sh", args...).CombinedOutput()
	if ok := strings.HasPrefix(string(out), "OK\n"); ok != (err == nil) {
		t.Errorf("exit %v after\n%s", err, out)
	}
	return string(out)
}

// TestStockSSHKeygen: OpenSSH's own ssh-keygen accepts every signature of a real
// bundle, against nothing but the key that should have made it: acts and rosters
// of people, statements, descriptors, heads and sums of the gates.
func TestStockSSHKeygen(t *testing.T) {
	t.Parallel()
	d, bundle := bundleOf(t, 200)
	count := map[string]int{}
	for name := range bundle {
		body, ok := strings.CutSuffix(name, ".sig")
		if !ok {
			continue
		}
		for _, by := range []string{".source", ".target", ".lock"} {
			body = strings.TrimSuffix(body, by)
		}
		namespace := namespaceOf(body)
		sig := d.Join("evidence", filepath.FromSlash(name))
		check := exec.Command("ssh-keygen", "-Y", "check-novalidate", "-n", namespace, "-s", sig)
		check.Stdin = bytes.NewReader(bundle[body].Data)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s as %s: %v\n%s", name, namespace, err, out)
		}
		count[namespace]++
		other := exec.Command("ssh-keygen", "-Y", "check-novalidate", "-n", "file", "-s", sig)
		other.Stdin = bytes.NewReader(bundle[body].Data)
		if err := other.Run(); err == nil {
			t.Errorf("%s is accepted in another namespace", name)
		}
		if namespace != evidence.NamespaceAct {
			continue
		}
		// Acts: by name, against the roster's own list of who may sign.
		act, err := evidence.ParseAct(bundle[body].Data)
		if err != nil {
			t.Fatal(err)
		}
		signers := d.Join("evidence", "rosters", fmt.Sprintf("%s-%d.signers", act.Side, act.RosterNumber))
		for who, want := range map[string]bool{act.Person: true, "nobody": false} {
			verify := exec.Command("ssh-keygen", "-Y", "verify", "-f", signers, "-I", who, "-n", namespace, "-s", sig)
			verify.Stdin = bytes.NewReader(bundle[body].Data)
			if out, err := verify.CombinedOutput(); (err == nil) != want {
				t.Errorf("%s by %s: %v\n%s", name, who, err, out)
			}
		}
	}
	t.Log(count)
	for _, n := range evidence.Namespaces() {
		if count[n] == 0 && n != evidence.NamespaceGate { // these gates were made beside their lock, and never enrolled
			t.Errorf("no signature in the namespace %s", n)
		}
	}
}

func namespaceOf(body string) string {
	switch {
	case strings.HasPrefix(body, "acts/"):
		return evidence.NamespaceAct
	case strings.HasPrefix(body, "rosters/"):
		return evidence.NamespaceRoster
	case strings.HasPrefix(body, "chunks/"), strings.HasPrefix(body, "rejects/"):
		return evidence.NamespaceChunk
	case body == evidence.FileManifest:
		return evidence.NamespaceManifest
	case strings.HasPrefix(body, "recipients/"):
		return evidence.NamespaceRecipient
	case strings.HasPrefix(body, "journal/"):
		return evidence.NamespaceHead
	case body == evidence.FileSums:
		return evidence.NamespaceBundle
	}
	return evidence.NamespaceStatement
}
