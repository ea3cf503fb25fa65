package mandate

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ecluse"
)

// maxYears is the longest duration taken for one: a contract that ends in 2099
// has no end.
const maxYears = 10

// eea are the countries of the European Economic Area.
const eea = " AT BE BG HR CY CZ DE DK EE ES FI FR GR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK "

func (c *Contract) check(p *problems) {
	checkTexts(p, reflect.ValueOf(c).Elem(), "", "", "")
	c.checkParties(p)
	c.checkTerm(p)
	c.checkData(p)
	c.checkOneOf(p)
	c.checkCovered(p)
	c.checkPlace(p)
	for _, n := range []struct {
		field, law string
		value, max int
	}{
		{"requests.hours", "GDPR art. 28(3)(e)", c.Requests.Hours, 30 * 24},
		{"assistance.breach_hours", "GDPR art. 33(2)", c.Assistance.BreachHours, 72},
		{"at_end.days", "GDPR art. 28(3)(g)", c.AtEnd.Days, 366},
		{"audit.notice_days", "GDPR art. 28(3)(h)", c.Audit.NoticeDays, 90},
		{"subprocessors.notice_days", "GDPR art. 28(2)", c.Subprocessors.NoticeDays, 366},
	} {
		if n.value < 1 || n.value > n.max {
			p.add(n.field, fmt.Sprintf("want a number from 1 to %d", n.max), n.law)
		}
	}
}

func (c *Contract) checkParties(p *problems) {
	if !validID(c.ID) {
		p.add("id", idRule, "")
	}
	a, b := c.Parties.Controller, c.Parties.Processor
	if a.Root == b.Root {
		p.add("parties.processor.root", "both parties name the same root: each has its own", "")
	}
	if strings.EqualFold(strings.TrimSpace(a.Name), strings.TrimSpace(b.Name)) {
		p.add("parties.processor.name", "controller and processor are the same organisation", lawChapeau)
	}
	for _, side := range []ecluse.Side{ecluse.Controller, ecluse.Processor} {
		dpo := c.Party(side).DPO
		given := dpo.Name != "" && dpo.Email != ""
		if given == (dpo.None != "") {
			p.add("parties."+string(side)+".dpo", "want name and email, or none: with the reason", "GDPR art. 37")
		}
	}
}

func (c *Contract) checkTerm(p *problems) {
	if c.End.Begins().Before(c.Start.Begins()) {
		p.add("end", "the contract ends before it starts", lawChapeau)
	}
	if c.End.Begins().After(c.Start.Begins().AddDate(maxYears, 0, 0)) {
		p.add("end", fmt.Sprintf("more than %d years after the start is no end", maxYears), lawChapeau)
	}
}

func (c *Contract) checkData(p *problems) {
	seen := map[ecluse.Class]bool{}
	for i, d := range c.Data {
		field := fmt.Sprintf("data[%d].class", i)
		switch {
		case d.Class == ecluse.Credential:
			p.refuse(field, "passwords and log-ins are never migrated", lawUnlawful)
		case !d.Class.Valid():
			p.add(field, unknownClass(d.Class), lawChapeau)
		case seen[d.Class]:
			p.add(field, "class given twice", "")
		}
		seen[d.Class] = true
	}
	safe := map[ecluse.Class]bool{}
	for i, s := range c.Sensitive {
		if !seen[s.Class] {
			p.add(fmt.Sprintf("sensitive[%d].class", i), "is not a class of the list data", "")
		}
		safe[s.Class] = true
	}
	for i, d := range c.Data {
		if health(d.Class) && !safe[d.Class] {
			p.add(fmt.Sprintf("data[%d].class", i), "health data without its own line under sensitive", "2021/915 clause 7.5")
		}
	}
}

// health tells the classes that are health or genetic data by themselves.
func health(c ecluse.Class) bool { return c == ecluse.Result || c.Special() }

// checkOneOf: what may be absent says why it is.
func (c *Contract) checkOneOf(p *problems) {
	if (len(c.Transfers.List) > 0) == (c.Transfers.None != "") {
		p.add("transfers", "want a list, or none: with the reason", "GDPR art. 28(3)(a)")
	}
	if (len(c.Subprocessors.List) > 0) == (c.Subprocessors.None != "") {
		p.add("subprocessors", "want a list, or none: with the reason", "GDPR art. 28(3)(d)")
	}
	for i, t := range c.Transfers.List {
		if inEEA(t.Country) {
			p.add(fmt.Sprintf("transfers.list[%d].country", i), "is in the European Economic Area: no transfer", "")
		}
	}
}

// checkCovered: the measures speak of each point of art. 32(1).
func (c *Contract) checkCovered(p *problems) {
	points := map[string]string{
		"a": "pseudonymisation and encryption", "b": "confidentiality, integrity, availability, resilience",
		"c": "restoration after an incident", "d": "regular testing",
	}
	for _, m := range c.Measures {
		delete(points, m.Article)
	}
	for _, letter := range []string{"a", "b", "c", "d"} {
		if what, missing := points[letter]; missing {
			p.add("measures", "no measure for "+what, "GDPR art. 28(3)(c), 32(1)("+letter+")")
		}
	}
}

func (c *Contract) checkPlace(p *problems) {
	for i, s := range c.Place.Sites {
		if !inEEA(s.Country) {
			p.add(fmt.Sprintf("place.sites[%d].country", i), "health data are stored in the European Economic Area only (two letters, such as FR)", "CSP art. L.1111-8")
		}
	}
	if c.Place.Operator != "host" {
		if c.Place.HDS != nil {
			p.add("place.hds", "a certificate is for a host", "")
		}
		return
	}
	hds := c.Place.HDS
	if hds == nil {
		p.add("place.hds", "missing: a host of health data is certified", "CSP art. L.1111-8")
		return
	}
	seen := map[int]bool{}
	for i, a := range hds.Activities {
		if a < 1 || a > 6 || seen[a] {
			p.add("place.hds.activities["+strconv.Itoa(i)+"]", "want each activity once, from 1 to 6", "CSP art. R.1111-9")
		}
		seen[a] = true
	}
	if hds.ValidUntil.Begins().Before(c.Start.Begins()) {
		p.add("place.hds.valid_until", "the certificate ends before the contract starts", "CSP art. L.1111-8")
	}
	known := slices.ContainsFunc(c.Subprocessors.List, func(s Subprocessor) bool { return s.Name == c.Place.Name })
	if !known && c.Place.Name != c.Parties.Processor.Name {
		p.add("place.name", "the host is neither the processor nor in the list of sub-processors", "GDPR art. 28(2), 28(4)")
	}
}

func inEEA(country string) bool {
	return len(country) == 2 && strings.Contains(eea, " "+country+" ")
}

const idRule = "want 3 to 64 lower-case letters, digits and hyphens, beginning with a letter"

func validID(id string) bool {
	if len(id) < 3 || len(id) > 64 || id[0] < 'a' || id[0] > 'z' {
		return false
	}
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}

func unknownClass(c ecluse.Class) string {
	names := make([]string, 0, len(ecluse.Classes()))
	for _, k := range ecluse.Classes() {
		names = append(names, string(k))
	}
	return strconv.Quote(string(c)) + " is not a class: want one of " + strings.Join(names, ", ")
}

// checkTexts walks a document by its tags: `enum` lists the values allowed,
// `text` says how a text is judged (see boilerplate).
func checkTexts(p *problems, v reflect.Value, path, law string, tag reflect.StructTag) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			checkTexts(p, v.Elem(), path, law, tag)
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkTexts(p, v.Index(i), path+"["+strconv.Itoa(i)+"]", law, tag)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" || opts == "omitempty" && v.Field(i).IsZero() {
				continue
			}
			child := name
			if path != "" {
				child = path + "." + name
			}
			l := f.Tag.Get("law")
			if l == "" {
				l = law
			}
			checkTexts(p, v.Field(i), child, l, f.Tag)
		}
	case reflect.String:
		if why := judgeText(v, tag); why != "" {
			p.add(path, why, law)
		}
	}
}

func judgeText(v reflect.Value, tag reflect.StructTag) string {
	s := v.String()
	if f, ok := v.Interface().(ecluse.Fingerprint); ok {
		if !f.Valid() {
			return "want SHA256: and 43 characters, as ssh-keygen -lf prints it"
		}
		return ""
	}
	if enum := tag.Get("enum"); enum != "" {
		if !slices.Contains(strings.Fields(enum), s) {
			return strconv.Quote(s) + " is not one of " + strings.Join(strings.Fields(enum), ", ")
		}
		return ""
	}
	return boilerplate(s, tag.Get("text"))
}
