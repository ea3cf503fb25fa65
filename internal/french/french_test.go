package french

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"ecluse"
	"ecluse/internal/document"
)

func TestError(t *testing.T) {
	c := New()
	missing := &fs.PathError{Op: "open", Path: "/srv/a b", Err: syscall.ENOENT}
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("no such thing is known here: 12"), "no such thing is known here: 12"},
		{
			&ecluse.Error{What: "read instruction", Where: "instruction.yaml:14", Why: "there is no dataset patient", Article: "GDPR art. 28(3), last sentence"},
			"lire l'instruction : instruction.yaml:14 : il n'y a pas de jeu de données patient (RGPD art. 28(3), dernière phrase)",
		},
		{
			ecluse.Errorf(ecluse.Failed, "read file", "%w", missing),
			"lire le fichier : ouverture de /srv/a b : aucun fichier ni dossier de ce nom",
		},
		{
			fmt.Errorf("laboratory %s: %w", "saint-luc", &ecluse.Error{What: "open the lock", Err: missing}),
			"laboratoire saint-luc : ouvrir l'écluse : ouverture de /srv/a b : aucun fichier ni dossier de ce nom",
		},
		{&ecluse.Error{What: "read dataset patient", Where: "check", Why: "missing"}, "lire le jeu de données patient : check : manque"},
		{&ecluse.Error{What: "read dataset patient", Where: "row 3, column read", Why: "missing"}, "lire le jeu de données patient : ligne 3, colonne read : manque"},
		// What a server sent is text all the way down.
		{
			&ecluse.Error{What: "store chunk patient/000001.0", Err: errors.New("open chunk patient/000001.0: it holds 3 rows, its descriptor says 4")},
			"ranger le paquet patient/000001.0 : ouvrir le paquet patient/000001.0 : il contient 3 lignes, son descripteur en dit 4",
		},
		{
			errors.New("verify act: sha256:1: key SHA256:x is not anne's in roster 3 of the controller (GDPR art. 29)"),
			"vérifier la signature : sha256:1 : la clé SHA256:x n'est pas celle de anne dans la liste nº 3 du responsable de traitement (RGPD art. 29)",
		},
		// A word is put into French where the template asks for one, and nowhere else.
		{errors.New("the target has no table controller"), "la cible n'a pas de table controller"},
		{errors.New("lab.patient: missing value (23502)"), "lab.patient : valeur manquante (23502)"},
		{errors.New("unable to open the database file (SQLITE_CANTOPEN) (14)"), "la base ne peut être ouverte (SQLITE_CANTOPEN) (14)"},
		{errors.New("the target has no table read"), "la cible n'a pas de table read"},
		{errors.New("it takes controller signatory, processor signatory or processor operator"), "il faut : signataire du responsable de traitement, signataire du sous-traitant ou opérateur du sous-traitant"},
		{
			errors.New("the migration is sealed; this is done when the migration is born or instructed"),
			"la reprise est à l'état « dépôt clos » ; ceci se fait quand la reprise est à l'état « ouverte ou instruite »",
		},
		{
			errors.New("the deadline of erasure, 2026-12-01 09:00 UTC, falls before the end of the next window, 2026-12-02 06:00 UTC, and the 24 hours after it that undoing may take"),
			"l'échéance d'effacement, le 2026-12-01 09:00 UTC, tombe avant la fin de la prochaine plage, le 2026-12-02 06:00 UTC et la fin des 24 heures que l'annulation peut prendre ensuite",
		},
		{
			errors.New("the end of the processor's roster, 2026-12-01 09:00 UTC, falls before now, and the 24 hours after it that undoing may take"),
			"la fin de la liste des personnes du sous-traitant, le 2026-12-01 09:00 UTC, tombe avant maintenant et la fin des 24 heures que l'annulation peut prendre ensuite",
		},
		{errors.New("go by claire-aubry; no-go by anne"), "feu vert donné par claire-aubry ; feu vert refusé par anne"},
		{errors.New("no-go is said of something else than the report of a final passage"), "feu vert refusé au vu d'autre chose que du rapport d'une bascule"},
		{errors.New("there are 2: a, b; known: c"), "il y en a 2 : a, b ; connus : c"},
		// A hole takes what its verb prints.
		{errors.New("it has many bytes, want 4"), "it has many bytes, want 4"},
		{errors.New(`"a: missing" is not a role: want signatory, operator, dpo or security`), `"a: missing" n'est pas un rôle : attendu signatory, operator, dpo ou security`},
		{
			document.Problems{{File: "i.yaml", Line: 3, Field: "rows", Why: "missing", Article: "GDPR art. 29"}, {File: "i.yaml", Line: 9, Why: `unknown key: did you mean because?`}},
			"i.yaml:3 : rows : manque (RGPD art. 29)\ni.yaml:9 : clé inconnue : vouliez-vous dire because ?",
		},
		{
			&ecluse.Error{What: "accept", Where: "m-1", Why: `nobody said what becomes of the rows put aside for "patient.birth: it is damaged", "read: missing"`},
			`prononcer la recette : m-1 : personne n'a dit ce que deviennent les lignes mises de côté pour "patient.birth: it is damaged", "read: missing"`,
		},
		{errors.New("le compte lecture : the account lacks a right"), "le compte lecture : il manque un droit au compte"},
		{errors.Join(errors.New("it is damaged"), context.Canceled), "il est endommagé\ninterrompu"},
		{&ecluse.Error{What: "undo", Why: "the migration is held by controller and processor"}, "annuler : la reprise est suspendue par : responsable de traitement et sous-traitant"},
	} {
		if got := c.Error(test.err); got != test.want {
			t.Errorf("%v\n is  %s\nwant %s", test.err, got, test.want)
		}
	}
}

// chained wraps itself: nothing a program makes, and nothing to loop in.
type chained struct{}

func (c *chained) Error() string { return "it is damaged" }
func (c *chained) Unwrap() error { return c }

func TestErrorEnds(t *testing.T) {
	if got := New().Error(&chained{}); got == "" {
		t.Error("nothing is said")
	}
	err := error(&ecluse.Error{What: "undo"})
	for range 1000 {
		err = &ecluse.Error{What: "undo", Err: err}
	}
	if got := New().Error(err); strings.Count(got, "undo")+strings.Count(got, "annuler") != 1001 {
		t.Errorf("links of the chain are lost: %d bytes", len(got))
	}
}

// TestErrorLong: a document with much wrong in it is French to its last line.
func TestErrorLong(t *testing.T) {
	var all document.Problems
	for i := range 2000 {
		all = append(all, document.Problem{File: "i.yaml", Line: i, Why: fmt.Sprintf("the plan has no dataset d%d", i)})
	}
	if got := New().Error(all); strings.Count(got, "le plan n'a pas de jeu de données d") != len(all) {
		t.Errorf("ends with %s", got[len(got)-200:])
	}
}

func FuzzText(f *testing.F) {
	c := New()
	word := regexp.MustCompile(`[\pL\d_]+`)
	known := map[string]bool{"GDPR": true, "EU": true, "clauses": true, "annex": true, "last": true, "sentence": true, "art": true}
	for _, p := range pairs() {
		f.Add(strings.NewReplacer("%s", "a name", "%q", `"a: b; c"`, "%d", "12", "%w", p.french, "%v", "it is damaged").Replace(p.english))
		for _, w := range word.FindAllString(p.english, -1) {
			known[w] = true
		}
	}
	f.Add(strings.Repeat("it is damaged: ", 500))
	f.Add(strings.Repeat("there are 1: ; known: ", 300))
	f.Add(strings.Repeat("is ", 3000))
	f.Fuzz(func(t *testing.T, s string) {
		got := c.Text(s)
		if utf8.ValidString(s) && !utf8.ValidString(got) {
			t.Errorf("%q became %q", s, got)
		}
		for q := s; ; q = q[1:] {
			if q = q[max(0, strings.IndexByte(q, '"')):]; !strings.HasPrefix(q, `"`) {
				break
			}
			quoted, err := strconv.QuotedPrefix(q)
			if err == nil && word.MatchString(quoted) && !strings.Contains(got, quoted) {
				t.Errorf("%s is lost: %q became %q", quoted, s, got)
			}
			if err == nil {
				q = q[len(quoted)-1:]
			}
		}
		for _, w := range word.FindAllString(s, -1) {
			if !known[w] && !strings.Contains(got, w) {
				t.Errorf("%q is lost: %q became %q", w, s, got)
			}
		}
	})
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		New()
	}
}

func BenchmarkError(b *testing.B) {
	c := New()
	err := &ecluse.Error{
		What: "store chunk patient/000001.0", Why: "the migration would hold 12 rows, and its instruction allows 11",
		Err: errors.New("open chunk patient/000001.0: it holds 3 rows, its descriptor says 4"),
	}
	for b.Loop() {
		c.Error(err)
	}
}
