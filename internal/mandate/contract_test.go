package mandate

import (
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"ecluse"
	"ecluse/internal/document"
)

func readContract(t testing.TB) string { return readFile(t, "mandatetest/contract.yaml") }

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestContractParses(t *testing.T) {
	text := readContract(t)
	c, err := ParseContract("contract.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Digest() != ecluse.DigestOf([]byte(text)) {
		t.Error("digest is not that of the bytes")
	}
	if got := c.EraseBy().Format(time.RFC3339); got != "2027-01-31T00:00:00Z" {
		t.Errorf("erase by %s", got)
	}
	for day, ok := range map[string]bool{"2026-01-04": false, "2026-01-05": true, "2026-12-31": true, "2027-01-01": false} {
		at, _ := time.Parse(time.DateOnly, day)
		if err := c.ValidAt(at.Add(12 * time.Hour)); (err == nil) != ok {
			t.Errorf("%s: %v", day, err)
		}
	}
	c.Place.HDS.ValidUntil = Date{time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)}
	if err := c.ValidAt(time.Date(2026, 6, 2, 0, 0, 0, 0, time.UTC)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("expired certificate: %v", err)
	}
}

// TestContractEachMentionRemoved is AC-1: every key of the document is taken out
// in turn, and reading fails naming file, line, field and article, unless the
// type says that the key may be absent.
func TestContractEachMentionRemoved(t *testing.T) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(readContract(t)), &root); err != nil {
		t.Fatal(err)
	}
	removed := 0
	eachKey(&root, root.Content[0], reflect.TypeFor[Contract](), "", func(path string, f reflect.StructField, text []byte) {
		removed++
		_, err := ParseContract("contract.yaml", text)
		if strings.Contains(f.Tag.Get("yaml"), ",omitempty") && !checkedApart[path] {
			if err != nil {
				t.Errorf("%s may be absent: %v", path, err)
			}
			return
		}
		var ps document.Problems
		if !errors.As(err, &ps) {
			t.Errorf("%s removed: %v", path, err)
			return
		}
		p := ps[0]
		law := f.Tag.Get("law")
		if p.File != "contract.yaml" || p.Line < 1 || p.Field != path && !checkedApart[path] || p.Article != law && law != "" {
			t.Errorf("%s removed: %v, want field and article %q", path, err, law)
		}
	})
	if removed < 120 {
		t.Errorf("only %d keys tried", removed)
	}
}

// checkedApart may be absent by their type, but one of two must be there.
var checkedApart = map[string]bool{
	"parties.controller.dpo.name": true, "parties.controller.dpo.email": true,
	"parties.processor.dpo.name": true, "parties.processor.dpo.email": true,
	"transfers.none": true, "subprocessors.list": true, "place.hds": true,
}

// eachKey calls f with the document's text without each of its keys in turn.
func eachKey(root, n *yaml.Node, t reflect.Type, path string, f func(string, reflect.StructField, []byte)) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch n.Kind {
	case yaml.SequenceNode:
		for i, c := range n.Content {
			eachKey(root, c, t.Elem(), path+"["+strconv.Itoa(i)+"]", f)
		}
	case yaml.MappingNode:
		all := n.Content
		for i := 0; i < len(all); i += 2 {
			field, _ := fieldNamed(t, all[i].Value)
			child := strings.TrimPrefix(path+"."+all[i].Value, ".")
			n.Content = append(append([]*yaml.Node{}, all[:i]...), all[i+2:]...)
			text, err := yaml.Marshal(root)
			if err != nil {
				panic(err)
			}
			f(child, field, text)
			n.Content = all
			eachKey(root, all[i+1], field.Type, child, f)
		}
	}
}

func fieldNamed(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		if n, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); n == name {
			return t.Field(i), true
		}
	}
	return reflect.StructField{}, false
}

func TestContractRefuses(t *testing.T) {
	good := readContract(t)
	for name, c := range map[string]struct{ old, new, want string }{
		"endless":           {"end: 2026-12-31", "end: until further notice", "contract.yaml:19: end: want a date written YYYY-MM-DD"},
		"end far away":      {"end: 2026-12-31", "end: 2099-12-31", "end: more than 10 years after the start is no end"},
		"backwards":         {"end: 2026-12-31", "end: 2025-12-31", "end: the contract ends before it starts"},
		"same party":        {"Passerelle Santé SAS", "Laboratoire des Tilleuls", "same organisation"},
		"bad root":          {"SHA256:BBBB", "SHA256:", "parties.processor.root: want SHA256:"},
		"credential":        {"class: contact", "class: credential", "passwords and log-ins are never migrated (GDPR art. 28(3), last sentence)"},
		"unknown class":     {"class: contact", "class: contacts", `"contacts" is not a class`},
		"class twice":       {"class: contact", "class: identity", "class given twice"},
		"unsafe":            {"class: infectious, safeguards", "class: contact, safeguards", "data[5].class: health data without its own line"},
		"choice":            {"choice: delete", "choice: keep", "contract.yaml:78: at_end.choice: \"keep\" is not one of delete, return (GDPR art. 28(3)(g))"},
		"breach":            {"breach_hours: 24", "breach_hours: 96", "assistance.breach_hours: want a number from 1 to 72 (GDPR art. 33(2))"},
		"no hds":            {"  hds: {certificate: HDS-2024-0001, activities: [3, 4, 5, 6], valid_until: 2027-05-01}\n", "", "place.hds: missing"},
		"hds activity":      {"[3, 4, 5, 6]", "[3, 7]", "place.hds.activities[1]"},
		"abroad":            {"country: FR", "country: US", "European Economic Area only"},
		"unlisted host":     {"  name: Coffre Santé\n  sites", "  name: Autre Hébergeur\n  sites", "place.name: the host is neither the processor nor in the list"},
		"no testing":        {"article_32: d", "article_32: c", "no measure for regular testing (GDPR art. 28(3)(c), 32(1)(d))"},
		"blank":             {"requests:\n  contact: dpo@passerelle.example", "requests:\n  contact: \" \"", "requests.contact: is empty (GDPR art. 28(3)(e))"},
		"see annex":         {"commitment: Each signed the confidentiality clause of 3 March 2025, its date stands in the roster", "commitment: See annex III", "confidentiality.commitment: points elsewhere"},
		"voir annexe":       {"text: Les paquets sont chiffrés avant de quitter le laboratoire", "text: voir annexe 3 du contrat", "original.mentions.c.text: points elsewhere instead of saying it: copy here what that place says (GDPR art. 28(3))"},
		"none without why":  {"none: Chamber and gates stand in Orléans and Nantes and no maintenance is done from abroad", "none: N/A", "transfers.none: says nothing"},
		"sans objet":        {"none: Chamber and gates stand in Orléans and Nantes and no maintenance is done from abroad", "none: sans objet", "transfers.none: says nothing"},
		"restates":          {"security: Tells of every flaw found in the program within a day, with the version that repairs it", "security: The processor takes all measures required pursuant to Article 32", "assistance.security: only repeats the regulation"},
		"other list":        {"  list:\n    - name: Coffre", "  none: The processor does everything itself here\n  list:\n    - name: Coffre", "subprocessors: want a list, or none"},
		"unknown key":       {"docking: false", "docking: false, extra: 1", "options.extra: unknown key"},
		"transfer in EEA":   {"{none: Chamber and gates stand in Orléans and Nantes and no maintenance is done from abroad}", "{list: [{country: DE, to: a firm, safeguard: standard clauses signed last May}]}", "no transfer"},
		"certificate ended": {"valid_until: 2027-05-01", "valid_until: 2025-05-01", "the certificate ends before the contract starts"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if text == good {
			t.Errorf("%s: the edit changes nothing", name)
		}
		_, err := ParseContract("contract.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
		want := ecluse.Invalid
		if name == "credential" {
			want = ecluse.Refused
		}
		if ecluse.KindOf(err) != want {
			t.Errorf("%s: kind %s, want %s", name, ecluse.KindOf(err), want)
		}
	}
}

func TestContractOneRoot(t *testing.T) {
	text := strings.Replace(readContract(t), strings.Repeat("B", 43), strings.Repeat("A", 43), 1)
	if _, err := ParseContract("c.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "both parties name the same root") {
		t.Error(err)
	}
}

func TestBoilerplate(t *testing.T) {
	for _, s := range []string{
		"", "  ", "-", "…", "N/A", "n.a.", "N/A because", "sans objet", "Sans objet.", "néant", "Aucun", "s.o.", "à définir", "TBD", "none",
		"not applicable for now", "none for now", "aucun pour l'instant", "rien, néant", "test test", "x", "TODO: ask the laboratory", "TBD by the laboratory", "See annex", "see Annex II below", "cf. annexe", "voir annexe III du contrat", "Voir conditions générales ci-jointes",
		"as set out in the attached document", "refer to appendix B, section 4", "se reporter à l'annexe 2",
		"takes all measures required pursuant to Article 32",
		"The processor processes the personal data only on documented instructions from the controller",
		"Le sous-traitant prend toutes les mesures requises en vertu de l'article 32.",
		"veille à ce que les personnes autorisées à traiter les données à caractère personnel s'engagent à respecter la confidentialité",
		"appropriate technical and organisational measures", "mesures techniques et organisationnelles appropriées", "secure server",
	} {
		if boilerplate(s, prose) == "" {
			t.Errorf("%q is taken for a mention", s)
		}
	}
	for _, s := range []string{
		"None of the data leave the laboratory's own building",
		"Sans objet : le laboratoire héberge lui-même le dépôt scellé",
		"Chaque paquet est chiffré avec age avant de quitter la machine du laboratoire (voir annexe 3)",
		"Deletes the chunks within 30 days, then looks for copies on backups",
		"Test results are opened by two operators of the processor",
		"So far as the law allows it, within two working days",
		"Aucun sous-traitant : le prestataire fait tout lui-même",
	} {
		if why := boilerplate(s, prose); why != "" {
			t.Errorf("%q: %s", s, why)
		}
	}
	for _, s := range []string{
		"test results", "test results, values and units", "test codes", "Test requests and their dates", "so far as the law allows it", "So-called free comments",
		"x-ray reports", "Na, K, Cl", "NC machine logs", "None but technical numbers", "idem code of the hospital", "TBC and BK cultures",
		"résultats d'analyses", "tests de biologie médicale", "Test de grossesse", "Aucune donnée nominative", "aucun champ libre", "rien que les dates de prélèvement",
		"numéros de demande", "NIR", "résultats",
	} {
		for _, judged := range []string{"", clause} {
			if why := boilerplate(s, judged); why != "" {
				t.Errorf("%q, judged as %q: %s", s, judged, why)
			}
		}
	}
	for _, s := range []string{"", "test", "Test.", "so", "S/O", "x", "xx", "na", "N/A", "none", "aucun", "Néant", "idem", "tbc", "n.c."} {
		if boilerplate(s, "") == "" {
			t.Errorf("%q says something", s)
		}
	}
	if boilerplate("see annex", "") == "" || boilerplate("Nantes", "") != "" || boilerplate("article 7", clause) != "" {
		t.Error("texts that are not prose are judged wrongly")
	}
}

func FuzzParseContract(f *testing.F) {
	f.Add([]byte(readContract(f)))
	f.Add([]byte("ecluse: contract/v1\nparties: {controller: {dpo: {none: x}}}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseContract("f.yaml", b)
		if err == nil && c.Digest() != ecluse.DigestOf(b) {
			t.Error("digest differs")
		}
	})
}
