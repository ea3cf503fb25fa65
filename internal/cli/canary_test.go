package cli_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
)

// TestCanaries runs a passage of a source full of canaries, stops it in every way
// there is, and searches every file that the program wrote: its home, temporary
// and working folders, what it printed, the lock, both gates, the evidence. What
// was not instructed is nowhere but in the old database; what was is in the new
// one too, and nowhere else. TestCanariesCatch (package app) shows that the
// search finds a file that should not be.
func TestCanaries(t *testing.T) {
	t.Parallel()
	d := roomtest.At(t, roomtest.Ready, 400)
	room, err := start(t, d, binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { room.Close() })
	c := d.Plant()
	step := 0
	printed := func(args ...string) ran {
		t.Helper()
		r := run(t, d, args...)
		step++
		d.Write([]byte(r.out), fmt.Sprintf("stdout-%02d", step))
		d.Write([]byte(r.err), fmt.Sprintf("stderr-%02d", step))
		if leaks := d.Leaks(c); len(leaks) > 0 {
			t.Errorf("after ecluse %s (exit %d): %v", strings.Join(args, " "), r.code, leaks)
		}
		return r
	}
	as := func(who string) string { return d.Join("keys", who) }

	// A target that refuses rows by a trigger, then one that is not there.
	d.Exec("novalab.db", "CREATE TRIGGER odd BEFORE INSERT ON prescriber WHEN new.id % 2 = 1 BEGIN SELECT RAISE(ABORT, 'odd prescribers are refused'); END")
	for _, part := range []app.RoomPart{app.TargetPart, app.SourcePart, app.ServerPart} {
		seen := command(t.Context(), d, "apply")
		if err := seen.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(rand.N(soon))
		if err := room.Kill(part); err != nil {
			t.Fatal(err)
		}
		if leaks := d.Leaks(c); len(leaks) > 0 {
			t.Errorf("after a kill of the %s: %v", part, leaks)
		}
		if err := room.Restart(t.Context(), part); err != nil {
			t.Fatal(err)
		}
		_ = seen.Process.Kill()
		_ = seen.Wait()
	}
	if err := os.Rename(d.Join("novalab.db"), d.Join("novalab.db.away")); err != nil {
		t.Fatal(err)
	}
	printed("apply", "--json")
	if err := os.Rename(d.Join("novalab.db.away"), d.Join("novalab.db")); err != nil {
		t.Fatal(err)
	}
	printed("apply")
	if n := d.Query("novalab.db", "SELECT count(*) FROM patient WHERE family_name = '"+c.Moved+"'"); slices.Equal(n, []string{"0"}) {
		t.Error("no canary moved: this test looks for nothing")
	}
	if r := printed("report"); !strings.Contains(r.out, "put aside") {
		t.Error("no row was put aside: this test looks for too little")
	}
	printed("report", "--json")
	shown(t, d, c, "gate", "rejects", d.Join("room", "source"), "--as", as(roomtest.Claire))
	shown(t, d, c, "gate", "rejects", d.Join("room", "source"), "--as", as(roomtest.Claire), "--json", "--passage", "final-1")
	shapes := printed("gate", "rejects", d.Join("room", "source"), "--as", as(roomtest.Claire), "--by", "shape")
	if !strings.Contains(shapes.out, "A{") {
		t.Error("no shape was shown")
	}
	if r := printed("rejects", "--json"); !strings.Contains(r.out, `"shapes"`) {
		t.Error("no shape is told")
	}
	printed("status")
	printed("undo", "--as", as(roomtest.Marc))
	printed("erase", "--because", "a rehearsal of the worst", "--as", as(roomtest.Claire))
	if r := printed("gate", "rejects", d.Join("room", "source"), "--as", as(roomtest.Claire)); r.code != 3 || !strings.Contains(r.err, "erased on") {
		t.Errorf("rows are shown after erasure: exit %d, %s", r.code, r.err)
	}
	printed("evidence", d.Join("evidence"))
	printed("verify", d.Join("evidence"))
}

// shown runs a command that shows patients' data to the laboratory: they are on its
// screen, with a warning beside, and in no file, not even one that the screen is
// sent to.
func shown(t *testing.T, d *roomtest.Dir, c roomtest.Canaries, args ...string) {
	t.Helper()
	r := run(t, d, args...)
	if r.code != 0 || !strings.Contains(r.out, c.Moved) || strings.Contains(r.out, c.Refused) {
		t.Errorf("ecluse %s: exit %d: a value that moved is not shown, or one that was not instructed is\n%s", strings.Join(args, " "), r.code, r.err)
	}
	if !strings.Contains(r.err, "patients' data") || strings.Contains(r.err, c.Moved) {
		t.Errorf("ecluse %s does not warn: %s", strings.Join(args, " "), r.err)
	}
	file, err := os.Create(d.Join("redirected"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var errs strings.Builder
	x := command(t.Context(), d, args...)
	x.Stdout, x.Stderr = file, &errs
	if err := x.Run(); err == nil || x.ProcessState.ExitCode() != 3 {
		t.Errorf("ecluse %s >FILE: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	if leaks := d.Leaks(c); len(leaks) > 0 {
		t.Errorf("after ecluse %s: %v", strings.Join(args, " "), leaks)
	}
}

// soon is before a passage of 400 patients can be over.
const soon = 150 * time.Millisecond
