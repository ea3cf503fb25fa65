package screen

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// healthWords are whole words of French free text that tell of a patient's health
// beyond what an analysis does, folded as fold does.
var healthWords = []string{
	"aids", "enceinte", "enceintes", "fiv", "hiv", "img", "ist", "ivg", "mst", "pma", "sep", "sida", "toxico", "vhb", "vhc", "vih",
}

// healthStems are how such words begin: "chimio" is chimiothérapie too.
var healthStems = []string{
	"addict", "alcooli", "avort", "bipolair", "cancer", "carcinom", "chimio", "cirrhos", "depress", "diabet", "drepanocyt", "epileps", "gonoco", "grossesse",
	"hepatit", "leucem", "lymphom", "metasta", "mucovisc", "myelom", "psychiatr", "radiotherap", "sarcom", "schizophren", "seroposit", "suicid", "syphil",
	"toxicoman", "transsex", "trisom", "tubercul", "tumeur",
}

// longest is the most letters of a word that are looked at: no stem has more.
const longest = 16

// health tells whether a text holds one of the words, whatever its case and
// accents, composed or not.
func health(v []byte) bool {
	var buf [longest]byte
	word := buf[:0]
	for len(v) > 0 {
		r, n := utf8.DecodeRune(v)
		v = v[n:]
		letters, part := fold(r)
		if part {
			if len(word)+len(letters) <= longest {
				word = append(word, letters...)
			}
			continue
		}
		if healthWord(word) {
			return true
		}
		word = word[:0]
	}
	return healthWord(word)
}

func healthWord(word []byte) bool {
	if len(word) < 3 {
		return false
	}
	if _, ok := slices.BinarySearch(healthWords, string(word)); ok {
		return true
	}
	// The stem that a word begins with, if any, stands just before it in the order.
	at, ok := slices.BinarySearchFunc(healthStems, word, func(stem string, w []byte) int { return strings.Compare(stem, string(w)) })
	return ok || at > 0 && strings.HasPrefix(string(word), healthStems[at-1])
}

// accents are the letters of French with what they are without them.
var accents = strings.NewReplacer(
	"à", "a", "â", "a", "ä", "a", "á", "a", "ç", "c", "é", "e", "è", "e", "ê", "e", "ë", "e", "î", "i", "ï", "i", "í", "i",
	"ô", "o", "ö", "o", "ó", "o", "ù", "u", "û", "u", "ü", "u", "ú", "u", "ÿ", "y", "ñ", "n", "œ", "oe", "æ", "ae",
)

// fold gives the plain small letters of one, and whether it is part of a word: a
// combining accent is one, and no letter.
func fold(r rune) (letters string, part bool) {
	switch {
	case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		return string(r), true
	case r >= 'A' && r <= 'Z':
		return string(r + 'a' - 'A'), true
	case r < utf8.RuneSelf:
		return "", false
	case unicode.Is(unicode.Mn, r):
		return "", true
	case unicode.IsLetter(r):
		return accents.Replace(string(unicode.ToLower(r))), true
	}
	return "", false
}
