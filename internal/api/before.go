package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/exchange"
)

// before is the closed list of what is answered before any identity: whether the
// server is there, what it can be asked, a challenge, a log-in, and a party's roster,
// which carries its root's signature. A test holds it to six.
func (s *server) before() {
	none := who{name: "nobody", stranger: true, find: func(s *server, r *http.Request) (*caller, error) {
		if !s.limit.stranger(r.RemoteAddr) {
			return nil, errTooOften
		}
		return &caller{lab: s.laboratory(r)}, nil // of an unknown laboratory: nil, and answered alike
	}}
	stream(s, operation(http.MethodGet, "/healthz", "health", "Whether the server is there", 0), none, nil,
		func(rw http.ResponseWriter, _ *http.Request, _ *caller) error {
			rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, err := rw.Write([]byte("ok\n"))
			return err
		})
	stream(s, operation(http.MethodGet, "/openapi.json", "openapi", "What the server can be asked, as OpenAPI 3.1", 0), none, nil,
		func(rw http.ResponseWriter, _ *http.Request, _ *caller) error {
			rw.Header().Set("Content-Type", "application/json")
			_, err := rw.Write(s.described)
			return err
		})
	route(s, operation(http.MethodPost, "/v1/labs/{lab}/challenges", "challenge", "Ask for a challenge to log in with", 1), none, nil,
		func(_ context.Context, c *caller, _ *InLab) (*reply[challenge], error) {
			if c.lab == nil {
				return &reply[challenge]{challenge{s.closed.Issue()}}, nil
			}
			return &reply[challenge]{challenge{c.lab.Door.Challenge()}}, nil
		})
	route(s, operation(http.MethodPost, "/v1/labs/{lab}/sessions", "log-in", "Begin a session with a signed log-in", small), none, nil,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			Agent string `header:"User-Agent"`
			Body  evidence.Signed
		},
		) (*reply[session], error) {
			var token string
			var x account.Session
			var err error = unknown()
			switch {
			case c.lab != nil:
				token, x, err = c.lab.Door.LogIn(ctx, in.Body, in.Agent)
			case len(s.Labs) > 0: // as long as for a laboratory that there is
				err = s.Labs[0].Door.Pretend(ctx, in.Lab, s.closed, in.Body)
			}
			if ecluse.KindOf(err) == ecluse.Refused && !isBusy(err) {
				return nil, unknown()
			}
			if err != nil {
				return nil, err
			}
			return &reply[session]{session{token, x.Begun.Add(account.SessionLife)}}, nil
		})
	route(s, operation(http.MethodPost, "/v1/labs/{lab}/rosters", "take-roster", "Hand in a roster that a party's root signed", small*4), none, nil,
		func(ctx context.Context, c *caller, in *body[evidence.Signed]) (*reply[exchange.RosterReceipt], error) {
			l := c.lab
			if l == nil && len(s.Labs) > 0 { // as long as for a laboratory that there is
				l = &s.Labs[0]
			}
			if l == nil {
				return nil, unknown()
			}
			r, err := evidence.ParseRoster("roster", in.Body.Body)
			if err != nil {
				return nil, unknown()
			}
			if err := in.Body.VerifyBy(evidence.NamespaceRoster, l.Lock.Roots()[r.Side]); err != nil || c.lab == nil {
				return nil, unknown()
			}
			v, err := c.lab.Lock.TakeRoster(ctx, in.Body)
			return ok(v, err)
		})
}

// describe writes what the server can be asked, once: anybody may ask for it.
func (s *server) describe() ([]byte, error) {
	text, err := s.huma.OpenAPI().MarshalJSON()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = json.Indent(&b, text, "", " ")
	return b.Bytes(), err
}

// InLab is the laboratory that every route names.
type InLab struct {
	Lab string `path:"lab" maxLength:"40" pattern:"^[a-z0-9-]+$"`
}

// body is a request with one document.
type body[T any] struct {
	InLab
	Body T
}

// reply is an answer with one.
type reply[T any] struct {
	Body T
}

// list is an answer with several.
type list[T any] struct {
	Body struct {
		Items []T    `json:"items"`
		Next  string `json:"next,omitempty"` // cursor of what follows; empty: nothing does
	}
}

func ok[T any](v *T, err error) (*reply[T], error) {
	if err != nil {
		return nil, err
	}
	return &reply[T]{*v}, nil
}

func all[T any](v []T, err error) (*list[T], error) {
	if err != nil {
		return nil, err
	}
	l := &list[T]{}
	if l.Body.Items = v; v == nil {
		l.Body.Items = []T{}
	}
	return l, nil
}

// one is an answer that there may be none of.
type one[T any] struct {
	Body struct {
		Item *T `json:"item"`
	}
}

func maybe[T any](v *T, err error) (*one[T], error) {
	if err != nil {
		return nil, err
	}
	o := &one[T]{}
	o.Body.Item = v
	return o, nil
}

type challenge struct {
	Challenge string `json:"challenge"`
}

type session struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// unknown is the one answer to whoever is not known.
func unknown() *problem {
	return &problem{
		Type: "about:blank", Title: http.StatusText(http.StatusUnauthorized), Status: http.StatusUnauthorized,
		Problem: exchange.Problem{Kind: ecluse.Refused, What: "come in", Why: "you are nobody here", Next: "log in with your own key, or enrol the gate"},
	}
}

func isBusy(err error) bool { return problemOf(err).Status == http.StatusTooManyRequests }

var _ huma.StatusError = (*problem)(nil)
