package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"

	"ecluse"
)

// way is a laboratory on a server and how it is reached: what a gate and a person's
// device are told alike.
type way struct {
	server       string
	laboratory   string
	pin          ecluse.Digest
	proxy        string
	passwordFile string
}

// check tells everything wrong, by field.
func (x way) check(wrong func(field, why string)) {
	if u := parseURL(x.server); u == nil || u.Scheme != "https" || u.User != nil {
		wrong("server", "want https://HOST or https://HOST:PORT and nothing behind it")
	}
	if !validID(x.laboratory) {
		wrong("laboratory", idRule)
	}
	if x.pin.IsZero() {
		wrong("pin", "want the SHA-256 of the server's key: sha256: and 64 lower-case hexadecimal digits")
	}
	onOneLine("proxy_password_file", x.passwordFile, wrong)
	x.checkProxy(wrong)
}

func onOneLine(field, path string, wrong func(field, why string)) {
	if strings.ContainsFunc(path, unicode.IsControl) {
		wrong(field, "want a path on one line")
	}
}

func (x way) checkProxy(wrong func(field, why string)) {
	if x.proxy == "" {
		if x.passwordFile != "" {
			wrong("proxy_password_file", "there is no proxy to say it to")
		}
		return
	}
	u := parseURL(x.proxy)
	if u == nil || u.Scheme != "http" && u.Scheme != "https" {
		wrong("proxy", "want http://HOST:PORT or https://HOST:PORT, with NAME@ before the host where the proxy has accounts, and nothing behind it")
		return
	}
	if _, secret := u.User.Password(); secret {
		wrong("proxy", "a password does not stand here: put it in a file of mode 0600 and name that in proxy_password_file")
	}
	if x.passwordFile != "" && u.User.Username() == "" {
		wrong("proxy", "a password is one account's: say whose, http://NAME@HOST:PORT")
	}
}

// proxyURL is the proxy with the account's password, read now; nil when there is
// no proxy. It is for the connection alone, never for a screen.
func (x way) proxyURL() (*url.URL, error) {
	if x.proxy == "" {
		return nil, nil
	}
	u := parseURL(x.proxy)
	if u == nil {
		return nil, &ecluse.Error{Kind: ecluse.Invalid, What: "find the proxy", Why: "it is no URL"}
	}
	if x.passwordFile != "" {
		secret, err := password("read the proxy's password", x.passwordFile)
		if err != nil {
			return nil, err
		}
		u.User = url.UserPassword(u.User.Username(), secret)
	}
	return u, nil
}

// parseURL reads SCHEME://[NAME@]HOST[:PORT]; nil for anything else or more. An
// error of package url would repeat the text, and a password in it.
func parseURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil || !strings.HasPrefix(s, u.Scheme+"://") || u.Path != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(s, "#") {
		return nil
	}
	host, port := u.Hostname(), u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) || strings.HasSuffix(u.Host, ":") {
		return nil
	}
	if strings.HasPrefix(u.Host, "[") {
		ip, err := netip.ParseAddr(host)
		if err != nil || ip.Zone() != "" {
			return nil
		}
		return u
	}
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") != "" {
		return nil
	}
	return u
}

const idRule = "want lower-case letters, digits and hyphens, beginning with a letter or digit, at most 40"

// validID tells whether s can name a laboratory or a context.
func validID(s string) bool {
	if s == "" || len(s) > 40 || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
