package postgres_test

import (
	"context"
	"testing"
	"time"

	"ecluse/internal/sluice/engine/postgres"
	"ecluse/internal/sluice/engine/postgres/postgrestest"
)

// TestOthersAtWork: an account without rights counts the sessions of others that have a
// transaction under way, in whatever database: not its own, not those that wait for a lock
// and not those that rest. Other tests have this server too: the least of many looks tells.
func TestOthersAtWork(t *testing.T) {
	c := postgrestest.New(t)
	postgrestest.Run(t, c, "CREATE TABLE held (id int)")
	mine := postgrestest.Role(t, c)
	looking := postgrestest.Connect(t, mine)
	rest := -1
	for range 200 {
		n, err := postgres.OthersAtWork(t.Context(), looking)
		if err != nil {
			t.Fatal(err)
		}
		if rest < 0 || n < rest {
			rest = n
		}
		time.Sleep(time.Millisecond)
	}
	count := func(more int, when string) {
		t.Helper()
		n, want := -1, rest+more
		for until := time.Now().Add(10 * time.Second); n != want && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			var err error
			if n, err = postgres.OthersAtWork(t.Context(), looking); err != nil {
				t.Fatal(err)
			}
		}
		if n != want {
			t.Errorf("%s: %d are at work, want %d", when, n, want)
		}
	}
	exec := func(conn *postgres.Conn, statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	user, ours, elsewhere := postgrestest.Connect(t, c), postgrestest.Connect(t, mine), postgrestest.Connect(t, postgrestest.Server(t))
	count(0, "at rest")
	exec(ours, "BEGIN; SELECT 1")
	count(0, "ourselves")
	exec(elsewhere, "BEGIN; SELECT 1")
	count(1, "in another database")
	exec(elsewhere, "COMMIT")
	exec(user, "BEGIN; LOCK TABLE public.held")
	count(1, "a transaction")
	waits := postgrestest.Connect(t, c)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := waits.Exec(ctx, "LOCK TABLE public.held; SELECT pg_sleep(0)")
		done <- err
	}()
	waiting := func() bool {
		return postgrestest.One(t, c, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'public.held'::regclass") == "1"
	}
	for until := time.Now().Add(10 * time.Second); !waiting(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("nobody waits")
		}
	}
	count(1, "one that waits for it")
	exec(user, "COMMIT")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	count(0, "both at rest")
}
