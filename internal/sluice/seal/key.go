package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"ecluse"
)

// Key is K: 32 random bytes that the source gate makes for one migration and the
// target gate receives as slot 0 of dataset ecluse.key. Nothing is done with K
// itself, only with its sub-keys. It prints as "‹key›".
type Key [32]byte

// Uses of a key's sub-keys, the first argument of Sub.
const (
	UseChunks  = "chunks"  // keyed sum of a chunk's batches; name: the dataset
	UseRows    = "rows"    // digests of the target's rows; name: the table
	UseCursors = "cursors" // resume cursors at the source gate; name: the dataset
)

// Sub derives the sub-key of a use and a name.
func (k *Key) Sub(use, name string) [32]byte { return Derive(k[:], use, name) }

// Wipe overwrites the key in memory.
func (k *Key) Wipe() { clear(k[:]) }

// Format prints "‹key›" whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "‹key›") }

// LogValue says the same to slog.
func (k Key) LogValue() slog.Value { return slog.StringValue("‹key›") }

// MarshalText refuses: a key is written nowhere as text.
func (k Key) MarshalText() ([]byte, error) { return nil, errors.New("a key has no text") }

// Derive is HKDF-SHA-256 (RFC 5869) without salt, with the info
// "ecluse/v1", 0, use, 0, name. Uses hold no NUL.
func Derive(secret []byte, use, name string) [32]byte {
	b, err := hkdf.Key(sha256.New, secret, nil, "ecluse/v1\x00"+use+"\x00"+name, 32)
	if err != nil {
		panic("hkdf of 32 bytes: " + err.Error()) // only for lengths over 8160
	}
	return [32]byte(b)
}

// Wrap encrypts a small secret with AES-256-GCM under a random nonce, which it
// begins with. Context is authenticated and not stored: Unwrap must be told the
// same. A key may wrap 2³² secrets.
func Wrap(key [32]byte, context string, secret []byte) ([]byte, error) {
	a, err := aead(key)
	if err != nil {
		return nil, err
	}
	return a.Seal(nil, nil, secret, []byte(context)), nil
}

// Unwrap opens what Wrap made with the same key and context.
func Unwrap(key [32]byte, context string, wrapped []byte) ([]byte, error) {
	a, err := aead(key)
	if err != nil {
		return nil, err
	}
	secret, err := a.Open(nil, nil, wrapped, []byte(context))
	if err != nil {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "unwrap", Why: "it was wrapped under another key or for another use, or is damaged"}
	}
	return secret, nil
}

func aead(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// SealCursor wraps the cursor at the end of a chunk: it can be a patient's
// number.
func (k *Key) SealCursor(dataset ecluse.DatasetID, sequence int, cursor []byte) ([]byte, error) {
	return Wrap(k.Sub(UseCursors, string(dataset)), strconv.Itoa(sequence), cursor)
}

// OpenCursor opens the cursor of that dataset and sequence, and no other.
func (k *Key) OpenCursor(dataset ecluse.DatasetID, sequence int, sealed []byte) ([]byte, error) {
	return Unwrap(k.Sub(UseCursors, string(dataset)), strconv.Itoa(sequence), sealed)
}
