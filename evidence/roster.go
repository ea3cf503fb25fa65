package evidence

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/internal/document"
)

// Roster is roster/v1: a party's numbered list of its people, their keys and
// what they may do, signed by the party's root key.
type Roster struct {
	Party    string
	Side     ecluse.Side
	Number   int           // from 1; a change is a new number
	Previous ecluse.Digest // of the roster before this one; zero for the first
	Issued   time.Time
	Expires  time.Time
	People   []Person // in the order written

	digest ecluse.Digest
}

// RosterLife is how long gates take a roster, from its issue: somebody may have left.
const RosterLife = 30 * 24 * time.Hour

// Ends is when gates take the roster no longer: once it is too old, or expired.
func (r *Roster) Ends() time.Time {
	if end := r.Issued.Add(RosterLife); end.Before(r.Expires) {
		return end
	}
	return r.Expires
}

// Person is one natural person: never a team, never a mailbox.
type Person struct {
	ID              string // "anne-martin"
	Name            string
	Employee        string // RPPS number or the employer's id
	Email           string
	Keys            []ssh.PublicKey
	Roles           []ecluse.Role
	From            Day // first day of the mandate
	Until           Day // last day of the mandate
	Confidentiality Day // of the commitment of GDPR art. 28(3)(b)
}

// Digest is that of the exact bytes the roster was read from.
func (r *Roster) Digest() ecluse.Digest { return r.digest }

// Person finds somebody by id.
func (r *Roster) Person(id string) (*Person, bool) {
	for i := range r.People {
		if r.People[i].ID == id {
			return &r.People[i], true
		}
	}
	return nil, false
}

// Holder finds whose key has that fingerprint.
func (r *Roster) Holder(f ecluse.Fingerprint) (*Person, bool) {
	for i := range r.People {
		if r.People[i].Holds(f) {
			return &r.People[i], true
		}
	}
	return nil, false
}

// Holds tells whether one of the person's keys has that fingerprint.
func (p *Person) Holds(f ecluse.Fingerprint) bool {
	return slices.ContainsFunc(p.Keys, func(k ssh.PublicKey) bool { return FingerprintOf(k) == f })
}

// May tells whether the person has the role.
func (p *Person) May(r ecluse.Role) bool { return slices.Contains(p.Roles, r) }

// Active tells whether the person's mandate runs at t: from its first day, not
// before the commitment to confidentiality, to the end of its last day (UTC).
func (p *Person) Active(t time.Time) bool {
	return !t.Before(p.begins().Begins()) && t.Before(p.Until.Ends())
}

func (p *Person) begins() Day { return max(p.From, p.Confidentiality) }

// Same tells whether two entries, of whatever rosters, are one natural person.
func (p *Person) Same(o *Person) bool {
	if strings.EqualFold(p.Email, o.Email) || strings.EqualFold(p.Employee, o.Employee) {
		return true
	}
	return slices.ContainsFunc(p.Keys, func(k ssh.PublicKey) bool { return o.Holds(FingerprintOf(k)) })
}

// Day is a calendar day in UTC, written YYYY-MM-DD.
type Day string

// UnmarshalText reads YYYY-MM-DD.
func (d *Day) UnmarshalText(b []byte) error {
	if _, err := time.Parse(time.DateOnly, string(b)); err != nil {
		return fmt.Errorf("want a date written YYYY-MM-DD")
	}
	*d = Day(b)
	return nil
}

// Begins is the day's first instant.
func (d Day) Begins() time.Time {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return time.Time{}
	}
	return t
}

// Ends is the first instant after the day.
func (d Day) Ends() time.Time {
	if d.Begins().IsZero() {
		return time.Time{}
	}
	return d.Begins().AddDate(0, 0, 1)
}

func (d Day) compact() string { return strings.ReplaceAll(string(d), "-", "") }

// instant is a point in time of a roster: UTC, whole seconds.
type instant time.Time

func (i *instant) UnmarshalText(b []byte) error {
	t, err := time.Parse(timeLayout, string(b))
	if err != nil {
		return fmt.Errorf("want an instant in UTC such as 2026-11-23T09:00:00Z")
	}
	*i = instant(t)
	return nil
}

// rosterFile is the roster as people write it.
type rosterFile struct {
	Format   string                   `yaml:"ecluse"`
	Party    string                   `yaml:"party"`
	Side     ecluse.Side              `yaml:"side"`
	Number   int                      `yaml:"number"`
	Previous ecluse.Digest            `yaml:"previous,omitempty"`
	Issued   instant                  `yaml:"issued"`
	Expires  instant                  `yaml:"expires"`
	People   document.Map[personFile] `yaml:"people"`
}

type personFile struct {
	Name            string        `yaml:"name"`
	Employee        string        `yaml:"employee"`
	Email           string        `yaml:"email"`
	Keys            []string      `yaml:"keys"`
	Roles           []ecluse.Role `yaml:"roles"`
	From            Day           `yaml:"from"`
	Until           Day           `yaml:"until"`
	Confidentiality Day           `yaml:"confidentiality" law:"GDPR art. 28(3)(b)"`
}

const rosterFormat = "roster/v1"

// ParseRoster reads a roster. The file's name only serves in errors, which are
// document.Problems.
func ParseRoster(file string, b []byte) (*Roster, error) {
	var f rosterFile
	lines, err := document.Decode(file, b, &f)
	if err != nil {
		return nil, err
	}
	r := &Roster{
		Party: f.Party, Side: f.Side, Number: f.Number, Previous: f.Previous,
		Issued: time.Time(f.Issued), Expires: time.Time(f.Expires), digest: ecluse.DigestOf(b),
	}
	c := rosterCheck{lines: lines, keys: map[ecluse.Fingerprint]string{}, emails: map[string]string{}, employees: map[string]string{}}
	if f.Format != rosterFormat {
		c.add("ecluse", "want "+rosterFormat)
	}
	if f.Side != ecluse.Controller && f.Side != ecluse.Processor {
		c.add("side", "want controller or processor")
	}
	if f.Number < 1 {
		c.add("number", "want a number from 1")
	}
	if !r.Issued.Before(r.Expires) {
		c.add("expires", "want an instant after the one it is issued at")
	}
	if f.People.Len() == 0 {
		c.add("people", "want at least one person")
	}
	for id, p := range f.People.All() {
		r.People = append(r.People, c.person(id, p))
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	if why := linesAgree(r, b); why != "" {
		c.add("people", why)
		return nil, c.problems
	}
	return r, nil
}

// VerifyRoster checks the root key's signature and reads the roster.
func VerifyRoster(s Signed, root ecluse.Fingerprint) (*Roster, error) {
	if err := s.VerifyBy(NamespaceRoster, root); err != nil {
		return nil, err
	}
	return ParseRoster("roster", s.Body)
}

// rosterCheck gathers what is wrong with the people of a roster.
type rosterCheck struct {
	lines     *document.Lines
	problems  document.Problems
	keys      map[ecluse.Fingerprint]string // fingerprint → person
	emails    map[string]string
	employees map[string]string
}

func (c *rosterCheck) add(field, why string) {
	c.problems = append(c.problems, c.lines.Problem(field, why, ""))
}

var (
	employeePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ./_-]{2,39}$`)
	emailPattern    = regexp.MustCompile(`^([A-Za-z0-9.+_-]{1,64})@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
)

func (c *rosterCheck) person(id string, f *personFile) Person {
	at := "people." + id
	p := Person{
		ID: id, Name: f.Name, Employee: f.Employee, Email: f.Email, Roles: f.Roles,
		From: f.From, Until: f.Until, Confidentiality: f.Confidentiality,
	}
	const natural = ": an account is one natural person, with their own name (AC-34)"
	if len(id) > maxID || !personPattern.MatchString(id) {
		c.add(at, "want an id of lower-case letters, digits, dots and hyphens, at most 64")
	} else if generic(id) {
		c.add(at, "the id names a function or a team"+natural)
	}
	switch {
	case len(words(p.Name)) < 2:
		c.add(at+".name", "want a given name and a family name"+natural)
	case generic(p.Name):
		c.add(at+".name", "it names a function or a team"+natural)
	}
	if !employeePattern.MatchString(p.Employee) || !strings.ContainsAny(p.Employee, "0123456789") {
		c.add(at+".employee", "want an RPPS number or the employer's id for this person")
	}
	if m := emailPattern.FindStringSubmatch(p.Email); m == nil {
		c.add(at+".email", "want an address such as anne.martin@laboratory.example")
	} else if generic(m[1]) {
		c.add(at+".email", "it is a shared mailbox"+natural)
	}
	c.once(c.emails, strings.ToLower(p.Email), at, ".email", id)
	c.once(c.employees, strings.ToLower(p.Employee), at, ".employee", id)
	c.rolesOf(at, p.Roles)
	if p.Until < p.From {
		c.add(at+".until", "the mandate ends before it begins")
	}
	p.Keys = c.keysOf(id, f.Keys)
	return p
}

func (c *rosterCheck) once(seen map[string]string, value, at, field, id string) {
	if other, taken := seen[value]; taken {
		c.add(at+field, "it is that of "+other+" too: one account is one person")
	}
	seen[value] = id
}

func (c *rosterCheck) rolesOf(at string, given []ecluse.Role) {
	if len(given) == 0 {
		c.add(at+".roles", "want at least one role")
	}
	for i, r := range given {
		field := fmt.Sprintf("%s.roles[%d]", at, i)
		switch {
		case !slices.Contains(roles(), r):
			c.add(field, fmt.Sprintf("%q is not a role: want signatory, operator, dpo or security", r))
		case slices.Contains(given[:i], r):
			c.add(field, "given twice")
		}
	}
}

func (c *rosterCheck) keysOf(id string, texts []string) []ssh.PublicKey {
	var keys []ssh.PublicKey
	if len(texts) == 0 {
		c.add("people."+id+".keys", "want at least one public key")
	}
	for i, text := range texts {
		field := fmt.Sprintf("people.%s.keys[%d]", id, i)
		key, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(text))
		switch {
		case err != nil || len(options) > 0 || len(rest) > 0:
			c.add(field, "want one line of an OpenSSH .pub file, without options")
			continue
		case CheckKey(key) != nil:
			c.add(field, CheckKey(key).Error())
			continue
		}
		f := FingerprintOf(key)
		if other, taken := c.keys[f]; taken {
			c.add(field, "this key is "+other+"'s already: a key belongs to one person (AC-34)")
		}
		c.keys[f] = id
		keys = append(keys, key)
	}
	return keys
}
