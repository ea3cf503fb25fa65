package evidence

import (
	"slices"
	"strings"
	"unicode"
)

// Words that no natural person's name, id or address holds, and words that some
// do (Root is a family name) but that name nobody when they stand alone. Both
// without accents.
var (
	genericAlways = strings.Fields(`
		admin admins administrateur administrateurs administratrice administrator
		labo labos laboratoire laboratoires laboratory laboratories lab labs
		ftp sftp support supports helpdesk hotline assistance depannage
		equipe equipes team teams service services secretariat secretaire accueil
		informatique maintenance telemaintenance exploitation technique technicien
		prestataire fournisseur editeur stagiaire interimaire generique generic
		partage shared commun noreply postmaster webmaster everyone tous`)
	genericAlone = strings.Fields(`
		root test tests essai info infos contact user users utilisateur utilisatrice
		compte account guest invite direction directeur directrice qualite quality
		migration reprise operateur operatrice operator signatory signataire
		dpo rssi dsi it si security securite system systeme mail bal boite
		ecluse biologie biologiste biologist pharmacien medecin docteur dr
		nord sud est ouest site central default defaut anonymous anonyme`)
)

// generic tells whether a name, id or the local part of an address is that of a
// function, a team or a mailbox rather than a person's (AC-34).
func generic(name string) bool {
	ws := words(name)
	alone := len(ws) > 0
	for _, w := range ws {
		if slices.Contains(genericAlways, w) {
			return true
		}
		alone = alone && slices.Contains(genericAlone, w)
	}
	return alone
}

// words splits a name at whatever is not a letter, in lower case and without the
// accents French uses.
func words(name string) []string {
	plain := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1 // a combining accent
		}
		return r
	}, accents.Replace(strings.ToLower(name)))
	return strings.FieldsFunc(plain, func(r rune) bool { return !unicode.IsLetter(r) })
}

var accents = strings.NewReplacer(
	"à", "a", "â", "a", "ä", "a", "á", "a", "ã", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e",
	"î", "i", "ï", "i", "í", "i", "ô", "o", "ö", "o", "ó", "o", "õ", "o", "ù", "u", "û", "u", "ü", "u", "ú", "u",
	"ÿ", "y", "ñ", "n", "œ", "oe", "æ", "ae",
)
