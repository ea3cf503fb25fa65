package app_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
)

// wantError checks that an error says what, why and what to do, and is of a kind.
func wantError(t *testing.T, err error, kinds ...ecluse.Kind) {
	t.Helper()
	var e *ecluse.Error
	if !errors.As(err, &e) {
		t.Errorf("want an error of kind %v, got %v", kinds, err)
		return
	}
	for _, k := range kinds {
		if ecluse.KindOf(err) == k {
			if e.What == "" || e.Why == "" && e.Err == nil || e.Next == "" {
				t.Errorf("it does not say what, why and what next: %#v", e)
			}
			return
		}
	}
	t.Errorf("want an error of kind %v, got %s: %v", kinds, ecluse.KindOf(err), err)
}

// chunkFiles are the files of a sealed room's chamber: of each slot the
// descriptor, and the object it describes.
type chunkFiles struct {
	*roomtest.Dir
	live string
}

func chunksOf(d *roomtest.Dir) *chunkFiles {
	return &chunkFiles{d, d.Join("room", "lock", "chamber", "live", string(roomtest.Migration), "chunks")}
}

func (c *chunkFiles) slot(name string) string { return filepath.Join(c.live, "slots", name) }

// object is the file of a slot's ciphertext, by what its descriptor says.
func (c *chunkFiles) object(name string) string {
	c.Helper()
	text, err := os.ReadFile(c.slot(name))
	if err != nil {
		c.Fatal(err)
	}
	const mark = `"sha256":"sha256:`
	at := strings.Index(strings.ReplaceAll(string(text), `": "`, `":"`), mark)
	flat := strings.ReplaceAll(string(text), `": "`, `":"`)
	if at < 0 {
		c.Fatalf("no digest in %s", text)
	}
	return filepath.Join(c.live, "objects", flat[at+len(mark):at+len(mark)+64]+".age")
}

func (c *chunkFiles) change(path string, f func([]byte) []byte) {
	c.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(path, f(b), 0o600); err != nil {
		c.Fatal(err)
	}
}

func (c *chunkFiles) swap(a, b string) {
	c.Helper()
	x, err := os.ReadFile(a)
	if err != nil {
		c.Fatal(err)
	}
	c.change(b, func(y []byte) []byte {
		if err := os.WriteFile(a, y, 0o600); err != nil {
			c.Fatal(err)
		}
		return x
	})
}

// TestBadChunks changes what lies in the chamber and loads: nothing of a chunk
// that is not what the source gate sealed there enters, and what entered before
// is taken out again, or goes on once the chamber is put right.
func TestBadChunks(t *testing.T) {
	const request, result = "request/000000.0", "result/000000.0"
	for _, c := range []struct {
		name string
		do   func(*chunkFiles)
	}{
		{"truncated", func(c *chunkFiles) { c.change(c.object(result), func(b []byte) []byte { return b[:len(b)-17] }) }},
		{"truncated to a whole block", func(c *chunkFiles) { c.change(c.object(result), func(b []byte) []byte { return b[:len(b)/2] }) }},
		{"empty", func(c *chunkFiles) { c.change(c.object(result), func([]byte) []byte { return nil }) }},
		{"longer", func(c *chunkFiles) { c.change(c.object(result), func(b []byte) []byte { return append(b, 0) }) }},
		{"a byte changed in the header", func(c *chunkFiles) { c.change(c.object(result), func(b []byte) []byte { b[40] ^= 1; return b }) }},
		{"a byte changed in the body", func(c *chunkFiles) { c.change(c.object(result), func(b []byte) []byte { b[len(b)-40] ^= 1; return b }) }},
		{"bodies of two slots exchanged", func(c *chunkFiles) { c.swap(c.object(request), c.object(result)) }},
		{"descriptors of two slots exchanged", func(c *chunkFiles) { c.swap(c.slot(request), c.slot(result)) }},
		{"spliced: the end of another", func(c *chunkFiles) {
			other, err := os.ReadFile(c.object(request))
			if err != nil {
				c.Fatal(err)
			}
			c.change(c.object(result), func(b []byte) []byte { return append(b[:len(b)/2:len(b)/2], other[len(other)/2:]...) })
		}},
		{"replayed under the next number", func(c *chunkFiles) {
			c.change(c.slot("result/000000.0"), func(b []byte) []byte {
				if err := os.WriteFile(c.slot("result/000001.0"), b, 0o600); err != nil {
					c.Fatal(err)
				}
				return b
			})
		}},
		{"descriptor changed by a byte", func(c *chunkFiles) {
			c.change(c.slot(result), func(b []byte) []byte { return []byte(strings.Replace(string(b), `"rows":`, `"rows":1`, 1)) })
		}},
		{"descriptor without its signature", func(c *chunkFiles) {
			c.change(c.slot(result), func(b []byte) []byte { return b[:strings.Index(string(b), "-----BEGIN")] })
		}},
		{"descriptor taken away", func(c *chunkFiles) {
			if err := os.Remove(c.slot(result)); err != nil {
				c.Fatal(err)
			}
		}},
		{"body taken away", func(c *chunkFiles) {
			if err := os.Remove(c.object(result)); err != nil {
				c.Fatal(err)
			}
		}},
		{"manifest changed by a byte", func(c *chunkFiles) {
			c.change(filepath.Join(filepath.Dir(c.live), "manifest"), func(b []byte) []byte { b[len(b)/3] ^= 1; return b })
		}},
		{"from another migration", func(c *chunkFiles) {
			foreign := chunksOf(roomtest.At(c.TB, roomtest.Sealed, 41))
			for from, to := range map[string]string{foreign.slot(result): c.slot(result), foreign.object(result): filepath.Join(c.live, "objects", filepath.Base(foreign.object(result)))} {
				b, err := os.ReadFile(from)
				if err != nil {
					c.Fatal(err)
				}
				if err := os.WriteFile(to, b, 0o600); err != nil {
					c.Fatal(err)
				}
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Sealed, 40)
			before, _ := d.Facts()
			kept := filepath.Join(t.TempDir(), "chamber")
			chamber := d.Join("room", "lock", "chamber")
			if err := os.CopyFS(kept, os.DirFS(chamber)); err != nil {
				t.Fatal(err)
			}
			c.do(chunksOf(d))
			r := d.Open()
			_, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			wantError(t, err, ecluse.Unverified, ecluse.Failed, ecluse.Differs)
			t.Log(err)
			if n := d.Query("novalab.db", "SELECT count(*) FROM observation")[0]; n != "0" {
				t.Errorf("%s results of the changed chunk are in the target", n)
			}

			// Put right, it goes on as if nothing had been.
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(chamber); err != nil {
				t.Fatal(err)
			}
			if err := os.CopyFS(chamber, os.DirFS(kept)); err != nil {
				t.Fatal(err)
			}
			for _, dir := range []string{"", "live", "erased"} {
				if err := os.Chmod(filepath.Join(chamber, dir), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			r = d.Open()
			v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			if err != nil || !v.Reconciled {
				t.Fatalf("put right: %v", err)
			}
			after, _ := d.Facts()
			if want := loadedFacts(t, 40); after != want || after == before {
				t.Error("put right, the target holds other rows than an undisturbed load")
			}
		})
	}
}

// loadedFacts are the facts of an undisturbed load of so many patients.
func loadedFacts(t *testing.T, patients int) string {
	t.Helper()
	facts, _ := roomtest.At(t, roomtest.Loaded, patients).Facts()
	return facts
}
