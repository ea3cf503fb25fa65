package mysql

import (
	"fmt"
	"slices"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// Account is a database account, as CREATE USER names it.
type Account struct {
	User string
	Host string // where it may come from: "127.0.0.1", "%"
}

func (a Account) String() string { return accountName(a.User, a.Host) }

// createUser makes the account where it is not there yet, locked until somebody
// has chosen its password, so that what follows never fails on it.
const createUser = `-- The server takes the account from that address alone; where it sees the gate at another one: ecluse gate grants … --host
CREATE USER IF NOT EXISTS %[1]s ACCOUNT LOCK;   -- MariaDB from 10.4, MySQL from 5.7; before: CREATE USER … IDENTIFIED BY
-- Then choose the password, put it in the gate's password file, and let the account in:
--   ALTER USER %[1]s IDENTIFIED BY '…' ACCOUNT UNLOCK;
REVOKE ALL PRIVILEGES, GRANT OPTION FROM %[1]s;
`

// InspectGrants is the script that makes an account see every name of the given
// databases and no value: REFERENCES shows columns and keys in the catalogue, and
// lets nobody read a row.
func InspectGrants(a Account, schemas []string) string {
	var b strings.Builder
	b.WriteString("-- Catalogue account: sees the names of tables, columns and keys, and no value.\n-- Run as the database's administrator.\n")
	fmt.Fprintf(&b, createUser, a)
	for _, s := range schemas {
		fmt.Fprintf(&b, "GRANT REFERENCES ON %s.* TO %s;\n", schemaPattern(s), a)
	}
	return b.String()
}

// ReadGrants is the script that lets an account read what plan p says and nothing
// else. A dataset with a view is read through it: only instructed columns, only
// the rows that the conditions leave. A dataset without one is read from its
// table, column by column, those that filter included; its conditions then hold
// by the gate's word alone.
func ReadGrants(p *mandate.ReadPlan, a Account) (string, error) {
	g := &granter{plan: p, account: a, columns: map[ecluse.TableName][]string{}}
	for i := range p.Datasets {
		if err := g.dataset(&p.Datasets[i]); err != nil {
			return "", err
		}
	}
	return g.script(), nil
}

type granter struct {
	plan      *mandate.ReadPlan
	account   Account
	databases []string // of views, in order
	views     []string // statements that make them
	grants    []string
	columns   map[ecluse.TableName][]string // read from tables themselves
	tables    []ecluse.TableName            // the keys of columns, in order
	beneath   []string                      // databases that views read from
	myisam    bool
}

func (g *granter) dataset(d *mandate.ReadDataset) error {
	g.myisam = g.myisam || d.Storage != "" && !snapshots(d.Storage)
	if d.View == "" {
		g.grant(d.From, selected(d)...)
		return g.conditions(d, 0)
	}
	v, err := viewName(d)
	if err != nil {
		return err
	}
	query, refs, err := viewStatement(g.plan, d)
	if err != nil {
		return err
	}
	g.views = append(g.views, "CREATE ALGORITHM = MERGE DEFINER = CURRENT_USER SQL SECURITY DEFINER VIEW "+tableName(v)+" AS\n"+query)
	g.grants = append(g.grants, "GRANT SELECT ON "+tableName(v)+" TO "+g.account.String())
	for _, r := range refs {
		g.beneath = once(g.beneath, r.Table.Schema)
	}
	g.databases = once(g.databases, v.Schema)
	return nil
}

func once(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// viewStatement is what a granted view selects: only what the dataset takes, and
// only the rows that its conditions leave.
func viewStatement(p *mandate.ReadPlan, d *mandate.ReadDataset) (query string, refs []Ref, err error) {
	b, err := newBuilder(p, d)
	if err != nil {
		return "", nil, err
	}
	from, where, err := b.rows(d)
	if err != nil {
		return "", nil, err
	}
	var columns []string
	for _, c := range selected(d) {
		columns = append(columns, b.alias+"."+name(c))
	}
	query = "SELECT " + strings.Join(columns, ", ") + "\nFROM " + from
	if len(where) > 0 {
		query += "\nWHERE " + strings.Join(where, "\n  AND ")
	}
	return query, b.refs, nil
}

// selected is the columns of the source that a dataset selects.
func selected(d *mandate.ReadDataset) []string {
	if d.Distinct {
		return []string{d.Columns[0].Name}
	}
	var list []string
	for _, c := range d.Columns {
		list = once(list, c.Name)
	}
	for _, k := range d.Key {
		list = once(list, k)
	}
	return list
}

// conditions grants the columns that conditions look at, those of the datasets
// it lies within included.
func (g *granter) conditions(d *mandate.ReadDataset, depth int) error {
	for _, w := range d.Where {
		g.grant(d.From, w.Column)
	}
	for _, w := range d.Within {
		outer, ok := g.plan.Dataset(w.Dataset)
		if !ok || depth > len(g.plan.Datasets) {
			return &ecluse.Error{Kind: ecluse.Invalid, What: "compose grants", Where: "within " + string(w.Dataset), Why: "the plan has no such dataset, or they lie within each other in a circle"}
		}
		g.grant(d.From, w.Columns...)
		g.grant(outer.From, outer.Key...)
		if err := g.conditions(outer, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (g *granter) grant(t ecluse.TableName, columns ...string) {
	if _, ok := g.columns[t]; !ok {
		g.tables = append(g.tables, t)
	}
	for _, c := range columns {
		g.columns[t] = once(g.columns[t], c)
	}
}

func (g *granter) script() string {
	var b strings.Builder
	fmt.Fprintf(&b, "-- Read account of migration %s: reads what its read plan says, and nothing else.\n", g.plan.Migration)
	b.WriteString("-- Run as an account that may read the tables beneath and that will go on existing: views work by its rights.\n")
	if g.plan.Consistency == mandate.Locked {
		b.WriteString("-- Consistency locked: the views' definer needs SELECT and LOCK TABLES on " + strings.Join(g.beneath, ", ") + ".\n")
	}
	if g.myisam {
		b.WriteString("-- The plan reads tables whose engine has no snapshots; no right changes that (MyISAM, Aria, MEMORY).\n")
	}
	fmt.Fprintf(&b, createUser, g.account)
	for _, d := range g.databases {
		fmt.Fprintf(&b, "DROP DATABASE IF EXISTS %[1]s;\nCREATE DATABASE %[1]s CHARACTER SET utf8mb4;\n", name(d))
	}
	for _, s := range g.views {
		b.WriteString(s + ";\n")
	}
	for _, s := range g.grants {
		b.WriteString(s + ";\n")
	}
	locks := slices.Clone(g.databases)
	for _, t := range g.tables {
		quoted := make([]string, len(g.columns[t]))
		for i, c := range g.columns[t] {
			quoted[i] = name(c)
		}
		fmt.Fprintf(&b, "GRANT SELECT (%s) ON %s TO %s;\n", strings.Join(quoted, ", "), tableName(t), g.account)
		locks = once(locks, t.Schema)
	}
	if g.plan.Consistency == mandate.Locked {
		for _, d := range locks {
			fmt.Fprintf(&b, "GRANT LOCK TABLES ON %s.* TO %s;\n", schemaPattern(d), g.account)
		}
	}
	b.WriteString("-- When the migration is over:\n")
	for _, d := range g.databases {
		fmt.Fprintf(&b, "--   DROP DATABASE %s;\n", name(d))
	}
	fmt.Fprintf(&b, "--   DROP USER %s;\n", g.account)
	return b.String()
}
