package api

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"ecluse"
	"ecluse/internal/account"
	"ecluse/internal/exchange"
)

// problem is an error over HTTP (RFC 9457), with the words that the lock put it in.
// It repeats no value that was sent.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	exchange.Problem
}

func (p *problem) Error() string             { return p.Title }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return "application/problem+json" }

var _ huma.StatusError = (*problem)(nil)

// problemOf puts an error into HTTP's words.
func problemOf(err error) *problem {
	var known *problem
	if errors.As(err, &known) {
		return known
	}
	x := exchange.ProblemOf(err)
	var e *ecluse.Error
	if !errors.As(err, &e) && x.Lines == nil {
		x.What, x.Why = "answer", "the server failed, and its own log says why"
	}
	status := map[ecluse.Kind]int{
		ecluse.Invalid: http.StatusBadRequest, ecluse.Refused: http.StatusForbidden, ecluse.WaitsForSign: http.StatusConflict,
		ecluse.Differs: http.StatusConflict, ecluse.Unverified: http.StatusUnprocessableEntity, ecluse.Interrupted: http.StatusServiceUnavailable,
	}[x.Kind]
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		status = http.StatusServiceUnavailable
	case errors.Is(err, account.ErrBusy):
		status = http.StatusTooManyRequests
	case x.Cause == exchange.ErrAway:
		status = http.StatusServiceUnavailable
	case x.Kind == ecluse.Invalid && errors.Is(err, fs.ErrNotExist):
		status = http.StatusNotFound
	case status == 0:
		status = http.StatusInternalServerError
	}
	detail := x.What
	if x.Why != "" {
		detail += ": " + x.Why
	}
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail, Problem: *x}
}

// withoutValues makes of huma's own errors, which repeat what was sent, problems that
// say where and why alone.
func (s *server) withoutValues(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &problem{Type: "about:blank", Title: http.StatusText(m.Status), Status: m.Status, Problem: exchange.Problem{Kind: ecluse.Invalid, What: "read the request"}}
	if m.Status >= http.StatusInternalServerError {
		p.Kind, p.What = ecluse.Failed, "answer"
		r, rw := humago.Unwrap(ctx)
		s.Log.Error("a request failed", "request", rw.Header().Get(requestID), "route", r.Pattern, "status", m.Status, "kind", string(p.Kind))
	}
	var where []string
	for _, d := range m.Errors {
		if f := s.field(d.Location); f != "" && !slices.Contains(where, f) {
			where = append(where, f)
		}
	}
	p.Where = strings.Join(where, ", ")
	p.Why = "it is not as openapi.json says"
	if len(where) == 0 {
		p.Why = "its body is no JSON, or too long"
	}
	p.Next = "see /openapi.json; or let server and program be of one version"
	p.Detail = p.What + ": " + p.Why
	return p, nil
}

// field keeps of a location what openapi.json names: the key of a map, or a field that
// somebody invented, could be a value.
func (s *server) field(location string) string {
	parts := strings.Split(location, ".")
	for i, p := range parts {
		name, index, _ := strings.Cut(p, "[")
		if !s.named[name] {
			name = "?"
		}
		if n, err := strconv.Atoi(strings.TrimSuffix(index, "]")); err == nil {
			name += "[" + strconv.Itoa(n) + "]"
		}
		parts[i] = name
	}
	return strings.Join(parts, ".")
}

// names are the words that openapi.json uses for places in requests.
func (s *server) names() map[string]bool {
	names := map[string]bool{"body": true, "path": true, "query": true, "header": true}
	for _, x := range s.huma.OpenAPI().Components.Schemas.Map() {
		for name := range x.Properties {
			names[name] = true
		}
	}
	for _, item := range s.huma.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				names[p.Name] = true
			}
		}
	}
	return names
}

// write answers with a problem.
func write(rw http.ResponseWriter, p *problem) {
	text, err := json.Marshal(p)
	if err != nil {
		text = []byte("{}")
	}
	rw.Header().Set("Content-Type", "application/problem+json")
	rw.WriteHeader(p.Status)
	_, _ = rw.Write(text)
}

// unread answers whoever sent a body that could not be read whole.
func unread() *problem {
	return &problem{
		Type: "about:blank", Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest,
		Problem: exchange.Problem{Kind: ecluse.Invalid, What: "read the request", Why: "its body ended early, or is too long", Next: "send it again"},
	}
}

// nobody answers whoever has no identity: always the same, in size and content.
func nobody(rw http.ResponseWriter) {
	rw.Header().Set("WWW-Authenticate", "Bearer")
	write(rw, unknown())
}

// broken answers when nobody's identity can be found out: always the same too.
func broken(rw http.ResponseWriter) {
	rw.Header().Set("Retry-After", "5")
	write(rw, &problem{
		Type: "about:blank", Title: http.StatusText(http.StatusServiceUnavailable), Status: http.StatusServiceUnavailable,
		Problem: exchange.Problem{Kind: ecluse.Failed, What: "answer", Why: "the server cannot tell who asks: its disk may be full", Next: "whoever runs the server sees why in its log"},
	})
}

// busy answers whoever asks too often.
func busy(rw http.ResponseWriter) {
	rw.Header().Set("Retry-After", "1")
	write(rw, &problem{
		Type: "about:blank", Title: http.StatusText(http.StatusTooManyRequests), Status: http.StatusTooManyRequests,
		Problem: exchange.Problem{Kind: ecluse.Failed, What: "answer", Why: "too many requests at a time", Next: "try again in a second"},
	})
}
