package postgres

import (
	"context"
	"encoding/json"
	"time"

	"ecluse"
)

// Rights is what an account can do, as the server answers it.
type Rights struct {
	Account   string
	At        time.Time                     // the server's clock
	Readable  map[ecluse.TableName][]string // columns; of a function that reads by its owner's rights, "name()", "*"
	Writable  []ecluse.TableName
	Superuser bool // or able to become one, or to read the server's files
}

// reachable is every role that the account can become, and every relation of the
// database outside the server's own schemas. A role is reached whether or not its
// rights are inherited: SET ROLE needs nobody.
const reachable = `
WITH me AS (SELECT * FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER')
), relation AS (
	SELECT c.oid, c.relname, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^(pg_toast|pg_temp_)'
		AND EXISTS (SELECT FROM me WHERE has_schema_privilege(me.oid, n.oid, 'USAGE'))
)`

const accountQuery = reachable + `
SELECT session_user, to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), EXISTS (
	SELECT FROM me WHERE rolsuper OR rolreplication OR rolcreaterole
		OR rolname IN ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'))`

const readableQuery = reachable + `
SELECT r.nspname, r.relname, json_agg(a.attname ORDER BY a.attname COLLATE "C")
FROM relation AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE EXISTS (SELECT FROM me WHERE has_column_privilege(me.oid, r.oid, a.attnum, 'SELECT'))
GROUP BY r.oid, r.nspname, r.relname`

const writableQuery = reachable + `
SELECT r.nspname, r.relname FROM relation AS r
WHERE EXISTS (SELECT FROM me WHERE has_table_privilege(me.oid, r.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER') OR has_any_column_privilege(me.oid, r.oid, 'INSERT, UPDATE'))
ORDER BY r.nspname COLLATE "C", r.relname COLLATE "C"`

// routinesQuery is the functions that work by the rights of somebody else.
const routinesQuery = `
WITH me AS (SELECT * FROM pg_roles WHERE pg_has_role(session_user, oid, 'MEMBER'))
SELECT DISTINCT n.nspname, f.proname FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace
WHERE f.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND f.proowner NOT IN (SELECT oid FROM me)
	AND EXISTS (SELECT FROM me WHERE has_schema_privilege(me.oid, n.oid, 'USAGE')) AND EXISTS (SELECT FROM me WHERE has_function_privilege(me.oid, f.oid, 'EXECUTE'))`

// RightsOf asks what the connection's account can read and change, of every
// column of every table, and of every role it can become.
func RightsOf(ctx context.Context, conn *Conn) (*Rights, error) {
	out := &Rights{Readable: map[ecluse.TableName][]string{}}
	err := conn.Each(ctx, accountQuery, func(v []string) (err error) {
		out.Account, out.Superuser = v[0], v[2] == "t"
		out.At, err = time.Parse(time.RFC3339Nano, v[1])
		return err
	})
	if err == nil {
		err = conn.Each(ctx, readableQuery, func(v []string) error {
			var columns []string
			err := json.Unmarshal([]byte(v[2]), &columns)
			out.Readable[ecluse.TableName{Schema: v[0], Name: v[1]}] = columns
			return err
		})
	}
	if err == nil {
		err = conn.Each(ctx, routinesQuery, func(v []string) error {
			out.Readable[ecluse.TableName{Schema: v[0], Name: v[1] + "()"}] = []string{"*"}
			return nil
		})
	}
	if err == nil {
		err = conn.Each(ctx, writableQuery, func(v []string) error {
			out.Writable = append(out.Writable, ecluse.TableName{Schema: v[0], Name: v[1]})
			return nil
		})
	}
	return out, Wrap(ctx, "ask for the account's rights", conn.config.String(), err)
}
