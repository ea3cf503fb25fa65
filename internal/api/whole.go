package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"time"

	"ecluse"
	"ecluse/internal/exchange"
)

// A large body is in memory once, at the size that it says it has, and is decoded once.
// huma would hold it three times over: it reads into a buffer that doubles, and decodes it
// a first time to hold it against the schema. It is given an outline instead.

// whole reads a large body, as far as it may be long. It may end early: then it is no JSON.
// One that does not say its size has room for the longest.
func whole(rw http.ResponseWriter, r *http.Request, most int64, within time.Duration) ([]byte, *problem) {
	size := r.ContentLength
	if size > most {
		return nil, tooLong(most)
	}
	if size < 0 {
		size = most + 1 // by which it is seen that there was more
	}
	body := &paced{Reader: r.Body, deadline: http.NewResponseController(rw).SetReadDeadline, whole: time.Now().Add(within)}
	text := make([]byte, size)
	n, err := io.ReadFull(body, text)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, tooSlow()
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, unread()
	case int64(n) > most:
		return nil, tooLong(most)
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

// tooSlow answers whoever keeps room from others for what does not come.
func tooSlow() *problem {
	p := &problem{
		Type: "about:blank", Title: http.StatusText(http.StatusRequestTimeout), Status: http.StatusRequestTimeout,
		Problem: exchange.Problem{
			Kind: ecluse.Failed, What: "read the request", Why: fmt.Sprintf("its body came too slowly: less than %d KiB in %d seconds", paceBytes>>10, paceTime/time.Second),
			Next: "try again; see what else the line carries: ecluse gate check measures it",
		},
	}
	p.Detail = p.What + ": " + p.Why
	return p
}

// longString is up to where an outline has a string: more than any rule of the schema
// speaks of, and whole groups of base64.
const longString = 4 << 10

// longEscaped is how long a string may be that escapes anything: decoded, it would be in
// memory once more, and what is long here is base64, which needs no escape.
const longEscaped = 64 << 10

// outline is JSON whose long strings are cut: what a schema says of a body can be held
// against it. JSON that is none stays none, unless by what is cut.
func outline(text []byte) ([]byte, *problem) {
	size := 0
	if !outlined(text, func(part []byte) { size += len(part) }) {
		return nil, escaped()
	}
	out := make([]byte, 0, size) // what grows by doubling would be as long as the body
	outlined(text, func(part []byte) { out = append(out, part...) })
	return out, nil
}

// outlined gives the parts of an outline, one after the other; false when a string of the
// text is too long for what it escapes.
func outlined(text []byte, give func(part []byte)) bool {
	for len(text) > 0 {
		begin := bytes.IndexByte(text, '"') + 1
		if begin == 0 {
			break
		}
		give(text[:begin])
		text = text[begin:]
		end := endOfString(text)
		if end > longEscaped && bytes.IndexByte(text[:end], '\\') >= 0 {
			return false
		}
		if end > longString {
			give(text[:wholeGroups(text[:end])])
			give(text[end:min(end+1, len(text))])
		} else {
			give(text[:min(end+1, len(text))])
		}
		text = text[min(end+1, len(text)):]
	}
	give(text)
	return true
}

// wholeGroups is up to where a long string's outline goes: the last place at which no escape
// is cut, nor a group of base64, whatever of it is escaped.
func wholeGroups(s []byte) int {
	cut := 0
	for at, n := 0, 0; at <= longString; n++ {
		if n%4 == 0 {
			cut = at
		}
		switch {
		case s[at] != '\\':
			at++
		case at+1 < len(s) && s[at+1] == 'u':
			at += 6
		default:
			at += 2
		}
		if at >= len(s) {
			break
		}
	}
	return cut
}

// escaped answers whoever sends a long string that escapes something.
func escaped() *problem {
	p := &problem{
		Type: "about:blank", Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest,
		Problem: exchange.Problem{
			Kind: ecluse.Invalid, What: "read the request", Why: fmt.Sprintf("a string of more than %d KiB has a backslash in it", longEscaped>>10),
			Next: "write base64 as it is, without escapes",
		},
	}
	p.Detail = p.What + ": " + p.Why
	return p
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
