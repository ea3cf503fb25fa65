package mandate

import (
	"slices"
	"strings"
	"unicode"
)

// A column's name is that of a credential when it holds, run together, one of
// credentialParts; or, as a word of its own, one of credentialWords; or a word of
// each set of one of credentialPairs.
var (
	credentialParts = strings.Fields("password passwd passphrase motdepasse motpasse privatekey cleprivee apikey secretkey sshkey credential")
	credentialWords = set("pwd mdp pw hash hashed hashcode token secret secrets otp totp login logon jwt bearer bcrypt argon scrypt md5 sha sha1 sha256 sha512")
	credentialPairs = [][2]map[string]bool{
		{set("portal portail extranet internet online web"), set("user username identifiant ident id pass pin code cle key")},
		{set("acces access"), set("code cle key pin")},
		{set("pass passe"), set("user usr db web ftp account compte admin mot temp tmp")},
		{set("pin"), set("code")},
	}
)

// LooksLikeCredential tells a column that, by its name, holds a password, its
// hash, a token or a log-in. Such a column is never read, whatever class the
// instruction gives it (GDPR art. 28(3), last sentence): a controller who needs
// a column of such a name renames it in a view, and answers for it.
func LooksLikeCredential(column string) bool {
	w := nameWords(column)
	joined := strings.Join(w, "")
	if slices.ContainsFunc(credentialParts, func(part string) bool { return strings.Contains(joined, part) }) {
		return true
	}
	for _, s := range append(w, joined) {
		if credentialWords[s] || credentialWords[strings.TrimRight(s, "0123456789")] {
			return true
		}
	}
	among := func(words map[string]bool) bool {
		return slices.ContainsFunc(w, func(s string) bool { return words[s] })
	}
	return slices.ContainsFunc(credentialPairs, func(p [2]map[string]bool) bool { return among(p[0]) && among(p[1]) })
}

// nameWords splits a column's name at signs and at capitals, without accents,
// in lower case: "portalLogin_2" is portal, login, 2.
func nameWords(name string) []string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return words(b.String())
}
