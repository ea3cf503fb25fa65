package postgres

import (
	"fmt"
	"slices"
	"strings"

	"ecluse"
	"ecluse/internal/mandate"
)

// makeRole makes a role that can log in and do nothing else. Its password is the
// administrator's to choose, in psql, where no history keeps it.
func makeRole(role string) string {
	return fmt.Sprintf(`DO $role$ BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = %[2]s) THEN
		CREATE ROLE %[1]s LOGIN NOINHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
	END IF;
	EXECUTE format('GRANT CONNECT ON DATABASE %%I TO %%I', current_database(), %[2]s);
END $role$;
`, name(role), literal(role))
}

func scriptHead(title, role string) string {
	return "-- " + title + "\n" +
		"-- Run it in psql, as the owner of the tables: the laboratory's own administrator, not Écluse's account.\n" +
		"-- Then choose the password and put it in the gate's password file:  \\password " + role + "\n" +
		"BEGIN;\nSET LOCAL search_path = pg_catalog;\n" + makeRole(role)
}

const scriptEnd = "-- When the migration is over, if the account was made for it alone:\n"

// revokeAll takes from a role what it was granted itself in the database, so that
// what the script grants is all it has. What everybody has, or a role it is a
// member of, is told by RightsOf.
func revokeAll(role string) string {
	return fmt.Sprintf(`DO $revoke$ DECLARE s name; BEGIN
	FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
		EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA %%I FROM %%I', s, %[1]s);
		EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %%I FROM %%I', s, %[1]s);
		EXECUTE format('REVOKE ALL ON SCHEMA %%I FROM %%I', s, %[1]s);
	END LOOP;
END $revoke$;
`, literal(role))
}

// InspectGrants is the script that makes the catalogue account: names, types and
// keys are everybody's to see, so that it needs no right but to connect.
func InspectGrants(role string) string {
	return scriptHead("Catalogue account: sees the names of tables, columns and keys, and no value.", role) + "COMMIT;\n"
}

// ReadGrants is the script that lets an account read what plan p says and nothing
// else. Each dataset is read through a view that holds its conditions, in a schema
// of the migration's own: what filters is not granted. A dataset without a view
// is read from its table, column by column, those that filter included; its
// conditions then hold by the gate's word alone.
func ReadGrants(p *mandate.ReadPlan, role string) (string, error) {
	var b strings.Builder
	b.WriteString(scriptHead(fmt.Sprintf("Read account of migration %s: reads what its read plan says, and nothing else.", p.Migration), role))
	fmt.Fprintf(&b, "ALTER ROLE %s SET default_transaction_read_only = on;\n", name(role))
	b.WriteString(revokeAll(role))
	schema := name(viewSchema(p.Migration))
	fmt.Fprintf(&b, "DROP SCHEMA IF EXISTS %s CASCADE;\n", schema)
	if slices.ContainsFunc(p.Datasets, func(d mandate.ReadDataset) bool { return d.View != "" }) {
		fmt.Fprintf(&b, "CREATE SCHEMA %[1]s;\nGRANT USAGE ON SCHEMA %[1]s TO %[2]s;\n", schema, name(role))
	}
	direct := columnGrants{}
	for i := range p.Datasets {
		d := &p.Datasets[i]
		if d.View == "" {
			if err := direct.reads(p, d, 0); err != nil {
				return "", err
			}
			continue
		}
		if err := grantView(&b, p, d, role); err != nil {
			return "", err
		}
	}
	direct.script(&b, "SELECT", role)
	b.WriteString("COMMIT;\n" + scriptEnd)
	fmt.Fprintf(&b, "--   DROP SCHEMA IF EXISTS %s CASCADE; DROP OWNED BY %s; DROP ROLE %s;\n", schema, name(role), name(role))
	return b.String(), nil
}

func grantView(b *strings.Builder, p *mandate.ReadPlan, d *mandate.ReadDataset, role string) error {
	v, err := ecluse.ParseTableName(d.View)
	if err != nil {
		return wrong(d, "its view has no name", err)
	}
	query, err := view(p, d)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "CREATE VIEW %s WITH (security_barrier) AS\n%s;\n", Name(v), query)
	fmt.Fprintf(b, "COMMENT ON VIEW %s IS %s;\n", Name(v), literal(viewMark(query)))
	fmt.Fprintf(b, "GRANT SELECT ON %s TO %s;\n", Name(v), name(role))
	return nil
}

// viewMark is the comment by which a gate knows that a view was made for the plan
// it has, and not for one before.
func viewMark(query string) string { return "Écluse " + ecluse.DigestOf([]byte(query)).String() }

// ViewMark is the comment that the granted view of a dataset must have.
func ViewMark(p *mandate.ReadPlan, d *mandate.ReadDataset) (string, error) {
	query, err := view(p, d)
	return viewMark(query), err
}

// columnGrants are columns of tables, to be granted one by one.
type columnGrants map[ecluse.TableName][]string

func (g columnGrants) add(t ecluse.TableName, columns ...string) {
	for _, c := range columns {
		if !slices.Contains(g[t], c) {
			g[t] = append(g[t], c)
		}
	}
}

// reads adds what reading a dataset from its table looks at.
func (g columnGrants) reads(p *mandate.ReadPlan, d *mandate.ReadDataset, depth int) error {
	switch {
	case d.Distinct:
		g.add(d.From, d.Columns[0].Name)
	default:
		for _, c := range d.Columns {
			g.add(d.From, c.Name)
		}
	}
	if d.Storage == heap {
		g.add(d.From, "tableoid", "ctid")
	}
	return g.filters(p, d, depth)
}

func (g columnGrants) filters(p *mandate.ReadPlan, d *mandate.ReadDataset, depth int) error {
	for _, w := range d.Where {
		g.add(d.From, w.Column)
	}
	for _, w := range d.Within {
		other, ok := p.Dataset(w.Dataset)
		if !ok || depth > len(p.Datasets) {
			return wrong(d, "within "+string(w.Dataset)+": there is no such dataset, or they go round in a circle", nil)
		}
		g.add(d.From, w.Columns...)
		g.add(other.From, other.Key...)
		if err := g.filters(p, other, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (g columnGrants) script(b *strings.Builder, right, role string) {
	tables := make([]ecluse.TableName, 0, len(g))
	for t := range g {
		tables = append(tables, t)
	}
	slices.SortFunc(tables, byName)
	for i, t := range tables {
		if i == 0 || tables[i-1].Schema != t.Schema {
			fmt.Fprintf(b, "GRANT USAGE ON SCHEMA %s TO %s;\n", name(t.Schema), name(role))
		}
		fmt.Fprintf(b, "GRANT %s (%s) ON %s TO %s;\n", right, names(g[t]), Name(t), name(role))
	}
}

// LoadReads is the columns that carrying out plan p reads in the target: what it
// writes, tables that codes are looked up in, cross-checks and sequences.
func LoadReads(p *mandate.LoadPlan) map[ecluse.TableName][]string {
	read := columnGrants{}
	for _, t := range p.Tables {
		for _, c := range t.Columns {
			read.add(t.Table, c.Name)
		}
		read.add(t.Table, "tableoid", "ctid")
	}
	for _, h := range p.Held {
		read.add(h.Table, h.Columns...)
	}
	for _, c := range p.Shape.Checks {
		for _, column := range []string{c.Sum, c.First, c.Last, c.By} {
			if column != "" {
				read.add(c.Table, column)
			}
		}
		for _, w := range c.Where {
			read.add(c.Table, w.Column)
		}
	}
	for _, s := range p.Shape.Sequences {
		read.add(s.Table, s.Column)
	}
	return read
}

// LoadGrants is the script that lets an account write what plan p says, read it
// back, take it out again, move its sequences and keep its markers.
func LoadGrants(p *mandate.LoadPlan, role string) (string, error) {
	var b strings.Builder
	b.WriteString(scriptHead(fmt.Sprintf("Load account of migration %s: writes, reads back and takes out what its load plan says.", p.Migration), role))
	fmt.Fprintf(&b, "DO $temp$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %%I TO %%I', current_database(), %s); END $temp$;\n", literal(role))
	b.WriteString(MarkerTables)
	fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA %[1]s TO %[2]s;\nGRANT SELECT, INSERT, UPDATE, DELETE ON %[1]s.passage, %[1]s.marker TO %[2]s;\n", Markers, name(role))
	write := columnGrants{}
	for _, t := range p.Tables {
		for _, c := range t.Columns {
			write.add(t.Table, c.Name)
		}
	}
	columnGrants(LoadReads(p)).script(&b, "SELECT", role)
	write.script(&b, "INSERT", role)
	for _, t := range p.Tables {
		fmt.Fprintf(&b, "GRANT DELETE ON %s TO %s;\n", Name(t.Table), name(role))
		b.WriteString(grantDefaults(t.Table, role))
	}
	for _, s := range p.Shape.Sequences {
		fmt.Fprintf(&b, "GRANT USAGE ON SCHEMA %s TO %s;\nGRANT SELECT, UPDATE ON SEQUENCE %s TO %s;\n", name(s.Sequence.Schema), name(role), Name(s.Sequence), name(role))
	}
	b.WriteString("COMMIT;\n" + scriptEnd)
	fmt.Fprintf(&b, "--   DROP OWNED BY %s; DROP ROLE %s;\n", name(role), name(role))
	return b.String(), nil
}

// grantDefaults lets an account draw from the sequences that fill the columns of
// a table that it does not write.
func grantDefaults(t ecluse.TableName, role string) string {
	return fmt.Sprintf(`DO $default$ DECLARE s regclass; BEGIN
	FOR s IN %s LOOP
		EXECUTE format('GRANT USAGE ON SEQUENCE %%s TO %%I', s, %s);
	END LOOP;
END $default$;
`, DefaultSequences(literal(t.Schema), literal(t.Name)), literal(role))
}

// DefaultSequences asks for the sequences that defaults of a table draw from.
func DefaultSequences(schema, table string) string {
	return `SELECT d.refobjid::regclass FROM pg_attrdef AS f
		JOIN pg_depend AS d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
		JOIN pg_class AS s ON s.oid = d.refobjid AND s.relkind = 'S'
		JOIN pg_class AS c ON c.oid = f.adrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = ` + schema + ` AND c.relname = ` + table
}
