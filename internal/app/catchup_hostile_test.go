package app_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"ecluse"
	"ecluse/evidence"
	"ecluse/internal/app/roomtest"
	"ecluse/internal/desk"
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
