//go:build linux && amd64

package faults

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/app"
	"ecluse/internal/nettest"
)

// processes are the four of a room, by the names that tracers know.
func processes() []string { return []string{"server", "source", "target", "command"} }

var partNames = map[string]app.RoomPart{"server": app.ServerPart, "source": app.SourcePart, "target": app.TargetPart}

func shown(part string) string {
	if p, ok := partNames[part]; ok {
		return string(p)
	}
	return "a person's command"
}

// kinds are all that can go wrong.
func kinds() []kind {
	var all []kind
	for _, p := range processes() {
		all = append(all, kind{name: "kill -9: " + shown(p), weight: 4, strike: killing(p)})
	}
	all = append(all, kind{name: "kill -9: all at once", weight: 4, strike: killing(processes()...)})
	for _, h := range []how{killBefore, killAfter, errorBefore, errorAfter, short} {
		for _, p := range processes() {
			weight := 3
			if p == "command" {
				weight = 1
			}
			all = append(all, writing(string(h)+": "+shown(p), weight, p, h, false, syscall.EIO, syscall.ENOSPC))
		}
	}
	for _, p := range processes() {
		all = append(all,
			writing("disk full for a while: "+shown(p), 2, p, errorBefore, true, syscall.ENOSPC),
			writing("disk read-only for a while: "+shown(p), 2, p, errorBefore, true, syscall.EROFS))
	}
	all = append(all, kind{name: "one disk of all full", weight: 4, disk: true, strike: full})
	for what, in := range map[string][]string{
		"chamber": {"room/lock/chamber"}, "store": {"room/lock/control.db", "room/lock/documents"}, "ledger": {"room/source/ledger.json", "room/target/ledger.json"},
		"a gate's other files": {"room/source/migrations", "room/target/migrations"},
	} {
		all = append(all, kind{name: "a bit flipped: " + what, weight: 3, strike: flipping(in)})
	}
	for what, db := range map[string]string{"the lock's store": "room/lock/control.db", "the source": "ancilab.db", "the target": "novalab.db"} {
		all = append(all, kind{name: "SQLite locked by another: " + what, weight: 3, strike: locking(db)})
	}
	for what, do := range map[string]func(*nettest.Relay, *draw){
		"cut": func(l *nettest.Relay, _ *draw) { l.Cut() }, "hangs": func(l *nettest.Relay, _ *draw) { l.Stall() },
		"reset once": func(l *nettest.Relay, d *draw) { l.ResetAfter(d.Int64N(100 << 10)) },
	} {
		all = append(all, kind{name: "network: " + what, weight: 5, strike: network(do)})
	}
	all = append(all, kind{
		name: "network: slow, and cut", weight: 3, before: func(r *room, d *draw) {
			r.line = nettest.Line{Rate: 1_000_000 + d.Int64N(3_000_000), Delay: d.upTo(30 * time.Millisecond), Loss: 0.01, Seed: d.Uint64()}
		},
		strike: network(func(l *nettest.Relay, _ *draw) { l.Cut() }),
	})
	for _, p := range processes() {
		all = append(all, clock("clock forward and back: "+shown(p), p, 10*time.Minute, 2*time.Hour, 12*time.Hour),
			clock("clock back and forward: "+shown(p), p, -10*time.Minute, -2*time.Hour, -72*time.Hour))
	}
	for what, strike := range map[string]func(context.Context, *room, *draw) bool{
		"nothing else":    func(ctx context.Context, r *room, d *draw) bool { return d.moment(ctx, r) },
		"kill -9: server": killing("server"), "kill -9: source gate": killing("source"), "kill -9: target gate": killing("target"), "kill -9: all at once": killing(processes()...),
		"network cut": network(func(l *nettest.Relay, _ *draw) { l.Cut() }),
	} {
		all = append(all, kind{name: "the deadline comes, and " + what, weight: 2, stages: []string{loaded}, before: overdue, strike: strike})
	}
	sortKinds(all)
	return all
}

// sortKinds brings kinds into one order: what is drawn depends on it.
func sortKinds(all []kind) {
	for i := range all {
		for j := i; j > 0 && all[j].name < all[j-1].name; j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
}

// overdue lets the deadline come in some seconds, with a passage in the target that nobody
// accepts; in half of the rooms somebody says go before.
func overdue(r *room, d *draw) {
	r.live = d.IntN(2) == 0
	soon := 3*time.Second + d.upTo(3*time.Second)
	if !r.stage.whole() { // while it is caught up with, or undone
		soon = time.Second + d.upTo(r.stage.lasts*3/2)
	}
	r.deadline = time.Now().Add(soon).Truncate(time.Millisecond)
	r.Late()
	at := strconv.FormatInt(r.deadline.UnixMilli(), 10)
	r.Exec(filepath.Join("room", "lock", "control.db"), "UPDATE due SET at = "+at+" WHERE kind = 'erase' AND done = 0", "UPDATE migration SET erase_by = "+at)
}

// killing kills processes at a random moment, and starts them again a while later.
func killing(parts ...string) func(context.Context, *room, *draw) bool {
	return func(ctx context.Context, r *room, d *draw) bool {
		down := d.upTo(500 * time.Millisecond)
		if !d.moment(ctx, r) {
			return false
		}
		r.held.Store(true)
		defer r.held.Store(false)
		r.lost.Lock()
		running := r.parts
		var dead []app.RoomPart
		for _, p := range parts {
			if p == "command" {
				r.killCommand()
				continue
			}
			if running != nil {
				if err := running.Kill(partNames[p]); err != nil {
					r.Error(err)
				}
				dead = append(dead, partNames[p])
			}
		}
		r.lost.Unlock()
		wait(ctx, down)
		r.restart(running, dead...)
		return true
	}
}

// killCommand kills what a person runs, as soon as they run something.
func (r *room) killCommand() {
	for range 100 {
		r.mu.Lock()
		p := r.current
		if p != nil {
			_ = p.Kill()
		}
		r.mu.Unlock()
		if p != nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// restart starts parts again, the server first, when nobody else did.
func (r *room) restart(running *app.Running, parts ...app.RoomPart) {
	r.lost.Lock()
	defer r.lost.Unlock()
	if running == nil || r.parts != running {
		return
	}
	for _, p := range parts {
		if err := running.Restart(context.WithoutCancel(r.Context()), p); err != nil {
			r.stops("start: " + err.Error())
		}
	}
}

// writing lets a durable write of a process go wrong: once, or from then on for a while.
func writing(name string, weight int, part string, h how, stays bool, errnos ...syscall.Errno) kind {
	return kind{
		name: name, weight: weight,
		before: func(r *room, d *draw) {
			r.ask(part, spec{Below: r.Path, Nth: 1 + d.IntN(max(1, r.stage.calls[part])), How: h, Errno: errnos[d.IntN(len(errnos))], Stays: stays})
		},
		strike: func(ctx context.Context, r *room, d *draw) bool {
			lasts := 100*time.Millisecond + d.upTo(2*time.Second)
			for r.told(part, "fired") == "" {
				if !wait(ctx, 5*time.Millisecond) {
					return r.told(part, "fired") != ""
				}
			}
			r.strikes()
			switch {
			case stays:
				wait(ctx, lasts)
				if err := os.WriteFile(filepath.Join(r.control, "healed"), nil, 0o600); err != nil {
					r.Error(err)
				}
			case (h == killBefore || h == killAfter) && part != "command":
				for r.told(part, "killed") == "" {
					if !wait(ctx, 5*time.Millisecond) {
						return true
					}
				}
				r.lost.Lock()
				running := r.parts
				if running != nil {
					if err := running.Kill(partNames[part]); err != nil {
						r.Error(err)
					}
				}
				r.lost.Unlock()
				wait(ctx, lasts/4)
				r.restart(running, partNames[part])
			}
			return true
		},
	}
}

// mount mounts a disk that the room has for itself.
func mount(t *testing.T, at string) {
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, "size=128m,mode=700"); err != nil {
		t.Skipf("the right to mount: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// full fills the disk of all but for a little, for a while.
func full(ctx context.Context, r *room, d *draw) bool {
	left, lasts := d.IntN(200<<10), 200*time.Millisecond+d.upTo(2*time.Second)
	if !d.moment(ctx, r) {
		return false
	}
	at := filepath.Dir(r.Path)
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		r.Error(err)
		return true
	}
	resize := func(size uint64) {
		if err := unix.Mount("tmpfs", at, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", size)); err != nil {
			r.stops(err.Error())
		}
	}
	resize((st.Blocks-st.Bfree)*uint64(st.Bsize) + uint64(left))
	wait(ctx, lasts)
	resize(128 << 20)
	return true
}

// flipping flips a bit while nothing runs. When that stops something, all folders are
// brought back as they were before it.
func flipping(in []string) func(context.Context, *room, *draw) bool {
	return func(ctx context.Context, r *room, d *draw) bool {
		if !d.moment(ctx, r) {
			return false
		}
		r.held.Store(true)
		r.down()
		var files []string
		for _, below := range in {
			_ = filepath.WalkDir(r.Join(filepath.FromSlash(below)), func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.Type().IsRegular() {
					if i, err := e.Info(); err == nil && i.Size() > 0 {
						files = append(files, path)
					}
				}
				return nil
			})
		}
		kept := filepath.Join(filepath.Dir(r.Path), "kept")
		copyOf(r.TB, r.Path, kept)
		struck := len(files) > 0
		if struck {
			flip(r, files[d.IntN(len(files))], d)
		}
		before := r.trouble()
		if err := r.up(context.WithoutCancel(ctx)); err != nil {
			r.stops("start: " + err.Error())
		}
		r.held.Store(false)
		for r.trouble() == before && r.ended() == nil {
			if !wait(ctx, 20*time.Millisecond) {
				return struck // nobody noticed; what came of it is looked at
			}
		}
		if !struck {
			return false
		}
		r.stops("somebody noticed")
		defer r.away()()
		r.down()
		if err := os.RemoveAll(r.Path); err != nil {
			r.Error(err)
		}
		if err := os.Rename(kept, r.Path); err != nil {
			r.Error(err)
		}
		if err := r.up(context.WithoutCancel(ctx)); err != nil {
			r.stops("start: " + err.Error())
		}
		return true
	}
}

func flip(r *room, file string, d *draw) {
	text, err := os.ReadFile(file)
	if err != nil {
		r.Error(err)
		return
	}
	at, bit := d.IntN(len(text)), d.IntN(8)
	text[at] ^= 1 << bit
	if err := os.WriteFile(file, text, 0o600); err != nil {
		r.Error(err)
	}
	rel, _ := filepath.Rel(r.Path, file)
	r.Logf("bit %d of byte %d of %d flipped in %s", bit, at, len(text), rel)
}

// locking holds a database as its only writer, for a while; one in six holds it longer
// than anybody waits.
func locking(name string) func(context.Context, *room, *draw) bool {
	return func(ctx context.Context, r *room, d *draw) bool {
		lasts := d.upTo(2 * time.Second)
		if d.IntN(6) == 0 {
			lasts = 12 * time.Second
		}
		if !d.moment(ctx, r) {
			return false
		}
		db, err := sql.Open("sqlite", "file:"+r.Join(filepath.FromSlash(name))+"?_txlock=exclusive&_pragma=busy_timeout(10000)")
		if err != nil {
			r.Error(err)
			return true
		}
		defer db.Close()
		tx, err := db.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			r.Logf("not locked: %v", err)
			return false
		}
		time.Sleep(lasts)
		if err := tx.Rollback(); err != nil {
			r.Error(err)
		}
		return true
	}
}

// network lets something happen to the line of the gates, of people, or both.
func network(do func(*nettest.Relay, *draw)) func(context.Context, *room, *draw) bool {
	return func(ctx context.Context, r *room, d *draw) bool {
		lasts, whose := d.upTo(3*time.Second), d.IntN(3)
		if !d.moment(ctx, r) {
			return false
		}
		r.lost.Lock()
		lines := []*nettest.Relay{r.relay, r.desk}
		r.lost.Unlock()
		for i, l := range lines {
			if l != nil && whose != i {
				do(l, d)
			}
		}
		wait(ctx, lasts)
		for _, l := range lines {
			if l != nil {
				l.Heal()
			}
		}
		return true
	}
}

// clock sets the clock of a process wrong at a random moment, and right again. What
// was ahead is waited for, as everybody has to who finds that out: a while later it is
// that time everywhere.
func clock(name, part string, by ...time.Duration) kind {
	return kind{
		name: name, weight: 2,
		before: func(r *room, _ *draw) {
			for _, p := range processes() {
				r.ask(p, spec{Below: r.Path, How: never, Clocks: true})
			}
		},
		strike: func(ctx context.Context, r *room, d *draw) bool {
			wrong, lasts := by[d.IntN(len(by))], d.upTo(2*time.Second)
			shift := func(part string, by time.Duration) {
				if err := os.WriteFile(filepath.Join(r.control, part+".shift"), []byte(strconv.FormatInt(int64(by/time.Second), 10)), 0o600); err != nil {
					r.Error(err)
				}
			}
			if !d.moment(ctx, r) {
				return false
			}
			shift(part, wrong)
			wait(ctx, lasts)
			shift(part, 0)
			if wrong > 0 && wait(ctx, d.upTo(2*time.Second)) {
				for _, p := range processes() {
					shift(p, wrong+lasts)
				}
			}
			return true
		},
	}
}
