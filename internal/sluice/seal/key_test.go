package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/seal"
)

func TestKeyPrintsNothing(t *testing.T) {
	k := newKey()
	var out bytes.Buffer
	for _, v := range []any{k, *k, []any{*k}, struct{ K *seal.Key }{k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("a key has JSON: %d bytes", len(b))
		}
	}
	for _, form := range []string{hex.EncodeToString(k[:4]), fmt.Sprint(k[:4])[1:], string(k[:4])} {
		if strings.Contains(out.String(), form) {
			t.Error("a key was printed")
		}
	}
}

func TestKeys(t *testing.T) {
	k := newKey()
	if *k == *newKey() {
		t.Error("two new keys are one")
	}
	subs := map[[32]byte]bool{
		k.Sub("chunks", "a"): true, k.Sub("chunks", "b"): true, k.Sub("rows", "a"): true, k.Sub("chunk", "sa"): true, *k: true,
	}
	if len(subs) != 5 {
		t.Errorf("%d different keys of 5", len(subs))
	}
	k.Wipe()
	if *k != (seal.Key{}) {
		t.Error("a wiped key still holds something")
	}
}

// RFC 5869's construction, checked against OpenSSL 3:
// openssl kdf -keylen 32 -kdfopt digest:SHA256 -kdfopt hexkey:000102…1f
// -kdfopt hexinfo:$(printf 'ecluse/v1\0chunks\0result' | xxd -p) HKDF
func TestDerive(t *testing.T) {
	var secret [32]byte
	for i := range secret {
		secret[i] = byte(i)
	}
	const want = "ed372b41675003f4af56e2381cad22a10307280193852561ae490ce134c97a96"
	if got := fmt.Sprintf("%x", seal.Derive(secret[:], "chunks", "result")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestWrap(t *testing.T) {
	k := newKey()
	sealed, err := k.SealCursor("patient", 7, []byte("1850575123456"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("18505")) {
		t.Error("the cursor stands in clear")
	}
	if got, err := k.OpenCursor("patient", 7, sealed); err != nil || string(got) != "1850575123456" {
		t.Errorf("not the cursor: %v", err)
	}
	again, err := k.SealCursor("patient", 7, []byte("1850575123456"))
	if err != nil || bytes.Equal(sealed, again) {
		t.Errorf("two sealings are one: %v", err)
	}
	refused := func(what string, err error) {
		t.Helper()
		if ecluse.KindOf(err) != ecluse.Unverified || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = k.OpenCursor("patient", 8, sealed)
	refused("another sequence", err)
	_, err = k.OpenCursor("result", 7, sealed)
	refused("another dataset", err)
	_, err = newKey().OpenCursor("patient", 7, sealed)
	refused("another key", err)
	for at := range sealed {
		bad := bytes.Clone(sealed)
		bad[at] ^= 0x80
		_, err := k.OpenCursor("patient", 7, bad)
		refused("a flipped bit", err)
		_, err = k.OpenCursor("patient", 7, sealed[:at])
		refused("a cut cursor", err)
	}
}

func TestDocument(t *testing.T) {
	id := newIdentity(t)
	label := "rejects/v1 megabus-2026-01 result/000012.0"
	sealed, err := seal.SealBytes(id.Recipient(), label, []byte("line\nline\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := seal.OpenBytes(id, label, sealed); err != nil || string(got) != "line\nline\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, other := range []string{"", label + "0", "rejects/v1 other-2026-01 result/000012.0"} {
		if _, err := seal.OpenBytes(id, other, sealed); ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("label %q: %v", other, err)
		}
	}
	if _, err := seal.OpenBytes(newIdentity(t), label, sealed); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("another identity: %v", err)
	}
	if _, err := seal.SealBytes(id.Recipient(), "two\nlines", nil); err == nil {
		t.Error("a label of two lines")
	}
	if _, err := seal.OpenBytes(id, label, sealed[:len(sealed)-1]); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("a cut document: %v", err)
	}
}
