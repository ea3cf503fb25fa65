package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"ecluse"
	"ecluse/internal/exchange"
)

// failed puts an error into HTTP's words, and tells the log of one that is the server's
// own: the client is told that it does. Whoever hung up is told nothing.
func (s *server) failed(ctx context.Context, request, route string, err error) *problem {
	p := problemOf(err)
	if p.Status < http.StatusInternalServerError || ctx.Err() != nil {
		return p
	}
	s.Log.Error("a request failed", "request", request, "route", route, "status", p.Status, "kind", string(ecluse.KindOf(err)), "error", sanitised(err))
	return p
}

// sanitised is an error without what it was not this program that put into words: a
// driver's own could hold a value, a decoder's what was sent.
func sanitised(err error) string {
	var words []string
	var e *ecluse.Error
	if errors.As(err, &e) {
		x := exchange.ProblemOf(&ecluse.Error{Kind: e.Kind, What: e.What, Where: e.Where, Why: e.Why})
		for _, w := range []string{x.What, x.Where, x.Why} {
			if w != "" {
				words = append(words, exchange.Printable(w))
			}
		}
		if e.Err == nil {
			return strings.Join(words, ": ")
		}
		if errors.As(e.Err, new(*ecluse.Error)) {
			return strings.Join(append(words, sanitised(e.Err)), ": ")
		}
		err = e.Err
	}
	var errno syscall.Errno
	var cause exchange.Cause
	var numbered interface{ Code() int }
	switch {
	case errors.As(err, &errno):
		words = append(words, errno.Error())
	case errors.As(err, &cause):
		words = append(words, cause.Error())
	case errors.As(err, &numbered): // SQLite's
		words = append(words, "SQLite's error "+strconv.Itoa(numbered.Code()))
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		words = append(words, "given up")
	case errors.Is(err, fs.ErrNotExist):
		words = append(words, fs.ErrNotExist.Error())
	default:
		words = append(words, fmt.Sprintf("an error of type %T", err))
	}
	return strings.Join(words, ": ")
}

// broke tells the log where a handler panicked, and of what type: never of what value.
func (s *server) broke(request, route string, p any) {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	var at []string
	for more := true; more && len(at) < cap(pcs); {
		var f runtime.Frame
		f, more = frames.Next()
		at = append(at, f.Function+":"+strconv.Itoa(f.Line))
	}
	s.Log.Error("a handler panicked", slog.String("request", request), slog.String("route", route), slog.String("error", fmt.Sprintf("%T", p)), slog.String("at", strings.Join(at, " ")))
}
