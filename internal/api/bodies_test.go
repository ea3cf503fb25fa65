package api

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"
)

// TestSpace: one caller has room for one of the longest bodies, all for two; who finds
// none waits a while.
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
		b, ok := s.take(t.Context(), "marc", papers)
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
