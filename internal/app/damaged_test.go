package app_test

import (
	"fmt"
	"os"
	"testing"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
)

// TestDamagedMigrationStopsNoOther: of a migration whose instruction cannot be read any
// more nothing is asked, its journal and status say so, and the laboratory's other work
// goes on.
func TestDamagedMigrationStopsNoOther(t *testing.T) {
	t.Parallel()
	const other = "quatre-vents-02"
	for name, damage := range map[string]func(path string) error{
		"gone":    os.Remove,
		"changed": func(path string) error { return os.WriteFile(path, []byte("ecluse: instruction/v1\n"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.At(t, roomtest.Ready, 3)
			text := []byte("another instruction")
			digest := ecluse.DigestOf(text)
			d.Write(text, "room", "lock", "documents", digest.Hex())
			d.Exec(
				"room/lock/control.db",
				fmt.Sprintf("INSERT INTO migration (id, contract, state, passage, kind, born, erase_by) SELECT '%s', contract, state, passage, kind, born, erase_by FROM migration", other),
				fmt.Sprintf("INSERT INTO document (digest, migration, kind, size, added) VALUES ('%s', '%s', 'instruction', %d, 1)", digest, other, len(text)),
				fmt.Sprintf("INSERT INTO current (migration, kind, digest) VALUES ('%s', 'instruction', '%s')", other, digest),
				// A request for the half of its key, which every gate's question comes by.
				fmt.Sprintf("INSERT INTO lease (request, migration, request_text, request_signature, asked, until) VALUES ('%s', '%s', x'00', x'00', 1, 9999999999999)", ecluse.DigestOf([]byte("x")), other),
				// And something asked whose text is damaged itself.
				fmt.Sprintf("INSERT INTO work (id, gate, migration, verb, text, asked) SELECT 'damaged', json_extract(CAST(text AS TEXT), '$.ids.gate'), '%s', 'look', x'7b', 1 FROM leaf WHERE CAST(text AS TEXT) LIKE '%%\"gate\":\"SHA256:%%' LIMIT 1", other),
			)
			if err := damage(d.Join("room", "lock", "documents", digest.Hex())); err != nil {
				t.Fatal(err)
			}
			r := d.Open()
			for _, at := range []exchange.Place{exchange.SourcePlace, exchange.TargetPlace} {
				if _, err := r.Inspect(t.Context(), at); err != nil {
					t.Fatalf("work that is about no migration: %v", err)
				}
			}
			all, err := r.Status(t.Context(), "")
			if err != nil || len(all) != 2 {
				t.Fatalf("%d migrations, %v", len(all), err)
			}
			for _, s := range all {
				if damaged := s.Damaged != nil; damaged != (s.Migration == other) || damaged != (len(s.Next) == 0) {
					t.Errorf("%s: damaged: %+v, next %v", s.Migration, s.Damaged, s.Next)
				}
			}
			warned := d.Query("room/lock/control.db", "SELECT idx FROM leaf WHERE CAST(text AS TEXT) LIKE '%papers-damaged%' AND CAST(text AS TEXT) LIKE '%"+other+"%'")
			if len(warned) != 1 {
				t.Errorf("the journal says it %d times", len(warned))
			}
			if v, err := r.Apply(t.Context(), desk.ApplyRequest{Migration: roomtest.Migration, Passage: ecluse.Final}); err != nil || !v.Reconciled {
				t.Errorf("the other migration: %+v %v", v, err)
			}
		})
	}
}
