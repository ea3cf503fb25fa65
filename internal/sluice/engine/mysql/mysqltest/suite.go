package mysqltest

import (
	"fmt"
	"strings"
	"testing"

	"ecluse"
	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/reader/readertest"
)

// Kinds are the types that columns travel as.
func Kinds() []ecluse.Type {
	return []ecluse.Type{
		{Kind: ecluse.Int},
		{Kind: ecluse.Decimal, Precision: 12, Scale: 3},
		{Kind: ecluse.Decimal, Precision: 18, Scale: 6},
		{Kind: ecluse.Number},
		{Kind: ecluse.Float, Precision: 24},
		{Kind: ecluse.Float, Precision: 53},
		{Kind: ecluse.Text},
		{Kind: ecluse.Bytes},
		{Kind: ecluse.Date},
		{Kind: ecluse.Time},
		{Kind: ecluse.Timestamp},
		{Kind: ecluse.Instant},
	}
}

func declare(c readertest.Column, key bool) string {
	switch k := c.Type; k.Kind {
	case ecluse.Int:
		return "bigint"
	case ecluse.Decimal:
		return k.String()
	case ecluse.Number:
		return "decimal(30,10)"
	case ecluse.Float:
		return map[int]string{24: "float", 53: "double"}[k.Precision]
	case ecluse.Text:
		if key { // the suite's keys differ by case, accents and trailing spaces only
			return "varchar(60) COLLATE utf8mb4_nopad_bin"
		}
		return "text"
	case ecluse.Bytes:
		return "longblob"
	case ecluse.Date:
		return "date"
	case ecluse.Time:
		return "time(6)"
	case ecluse.Timestamp:
		return "datetime(6)"
	case ecluse.Instant:
		return "timestamp(6) NULL"
	}
	panic("a type that this engine has not: " + c.Type.String())
}

// Name is a table's full name.
func (db *DB) Name(table string) ecluse.TableName {
	return ecluse.TableName{Schema: db.Database, Name: table}
}

// Create makes a table or view.
func (db *DB) Create(t testing.TB, table readertest.Table) {
	t.Helper()
	names := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		names[i] = c.Name
	}
	if table.ViewOf != "" {
		db.Run(t, "CREATE VIEW "+mysql.Quote(table.Name)+" AS SELECT "+list(names)+" FROM "+mysql.Quote(table.ViewOf))
		return
	}
	keyed := map[string]bool{}
	parts := []string{}
	constraint := func(kind string, columns []string, more string) {
		for _, c := range columns {
			keyed[c] = true
		}
		if len(columns) > 0 {
			parts = append(parts, kind+" ("+list(columns)+")"+more)
		}
	}
	constraint("PRIMARY KEY", table.Key, "")
	for _, u := range table.Unique {
		constraint("UNIQUE KEY", u, "")
	}
	for _, k := range table.ForeignKeys {
		constraint("FOREIGN KEY", k.Columns, " REFERENCES "+mysql.Quote(k.Table)+" (id)")
	}
	for _, c := range table.Columns {
		part := mysql.Quote(c.Name) + " " + declare(c, keyed[c.Name])
		if c.NotNull {
			part += " NOT NULL"
		}
		if c.Generated {
			part += " AUTO_INCREMENT"
		}
		parts = append(parts, part)
	}
	db.Run(t, "CREATE TABLE "+mysql.Quote(table.Name)+" ("+strings.Join(parts, ", ")+")")
}

func list(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = mysql.Quote(n)
	}
	return strings.Join(quoted, ", ")
}

// Insert adds rows.
func (db *DB) Insert(t testing.TB, table readertest.Table, rows [][]any) {
	t.Helper()
	names := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		names[i] = c.Name
	}
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(names)), ", ") + ")"
	for len(rows) > 0 {
		n := min(len(rows), 2000)
		var args []any
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		rows = rows[n:]
		statement := fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", mysql.Quote(table.Name), list(names), strings.TrimSuffix(strings.Repeat(one+", ", n), ", "))
		if _, err := db.Exec(statement, args...); err != nil {
			t.Fatalf("insert into %s: %v", table.Name, err)
		}
	}
}
