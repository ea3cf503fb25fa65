package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// DescriptorHeader carries a chunk's signed descriptor, in base64 of its JSON, beside
// the chunk's bytes.
const DescriptorHeader = "Ecluse-Descriptor"

// chambers registers where sealed chunks come in and go out. Chunks are streamed:
// what they may hold is in their signed descriptor, and a body longer than that is cut.
func (s *server) chambers() {
	const at = "/v1/labs/{lab}/gate/migrations/{migration}"
	route(s, operation(http.MethodGet, at+"/slots", "slots", "Descriptors of the chunks that are in", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *InMigration) (*list[evidence.Signed], error) {
			return all(c.lab.Lock.Slots(ctx, in.Migration))
		})
	stream(s, operation(http.MethodPut, at+"/chunks", "put", "A sealed chunk; its descriptor in "+DescriptorHeader, 0), gateOnly, ofMigration,
		func(rw http.ResponseWriter, r *http.Request, c *caller) error {
			d, err := descriptor(r, c.gate)
			if err != nil {
				return err
			}
			stored, err := c.lab.Lock.Put(r.Context(), migration(c), d.signed, d.body(rw, r))
			if err != nil && stored.Body != nil { // the slot is taken: by what, is said
				if err := describe(rw, stored); err != nil {
					return err
				}
			}
			if err != nil {
				return cut(rw, err)
			}
			return answerJSON(rw, stored)
		})
	stream(s, operation(http.MethodGet, at+"/chunks/{dataset}/{sequence}/{version}", "get", "A sealed chunk; its descriptor in "+DescriptorHeader, 0), gateOnly, ofMigration,
		func(rw http.ResponseWriter, r *http.Request, c *caller) error {
			at, err := slot(c)
			if err != nil {
				return err
			}
			signed, body, err := c.lab.Lock.Seat(c.gate).Get(r.Context(), migration(c), at)
			if err != nil {
				return cut(rw, err)
			}
			defer body.Close()
			if err := describe(rw, signed); err != nil {
				return err
			}
			return cut(rw, send(rw, body))
		})
	route(s, operation(http.MethodPost, at+"/manifest", "close", "The closing manifest", papers), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Body evidence.Signed
		},
		) (*empty, error) {
			if err := in.Body.VerifyBy(evidence.NamespaceManifest, c.gate); err != nil {
				return nil, err
			}
			return done(c.lab.Lock.Close(ctx, in.Migration, in.Body))
		})
	route(s, operation(http.MethodGet, at+"/manifest", "manifest", "The closing manifest, if it is there", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *InMigration) (*one[evidence.Signed], error) {
			return maybe(c.lab.Lock.Manifest(ctx, in.Migration))
		})
	route(s, operation(http.MethodGet, at+"/wait", "wait", "Wait until something was put, closed, asked or lent, or a while", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *struct {
			InMigration
			Beyond int `query:"beyond" minimum:"-1" required:"true"`
		},
		) (*empty, error) {
			return done(c.lab.Lock.Await(ctx, in.Migration, in.Beyond, waiting))
		})
	stream(s, operation(http.MethodPut, at+"/rejects", "put-reject", "Rows put aside, sealed to the source gate", 0), gateOnly, ofMigration,
		func(rw http.ResponseWriter, r *http.Request, c *caller) error {
			d, err := descriptor(r, c.gate)
			if err != nil {
				return err
			}
			if err := c.lab.Lock.PutReject(r.Context(), migration(c), d.signed, d.body(rw, r)); err != nil {
				return cut(rw, err)
			}
			rw.WriteHeader(http.StatusNoContent)
			return nil
		})
	for _, method := range []string{http.MethodPut, http.MethodGet} {
		stream(s, operation(method, "/v1/labs/{lab}/gate/probe", "probe-"+strings.ToLower(method), "A little that is thrown away, to measure the way", 0), gateOnly, known, probe)
	}
	route(s, operation(http.MethodGet, at+"/rejects", "rejects", "Descriptors of rows put aside", 0), gateOnly, ofMigration,
		func(ctx context.Context, c *caller, in *InMigration) (*list[evidence.Signed], error) {
			return all(c.lab.Lock.Rejects(ctx, in.Migration))
		})
	stream(s, operation(http.MethodGet, at+"/rejects/{sha256}", "get-reject", "Rows put aside, sealed to the source gate", 0), gateOnly, ofMigration,
		func(rw http.ResponseWriter, r *http.Request, c *caller) error {
			d, err := ecluse.ParseDigest(c.path("sha256"))
			if err != nil {
				return &ecluse.Error{Kind: ecluse.Invalid, What: "get rows put aside", Where: "sha256", Why: "it is not a digest"}
			}
			body, err := c.lab.Lock.Seat(c.gate).GetReject(r.Context(), migration(c), d)
			if err != nil {
				return cut(rw, err)
			}
			defer body.Close()
			return cut(rw, send(rw, body))
		})
}

// waiting is how long a gate's request waits for chunks.
const waiting = 5 * time.Second

func migration(c *caller) ecluse.MigrationID { return ecluse.MigrationID(c.path("migration")) }

// maxProbe bounds what a probe sends, one way.
const maxProbe = 1 << 20

// probe takes bytes and forgets them, or sends as many zeros as it is asked for.
func probe(rw http.ResponseWriter, r *http.Request, _ *caller) error {
	if r.Method == http.MethodPut {
		if _, err := io.Copy(io.Discard, http.MaxBytesReader(rw, r.Body, maxProbe)); err != nil {
			return cut(rw, err)
		}
		rw.WriteHeader(http.StatusNoContent)
		return nil
	}
	size, err := strconv.Atoi(r.URL.Query().Get("size"))
	if err != nil || size < 0 || size > maxProbe {
		return &ecluse.Error{Kind: ecluse.Invalid, What: "measure the way", Where: "size", Why: "it is no number of bytes up to a mebibyte"}
	}
	return send(rw, io.NewSectionReader(zeros{}, 0, int64(size)))
}

// zeros is a body without end that takes no memory.
type zeros struct{}

func (zeros) ReadAt(b []byte, _ int64) (int, error) {
	clear(b)
	return len(b), nil
}

func slot(c *caller) (s ecluse.Slot, err error) {
	s.Dataset = ecluse.DatasetID(c.path("dataset"))
	var bad [2]error
	s.Sequence, bad[0] = strconv.Atoi(c.path("sequence"))
	s.Version, bad[1] = strconv.Atoi(c.path("version"))
	if bad[0] != nil || bad[1] != nil || s.Sequence < 0 || s.Version < 0 {
		err = &ecluse.Error{Kind: ecluse.Invalid, What: "get a chunk", Where: "slot", Why: "it is not dataset, sequence and version"}
	}
	return s, err
}

// described is a chunk being sent: its descriptor holds before its bytes are read.
type described struct {
	signed evidence.Signed
	*evidence.Descriptor
}

const maxDescriptor = 32 << 10

// descriptor reads and verifies the descriptor that comes before a body: by the gate
// whose connection it is.
func descriptor(r *http.Request, gate ecluse.Fingerprint) (*described, error) {
	refuse := func(why string, err error) (*described, error) {
		return nil, &ecluse.Error{Kind: ecluse.Unverified, What: "take a chunk in", Where: DescriptorHeader, Why: why, Err: err}
	}
	text := r.Header.Get(DescriptorHeader)
	if len(text) == 0 || len(text) > maxDescriptor {
		return refuse("it is not there, or too long", nil)
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return refuse("it is not base64", nil)
	}
	d := &described{}
	if err := json.Unmarshal(raw, &d.signed); err != nil {
		return refuse("it is not a signed document in JSON", nil)
	}
	if d.Descriptor, err = evidence.ParseDescriptor(d.signed, gate); err != nil {
		return nil, err
	}
	return d, nil
}

// describe sends a descriptor beside a body.
func describe(rw http.ResponseWriter, s evidence.Signed) error {
	text, err := json.Marshal(s)
	if err == nil {
		rw.Header().Set(DescriptorHeader, base64.StdEncoding.EncodeToString(text))
	}
	return err
}

// body bounds what comes to what the descriptor says and how long it may hang: a
// longer one cuts the connection (http.MaxBytesReader), so does a silence.
func (d *described) body(rw http.ResponseWriter, r *http.Request) io.Reader {
	return patiently(rw, r, d.Size)
}

func patiently(rw http.ResponseWriter, r *http.Request, most int64) io.Reader {
	c := http.NewResponseController(rw)
	return &patient{http.MaxBytesReader(rw, r.Body, most), func() {
		_ = c.SetReadDeadline(time.Now().Add(silence))
		_ = c.SetWriteDeadline(time.Now().Add(answering))
	}}
}

// silence is how long a body may stand still.
const silence = time.Minute

// patient gives each read a time of its own: a slow line is no broken one.
type patient struct {
	r     io.Reader
	again func()
}

func (p *patient) Read(b []byte) (int, error) {
	p.again()
	return p.r.Read(b)
}

// cut ends the connection when more came than was described, or than the plan or the
// procedure lets come in or go out: what is still under way is not read.
func cut(rw http.ResponseWriter, err error) error {
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		rw.Header().Set("Connection", "close")
		return &ecluse.Error{Kind: ecluse.Unverified, What: "take a chunk in", Why: "more came than its descriptor says", Next: "the connection is cut; nothing of it was kept"}
	}
	if ecluse.KindOf(err) == ecluse.Refused {
		rw.Header().Set("Connection", "close")
	}
	return err
}

// send streams a body out.
func send(rw http.ResponseWriter, body io.Reader) error {
	rw.Header().Set("Content-Type", "application/octet-stream")
	if f, ok := body.(interface{ Size() int64 }); ok {
		rw.Header().Set("Content-Length", strconv.FormatInt(f.Size(), 10))
	}
	c := http.NewResponseController(rw)
	b := make([]byte, 64<<10) // one of each gate at a time
	for begun := false; ; begun = true {
		_ = c.SetWriteDeadline(time.Now().Add(silence))
		n, err := body.Read(b)
		if n > 0 {
			if _, err := rw.Write(b[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
		switch {
		case err == io.EOF: //nolint:errorlint // io.Reader's own
			return nil
		case err != nil && begun:
			panic(http.ErrAbortHandler) // half a chunk must not look like a whole one
		case err != nil:
			return err
		}
	}
}

func answerJSON(rw http.ResponseWriter, v any) error {
	rw.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(rw).Encode(v)
}
