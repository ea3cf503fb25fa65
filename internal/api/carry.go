package api

import (
	"context"
	"net/http"
	"strconv"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/exchange"
)

// maxCarried bounds a chunk that is carried in; what it may really have, its signed
// descriptor says.
const maxCarried = 1 << 30

// carried registers what is carried by hand to gates that no line reaches, and back.
// Those come who make migrations go on; what a gate said, it signed.
func (s *server) carried() {
	const at = "/v1/labs/{lab}/carried"
	route(s, operation(http.MethodPost, at+"/out", "carry-out", "All that a gate without a line needs to go on, under the lock's signature", small), people, worker,
		func(ctx context.Context, c *caller, in *body[dispatchFor]) (*reply[evidence.Signed], error) {
			return ok(c.person.CarryOut(ctx, in.Body.Gate))
		})
	stream(s, operation(http.MethodGet, at+"/migrations/{migration}/rejects/{sha256}", "carry-reject", "Rows put aside, sealed to the source gate, to be carried to it", 0), people, both(ofLab, worker),
		func(rw http.ResponseWriter, r *http.Request, c *caller) error {
			d, err := ecluse.ParseDigest(c.path("sha256"))
			if err != nil {
				return &ecluse.Error{Kind: ecluse.Invalid, What: "carry out rows put aside", Where: "sha256", Why: "it is not a digest"}
			}
			body, err := c.person.CarryReject(r.Context(), migration(c), d)
			if err != nil {
				return err
			}
			defer body.Close()
			return send(rw, body)
		})
	route(s, operation(http.MethodPost, at+"/papers", "carry-paper", "What a gate without a line says of itself", small), people, worker,
		func(ctx context.Context, c *caller, in *body[evidence.Signed]) (*empty, error) {
			return done(c.person.CarryPaper(ctx, in.Body))
		})
	route(s, operation(http.MethodPost, at+"/in", "carry-in", "What a gate without a line said, as far as the next chunk", papers), people, worker,
		func(ctx context.Context, c *caller, in *struct {
			body[evidence.Signed]
			Later bool `query:"later" doc:"a later one of the same gate lies beside it: only what was refused of it before may still come in"`
		},
		) (*reply[exchange.Taken], error) {
			return ok(c.person.CarryIn(ctx, in.Body, in.Later))
		})
	stream(s, operation(http.MethodPut, at+"/in/{return}/{item}", "carry-chunk", "A chunk among what a gate without a line said, and what follows it", 0), people, worker,
		func(rw http.ResponseWriter, r *http.Request, c *caller) error {
			of, err := ecluse.ParseDigest(c.path("return"))
			item, bad := strconv.Atoi(c.path("item"))
			if err != nil || bad != nil || item < 0 {
				return &ecluse.Error{Kind: ecluse.Invalid, What: "carry in a chunk", Where: "return, item", Why: "they are not a digest and a number"}
			}
			taken, err := c.person.CarryChunk(r.Context(), of, item, patiently(rw, r, maxCarried))
			if err != nil {
				return cut(rw, err)
			}
			return answerJSON(rw, taken)
		})
}

type dispatchFor struct {
	Gate ecluse.Fingerprint `json:"gate,omitempty"` // empty: the only one without a line
}
