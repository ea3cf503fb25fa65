//go:build unix

package app_test

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ecluse"
	"ecluse/internal/app"
	"ecluse/internal/config"
	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
)

// secured makes the test's PostgreSQL server show a certificate of its own for localhost,
// for as long as the test runs; nobody else beside it asks for one.
func secured(t *testing.T, c postgres.Config, by *authority) (pin string) {
	t.Helper()
	data := postgrestest.One(t, c, "SHOW data_directory")
	info, err := os.Stat(data)
	if err != nil {
		t.Skipf("the server's folder is not this user's: %v", err)
	}
	key, cert := certificate(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, by)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t) //nolint:forcetypeassert // on every Unix
	for name, block := range map[string]*pem.Block{"test.crt": {Type: "CERTIFICATE", Bytes: cert.Raw}, "test.key": {Type: "PRIVATE KEY", Bytes: secret}} {
		path := filepath.Join(data, name)
		t.Cleanup(func() { os.Remove(path) })
		if err := errors.Join(os.WriteFile(path, pem.EncodeToMemory(block), 0o600), os.Chown(path, int(owner.Uid), int(owner.Gid))); err != nil {
			t.Fatal(err)
		}
	}
	set := func(statements ...string) {
		for _, s := range statements {
			postgrestest.Run(t, c, s)
		}
	}
	until := func(ssl string) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); postgrestest.One(t, c, "SHOW ssl") != ssl; time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the server does not turn ssl %s", ssl)
			}
		}
	}
	set("ALTER SYSTEM SET ssl_cert_file = 'test.crt'", "ALTER SYSTEM SET ssl_key_file = 'test.key'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()")
	t.Cleanup(func() {
		set("ALTER SYSTEM RESET ssl", "ALTER SYSTEM RESET ssl_cert_file", "ALTER SYSTEM RESET ssl_key_file", "SELECT pg_reload_conf()")
		until("off")
	})
	until("on")
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// TestRealServerIsVerified: with a real PostgreSQL server behind the handshake, what
// gate.yaml says of TLS is what the session is.
func TestRealServerIsVerified(t *testing.T) {
	c := postgrestest.New(t)
	ours, theirs := newAuthority(t), newAuthority(t)
	pin := secured(t, c, ours)
	connect := func(a config.Account) (string, error) {
		a.Port, a.User, a.Database = c.Port, c.User, c.Database
		cfg, err := app.PostgresConfig(&a)
		if err != nil {
			return "", err
		}
		conn, err := postgres.Connect(t.Context(), cfg)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		return conn.One(t.Context(), "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
	}
	for name, a := range map[string]config.Account{
		"its authority": {Host: "localhost", CAFile: ours.file(t)},
		"pinned":        {Host: "localhost", Pin: pin},
		// Its name does not count when it is pinned.
		"pinned by address": {Host: "127.0.0.1", Pin: pin},
	} {
		if version, err := connect(a); err != nil || version != "TLSv1.3" {
			t.Errorf("%s: the session is %q, %v", name, version, err)
		}
	}
	for name, a := range map[string]config.Account{
		"another authority": {Host: "localhost", CAFile: theirs.file(t)},
		"the system's":      {Host: "localhost", TLS: config.VerifyFull},
		"another name":      {Host: "127.0.0.1", CAFile: ours.file(t)},
		"another pin":       {Host: "localhost", Pin: pin[2:] + "00"},
	} {
		if version, err := connect(a); err == nil {
			t.Errorf("%s: the session came about, %q", name, version)
		} else if k := ecluse.KindOf(err); k != ecluse.Unverified && k != ecluse.Failed && k != ecluse.Refused {
			t.Errorf("%s: %v (%s)", name, err, k)
		}
	}
	if version, err := connect(config.Account{Host: "localhost"}); err != nil || version != "" {
		t.Errorf("the loopback without a word: %q, %v", version, err)
	}
}
