package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// deadlines is a connection that notes until when it may be written to.
type deadlines struct {
	*httptest.ResponseRecorder
	until time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.until = t
	return nil
}

// TestAnswerHasItsTime: however long a body came or a gate was waited for, the answer has
// its own time, and the connection lasts until then.
func TestAnswerHasItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{limit: newLimits()}
		for name, answer := range map[string]func(http.ResponseWriter){
			"an error": func(rw http.ResponseWriter) { rw.WriteHeader(http.StatusConflict) },
			"a body":   func(rw http.ResponseWriter) { fmt.Fprint(rw, "ok") },
		} {
			d := &deadlines{ResponseRecorder: httptest.NewRecorder()}
			rec := &recorder{ResponseWriter: d}
			somebody := who{name: "somebody", find: func(*server, *http.Request) (*caller, error) { return &caller{}, nil }}
			if _, ok := s.admit(rec, httptest.NewRequest(http.MethodGet, "/", nil), somebody, nil, nil); !ok {
				t.Fatal("not admitted")
			}
			time.Sleep(reading + patienceOfPeople - time.Second)
			if !time.Now().Before(d.until) {
				t.Errorf("%s: the connection ends before there is an answer", name)
			}
			answer(rec)
			if got := time.Until(d.until); got != answering {
				t.Errorf("%s: it has %s", name, got)
			}
			time.Sleep(time.Second)
			answer(rec)
			if got := time.Until(d.until); got != answering-time.Second {
				t.Errorf("%s: its second part has %s", name, got)
			}
		}
	})
}

// TestNetworks: strangers are counted by network, of which a /64 is one.
func TestNetworks(t *testing.T) {
	t.Parallel()
	l, allowed := newLimits(), 0
	for i := range 200 {
		if l.stranger(fmt.Sprintf("[2001:db8::%x]:443", i+1)) {
			allowed++
		}
	}
	if allowed < 3*perNetwork || allowed > 4*perNetwork {
		t.Errorf("%d of one /64", allowed)
	}
	if !l.stranger("[2001:db8:0:1::1]:443") || !l.stranger("192.0.2.1:443") {
		t.Error("another network's are counted with them")
	}
}
