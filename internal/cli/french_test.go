package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ecluse/internal/desk"
	"ecluse/internal/french"
	"ecluse/internal/gate"
	"ecluse/internal/mandate"
)

// TestErrorsInFrench: under --lang fr an error is French from its label to what to do
// next; under --json it is for programs, and English whatever the language.
func TestErrorsInFrench(t *testing.T) {
	dir := t.TempDir()
	contract := filepath.Join(dir, "contract.yaml")
	if err := os.WriteFile(contract, []byte("ecluse: contract/v1\nid: c-1\nnumber: 1\nnumber: 2\ncolour: blue\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sheet := filepath.Join(dir, "sheet.yaml")
	night := "ecluse: sheet/v1\nbegins: 2030-01-11T20:00:00+01:00\nopens: 2030-01-12T07:00:00+01:00\npeople:\n  - {name: Hélène Roche, role: on call, telephone: \"06 00 00 00 00\"}\n"
	if err := os.WriteFile(sheet, []byte(night), 0o600); err != nil {
		t.Fatal(err)
	}
	fails := func(args ...string) (stdout, stderr string) {
		t.Helper()
		var out, err bytes.Buffer
		env := Env{Args: args, Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err, Getenv: func(name string) string {
			if name == "ECLUSE_CONFIG" {
				return dir
			}
			return ""
		}}
		if code := Run(t.Context(), env); code == 0 {
			t.Errorf("%v: exit 0", args)
		}
		return out.String(), err.String()
	}
	for _, test := range []struct {
		args []string
		want []string
	}{
		{[]string{"contract", "check", contract}, []string{
			":1 : audit : manque (RGPD art. 28(3)(h))\n  ", ":4 : number : clé donnée deux fois (d'abord ligne 3)\n  ", ":5 : colour : clé inconnue\n",
			"\n  ensuite : corrigez ; ",
		}},
		{[]string{"contract", "check", filepath.Join(dir, "none.yaml")}, []string{"ecluse: lire le fichier : ", "none.yaml : aucun fichier ni dossier de ce nom\n"}},
		{[]string{"gate", "check", filepath.Join(dir, "gate")}, []string{" : il n'y a pas de programme dans ce dossier : ", "\n  ensuite : "}},
		{[]string{"key", "new", filepath.Join(dir, "contract.yaml")}, []string{"ecluse: créer une clé : ", " : le fichier ne peut être créé : ", "\n  ensuite : choisissez un nom libre\n"}},
		{[]string{"sheet", sheet}, []string{"ecluse: écrire la feuille de bascule : personne n'a dit où\n", "\n  ensuite : ecluse sheet "}},
		{[]string{"go", "--open", "cables=soon"}, []string{"lire un point ouvert : --open : il ne dit pas ce qui reste ouvert, ", "\n  ensuite : écrivez --open 'ce qui reste ouvert=personne,AAAA-MM-JJ'\n"}},
		{[]string{"go", "--open", "cables=marc-tissot,soon"}, []string{"contrôler le point ouvert : \"soon\" n'est pas un jour tel que 2026-12-31\n"}},
		{[]string{"accept", "--reserve", "table patient"}, []string{"lire une réserve : --reserve : elle ne dit pas quelle table ", "\n  ensuite : écrivez --reserve 'table NOM="}},
		{[]string{"gate", "rejects", dir, "--release", "result"}, []string{"communiquer une ligne : --release : ce n'est pas de la forme DATASET:ROW\n", "nomme le jeu de données et la ligne : result:12, ou result@2:12 de la deuxième lecture\n"}},
	} {
		_, got := fails(append(test.args, "--lang", "fr")...)
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v: %q is not in\n%s", test.args, want, got)
			}
		}
	}
	out, _ := fails("contract", "check", contract, "--lang", "fr", "--json")
	var p problem
	if err := json.Unmarshal([]byte(out), &p); err != nil || !strings.Contains(p.Error, "unknown key") || !strings.HasPrefix(p.Next, "correct it") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTriedInFrench: what kept a mapping from its end, and what a plan changes, are
// sentences of a statement and of a view, and French too.
func TestTriedInFrench(t *testing.T) {
	var out bytes.Buffer
	u := &ui{out: &out, french: true, sentences: french.New}
	u.twin(&desk.TwinView{TwinStatement: &gate.TwinStatement{Why: "invent rows of patient: the read plan has no such dataset"}})
	u.since(&desk.Since{Changes: []mandate.Change{{Where: "plan", What: "frozen table codes"}, {Where: "result", What: "reject unknown code"}, {Where: "plan", What: "order"}}})
	for _, want := range []string{"n'a pas passé l'épreuve : inventer des lignes de patient : le plan de lecture n'a pas ce jeu de données\n", "  plan  table figée codes\n", "  result  reject unknown code\n", "  plan  ordre\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}
