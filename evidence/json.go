package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"ecluse"
)

// EncodeJSON writes v as the one JSON text that DecodeJSON takes for it: a
// single line, fields in the order of the Go type, keys of maps sorted, nothing
// escaped for HTML, a newline at the end.
func EncodeJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, because(ecluse.Invalid, "write JSON", err)
	}
	return b.Bytes(), nil
}

// DecodeJSON reads what EncodeJSON wrote and nothing else: an unknown, missing
// or repeated field, a space, another spelling of a number or string are all
// refused, since encoding v again must give b.
func DecodeJSON(b []byte, v any) error {
	const what = "read JSON"
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return because(ecluse.Invalid, what, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid(what, "something follows the value")
	}
	again, err := EncodeJSON(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return invalid(what, "it is not in canonical form: a field is missing, repeated, out of order or spelled otherwise")
	}
	return nil
}

// quote is s as a JSON string, which is a YAML one too.
func quote(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil { // cannot fail for a string
		return `""`
	}
	return string(bytes.TrimSpace(b.Bytes()))
}
