package postgres

import (
	"io"
	"time"
)

// unhurried lets an answer gather before it takes more of it. The server sends eight
// kibibytes at a time; who is faster and waits for each is woken for each, which costs
// as much as decoding them.
type unhurried struct {
	src  io.Reader
	wait bool // what came last was a part of a long answer, and not much of it
}

const (
	serverSends = 8 << 10
	gathering   = time.Millisecond
)

func (u *unhurried) Read(p []byte) (int, error) {
	if u.wait {
		time.Sleep(gathering)
	}
	n, err := u.src.Read(p)
	u.wait = err == nil && n >= serverSends && n < len(p)/2
	return n, err
}
