package chamber

import (
	"bufio"
	"errors"
	"strings"
)

// The header of an age file is lines of text: the version, then stanzas, each
// "-> TYPE ARGUMENT…" and lines of base64, then "--- MAC" (C2SP age v1). A chunk
// has one stanza.
const (
	ageVersion = "age-encryption.org/v1"
	ageStanza  = "-> mlkem768x25519 "
	headerSize = 4096
)

var errNotSealed = errors.New("it is not an age file sealed to one hybrid post-quantum recipient")

// checkSealed looks at the header without taking it from r, a reader of at least
// headerSize.
func checkSealed(r *bufio.Reader) error {
	head, _ := r.Peek(headerSize)
	lines := strings.Split(string(head), "\n")
	if len(lines) < 4 || lines[0] != ageVersion || !strings.HasPrefix(lines[1], ageStanza) {
		return errNotSealed
	}
	for _, line := range lines[2:] {
		switch {
		case strings.HasPrefix(line, "--- "):
			return nil
		case strings.HasPrefix(line, "-> "):
			return errNotSealed
		}
	}
	return errNotSealed
}
