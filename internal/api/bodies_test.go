package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// TestSpace: one caller has room for one of the longest bodies, and leaves some to others;
// who finds none waits a while.
func TestSpace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSpace(bodiesOfAll, bodiesOfOne)
		a, ok := s.take(t.Context(), "claire", papers)
		if !ok {
			t.Fatal("no room for the first")
		}
		if _, ok := s.take(t.Context(), "claire", 1); ok {
			t.Error("one caller has room for more than one")
		}
		b, ok := s.take(t.Context(), "marc", bodiesOfAll-papers)
		if !ok {
			t.Error("one caller leaves no room for another")
		}
		if _, ok := s.take(t.Context(), "julie", 1); ok {
			t.Error("more than all")
		}
		got := make(chan bool)
		go func() {
			leave, ok := s.take(t.Context(), "julie", papers)
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
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, ok := s.take(gone, "julie", 2*papers); ok || s.all != 0 || len(s.of) != 0 {
			t.Errorf("left %d, %v", s.all, s.of)
		}
	})
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
	long := strings.Repeat("QUFB", longString)
	for text, want := range map[string]string{
		``:                                  ``,
		`{"a": [1, "b", null], "c\"d": ""}`: `{"a": [1, "b", null], "c\"d": ""}`,
		`{"a":"` + long + `","b":"` + long + `"}`: `{"a":"` + long[:longString] + `","b":"` + long[:longString] + `"}`,
		`["` + `\"` + long + `"]`:                 `["` + `\"` + long + `"]`, // whole: a cut could fall into what stands after a backslash
		`["` + long + `\"x"]`:                     `["` + long[:longString] + `"]`,
		`["` + long:                               `["` + long[:longString],
		`["a\`:                                    `["a\`,
	} {
		if got := string(outline([]byte(text))); got != want {
			t.Errorf("of %.20s… (%d bytes): %.60s… (%d bytes), want %d", text, len(text), got, len(got), len(want))
		}
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
		got := outline(text)
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
