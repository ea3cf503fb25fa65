package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// Sessions keeps a person's short-lived tokens between commands; it may be nil.
type Sessions interface {
	Read(key ecluse.Fingerprint) (token string)
	Write(key ecluse.Fingerprint, token string, expires time.Time) error
	Remove(key ecluse.Fingerprint) error
}

// Person is the lock as a person sees it: desk.Lock.
type Person struct {
	*line
	options  Options
	key      ssh.Signer
	sessions Sessions

	mu   sync.Mutex
	held string // the token
}

// LogIn opens the lock for the person whose key it is. The server is asked when the
// first thing is; a session that ended is begun again by itself.
func LogIn(ctx context.Context, o Options, key ssh.Signer, s Sessions) (*Person, error) {
	l, err := newLine(o)
	if err != nil {
		return nil, err
	}
	p := &Person{line: l, options: o, key: key, sessions: s}
	if s != nil {
		p.held = s.Read(p.print())
	}
	l.token, l.renew = p.token, p.forget
	_, err = p.token(ctx)
	return p, err
}

func (p *Person) print() ecluse.Fingerprint { return evidence.FingerprintOf(p.key.PublicKey()) }

func (p *Person) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = ""
	if p.sessions != nil {
		_ = p.sessions.Remove(p.print())
	}
}

// token is that of the session, begun when there is none: a challenge of the server,
// signed with the person's own key.
func (p *Person) token(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held != "" {
		return p.held, nil
	}
	bare := *p.line
	bare.token, bare.renew = nil, nil
	s, err := begun{}, error(nil)
	err = bare.trying(ctx, p.patience, func() error {
		s, err = p.begin(ctx, &bare)
		return err
	})
	if isUnknown(err) {
		return "", &ecluse.Error{
			Kind: ecluse.Refused, What: "log in", Where: string(p.print()), Why: "no roster that is in force at this laboratory gives this key to a person", Article: "GDPR art. 29, 32(4)",
			Next: "name your own key with --as; or have your party's root sign a roster with it: ecluse roster add FILE --as ROOT-KEY",
		}
	}
	if err != nil {
		return "", err
	}
	p.held = s.Token
	if p.sessions != nil {
		if err := p.sessions.Write(p.print(), s.Token, s.Expires); err != nil {
			return "", err
		}
	}
	return p.held, nil
}

// begun is a session's token.
type begun struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
}

// begin begins a session. A challenge is taken once: whoever lost the answer begins with
// another.
func (p *Person) begin(ctx context.Context, bare *line) (s begun, err error) {
	var c struct {
		Challenge string `json:"challenge"`
	}
	if err := bare.send(ctx, http.MethodPost, "/challenges", "", nil, &c); err != nil {
		return s, err
	}
	signed, err := evidence.SignLogin(p.key, &evidence.Login{
		Server: ecluse.Digest(p.options.Pin), Laboratory: p.options.Laboratory, Key: p.print(), Challenge: c.Challenge,
	})
	if err != nil {
		return s, err
	}
	text, err := json.Marshal(signed)
	if err != nil {
		return s, err
	}
	return s, bare.send(ctx, http.MethodPost, "/sessions", "", bytes.NewReader(text), &s)
}

// TakeRoster hands in a roster that a party's root signed; it needs no other identity.
func TakeRoster(ctx context.Context, o Options, signed evidence.Signed) (*exchange.RosterReceipt, error) {
	l, err := newLine(o)
	if err != nil {
		return nil, err
	}
	defer l.close()
	v, err := posted[exchange.RosterReceipt](ctx, l, "/rosters", signed)
	if isUnknown(err) {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: "hand in roster", Why: "the key that signed it is not that party's root at this laboratory", Article: "GDPR art. 32(4)",
			Next: "sign it with the root key whose fingerprint was given when the laboratory was made",
		}
	}
	return v, err
}

// isUnknown tells the one answer of a server to whoever it does not know.
func isUnknown(err error) bool {
	var e *ecluse.Error
	return errors.As(err, &e) && e.Kind == ecluse.Refused && e.What == "come in"
}

// LogOut ends the session, and forgets it here.
func (p *Person) LogOut(ctx context.Context) error {
	all, err := p.Sessions(ctx)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.Mine {
			err = p.EndSession(ctx, s.ID)
		}
	}
	p.forget()
	return err
}

// Sessions lists one's own sessions, or one's side's.
func (p *Person) Sessions(ctx context.Context) ([]exchange.SessionView, error) {
	return paged[exchange.SessionView](ctx, p.line, "/sessions?")
}

// EndSession ends one.
func (p *Person) EndSession(ctx context.Context, id string) error {
	return p.call(ctx, http.MethodDelete, "/sessions/"+escape(id), nil, nil)
}

// paged asks for all pages of a list.
func paged[T any](ctx context.Context, l *line, path string) ([]T, error) {
	var all []T
	after := ""
	for range maxPages {
		page, err := got[items[T]](ctx, l, path+"after="+url.QueryEscape(after))
		if err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.Next == "" || page.Next == after {
			return all, nil
		}
		after = page.Next
	}
	return nil, endless("a list")
}

func about(m ecluse.MigrationID, rest string) string { return "/migrations/" + escape(m) + rest }

// Me says who the person is.
func (p *Person) Me(ctx context.Context) (*exchange.Person, error) {
	return got[exchange.Person](ctx, p.line, "/me")
}

// Rosters returns both parties' rosters.
func (p *Person) Rosters(ctx context.Context) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, p.line, "/rosters")
}

// Gates lists the gates that the lock knows.
func (p *Person) Gates(ctx context.Context) ([]exchange.GateView, error) {
	return listed[exchange.GateView](ctx, p.line, "/gates")
}

// EnrolledGates returns what gates said of themselves.
func (p *Person) EnrolledGates(ctx context.Context) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, p.line, "/enrolments")
}

// GateActs returns what people signed of gates.
func (p *Person) GateActs(ctx context.Context) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, p.line, "/enrolments/acts")
}

// Draft says in which role an act can be made now.
func (p *Person) Draft(ctx context.Context, m ecluse.MigrationID, clauses []evidence.Clause) (*exchange.Draft, error) {
	return posted[exchange.Draft](ctx, p.line, "/drafts", struct {
		Migration ecluse.MigrationID `json:"migration,omitempty"`
		Clauses   []evidence.Clause  `json:"clauses"`
	}{m, clauses})
}

// HandIn hands in a signed act.
func (p *Person) HandIn(ctx context.Context, act evidence.Signed, papers []exchange.Enclosure) (*exchange.Receipt, error) {
	return posted[exchange.Receipt](ctx, p.line, "/acts", struct {
		Act    evidence.Signed      `json:"act"`
		Papers []exchange.Enclosure `json:"papers,omitempty"`
	}{act, papers})
}

type instruction struct {
	Instruction []byte `json:"instruction"`
}

type document struct {
	Text []byte `json:"text"`
}

// OpenMigration makes the migration of an instruction.
func (p *Person) OpenMigration(ctx context.Context, text []byte) (ecluse.MigrationID, error) {
	v, err := posted[struct {
		Migration ecluse.MigrationID `json:"migration"`
	}](ctx, p.line, "/migrations", instruction{text})
	if err != nil {
		return "", err
	}
	return v.Migration, nil
}

// Status tells where migrations stand.
func (p *Person) Status(ctx context.Context, m ecluse.MigrationID) ([]exchange.Status, error) {
	return paged[exchange.Status](ctx, p.line, "/status?migration="+url.QueryEscape(string(m))+"&")
}

// Current reads the document of a kind in force; nil when there is none.
func (p *Person) Current(ctx context.Context, m ecluse.MigrationID, kind string) ([]byte, error) {
	v, err := perhaps[[]byte](ctx, p.line, about(m, "/current/"+escape(kind)))
	if err != nil || v == nil {
		return nil, err
	}
	return *v, nil
}

// Document reads a document by its digest.
func (p *Person) Document(ctx context.Context, d ecluse.Digest) ([]byte, error) {
	v, err := got[document](ctx, p.line, "/documents/"+d.String())
	if err != nil {
		return nil, err
	}
	if ecluse.DigestOf(v.Text) != d {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "read a document", Where: d.String(), Why: "the server sent another"}
	}
	return v.Text, nil
}

// Acts returns what people signed of a migration.
func (p *Person) Acts(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, p.line, about(m, "/acts"))
}

// Posted returns what gates handed in of a kind.
func (p *Person) Posted(ctx context.Context, m ecluse.MigrationID, kind exchange.Paper) ([]evidence.Signed, error) {
	return listed[evidence.Signed](ctx, p.line, about(m, "/papers/"+escape(kind)))
}

// Inspect has a gate list its database's structure.
func (p *Person) Inspect(ctx context.Context, at exchange.Place) (*exchange.Inspection, error) {
	return posted[exchange.Inspection](ctx, p.line, "/inspections", struct {
		Place exchange.Place `json:"place"`
	}{at})
}

// Sketch has an unsigned instruction compiled.
func (p *Person) Sketch(ctx context.Context, text []byte) ([]byte, error) {
	v, err := posted[document](ctx, p.line, "/sketches", instruction{text})
	if err != nil {
		return nil, err
	}
	return v.Text, nil
}

// CheckMapping has a mapping checked.
func (p *Person) CheckMapping(ctx context.Context, m ecluse.MigrationID, mapping []byte, frozen [][]byte) (*exchange.Checked, error) {
	return posted[exchange.Checked](ctx, p.line, about(m, "/mappings"), struct {
		Mapping []byte   `json:"mapping"`
		Frozen  [][]byte `json:"frozen,omitempty"`
	}{mapping, frozen})
}

type passage struct {
	Kind ecluse.PassageKind `json:"kind"`
}

// Twin has invented rows taken through the mapping in force.
func (p *Person) Twin(ctx context.Context, m ecluse.MigrationID) (*evidence.Signed, error) {
	return posted[evidence.Signed](ctx, p.line, about(m, "/twins"), nil)
}

// Plan has both plans compiled.
func (p *Person) Plan(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Plans, error) {
	return posted[exchange.Plans](ctx, p.line, about(m, "/plans"), passage{Kind: kind})
}

// Begin has the gates carry out what is approved.
func (p *Person) Begin(ctx context.Context, m ecluse.MigrationID, q exchange.Beginning) (*exchange.Begun, error) {
	return posted[exchange.Begun](ctx, p.line, about(m, "/passages"), q)
}

// Undo has the passage in hand taken out, which was ordered.
func (p *Person) Undo(ctx context.Context, m ecluse.MigrationID) (string, error) {
	v, err := posted[struct {
		Work string `json:"work"`
	}](ctx, p.line, about(m, "/undoings"), nil)
	if err != nil {
		return "", err
	}
	return v.Work, nil
}

// Look waits until a piece of work has changed since a version, or a while.
func (p *Person) Look(ctx context.Context, work string, since int64) (*exchange.WorkView, error) {
	return got[exchange.WorkView](ctx, p.line, "/work/"+escape(work)+"?since="+strconv.FormatInt(since, 10))
}

// InTarget is the load plan of the passage that is in the target.
func (p *Person) InTarget(ctx context.Context, m ecluse.MigrationID) (ecluse.Digest, error) {
	v, err := got[struct {
		LoadPlan ecluse.Digest `json:"load_plan"`
	}](ctx, p.line, about(m, "/in-target"))
	if err != nil {
		return ecluse.Digest{}, err
	}
	return v.LoadPlan, nil
}

// Due has done what is due.
func (p *Person) Due(ctx context.Context) (*exchange.DueView, error) {
	return posted[exchange.DueView](ctx, p.line, "/due", nil)
}

// Strays lists files that belong to no live migration.
func (p *Person) Strays(ctx context.Context) (*exchange.Strays, error) {
	return got[exchange.Strays](ctx, p.line, "/strays")
}

// Evidence brings the evidence of an erased migration.
func (p *Person) Evidence(ctx context.Context, m ecluse.MigrationID) (*exchange.Bundle, error) {
	return posted[exchange.Bundle](ctx, p.line, about(m, "/evidence"), nil)
}
