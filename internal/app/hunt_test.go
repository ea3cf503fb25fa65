package app_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"ecluse/internal/app/roomtest"
	"ecluse/internal/due"
)

// TestHunt: a file that somebody left in the lock's folders is seen by status at
// once; within a day it is out of reach, without anybody's doing, and stays
// reported; nothing of the live migration moves.
func TestHunt(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Sealed, 40)
	for _, path := range []string{"chamber/export.xlsx", "chamber/live/forgotten-2020-01/patients.csv"} {
		full := d.Join("room", "lock", filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(full), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte("invented"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.Write([]byte("invented"), "room", "lock", "documents", "note.txt")
	r := d.Open()
	s, err := r.Strays(t.Context())
	if err != nil || len(s.Chamber) != 2 || len(s.Documents) != 1 || s.Quarantined != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	d.Exec("room/lock/control.db", "UPDATE due SET at = 0 WHERE kind = 'hunt' AND done = 0")
	v, err := r.Due(t.Context())
	if err != nil || len(v.Done) != 1 || v.Done[0].What != due.Hunt {
		t.Fatalf("%+v, %v", v, err)
	}
	if s, err = r.Strays(t.Context()); err != nil || len(s.Chamber) != 0 || s.Quarantined != 2 || len(s.Documents) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if again := d.Query("room/lock/control.db", "SELECT at FROM due WHERE kind = 'hunt' AND done = 0"); len(again) != 1 {
		t.Errorf("the next hunt is not planned: %v", again)
	}
	if status, err := r.Status(t.Context(), ""); err != nil || status[0].Chunks == 0 {
		t.Errorf("%+v, %v", status, err)
	}
	if v.Next.After(time.Now().Add(due.HuntEvery + time.Minute)) {
		t.Errorf("next at %v", v.Next)
	}
}
