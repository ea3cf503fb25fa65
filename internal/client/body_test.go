package client

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ecluse"
	"ecluse/evidence"
)

// TestBrokenBody: a line that breaks while a chunk is fetched breaks nothing: the rest
// of it follows when the line holds again. Who has no patience left says so.
func TestBrokenBody(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("sealed ", 50_000)
	descriptor, err := json.Marshal(evidence.Signed{Body: []byte(`{"size": ` + strconv.Itoa(len(whole)) + `}`)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		patience time.Duration
		breaks   int64 // times that the line breaks, each further on
		down     int64 // times that the server then does not answer
		fails    bool
	}{
		"held":              {time.Minute, 0, 0, false},
		"broken once":       {time.Minute, 1, 0, false},
		"broken often":      {time.Minute, 4, 0, false},
		"broken, then away": {time.Minute, 1, 2, false},
		"no patience":       {0, 1, 1 << 40, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n := asked.Add(1)
				if n > 1 && n <= 1+c.down {
					panic(http.ErrAbortHandler)
				}
				w.Header().Set(descriptorHeader, base64.StdEncoding.EncodeToString(descriptor))
				w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
				if n > c.breaks {
					_, _ = io.WriteString(w, whole)
					return
				}
				_, _ = io.WriteString(w, whole[:n*60_000])
				panic(http.ErrAbortHandler)
			}))
			defer s.Close()
			g := &Gate{&line{http: s.Client(), base: s.URL, patience: c.patience, silence: time.Minute}}
			_, body, err := g.Get(t.Context(), "m", ecluse.Slot{Dataset: "patient"})
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			got, err := io.ReadAll(body)
			if c.fails {
				if ecluse.KindOf(err) != ecluse.Failed || !strings.Contains(err.Error(), "reach the server") {
					t.Errorf("it came to %v", err)
				}
				return
			}
			if err != nil || string(got) != whole {
				t.Errorf("%d bytes of %d, %v", len(got), len(whole), err)
			}
		})
	}
}

// TestBrokenProbe: a line that breaks while it is measured is measured again: what a gate
// compiled is not lost to it.
func TestBrokenProbe(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Method != http.MethodGet {
			return
		}
		size, err := strconv.Atoi(r.URL.Query().Get("size"))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Length", strconv.Itoa(size))
		if asked.Add(1) == 1 {
			_, _ = w.Write(make([]byte, size/2))
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(make([]byte, size))
	}))
	defer s.Close()
	g := &Gate{&line{http: s.Client(), base: s.URL, patience: time.Minute, silence: time.Minute}}
	if l, err := g.Probe(t.Context()); err != nil || l.Up <= 0 || l.Down <= 0 || asked.Load() < 2 {
		t.Errorf("%+v, %v, asked %d times", l, err, asked.Load())
	}
}
