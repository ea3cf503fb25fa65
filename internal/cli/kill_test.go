package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/stocktest"
)

// killPatients is how many patients a passage that is killed has: enough for each
// part of it to last.
const killPatients = 3000

// kills is at how many random moments of a passage it is killed.
const kills = 10

// killed starts the program and kills it with SIGKILL at a random moment of how
// long it usually takes. It tells whether it was still running.
func killed(t *testing.T, d *roomtest.Dir, usual time.Duration, seed uint64, args ...string) bool {
	t.Helper()
	at := time.Duration(rand.New(rand.NewPCG(seed, 0)).Float64() * float64(usual))
	c := command(t.Context(), d, args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(at, func() { c.Process.Kill() })
	err := c.Wait()
	timer.Stop()
	if err != nil && c.ProcessState.ExitCode() != -1 {
		t.Fatalf("ecluse %s ended by itself: %v\n%s", strings.Join(args, " "), err, out.String())
	}
	d.Write(out.Bytes(), fmt.Sprintf("killed-%d.txt", seed)) // for those who search what was written
	t.Logf("seed %d: killed %v after %s", seed, err != nil, at.Round(time.Millisecond))
	return err != nil
}

// seeds gives moments until one hits the program while it runs, and a fresh room
// for each.
func untilKilled(t *testing.T, s roomtest.Stage, usual time.Duration, args ...string) *roomtest.Dir {
	t.Helper()
	for range 30 {
		d := at(t, s, killPatients)
		if killed(t, d, usual, rand.Uint64(), args...) {
			return d
		}
	}
	t.Fatal("it always ended before it was killed")
	return nil
}

// usually is how long a command takes when nobody disturbs it.
func usually(t *testing.T, s roomtest.Stage, args ...string) time.Duration {
	t.Helper()
	d := at(t, s, killPatients)
	r := run(t, d, args...)
	if r.code != 0 {
		t.Fatalf("%v: exit %d\n%s", args, r.code, r.err)
	}
	return r.took
}

// chamber is what is in the chamber: of each slot its descriptor, and how many
// objects no descriptor names.
func chamber(t testing.TB, d *roomtest.Dir, m ecluse.MigrationID) (slots map[string]string, loose int) {
	t.Helper()
	slots = map[string]string{}
	root := d.Join("room", "lock", "chamber", "live", string(m), "chunks")
	objects := 0
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case os.IsNotExist(err):
			return nil
		case err != nil || e.IsDir():
			return err
		case strings.HasPrefix(path, filepath.Join(root, "objects")):
			if filepath.Ext(path) == ".age" {
				objects++
			}
			return nil
		case strings.HasPrefix(e.Name(), "."):
			return nil
		}
		text, err := os.ReadFile(path)
		slots[strings.TrimPrefix(path, filepath.Join(root, "slots"))] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return slots, objects - len(slots)
}

// undisturbed are the facts of a target at a stage that nobody disturbed.
func undisturbed(t *testing.T, s roomtest.Stage) string {
	t.Helper()
	facts, _ := roomtest.At(t, s, killPatients).Facts()
	return facts
}

// TestKill kills a passage that reads and loads at ten random moments, one in
// three a second time while it goes on, and lets it end: the target holds what an
// undisturbed passage puts there, each row once; no chunk that was in is sealed
// again, and at most one that was sealed is lost with the process; the journal
// names each chunk once, and the evidence of it all verifies.
func TestKill(t *testing.T) {
	usual := usually(t, roomtest.Ready, "apply")
	want := undisturbed(t, roomtest.Loaded)
	runs := stocktest.Share(t, 3)
	for i := range kills {
		if !runs(i) {
			continue
		}
		t.Run(string(rune('0'+i)), func(t *testing.T) {
			t.Parallel()
			d := untilKilled(t, roomtest.Ready, usual, "apply")
			before, loose := chamber(t, d, roomtest.Migration)
			if loose > 1 {
				t.Errorf("%d sealed chunks are in no slot, want at most one", loose)
			}
			if i%3 == 0 {
				killed(t, d, usual, rand.Uint64(), "apply")
				again, _ := chamber(t, d, roomtest.Migration)
				sameSlots(t, before, again)
				before = again
			}
			var v struct {
				Reconciled bool `json:"reconciled"`
				Read       *struct {
					Kept     int `json:"kept"`
					Resealed int `json:"resealed"`
				} `json:"read"`
			}
			// Killed at the very end there is nothing left to apply.
			if r := run(t, d, "apply", "--json"); r.code == 0 {
				if err := json.Unmarshal([]byte(r.out), &v); err != nil {
					t.Fatal(err)
				}
				if !v.Reconciled {
					t.Error("after going on, the comparison finds a difference")
				}
				if v.Read != nil && v.Read.Resealed != 0 {
					t.Errorf("%d chunks were sealed again", v.Read.Resealed)
				}
			} else if !strings.Contains(run(t, d, "status").out, "compared") {
				t.Fatalf("going on: exit %d\n%s%s", r.code, r.out, r.err)
			}
			after, _ := chamber(t, d, roomtest.Migration)
			sameSlots(t, before, after)
			if facts, _ := d.Facts(); facts != want {
				t.Error("the target holds other rows than an undisturbed passage puts there")
			}
			onceEach(t, d, roomtest.Migration, len(after))
			if twice := d.Query("novalab.db", "SELECT dataset FROM ecluse_marker GROUP BY dataset, sequence HAVING count(*) > 1"); len(twice) > 0 {
				t.Errorf("chunks marked twice: %v", twice)
			}
			ok(t, d, "accept", "--all", "entered by hand", "--as", d.Join("keys", roomtest.Claire))
			verified(t, d)
		})
	}
}

// sameSlots checks that every chunk that was in is in, byte for byte.
func sameSlots(t testing.TB, before, after map[string]string) {
	t.Helper()
	for slot, text := range before {
		if after[slot] != text {
			t.Errorf("the chunk of %s was in, and is another now", slot)
		}
	}
	for slot := range after {
		if !strings.HasSuffix(slot, ".0") {
			t.Errorf("there is a second version, %s", slot)
		}
	}
}

// onceEach checks that the journal knows every chunk once.
func onceEach(t testing.TB, d *roomtest.Dir, m ecluse.MigrationID, slots int) {
	t.Helper()
	leaves := d.Query("room/lock/control.db", fmt.Sprintf(`SELECT text FROM leaf WHERE tree = '%s' AND json_extract(CAST(text AS TEXT), '$.type') = 'chunk'`, m))
	seen := map[string]bool{}
	for _, leaf := range leaves {
		var l struct {
			IDs map[string]string `json:"ids"`
		}
		if err := json.Unmarshal([]byte(leaf), &l); err != nil {
			t.Fatal(err)
		}
		if seen[l.IDs["slot"]] || l.IDs["slot"] == "" {
			t.Errorf("the journal has %q twice", l.IDs["slot"])
		}
		seen[l.IDs["slot"]] = true
	}
	if len(seen) < slots {
		t.Errorf("the journal knows %d chunks, and %d are in", len(seen), slots)
	}
}

// TestKillUndo kills an undoing at random moments: it goes on, the target stands
// as before the passage, and what is left to be erased is, with its evidence.
func TestKillUndo(t *testing.T) {
	undo := func(d *roomtest.Dir) []string { return []string{"undo", "--as", filepath.Join("keys", roomtest.Marc)} }
	usual := usually(t, roomtest.Loaded, undo(nil)...)
	want := undisturbed(t, roomtest.Sealed)
	for i := range 5 {
		t.Run(string(rune('0'+i)), func(t *testing.T) {
			t.Parallel()
			d := untilKilled(t, roomtest.Loaded, usual, undo(nil)...)
			killed(t, d, usual, rand.Uint64(), undo(nil)...)
			r := run(t, d, undo(nil)...)
			if r.code != 0 && !strings.Contains(run(t, d, "status").out, "undone") {
				t.Fatalf("going on: exit %d\n%s", r.code, r.err)
			}
			if facts, _ := d.Facts(); facts != want {
				t.Error("the target does not stand as before")
			}
			ok(t, d, "erase", "--because", "the load was refused", "--as", d.Join("keys", roomtest.Claire))
			verified(t, d)
		})
	}
}

// TestKillUndoLeaves kills the undoing of a load that people have worked with since: it
// goes on, what they did stays, and the laboratory's list has each row of it once.
func TestKillUndoLeaves(t *testing.T) {
	undo := []string{"undo", "--as", filepath.Join("keys", roomtest.Marc)}
	usual := usually(t, roomtest.Loaded, undo...)
	for i := range 4 {
		t.Run(string(rune('0'+i)), func(t *testing.T) {
			t.Parallel()
			d := at(t, roomtest.Loaded, killPatients)
			d.Exec(
				"novalab.db",
				"UPDATE observation SET value = value || '!' WHERE id % 97 = 0",
				"INSERT INTO request SELECT 900000 + id, 'N' || id, id, NULL, NULL FROM patient WHERE id % 41 = 0",
				"DELETE FROM observation WHERE id % 101 = 1",
			)
			work := func() []string {
				return slices.Concat(
					d.Query("novalab.db", "SELECT 'observation ' || id FROM observation WHERE id % 97 = 0 AND value LIKE '%!'"),
					d.Query("novalab.db", "SELECT 'request ' || id FROM request WHERE id >= 900000"),
				)
			}
			want := work()
			if killed(t, d, usual, rand.Uint64(), undo...) {
				killed(t, d, usual, rand.Uint64(), undo...)
			}
			if r := run(t, d, undo...); r.code != 0 && !strings.Contains(run(t, d, "status").out, "undone") {
				t.Fatalf("going on: exit %d\n%s", r.code, r.err)
			}
			if diff := cmp.Diff(want, work()); diff != "" {
				t.Errorf("people's work (-then +now):\n%s", diff)
			}
			var v struct {
				Left []struct {
					Rows []struct {
						Table string `json:"table"`
						Key   []struct {
							Value string `json:"value"`
						} `json:"key"`
					} `json:"rows"`
				} `json:"left"`
			}
			report := ok(t, d, "gate", "report", d.Join("room", "source"), "--as", d.Join("keys", roomtest.Claire), "--json")
			if err := json.Unmarshal([]byte(report), &v); err != nil || len(v.Left) != 1 {
				t.Fatalf("%d lists, %v", len(v.Left), err)
			}
			listed := map[string]int{}
			for _, row := range v.Left[0].Rows {
				listed[row.Table+" "+row.Key[0].Value]++
			}
			stay := map[string]int{}
			for _, table := range []string{"patient", "prescriber", "request", "observation"} {
				for _, id := range d.Query("novalab.db", "SELECT id FROM "+table) {
					if !slices.Contains(want, table+" "+id) || table == "observation" { // those people added are not the load's
						stay[table+" "+id] = 1
					}
				}
			}
			if diff := cmp.Diff(stay, listed); diff != "" {
				t.Errorf("rows of the load that stay (-there +listed):\n%s", diff)
			}
			ok(t, d, "erase", "--because", "the load was refused", "--as", d.Join("keys", roomtest.Claire))
			verified(t, d)
		})
	}
}

// TestKillErasure kills the erasure of an accepted migration, and of one whose
// load has to be undone first: it goes on by itself with the next command, and
// the certificate holds.
func TestKillErasure(t *testing.T) {
	for name, stage := range map[string]roomtest.Stage{"accepted": roomtest.Accepted, "at the deadline": roomtest.Loaded} {
		prepare := func(d *roomtest.Dir) {
			d.Late()
			d.Exec("room/lock/control.db", "UPDATE due SET at = 1 WHERE kind = 'erase'")
		}
		d := at(t, stage, killPatients)
		prepare(d)
		usual := run(t, d, "due").took
		want, _ := d.Facts()
		for i := range 4 {
			t.Run(name+" "+string(rune('0'+i)), func(t *testing.T) {
				t.Parallel()
				for tries := 0; ; tries++ {
					d := at(t, stage, killPatients)
					prepare(d)
					if !killed(t, d, usual, rand.Uint64(), "due") && tries < 30 {
						continue
					}
					killed(t, d, usual, rand.Uint64(), "due")
					ok(t, d, "due")
					if facts, _ := d.Facts(); facts != want {
						t.Error("the target stands otherwise than after an undisturbed erasure")
					}
					for _, dir := range []string{"source/migrations", "target/migrations", "lock/chamber/live"} {
						if left, err := os.ReadDir(d.Join("room", dir)); err != nil || len(left) > 0 {
							t.Errorf("%s still holds %d things, %v", dir, len(left), err)
						}
					}
					verified(t, d)
					return
				}
			})
		}
	}
}
