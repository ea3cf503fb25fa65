package sqlite_test

import (
	"testing"

	"ecluse/internal/store"
	"ecluse/internal/store/sqlite"
)

// TestCarriedLeftTable: a database made before anything of a return was left gets the table
// for it when it is opened, and keeps how far what was carried has come.
func TestCarriedLeftTable(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, true).Close()
	raw(t, dir, `DROP TABLE carried_left`)
	raw(t, dir, `DELETE FROM goose_db_version WHERE version_id >= 5`)
	raw(t, dir, `INSERT INTO carried VALUES ('SHA256:a', 7, 6, 5, x'0102')`)
	s := open(t, dir, false)
	defer s.Close()
	c, err := s.Carried(t.Context(), "SHA256:a")
	if err != nil || c.Number != 7 || c.Came != 6 || c.Items != 5 || string(c.Digest) != "\x01\x02" {
		t.Errorf("%+v, %v", c, err)
	}
	if left, err := s.CarriedLeft(t.Context(), "SHA256:a"); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
	err = s.Note(t.Context(), func(tx *sqlite.Tx) error {
		return tx.LeaveCarried(t.Context(), "SHA256:a", store.CarriedLeft{Number: 6, Item: 1, Digest: []byte{1}})
	})
	if left, failed := s.CarriedLeft(t.Context(), "SHA256:a"); err != nil || failed != nil || len(left) != 1 {
		t.Errorf("%+v, %v, %v", left, err, failed)
	}
}
