package api_test

import (
	"os/exec"
	"strings"
	"testing"

	"ecluse/internal/app/roomtest"
	"ecluse/internal/nettest"
	"ecluse/internal/stocktest"
)

// TestStockCurl: what an inspector sees who points curl at every route without an
// identity: the closed list, and one answer for all the rest.
func TestStockCurl(t *testing.T) {
	t.Parallel()
	curl := stocktest.Tool(t, "curl")
	s := open(t, roomtest.Sealed)
	for _, r := range s.Routes {
		args := []string{"-sk", "--tlsv1.3", "-o", "/dev/null", "-w", "%{http_code} %{size_download} %{ssl_verify_result}", "-X", r.Method, s.url + fill(r.Path)}
		if r.Method != "GET" && !strings.HasSuffix(r.Path, "/challenges") {
			args = append(args, "-H", "Content-Type: application/json", "-d", "{}")
		}
		out, err := exec.CommandContext(t.Context(), curl, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %s %s: %v %s", r.Method, r.Path, err, out)
		}
		status, _, _ := strings.Cut(string(out), " ")
		want := "401"
		switch r.Method + " " + r.Path {
		case "GET /healthz", "GET /openapi.json", "POST /v1/labs/{lab}/challenges":
			want = "200"
		case "POST /v1/labs/{lab}/sessions", "POST /v1/labs/{lab}/rosters":
			want = "422"
		}
		if status != want {
			t.Errorf("curl %s %s: %s, want %s", r.Method, r.Path, out, want)
		}
	}
	if out, err := exec.CommandContext(t.Context(), curl, "-sk", "--tls-max", "1.2", s.url+"/healthz").CombinedOutput(); err == nil {
		t.Errorf("curl with TLS 1.2: %s", out)
	}
	if out, err := exec.CommandContext(t.Context(), curl, "-s", "http"+strings.TrimPrefix(s.url, "https")+"/healthz").CombinedOutput(); err == nil && strings.Contains(string(out), "ok") {
		t.Errorf("curl in clear: %s", out)
	}
}

// TestStockScan: sslscan finds TLS 1.3 and nothing else, and no weak cipher.
func TestStockScan(t *testing.T) {
	t.Parallel()
	s := open(t, roomtest.Made)
	for _, f := range nettest.Scan(t.Context(), t, strings.TrimPrefix(s.url, "https://")).Faults() {
		t.Error(f)
	}
}
