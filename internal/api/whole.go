package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
)

// A large body is in memory once, at the size that it says it has, and is decoded once.
// huma would hold it three times over: it reads into a buffer that doubles, and decodes it
// a first time to hold it against the schema. It is given an outline instead.

// whole reads a large body, as far as it may be long. It may end early: then it is no JSON.
func whole(rw http.ResponseWriter, r *http.Request, most int64, within time.Duration) ([]byte, *problem) {
	if r.ContentLength > most {
		return nil, tooLong(most)
	}
	_ = http.NewResponseController(rw).SetReadDeadline(time.Now().Add(within))
	if r.ContentLength < 0 {
		text, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, most))
		var long *http.MaxBytesError
		switch {
		case errors.As(err, &long):
			return nil, tooLong(most)
		case err != nil:
			return nil, unread()
		}
		return text, nil
	}
	text := make([]byte, r.ContentLength)
	n, err := io.ReadFull(r.Body, text)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, unread()
	}
	return text[:n], nil
}

// tooLong answers whoever sends more than a lock takes at a time.
func tooLong(most int64) *problem {
	p := &problem{
		Type: "about:blank", Title: http.StatusText(http.StatusRequestEntityTooLarge), Status: http.StatusRequestEntityTooLarge,
		Problem: exchange.Problem{
			Kind: ecluse.Invalid, What: "read the request", Why: fmt.Sprintf("it is longer than the %d MiB that a lock takes at a time, papers in base64", most>>20),
			Next: "split what it holds: an instruction of fewer datasets, frozen tables without rows that nothing needs",
		},
	}
	p.Detail = p.What + ": " + p.Why
	return p
}

// longString is up to where an outline has a string: more than any rule of the schema
// speaks of, and whole groups of base64.
const longString = 4 << 10

// outline is JSON whose long strings are cut: what a schema says of a body can be held
// against it. JSON that is none stays none, unless by what is cut.
func outline(text []byte) []byte {
	var out bytes.Buffer
	for len(text) > 0 {
		begin := bytes.IndexByte(text, '"') + 1
		if begin == 0 {
			break
		}
		out.Write(text[:begin])
		text = text[begin:]
		end := endOfString(text)
		if end > longString && bytes.IndexByte(text[:longString], '\\') < 0 {
			out.Write(text[:longString])
			out.Write(text[end:min(end+1, len(text))])
		} else {
			out.Write(text[:min(end+1, len(text))])
		}
		text = text[min(end+1, len(text)):]
	}
	out.Write(text)
	return out.Bytes()
}

// endOfString is where the quote is that ends a string, or the text.
func endOfString(text []byte) int {
	for at := 0; ; {
		next := bytes.IndexAny(text[at:], `"\`)
		if next < 0 {
			return len(text)
		}
		at += next
		if text[at] == '"' {
			return at
		}
		if at += 2; at >= len(text) {
			return len(text)
		}
	}
}

// fill decodes a large body into an input whose body huma made from its outline.
func fill(in any, text []byte) error {
	body := reflect.ValueOf(in).Elem().FieldByName("Body")
	body.SetZero()
	if json.Unmarshal(text, body.Addr().Interface()) != nil { // not in the decoder's words, which may repeat what was sent
		return &ecluse.Error{Kind: ecluse.Invalid, What: "read the request", Where: "body", Why: "it is not as openapi.json says", Next: "see /openapi.json; or let server and program be of one version"}
	}
	return nil
}
