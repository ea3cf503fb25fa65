package config

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/document"
)

// ServerName is the name of a server's configuration, in its folder.
const ServerName = "server.yaml"

// Server is server.yaml: where a server listens and what it is called. Nothing in it
// is secret.
type Server struct {
	// Format is always "server/v1".
	Format string `yaml:"ecluse"`
	// Listen is where it takes connections: ADDRESS:PORT, or :PORT for every address
	// of the machine.
	Listen string `yaml:"listen"`
	// Public is what people and gates are told to reach it by: https://HOST or
	// https://HOST:PORT. Default: the first of hosts, else localhost, at the port of
	// listen.
	Public string `yaml:"public,omitempty"`
	// Hosts are the names and addresses that the server's own certificate is for.
	// localhost, the loopback addresses and public's host always are.
	Hosts []string `yaml:"hosts,omitempty"`
	// Certificate and Key are files (PEM) to show instead of a certificate of the
	// server's own, relative to server.yaml. Renew them with the same key: it is what
	// is pinned.
	Certificate string `yaml:"certificate,omitempty"`
	Key         string `yaml:"key,omitempty"`
}

// ServerExample is the server.yaml that the first `ecluse serve` writes.
const ServerExample = `# Settings of one server. Nothing here is secret.
ecluse: server/v1

# Where it takes connections: ADDRESS:PORT, or :PORT for every address of the machine.
listen: 127.0.0.1:8443

# What people and gates are told to reach it by.
# public: https://ecluse.example.org:8443

# More names and addresses that its own certificate is for.
# hosts: [ecluse.internal, 192.0.2.7]

# A certificate and its key, in files (PEM), instead of a certificate of the server's
# own. Renewed with the same key they change nothing for anybody: the key is pinned.
# certificate: server.crt
# key: server.key
`

// ServerExampleFor is ServerExample with what people and gates reach it by, if that is
// known already.
func ServerExampleFor(public string) (string, error) {
	if public == "" {
		return ServerExample, nil
	}
	if err := (&Server{Listen: ":0", Public: public}).Check(); err != nil {
		return "", err
	}
	return strings.Replace(ServerExample, "# public: https://ecluse.example.org:8443", "public: "+public, 1), nil
}

// LoadServer reads server.yaml of a server's folder; without one, what the example
// says holds. Paths in it come back absolute.
func LoadServer(dir string) (*Server, error) {
	path := filepath.Join(dir, ServerName)
	text, err := readOwn("read the server's settings", path, othersWrite)
	if errors.Is(err, fs.ErrNotExist) {
		text, err = []byte(ServerExample), nil
	}
	if err != nil {
		return nil, err
	}
	s, err := parseServer(path, text)
	if err != nil {
		return nil, err
	}
	for _, p := range []*string{&s.Certificate, &s.Key} {
		if *p == "" {
			continue
		}
		if *p, err = absolute(dir, *p); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func parseServer(path string, text []byte) (*Server, error) {
	s := &Server{}
	lines, err := document.Decode(path, text, s)
	if err != nil {
		return nil, err
	}
	var problems document.Problems
	wrong := func(field, why string) { problems = append(problems, lines.Problem(field, why, "")) }
	if s.Format != "server/v1" {
		wrong("ecluse", "want server/v1")
	}
	s.check(wrong)
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b document.Problem) int { return a.Line - b.Line })
		return nil, problems
	}
	return s, nil
}

// Check says what is wrong in settings that did not come from a file alone.
func (s *Server) Check() error {
	var w wrongs
	s.check(w.add)
	if len(w) == 0 {
		return nil
	}
	return &ecluse.Error{Kind: ecluse.Invalid, What: "read the server's settings", Why: w.String(), Next: "the comments in " + ServerName + " are the manual"}
}

func (s *Server) check(wrong func(field, why string)) {
	_, port, err := net.SplitHostPort(s.Listen)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		wrong("listen", "want ADDRESS:PORT or :PORT")
	}
	if s.Public != "" && s.public() == nil {
		wrong("public", "want https://HOST or https://HOST:PORT and nothing behind it")
	}
	if (s.Certificate == "") != (s.Key == "") {
		wrong("certificate", "certificate and key go together")
	}
}

func (s *Server) public() *url.URL {
	u := parseURL(s.Public)
	if u == nil || u.Scheme != "https" || u.User != nil {
		return nil
	}
	return u
}

// Names are what the server's own certificate is for, beside localhost.
func (s *Server) Names() []string {
	names := slices.Clone(s.Hosts)
	if u := s.public(); u != nil && !slices.Contains(names, u.Hostname()) {
		names = append(names, u.Hostname())
	}
	return names
}

// URL is what people and gates reach a server by that listens at addr.
func (s *Server) URL(addr string) string {
	if s.Public != "" {
		return s.Public
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	host := "localhost"
	if len(s.Hosts) > 0 {
		host = s.Hosts[0]
	}
	return "https://" + net.JoinHostPort(host, port)
}

// CheckLaboratory refuses a text that cannot name a laboratory on a server.
func CheckLaboratory(id string) error {
	if validID(id) {
		return nil
	}
	return &ecluse.Error{Kind: ecluse.Invalid, What: "name the laboratory", Where: strconv.Quote(id), Why: idRule}
}
