package mysql

import (
	"context"
	"strconv"
)

// OthersAtWork counts the server's running threads but those of the connection's own
// account. The server counts its threads for everybody and names to an account none but
// its own. Ours are counted before and after: one may end in between. spend is called
// before each statement: it paces them.
func OthersAtWork(ctx context.Context, c *Conn, spend func(context.Context) error) (int, error) {
	one := func(statement string) (n int, err error) {
		err = c.Each(ctx, statement, func(row []string) error {
			n, err = strconv.Atoi(row[len(row)-1])
			return err
		})
		return n, err
	}
	const ours = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = SUBSTRING_INDEX(USER(), '@', 1) AND COMMAND <> 'Sleep'"
	var counts [3]int
	for i, statement := range []string{ours, "SHOW GLOBAL STATUS LIKE 'Threads_running'", ours} {
		if err := spend(ctx); err != nil {
			return 0, Wrap(ctx, "ask who is at work", c.config.String(), err)
		}
		var err error
		if counts[i], err = one(statement); err != nil {
			return 0, Wrap(ctx, "ask who is at work", c.config.String(), err)
		}
	}
	return max(0, counts[1]-max(counts[0], counts[2])), nil
}
