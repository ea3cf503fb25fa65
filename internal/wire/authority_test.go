package wire

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/stocktest"
)

func TestLeafRenewed(t *testing.T) {
	var c clock
	dir := t.TempDir()
	a, err := OpenAuthority(dir, nil, c.now)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, ServerConfig(a))
	serial := func() *big.Int {
		t.Helper()
		conn, err := dial(t.Context(), Options{Pin: a.Pin(), Now: c.now}, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		leaf := conn.ConnectionState().PeerCertificates[0]
		if life := leaf.NotAfter.Sub(c.now()); life < leafRenewed-time.Minute {
			t.Errorf("a leaf with %s left is still shown", life)
		}
		return leaf.SerialNumber
	}
	first := serial()
	c.forward(59 * 24 * time.Hour)
	if serial().Cmp(first) != 0 {
		t.Error("renewed before a third is left")
	}
	c.forward(2 * 24 * time.Hour)
	if serial().Cmp(first) == 0 {
		t.Error("not renewed with less than a third left")
	}
	c.forward(400 * 24 * time.Hour)
	serial()

	// The authority's own certificate is renewed at a start; its key, and so the
	// pin, stay.
	c.forward(9 * 365 * 24 * time.Hour)
	again, err := OpenAuthority(dir, []string{"new.test"}, c.now)
	if err != nil {
		t.Fatal(err)
	}
	if again.Pin() != a.Pin() || !again.cert.NotAfter.After(a.cert.NotAfter) {
		t.Error("the authority's certificate was not renewed under its key")
	}
	leaf, err := again.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"new.test", "localhost", "127.0.0.1", "::1"} {
		if err := a.Pin().verify([]*x509.Certificate{leaf.Leaf, again.cert}, host, c.now()); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestAuthorityFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	var wg sync.WaitGroup
	pins := make([]Pin, 8)
	for i := range pins { // servers started at once
		wg.Go(func() {
			if a, err := OpenAuthority(dir, nil, time.Now); err != nil {
				t.Error(err)
			} else {
				pins[i] = a.Pin()
			}
		})
	}
	wg.Wait()
	for _, p := range pins {
		if p.IsZero() || p != pins[0] {
			t.Fatalf("pins %v", pins)
		}
	}
	path := filepath.Join(dir, authorityFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || os.PathSeparator == '/' && st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}

	// A crash before the rename leaves a part, and no authority.
	crashed := t.TempDir()
	if err := os.WriteFile(filepath.Join(crashed, ".part-1"), whole[:100], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenAuthority(crashed, nil, time.Now); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(crashed, ".part-1")); err == nil {
		t.Error("the part is still there")
	}

	// What is damaged is never replaced: that would change the pin in silence.
	second := t.TempDir()
	if _, err := OpenAuthority(second, nil, time.Now); err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(filepath.Join(second, authorityFile))
	if err != nil {
		t.Fatal(err)
	}
	of := func(text []byte) int { return strings.Index(string(text), "-----BEGIN CERT") }
	for name, text := range map[string][]byte{
		"another's key": slices.Concat(other[:of(other)], whole[of(whole):]),
		"empty":         nil, "half": whole[:len(whole)/2], "no key": whole[of(whole):],
		"twice": slices.Concat(whole, whole),
	} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := OpenAuthority(dir, nil, time.Now)
		var e *ecluse.Error
		if !errors.As(err, &e) || e.Kind != ecluse.Invalid || e.Next == "" {
			t.Errorf("%s: got %v", name, err)
		}
		if left, _ := os.ReadFile(path); string(left) != string(text) {
			t.Errorf("%s: the file was replaced", name)
		}
	}
	if os.PathSeparator == '/' {
		if err := errors.Join(os.WriteFile(path, whole, 0o600), os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenAuthority(dir, nil, time.Now); ecluse.KindOf(err) != ecluse.Refused {
			t.Errorf("a key for all to read: %v", err)
		}
	}
}

func TestHosts(t *testing.T) {
	for _, h := range []string{"", "a b", "https://x", "x:443", "*.example.org", "-a.test", "é.test", strings.Repeat("a", 64), "a..b", "[::1]"} {
		if _, err := OpenAuthority(t.TempDir(), []string{h}, time.Now); ecluse.KindOf(err) != ecluse.Invalid {
			t.Errorf("%q: %v", h, err)
		}
	}
	if _, err := OpenAuthority(t.TempDir(), []string{"Lab.Example.org", "192.0.2.7", "2001:db8::7", "localhost"}, time.Now); err != nil {
		t.Error(err)
	}
}

func operator(t *testing.T, dir string, key *ecdsa.PrivateKey, serial int64) (cert, keyFile string) {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, b := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		next := path + ".next" // renewed by rename, as certbot and others do
		if err := errors.Join(os.WriteFile(next, pem.EncodeToMemory(b), 0o600), os.Rename(next, path)); err != nil {
			t.Fatal(err)
		}
	}
	return cert, keyFile
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOperatorsFile(t *testing.T) {
	dir, key := t.TempDir(), ecKey(t)
	cert, keyFile := operator(t, dir, key, 1)
	var warned []error
	f, err := OpenFile(cert, keyFile, time.Now, func(err error) { warned = append(warned, err) })
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Pin: f.Pin(), Now: time.Now}
	addr := serve(t, ServerConfig(f))
	serial := func() int64 {
		t.Helper()
		conn, err := dial(t.Context(), o, addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("serial %d", got)
	}
	operator(t, dir, key, 2)
	if got := serial(); got != 2 || len(warned) != 0 {
		t.Errorf("after a renewal: serial %d, %v", got, warned)
	}
	operator(t, dir, ecKey(t), 3)
	if got := serial(); got != 2 || len(warned) != 1 || ecluse.KindOf(warned[0]) != ecluse.Refused {
		t.Errorf("after another key: serial %d, %v", got, warned)
	}
	if err := os.WriteFile(cert, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if serial(); len(warned) != 2 {
		t.Errorf("a damaged file: %v", warned)
	}
	if serial(); len(warned) != 2 {
		t.Errorf("warned twice: %v", warned)
	}
	if _, err := OpenFile(cert, keyFile, time.Now, nil); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("a damaged file at start: %v", err)
	}
	operator(t, dir, key, 4)
	if got := serial(); got != 4 {
		t.Errorf("after it was put right: serial %d", got)
	}
	if _, err := OpenFile(cert, keyFile, func() time.Time { return time.Now().Add(2 * time.Hour) }, nil); ecluse.KindOf(err) != ecluse.Invalid {
		t.Errorf("an expired certificate at start: %v", err)
	}
	if err := os.Chmod(keyFile, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFile(cert, keyFile, time.Now, nil); runtime.GOOS != "windows" && ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("a key that others may read: %v", err)
	}
	if err := os.Chmod(keyFile, 0o600); err != nil {
		t.Fatal(err)
	}
	o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if _, err := dial(t.Context(), o, addr); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("an expired certificate: %v", err)
	}
}

// TestOpenSSL holds the server against the TLS everybody has.
func TestOpenSSL(t *testing.T) {
	openssl := stocktest.Tool(t, "openssl")
	a := authority(t)
	addr := serve(t, ServerConfig(a))
	ask := func(version string) (string, error) {
		cmd := exec.CommandContext(t.Context(), openssl, "s_client", "-connect", addr, version, "-alpn", "h2", "-showcerts")
		cmd.Stdin = strings.NewReader("Q\n")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, old := range []string{"-tls1_1", "-tls1_2"} {
		if out, err := ask(old); err == nil {
			t.Errorf("%s was accepted:\n%s", old, out)
		}
	}
	out, err := ask("-tls1_3")
	if err != nil || !strings.Contains(out, "TLSv1.3") || !strings.Contains(out, "ALPN protocol: h2") || strings.Contains(out, "New Session Ticket") {
		t.Errorf("-tls1_3: %v\n%s", err, out)
	}
	// The pin is what people can compute themselves.
	cert := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	sum, err := exec.CommandContext(t.Context(), "sh", "-c", `"$0" x509 -in "$1" -noout -pubkey | "$0" pkey -pubin -outform DER | "$0" dgst -sha256 -r`, openssl, cert).CombinedOutput()
	if err != nil || !strings.HasPrefix("sha256:"+string(sum), a.Pin().String()) {
		t.Errorf("openssl computes %s, %v; the pin is %s", sum, err, a.Pin())
	}
}

func FuzzParsePin(f *testing.F) {
	for _, s := range []string{"", "sha256:", "sha256:" + strings.Repeat("0a", 32), "sha256:" + strings.Repeat("0A", 32), "SHA256:" + strings.Repeat("0", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePin(s)
		if err == nil && p.String() != s {
			t.Errorf("%q is read as %s", s, p)
		}
		var e *ecluse.Error
		if err != nil && (!errors.As(err, &e) || e.Kind != ecluse.Invalid || !p.IsZero()) {
			t.Errorf("%q: %v, %v", s, p, err)
		}
	})
}

func TestPinText(t *testing.T) {
	p := authority(t).Pin()
	b, err := p.MarshalText()
	var again Pin
	if err = errors.Join(err, again.UnmarshalText(b)); err != nil || again != p {
		t.Errorf("%s, %v", b, err)
	}
	if err := again.UnmarshalText(nil); err != nil || !again.IsZero() {
		t.Error(again, err)
	}
	if err := again.UnmarshalText([]byte("sha256:x")); err == nil {
		t.Error("read as a pin")
	}
}
