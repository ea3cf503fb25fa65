package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// ask sends a request through a memory of answers.
func (a *answers) ask(caller, key, body string, do http.HandlerFunc) (*httptest.ResponseRecorder, any) {
	rw := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/v1/labs/lab/drafts", strings.NewReader(body))
	r.Header.Set("Idempotency-Key", key)
	rec := &recorder{ResponseWriter: rw, status: http.StatusOK}
	var broke any
	func() {
		defer func() { broke = recover() }()
		a.serve(rec, r, caller, func() { do(rec, r) })
	}()
	return rw, broke
}

// TestAnswers: what was answered is answered again to the same caller, request and key;
// what failed, panicked or was asked too often is done again.
func TestAnswers(t *testing.T) {
	t.Parallel()
	a, n := newAnswers(), 0
	count := func(rw http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprint(rw, n)
	}
	for _, c := range []struct{ caller, key, body, want string }{
		{"claire", "one", "{}", "1"},
		{"claire", "one", "{}", "1"},
		{"claire", "one", "{ }", "2"},
		{"marc", "one", "{}", "3"},
		{"claire", "two", "{}", "4"},
		{"claire", "one", "{}", "1"},
	} {
		if got, _ := a.ask(c.caller, c.key, c.body, count); got.Body.String() != c.want {
			t.Errorf("%v: %s", c, got.Body)
		}
	}
	if _, broke := a.ask("claire", "panics", "", func(http.ResponseWriter, *http.Request) { panic("x") }); broke == nil {
		t.Error("a panic was swallowed")
	}
	for _, status := range []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusServiceUnavailable} {
		a.ask("claire", fmt.Sprint(status), "", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) })
	}
	for _, key := range []string{"panics", "429", "500", "503"} {
		if got, _ := a.ask("claire", key, "", count); got.Header().Get("Idempotent-Replay") != "" || got.Code != http.StatusOK {
			t.Errorf("%s is remembered: %d", key, got.Code)
		}
	}
	if got, _ := a.ask("claire", "long", strings.Repeat("a", small+1), count); got.Code != http.StatusBadRequest {
		t.Errorf("a body that is too long: %d", got.Code)
	}
}

// TestAnswersBound: answers take so many bytes, and no more; the oldest go.
func TestAnswersBound(t *testing.T) {
	t.Parallel()
	a := newAnswers()
	long := strings.Repeat("a", longest)
	for i := range 500 {
		a.ask("claire", fmt.Sprint("long", i), "", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, long) })
	}
	for i := range 20_000 {
		a.ask("claire", fmt.Sprint(i), "", func(http.ResponseWriter, *http.Request) {})
		a.ask("claire", fmt.Sprint("failed", i), "", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) })
	}
	held := 0
	for _, x := range a.order {
		held += ofAnswer + x.body.Len()
	}
	if a.bytes > mostKept || held != a.bytes || len(a.order)*ofAnswer > mostKept || len(a.all) > len(a.order) {
		t.Errorf("%d bytes in %d answers, %d found; counted %d", held, len(a.order), len(a.all), a.bytes)
	}
	got, _ := a.ask("claire", "19999", "", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusTeapot) })
	if got.Header().Get("Idempotent-Replay") != "true" {
		t.Error("the newest was forgotten")
	}
	if got, _ := a.ask("claire", "long0", "", func(rw http.ResponseWriter, _ *http.Request) {}); got.Header().Get("Idempotent-Replay") != "" {
		t.Error("the oldest was not")
	}
}

// TestAnswersForgottenUnderWay: what was forgotten before it was answered counts for nothing.
func TestAnswersForgottenUnderWay(t *testing.T) {
	t.Parallel()
	a := newAnswers()
	for i := range 100 {
		a.ask("claire", fmt.Sprint("slow", i), "", func(rw http.ResponseWriter, _ *http.Request) {
			a.mu.Lock()
			for _, x := range a.order {
				x.at = time.Now().Add(-answerLife)
			}
			a.trim()
			a.mu.Unlock()
			fmt.Fprint(rw, strings.Repeat("a", longest))
		})
	}
	if a.bytes != 0 || len(a.order) != 0 {
		t.Errorf("%d bytes counted of %d answers", a.bytes, len(a.order))
	}
	a.ask("claire", "quick", "", func(http.ResponseWriter, *http.Request) {})
	if got, _ := a.ask("claire", "quick", "", func(http.ResponseWriter, *http.Request) {}); got.Header().Get("Idempotent-Replay") != "true" {
		t.Error("nothing is kept any more")
	}
}
