package desk

import (
	"regexp"
	"strings"
	"unicode"
)

// quoted is what a shell takes as it is: between single quotes, or one of them
// escaped.
var quoted = regexp.MustCompile(`'[^']*'|\\'`)

// ours tells whether a command that a lock named, for somebody to copy, is one of
// Écluse's and nothing besides: `ecluse …`, several joined by &&.
func ours(command string) bool {
	if strings.ContainsFunc(command, func(r rune) bool { return !unicode.IsGraphic(r) }) {
		return false
	}
	bare := quoted.ReplaceAllString(command, "")
	for part := range strings.SplitSeq(bare, " && ") {
		if !strings.HasPrefix(part, "ecluse ") || strings.ContainsAny(part, "'\"`$;|&<>\\()#*?~!") {
			return false
		}
	}
	return true
}
