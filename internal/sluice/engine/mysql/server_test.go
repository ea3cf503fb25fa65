package mysql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/mandate"
	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/mysql/mysqltest"
)

const shapes = "CREATE TABLE `Patient` (`id` bigint unsigned AUTO_INCREMENT PRIMARY KEY, `né(e) le` date NOT NULL DEFAULT '0000-00-00', `nir` char(15) CHARACTER SET latin1 NOT NULL, " +
	"`sex` enum('M','F','it''s','') NOT NULL DEFAULT '', `mail` varchar(40), `double` double AS (id * 2) VIRTUAL, UNIQUE KEY `nir` (`nir`), UNIQUE KEY `mail` (`mail`), UNIQUE KEY `both` (`sex`, `nir`(3)));" +
	"CREATE TABLE `patient` (`a` smallint NOT NULL, `b` varbinary(16) NOT NULL, `p` bigint unsigned, `at` timestamp(3) NULL, PRIMARY KEY (`b`, `a`), CONSTRAINT `fk` FOREIGN KEY (`p`) REFERENCES `Patient` (`id`));" +
	"CREATE TABLE `old` (`x` int) ENGINE=MyISAM; CREATE VIEW `seen` AS SELECT `id`, `mail` FROM `Patient`; CREATE SEQUENCE `numbers`;" +
	"CREATE TRIGGER `t1` BEFORE INSERT ON `old` FOR EACH ROW SET NEW.x = 1; CREATE TRIGGER `t2` BEFORE DELETE ON `old` FOR EACH ROW SET @a = 1;"

func connect(t *testing.T, c mysql.Config) *mysql.Conn {
	t.Helper()
	conn, err := mysql.Connect(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestCatalogue(t *testing.T) {
	db := mysqltest.New(t)
	db.Run(t, shapes)
	config, account := db.Account(t)
	db.Run(t, mysql.InspectGrants(account, []string{db.Database}))
	conn := connect(t, config)
	got, err := mysql.Catalogue(t.Context(), conn, []string{db.Database})
	if err != nil {
		t.Fatal(err)
	}
	n := func(s string) ecluse.TableName { return ecluse.TableName{Schema: db.Database, Name: s} }
	typ := func(k ecluse.DataKind) ecluse.Type { return ecluse.Type{Kind: k} }
	want := &ecluse.Catalogue{Engine: ecluse.MySQL, Tables: []ecluse.Table{
		{
			Name: n("Patient"), Kind: ecluse.BaseTable, Storage: "innodb", PrimaryKey: []string{"id"}, Unique: [][]string{{"sex", "nir"}, {"nir"}},
			Columns: []ecluse.Column{
				{Name: "id", Type: typ(ecluse.Number), Declared: "bigint(20) unsigned", Identity: "auto_increment"},
				{Name: "né(e) le", Type: typ(ecluse.Date), Declared: "date", HasDefault: true},
				{Name: "nir", Type: typ(ecluse.Text), Declared: "char(15) character set latin1", MaxLength: 15, Padded: true},
				{Name: "sex", Type: typ(ecluse.Text), Declared: "enum('M','F','it''s','') character set utf8mb4", HasDefault: true, Labels: []string{"M", "F", "it's", ""}},
				{Name: "mail", Type: typ(ecluse.Text), Declared: "varchar(40) character set utf8mb4", Nullable: true, MaxLength: 40},
				{Name: "double", Type: ecluse.Type{Kind: ecluse.Float, Precision: 53}, Declared: "double", Nullable: true, Generated: true},
			},
		},
		{
			Name: n("old"), Kind: ecluse.BaseTable, Storage: "myisam",
			Columns: []ecluse.Column{{Name: "x", Type: typ(ecluse.Int), Declared: "int(11)", Nullable: true}},
		},
		{
			Name: n("patient"), Kind: ecluse.BaseTable, Storage: "innodb", PrimaryKey: []string{"b", "a"},
			Columns: []ecluse.Column{
				{Name: "a", Type: typ(ecluse.Int), Declared: "smallint(6)"},
				{Name: "b", Type: typ(ecluse.Bytes), Declared: "varbinary(16)", MaxLength: 16},
				{Name: "p", Type: typ(ecluse.Number), Declared: "bigint(20) unsigned", Nullable: true},
				{Name: "at", Type: typ(ecluse.Instant), Declared: "timestamp(3)", Nullable: true, FracDigits: 3},
			},
			ForeignKeys: []ecluse.ForeignKey{{Name: "fk", Columns: []string{"p"}, References: n("Patient"), RefColumns: []string{"id"}}},
		},
		{
			Name: n("seen"), Kind: ecluse.View,
			Columns: []ecluse.Column{
				{Name: "id", Type: typ(ecluse.Number), Declared: "bigint(20) unsigned", HasDefault: true},
				{Name: "mail", Type: typ(ecluse.Text), Declared: "varchar(40) character set utf8mb4", Nullable: true, MaxLength: 40},
			},
		},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := conn.One(t.Context(), "SELECT COUNT(*) FROM `"+db.Database+"`.`old`"); mysql.Number(err) != 1142 {
		t.Errorf("the catalogue account counts rows: %v", err)
	}
	all, err := mysql.Catalogue(t.Context(), connect(t, db.Root), []string{db.Database})
	if err != nil {
		t.Fatal(err)
	}
	if old, _ := all.Table(n("old")); len(old.Triggers) != 1 || old.Triggers[0] != "t1" {
		t.Errorf("triggers on insert: %q", old.Triggers)
	}
	guess, err := mysql.Estimates(t.Context(), conn, []string{db.Database})
	if _, there := guess[n("seen")]; err != nil || len(guess) < 3 || there {
		t.Errorf("estimates %v, %v", guess, err)
	}
}

// plan is one that no compiler made: statements need no more of it.
func plan() *mandate.ReadPlan {
	number, text := ecluse.Type{Kind: ecluse.Int}, ecluse.Type{Kind: ecluse.Text}
	column := func(name string, t ecluse.Type, declared string) mandate.ReadColumn {
		return mandate.ReadColumn{Name: name, Type: t, Declared: declared}
	}
	return &mandate.ReadPlan{
		Migration: "a-b-2026", Consistency: mandate.Locked, Source: mandate.PlanPlace{Engine: ecluse.MySQL, Gate: "SHA256:x"},
		Datasets: []mandate.ReadDataset{
			{
				Dataset: "patient", From: ecluse.TableName{Schema: "lab_1", Name: "Patient"}, Storage: "innodb", Key: []string{"site", "id"}, KeyUnique: true,
				Columns: []mandate.ReadColumn{column("id", number, "int(11)"), column("site", text, "char(3) character set latin1"), column("x`y", text, "text character set cp850")},
				Where: []mandate.ReadCondition{
					{Column: "born", Type: ecluse.Type{Kind: ecluse.Date}, From: "2015-01-01", Before: "2020-01-01"},
					{Column: "town", Type: text, In: []string{"Orléans", `a'b\`}, NotNull: true},
				},
			},
			{
				Dataset: "result", From: ecluse.TableName{Schema: "lab_1", Name: "result"}, Storage: "myisam",
				Columns: []mandate.ReadColumn{column("value", ecluse.Type{Kind: ecluse.Float, Precision: 24}, "float"), column("note", text, "text character set utf8mb3")},
				Within:  []mandate.ReadWithin{{Dataset: "patient", Columns: []string{"p_site", "p_id"}}},
			},
			{
				Dataset: "doctor", From: ecluse.TableName{Schema: "lab_1", Name: "result"}, Storage: "myisam", Distinct: true,
				Columns: []mandate.ReadColumn{column("doctor", text, "varchar(20) character set utf8mb4"), column("ordinal", number, "counted by Écluse")},
			},
		},
		Checks: []mandate.ReadCheck{{Name: "c", Dataset: "patient", Count: true, First: "id", By: "site"}},
	}
}

func TestStatements(t *testing.T) {
	p := plan()
	dialect := mysql.Dialect{}
	for i, want := range []string{
		"SELECT d0.`id`, d0.`site`, CONVERT(d0.`x``y` USING utf8mb4) AS `x``y`, CAST(CONVERT(CONVERT(d0.`x``y` USING utf8mb4) USING cp850) AS BINARY) <=> CAST(d0.`x``y` AS BINARY), " +
			"CAST(CAST(d0.`site` AS CHAR CHARACTER SET utf8mb4) AS BINARY)\nFROM `lab_1`.`Patient` AS d0\nWHERE d0.`born` >= '2015-01-01'\n  AND d0.`born` < '2020-01-01'\n" +
			"  AND CAST(CAST(d0.`town` AS CHAR CHARACTER SET utf8mb4) AS BINARY) IN (_binary'Orléans', x'6127625c')\n  AND d0.`town` IS NOT NULL\n" +
			"ORDER BY CAST(CAST(d0.`site` AS CHAR CHARACTER SET utf8mb4) AS BINARY), d0.`id`",
		"SELECT d1.`value` * 1e0 AS `value`, CAST(d1.`note` AS BINARY) AS `note`\nFROM `lab_1`.`result` AS d1\n" +
			"WHERE (CAST(CAST(d1.`p_site` AS CHAR CHARACTER SET utf8mb4) AS BINARY), d1.`p_id`) IN (SELECT CAST(CAST(d1_1.`site` AS CHAR CHARACTER SET utf8mb4) AS BINARY), d1_1.`id` " +
			"FROM `lab_1`.`Patient` AS d1_1 WHERE d1_1.`born` >= '2015-01-01' AND d1_1.`born` < '2020-01-01' AND CAST(CAST(d1_1.`town` AS CHAR CHARACTER SET utf8mb4) AS BINARY) IN (_binary'Orléans', x'6127625c') AND d1_1.`town` IS NOT NULL)\n" +
			"ORDER BY CAST(CAST(d1.`value` * 1e0 AS CHAR CHARACTER SET utf8mb4) AS BINARY), SHA2(CAST(d1.`note` AS BINARY), 256)",
		"SELECT DISTINCT CAST(d2.`doctor` AS BINARY) AS `doctor`\nFROM `lab_1`.`result` AS d2\nWHERE d2.`doctor` IS NOT NULL\nORDER BY CAST(d2.`doctor` AS BINARY)",
	} {
		got, err := dialect.ReadStatement(p, &p.Datasets[i])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("dataset %d (-want +got):\n%s", i, diff)
		}
	}
	p.Datasets[0].View = dialect.ViewName(p, &p.Datasets[0])
	got, err := dialect.CheckStatement(p, &p.Checks[0])
	want := "SELECT CAST(CAST(d0.`site` AS CHAR CHARACTER SET utf8mb4) AS BINARY), COUNT(*), MIN(d0.`id`)\nFROM `ecluse_a_b_2026_5d5fa3dc`.`patient_xxxxxxxx` AS d0\n" +
		"GROUP BY CAST(CAST(d0.`site` AS CHAR CHARACTER SET utf8mb4) AS BINARY)\nORDER BY CAST(CAST(d0.`site` AS CHAR CHARACTER SET utf8mb4) AS BINARY)"
	mark := got[strings.Index(got, "`patient_")+9:][:8]
	if diff := cmp.Diff(strings.Replace(want, "xxxxxxxx", mark, 1), got); diff != "" || err != nil {
		t.Errorf("check: %v (-want +got):\n%s", err, diff)
	}
	before := p.Datasets[0].View
	p.Datasets[0].Where[0].From = "2016-01-01"
	if after := dialect.ViewName(p, &p.Datasets[0]); after == before {
		t.Errorf("a view of other conditions has the same name %s", after)
	}
	if _, err := dialect.WriteStatement(&mandate.LoadTable{}); ecluse.KindOf(err) != ecluse.Refused {
		t.Errorf("writes: %v", err)
	}
}

func TestStatementsRefuse(t *testing.T) {
	for name, spoil := range map[string]func(p *mandate.ReadPlan){
		"bad number": func(p *mandate.ReadPlan) {
			p.Datasets[0].Where[0] = mandate.ReadCondition{Column: "n", Type: ecluse.Type{Kind: ecluse.Int}, From: "1 OR 1=1"}
		},
		"bad date": func(p *mandate.ReadPlan) { p.Datasets[0].Where[0].From = "2015-01-01' OR ''='" },
		"bad instant": func(p *mandate.ReadPlan) {
			p.Datasets[0].Where[0].Type.Kind = ecluse.Instant
			p.Datasets[0].Where[0].From = "1); --"
		},
		"bytes compared": func(p *mandate.ReadPlan) { p.Datasets[0].Where[0].Type.Kind = ecluse.Bytes },
		"bad charset":    func(p *mandate.ReadPlan) { p.Datasets[0].Columns[1].Declared = "char(3) character set a b" },
		"other type":     func(p *mandate.ReadPlan) { p.Datasets[0].Columns[0].Type.Kind = ecluse.Text },
		"no such view":   func(p *mandate.ReadPlan) { p.Datasets[0].View = "only_a_name" },
		"no dataset":     func(p *mandate.ReadPlan) { p.Datasets[1].Within[0].Dataset = "nobody" },
		"other key":      func(p *mandate.ReadPlan) { p.Datasets[1].Within[0].Columns = []string{"p_id"} },
		"circle": func(p *mandate.ReadPlan) {
			p.Datasets[0].Within = []mandate.ReadWithin{{Dataset: "patient", Columns: []string{"a", "b"}}}
		},
		"two distinct": func(p *mandate.ReadPlan) {
			p.Datasets[2].Columns = append(p.Datasets[2].Columns, p.Datasets[2].Columns[0])
		},
		"sum of text":   func(p *mandate.ReadPlan) { p.Checks[0] = mandate.ReadCheck{Name: "c", Dataset: "patient", Sum: "site"} },
		"no figure":     func(p *mandate.ReadPlan) { p.Checks[0] = mandate.ReadCheck{Name: "c", Dataset: "patient"} },
		"no column":     func(p *mandate.ReadPlan) { p.Checks[0].By = "nothing" },
		"check of none": func(p *mandate.ReadPlan) { p.Checks[0].Dataset = "nobody" },
	} {
		p := plan()
		spoil(p)
		var err error
		for i := range p.Datasets {
			_, e := mysql.NewReading(p, &p.Datasets[i])
			err = errors.Join(err, e)
		}
		_, e := mysql.NewCounting(p, &p.Checks[0])
		if err = errors.Join(err, e); err == nil {
			t.Errorf("%s: composed", name)
		}
	}
}

func TestGrants(t *testing.T) {
	p := plan()
	account := mysql.Account{User: "o'reader", Host: "127.0.0.1"}
	for i := range p.Datasets {
		p.Datasets[i].View = mysql.Dialect{}.ViewName(p, &p.Datasets[i])
	}
	script, err := mysql.ReadGrants(p, account)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"REVOKE ALL PRIVILEGES, GRANT OPTION FROM 'o''reader'@'127.0.0.1';", "DROP DATABASE IF EXISTS `ecluse_a_b_2026_5d5fa3dc`;\nCREATE DATABASE",
		"SQL SECURITY DEFINER VIEW `ecluse_a_b_2026_5d5fa3dc`.`doctor_", "SELECT d2.`doctor`\nFROM `lab_1`.`result` AS d2;",
		"GRANT LOCK TABLES ON `ecluse\\_a\\_b\\_2026\\_5d5fa3dc`.* TO", "SELECT and LOCK TABLES on lab_1", "MyISAM",
	} {
		if !strings.Contains(script, want) {
			t.Errorf("grants lack %q:\n%s", want, script)
		}
	}
	if strings.Contains(script, "GRANT SELECT (") || strings.Contains(script, "ON `lab_1`") {
		t.Errorf("grants reach the tables themselves:\n%s", script)
	}
	if got := mysql.InspectGrants(account, []string{"lab_1"}); !strings.Contains(got, "GRANT REFERENCES ON `lab\\_1`.* TO 'o''reader'@'127.0.0.1';") {
		t.Errorf("inspect: %s", got)
	}
}

// TestGrantsMakeTheAccount: the script runs on a server that has no such account,
// which nobody gets in by until it has a password; and again on one that has it.
func TestGrantsMakeTheAccount(t *testing.T) {
	db := mysqltest.New(t)
	account := mysql.Account{User: db.Database, Host: "127.0.0.1"}
	t.Cleanup(func() { db.Run(t, "DROP USER IF EXISTS "+account.String()) })
	script := mysql.InspectGrants(account, []string{db.Database})
	db.Run(t, script)
	config := db.Root
	config.User, config.Password, config.Database = account.User, "", ""
	if c, err := mysql.Connect(t.Context(), config); err == nil {
		_ = c.Close()
		t.Error("an account without a password gets in")
	}
	_, unlock, _ := strings.Cut(script, "--   ALTER USER")
	unlock, _, _ = strings.Cut(unlock, ";")
	db.Run(t, "ALTER USER"+strings.Replace(unlock, "…", "sesame", 1))
	config.Password = "sesame"
	connect(t, config)
	db.Run(t, script)
	connect(t, config)
}

// A server says what it was given; none of it may come out.
func TestErrorsHoldNoValue(t *testing.T) {
	db := mysqltest.New(t)
	db.Run(t, "CREATE TABLE p (id int, name varchar(40)); INSERT INTO p VALUES (1, 'Jeanne Canari')")
	conn := connect(t, db.Root)
	for _, statement := range []string{
		"SELECT EXTRACTVALUE('<a/>', CONCAT('~', name)) FROM p",
		"SELECT CONVERT(name USING nothing) FROM p WHERE name = 'Jeanne Canari'",
		"INSERT INTO p SELECT * FROM p",
		"SELECT 1 FROM p WHERE name = 'Jeanne Canari",
	} {
		err := conn.Each(t.Context(), statement, func([]string) error { return nil })
		wrapped := mysql.Wrap(t.Context(), "read dataset p", "", err)
		text := fmt.Sprintf("%v %+v", wrapped, wrapped)
		if b, e := json.Marshal(wrapped); e == nil {
			text += string(b)
		}
		if err == nil || strings.Contains(text, "Canari") || !strings.Contains(text, "error 1") {
			t.Errorf("%s: %s", statement, text)
		}
	}
}

// The server's own settings must not reach a reading.
func TestSessionIsPinned(t *testing.T) {
	db := mysqltest.New(t)
	conn := connect(t, db.Root)
	for variable, want := range map[string]string{
		"time_zone": "+00:00", "sql_mode": "", "sql_select_limit": "18446744073709551615", "max_sort_length": "4096", "sql_auto_is_null": "0",
		"character_set_results": "utf8mb4", "character_set_client": "utf8mb4", "tx_read_only": "1", "max_statement_time": "0",
		"idle_transaction_timeout": "0", "net_write_timeout": "604800",
	} {
		if got, err := conn.One(t.Context(), "SELECT @@session."+variable); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", variable, got, want, err)
		}
	}
	if err := conn.Exec(t.Context(), "CREATE TABLE t (a int)"); err == nil {
		t.Error("a reading connection made a table")
	}
}
