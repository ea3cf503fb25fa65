package wire

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// codes are the findings as "code level".
func codes(found []Finding) string {
	var b []string
	for _, f := range found {
		b = append(b, string(f.Code)+" "+string(f.Level))
	}
	return strings.Join(b, ", ")
}

func TestCheck(t *testing.T) {
	a, box := authority(t, "server.test"), authority(t, "server.test")
	key, _ := gateKeyOf(t)
	server := serve(t, ServerConfig(a))
	inspecting := func(max uint16) *tls.Config {
		c := ServerConfig(box)
		c.MinVersion, c.MaxVersion = tls.VersionTLS12, max
		c.VerifyConnection = func(cs tls.ConnectionState) error {
			if len(cs.PeerCertificates) > 0 {
				t.Error("the gate showed itself to somebody else than its server")
			}
			return nil
		}
		return c
	}
	mute, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := mute.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "220 smtp.test \x1b[31mready\r\n\r\n")
			c.Close()
		}
	}()
	t.Cleanup(func() { mute.Close() })
	closed := func() string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		return l.Addr().String()
	}()
	via := func(p *proxy) Options {
		if p.server == "" {
			p.server = server
		}
		return Options{Proxy: "http://user:hunter2word@" + p.start(t)}
	}
	noDate := ServerConfig(a)
	dateless := func() string {
		l, err := tls.Listen("tcp", "127.0.0.1:0", noDate)
		if err != nil {
			t.Fatal(err)
		}
		s := &http.Server{ErrorLog: nullLog(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil })}
		go s.Serve(l)
		t.Cleanup(func() { s.Close() })
		return l.Addr().String()
	}()
	shifted := func(d time.Duration) Options {
		return Options{Now: func() time.Time { return time.Now().Add(d) }}
	}
	for _, c := range []struct {
		name, url string
		o         Options
		want      string
		send      string // in what is sent
	}{
		{"direct", "https://" + server, Options{}, "tcp ok, tls ok, http ok, clock ok", ""},
		{"proxy", "https://server.test/", via(&proxy{login: "user:hunter2word"}), "proxy ok, proxy ok, tls ok, http ok, clock ok", ""},
		{"not https", "http://" + server, Options{}, "settings stop", ""},
		{"bad proxy", "https://" + server, Options{Proxy: "socks5://user:hunter2word@x"}, "settings stop", ""},
		{"no name", "https://nowhere.invalid", Options{}, "dns stop", "nowhere.invalid"},
		{"nothing there", "https://" + closed, Options{}, "tcp stop", "127.0.0.1"},
		{"no proxy there", "https://server.test", Options{Proxy: "http://user:hunter2word@" + closed}, "proxy stop", "127.0.0.1"},
		{"wrong login", "https://server.test", via(&proxy{login: "user:other"}), "proxy ok, proxy-login stop", "user and a password"},
		{"NTLM only", "https://server.test", via(&proxy{login: "user:other", scheme: "NTLM"}), "proxy ok, proxy-login stop", "Basic"},
		{"forbidden", "https://server.test", via(&proxy{status: 403}), "proxy ok, proxy-refuses stop", "CONNECT to server.test:443"},
		{"bad gateway", "https://server.test", via(&proxy{status: 502}), "proxy ok, proxy stop", ""},
		{"not a proxy", "https://server.test", Options{Proxy: "http://user:hunter2word@" + mute.Addr().String()}, "proxy ok, proxy stop", ""},
		{"not TLS", "https://" + mute.Addr().String(), Options{}, "tcp ok, tls stop", "TLS 1.3"},
		{"inspection", "https://server.test", via(&proxy{mitm: inspecting(tls.VersionTLS13)}), "proxy ok, proxy ok, tls-inspection stop", box.cert.Subject.CommonName},
		{"old inspection", "https://server.test", via(&proxy{mitm: inspecting(tls.VersionTLS12)}), "proxy ok, proxy ok, tls-version stop, tls-inspection stop", box.cert.Subject.CommonName},
		{"long hello cut", "https://server.test", via(&proxy{maxCH: 1200}), "proxy ok, proxy ok, tls-long-hello stop", "X25519MLKEM768"},
		{"other host", "https://other.test", via(&proxy{}), "proxy ok, proxy ok, certificate stop", "other.test"},
		{"clock far back", "https://" + server, shifted(-48 * time.Hour), "tcp ok, certificate stop", "NTP"},
		{"clock ahead", "https://" + server, shifted(time.Hour), "tcp ok, tls ok, http ok, clock stop", "NTP"},
		{"clock behind", "https://" + server, shifted(-2 * time.Minute), "tcp ok, tls ok, http ok, clock warn", "NTP"},
		{"no date", "https://" + dateless, Options{}, "tcp ok, tls ok, http ok, clock warn", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Pin, c.o.Gate = a.Pin(), key
			if c.o.Proxy == "" {
				c.o.Proxy = "none" // whatever the environment says
			}
			found := Check(t.Context(), c.o, c.url)
			if got := codes(found); got != c.want {
				t.Errorf("got %s, want %s\n%+v", got, c.want, found)
			}
			last := found[len(found)-1]
			if !strings.Contains(last.Send.EN, c.send) || c.send != "" && (last.Send.FR == "" || last.Send.FR == last.Send.EN) {
				t.Errorf("sent: %+v", last.Send)
			}
			all, err := json.Marshal(found)
			if err != nil {
				t.Fatal(err)
			}
			for _, never := range []string{"hunter2word", "dXNlcj", "%!", `\u001b`, `"found":{"en":""`, `"fr":"","send"`} {
				if strings.Contains(string(all), never) {
					t.Errorf("%q in %s", never, all)
				}
			}
		})
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("CN=\x1b[2JBox\u202e," + strings.Repeat("x", 500)); strings.ContainsAny(got, "\x1b\u202e") || len(got) > 120 {
		t.Errorf("got %q", got)
	}
}
