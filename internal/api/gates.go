package api

import (
	"context"
	"net/http"
	"strings"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// InMigration is the migration that most routes name.
type InMigration struct {
	InLab
	Migration ecluse.MigrationID `path:"migration" maxLength:"64" pattern:"^[a-z0-9-]+$"`
}

// empty is an answer without a body.
type empty struct{}

func done(err error) (*empty, error) {
	if err != nil {
		return nil, err
	}
	return &empty{}, nil
}

// gates registers what gates say of papers, leases and heads.
func (s *server) gates() {
	const at = "/v1/labs/{lab}/gate/migrations/{migration}"
	type InPapers struct {
		InMigration
		Kind exchange.Paper `path:"kind" maxLength:"40"`
	}

	route(s, operation(http.MethodGet, at+"/case", "case", "What stands about a migration, for a kind of passage", 0), ending, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Kind ecluse.PassageKind `query:"kind" enum:"dry,rehearsal,final" required:"true"`
		},
		) (*reply[exchange.Case], error) {
			return ok(c.lab.Lock.Case(ctx, in.Migration, in.Kind))
		})
	route(s, operation(http.MethodPost, at+"/papers/{kind}", "post", "Hand in what the gate signed", papers), ending, says,
		func(ctx context.Context, c *caller, in *struct {
			InPapers
			Body evidence.Signed
		},
		) (*empty, error) {
			if err := c.signed(in.Kind.Namespace(), in.Body); err != nil {
				return nil, err
			}
			return done(c.lab.Lock.Post(ctx, in.Migration, in.Kind, in.Body))
		})
	route(s, operation(http.MethodGet, at+"/papers/{kind}", "posted", "What gates handed in of a kind", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *InPapers) (*list[evidence.Signed], error) {
			return all(c.lab.Lock.Posted(ctx, in.Migration, in.Kind))
		})
	route(s, operation(http.MethodPost, at+"/events", "record", "Tell the journal what the gate did", small), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body exchange.Event
		},
		) (*empty, error) {
			in.Body.Migration = in.Migration
			return done(c.lab.Lock.Seat(c.gate).Record(ctx, in.Body))
		})

	route(s, operation(http.MethodPost, at+"/leases", "ask", "Ask for the release secret", small), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body evidence.Signed
		},
		) (*empty, error) {
			return done(c.lab.Lock.Ask(ctx, in.Migration, in.Body))
		})
	route(s, operation(http.MethodGet, at+"/leases", "asked", "Requests for the release secret without an answer", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *InMigration) (*list[evidence.Signed], error) {
			return all(c.lab.Lock.Asked(ctx, in.Migration))
		})
	route(s, operation(http.MethodPost, at+"/loans", "lend", "Lend the release secret, sealed", small), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body evidence.Signed
		},
		) (*empty, error) {
			return done(c.lab.Lock.Lend(ctx, in.Migration, in.Body))
		})
	route(s, operation(http.MethodGet, at+"/loans/{request}", "lent", "The answer to a request", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Request ecluse.Digest `path:"request"`
		},
		) (*one[evidence.Signed], error) {
			return maybe(c.lab.Lock.Lent(ctx, in.Migration, in.Request))
		})

	type head struct {
		Head  evidence.Signed `json:"head"`
		Proof [][]byte        `json:"proof"`
	}
	route(s, operation(http.MethodGet, at+"/head", "head", "The journal's head, and that it continues an earlier one", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			From int64 `query:"from" minimum:"0"`
		},
		) (*reply[head], error) {
			signed, proof, err := c.lab.Lock.Head(ctx, in.Migration, in.From)
			h := &head{Head: signed, Proof: [][]byte{}}
			for _, p := range proof {
				h.Proof = append(h.Proof, p[:])
			}
			return ok(h, err)
		})
	route(s, operation(http.MethodPost, at+"/cosignatures", "cosign", "The gate's signature under a head", small), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body evidence.Signed
		},
		) (*empty, error) {
			return done(c.lab.Lock.Cosign(ctx, in.Migration, in.Body))
		})
	route(s, operation(http.MethodGet, at+"/cosignatures", "cosigned", "The newest head that the gate signed", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Gate ecluse.Fingerprint `query:"gate" required:"true"`
		},
		) (*one[evidence.Signed], error) {
			return maybe(c.lab.Lock.Cosigned(ctx, in.Migration, in.Gate))
		})

	route(s, operation(http.MethodPost, "/v1/labs/{lab}/enrolments", "enrol", "Hand in what a gate says of itself; without a paper: see that this laboratory's journal is signed by a key", small), enrols, known,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			Lock ecluse.Fingerprint `query:"lock" required:"true"`
			Body enrolment
		},
		) (*empty, error) {
			if in.Body.Paper == nil {
				return &empty{}, nil
			}
			if err := in.Body.Paper.VerifyBy(evidence.NamespaceGate, c.gate); err != nil {
				return nil, err
			}
			_, err := c.lab.Lock.Enrol(ctx, *in.Body.Paper)
			return done(err)
		})
}

type enrolment struct {
	Paper *evidence.Signed `json:"paper,omitempty"`
}

// work registers what is asked of gates, and how far it has come.
func (s *server) work() {
	const at = "/v1/labs/{lab}/gate/work"
	route(s, operation(http.MethodGet, at, "wanted", "What is asked of the gate; waits while all of it is known", 0), ending, known,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			Known string `query:"known" maxLength:"8000"`
		},
		) (*list[exchange.Work], error) {
			var ids []string
			if in.Known != "" {
				ids = strings.Split(in.Known, ",")
			}
			return all(c.lab.Lock.Seat(c.gate).Wanted(ctx, ids))
		})
	type InWork struct {
		InLab
		Work string `path:"work" maxLength:"100"`
	}
	route(s, operation(http.MethodPost, at+"/{work}/progress", "tell", "How far a piece of work has come", small), ending, known,
		func(ctx context.Context, c *caller, in *struct {
			InWork
			Body exchange.Progress
		},
		) (*empty, error) {
			return done(c.lab.Lock.Seat(c.gate).Tell(ctx, in.Work, in.Body))
		})
	route(s, operation(http.MethodPost, at+"/{work}/answer", "answer", "What came of a piece of work", papers), ending, known,
		func(ctx context.Context, c *caller, in *struct {
			InWork
			Body exchange.Answer
		},
		) (*empty, error) {
			return done(c.lab.Lock.Seat(c.gate).Answer(ctx, in.Work, in.Body))
		})
}

// signed refuses what another than the gate that sends it signed.
func (c *caller) signed(namespace string, s evidence.Signed) error {
	key, err := s.Verify(namespace)
	if err != nil {
		return err
	}
	if by := evidence.FingerprintOf(key); by != c.gate {
		return &ecluse.Error{Kind: ecluse.Refused, What: "take a paper in", Where: string(by), Why: "another gate signed it than the one that sends it", Next: "let a gate send its own"}
	}
	return nil
}
