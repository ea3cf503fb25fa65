package mysql_test

import (
	"context"
	"testing"
	"time"

	"ecluse/internal/sluice/engine/mysql"
	"ecluse/internal/sluice/engine/mysql/mysqltest"
)

// TestOthersAtWork: an account without rights counts the statements of others, and not its
// own. Other tests have this server too: what they run is counted.
func TestOthersAtWork(t *testing.T) {
	db := mysqltest.New(t)
	config, _ := db.Account(t)
	looking := connect(t, config)
	// least is the least of many looks: what others run is short.
	least := func() int {
		t.Helper()
		all := -1
		for range 200 {
			n, err := mysql.OthersAtWork(t.Context(), looking, func(context.Context) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			if all < 0 || n < all {
				all = n
			}
			time.Sleep(time.Millisecond)
		}
		return all
	}
	sleep := func(c mysql.Config) (stop func()) {
		conn := connect(t, c)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = conn.Exec(context.WithoutCancel(t.Context()), "DO SLEEP(30)")
		}()
		return func() {
			if err := conn.Interrupt(t.Context()); err != nil {
				t.Error(err)
			}
			<-done
		}
	}
	root := db.Root
	root.Database = ""
	for try := 1; ; try++ { // a long statement of another test may begin in between
		before := least()
		stop := sleep(config)
		n := least()
		stop()
		if n <= before {
			break
		}
		if try == 5 {
			t.Fatalf("with a statement of our own: %d, %d before", n, before)
		}
	}
	first, second, third := sleep(root), sleep(root), sleep(root)
	n := least() // they begin when the server comes to it
	for until := time.Now().Add(10 * time.Second); n < 3 && time.Now().Before(until); n = least() {
		time.Sleep(20 * time.Millisecond)
	}
	if n < 3 {
		t.Errorf("with three of others: %d", n)
	}
	first()
	second()
	third()
}
