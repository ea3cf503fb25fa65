package evidence

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A roster is YAML for people, and lines for tools that know no YAML: verify.sh
// reads it with awk. ParseRoster therefore refuses a roster whose plain lines do
// not say what the YAML says.
//
//	side: controller
//	people:
//	  anne-martin:
//	    keys:
//	      - ssh-ed25519 AAAA… anne's token
//	    roles: [signatory, dpo]
//	    from: 2026-01-01

var (
	topLine    = regexp.MustCompile(`^([a-z]+):( (.*))?$`)
	personLine = regexp.MustCompile(`^  ([a-z0-9.-]+):$`)
	fieldLine  = regexp.MustCompile(`^    ([a-z]+):( (.*))?$`)
	itemLine   = regexp.MustCompile(`^(    |      )- (.*)$`)
	remark     = regexp.MustCompile(`(^| )#.*$`)
)

// scanRoster reads a roster's lines as verify.sh does.
func scanRoster(text []byte) []string {
	var out []string
	var person, field string
	people := false
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimRight(remark.ReplaceAllString(strings.TrimSuffix(line, "\r"), ""), " ")
		if m := topLine.FindStringSubmatch(line); m != nil {
			people, person, field = m[1] == "people", "", ""
			switch m[1] {
			case "side", "number", "issued", "expires":
				out = append(out, m[1]+" "+m[3])
			}
			continue
		}
		if !people {
			continue
		}
		if m := personLine.FindStringSubmatch(line); m != nil {
			person, field = m[1], ""
			out = append(out, "person "+person)
		} else if m := fieldLine.FindStringSubmatch(line); m != nil {
			field = m[1]
			out = append(out, scanField(person, field, m[3])...)
		} else if m := itemLine.FindStringSubmatch(line); m != nil {
			out = append(out, scanItem(person, field, m[2])...)
		}
	}
	return out
}

func scanField(person, field, value string) []string {
	switch field {
	case "from", "until", "confidentiality":
		return []string{field + " " + person + " " + value}
	case "roles":
		var out []string
		list := strings.TrimSuffix(strings.TrimPrefix(value, "["), "]")
		for _, role := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
			out = append(out, "role "+person+" "+role)
		}
		return out
	}
	return nil
}

func scanItem(person, field, value string) []string {
	switch field {
	case "keys":
		kind, rest, _ := strings.Cut(value, " ")
		blob, _, _ := strings.Cut(rest, " ")
		return []string{"key " + person + " " + kind + " " + blob}
	case "roles":
		return []string{"role " + person + " " + value}
	}
	return nil
}

// scanned is what scanRoster must find.
func (r *Roster) scanned() []string {
	out := []string{
		"side " + string(r.Side), "number " + strconv.Itoa(r.Number),
		"issued " + formatTime(r.Issued), "expires " + formatTime(r.Expires),
	}
	for _, p := range r.People {
		out = append(
			out, "person "+p.ID, "from "+p.ID+" "+string(p.From), "until "+p.ID+" "+string(p.Until),
			"confidentiality "+p.ID+" "+string(p.Confidentiality),
		)
		for _, role := range p.Roles {
			out = append(out, "role "+p.ID+" "+string(role))
		}
		for _, k := range p.Keys {
			out = append(out, "key "+p.ID+" "+keyText(k))
		}
	}
	return out
}

// keyText is the key as in a .pub file, without comment.
func keyText(k ssh.PublicKey) string {
	return string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(k)))
}

func linesAgree(r *Roster, text []byte) string {
	got, want := scanRoster(text), r.scanned()
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return ""
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			name, _, _ := strings.Cut(w, " ")
			return fmt.Sprintf("tools that read lines do not find %q: write ids after two spaces, their fields after four, "+
				"each key on a line of its own after \"- \", and neither quotes nor several lines for %s", w, name)
		}
	}
	return "tools that read lines find more in it than its YAML says: write each thing once, on its own line, without quotes"
}

// Text writes the roster in the one layout that ParseRoster always takes. It
// does not check the people; ParseRoster does.
func (r *Roster) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "ecluse: %s\nparty: %s\nside: %s\nnumber: %d\n", rosterFormat, quote(r.Party), r.Side, r.Number)
	if !r.Previous.IsZero() {
		fmt.Fprintf(&b, "previous: %s\n", r.Previous)
	}
	fmt.Fprintf(&b, "issued: %s\nexpires: %s\npeople:\n", formatTime(r.Issued), formatTime(r.Expires))
	for _, p := range r.People {
		fmt.Fprintf(&b, "  %s:\n    name: %s\n    employee: %s\n    email: %s\n    keys:\n", p.ID, quote(p.Name), quote(p.Employee), quote(p.Email))
		for _, k := range p.Keys {
			fmt.Fprintf(&b, "      - %s\n", keyText(k))
		}
		names := make([]string, len(p.Roles))
		for i, role := range p.Roles {
			names[i] = string(role)
		}
		fmt.Fprintf(&b, "    roles: [%s]\n", strings.Join(names, ", "))
		fmt.Fprintf(&b, "    from: %s\n    until: %s\n    confidentiality: %s\n", p.From, p.Until, p.Confidentiality)
	}
	return b.Bytes()
}

// AllowedSigners is the roster as `ssh-keygen -Y verify -f` reads it, one line
// for each key. The identity (-I) is the person's id. Times have no zone, so
// that OpenSSH before 9.1 reads them too: run it with TZ=UTC.
func (r *Roster) AllowedSigners() []byte {
	var b bytes.Buffer
	for i := range r.People {
		p := &r.People[i]
		for _, k := range p.Keys {
			fmt.Fprintf(&b, "%s namespaces=%q,valid-after=%q,valid-before=%q %s\n",
				p.ID, NamespaceAct, p.begins().compact(), p.Until.compact()+"235959", keyText(k))
		}
	}
	return b.Bytes()
}
