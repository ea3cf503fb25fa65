//go:build linux && amd64

package faults

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
)

func atOnce() bool { return true }

// TestWrongIsSeen: what the campaign looks for after each run is found when somebody does it,
// and nothing is found when nobody does.
func TestWrongIsSeen(t *testing.T) {
	w := newWorld(t, 40).measured(t)
	begin := func(t *testing.T) *room {
		t.Helper()
		r := newRoom(t, w.stages[loaded], roomtest.Temp(t))
		if err := r.up(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r
	}
	end := func(t *testing.T, r *room) {
		t.Helper()
		if err := r.goOn(t.Context(), time.Minute, atOnce); err != nil {
			t.Fatal(err)
		}
		r.down()
	}
	t.Run("nothing", func(t *testing.T) {
		r := begin(t)
		end(t, r)
		r.holds(false)
		for _, p := range processes() {
			if entries, err := os.ReadDir(r.temp(p)); err != nil || len(entries) > 0 {
				t.Errorf("%s left %d things in its temporary folder, %v", p, len(entries), err)
			}
		}
		r.Exec("novalab.db", "DELETE FROM patient WHERE id = (SELECT max(id) FROM patient)")
		if facts, err := r.site.facts(r); err != nil || facts == r.stage.facts {
			t.Errorf("a row that is missing is not seen, %v", err)
		}
	})
	t.Run("a value spooled", func(t *testing.T) {
		r := begin(t)
		name := r.Query("novalab.db", "SELECT family_name FROM patient LIMIT 1")
		leaks := []string{"rows.tmp", "device/rows", "room/plans/rows.json", "room/rows", "said-000-rows.txt"}
		for _, p := range processes() {
			leaks = append(leaks, "tmp/"+p+"/spool")
		}
		for _, part := range []string{"lock", "lock/documents", "source", "source/migrations", "target"} {
			leaks = append(leaks, "room/"+part+"/rows.tmp")
		}
		for _, file := range leaks {
			r.Write([]byte("patient "+name[0]+"\n"), strings.Split(file, "/")...)
		}
		end(t, r)
		late := []string{"evidence/rows.json", "room/lock/chamber/rows", "room/target/migrations/rows"} // these folders are swept before
		for _, file := range late {
			r.Write([]byte(`{"patient":"`+name[0]+`"}`), strings.Split(file, "/")...)
		}
		want := slices.Sorted(slices.Values(append(leaks, late...)))
		if found := slices.Sorted(slices.Values(r.leaks(r))); !slices.Equal(found, want) {
			t.Errorf("found in\n%v, want\n%v", found, want)
		}
	})
	t.Run("temporary folders", func(t *testing.T) {
		r := begin(t)
		want := map[string]string{"server": r.temp("server"), "source": r.temp("source"), "target": r.temp("target")}
		var have map[string]string
		for range 100 { // until each has become the program
			if have = tempsOf(t, r.Path); maps.Equal(have, want) {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Errorf("temporary folders are %v, want %v", have, want)
	})
	t.Run("a chunk marked twice", func(t *testing.T) {
		r := begin(t)
		r.Exec("novalab.db", `INSERT INTO ecluse_marker (migration, passage, dataset, sequence, version, position, counters, refused, rows, reading, at)
			SELECT migration, passage, dataset, sequence, version + 1, position + 1000, counters, refused, rows, reading, at FROM ecluse_marker WHERE dataset NOT LIKE 'ecluse.%' LIMIT 1`)
		end(t, r)
		if err := wrongMarks(r.marked, r.stage.marks); err == nil {
			t.Errorf("marked %v, and nothing is wrong", r.marked)
		}
		if err := wrongMarks(r.stage.marks[1:], r.stage.marks); err == nil {
			t.Error("one is not marked, and nothing is wrong")
		}
	})
	t.Run("a passage that is not undone", func(t *testing.T) {
		r := newRoom(t, w.stages[loaded], roomtest.Temp(t))
		look := func(want bool) {
			t.Helper()
			facts, err := r.bareFacts(r)
			if err != nil {
				t.Fatal(err)
			}
			marks, err := r.site.marks(r)
			if err != nil {
				t.Fatal(err)
			}
			if wrong := wrongUndone(facts, r.stage.bare, marks); (wrong == nil) != want {
				t.Errorf("want it undone %v, and %v", want, wrong)
			}
		}
		look(false)
		r.Exec("novalab.db", "DELETE FROM observation", "DELETE FROM request", "DELETE FROM patient", "DELETE FROM prescriber WHERE id < 970000")
		look(false) // its marks are there
		r.Exec("novalab.db", "DELETE FROM ecluse_marker")
		look(true)
		r.Exec("novalab.db", "UPDATE prescriber SET name = 'Dr Autre' WHERE id = 970001")
		look(false)
	})
	t.Run("a deadline", func(t *testing.T) {
		r := newRoom(t, w.stages[loaded], roomtest.Temp(t))
		r.Late()
		r.deadline = time.Now()
		r.Exec("room/lock/control.db", "DELETE FROM due WHERE kind = 'erase'") // a lock that forgot it
		if err := r.up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := r.goOn(t.Context(), 5*time.Second, atOnce); err == nil {
			t.Error("nothing is erased, and nobody sees it")
		}
	})
	t.Run("a certificate", func(t *testing.T) {
		by := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
		c := func(key, chunk, all time.Duration) *evidence.Certificate {
			return &evidence.Certificate{Keys: []evidence.DestroyedKey{{Destroyed: by.Add(key)}}, Objects: []evidence.ErasedObject{{Erased: by.Add(chunk)}}, Erased: by.Add(all)}
		}
		if err := deadlineKept(c(0, -1, 0), by); err != nil {
			t.Error(err)
		}
		for _, late := range []*evidence.Certificate{c(1, 0, 0), c(0, 1, 0), c(0, 0, 1), {Erased: by}} {
			if deadlineKept(late, by) == nil {
				t.Errorf("%+v is in time", late)
			}
		}
	})
}

// tempsOf are the temporary folders of the processes of a room.
func tempsOf(t *testing.T, room string) map[string]string {
	t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range found {
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), "\x00HOME="+room+"\x00") {
			continue // it has ended, or is somebody else's
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if err != nil || len(line) == 0 {
			continue
		}
		part := partOf(strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")[1:])
		for _, e := range strings.Split(string(text), "\x00") {
			if value, ok := strings.CutPrefix(e, "TMPDIR="); ok {
				all[part] = value // the last holds
			}
		}
	}
	return all
}
