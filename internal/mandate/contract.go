package mandate

import (
	"time"

	"ecluse"
	"ecluse/internal/document"
)

// Contract is contract/v1: the act of GDPR art. 28(3) as data, with annexes I to
// IV of the clauses of Decision (EU) 2021/915. It binds once a signatory of each
// party has signed its digest. Every mention of the article is a field without
// which the document is not read.
type Contract struct {
	Format   string         `yaml:"ecluse" enum:"contract/v1"`
	ID       string         `yaml:"id"`
	Replaces *ecluse.Digest `yaml:"replaces,omitempty"` // the version in force until this one is; a first one has none
	Options  Options        `yaml:"options" law:"Decision (EU) 2021/915"`
	Parties  Parties        `yaml:"parties" law:"GDPR art. 28(3), 2021/915 annex I"`

	// The chapeau: annex II.
	Subject   string      `yaml:"subject" law:"GDPR art. 28(3)" text:"prose"`
	Start     Date        `yaml:"start" law:"GDPR art. 28(3)"`
	End       Date        `yaml:"end" law:"GDPR art. 28(3)"` // last day
	Nature    []string    `yaml:"nature" law:"GDPR art. 28(3)"`
	Purposes  []string    `yaml:"purposes" law:"GDPR art. 28(3)" text:"prose"`
	Data      []Data      `yaml:"data" law:"GDPR art. 28(3)"`
	Sensitive []Sensitive `yaml:"sensitive" law:"2021/915 annex II, clause 7.5"`
	Subjects  []string    `yaml:"subjects" law:"GDPR art. 28(3)"`
	Rights    []string    `yaml:"rights" law:"GDPR art. 28(3)" text:"prose"` // and obligations of the controller

	Instructions    Channel         `yaml:"instructions" law:"GDPR art. 28(3)(a)"`
	Transfers       Transfers       `yaml:"transfers" law:"GDPR art. 28(3)(a)"`
	Confidentiality Confidentiality `yaml:"confidentiality" law:"GDPR art. 28(3)(b)"`
	Measures        []Measure       `yaml:"measures" law:"GDPR art. 28(3)(c), 2021/915 annex III"`
	Subprocessors   Subprocessing   `yaml:"subprocessors" law:"GDPR art. 28(3)(d), 2021/915 annex IV"`
	Requests        Requests        `yaml:"requests" law:"GDPR art. 28(3)(e)"`
	Assistance      Assistance      `yaml:"assistance" law:"GDPR art. 28(3)(f)"`
	AtEnd           AtEnd           `yaml:"at_end" law:"GDPR art. 28(3)(g)"`
	Audit           Audit           `yaml:"audit" law:"GDPR art. 28(3)(h)"`
	Unlawful        Unlawful        `yaml:"unlawful_instructions" law:"GDPR art. 28(3), last sentence"`

	Place    Place     `yaml:"place" law:"CSP art. L.1111-8"`
	Original *Original `yaml:"original,omitempty"`

	digest ecluse.Digest
}

// Options are the choices the clauses of 2021/915 leave open.
type Options struct {
	Regulation string `yaml:"regulation" enum:"GDPR EUDPR" law:"2021/915 clause 1"`
	Docking    bool   `yaml:"docking" law:"2021/915 clause 5"`
}

// Parties are the two sides of annex I.
type Parties struct {
	Controller Party `yaml:"controller" law:"GDPR art. 28(3), 2021/915 annex I"`
	Processor  Party `yaml:"processor" law:"GDPR art. 28(3), 2021/915 annex I"`
}

// Party is one organisation and the key its rosters chain to.
type Party struct {
	Name    string             `yaml:"name" law:"2021/915 annex I"`
	Address string             `yaml:"address" law:"2021/915 annex I"`
	Contact Contact            `yaml:"contact" law:"2021/915 annex I"`
	DPO     DPO                `yaml:"dpo" law:"GDPR art. 37"`
	Root    ecluse.Fingerprint `yaml:"root"`
}

// Contact is a person to talk to.
type Contact struct {
	Name     string `yaml:"name" law:"2021/915 annex I"`
	Position string `yaml:"position" law:"2021/915 annex I"`
	Email    string `yaml:"email" law:"2021/915 annex I"`
	Phone    string `yaml:"phone,omitempty"`
}

// DPO is a party's data-protection officer, or why it has none.
type DPO struct {
	Name  string `yaml:"name,omitempty"`
	Email string `yaml:"email,omitempty"`
	None  string `yaml:"none,omitempty" text:"prose"`
}

// Data is one type of personal data. An instruction may name columns of these
// classes only.
type Data struct {
	Class ecluse.Class `yaml:"class" law:"GDPR art. 28(3)"`
	What  string       `yaml:"what" law:"GDPR art. 28(3)"`
}

// Sensitive is what is done in particular for one class of health data.
type Sensitive struct {
	Class      ecluse.Class `yaml:"class" law:"2021/915 clause 7.5"`
	Safeguards []string     `yaml:"safeguards" law:"2021/915 clause 7.5" text:"prose"`
}

// Channel is how instructions are given and recorded, letter (a).
type Channel struct {
	How       string `yaml:"how" law:"GDPR art. 28(3)(a)" text:"prose"`
	LegalDuty string `yaml:"legal_duty" law:"GDPR art. 28(3)(a)" text:"prose"` // whom the processor tells of a law that forces otherwise, and how
}

// Transfers outside the European Economic Area, letter (a): some, or why none.
type Transfers struct {
	List []Transfer `yaml:"list,omitempty"`
	None string     `yaml:"none,omitempty" text:"prose"`
}

// Transfer is one transfer of data to a third country.
type Transfer struct {
	Country   string `yaml:"country" law:"GDPR art. 28(3)(a)"`
	To        string `yaml:"to" law:"GDPR art. 28(3)(a)"`
	Safeguard string `yaml:"safeguard" law:"GDPR art. 46" text:"prose"`
}

// Confidentiality is letter (b).
type Confidentiality struct {
	Persons    string `yaml:"persons" law:"GDPR art. 28(3)(b)" text:"prose"`    // who may have access
	Commitment string `yaml:"commitment" law:"GDPR art. 28(3)(b)" text:"prose"` // what each of them has signed
}

// Measure is one line of annex III. Together they cover points (a) to (d) of
// GDPR art. 32(1).
type Measure struct {
	Article     string `yaml:"article_32" enum:"a b c d" law:"GDPR art. 28(3)(c), 32(1)"`
	Description string `yaml:"description" law:"GDPR art. 28(3)(c)" text:"prose"`
	Evidence    string `yaml:"evidence,omitempty"`
}

// Subprocessing is letter (d) and annex IV: some, or why none.
type Subprocessing struct {
	Authorisation string         `yaml:"authorisation" enum:"specific general" law:"GDPR art. 28(2)"`
	NoticeDays    int            `yaml:"notice_days" law:"GDPR art. 28(2)"`
	List          []Subprocessor `yaml:"list,omitempty"`
	None          string         `yaml:"none,omitempty" text:"prose"`
}

// Subprocessor is one line of annex IV.
type Subprocessor struct {
	Name       string  `yaml:"name" law:"2021/915 annex IV"`
	Address    string  `yaml:"address" law:"2021/915 annex IV"`
	Contact    Contact `yaml:"contact" law:"2021/915 annex IV"`
	Processing string  `yaml:"processing" law:"2021/915 annex IV" text:"prose"`
	Until      Date    `yaml:"until" law:"2021/915 annex II"`
}

// Requests is letter (e): help with the requests of the persons concerned.
type Requests struct {
	Contact string `yaml:"contact" law:"GDPR art. 28(3)(e)"`
	Hours   int    `yaml:"hours" law:"GDPR art. 28(3)(e)"`
	How     string `yaml:"how" law:"GDPR art. 28(3)(e)" text:"prose"`
}

// Assistance is letter (f): help with articles 32 to 36.
type Assistance struct {
	BreachHours   int    `yaml:"breach_hours" law:"GDPR art. 28(3)(f), 33(2)"`
	BreachContact string `yaml:"breach_contact" law:"GDPR art. 28(3)(f), 33(2)"`
	Breach        string `yaml:"breach" law:"GDPR art. 28(3)(f), 33(2)" text:"prose"`
	Impact        string `yaml:"impact_assessment" law:"GDPR art. 28(3)(f), 35" text:"prose"`
	Security      string `yaml:"security" law:"GDPR art. 28(3)(f), 32" text:"prose"`
}

// AtEnd is letter (g): the controller's choice.
type AtEnd struct {
	Choice    string `yaml:"choice" enum:"delete return" law:"GDPR art. 28(3)(g)"`
	Days      int    `yaml:"days" law:"GDPR art. 28(3)(g)"` // after the end
	Copies    string `yaml:"copies" law:"GDPR art. 28(3)(g)" text:"prose"`
	LegalDuty string `yaml:"legal_duty,omitempty" text:"prose"` // a law that makes the processor keep some of it
}

// Audit is letter (h).
type Audit struct {
	Information string `yaml:"information" law:"GDPR art. 28(3)(h)" text:"prose"`
	Frequency   string `yaml:"frequency" law:"GDPR art. 28(3)(h)"`
	NoticeDays  int    `yaml:"notice_days" law:"GDPR art. 28(3)(h)"`
	Independent bool   `yaml:"independent_auditor" law:"GDPR art. 28(3)(h)"`
}

// Unlawful is the last sentence: how the processor tells the controller that an
// instruction infringes the law.
type Unlawful struct {
	Contact string `yaml:"contact" law:"GDPR art. 28(3), last sentence"`
	How     string `yaml:"how" law:"GDPR art. 28(3), last sentence" text:"prose"`
}

// Place is where sealed chunks wait: at a host of health data, or on the
// controller's own premises, where no certificate is asked.
type Place struct {
	Operator string `yaml:"operator" enum:"host controller" law:"CSP art. L.1111-8"`
	Name     string `yaml:"name" law:"CSP art. L.1111-8"`
	Sites    []Site `yaml:"sites" law:"CSP art. R.1111-11"`
	HDS      *HDS   `yaml:"hds,omitempty"`
}

// Site is one place of storage.
type Site struct {
	Address string `yaml:"address" law:"CSP art. R.1111-11"`
	Country string `yaml:"country" law:"CSP art. R.1111-11"` // ISO 3166-1, two letters, of the EEA
}

// HDS is the certificate of a host of health data.
type HDS struct {
	Certificate string `yaml:"certificate" law:"CSP art. L.1111-8"`
	Activities  []int  `yaml:"activities" law:"CSP art. R.1111-9"` // of 1 to 6
	ValidUntil  Date   `yaml:"valid_until" law:"CSP art. L.1111-8"`
}

// Original is a contract signed elsewhere that this one transcribes.
type Original struct {
	File        string        `yaml:"file"`
	SHA256      ecluse.Digest `yaml:"sha256"`
	Date        Date          `yaml:"date"`
	Signatories []string      `yaml:"signatories"`
	Mentions    Mentions      `yaml:"mentions" law:"GDPR art. 28(3)"`
}

// Mentions are where and how the original says each mention of the article.
type Mentions struct {
	Chapeau  Mention `yaml:"chapeau" law:"GDPR art. 28(3)"`
	A        Mention `yaml:"a" law:"GDPR art. 28(3)(a)"`
	B        Mention `yaml:"b" law:"GDPR art. 28(3)(b)"`
	C        Mention `yaml:"c" law:"GDPR art. 28(3)(c)"`
	D        Mention `yaml:"d" law:"GDPR art. 28(3)(d)"`
	E        Mention `yaml:"e" law:"GDPR art. 28(3)(e)"`
	F        Mention `yaml:"f" law:"GDPR art. 28(3)(f)"`
	G        Mention `yaml:"g" law:"GDPR art. 28(3)(g)"`
	H        Mention `yaml:"h" law:"GDPR art. 28(3)(h)"`
	Unlawful Mention `yaml:"unlawful_instructions" law:"GDPR art. 28(3), last sentence"`
}

// Mention is one clause of the original, quoted.
type Mention struct {
	Clause string `yaml:"clause" law:"GDPR art. 28(3)" text:"clause"`
	Text   string `yaml:"text" law:"GDPR art. 28(3)" text:"quoted"`
}

// ParseContract reads and checks a contract. A document that is wrong gives
// document.Problems: each names file, line, field and article of law.
func ParseContract(file string, text []byte) (*Contract, error) {
	c := &Contract{digest: ecluse.DigestOf(text)}
	lines, err := document.Decode(file, text, c)
	if err != nil {
		return nil, err
	}
	p := &problems{lines: lines}
	c.check(p)
	if err := p.err("read contract"); err != nil {
		return nil, err
	}
	return c, nil
}

// Digest identifies the exact bytes the contract was read from.
func (c *Contract) Digest() ecluse.Digest { return c.digest }

// Follows says why the contract cannot come after the version in force of the
// same id, or nil. A zero digest: none is in force.
func (c *Contract) Follows(inForce ecluse.Digest) error {
	return follows("contract "+c.ID, c.Replaces, inForce, lawChapeau)
}

// Party is the contract's party of a side.
func (c *Contract) Party(s ecluse.Side) Party {
	if s == ecluse.Processor {
		return c.Parties.Processor
	}
	return c.Parties.Controller
}

// EraseBy is the latest instant at which anything may still be kept: the end of
// the contract and the days it leaves for erasing or returning.
func (c *Contract) EraseBy() time.Time { return c.End.Ends().AddDate(0, 0, c.AtEnd.Days) }

// ValidAt says why the contract does not allow work at t, or nil.
func (c *Contract) ValidAt(t time.Time) error {
	refuse := func(why, next, article string) error {
		return &ecluse.Error{Kind: ecluse.Refused, What: "contract " + c.ID, Why: why, Next: next, Article: article}
	}
	switch {
	case t.Before(c.Start.Begins()):
		return refuse("it begins on "+c.Start.String(), "wait for that day", lawChapeau)
	case !t.Before(c.End.Ends()):
		return refuse("it ended on "+c.End.String(), "sign a new contract; erasing goes on without one", lawChapeau)
	case c.Place.HDS != nil && !t.Before(c.Place.HDS.ValidUntil.Ends()):
		return refuse("the certificate of the chamber's host ended on "+c.Place.HDS.ValidUntil.String(),
			"sign a contract that names the new certificate", "CSP art. L.1111-8")
	}
	return nil
}

// ends is the first instant at which ValidAt refuses for good.
func (c *Contract) ends() time.Time {
	end := c.End.Ends()
	if h := c.Place.HDS; h != nil && h.ValidUntil.Ends().Before(end) {
		end = h.ValidUntil.Ends()
	}
	return end
}

// covers tells whether columns of a class are among the contract's types of
// data. Technical columns say nothing of a person by themselves.
func (c *Contract) covers(class ecluse.Class) bool {
	if class == ecluse.Technical {
		return true
	}
	for _, d := range c.Data {
		if d.Class == class {
			return true
		}
	}
	return false
}
