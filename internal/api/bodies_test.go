package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSpace: one caller has room for one of the longest bodies, and leaves some to others
// of their laboratory; a laboratory leaves some to others; who finds none waits a while.
func TestSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpace(bodiesOfAll, bodiesOfLab, bodiesOfOne)
		a, ok := s.take(t.Context(), "a", "claire", papers)
		if !ok {
			t.Fatal("no room for the first")
		}
		if _, ok := s.take(t.Context(), "a", "claire", 1); ok {
			t.Error("one caller has room for more than one")
		}
		b, ok := s.take(t.Context(), "a", "marc", bodiesOfLab-papers)
		if !ok {
			t.Error("one caller leaves no room for another")
		}
		if _, ok := s.take(t.Context(), "a", "julie", 1); ok {
			t.Error("more than all of a laboratory")
		}
		c, ok := s.take(t.Context(), "b", "odile", bodiesOfAll-bodiesOfLab)
		if !ok {
			t.Error("one laboratory leaves no room for another")
		}
		if _, ok := s.take(t.Context(), "c", "paul", 1); ok {
			t.Error("more than all")
		}
		got := make(chan bool)
		go func() {
			leave, ok := s.take(t.Context(), "a", "julie", papers)
			if ok {
				leave()
			}
			got <- ok
		}()
		synctest.Wait()
		a()
		a()
		if !<-got {
			t.Error("who waits gets no room that was left")
		}
		b()
		c()
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := s.take(gone, "a", "julie", 2*papers); ok || s.all != 0 || len(s.of) != 0 || len(s.lab) != 0 {
			t.Errorf("left %d, %v, %v", s.all, s.of, s.lab)
		}
	})
}

// TestPaced: the longest body passes over a bad line of 1 Mbit/s that stands still now and
// then; one that comes drop by drop, or almost whole and no further, is cut.
func TestPaced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		send func(w io.Writer)
		want error
		most time.Duration
	}{
		"a bad line": {func(w io.Writer) {
			for i := range 41 { // some 100 KiB a second, and of each 20 seconds five nothing
				if i%15 == 14 {
					time.Sleep(5 * time.Second)
				}
				time.Sleep(time.Second)
				_, _ = w.Write(make([]byte, papers/40))
			}
		}, nil, time.Minute},
		"drop by drop": {func(w io.Writer) {
			for _, err := w.Write([]byte("a")); err == nil; _, err = w.Write([]byte("a")) {
				time.Sleep(time.Second)
			}
		}, os.ErrDeadlineExceeded, paceTime},
		"no further": {func(w io.Writer) {
			_, _ = w.Write(make([]byte, papers-1))
		}, os.ErrDeadlineExceeded, paceTime},
		"for ever": {func(w io.Writer) {
			for _, err := w.Write(make([]byte, paceBytes)); err == nil; _, err = w.Write(make([]byte, paceBytes)) {
				time.Sleep(paceTime - time.Second)
			}
		}, os.ErrDeadlineExceeded, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				var sent sync.WaitGroup
				sent.Go(func() { c.send(far) })
				defer sent.Wait()
				defer near.Close()
				begun := time.Now()
				_, err := io.ReadFull(&paced{Reader: near, deadline: near.SetReadDeadline, whole: begun.Add(time.Minute)}, make([]byte, papers))
				if took := time.Since(begun); !errors.Is(err, c.want) || took > c.most {
					t.Errorf("%v after %s, want %v within %s", err, took, c.want, c.most)
				}
			})
		})
	}
}

// TestSparse: a body of few values is read as it is, however long and whatever stands in
// its strings; one of many is cut, and is no JSON any more.
func TestSparse(t *testing.T) {
	t.Parallel()
	for text, whole := range map[string]bool{
		`{"a":"` + strings.Repeat(`,[{\"`, mostValues) + `"}`:     true,
		`[` + strings.Repeat(`1,`, mostValues-2) + `1]`:           true,
		`[` + strings.Repeat(`{},`, mostValues) + `1]`:            false,
		`{"papers":[` + strings.Repeat(`[],`, mostValues) + `1]}`: false,
	} {
		got, err := io.ReadAll(&sparse{ReadCloser: io.NopCloser(strings.NewReader(text))})
		if err != nil || json.Valid(got) != whole || whole != (len(got) == len(text)) {
			t.Errorf("%.20s…: %d of %d bytes, %v", text, len(got), len(text), err)
		}
	}
}

// TestOutline: strings are cut that are longer than any rule of the schema speaks of, and
// nothing else; what is no JSON is none afterwards.
func TestOutline(t *testing.T) {
	t.Parallel()
	long, unicode := strings.Repeat("QUFB", longString), strings.Repeat(`\u0041`, longString)
	for text, want := range map[string]string{
		``:                                  ``,
		`{"a": [1, "b", null], "c\"d": ""}`: `{"a": [1, "b", null], "c\"d": ""}`,
		`{"a":"` + long + `","b":"` + long + `"}`: `{"a":"` + long[:longString] + `","b":"` + long[:longString] + `"}`,
		`["` + `\"` + long + `"]`:                 `["` + `\"` + long[:longString-5] + `"]`, // whole groups of four, an escape being one
		`["abc` + unicode + `"]`:                  `["abc` + unicode[:6*681] + `"]`,
		`["` + long + `\"x"]`:                     `["` + long[:longString] + `"]`,
		`["` + long:                               `["` + long[:longString],
		`["a\`:                                    `["a\`,
	} {
		if got, problem := outline([]byte(text)); string(got) != want || problem != nil {
			t.Errorf("of %.20s… (%d bytes): %.60s… (%d bytes), %v, want %d", text, len(text), got, len(got), problem, len(want))
		}
	}
	escaped := `["` + strings.Repeat(long, longEscaped/len(long)) + `\"x"]`
	if got, problem := outline([]byte(escaped)); problem == nil {
		t.Errorf("a long string that escapes: %d bytes", len(got))
	}
}

// TestOutlineOnce: an outline takes memory once.
func TestOutlineOnce(t *testing.T) {
	body := []byte(`{"a":"` + strings.Repeat("A", papers) + `"}`)
	if n := testing.AllocsPerRun(10, func() { _, _ = outline(body) }); n > 1 {
		t.Errorf("an outline is made in %v pieces", n)
	}
}

// FuzzOutline: an outline is no longer than its text, JSON whenever that is, and of the same
// shape.
func FuzzOutline(f *testing.F) {
	long := strings.Repeat("QUFB", longString)
	for _, text := range []string{`{"a":"` + long + `"}`, `["\u00e9` + long + `\"",1]`, `{"` + long + `":{}}`, `["` + long + `\`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, problem := outline(text)
		if problem != nil {
			if len(text) <= longEscaped {
				t.Fatalf("refused: %.100q", text)
			}
			return
		}
		if len(got) > len(text) || len(text) <= longString && string(got) != string(text) {
			t.Fatalf("%d bytes of %d", len(got), len(text))
		}
		if json.Valid(text) && !json.Valid(got) {
			t.Fatalf("no JSON any more: %.100q", got)
		}
		if json.Valid(text) {
			var cut, all any
			if json.Unmarshal(got, &cut) != nil || json.Unmarshal(text, &all) != nil || fmt.Sprintf("%T", cut) != fmt.Sprintf("%T", all) {
				t.Fatalf("another shape: %.100q", got)
			}
		}
	})
}
