// Package wire is the TLS between the server, the gates and people's command
// lines: what the server shows, how a gate is known, how either is reached, and
// what stands in the way when it is not.
//
// The server is known by one pinned public key and by nothing else: no system
// authorities, no names. A gate is known by the public key of its client
// certificate. Both speak TLS 1.3 only (RFC 8446), and no session is resumed:
// each connection shows its certificates anew.
package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unicode"

	"ecluse"
)

// Text is the same words in English and French.
type Text struct {
	EN string `json:"en"`
	FR string `json:"fr"`
}

// text fills both with the same arguments.
func text(en, fr string, args ...any) Text {
	return Text{fmt.Sprintf(en, args...), fmt.Sprintf(fr, args...)}
}

// base is what both sides have in common.
func base() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{"h2", "http/1.1"},
		SessionTicketsDisabled: true, // a ticket would outlive what a handshake verified
	}
}

// printable keeps text that a stranger wrote from steering a screen.
func printable(s string) string {
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > 120 {
			return -1
		}
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, s)
}

// maxPrivate bounds the small secret files this package reads.
const maxPrivate = 64 << 10

// readPrivate reads a file that holds a secret and that nobody else may read.
func readPrivate(what, path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: path, Why: "the file cannot be read", Err: pathless(err)}
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, &ecluse.Error{
			Kind: ecluse.Refused, What: what, Where: path, Why: "others on this machine may read it",
			Next: "chmod 600 " + path, Article: "GDPR art. 32",
		}
	}
	if info.Size() > maxPrivate || !info.Mode().IsRegular() {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: path, Why: "it is not a small file"}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: what, Where: path, Why: "the file cannot be read", Err: pathless(err)}
	}
	return b, nil
}

// pathless drops the path of a file error: Where has it.
func pathless(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
