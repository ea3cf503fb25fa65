package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"ecluse"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn" // it works, and may not for long
	Stop Level = "stop" // nothing comes through
)

// Code names what a finding is about.
type Code string

// The codes, in the order in which they are looked at. What stops ends the list.
const (
	Settings     Code = "settings"       // the address, pin, key or proxy given cannot be used
	DNS          Code = "dns"            // a name is not found
	TCP          Code = "tcp"            // no connection to the server
	Proxy        Code = "proxy"          // the proxy is not reached, or does not reach the server
	ProxyLogin   Code = "proxy-login"    // the proxy wants an authentication (407)
	ProxyRefuses Code = "proxy-refuses"  // the proxy does not let this server through (403 and others)
	Inspection   Code = "tls-inspection" // another certificate came than the server's
	TLSVersion   Code = "tls-version"    // something on the way speaks TLS 1.2 at most
	LongHello    Code = "tls-long-hello" // something on the way cuts handshakes longer than a packet
	Certificate  Code = "certificate"    // the server's certificate is for another name or time
	TLS          Code = "tls"            // the handshake
	HTTP         Code = "http"           // the server's answer
	ClockSkew    Code = "clock"          // this machine's clock against the server's
)

const (
	clockWarn = time.Minute
	clockStop = 5 * time.Minute // a lease lives 15 minutes
)

// Finding is one thing Check saw. No user, password or record is in it.
type Finding struct {
	Code  Code  `json:"code"`
	Level Level `json:"level"`
	Found Text  `json:"found"`
	Send  Text  `json:"send"` // for whoever runs the network (or the server); empty when there is nothing to ask
}

// Check goes the way to a server step by step and says what stands in it. Its
// last finding stops, or the server was reached.
func Check(ctx context.Context, o Options, address string) []Finding {
	var c check
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return c.stop(Settings, Text{"the server's address is not https://host:port", "l'adresse du serveur n'est pas https://hôte:port"}, Text{})
	}
	l, err := o.line()
	if err != nil {
		return c.settings(err)
	}
	c.host, c.port = u.Hostname(), u.Port()
	if c.port == "" {
		c.port = "443"
	}
	addr := net.JoinHostPort(c.host, c.port)
	conn, ok := c.way(ctx, l, addr)
	if !ok || !c.handshake(ctx, l, conn, addr) {
		return c.found
	}
	c.answer(ctx, l, u)
	return c.found
}

type check struct {
	host, port string
	found      []Finding
}

func (c *check) ok(code Code, t Text) { c.found = append(c.found, Finding{code, OK, t, Text{}}) }

func (c *check) stop(code Code, found, send Text) []Finding {
	c.found = append(c.found, Finding{code, Stop, found, send})
	return c.found
}

func (c *check) settings(err error) []Finding {
	var e *ecluse.Error
	if errors.As(err, &e) {
		return c.stop(Settings, text("%s: %s; %s", "%s : %s ; %s", e.What, e.Why, e.Next), Text{})
	}
	return c.stop(Settings, text("%v", "%v", err), Text{})
}

// way makes the connection through which TLS will go.
func (c *check) way(ctx context.Context, l *line, addr string) (net.Conn, bool) {
	proxy, err := l.proxy(addr)
	if err != nil {
		c.settings(err)
		return nil, false
	}
	to, code := addr, TCP
	if proxy != nil {
		to, code = proxyAddr(proxy), Proxy
	}
	conn, err := l.connect(ctx, proxy, addr)
	if err != nil {
		var dns *net.DNSError
		if errors.As(err, &dns) {
			code = DNS
		}
		why := connectWhy(err)
		host, port, _ := net.SplitHostPort(to)
		send := text("Please let our machine find the name %[1]s and open TCP connections to its port %[2]s.",
			"Merci de permettre à notre machine de résoudre le nom %[1]s et d'ouvrir des connexions TCP vers son port %[2]s.", host, port)
		c.stop(code, Text{fmt.Sprintf("no connection to %s: %s", to, why.EN), fmt.Sprintf("pas de connexion à %s : %s", to, why.FR)}, send)
		return nil, false
	}
	c.ok(code, text("connected to %s", "connecté à %s", to))
	if proxy == nil {
		return conn, true
	}
	if conn, err = l.tunnel(ctx, conn, proxy, addr); err != nil {
		c.proxyStops(err, to, addr)
		return nil, false
	}
	c.ok(Proxy, text("the proxy lets connections through to %s", "le proxy laisse passer les connexions vers %s", addr))
	return conn, true
}

func (c *check) proxyStops(err error, proxy, addr string) {
	let := text("Please let the proxy %[1]s pass CONNECT to %[2]s for our machine, without opening the TLS inside.",
		"Merci d'autoriser sur le proxy %[1]s la méthode CONNECT vers %[2]s pour notre machine, sans ouvrir le TLS qu'elle transporte.", proxy, addr)
	var a *proxyAnswer
	if !errors.As(err, &a) {
		c.stop(Proxy, text("%s does not answer as a proxy, or its certificate is not known to this machine", "%s ne répond pas comme un proxy, ou son certificat n'est pas connu de cette machine", proxy), let)
		return
	}
	code, send := ProxyRefuses, let
	switch {
	case a.status == http.StatusProxyAuthRequired:
		code = ProxyLogin
		send = text("Please give our machine a user and a password (Basic) for the proxy %[1]s, or let it pass to %[2]s without.",
			"Merci de donner à notre machine un nom et un mot de passe (Basic) pour le proxy %[1]s, ou de la laisser passer vers %[2]s sans authentification.", proxy, addr)
	case a.status >= 500:
		code = Proxy
	}
	c.stop(code, a.text(addr), send)
}

// handshake makes the handshake everything else will make, and looks closer when
// it fails.
func (c *check) handshake(ctx context.Context, l *line, conn net.Conn, addr string) bool {
	t, err := l.secure(ctx, conn, addr, l.config(addr))
	if err == nil {
		version := tls.VersionName(t.ConnectionState().Version)
		_ = t.Close()
		c.ok(TLS, text("the server is the pinned one (%s)", "le serveur est bien celui attendu (%s)", version))
		return true
	}
	d := new(distrust)
	if errors.As(err, &d) {
		c.distrusts(d, addr, l.now())
		return false
	}
	c.closer(ctx, l, addr)
	return false
}

func (c *check) distrusts(d *distrust, addr string, now time.Time) {
	switch d.why {
	case otherHost:
		c.stop(Certificate, text("the server is the pinned one, and has no certificate for the name %s", "le serveur est bien celui attendu, mais il n'a pas de certificat au nom de %s", c.host),
			text("Please start the exchange server with %s among its hosts.", "Merci de démarrer le serveur d'échange avec %s parmi ses noms.", c.host))
	case otherTime:
		c.stop(Certificate, text("the server's certificate is valid from %s to %s; this machine's clock says %s", "le certificat du serveur est valable du %s au %s ; l'horloge de cette machine indique %s",
			d.after.UTC().Format(time.DateTime), d.before.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime)),
			Text{
				"Please set the clock of our machine by a time server (NTP); if it is right, the exchange server's certificate has to be renewed.",
				"Merci de régler l'horloge de notre machine sur un serveur de temps (NTP) ; si elle est juste, le certificat du serveur d'échange est à renouveler.",
			})
	default:
		c.stop(Inspection, text("another certificate came than the server's; it says it is issued by “%s”. Something on the way opens TLS connections, or address or pin are wrong",
			"un autre certificat que celui du serveur est arrivé ; il se dit émis par « %s ». Un équipement ouvre les connexions TLS, ou bien l'adresse ou l'empreinte est fausse", d.issuer), c.exempt(d.issuer, addr))
	}
}

func (c *check) exempt(issuer, addr string) Text {
	return text("Please exempt connections from our machine to %[1]s from TLS inspection: a certificate issued by “%[2]s” arrives instead of the server's own. What they carry is sealed, and only the server's own key is accepted.",
		"Merci d'exclure de l'inspection TLS les connexions de notre machine vers %[1]s : un certificat émis par « %[2]s » arrive à la place de celui du serveur. Leur contenu est scellé, et seule la clé du serveur est acceptée.", addr, issuer)
}

// closer tries again, for the reason only: any certificate, TLS 1.2, and a
// ClientHello that fits one packet (without the post-quantum key share). Nothing
// is sent through it, and the gate does not show itself.
func (c *check) closer(ctx context.Context, l *line, addr string) {
	pass := text("Please let TLS 1.3 from our machine pass to %s as it is.", "Merci de laisser passer sans modification le TLS 1.3 de notre machine vers %s.", addr)
	s, err := l.look(ctx, addr)
	switch {
	case err != nil:
		c.stop(TLS, text("the TLS handshake with %s is cut", "la négociation TLS avec %s est coupée", addr), pass)
	case s.Version < tls.VersionTLS13:
		c.stop(TLSVersion, text("%[1]s speaks %[2]s only, and the server TLS 1.3: something on the way answers in its place", "%[1]s ne parle que %[2]s, et le serveur TLS 1.3 : un équipement répond à sa place",
			addr, tls.VersionName(s.Version)), pass)
		d := new(distrust)
		if errors.As(l.pin.verify(s.PeerCertificates, c.host, l.now()), &d) {
			c.distrusts(d, addr, l.now())
		}
	default:
		c.stop(LongHello, text("the TLS handshake with %s is cut when it takes more than one packet", "la négociation TLS avec %s est coupée quand elle dépasse un paquet", addr),
			text("Please let TLS handshakes to %s pass that begin with more than one packet (post-quantum key agreement, X25519MLKEM768).",
				"Merci de laisser passer vers %s les négociations TLS qui commencent par plus d'un paquet (accord de clés post-quantique, X25519MLKEM768).", addr))
	}
}

func (l *line) look(ctx context.Context, addr string) (tls.ConnectionState, error) {
	c := l.config(addr)
	c.MinVersion, c.Certificates, c.VerifyConnection = tls.VersionTLS12, nil, nil
	c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	t, err := l.dial(ctx, addr, c)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer t.Close()
	return t.ConnectionState(), nil
}

// answer asks for the server's time, in the Date of any answer (RFC 9110, 6.6.1).
func (c *check) answer(ctx context.Context, l *line, u *url.URL) {
	t := l.transport()
	defer t.CloseIdleConnections()
	client := http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		c.settings(err)
		return
	}
	before := l.now()
	resp, err := client.Do(req)
	if err != nil {
		c.stop(HTTP, Text{"the server ends the connection without an answer", "le serveur coupe la connexion sans répondre"},
			text("Please look why the exchange server %s does not answer our machine.", "Merci de regarder pourquoi le serveur d'échange %s ne répond pas à notre machine.", c.host))
		return
	}
	after := l.now()
	_ = resp.Body.Close()
	c.ok(HTTP, text("the server answers (%s)", "le serveur répond (%s)", resp.Proto))
	server, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		c.found = append(c.found, Finding{ClockSkew, Warn, Text{"the server does not say what time it is", "le serveur ne dit pas l'heure"}, Text{}})
		return
	}
	here := before.Add(after.Sub(before) / 2)
	c.clock(here.Sub(server))
}

func (c *check) clock(ahead time.Duration) {
	skew := ahead.Abs().Round(time.Second) // as fine as Date is (RFC 9110, 5.6.7)
	if skew <= clockWarn {
		c.ok(ClockSkew, Text{"this machine's clock agrees with the server's", "l'horloge de cette machine concorde avec celle du serveur"})
		return
	}
	level := Warn
	if skew > clockStop {
		level = Stop
	}
	found := text("this machine's clock is %s ahead of the server's", "l'horloge de cette machine avance de %s sur celle du serveur", skew)
	if ahead < 0 {
		found = text("this machine's clock is %s behind the server's", "l'horloge de cette machine retarde de %s sur celle du serveur", skew)
	}
	c.found = append(c.found, Finding{ClockSkew, level, found, Text{
		"Please set the clock of our machine by a time server (NTP), and see that the exchange server's is right too.",
		"Merci de régler l'horloge de notre machine sur un serveur de temps (NTP), et de vérifier aussi celle du serveur d'échange.",
	}})
}
