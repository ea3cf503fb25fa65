package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
	"ecluse/internal/exchange"
	"ecluse/internal/gate"
)

// killed is a lock whose gate ends when a manifest is closed, before it hears of it.
type killed struct{ gate.Lock }

func (k killed) Close(ctx context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	return errors.Join(k.Lock.Close(ctx, m, manifest), errStopped)
}

// dying is a lock that ends when the manifest is in its chamber, and noted nowhere.
type dying struct {
	gate.Lock
	d    *roomtest.Dir
	name string // of the manifest's file
}

func (l dying) Close(_ context.Context, m ecluse.MigrationID, manifest evidence.Signed) error {
	l.d.Write(append(bytes.Clone(manifest.Body), manifest.Signature...), "room", "lock", "chamber", "live", string(m), l.name)
	return errStopped
}

// later is what happens after changes.
func later() []string {
	return []string{
		"UPDATE PATIENT SET NOM = 'ZQX-ENCORE-' || NOM WHERE NUMPAT % 53 = 4",
		"DELETE FROM RESULTAT WHERE NUMRES % 401 = 12",
	}
}

// TestCatchUpKilledAfterClose: a source gate that ends between the closing of a reading and
// its own note of it reads nothing once more, whatever the source has become; the next
// reading finds what changed since. It is the same whether the gate is asked for that reading
// again or at once for the next.
func TestCatchUpKilledAfterClose(t *testing.T) {
	t.Parallel()
	for name, asked := range map[string]bool{"asked again": true, "asked for the next": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 2), roomtest.CatchingUp(t, roomtest.Ready, patients, 2)
			d.Exec("ancilab.db", changes()...)
			r := d.Open()
			defer r.Close()
			if _, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
				t.Fatal(err)
			}
			source, target := gates(t, d, killed{r.Lock()})
			if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); !errors.Is(err, errStopped) {
				t.Fatal(err)
			}
			if err := errors.Join(source.Close(), target.Close()); err != nil {
				t.Fatal(err)
			}
			d.Exec("ancilab.db", later()...)
			if asked {
				source, target = gates(t, d, r.Lock())
				for range 2 { // it is said as often as it is asked
					x, err := source.Read(t.Context(), roomtest.Migration, 1, nil)
					if err != nil || x.Reading != 1 || len(x.Changed) == 0 {
						t.Fatalf("%+v, %v", x, err)
					}
				}
				if err := errors.Join(source.Close(), target.Close()); err != nil {
					t.Fatal(err)
				}
			}
			for reading := 1; reading <= 2; reading++ {
				v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
				if err != nil || !v.Reconciled || v.Load.Reading != reading {
					t.Fatalf("reading %d: %+v, %v", reading, v, err)
				}
			}
			oracle.Exec("ancilab.db", append(changes(), later()...)...)
			oracleLoaded(t, oracle)
			got, _ := d.Facts()
			if want, _ := oracle.Facts(); got != want {
				t.Error("what changed after the reading that was closed is missing")
			}
		})
	}
}

// rejecting is a lock that takes rows put aside so often, and no more.
type rejecting struct {
	gate.Lock
	often int
}

func (l *rejecting) PutReject(ctx context.Context, m ecluse.MigrationID, s evidence.Signed, body io.Reader) error {
	if l.often--; l.often < 0 {
		return errStopped
	}
	return l.Lock.PutReject(ctx, m, s, body)
}

// TestCatchUpFailsWhileItIsNoted: a catch-up that fails when some of it is noted and put
// aside, and none of it is in, leaves nothing that the next takes for true: what was refused
// before is offered again, and counted as it stands then.
func TestCatchUpFailsWhileItIsNoted(t *testing.T) {
	t.Parallel()
	for _, often := range []int{0, 1, 2, 3} {
		t.Run(fmt.Sprint(often), func(t *testing.T) {
			t.Parallel()
			d, oracle := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1), roomtest.CatchingUp(t, roomtest.Ready, patients, 1)
			d.Exec("ancilab.db", changes()...)
			before, _ := d.Facts()
			r := d.Open()
			defer r.Close()
			passage, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final)
			if err != nil {
				t.Fatal(err)
			}
			source, target := gates(t, d, &rejecting{r.Lock(), often})
			if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := target.Load(t.Context(), roomtest.Migration, passage, 1, nil); !errors.Is(err, errStopped) {
				t.Fatalf("want it stopped when rows are put aside, got %v", err)
			}
			if err := errors.Join(source.Close(), target.Close()); err != nil {
				t.Fatal(err)
			}
			if now, _ := d.Facts(); now != before {
				t.Error("what failed changed the target")
			}
			v := catchUp(t, r)
			oracle.Exec("ancilab.db", changes()...)
			o := oracle.Open()
			defer o.Close()
			once := apply(t, o, ecluse.Final)
			got, _ := d.Facts()
			if want, _ := oracle.Facts(); got != want || !v.Reconciled || v.Load.Reading != 1 {
				t.Errorf("the target is not what a load now would make: %+v", v.Load)
			}
			if diff := cmp.Diff(once.Load.Compared.Rejected, v.Load.Compared.Rejected); diff != "" {
				t.Errorf("put aside (-one load +caught up):\n%s", diff)
			}
			all, err := shown(t, d, r)
			if err != nil {
				t.Fatal(err)
			}
			if want, err := shown(t, oracle, o); err != nil || len(all) != len(want) {
				t.Errorf("%d rows are shown as put aside, and of one load %d, %v", len(all), len(want), err)
			}
		})
	}
}

// TestCatchUpAcceptedAfterKilledAtClose: nobody asks for another reading after that, and the
// gate's own note of the last is made before it destroys what it kept: it signs the certificate.
func TestCatchUpAcceptedAfterKilledAtClose(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	d.Exec("ancilab.db", changes()...)
	r := d.Open()
	defer r.Close()
	if _, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	source, target := gates(t, d, killed{r.Lock()})
	if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	if v := apply(t, r, ecluse.Final); !v.Reconciled || v.Load.Reading != 1 {
		t.Fatalf("%+v", v.Load)
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	runDue(t, r)
	d.Verify(r)
}

// TestFirstReadingKilledAfterClose: the same of the first reading.
func TestFirstReadingKilledAfterClose(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Ready, patients, 1)
	r := d.Open()
	defer r.Close()
	if err := r.BeginReading(t.Context(), roomtest.Migration); err != nil {
		t.Fatal(err)
	}
	source, target := gates(t, d, killed{r.Lock()})
	if _, err := source.Read(t.Context(), roomtest.Migration, 0, nil); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	d.Exec("ancilab.db", changes()...)
	for reading := range 2 {
		v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: reading > 0})
		if err != nil || !v.Reconciled || v.Load.Reading != reading {
			t.Fatalf("reading %d: %+v, %v", reading, v, err)
		}
	}
}

// TestLockKilledAtClose: a lock that ends when a manifest is in its chamber, and that it
// closed the reading is not noted, has the reading closed once more: it asks for no other,
// and the source is not read again for it.
func TestLockKilledAtClose(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Ready, patients, 1)
	r := d.Open()
	defer r.Close()
	for reading, name := range []string{"manifest", "manifest.1"} {
		var err error
		if reading == 0 {
			err = r.BeginReading(t.Context(), roomtest.Migration)
		} else {
			_, err = r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final)
		}
		if err != nil {
			t.Fatal(err)
		}
		source, target := gates(t, d, dying{r.Lock(), d, name})
		if _, err := source.Read(t.Context(), roomtest.Migration, reading, nil); !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		if err := errors.Join(source.Close(), target.Close()); err != nil {
			t.Fatal(err)
		}
		d.Exec("ancilab.db", later()...) // which is not read for it
		v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: reading > 0})
		if err != nil || !v.Reconciled || v.Load.Reading != reading || v.Read.Reading != reading || v.Read.Epoch != reading+1 {
			t.Fatalf("reading %d: %+v, %v", reading, v, err)
		}
	}
	if _, err := r.Accept(t.Context(), desk.AcceptRequest{ForAll: "entered by hand", Key: d.Key(roomtest.Claire)}); err != nil {
		t.Fatal(err)
	}
	if due, err := r.Due(t.Context()); err != nil || len(due.Failed) > 0 {
		t.Fatalf("%+v, %v", due, err)
	}
	d.Verify(r)
}

// TestCatchUpOutOfTurn: a source gate reads again as often as the plan grants and each time
// in its turn, whatever the lock asks; nothing is sealed else.
func TestCatchUpOutOfTurn(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	d.Exec("ancilab.db", changes()...)
	r := d.Open()
	defer r.Close()
	source, target := gates(t, d, r.Lock())
	defer func() { _ = errors.Join(source.Close(), target.Close()) }()
	refused := func(reading int, words string) {
		t.Helper()
		before, err := r.Lock().Slots(t.Context(), roomtest.Migration)
		if err != nil {
			t.Fatal(err)
		}
		_, err = source.Read(t.Context(), roomtest.Migration, reading, nil)
		if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), words) {
			t.Errorf("reading %d: %v", reading, err)
		}
		if after, err := r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(after) != len(before) {
			t.Errorf("%d chunks, and %d before, %v", len(after), len(before), err)
		}
	}
	refused(2, "reading 3 was asked for, and this gate has closed 1")
	refused(-1, "reading 0 was asked for, and this gate has closed 1")
	// The first is said again, and the source is not read for it.
	if x, err := source.Read(t.Context(), roomtest.Migration, 0, nil); err != nil || x.Reading != 0 {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); err != nil {
		t.Fatal(err)
	}
	refused(2, "lets the source be read again 1 times")
	refused(0, "reading 1 was asked for, and this gate has closed 2")
}

// TestReadingsDamaged: where what a reading came to is damaged or lost at the source gate,
// it says so, and nothing is sealed.
func TestReadingsDamaged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, words string
		damage      func([]byte) []byte // nil: lost
	}{
		"sums lost":        {"000000-patient", "what the reading before came to is not in this gate's folder", nil},
		"sums altered":     {"000000-patient", "", func(b []byte) []byte { return flipped(b, len(b)/2) }},
		"sums cut":         {"000000-patient", "", func(b []byte) []byte { return b[:len(b)-1] }},
		"sums of another":  {"000000-patient", "", nil},
		"manifest lost":    {"000000-ecluse.manifest", "the manifest of the reading before is not in this gate's folder", nil},
		"manifest altered": {"000000-ecluse.manifest", "is damaged", func(b []byte) []byte { return flipped(b, len(b)/2) }},
		"manifest cut":     {"000000-ecluse.manifest", "is damaged", func(b []byte) []byte { return b[:len(b)/2] }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
			d.Exec("ancilab.db", changes()...)
			at := []string{"room", "source", "migrations", string(roomtest.Migration), "readings", c.file}
			switch {
			case name == "sums of another":
				d.Write(d.Read(append(slices.Clone(at[:5]), "000000-result")...), at...)
			case c.damage != nil:
				d.Write(c.damage(d.Read(at...)), at...)
			default:
				if err := os.Remove(d.Join(at...)); err != nil {
					t.Fatal(err)
				}
			}
			r := d.Open()
			defer r.Close()
			before, err := r.Lock().Slots(t.Context(), roomtest.Migration)
			if err != nil {
				t.Fatal(err)
			}
			facts, _ := d.Facts()
			_, err = r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
			if ecluse.KindOf(err) != ecluse.Unverified || !strings.Contains(err.Error(), c.words) {
				t.Errorf("%v", err)
			}
			if after, err := r.Lock().Slots(t.Context(), roomtest.Migration); err != nil || len(after) != len(before) {
				t.Errorf("%d chunks, and %d before, %v", len(after), len(before), err)
			}
			if now, _ := d.Facts(); now != facts {
				t.Error("the target was changed")
			}
		})
	}
}

// showing is a lock that shows a target gate another manifest.
type showing struct {
	gate.Lock
	manifest evidence.Signed
}

func (l showing) Manifest(context.Context, ecluse.MigrationID) (*evidence.Signed, error) {
	return &l.manifest, nil
}

// TestCatchUpShownOtherwise: a target gate that is shown an older manifest, or one that lacks
// a dataset, or asked for an older reading than is in, loads nothing.
func TestCatchUpShownOtherwise(t *testing.T) {
	t.Parallel()
	d := roomtest.CatchingUp(t, roomtest.Loaded, patients, 1)
	d.Exec("ancilab.db", changes()...)
	r := d.Open()
	defer r.Close()
	first, err := r.Lock().Manifest(t.Context(), roomtest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	passage, err := r.BeginCatchUp(t.Context(), roomtest.Migration, ecluse.Final)
	if err != nil {
		t.Fatal(err)
	}
	source, target := gates(t, d, r.Lock())
	if _, err := source.Read(t.Context(), roomtest.Migration, 1, nil); err != nil {
		t.Fatal(err)
	}
	last, err := r.Lock().Manifest(t.Context(), roomtest.Migration)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
	facts, _ := d.Facts()
	stands := func(name string) {
		t.Helper()
		if now, _ := d.Facts(); now != facts {
			t.Errorf("%s: the target was changed", name)
		}
	}
	m := &evidence.Manifest{}
	if err := json.Unmarshal(last.Body, m); err != nil {
		t.Fatal(err)
	}
	m.Datasets = m.Datasets[:len(m.Datasets)-1]
	dropped, err := evidence.EncodeJSON(m)
	if err != nil {
		t.Fatal(err)
	}
	for name, shown := range map[string]evidence.Signed{
		"the manifest of the reading before": *first, // it is waited for that of the last
		"a dataset dropped":                  {Body: dropped, Signature: last.Signature},
		"the last, signed as the first was":  {Body: last.Body, Signature: first.Signature},
	} {
		source, target := gates(t, d, showing{r.Lock(), shown})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err := target.Load(ctx, roomtest.Migration, passage, 1, nil)
		cancel()
		if err == nil || name != "the manifest of the reading before" && ecluse.KindOf(err) != ecluse.Unverified {
			t.Errorf("%s: %v", name, err)
		}
		stands(name)
		if err := errors.Join(source.Close(), target.Close()); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final, CatchUp: true})
	if err != nil || !v.Reconciled {
		t.Fatalf("%+v, %v", v, err)
	}
	facts, _ = d.Facts()
	source, target = gates(t, d, r.Lock())
	_, err = target.Load(t.Context(), roomtest.Migration, passage, 0, nil)
	if ecluse.KindOf(err) != ecluse.Refused || !strings.Contains(err.Error(), "this gate has loaded as of reading 2") {
		t.Errorf("%v", err)
	}
	stands("an older reading than is in")
	if err := errors.Join(source.Close(), target.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestCatchUpByHand: a source gate that no line reaches reads again too, when a dispatch
// asks it; a return that is lost on its way is done again, of the source as it is then.
func TestCatchUpByHand(t *testing.T) {
	t.Parallel()
	h, oracle := handWith(t, roomtest.CatchingUp(t, roomtest.Loaded, patients, 2)), roomtest.CatchingUp(t, roomtest.Ready, patients, 2)
	defer h.target()()
	again := func(reading int) {
		t.Helper()
		ended := make(chan error, 1)
		go func() {
			v, err := h.desk.Apply(t.Context(), desk.ApplyRequest{Passage: ecluse.Final})
			if err == nil && (!v.Reconciled || v.Load.Reading != reading) {
				err = fmt.Errorf("%+v", v.Load)
			}
			ended <- err
		}()
		for range 20 { // the half of the key is lent by hand too
			h.trip()
			select {
			case err := <-ended:
				h.must(err)
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
		t.Fatal("it does not end")
	}
	begin := func() {
		t.Helper()
		_, err := h.marc().Begin(t.Context(), roomtest.Migration, exchange.Beginning{Kind: ecluse.Final, CatchUp: true})
		h.must(err)
	}

	h.d.Exec("ancilab.db", changes()...)
	begin()
	h.answered()
	h.must(os.Rename(h.folder, h.d.Join("lost")))
	h.d.Exec("ancilab.db", later()...)
	h.out()
	_, err := h.atGate(true)
	h.must(err)
	_, err = h.in()
	h.must(err)
	again(1)
	oracle.Exec("ancilab.db", append(changes(), later()...)...)
	oracleLoaded(t, oracle)
	want, _ := oracle.Facts()
	if got, _ := h.d.Facts(); got != want {
		t.Error("what was read by hand and loaded is not what the source is")
	}

	begin() // nothing changed since
	again(2)
	if got, _ := h.d.Facts(); got != want {
		t.Error("a catch-up without changes changed the target")
	}
}
