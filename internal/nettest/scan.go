package nettest

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"testing"

	"ecluse/internal/stocktest"
)

// Offer is the TLS that a listener offers, as sslscan found it.
type Offer struct {
	Versions []string // "TLSv1.3"
	Ciphers  []Cipher
}

// Cipher is one that was accepted.
type Cipher struct {
	Version  string `xml:"sslversion,attr"`
	Name     string `xml:"cipher,attr"`
	Bits     int    `xml:"bits,attr"`
	Strength string `xml:"strength,attr"` // sslscan's word
}

// Scan asks Debian's sslscan what addr offers.
func Scan(ctx context.Context, t testing.TB, addr string) Offer {
	t.Helper()
	out, err := exec.CommandContext(ctx, stocktest.Tool(t, "sslscan"), "--xml=-", "--no-check-certificate", addr).Output()
	if err != nil {
		t.Fatalf("sslscan %s: %v", addr, err)
	}
	o, err := readScan(out)
	if err != nil {
		t.Fatalf("sslscan %s: %v", addr, err)
	}
	return o
}

// readScan reads sslscan's report in XML. One that names no version is an error:
// a listener that could not be reached must not pass for one that offers nothing.
func readScan(report []byte) (Offer, error) {
	var doc struct {
		Test *struct {
			Protocols []struct {
				Type    string `xml:"type,attr"`
				Version string `xml:"version,attr"`
				Enabled string `xml:"enabled,attr"`
			} `xml:"protocol"`
			Ciphers []Cipher `xml:"cipher"`
		} `xml:"ssltest"`
	}
	if err := xml.Unmarshal(report, &doc); err != nil {
		return Offer{}, err
	}
	if doc.Test == nil || len(doc.Test.Protocols) == 0 {
		return Offer{}, errors.New("the report tells of no protocol: was anybody listening")
	}
	o := Offer{Ciphers: doc.Test.Ciphers}
	for _, p := range doc.Test.Protocols {
		name := "SSLv" + p.Version
		if p.Type == "tls" {
			name = "TLSv" + p.Version
		}
		if p.Enabled == "1" {
			o.Versions = append(o.Versions, name)
		}
	}
	return o, nil
}

// Faults tells what is wrong with an offer that must be TLS 1.3 and nothing else.
func (o Offer) Faults() []string {
	var bad []string
	if !slices.Contains(o.Versions, "TLSv1.3") {
		bad = append(bad, "TLSv1.3 is not offered")
	}
	for _, v := range o.Versions {
		if v != "TLSv1.3" {
			bad = append(bad, v+" is offered")
		}
	}
	good := []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
	if len(o.Ciphers) == 0 {
		bad = append(bad, "no cipher was accepted")
	}
	for _, c := range o.Ciphers {
		if !slices.Contains(good, c.Name) || c.Bits < 128 {
			bad = append(bad, fmt.Sprintf("%s with %d bits is accepted in %s (%s)", c.Name, c.Bits, c.Version, c.Strength))
		}
	}
	return bad
}
