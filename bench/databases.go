//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// columns that move: eleven of twelve of result, seven of eleven of patient.
const (
	resultColumns  = "id, request_id, test_code, value_num, value_text, unit, ref_low, ref_high, flag, validated_at, validated_by"
	patientColumns = "id, nir, last_name, first_name, birth_date, sex, insurer"
)

// make makes the old laboratory and the new one. drop removes what there is of them.
func (b *bench) make(ctx context.Context) (drop func(), err error) {
	var made []func(context.Context) error
	drop = func() {
		for len(made) > 0 { // the servers are private ones
			_ = made[len(made)-1](context.WithoutCancel(ctx))
			made = made[:len(made)-1]
		}
	}
	if err := b.psql(ctx, "postgres", "-c", "CREATE ROLE "+b.reader+" LOGIN"); err != nil {
		return drop, err
	}
	made = append(made, func(ctx context.Context) error { return b.psql(ctx, "postgres", "-c", "DROP ROLE "+b.reader) })
	for _, db := range []string{b.old, b.fresh} {
		if err := b.psql(ctx, "postgres", "-c", "CREATE DATABASE "+db); err != nil {
			return drop, err
		}
		made = append(made, func(ctx context.Context) error {
			return b.psql(ctx, "postgres", "-c", "DROP DATABASE "+db+" WITH (FORCE)")
		})
	}
	if err := b.script(ctx, b.old, "lab.sql"); err != nil {
		return drop, err
	}
	if err := b.psql(ctx, b.old, "-c", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO "+b.reader); err != nil {
		return drop, err
	}
	return drop, b.script(ctx, b.fresh, "new.sql")
}

// makeMaria makes the old laboratory in MariaDB, no sooner than it is measured: its server
// goes on writing for a while.
func (b *bench) makeMaria(ctx context.Context) (drop func(), err error) {
	drop = func() {
		ctx := context.WithoutCancel(ctx)
		_ = errors.Join(b.mariadb(ctx, "", "DROP DATABASE IF EXISTS "+b.old), b.mariadb(ctx, "", "DROP USER IF EXISTS "+b.reader))
	}
	lab, err := files.ReadFile("lab-mariadb.sql")
	if err != nil {
		return drop, err
	}
	return drop, errors.Join(
		b.mariadb(ctx, "", "CREATE DATABASE "+b.old+" CHARACTER SET utf8mb4"),
		b.mariadb(ctx, b.old, fmt.Sprintf("SET @patients = %d;\n%s", b.patients, lab)),
		b.mariadb(ctx, "", "CREATE USER "+b.reader+"; GRANT SELECT ON "+b.old+".* TO "+b.reader),
	)
}

// change changes one row in a thousand, anywhere; as many go as come.
func (b *bench) change(ctx context.Context) error {
	return b.psql(ctx, b.old,
		"-c", "CREATE TEMP TABLE picked AS SELECT id, row_number() OVER () AS n FROM (SELECT id FROM result TABLESAMPLE BERNOULLI (0.1)) AS x",
		"-c", "CREATE TEMP TABLE gone AS SELECT * FROM result WHERE id IN (SELECT id FROM picked WHERE n % 20 = 0)",
		"-c", "DELETE FROM result WHERE id IN (SELECT id FROM gone)",
		"-c", "INSERT INTO result (id, request_id, test_code, value_num, validated_at) SELECT m.last + row_number() OVER (), request_id, test_code, 1.5, validated_at FROM gone, (SELECT max(id) AS last FROM result) AS m",
		"-c", "UPDATE result SET value_text = 'corrigé' WHERE id IN (SELECT id FROM picked)",
		"-c", "UPDATE patient SET last_name = last_name || '-X' WHERE id IN (SELECT id FROM patient TABLESAMPLE BERNOULLI (0.1))")
}

// empty makes the new laboratory as it was, with keys or without.
func (b *bench) empty(ctx context.Context, p passage) error {
	err := b.psql(ctx, b.fresh, "-c", "SET client_min_messages = warning", "-c", "TRUNCATE result, patient", "-c", "DROP SCHEMA IF EXISTS ecluse CASCADE",
		"-c", "ALTER TABLE patient DROP CONSTRAINT IF EXISTS patient_pkey", "-c", "ALTER TABLE result DROP CONSTRAINT IF EXISTS result_pkey")
	if err == nil && p.keyed {
		err = b.script(ctx, b.fresh, "keys.sql")
	}
	if err != nil {
		return err
	}
	return b.psql(ctx, b.fresh, "-c", "CHECKPOINT")
}

// limit moves the columns with the databases' own clients, table after table.
func (b *bench) limit(ctx context.Context, p passage) (figure, error) {
	if err := b.empty(ctx, p); err != nil {
		return figure{}, err
	}
	var script strings.Builder
	script.WriteString("set -e -o pipefail\n")
	for table, columns := range map[string]string{"patient": patientColumns, "result": resultColumns} {
		out := fmt.Sprintf("psql -Xq %s -c 'COPY (SELECT %s FROM %s) TO STDOUT'", b.database(b.old), columns, table)
		null := ""
		if p.maria {
			out = "mariadb " + strings.Join(b.account(), " ") + fmt.Sprintf(" -q -N -B %s -e 'SELECT %s FROM %s'", b.old, columns, table)
			null = ` WITH (NULL $$NULL$$)`
		}
		fmt.Fprintf(&script, "%s | psql -Xq %s -c 'COPY %s (%s) FROM STDIN%s'\n", out, b.database(b.fresh), table, columns, null)
	}
	f, err := timed(exec.CommandContext(ctx, "bash", "-c", script.String()))
	if err != nil {
		return f, err
	}
	return f, b.empty(ctx, p)
}

// places is what both gates' settings say of their databases.
func (b *bench) places(p passage) map[string]string {
	account := func(user, db string) string {
		return fmt.Sprintf("{host: %s, port: %s, user: %s, database: %s}", b.server.Hostname(), b.server.Port(), user, db)
	}
	text := func(engine, owner, rows string) string {
		return "ecluse: gate/v1\nengine: " + engine + "\ncatalogue: " + owner + "\nrows: " + rows + "\n"
	}
	owner := b.server.User.Username()
	all := map[string]string{
		"source": text("postgresql", account(owner, b.old), account(b.reader, b.old)), // no gate reads as a superuser
		"target": text("postgresql", account(owner, b.fresh), account(owner, b.fresh)),
	}
	if p.maria {
		host, port, _ := net.SplitHostPort(b.maria.Addr)
		at := func(user string) string {
			return fmt.Sprintf("{host: %s, port: %s, user: %s, database: %s}", host, port, user, b.old)
		}
		all["source"] = text("mysql", at(b.maria.User), at(b.reader))
	}
	return all
}

func (b *bench) database(db string) string {
	u := *b.server
	u.Path = "/" + db
	return u.String()
}

func (b *bench) psql(ctx context.Context, db string, args ...string) error {
	cmd := exec.CommandContext(ctx, "psql", append([]string{"-Xq", "-v", "ON_ERROR_STOP=1", b.database(db)}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

// ask asks the new laboratory's database for a number.
func (b *bench) ask(ctx context.Context, query string) (int, error) {
	cmd := exec.CommandContext(ctx, "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", b.database(b.fresh), "-c", query)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// markers waits until so many chunks are in.
func (b *bench) markers(ctx context.Context, n int) error {
	_, err := b.ask(ctx, fmt.Sprintf(`DO $$ DECLARE there bigint := 0; BEGIN
	WHILE there < %d LOOP
		PERFORM pg_sleep(0.01);
		IF EXISTS (SELECT FROM pg_tables WHERE schemaname = 'ecluse' AND tablename = 'marker') THEN EXECUTE 'SELECT count(*) FROM ecluse.marker' INTO there; END IF;
	END LOOP;
END $$; SELECT 1`, n))
	return err
}

func (b *bench) script(ctx context.Context, db, name string) error {
	text, err := files.ReadFile(name)
	if err != nil {
		return err
	}
	path := filepath.Join(b.dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return err
	}
	return b.psql(ctx, db, "-v", fmt.Sprintf("patients=%d", b.patients), "-f", path)
}

// account is how MariaDB's client reaches the server.
func (b *bench) account() []string {
	host, port, _ := net.SplitHostPort(b.maria.Addr)
	return []string{"-h" + host, "-P" + port, "-u" + b.maria.User}
}

// mariadb runs statements in a database.
func (b *bench) mariadb(ctx context.Context, db, text string) error {
	cmd := exec.CommandContext(ctx, "mariadb", append(b.account(), "--default-character-set=utf8mb4", db)...)
	if db == "" {
		cmd.Args = cmd.Args[:len(cmd.Args)-1]
	}
	cmd.Stdin, cmd.Stderr = strings.NewReader(text), os.Stderr
	return cmd.Run()
}
