// Package evidence holds what is signed and what proves it: acts, rosters,
// chunk descriptors, the closing manifest, journal leaves and heads, the erasure
// certificate, and the folder that gathers them (the evidence bundle) with its
// offline verifier.
//
// Everything is parsed and verified here once, for gate, chamber, server and
// whoever holds a bundle years later. The package opens no socket, database or
// process, and no file but those of the fs.FS it is given. Signing takes an
// ssh.Signer: where the key lives is the caller's business.
//
// Two rules hold throughout. A document is identified by the SHA-256 of its
// exact bytes, and every parser refuses bytes that it would not itself have
// written for the same value: there is one text for one meaning.
package evidence

import (
	"errors"
	"fmt"

	"ecluse"
)

// unverified is an error about a signature, digest or proof that does not hold.
func unverified(what, format string, args ...any) error {
	return &ecluse.Error{Kind: ecluse.Unverified, What: what, Why: fmt.Sprintf(format, args...)}
}

// invalid is an error about a document that is not what it should be.
func invalid(what, format string, args ...any) error {
	return &ecluse.Error{Kind: ecluse.Invalid, What: what, Why: fmt.Sprintf(format, args...)}
}

// because gives err a kind and a place, keeping it as the cause.
func because(k ecluse.Kind, what string, err error) error {
	var e *ecluse.Error
	if errors.As(err, &e) && e.Kind == k && e.What == what {
		return err
	}
	return &ecluse.Error{Kind: k, What: what, Err: err}
}
