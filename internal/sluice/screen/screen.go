// Package screen looks at values on their way out, in memory, at the source gate.
// It knows two things: shapes of credentials, which stop the run whatever the
// column was declared to be, and shapes of personal data and words of health in
// free text, of which only counts come out.
package screen

import (
	"bytes"
	"fmt"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/record"
)

// Screen watches the batches of one dataset.
type Screen struct {
	dataset ecluse.DatasetID
	columns []column
	rows    int64
}

type column struct {
	at       int // in the batch
	name     string
	freeText bool
	values   int64 // not null, not empty
	secrets  int64 // hash- or key-shaped
	found    Findings
}

// Findings counts values of a free-text column that hold something shaped like
// personal data, or a word of health. One value may count under several headings.
type Findings struct {
	NIR    int64 `json:"nir,omitempty"`
	Email  int64 `json:"email,omitempty"`
	Phone  int64 `json:"phone,omitempty"`
	Health int64 `json:"health,omitempty"` // words such as VIH, grossesse, cancer
	Values int64 `json:"values"`
}

// New prepares a screen for a dataset of a read plan.
func New(d *mandate.ReadDataset) *Screen {
	s := &Screen{dataset: d.Dataset}
	for i, c := range d.Columns {
		if c.Type.Kind == ecluse.Text || c.Type.Kind == ecluse.Bytes {
			s.columns = append(s.columns, column{at: i, name: c.Name, freeText: c.Class == ecluse.FreeText})
		}
	}
	return s
}

// A column is taken for one of credentials when a value has the unmistakable form
// of a password hash, or when nearly all of at least hashSample values are bare
// hexadecimal digests of a usual length.
const hashSample = 20

// shortest is the length below which no value is a secret's form: "$1$", what crypted wants
// after it, and one.
const shortest = 12

// Look inspects a batch. It returns ecluse.Refused as soon as a column turns out
// to hold credentials.
func (s *Screen) Look(b *record.Batch) error {
	for i := range s.columns {
		c := &s.columns[i]
		col := b.Columns[c.at]
		if longest, filled := col.Lengths(0, b.Rows()); longest < shortest && !c.freeText {
			c.values += int64(filled)
		} else if err := s.closer(c, col); err != nil {
			return err
		}
		if c.values >= hashSample && c.secrets*10 >= c.values*9 {
			return s.refuse(c, s.rows, "password hashes")
		}
	}
	s.rows += int64(b.Rows())
	return nil
}

// closer looks at each value of a column.
func (s *Screen) closer(c *column, col *record.Column) error {
	for r := range col.Len() {
		if col.Null(r) {
			continue
		}
		v := col.Bytes(r)
		if len(v) == 0 {
			continue
		}
		c.values++
		if crypted(v) {
			return s.refuse(c, s.rows+int64(r), "a password hash")
		}
		if digest(v) {
			c.secrets++
		}
		if c.freeText {
			c.found.look(v)
		}
	}
	return nil
}

func (s *Screen) refuse(c *column, row int64, what string) error {
	return &ecluse.Error{
		Kind: ecluse.Refused, What: "read dataset " + string(s.dataset),
		Where: fmt.Sprintf("column %s, near row %d", c.name, row+1),
		Why:   "it holds what looks like " + what + ", whatever the instruction calls it", Article: "GDPR art. 28(3), last sentence",
		Next: "take the column out of the instruction; people get new credentials at the new laboratory",
	}
}

// FreeText returns what was found in each free-text column.
func (s *Screen) FreeText() map[string]Findings {
	found := map[string]Findings{}
	for _, c := range s.columns {
		if c.freeText {
			c.found.Values = c.values
			found[c.name] = c.found
		}
	}
	return found
}

// crypted tells the forms of modular crypt hashes and of private keys.
func crypted(v []byte) bool {
	if v[0] != '$' && v[0] != '{' && v[0] != '-' {
		return false
	}
	for _, p := range []string{
		"$2a$", "$2b$", "$2y$", "$1$", "$5$", "$6$", "$7$", "$y$", "$P$", "$H$", "$argon2", "$pbkdf2", "$scrypt$",
		"{SSHA}", "{SHA}", "{MD5}", "{CRYPT}", "{bcrypt}", "-----BEGIN ",
	} {
		if len(v) > len(p)+8 && bytes.HasPrefix(v, []byte(p)) {
			return true
		}
	}
	return false
}

// digest tells a bare hexadecimal MD5, SHA-1, SHA-224, SHA-256 or SHA-512, as
// unsalted password tables hold them.
func digest(v []byte) bool {
	switch len(v) {
	case 32, 40, 56, 64, 128:
	default:
		return false
	}
	letters := false
	for _, c := range v {
		switch {
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			letters = true
		default:
			return false
		}
	}
	return letters
}

func (f *Findings) look(v []byte) {
	if bytes.IndexByte(v, '@') > 0 && email(v) {
		f.Email++
	}
	nir, phone := digits(v)
	if nir {
		f.NIR++
	}
	if phone {
		f.Phone++
	}
	if health(v) {
		f.Health++
	}
}

func email(v []byte) bool {
	at := bytes.IndexByte(v, '@')
	rest := v[at+1:]
	dot := bytes.IndexByte(rest, '.')
	return at > 0 && word(v[at-1]) && dot > 0 && dot+1 < len(rest) && word(rest[0]) && word(rest[dot+1])
}

func word(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
}

// digits looks for runs of digits, blanks and dots between them allowed, that
// have the form of a French telephone number or of a NIR: 13 characters whose
// first is 1 or 2 and month is possible, a key of two digits after it or not.
func digits(v []byte) (nir, phone bool) {
	var run [16]byte
	n := 0
	flush := func() {
		switch {
		case n == 10 && run[0] == '0' && run[1] >= '1' && run[1] <= '9':
			phone = true
		case n == 13 || n == 15:
			m := int(run[3]-'0')*10 + int(run[4]-'0')
			if (run[0] == '1' || run[0] == '2') && (m >= 1 && m <= 12 || m >= 20 && m <= 42 || m >= 50) {
				nir = true
			}
		}
		n = 0
	}
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case c >= '0' && c <= '9':
			if n < len(run) {
				run[n] = c
				n++
			}
		case (c == 'A' || c == 'B' || c == 'a' || c == 'b') && n == 6: // Corsica
			run[n] = '0'
			n++
		case (c == ' ' || c == '.' || c == '-') && n > 0 && i+1 < len(v) && v[i+1] >= '0' && v[i+1] <= '9':
		default:
			flush()
		}
	}
	flush()
	return nir, phone
}
