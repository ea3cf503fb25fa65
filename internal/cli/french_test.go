package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestErrorsInFrench: under --lang fr an error is French from its label to what to do
// next; under --json it is for programs, and English whatever the language.
func TestErrorsInFrench(t *testing.T) {
	dir := t.TempDir()
	contract := filepath.Join(dir, "contract.yaml")
	if err := os.WriteFile(contract, []byte("ecluse: contract/v1\nid: c-1\nnumber: 1\nnumber: 2\ncolour: blue\n"), 0o600); err != nil {
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
