package sqlite

import "testing"

// Pragma sets something of the one connection that writes.
func Pragma(t *testing.T, s *Store, what string) {
	t.Helper()
	if _, err := s.write.ExecContext(t.Context(), "PRAGMA "+what); err != nil {
		t.Fatal(err)
	}
}
