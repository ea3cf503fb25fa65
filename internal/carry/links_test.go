package carry

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// TestLinksLeadNowhere: whoever carries the folder puts links into it, or other things: no
// file of whoever carries in goes to the server, and the gate writes and sweeps nowhere else.
func TestLinksLeadNowhere(t *testing.T) {
	t.Parallel()
	elsewhere := t.TempDir()
	mine := filepath.Join(elsewhere, ".part-mine")
	secret := []byte("-----BEGIN OPENSSH PRIVATE KEY-----")
	link := func(b *bench, target string, at ...string) {
		b.Helper()
		path := filepath.Join(append([]string{b.dir}, at...)...)
		b.must(os.RemoveAll(path))
		b.must(os.MkdirAll(filepath.Dir(path), 0o700))
		b.must(os.Symlink(target, path))
	}
	if err := os.WriteFile(mine, secret, 0o600); err != nil {
		t.Fatal(err)
	}

	// Where it is carried in.
	chunk := ecluse.DigestOf([]byte("sealed")).Hex()
	for name, spoil := range map[string]func(b *bench){
		"a link to a file":     func(b *bench) { link(b, mine, "in-000001", "chunks", chunk) },
		"a link to the folder": func(b *bench) { link(b, elsewhere, "in-000001", "chunks") },
		"a link within":        func(b *bench) { link(b, "../return.json", "in-000001", "chunks", chunk) },
		"another file": func(b *bench) {
			b.must(os.WriteFile(filepath.Join(b.dir, "in-000001", "chunks", chunk), secret, 0o600))
		},
		"of the same length": func(b *bench) {
			b.must(os.WriteFile(filepath.Join(b.dir, "in-000001", "chunks", chunk), []byte("secret"), 0o600))
		},
		"a folder":                func(b *bench) { b.must(os.Rename(b.dir+"/in-000001/chunks", b.dir+"/in-000001/chunks.")) },
		"a return that is linked": func(b *bench) { link(b, mine, "in-000001", "return.json") },
		"a paper that is linked":  func(b *bench) { link(b, mine, paperFile); link(b, mine, paperFile+sig) },
		"a paper that is none": func(b *bench) {
			b.must(os.WriteFile(filepath.Join(b.dir, paperFile), secret, 0o600))
			b.must(os.WriteFile(filepath.Join(b.dir, paperFile+sig), secret, 0o600))
		},
	} {
		b := newBench(t)
		l := b.open()
		b.must(b.put(l, 0, "sealed"))
		b.must(l.Seal(func(namespace string, body []byte) (evidence.Signed, error) {
			return evidence.Sign(b.gate, namespace, body)
		}, time.Now()))
		spoil(b)
		server := &greedy{TB: t, what: name}
		if _, err := CarryIn(t.Context(), server, print(b.lock), b.dir, func(exchange.Taken) {}); err == nil {
			t.Errorf("%s: it came in", name)
		}
	}

	// At the gate.
	for name, at := range map[string][]string{"the return's folder": {"in-000001"}, "the chunks' folder": {"in-000001", "chunks"}} {
		b := newBench(t)
		link(b, elsewhere, at...)
		if _, err := Open(b.dir, print(b.lock), print(b.gate)); ecluse.KindOf(err) != ecluse.Failed {
			t.Errorf("%s: %v", name, err)
		}
		b = newBench(t) // or while the gate works
		l := b.open()
		link(b, elsewhere, at...)
		if err := b.put(l, 0, "sealed"); err == nil {
			t.Errorf("%s: a chunk is written there", name)
		}
		_ = l.Seal(func(namespace string, body []byte) (evidence.Signed, error) {
			return evidence.Sign(b.gate, namespace, body)
		}, time.Now())
	}
	left, err := os.ReadDir(elsewhere)
	if err != nil || len(left) != 1 || left[0].Name() != filepath.Base(mine) {
		t.Errorf("elsewhere lie %v, %v", left, err)
	}
}

// greedy is a server that wants the first chunk, and that nothing is to be sent to.
type greedy struct {
	Lines
	testing.TB
	what string
}

func (g *greedy) CarryIn(context.Context, evidence.Signed, bool) (*exchange.Taken, error) {
	return &exchange.Taken{Done: 0, Of: 1}, nil
}

func (g *greedy) CarryChunk(_ context.Context, _ ecluse.Digest, _ int, body io.ReadSeeker) (*exchange.Taken, error) {
	text, err := io.ReadAll(body)
	g.Errorf("%s: %q is sent, %v", g.what, text, err)
	return nil, io.ErrUnexpectedEOF
}

func (g *greedy) CarryPaper(_ context.Context, paper evidence.Signed) error {
	g.Errorf("%s: %q is sent", g.what, paper.Body)
	return nil
}
