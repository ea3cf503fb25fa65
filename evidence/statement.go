package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/ssh"

	"ecluse"
)

// StatementHead is how the body of every statement begins: a JSON object, in the
// form of EncodeJSON, whose first three fields are these. A Go type of a
// statement starts with them, in this order.
type StatementHead struct {
	Format    string             `json:"ecluse"`
	Migration ecluse.MigrationID `json:"migration"`
	Plan      ecluse.Digest      `json:"plan"` // under which it was made; empty when there was none yet
}

// SignStatement encodes v and signs it with a gate's key.
func SignStatement(gate ssh.Signer, v any) (Signed, error) {
	b, err := EncodeJSON(v)
	if err != nil {
		return Signed{}, err
	}
	if _, err := peekStatement(b); err != nil {
		return Signed{}, err
	}
	return Sign(gate, NamespaceStatement, b)
}

// ParseStatement checks that the gate signed the statement and reads it into v,
// a pointer to the format's own type.
func ParseStatement(s Signed, gate ecluse.Fingerprint, format string, v any) error {
	h, err := PeekStatement(s, gate)
	if err != nil {
		return err
	}
	if h.Format != format {
		return invalid("read statement", "its format is %q, want %s", h.Format, format)
	}
	return DecodeJSON(s.Body, v)
}

// PeekStatement checks that the gate signed the statement and reads its first
// fields only, for who does not know the rest.
func PeekStatement(s Signed, gate ecluse.Fingerprint) (StatementHead, error) {
	if err := s.VerifyBy(NamespaceStatement, gate); err != nil {
		return StatementHead{}, err
	}
	return peekStatement(s.Body)
}

func peekStatement(b []byte) (StatementHead, error) {
	const what = "read statement"
	var h StatementHead
	keys, err := uniqueKeys(b)
	if err != nil {
		return h, because(ecluse.Invalid, what, err)
	}
	if len(keys) < 3 || !slices.Equal(keys[:3], []string{"ecluse", "migration", "plan"}) {
		return h, invalid(what, "it does not begin with the fields ecluse, migration and plan")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return h, because(ecluse.Invalid, what, err)
	}
	for name, into := range map[string]any{"ecluse": &h.Format, "migration": &h.Migration, "plan": &h.Plan} {
		if err := json.Unmarshal(fields[name], into); err != nil {
			return h, because(ecluse.Invalid, what, err)
		}
	}
	if !h.Migration.Valid() {
		return h, invalid(what, "%q is not a migration's id", h.Migration)
	}
	begins, err := EncodeJSON(h)
	if err != nil {
		return h, err
	}
	if !bytes.HasPrefix(b, bytes.TrimSuffix(begins, []byte("}\n"))) {
		return h, invalid(what, "its first fields are not in canonical form")
	}
	return h, nil
}

// maxNesting bounds the depth of a JSON document.
const maxNesting = 64

// uniqueKeys reads one JSON object, refuses a field given twice at any depth,
// and returns the names of the outermost fields in their order.
func uniqueKeys(b []byte) ([]string, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	keys, err := objectKeys(d, 1)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	return keys, nil
}

func objectKeys(d *json.Decoder, depth int) ([]string, error) {
	var keys []string
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok || seen[name] {
			return nil, fmt.Errorf("field %q is given twice", name)
		}
		seen[name] = true
		keys = append(keys, name)
		if err := skipValue(d, depth); err != nil {
			return nil, err
		}
	}
	_, err := d.Token() // the closing brace
	return keys, err
}

func skipValue(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if depth > maxNesting {
		return errors.New("it is nested too deep")
	}
	switch t {
	case json.Delim('{'):
		_, err = objectKeys(d, depth+1)
		return err
	case json.Delim('['):
		for d.More() {
			if err := skipValue(d, depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token()
		return err
	}
	return nil
}
