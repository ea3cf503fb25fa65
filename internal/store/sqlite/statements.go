package sqlite

import (
	"context"
	"database/sql"
	"sync"
)

// statements keeps the statements of a database prepared: each is parsed once for a
// connection, and not each time it is asked.
type statements struct {
	*sql.DB
	mu       sync.Mutex
	prepared map[string]*sql.Stmt
}

// mostPrepared bounds them: the program's own are fewer.
const mostPrepared = 100

func (s *statements) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	if p := s.prepare(ctx, text); p != nil { //nolint:sqlclosecheck // kept until the database is closed
		return p.QueryContext(ctx, args...)
	}
	return s.DB.QueryContext(ctx, text, args...)
}

func (s *statements) QueryRowContext(ctx context.Context, text string, args ...any) *sql.Row {
	if p := s.prepare(ctx, text); p != nil { //nolint:sqlclosecheck // kept until the database is closed
		return p.QueryRowContext(ctx, args...)
	}
	return s.DB.QueryRowContext(ctx, text, args...)
}

// prepare returns a statement, or nil: then it is asked as it is, and says why.
func (s *statements) prepare(ctx context.Context, text string) *sql.Stmt {
	s.mu.Lock()
	p, full := s.prepared[text], len(s.prepared) >= mostPrepared
	s.mu.Unlock()
	if p != nil || full {
		return p
	}
	p, err := s.PrepareContext(ctx, text) // it may wait for a connection
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.prepared[text]; first != nil {
		_ = p.Close() //nolint:sqlclosecheck // the one of two that is not kept
		return first
	}
	if s.prepared == nil {
		s.prepared = map[string]*sql.Stmt{}
	}
	s.prepared[text] = p
	return p
}
