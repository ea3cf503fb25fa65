package mysql

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ecluse/internal/sluice/reader"
)

const onePatient = "datasets:\n  patient: {from: {db}.patient, key: [id], columns: {id: technical, name: identity}}\n"

// What the account can do beyond the plan, by whatever way it was granted.
func TestPrivileges(t *testing.T) {
	l := newLab(t, patients+`
CREATE FUNCTION peek(n int) RETURNS varchar(40) READS SQL DATA SQL SECURITY DEFINER RETURN (SELECT pass FROM patient WHERE id = n);
CREATE FUNCTION own(n int) RETURNS int SQL SECURITY INVOKER RETURN n;`)
	p := l.permit(t, onePatient)
	user := l.account.String()
	db := "`" + l.db.Database + "`"
	role, nested := "r_"+l.config.Read.User, "n_"+l.config.Read.User
	l.db.Run(t, fmt.Sprintf("CREATE ROLE %s; CREATE ROLE %s; GRANT %s TO %s; GRANT SELECT (doctor) ON %s.result TO %s", role, nested, nested, role, db, nested))
	t.Cleanup(func() { l.db.Run(t, "DROP ROLE "+role+"; DROP ROLE "+nested) })
	s := l.openWith(t, p)
	view := p.Plan().Datasets[0].View

	for _, c := range []struct {
		grant, revoke string
		want          string // "table: columns" beyond the view; then "writes table"; "superuser"
	}{
		{"DO 0", "DO 0", ""},
		{"GRANT SELECT (pass) ON " + db + ".patient TO " + user, "REVOKE SELECT (pass) ON " + db + ".patient FROM " + user, "patient: pass"},
		{"GRANT SELECT ON " + db + ".result TO " + user, "REVOKE SELECT ON " + db + ".result FROM " + user, "result: doctor id patient_id value"},
		{
			"GRANT SELECT ON " + db + ".* TO " + user, "REVOKE SELECT ON " + db + ".* FROM " + user,
			"patient: born changed id name nir pass; result: doctor id patient_id value",
		},
		{"GRANT " + role + " TO " + user, "REVOKE " + role + " FROM " + user, "result: doctor"}, // not its default role
		{"GRANT DELETE ON " + db + ".result TO " + user, "REVOKE DELETE ON " + db + ".result FROM " + user, "writes result"},
		{"GRANT DROP ON " + db + ".* TO " + user, "REVOKE DROP ON " + db + ".* FROM " + user, "writes patient; writes result"},
		{"GRANT UPDATE (name) ON " + db + ".patient TO " + user, "REVOKE UPDATE (name) ON " + db + ".patient FROM " + user, "writes patient"},
		{"GRANT EXECUTE ON " + db + ".* TO " + user, "REVOKE EXECUTE ON " + db + ".* FROM " + user, "peek(): *"},
		{"GRANT EXECUTE ON FUNCTION " + db + ".peek TO " + user, "REVOKE EXECUTE ON FUNCTION " + db + ".peek FROM " + user, "peek(): *"},
		{"GRANT PROCESS ON *.* TO " + user, "REVOKE PROCESS ON *.* FROM " + user, "PROCESSLIST: INFO"},
		{"GRANT FILE ON *.* TO " + user, "REVOKE FILE ON *.* FROM " + user, "superuser"},
		{"GRANT REPLICATION SLAVE ON *.* TO " + user, "REVOKE REPLICATION SLAVE ON *.* FROM " + user, "superuser"},
		{"GRANT USAGE ON *.* TO " + user + " WITH GRANT OPTION", "REVOKE GRANT OPTION ON *.* FROM " + user, "superuser"},
	} {
		l.db.Run(t, c.grant)
		may, err := s.Privileges(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := beyondView(may, view, l.db.Database); got != c.want {
			t.Errorf("%s: %s; want %s", c.grant, got, c.want)
		}
		l.db.Run(t, c.revoke)
	}
}

func beyondView(p *reader.Privileges, view, schema string) string {
	var out []string
	for t, columns := range p.Readable {
		if t.String() != view {
			out = append(out, t.Name+": "+strings.Join(columns, " "))
		}
	}
	for _, t := range p.Writable {
		if t.Schema == schema {
			out = append(out, "writes "+t.Name)
		}
	}
	if p.Superuser {
		out = append(out, "superuser")
	}
	slices.Sort(out)
	return strings.Join(out, "; ")
}

func TestSuperuserIsOne(t *testing.T) {
	l := newLab(t, patients)
	p := l.permit(t, onePatient)
	l.config.Read = l.db.Root
	may, err := l.openWith(t, p).Privileges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !may.Superuser || len(may.Writable) == 0 || len(may.Readable) < 3 {
		t.Errorf("root: superuser %v, %d tables to read, %d to change", may.Superuser, len(may.Readable), len(may.Writable))
	}
}

// Where no view can be had the instruction says what else may be read, and the
// account gets columns of the table itself.
func TestReadsTheTableItself(t *testing.T) {
	l := newLab(t, patients)
	l.world.Consistency = "locked"
	p := l.permit(t, `
datasets:
  patient: {from: {db}.patient, key: [id], columns: {id: technical, name: identity}, where: [{column: born, from: "1990-01-01"}]}
  result: {from: {db}.result, key: [id], columns: {id: technical}, within: {patient: [patient_id]}}
accounts: {source: {may_also_read: ['{db}.patient.nir', '{db}.result.doctor'], because: the old server is too slow for views and ends in December}}
`)
	if d := p.Plan().Datasets[0]; d.View != "" || !strings.Contains(d.Statement, "`born` >= '1990-01-01'") {
		t.Errorf("view %q, statement %s", d.View, d.Statement)
	}
	s := l.openWith(t, p)
	wantRows(t, allRows(t, s, "patient"), "3|Zoé")
	wantRows(t, allRows(t, s, "result"), "11")
	may, err := s.Privileges(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(slices.Sorted(maps.Values(map[int]string{0: beyondView(may, "", l.db.Database)}))); got != "[patient: born id name; result: id patient_id]" {
		t.Errorf("grants: %s", got)
	}
}

func TestParseGrant(t *testing.T) {
	for line, want := range map[string]string{
		"GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*A ON B TO C'":           "[USAGE] * *",
		"GRANT SELECT, INSERT (`a ON b`, `c)`), UPDATE ON `d b`.`t``x` TO `a`@`%`":      "[SELECT INSERT UPDATE] d b t`x",
		"GRANT ALL PRIVILEGES ON `te\\_st`.* TO `a`@`%` WITH GRANT OPTION":              "[ALL PRIVILEGES] te\\_st *",
		"GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION":                      "[ALL PRIVILEGES GRANT OPTION] * *",
		"GRANT `role ON x` TO `a`@`%`":                                                  "[]  ",
		"GRANT EXECUTE ON PROCEDURE `d`.`p` TO `a`@`%`":                                 "[EXECUTE]  ",
		"GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION":                 "[PROXY]  ",
		"SET DEFAULT ROLE `r` FOR `a`@`%`":                                              "[]  ",
		"GRANT SELECT, BACKUP_ADMIN,SYSTEM_USER ON *.* TO `root`@`localhost`":           "[SELECT BACKUP_ADMIN SYSTEM_USER] * *",
		"GRANT SELECT ON `d`.* TO PUBLIC":                                               "[SELECT] d *",
		"REVOKE SELECT ON `mysql`.* FROM `root`@`localhost`":                            "[]  ",
		"GRANT DELETE HISTORY, DROP ON `d`.`t` TO `a`@`%`":                              "[DELETE HISTORY DROP] d t",
		"GRANT SELECT (`id`) ON `d`.`t` TO `a`@`%`":                                     "[SELECT] d t",
		"GRANT SELECT ON `d`.`t` TO `a`@`%` REQUIRE SSL":                                "[SELECT] d t",
		"GRANT CREATE TEMPORARY TABLES, LOCK TABLES ON `ecluse\\_x\\_1`.* TO `a`@`::1`": "[CREATE TEMPORARY TABLES LOCK TABLES] ecluse\\_x\\_1 *",
	} {
		g, err := parseGrant(line)
		if got := fmt.Sprintf("%v %s %s", g.rights, g.schema, g.table); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
	}
	for _, line := range []string{"", "ALTER USER x", "GRANT SELECT ON `d`.`t`"} {
		if _, err := parseGrant(line); err == nil {
			t.Errorf("%q was understood", line)
		}
	}
	for _, c := range []struct {
		pattern, s string
		want       bool
	}{{"te\\_st", "te_st", true}, {"te\\_st", "texst", false}, {"te_st", "texst", true}, {"t%", "t", true}, {"t%x", "tabx", true}, {"t%x", "tab", false}, {"", "", true}, {"a\\", "a\\", true}} {
		if like(c.pattern, c.s) != c.want {
			t.Errorf("%q like %q: %v", c.s, c.pattern, !c.want)
		}
	}
}

func FuzzParseGrant(f *testing.F) {
	f.Add("GRANT SELECT (`a`), INSERT ON `d`.`t` TO `a`@`%`")
	f.Add("GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION")
	f.Fuzz(func(t *testing.T, line string) {
		g, err := parseGrant(line)
		if err == nil && g.schema == "*" && !strings.Contains(line, "*.*") && !strings.Contains(line, "`*`") {
			t.Errorf("%q is about everything", line)
		}
	})
}
