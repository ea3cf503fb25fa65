package app_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/api"
	"ecluse/internal/app"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
	"ecluse/internal/procedure"
	"ecluse/internal/wire"
)

// shown lists the rows put aside as the laboratory sees them at its gate.
func shown(t *testing.T, d *roomtest.Dir, r *app.Room) ([]string, error) {
	t.Helper()
	var rows []string
	_, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), app.RejectsRequest{Key: d.Key(roomtest.Claire)}, func(x *gate.Rejected) error {
		row := fmt.Sprintf("%s %d %s", x.Dataset, x.Ordinal, x.Reason)
		for _, c := range x.Cells {
			row += fmt.Sprintf("|%s=%q %v", c.Column, c.Text, c.Null)
		}
		rows = append(rows, row)
		return nil
	})
	slices.Sort(rows)
	return rows, err
}

// bothVerify verifies evidence with both verifiers and returns what each said.
func bothVerify(t *testing.T, d *roomtest.Dir, r *app.Room) []string {
	t.Helper()
	if err := os.RemoveAll(d.Join("evidence")); err != nil {
		t.Fatal(err)
	}
	v, err := r.Evidence(t.Context(), roomtest.Migration, d.Join("evidence"))
	if err != nil {
		t.Fatal(err)
	}
	said := []string{evidence.Verify(os.DirFS(v.Dir), d.Roots()).Text(), script(t, d, v.Dir)}
	for _, text := range said {
		if !strings.HasPrefix(text, "OK\n") {
			t.Errorf("%s", text)
		}
	}
	return said
}

// TestRejectsOutliveAcceptance: where the instruction states a day, the laboratory still
// sees the rows put aside at its gate after everything else was erased, and nobody else
// can; the gate erases them when that day ends by its own clock, without a server, and
// evidence says the one and then the other.
func TestRejectsOutliveAcceptance(t *testing.T) {
	t.Parallel()
	d := roomtest.Keeping(t, roomtest.Ready, patients)
	c := d.Plant()
	r := d.Open()
	apply(t, r, ecluse.Final)
	before, err := shown(t, d, r)
	if err != nil || len(before) == 0 {
		t.Fatalf("%d rows, %v", len(before), err)
	}
	copyOfLock(d)
	q := app.RejectsRequest{Key: d.Key(roomtest.Claire)}
	shapes, err := r.Beside(exchange.SourcePlace).Shapes(t.Context(), q)
	if err != nil || len(shapes.Shapes) == 0 {
		t.Fatalf("%+v, %v", shapes, err)
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	nothingLeft(t, d)

	after, err := shown(t, d, r)
	if err != nil || !slices.Equal(before, after) {
		t.Fatalf("%d rows before the acceptance, %d after it: %v", len(before), len(after), err)
	}
	if leaks := d.Leaks(c); len(leaks) > 0 {
		t.Errorf("found in %v", leaks)
	}
	var one *gate.Rejected
	if now, err := r.Beside(exchange.SourcePlace).Shapes(t.Context(), q); err != nil || !reflect.DeepEqual(now, shapes) {
		t.Errorf("by shape %+v before the acceptance, %+v after it: %v", shapes, now, err)
	}
	if _, err := r.Beside(exchange.SourcePlace).Rejects(t.Context(), q, func(x *gate.Rejected) error { one = x; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Beside(exchange.SourcePlace).Release(t.Context(), q, one.Dataset, one.Ordinal); err != nil {
		t.Errorf("release a row that is kept: %v", err)
	}
	// The key is at the source gate alone, and opens nothing that was ever at the server.
	for part, want := range map[string]int{"source": 1, "target": 0, "lock": 0} {
		if got := keysIn(t, d.Join("room", part)); len(got) != want {
			t.Errorf("in the folder of the %s: %v", part, got)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	now := d.Join("room", "lock")
	if err := errors.Join(os.Rename(now, d.Join("kept-lock")), os.Rename(d.Join("backup"), now)); err != nil {
		t.Fatal(err)
	}
	if all, opened := sealedFiles(d), openable(d); len(all) == 0 || len(opened) > 0 {
		t.Errorf("of %d files of a backup of the server %v open", len(all), opened)
	}
	if err := errors.Join(os.RemoveAll(now), os.Rename(d.Join("kept-lock"), now)); err != nil {
		t.Fatal(err)
	}

	until := roomtest.KeptUntil().Format(time.DateOnly)
	r = d.Open()
	for _, text := range bothVerify(t, d, r) {
		if !strings.Contains(text, "note  rows that passage final-1 put aside are kept until "+until+" at the laboratory's gate, which alone can open them\n") {
			t.Errorf("it is not said that rows are kept:\n%s", text)
		}
	}
	all, err := r.Status(t.Context(), roomtest.Migration)
	if err != nil || all[0].Kept == nil || all[0].Kept.Until != until || !all[0].Kept.Erased.IsZero() {
		t.Errorf("%+v, %v", all, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	// Until the day's last second they are there; then they go, whether or not there is a
	// server: nobody but the gate's own folder is asked.
	for _, x := range []struct {
		at   time.Duration
		left int
	}{{24*time.Hour - time.Second, 1}, {24 * time.Hour, 0}} {
		d.Seen(roomtest.KeptUntil().Add(x.at), "source")
		if _, err := gate.OpenHome(d.Join("room", "source")); err != nil {
			t.Fatal(err)
		}
		folders, err := os.ReadDir(d.Join("room", "source", "kept"))
		if err != nil || len(folders) != x.left || len(keysIn(t, d.Join("room", "source"))) != x.left {
			t.Errorf("after %s: %v, %v", x.at, folders, err)
		}
	}
	r = d.Open()
	if rows, err := shown(t, d, r); ecluse.KindOf(err) != ecluse.Refused || !errors.Is(err, exchange.ErrErased) || len(rows) > 0 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for all[0].Kept.Erased.IsZero() && time.Now().Before(deadline) { // the gate says so by itself
		time.Sleep(20 * time.Millisecond)
		if all, err = r.Status(t.Context(), roomtest.Migration); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range bothVerify(t, d, r) {
		if !strings.Contains(text, "note  rows put aside, kept until "+until+", were erased by the laboratory's gate on ") {
			t.Errorf("it is not said that the rows are erased:\n%s", text)
		}
	}
}

// TestKeptOrphans: rows kept that the gate's ledger does not know, for it was put back from a
// copy, are named by a check and erased when the day beside them ends; what has no day is
// named.
func TestKeptOrphans(t *testing.T) {
	t.Parallel()
	d := roomtest.Keeping(t, roomtest.Accepted, patients)
	before := d.Read("room", "source", "ledger.json")
	r := d.Open()
	runDue(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	until := roomtest.KeptUntil()
	d.Write(before, "room", "source", "ledger.json")
	if err := os.MkdirAll(d.Join("room", "source", "kept", "elsewhere-01"), 0o700); err != nil {
		t.Fatal(err)
	}
	checked := func() (said string) {
		t.Helper()
		h, err := gate.OpenHome(d.Join("room", "source"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range app.CheckOrphans(h) {
			said += fmt.Sprintf("%s %s\n", f.Level, f.Found.EN)
		}
		return said
	}
	said := checked()
	for _, want := range []string{
		fmt.Sprintf("kept/%q holds rows put aside that the gate's ledger does not know: they are erased after %s", roomtest.Migration, until.Format(time.DateOnly)),
		`kept/"elsewhere-01" is not known to the gate's ledger, and nothing in it says until when it is kept`,
	} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said:\n%s", want, said)
		}
	}
	for _, x := range []struct {
		at   time.Duration
		left int
	}{{24*time.Hour - time.Second, 1}, {24 * time.Hour, 0}} {
		d.Seen(until.Add(x.at), "source")
		if _, err := gate.OpenHome(d.Join("room", "source")); err != nil {
			t.Fatal(err)
		}
		if keys := keysIn(t, d.Join("room", "source", "kept")); len(keys) != x.left {
			t.Errorf("after %s: %v", x.at, keys)
		}
	}
	if said := checked(); strings.Contains(said, string(roomtest.Migration)) || !strings.Contains(said, "elsewhere-01") {
		t.Errorf("once their day is over:\n%s", said)
	}
}

// keysIn names the files of a folder that hold a key in clear that opens by itself.
func keysIn(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(bytes.ToUpper(text), []byte("AGE-SECRET-KEY-")) {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestRejectsGoWithTheRest: without a word on them in the instruction, when nothing was
// accepted, and when the controller ordered everything erased.
func TestRejectsGoWithTheRest(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		dir *roomtest.Dir
		end func(*testing.T, *roomtest.Dir, *app.Room)
	}{
		"not stated": {roomtest.At(t, roomtest.Loaded, patients), func(t *testing.T, d *roomtest.Dir, r *app.Room) {
			if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
				t.Fatal(err)
			}
		}},
		"not accepted": {roomtest.Keeping(t, roomtest.Loaded, patients), func(t *testing.T, d *roomtest.Dir, r *app.Room) {
			if _, err := r.Erase(t.Context(), desk.Order{Because: "the laboratory changed its mind", Key: d.Key(roomtest.Claire)}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := x.dir
			r := d.Open()
			x.end(t, d, r)
			runDue(t, r)
			nothingLeft(t, d)
			if rows, err := shown(t, d, r); ecluse.KindOf(err) != ecluse.Refused || len(rows) > 0 {
				t.Errorf("%d rows, %v", len(rows), err)
			}
			if keys := keysIn(t, d.Join("room", "source")); len(keys) > 0 {
				t.Errorf("%v", keys)
			}
			for _, text := range bothVerify(t, d, r) {
				if strings.Contains(text, "are kept until") {
					t.Errorf("%s", text)
				}
			}
		})
	}
}

// unfetched is a lock that does not give out rows put aside.
type unfetched struct {
	gate.Lock
	err error
}

func (x unfetched) GetReject(context.Context, ecluse.MigrationID, ecluse.Digest) (io.ReadCloser, error) {
	return nil, x.err
}

// fewer is a lock that shows some of the rows put aside, or none.
type fewer struct {
	gate.Lock
	none bool
}

func (x fewer) Rejects(ctx context.Context, m ecluse.MigrationID) ([]evidence.Signed, error) {
	all, err := x.Lock.Rejects(ctx, m)
	if err != nil || x.none {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s evidence.Signed) bool { // one that has rows
		var d evidence.Descriptor
		return evidence.DecodeJSON(s.Body, &d) == nil && d.Rows > 0
	}), nil
}

// unshown is a lock that shows another contract, or another instruction, than what stands.
type unshown struct {
	gate.Lock
	edit func(*exchange.Case)
}

func (x unshown) Case(ctx context.Context, m ecluse.MigrationID, kind ecluse.PassageKind) (*exchange.Case, error) {
	c, err := x.Lock.Case(ctx, m, kind)
	if err == nil {
		x.edit(c)
	}
	return c, err
}

// eraseAtSource asks the source gate to destroy its half of the key, behind a lock.
func eraseAtSource(t *testing.T, d *roomtest.Dir, r *app.Room, lock gate.Lock) error {
	t.Helper()
	plan := ecluse.DigestOf(d.Read("room", "plans", string(roomtest.Migration)+"-readplan.json"))
	w := exchange.Work{Verb: exchange.Erase, Migration: roomtest.Migration, Papers: map[string][]byte{exchange.PaperReadPlan: []byte(plan.String())}}
	_, err := r.HomeOf(exchange.SourcePlace).Work(t.Context(), lock, w, exchange.SourcePlace)
	return err
}

// TestLyingLockKeepsRows: a lock that shows fewer rows put aside than the signed report
// counts, that refuses them, or hides what says that they are kept, has the source gate
// destroy nothing; behind an honest one it keeps them all.
func TestLyingLockKeepsRows(t *testing.T) {
	t.Parallel()
	d := roomtest.Keeping(t, roomtest.Loaded, patients)
	r := d.Open()
	before, err := shown(t, d, r)
	if err != nil || len(before) == 0 {
		t.Fatalf("%d rows, %v", len(before), err)
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	seat := r.Seat(exchange.SourcePlace)
	for name, lock := range map[string]gate.Lock{
		"none":         fewer{seat, true},
		"fewer":        fewer{seat, false},
		"refused":      unfetched{seat, &ecluse.Error{Kind: ecluse.Refused, What: "send chunks", Why: "no"}},
		"contract":     unshown{seat, func(c *exchange.Case) { c.Contract = []byte("none") }},
		"instruction":  unshown{seat, func(c *exchange.Case) { c.Instruction = []byte("none") }},
		"other report": unshown{seat, func(c *exchange.Case) { c.Acts = c.Acts[:len(c.Acts)-1] }},
	} {
		err := eraseAtSource(t, d, r, lock)
		if k := ecluse.KindOf(err); k != ecluse.Unverified && k != ecluse.Refused || !r.HomeOf(exchange.SourcePlace).Holds(roomtest.Migration) {
			t.Fatalf("%s: %v; it holds its keys: %v", name, err, r.HomeOf(exchange.SourcePlace).Holds(roomtest.Migration))
		}
	}
	runDue(t, r)
	nothingLeft(t, d)
	if after, err := shown(t, d, r); err != nil || !slices.Equal(before, after) {
		t.Errorf("%d rows before the acceptance, %d after it: %v", len(before), len(after), err)
	}
}

// TestFewerRejectsShown: of a list of rows put aside that has fewer than the signed report
// counts, or than the gate's ledger says are kept, the laboratory is told so, and accepts
// and releases nothing by it.
func TestFewerRejectsShown(t *testing.T) {
	t.Parallel()
	d := roomtest.Keeping(t, roomtest.Loaded, patients)
	r := d.Open()
	home, seat, key := r.HomeOf(exchange.SourcePlace), r.Seat(exchange.SourcePlace), d.Key(roomtest.Claire)
	p := ecluse.Passage{Kind: ecluse.Final, Number: 1}
	var one *gate.Rejected
	look := func(lock gate.Lock) (rows int, err error) {
		err = gate.NewSource(home, lock, nil, nil, procedure.Digest()).Rejects(t.Context(), roomtest.Migration, p, key, func(x *gate.Rejected) error {
			rows, one = rows+1, x
			return nil
		})
		return rows, err
	}
	if rows, err := look(seat); err != nil || rows == 0 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	for name, lock := range map[string]gate.Lock{"none": fewer{seat, true}, "fewer": fewer{seat, false}} {
		if rows, err := look(lock); ecluse.KindOf(err) != ecluse.Unverified || !strings.Contains(err.Error(), "some are kept from this gate") || rows > 0 {
			t.Errorf("%s: %d rows, %v", name, rows, err)
		}
		if _, err := gate.NewSource(home, lock, nil, nil, procedure.Digest()).Release(t.Context(), roomtest.Migration, p, one.Dataset, one.Ordinal, key); ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: a row is released: %v", name, err)
		}
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: key}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	if err := home.Note(roomtest.Migration, func(e *gate.Entry) error { e.Kept.Rows++; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := look(seat); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("a kept row that is missing: %v", err)
	}
	if _, err := gate.NewSource(home, seat, nil, nil, procedure.Digest()).Release(t.Context(), roomtest.Migration, p, one.Dataset, one.Ordinal, key); ecluse.KindOf(err) != ecluse.Unverified {
		t.Errorf("a kept row is released though another is missing: %v", err)
	}
}

// TestRejectsAreFetchedFirst: the source gate destroys nothing before it has the rows that it
// is to keep, though not beyond the deadline, and what a run cut short left is none of them.
// That it kept none is in the certificate.
func TestRejectsAreFetchedFirst(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late %v", late), func(t *testing.T) {
			t.Parallel()
			d := roomtest.Keeping(t, roomtest.Accepted, patients)
			r := d.Open()
			if late {
				d.Seen(time.Now().AddDate(0, 1, 2), "source")
			}
			if err := os.MkdirAll(d.Join("room", "source", "kept", string(roomtest.Migration)), 0o700); err != nil {
				t.Fatal(err)
			}
			d.Write([]byte("half of something"), "room", "source", "kept", string(roomtest.Migration), "rows-000000")
			home := r.HomeOf(exchange.SourcePlace)
			err := eraseAtSource(t, d, r, unfetched{r.Seat(exchange.SourcePlace), errStopped})
			if late != (err == nil) || late == home.Holds(roomtest.Migration) {
				t.Fatalf("%v; it holds its keys: %v", err, home.Holds(roomtest.Migration))
			}
			runDue(t, r)
			nothingLeft(t, d)
			rows, err := shown(t, d, r)
			if late != (len(rows) == 0) || late != (err != nil) {
				t.Errorf("%d rows, %v", len(rows), err)
			}
			for _, text := range bothVerify(t, d, r) {
				if late == strings.Contains(text, "are kept until") || late != strings.Contains(text, "note  "+evidence.NotFetched.String()+"\n") {
					t.Errorf("%s", text)
				}
			}
		})
	}
}

// TestKeptRowsInCertificate: the source gate signs no certificate that says otherwise of the
// rows that it keeps.
func TestKeptRowsInCertificate(t *testing.T) {
	t.Parallel()
	d := roomtest.Keeping(t, roomtest.Erased, patients)
	r := d.Open()
	certificates, err := r.Seat(exchange.SourcePlace).Posted(t.Context(), roomtest.Migration, exchange.Certificate)
	if err != nil || len(certificates) == 0 {
		t.Fatal(err)
	}
	home := r.HomeOf(exchange.SourcePlace)
	own := slices.IndexFunc(certificates, func(s evidence.Signed) bool {
		return s.VerifyBy(evidence.NamespaceStatement, home.Fingerprint()) == nil
	})
	for name, edit := range map[string]func(*evidence.Certificate){
		"none":    func(c *evidence.Certificate) { c.Kept = nil },
		"longer":  func(c *evidence.Certificate) { c.Kept.Until = "2099-12-31" },
		"another": func(c *evidence.Certificate) { c.Kept.Key[0] ^= 1 },
		"":        func(*evidence.Certificate) {},
	} {
		c, err := evidence.ParseCertificate(certificates[own], home.Fingerprint())
		if err != nil {
			t.Fatal(err)
		}
		edit(c)
		if _, err := home.Certify(roomtest.Migration, exchange.SourcePlace, c); (name == "") != (err == nil) || err != nil && ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRejectsKeptByHand: a gate without a line keeps and erases them like any other, and says
// so when it is next carried to.
func TestRejectsKeptByHand(t *testing.T) {
	t.Parallel()
	h := handWith(t, roomtest.Keeping(t, roomtest.Ready, patients))
	h.begin()
	h.trip()
	h.accepted()
	defer h.target()()
	if _, err := h.desk.Due(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.trips(8)
	if n := h.events("erased"); n != 1 {
		t.Fatalf("erased %d times", n)
	}
	if keys := keysIn(t, h.d.Join("room", "source", "kept")); len(keys) != 1 {
		t.Errorf("%v", keys)
	}
	// A day that is over: what is carried to a gate of a later time would be too old.
	ledger := h.d.Read("room", "source", "ledger.json")
	yesterday := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	h.d.Write(bytes.ReplaceAll(ledger, []byte(roomtest.KeptUntil().Format(time.DateOnly)), []byte(yesterday)), "room", "source", "ledger.json")
	if _, err := h.desk.Evidence(t.Context(), roomtest.Migration, h.d.Join("evidence")); ecluse.KindOf(err) != ecluse.Interrupted && ecluse.KindOf(err) != ecluse.WaitsForSign {
		t.Errorf("%s %v", ecluse.KindOf(err), err)
	}
	h.trip()
	if keys := keysIn(t, h.d.Join("room", "source")); len(keys) > 0 {
		t.Errorf("%v", keys)
	}
	if all, err := h.lock.Posted(t.Context(), roomtest.Migration, exchange.ErasedRows); err != nil || len(all) != 1 {
		t.Errorf("%d statements, %v", len(all), err)
	}
}

// TestRetiredGateKeepsNothing: a source gate that was retired cannot fetch the rows, and
// erases at once all the same.
func TestRetiredGateKeepsNothing(t *testing.T) {
	t.Parallel()
	d := roomtest.Keeping(t, roomtest.Accepted, 3)
	r := enrolledAlone(t, d)
	retire(t, d, r, exchange.SourcePlace)
	s := serveLabs(t, func(pin wire.Pin) []api.Lab { return []api.Lab{r.Lab("room", pin)} })
	stop := r.Elsewhere(t.Context(), func(_ exchange.Place, key ssh.Signer) gate.Lock { return s.gate(t, "room", key) })
	defer stop()
	if v, err := r.Due(t.Context()); err != nil || len(v.Failed) > 0 {
		t.Fatalf("%+v %v", v, err)
	}
	nothingLeft(t, d)
	if keys := keysIn(t, d.Join("room", "source")); len(keys) > 0 {
		t.Errorf("%v", keys)
	}
	if page, err := r.HomeOf(exchange.SourcePlace).Entry(roomtest.Migration); err != nil || page.NotKept != evidence.NotLet {
		t.Errorf("%q, %v", page.NotKept, err)
	}
}

// TestKeptErasedByOrder: the controller has rows that are kept erased before their day, by a
// signature that the gate verifies itself; nobody else has, a lock that asks for it least.
// Evidence tells it.
func TestKeptErasedByOrder(t *testing.T) {
	t.Parallel()
	d := roomtest.Keeping(t, roomtest.Ready, patients)
	r := d.Open()
	apply(t, r, ecluse.Final)
	order := func(who string) (*desk.Signature, error) {
		return r.EraseRejects(t.Context(), desk.Order{Because: "the patients were entered by hand", Key: d.Key(who)})
	}
	_, err := order(roomtest.Claire)
	wantError(t, err, ecluse.Refused) // nothing is kept yet
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	if rows, err := shown(t, d, r); err != nil || len(rows) == 0 {
		t.Fatalf("%d rows are kept, %v", len(rows), err)
	}
	_, err = order(roomtest.Marc)
	wantError(t, err, ecluse.Refused)
	source, err := r.Beside(exchange.SourcePlace).Source()
	if err != nil {
		t.Fatal(err)
	}
	_, err = source.Work(t.Context(), exchange.Work{ID: "w", Verb: exchange.EraseKept, Migration: roomtest.Migration}, nil)
	wantError(t, err, ecluse.Refused)
	if rows, err := shown(t, d, r); err != nil || len(rows) == 0 {
		t.Fatalf("because a lock asked for it %d rows are kept, %v", len(rows), err)
	}

	v, err := order(roomtest.Claire)
	if err != nil || v.Kept == nil || v.Kept.Erased.IsZero() {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := os.Stat(d.Join("room", "source", "kept", string(roomtest.Migration))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the gate's folder of rows kept: %v", err)
	}
	_, err = shown(t, d, r)
	wantError(t, err, ecluse.Refused)
	_, err = order(roomtest.Claire)
	wantError(t, err, ecluse.Refused) // they are gone
	for _, text := range bothVerify(t, d, r) {
		if !strings.Contains(text, "were erased by the laboratory's gate on ") || !strings.Contains(text, ", by the controller's order\n") {
			t.Errorf("%s", text)
		}
	}
}
