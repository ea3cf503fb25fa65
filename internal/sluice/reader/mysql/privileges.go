package mysql

import (
	"context"
	"slices"
	"strings"
	"time"

	"ecluse"
	engine "ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/reader"
)

// Privileges implements reader.Session. It asks on a connection of its own, once
// as the account comes in and once in each role it may take.
func (s *session) Privileges(ctx context.Context) (*reader.Privileges, error) {
	p, err := s.privileges(ctx)
	if err != nil {
		return nil, engine.Wrap(ctx, "read the account's rights", s.config.String(), err)
	}
	return p, nil
}

func (s *session) privileges(ctx context.Context) (*reader.Privileges, error) {
	c, err := engine.Connect(ctx, s.config)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	k := &keyring{conn: c, readable: map[ecluse.TableName]map[string]bool{}, writable: map[ecluse.TableName]bool{}}
	out := &reader.Privileges{Epoch: s.plan.Consistency, Readable: map[ecluse.TableName][]string{}}
	if out.Account, err = c.One(ctx, "SELECT CURRENT_USER()"); err != nil {
		return nil, err
	}
	now, err := c.One(ctx, "SELECT UTC_TIMESTAMP(6)")
	if err != nil {
		return nil, err
	}
	if out.At, err = time.Parse("2006-01-02 15:04:05.999999", now); err != nil {
		return nil, err
	}
	if err := k.collect(ctx); err != nil {
		return nil, err
	}
	roles, err := k.roles(ctx)
	if err != nil {
		return nil, err
	}
	for _, role := range roles {
		err := c.Exec(ctx, "SET ROLE "+role)
		if engine.Number(err) == notOwnRole {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := k.collect(ctx); err != nil {
			return nil, err
		}
	}
	for t, columns := range k.readable {
		for name := range columns {
			out.Readable[t] = append(out.Readable[t], name)
		}
		slices.Sort(out.Readable[t])
	}
	for t := range k.writable {
		out.Writable = append(out.Writable, t)
	}
	slices.SortFunc(out.Writable, func(a, b ecluse.TableName) int { return strings.Compare(a.String(), b.String()) })
	out.Superuser = k.superuser
	return out, nil
}

// notOwnRole is the error for a role granted to a role: it works within the other,
// and cannot be taken by itself.
const notOwnRole = 1959

// keyring gathers what an account can do, over all its roles.
type keyring struct {
	conn      *engine.Conn
	readable  map[ecluse.TableName]map[string]bool
	writable  map[ecluse.TableName]bool
	superuser bool
}

// roles are what SET ROLE takes, one after the other: MariaDB has one role at a
// time, MySQL all at once.
func (k *keyring) roles(ctx context.Context) ([]string, error) {
	if !k.conn.MariaDB() {
		if err := k.conn.Exec(ctx, "SET ROLE ALL"); err != nil {
			return nil, ignoreUnknown(err) // MySQL 5 has none
		}
		return []string{"ALL"}, nil
	}
	var roles []string
	err := k.conn.Each(ctx, "SELECT DISTINCT ROLE_NAME FROM information_schema.APPLICABLE_ROLES", func(row []string) error {
		roles = append(roles, engine.Quote(row[0]))
		return nil
	})
	return roles, err
}

// ignoreUnknown drops the error of a statement that an old server cannot parse.
func ignoreUnknown(err error) error {
	if n := engine.Number(err); n == 1064 || n == 1193 {
		return nil
	}
	return err
}

// ordinary leaves out what the server shows to everybody.
const ordinary = "TABLE_SCHEMA NOT IN ('information_schema', 'performance_schema')"

// collect asks what the account can do as it is now. The server itself works out
// what each column's rights come to; only rights on whole tables, and beyond
// tables, are read from the grants.
func (k *keyring) collect(ctx context.Context) error {
	tables := map[ecluse.TableName]bool{} // those on which the account has any right
	err := k.conn.Each(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE "+ordinary, func(row []string) error {
		tables[ecluse.TableName{Schema: row[0], Name: row[1]}] = true
		return nil
	})
	if err != nil {
		return err
	}
	err = k.conn.Each(ctx, "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, PRIVILEGES FROM information_schema.COLUMNS WHERE "+ordinary, func(row []string) error {
		t := ecluse.TableName{Schema: row[0], Name: row[1]}
		for p := range strings.SplitSeq(row[3], ",") {
			switch strings.ToLower(strings.TrimSpace(p)) {
			case "select":
				k.reads(t, row[2])
			case "insert", "update":
				k.writable[t] = true
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var execute bool
	err = k.conn.Each(ctx, "SHOW GRANTS", func(row []string) error {
		g, err := parseGrant(row[0])
		if err != nil {
			return err
		}
		execute = execute || slices.Contains(g.rights, "EXECUTE") || slices.Contains(g.rights, "ALL PRIVILEGES")
		k.apply(g, tables)
		return nil
	})
	if err != nil || !execute {
		return err
	}
	return k.conn.Each(ctx, "SELECT ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES "+
		"WHERE SECURITY_TYPE = 'DEFINER' AND ROUTINE_SCHEMA NOT IN ('sys', 'mysql')", func(row []string) error {
		k.reads(ecluse.TableName{Schema: row[0], Name: row[1] + "()"}, "*") // it reads with its definer's rights
		return nil
	})
}

func (k *keyring) reads(t ecluse.TableName, column string) {
	if k.readable[t] == nil {
		k.readable[t] = map[string]bool{}
	}
	k.readable[t][column] = true
}

// Rights that change a table, and rights that reach around every grant: to
// files, to the binary log, to other accounts.
var (
	writing = []string{"INSERT", "UPDATE", "DELETE", "DELETE HISTORY", "DROP", "ALTER", "INDEX", "TRIGGER", "ALL PRIVILEGES"}
	beyond  = []string{
		"ALL PRIVILEGES", "SUPER", "FILE", "CREATE USER", "GRANT OPTION", "REPLICATION SLAVE", "REPLICATION CLIENT", "BINLOG MONITOR",
		"SET USER", "SET_USER_ID", "SET_ANY_DEFINER", "ROLE_ADMIN", "SYSTEM_USER", "CLONE_ADMIN",
	}
)

func (k *keyring) apply(g grant, tables map[ecluse.TableName]bool) {
	for _, right := range g.rights {
		if g.schema == "*" {
			k.superuser = k.superuser || slices.Contains(beyond, right)
			if right == "PROCESS" { // the text of everybody's statements
				k.reads(ecluse.TableName{Schema: "information_schema", Name: "PROCESSLIST"}, "INFO")
			}
		}
		if !slices.Contains(writing, right) {
			continue
		}
		for t := range tables {
			if g.covers(t) {
				k.writable[t] = true
			}
		}
	}
}
