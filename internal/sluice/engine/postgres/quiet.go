package postgres

import (
	"net"
	"sync"
	"time"
)

// quietConn ends a read that has waited so long that the server is taken for
// lost: a machine that was switched off closes no connection, a process that is
// stopped still answers keep-alives.
type quietConn struct {
	net.Conn
	silence time.Duration

	mu   sync.Mutex
	held bool // the driver has a deadline of its own, which is not ours to move
}

func (c *quietConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	var err error
	if !c.held {
		err = c.Conn.SetReadDeadline(time.Now().Add(c.silence))
	}
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// SetDeadline is how the driver ends what runs when its context does.
func (c *quietConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = !t.IsZero()
	return c.Conn.SetDeadline(t)
}

// SetReadDeadline is SetDeadline for reads.
func (c *quietConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = !t.IsZero()
	return c.Conn.SetReadDeadline(t)
}
