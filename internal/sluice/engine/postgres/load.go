package postgres

import (
	"context"
	"strconv"
)

// othersQuery counts sessions of other accounts, in whatever database of the server, that have a transaction
// under way and wait for no lock. Every transaction holds a lock on its own virtual id,
// which everybody may see; the state in pg_stat_activity is for its owner alone. Who
// waits for a lock loads nothing, and may be waiting for this very reading.
const othersQuery = `SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND a.usename <> session_user
	AND NOT EXISTS (SELECT FROM pg_locks AS w WHERE w.pid = l.pid AND NOT w.granted)`

// OthersAtWork counts the sessions of other accounts that are at work on the
// server.
func OthersAtWork(ctx context.Context, conn *Conn) (int, error) {
	n, err := conn.One(ctx, othersQuery)
	if err != nil {
		return 0, Wrap(ctx, "ask who is at work", conn.Config().String(), err)
	}
	return strconv.Atoi(n)
}
