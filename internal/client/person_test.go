package client_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/evidence"
	"ecluse/internal/client"
	"ecluse/internal/hostiletest"
	"ecluse/internal/wire"
)

// TestLogInAgain: a log-in whose answer is lost is begun again with another challenge,
// and a session that ends while something is tried again is renewed.
func TestLogInAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	issued, begun, asked := 0, 0, 0
	taken := map[string]bool{}
	s := hostiletest.Start(t, t.TempDir(), func(wire.Pin) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			nobody := func() {
				rw.WriteHeader(http.StatusUnauthorized)
				fmt.Fprint(rw, `{"kind":"refused","what":"come in"}`)
			}
			switch {
			case strings.HasSuffix(r.URL.Path, "/challenges"):
				issued++
				fmt.Fprintf(rw, `{"challenge":"%0112d"}`, issued)
			case strings.HasSuffix(r.URL.Path, "/sessions"):
				var signed evidence.Signed
				if json.NewDecoder(r.Body).Decode(&signed) != nil || taken[string(signed.Body)] {
					nobody()
					return
				}
				taken[string(signed.Body)] = true
				if begun++; begun == 1 { // it counted, and the line breaks
					panic(http.ErrAbortHandler)
				}
				fmt.Fprintf(rw, `{"token":"%d","expires":"2030-01-01T00:00:00Z"}`, begun)
			default:
				asked++
				switch {
				case asked == 1:
					rw.WriteHeader(http.StatusServiceUnavailable)
					fmt.Fprint(rw, `{"kind":"failed","what":"answer"}`)
				case r.Header.Get("Authorization") == "Bearer 2":
					nobody()
				default:
					fmt.Fprint(rw, `{"id":"claire"}`)
				}
			}
		})
	})
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p, err := client.LogIn(t.Context(), client.Options{Options: wire.Options{Pin: s.Pin}, Server: s.URL, Laboratory: "room", Patience: time.Second, Retry: 5 * time.Second}, signer, nil)
	if err != nil {
		t.Fatal(err)
	}
	me, err := p.Me(t.Context())
	if err != nil || me.ID != "claire" {
		t.Errorf("%+v, %v", me, err)
	}
	if issued != 3 || asked != 3 {
		t.Errorf("%d challenges, %d requests", issued, asked)
	}
}
