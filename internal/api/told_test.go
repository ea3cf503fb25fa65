package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"ecluse"
)

// TestSanitised: what this program put into words is logged, and of the rest what it is.
func TestSanitised(t *testing.T) {
	t.Parallel()
	var number int
	decoding := json.Unmarshal([]byte(`"DUPONT"`), &number)
	for _, c := range []struct {
		err  error
		want string
	}{
		{&ecluse.Error{Kind: ecluse.Failed, What: "read document", Where: "sha256:1", Err: &fs.PathError{Op: "open", Path: "/srv/DUPONT", Err: syscall.EIO}}, "read document: sha256:1: input/output error"},
		{fmt.Errorf("laboratory DUPONT: %w", &ecluse.Error{What: "a", Err: &ecluse.Error{What: "b", Why: "c"}}), "a: b: c"},
		{decoding, "an error of type *json.UnmarshalTypeError"},
		{errors.New("DUPONT"), "an error of type *errors.errorString"},
		{&ecluse.Error{What: "x\x1b[2J\ny"}, "x?[2J\ny"},
	} {
		if got := sanitised(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

// TestPanicIsLogged: where, and of what type; not what.
func TestPanicIsLogged(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	s := &server{Options: Options{Log: slog.New(slog.NewTextHandler(&text, nil))}, mux: http.NewServeMux(), limit: newLimits()}
	s.mux.HandleFunc("GET /x", func(http.ResponseWriter, *http.Request) { panic("DUPONT") })
	rw := httptest.NewRecorder()
	s.outer(s.mux).ServeHTTP(rw, httptest.NewRequest(http.MethodGet, "/x", nil))
	if rw.Code != http.StatusInternalServerError {
		t.Errorf("answered %d", rw.Code)
	}
	for _, want := range []string{"level=ERROR", rw.Header().Get(requestID), `route="GET /x"`, "error=string", "TestPanicIsLogged"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("logged %q, want %q", &text, want)
		}
	}
	if strings.Contains(text.String(), "DUPONT") {
		t.Error("logged what it panicked with")
	}
}
