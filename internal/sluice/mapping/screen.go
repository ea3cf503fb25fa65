package mapping

import (
	"fmt"
	"regexp"
	"strings"

	"ecluse"
)

// A frozen table is signed, stored and shown with the mapping: it holds codes,
// never people. These are shapes that no table of codes needs.
var (
	emailShape = regexp.MustCompile(`[A-Za-z0-9_]@[A-Za-z0-9-]+\.[A-Za-z]`)
	phoneShape = regexp.MustCompile(`^(\+33|0033|0)[ .-]?[1-9]([ .-]?[0-9]{2}){4}$`)
	nirShape   = regexp.MustCompile(`^[12] ?[0-9]{2} ?(0[1-9]|1[0-2]|[2-3][0-9]|4[0-2]|[5-9][0-9]) ?([0-9]{2}|2[AaBb]) ?[0-9]{3} ?[0-9]{3}( ?[0-9]{2})?$`)
	dateShape  = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{2}[/.-][0-9]{2}[/.-][0-9]{4})`)

	birthHeader = regexp.MustCompile(`(?i)birth|naiss|^(dob|ddn|datnais)$`)
	nameHeader  = regexp.MustCompile(`(?i)^(nom|noms|prenom|prénom|prenoms|prénoms|surname|forename|patient|patronyme)$|(last|first|family|given|full|patient|birth)[ _-]?name|nom[ _-]?(de[ _-]?)?(famille|naissance|usage|patient)|nom.*pr[eé]nom`)
)

// screenTable refuses a table that holds what looks like people.
func screenTable(header []string, rows [][]string) error {
	refuse := func(column int, line int, what string) error {
		return &ecluse.Error{
			Kind: ecluse.Refused, What: "read frozen table", Where: fmt.Sprintf("line %d, column %s", line, header[column]),
			Why:  "it looks like " + what + ": frozen tables hold codes, never people",
			Next: "what concerns people travels in datasets of the instruction",
		}
	}
	named := -1
	for i, h := range header {
		if birthHeader.MatchString(h) {
			return refuse(i, 1, "dates of birth")
		}
		if nameHeader.MatchString(h) {
			named = i
		}
	}
	for r, row := range rows {
		for i, cell := range row {
			switch {
			case strings.Contains(cell, "@") && emailShape.MatchString(cell):
				return refuse(i, r+2, "an e-mail address")
			case len(cell) >= 10 && phoneShape.MatchString(cell):
				return refuse(i, r+2, "a telephone number")
			case len(cell) >= 13 && nirShape.MatchString(cell):
				return refuse(i, r+2, "a social-security number")
			case named >= 0 && i != named && dateShape.MatchString(cell):
				return refuse(i, r+2, "a date beside a person's name")
			}
		}
	}
	return nil
}
