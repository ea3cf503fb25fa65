package api

import (
	"context"
	"net/http"
	"sort"
	"time"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/account"
	"ecluse/internal/exchange"
)

// people registers what people do: what they may is the lock's procedure, which asks
// for their role each time.
func (s *server) people() {
	const at = "/v1/labs/{lab}"
	const of1 = at + "/migrations/{migration}"

	route(s, operation(http.MethodGet, at+"/me", "me", "Who you are", 0), people, known,
		func(ctx context.Context, c *caller, _ *InLab) (*reply[exchange.Person], error) {
			return ok(c.person.Me(ctx))
		})
	route(s, operation(http.MethodGet, at+"/rosters", "rosters", "Both parties' rosters", 0), people, known,
		func(ctx context.Context, c *caller, _ *InLab) (*list[evidence.Signed], error) {
			return all(c.person.Rosters(ctx))
		})
	route(s, operation(http.MethodGet, at+"/gates", "gates", "The gates that the lock knows", 0), people, known,
		func(ctx context.Context, c *caller, _ *InLab) (*list[exchange.GateView], error) {
			return all(c.person.Gates(ctx))
		})
	route(s, operation(http.MethodGet, at+"/enrolments", "enrolments", "What gates said of themselves", 0), people, known,
		func(ctx context.Context, c *caller, _ *InLab) (*list[evidence.Signed], error) {
			return all(c.person.EnrolledGates(ctx))
		})
	route(s, operation(http.MethodGet, at+"/enrolments/acts", "enrolment-acts", "Who confirmed gates and who retired them, signed", 0), people, known,
		func(ctx context.Context, c *caller, _ *InLab) (*list[evidence.Signed], error) {
			return all(c.person.GateActs(ctx))
		})

	route(s, operation(http.MethodPost, at+"/drafts", "draft", "In which role an act can be made now, and from when", small), people, known,
		func(ctx context.Context, c *caller, in *body[draft]) (*reply[exchange.Draft], error) {
			return ok(c.person.Draft(ctx, in.Body.Migration, in.Body.Clauses))
		})
	route(s, operation(http.MethodPost, at+"/acts", "hand-in", "Hand in a signed act with the documents it speaks of", papers), people, known,
		func(ctx context.Context, c *caller, in *body[act]) (*reply[exchange.Receipt], error) {
			return ok(c.person.HandIn(ctx, in.Body.Act, in.Body.Papers))
		})
	route(s, operation(http.MethodPost, at+"/migrations", "open", "Make the migration of an instruction", papers), people, known,
		func(ctx context.Context, c *caller, in *body[instruction]) (*reply[opened], error) {
			m, err := c.person.OpenMigration(ctx, in.Body.Instruction)
			return ok(&opened{m}, err)
		})

	route(s, operation(http.MethodGet, at+"/status", "status", "Where migrations stand and who does what next", 0), people, known,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			Migration ecluse.MigrationID `query:"migration" maxLength:"64"`
			After     string             `query:"after" maxLength:"64" doc:"cursor: the migration after which to go on"`
			Most      int                `query:"most" minimum:"1" maximum:"500" default:"100"`
		},
		) (*list[exchange.Status], error) {
			page, err := c.person.Status(ctx, in.Migration)
			if err != nil {
				return nil, err
			}
			return pageOf(page, func(x exchange.Status) string { return string(x.Migration) }, in.After, in.Most), nil
		})
	route(s, operation(http.MethodGet, of1+"/current/{kind}", "current", "The document of a kind in force, if there is one", 0), people, ofLab,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Kind string `path:"kind" maxLength:"40"`
		},
		) (*one[[]byte], error) {
			text, err := c.person.Current(ctx, in.Migration, in.Kind)
			if text == nil {
				return maybe[[]byte](nil, err)
			}
			return maybe(&text, err)
		})
	route(s, operation(http.MethodGet, at+"/documents/{digest}", "document", "A document by its digest", 0), people, known,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			Digest ecluse.Digest `path:"digest"`
		},
		) (*reply[document], error) {
			text, err := c.person.Document(ctx, in.Digest)
			return ok(&document{text}, err)
		})
	route(s, operation(http.MethodGet, of1+"/acts", "acts", "What people signed of a migration", 0), people, ofLab,
		func(ctx context.Context, c *caller, in *InMigration) (*list[evidence.Signed], error) {
			return all(c.person.Acts(ctx, in.Migration))
		})
	route(s, operation(http.MethodGet, of1+"/papers/{kind}", "papers", "What gates handed in of a kind", 0), people, ofLab,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Kind exchange.Paper `path:"kind" maxLength:"40"`
		},
		) (*list[evidence.Signed], error) {
			return all(c.person.Posted(ctx, in.Migration, in.Kind))
		})

	route(s, operation(http.MethodPost, at+"/inspections", "inspect", "Have a gate list its database's structure", small), people, worker,
		func(ctx context.Context, c *caller, in *body[place]) (*reply[exchange.Inspection], error) {
			return ok(c.person.Inspect(slow(ctx), in.Body.Place))
		})
	route(s, operation(http.MethodPost, at+"/sketches", "sketch", "Have an unsigned instruction compiled, to be looked at", papers), people, worker,
		func(ctx context.Context, c *caller, in *body[instruction]) (*reply[document], error) {
			text, err := c.person.Sketch(slow(ctx), in.Body.Instruction)
			return ok(&document{text}, err)
		})
	route(s, operation(http.MethodPost, of1+"/mappings", "check-mapping", "Have a mapping checked", papers), people, both(ofLab, worker),
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body mapping
		},
		) (*reply[exchange.Checked], error) {
			return ok(c.person.CheckMapping(slow(ctx), in.Migration, in.Body.Mapping, in.Body.Frozen))
		})
	route(s, operation(http.MethodPost, of1+"/plans", "plan", "Have read plan and load plan compiled", small), people, both(ofLab, worker),
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body passage
		},
		) (*reply[exchange.Plans], error) {
			return ok(c.person.Plan(slow(ctx), in.Migration, in.Body.Kind))
		})
	route(s, operation(http.MethodPost, of1+"/twins", "twin", "Have invented rows taken through the mapping in force", 0), people, both(ofLab, worker),
		func(ctx context.Context, c *caller, in *InMigration) (*reply[evidence.Signed], error) {
			return ok(c.person.Twin(slow(ctx), in.Migration))
		})
	route(s, operation(http.MethodPost, of1+"/passages", "begin", "Have the gates carry out what is approved", small), people, both(ofLab, worker),
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body exchange.Beginning
		},
		) (*reply[exchange.Begun], error) {
			return ok(c.person.Begin(ctx, in.Migration, in.Body))
		})
	route(s, operation(http.MethodPost, of1+"/undoings", "undo", "Have the passage in hand taken out, which was ordered", small), people, ofLab,
		func(ctx context.Context, c *caller, in *InMigration) (*reply[asked], error) {
			id, err := c.person.Undo(ctx, in.Migration)
			return ok(&asked{id}, err)
		})
	route(s, operation(http.MethodGet, at+"/work/{work}", "look", "How far a gate's work has come; waits for a change", 0), people, known,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			Work  string `path:"work" maxLength:"100"`
			Since int64  `query:"since" minimum:"0"`
		},
		) (*reply[exchange.WorkView], error) {
			return ok(c.person.Look(ctx, in.Work, in.Since))
		})
	route(s, operation(http.MethodGet, of1+"/in-target", "in-target", "The load plan of the passage that is in the target", 0), people, ofLab,
		func(ctx context.Context, c *caller, in *InMigration) (*reply[inTarget], error) {
			d, err := c.person.InTarget(ctx, in.Migration)
			return ok(&inTarget{d}, err)
		})
	route(s, operation(http.MethodPost, at+"/due", "due", "Have done what is due", small), people, known,
		func(ctx context.Context, c *caller, _ *InLab) (*reply[exchange.DueView], error) {
			return ok(c.person.Due(slow(ctx)))
		})
	route(s, operation(http.MethodGet, at+"/strays", "strays", "Files that belong to no live migration", 0), people, known,
		func(ctx context.Context, c *caller, _ *InLab) (*reply[exchange.Strays], error) {
			return ok(c.person.Strays(ctx))
		})
	route(s, operation(http.MethodPost, of1+"/evidence", "evidence", "The evidence of an erased migration", small), people, ofLab,
		func(ctx context.Context, c *caller, in *InMigration) (*reply[exchange.Bundle], error) {
			return ok(c.person.Evidence(slow(ctx), in.Migration))
		})

	route(s, operation(http.MethodGet, at+"/sessions", "sessions", "Sessions: one's own, or one's side's for its signatories and security officers", 0), people, known,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			After string `query:"after" maxLength:"64"`
			Most  int    `query:"most" minimum:"1" maximum:"500" default:"100"`
		},
		) (*list[exchange.SessionView], error) {
			views, err := c.sessions(ctx)
			if err != nil {
				return nil, err
			}
			return pageOf(views, func(x exchange.SessionView) string { return x.ID }, in.After, in.Most), nil
		})
	route(s, operation(http.MethodDelete, at+"/sessions/{id}", "end-session", "End a session", 0), people, known,
		func(ctx context.Context, c *caller, in *struct {
			InLab
			ID string `path:"id" maxLength:"64"`
		},
		) (*empty, error) {
			views, err := c.sessions(ctx)
			if err != nil {
				return nil, err
			}
			for _, v := range views {
				if v.ID != in.ID {
					continue
				}
				why := account.Revoked
				if v.Mine {
					why = account.LoggedOut
				}
				return done(c.lab.Door.Sessions().Revoke(ctx, in.ID, why))
			}
			return nil, &ecluse.Error{Kind: ecluse.Refused, What: "end a session", Why: "there is none of that id that you may end", Next: "ecluse session list"}
		})
}

// sessions lists those that somebody may see and end: their own, and for a signatory
// or a security officer those of their side.
func (c *caller) sessions(ctx context.Context) ([]exchange.SessionView, error) {
	person := c.session.Person.ID
	for _, r := range c.person.Roles() {
		if r == ecluse.Signatory || r == ecluse.Security {
			person = ""
		}
	}
	all, err := c.lab.Door.Sessions().List(ctx, c.session.Person.Side, person)
	if err != nil {
		return nil, err
	}
	views := make([]exchange.SessionView, 0, len(all))
	for _, x := range all {
		if x.Person.Side != c.session.Person.Side {
			continue
		}
		expires := x.Begun.Add(account.SessionLife)
		if idle := x.Seen.Add(account.IdleLife); idle.Before(expires) {
			expires = idle
		}
		views = append(views, exchange.SessionView{
			ID: x.ID, Person: x.Person.ID, Side: x.Person.Side, Key: x.Person.Key, Begun: x.Begun, Seen: x.Seen, Expires: expires, Agent: x.Agent,
			Mine: x.ID == c.session.ID,
		})
	}
	return views, nil
}

// ofLab refuses a migration that is not of the laboratory.
func ofLab(ctx context.Context, c *caller) error {
	return c.lab.Lock.Has(ctx, ecluse.MigrationID(c.path("migration")))
}

func both(a, b decide) decide {
	return func(ctx context.Context, c *caller) error {
		if err := a(ctx, c); err != nil {
			return err
		}
		return b(ctx, c)
	}
}

// patienceOfPeople is how long a person's request waits for gates.
const patienceOfPeople = 90 * time.Second

// slow bounds what waits for a gate, below what a client waits for.
func slow(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeoutCause(ctx, patienceOfPeople, &ecluse.Error{
		Kind: ecluse.Interrupted, What: "wait for a gate", Why: "it works on it for longer than a minute and a half", Next: "run the same command again: what it found meanwhile is kept",
	})
	context.AfterFunc(ctx, cancel)
	return ctx
}

// pageOf cuts a list, by a cursor: the key of the last that was shown.
func pageOf[T any](all []T, key func(T) string, after string, most int) *list[T] {
	sort.Slice(all, func(i, j int) bool { return key(all[i]) < key(all[j]) })
	from := sort.Search(len(all), func(i int) bool { return key(all[i]) > after })
	if after == "" {
		from = 0
	}
	all = all[from:]
	l := &list[T]{}
	l.Body.Items = []T{}
	for _, x := range all {
		if len(l.Body.Items) == most {
			l.Body.Next = key(l.Body.Items[most-1])
			break
		}
		l.Body.Items = append(l.Body.Items, x)
	}
	return l
}

type (
	draft struct {
		Migration ecluse.MigrationID `json:"migration,omitempty"`
		Clauses   []evidence.Clause  `json:"clauses" minItems:"1" maxItems:"32"`
	}
	act struct {
		Act    evidence.Signed      `json:"act"`
		Papers []exchange.Enclosure `json:"papers,omitempty"`
	}
	instruction struct {
		Instruction []byte `json:"instruction"`
	}
	opened struct {
		Migration ecluse.MigrationID `json:"migration"`
	}
	document struct {
		Text []byte `json:"text"`
	}
	place struct {
		Place exchange.Place `json:"place" enum:"source,target"`
	}
	mapping struct {
		Mapping []byte   `json:"mapping"`
		Frozen  [][]byte `json:"frozen,omitempty"`
	}
	passage struct {
		Kind ecluse.PassageKind `json:"kind" enum:"dry,rehearsal,final"`
		Plan ecluse.Digest      `json:"plan,omitzero"`
	}
	asked struct {
		Work string `json:"work"`
	}
	inTarget struct {
		LoadPlan ecluse.Digest `json:"load_plan"`
	}
)
