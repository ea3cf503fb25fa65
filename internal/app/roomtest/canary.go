package roomtest

import (
	"math/rand/v2"
	"path/filepath"
	"strings"

	"ecluse/internal/demo"
)

// Canaries are words that stand nowhere else in the world, planted in a source.
type Canaries struct {
	Refused string // in columns and rows that are not instructed: must leave nowhere to
	Moved   string // in what is instructed: must stand in the two databases only
}

// Plant puts canaries into the old laboratory: into every column that is not
// instructed, into instructed columns of rows that are not, and into what moves,
// rows that will be put aside among it.
func (d *Dir) Plant() Canaries {
	d.Helper()
	word := func(begins string) string {
		b := []byte(begins)
		for range 12 {
			b = append(b, byte('A'+rand.IntN(26)))
		}
		return string(b)
	}
	c := Canaries{word("REFUSE-"), word("DEPLACE-")}
	const asked = "SAISIE >= 20150101 AND SAISIE < 20201101"
	d.Exec("ancilab.db",
		"UPDATE PATIENT SET ADRESSE = '"+c.Refused+"', TEL = '"+c.Refused+"', EMAIL = '"+c.Refused+"', MUTUELLE = '"+c.Refused+"', REMARQUE = '"+c.Refused+
			"', LOGIN = '"+c.Refused+"', MOTDEPASSE = '"+c.Refused+"'",
		"UPDATE PRESCRIPTEUR SET TEL = '"+c.Refused+"'", "UPDATE ANALYSE SET LIBELLE = '"+c.Refused+"'", "UPDATE COMPTE SET SECRET = '"+c.Refused+"'",
		"UPDATE DEMANDE SET SERVICE = '"+c.Refused+"', COMMENTAIRE = '"+c.Refused+"'", "UPDATE RESULTAT SET BIOLOGISTE = '"+c.Refused+"', COMMENTAIRE = '"+c.Refused+"'",
		// rows that are not instructed
		"UPDATE PATIENT SET NOM = '"+c.Refused+"', PRENOM = '"+c.Refused+"' WHERE DERNVIS < 20150101",
		"UPDATE RESULTAT SET VALEUR = '"+c.Refused+"', CODE = '"+c.Refused+"' WHERE NUMDEM IN (SELECT NUMDEM FROM DEMANDE WHERE NOT ("+asked+"))",
		"UPDATE DEMANDE SET PRELEVE = '"+c.Refused+"', CODPRESC = '"+c.Refused+"' WHERE NOT ("+asked+")",
		// what moves
		"UPDATE PATIENT SET NOM = '"+c.Moved+"', PRENOM = '"+c.Moved+"' WHERE DERNVIS >= 20150101",
		"UPDATE PATIENT SET DATNAIS = '"+c.Moved+"' WHERE DERNVIS >= 20150101 AND NUMPAT % 11 = 0",
		"UPDATE PRESCRIPTEUR SET NOM = 'Dr "+c.Moved+"'",
		"UPDATE RESULTAT SET VALEUR = '"+c.Moved+"' WHERE NUMRES % 3 = 0 AND VALEUR <> '"+c.Refused+"'",
		"UPDATE RESULTAT SET CODE = '"+c.Moved+"' WHERE NUMRES % 17 = 0 AND CODE <> '"+c.Refused+"'",
		"PRAGMA wal_checkpoint(TRUNCATE)",
	)
	return c
}

// Leaks lists the files below the room's folder, what processes wrote into their
// temporary and home folders among them, where a canary is that may not be there.
func (d *Dir) Leaks(c Canaries) []string {
	d.Helper()
	old, fresh := d.Join("ancilab.db"), d.Join("novalab.db")
	refused, err := demo.Find(d.Path, func(path string) bool { return strings.HasPrefix(path, old) }, c.Refused)
	if err != nil {
		d.Fatal(err)
	}
	moved, err := demo.Find(d.Path, func(path string) bool {
		return strings.HasPrefix(path, old) || strings.HasPrefix(path, fresh) || strings.HasPrefix(path, d.Join(TestBase))
	}, c.Moved)
	if err != nil {
		d.Fatal(err)
	}
	var all []string
	for _, path := range append(refused, moved...) {
		rel, err := filepath.Rel(d.Path, path)
		if err != nil {
			d.Fatal(err)
		}
		all = append(all, rel)
	}
	return all
}
