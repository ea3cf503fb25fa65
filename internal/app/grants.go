package app

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"ecluse"
	"ecluse/internal/config"
	"ecluse/internal/exchange"
)

// GrantsRequest asks for the SQL of a narrow account.
type GrantsRequest struct {
	Migration ecluse.MigrationID
	Verb      string // inspect, read or load
	User      string // empty: the one that gate.yaml names
	Rehearsal bool   // of the target's test base
	Host      string // that MySQL's account may come from; empty: the address this gate connects from
}

// Grants writes the SQL that makes a narrow account, for the database's
// administrator to read and run.
func (b *Beside) Grants(ctx context.Context, q GrantsRequest) (string, error) {
	place, ok := map[string]exchange.Place{"read": exchange.SourcePlace, "load": exchange.TargetPlace}[q.Verb]
	if !ok {
		place = b.place
	}
	g, err := b.config(place)
	if err != nil {
		return "", err
	}
	c := g.Database()
	if q.Rehearsal {
		if g.Rehearsal == nil || b.place != exchange.TargetPlace || q.Verb == "read" {
			return "", &ecluse.Error{
				Kind: ecluse.Invalid, What: "write grants", Where: "--rehearsal", Why: "this gate has no test base",
				Next: "write rehearsal: in the target gate's " + config.FileName,
			}
		}
		c = g.Rehearsal.Database()
	}
	a := &c.Rows
	if q.Verb == "inspect" {
		a = &c.Catalogue
	}
	if q.User == "" { // the account that gate.yaml names
		q.User = a.User
	}
	if c.Engine == ecluse.SQLite {
		return "", &ecluse.Error{
			Kind: ecluse.Refused, What: "write grants", Why: "SQLite has no accounts: whoever opens the file reads and writes all of it",
			Next: "say so in the instruction: accounts.source: {may_also_read: all, because: …}",
		}
	}
	switch {
	case c.Engine != ecluse.MySQL && q.Host != "":
		return "", &ecluse.Error{
			Kind: ecluse.Invalid, What: "write grants", Where: "--host", Why: "an account of " + string(c.Engine) + " has none",
			Next: "leave --host out; pg_hba.conf says where an account may come from",
		}
	case c.Engine == ecluse.MySQL && q.Host == "":
		q.Host = cameFrom(ctx, a)
	}
	return b.grants(ctx, q, c)
}

// cameFrom is the address that a MySQL server sees this gate come from, as far as
// this machine can tell: "localhost" by a socket, its own address on the way to
// the server, else "%", anywhere. Nothing is sent.
func cameFrom(ctx context.Context, a *config.Account) string {
	if strings.HasPrefix(a.Host, "/") {
		return "localhost"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", net.JoinHostPort(a.Host, strconv.Itoa(max(a.Port, 1))))
	if err != nil {
		return "%"
	}
	defer conn.Close()
	from, err := netip.ParseAddrPort(conn.LocalAddr().String())
	if err != nil {
		return "%"
	}
	return from.Addr().Unmap().WithZone("").String()
}
