package storetest

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecluse"
	"ecluse/internal/store"
)

const (
	gateA ecluse.Fingerprint = "SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	gateB ecluse.Fingerprint = "SHA256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func note(t *testing.T, s Store, fn func(context.Context, Tx) error) {
	t.Helper()
	if err := s.Note(t.Context(), func(tx Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// carried: what goes out and what comes in are kept apart, for each gate.
func carried(t *testing.T, open Opener) {
	s := fresh(t, open)
	is := func(gate ecluse.Fingerprint, want store.Carried) {
		t.Helper()
		got, err := s.Carried(t.Context(), gate)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Digest) == 0 {
			got.Digest = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	is(gateA, store.Carried{})
	note(t, s, func(ctx context.Context, tx Tx) error { return tx.CarriedOut(ctx, gateA, 1) })
	is(gateA, store.Carried{Number: 1})
	in := store.Carried{Number: 99, Came: 1, Items: 3, Digest: []byte{1, 2}} // the number is not its to change
	note(t, s, func(ctx context.Context, tx Tx) error { return tx.CarriedIn(ctx, gateA, in) })
	in.Number = 1
	is(gateA, in)
	note(t, s, func(ctx context.Context, tx Tx) error { return tx.CarriedOut(ctx, gateA, 2) })
	in.Number = 2
	is(gateA, in)
	is(gateB, store.Carried{})
}

// carriedLeft: what is left of returns is listed in its order, left once, given up by
// migration, and taken or forgotten item by item, each gate's for itself.
func carriedLeft(t *testing.T, open Opener) {
	s := fresh(t, open)
	left := func(number int64, item int, m ecluse.MigrationID) store.CarriedLeft {
		return store.CarriedLeft{Number: number, Item: item, Migration: m, Digest: []byte{byte(number), byte(item)}}
	}
	is := func(gate ecluse.Fingerprint, want ...store.CarriedLeft) {
		t.Helper()
		got, err := s.CarriedLeft(t.Context(), gate)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	is(gateA)
	const other ecluse.MigrationID = "megabus-2026-02"
	a, b, c, none := left(1, 4, id), left(2, 0, other), left(2, 10, id), left(2, 9, "")
	note(t, s, func(ctx context.Context, tx Tx) error {
		for _, x := range []store.CarriedLeft{c, b, none, a, a} { // in another order, and twice
			if err := tx.LeaveCarried(ctx, gateA, x); err != nil {
				return err
			}
		}
		return tx.LeaveCarried(ctx, gateB, a)
	})
	is(gateA, a, b, none, c)
	is(gateB, a)

	note(t, s, func(ctx context.Context, tx Tx) error { return tx.AskCarriedAnew(ctx, gateA, id) })
	a1, c1 := a, c
	a1.Anew, c1.Anew = true, true
	is(gateA, a1, b, none, c1)
	is(gateB, a)
	note(t, s, func(ctx context.Context, tx Tx) error { return tx.LeaveCarried(ctx, gateA, a) }) // given up it stays
	is(gateA, a1, b, none, c1)

	note(t, s, func(ctx context.Context, tx Tx) error { return tx.ForgetCarried(ctx, gateA, 2) })
	is(gateA, b, none, c1) // of those before only, and what may still come in never
	note(t, s, func(ctx context.Context, tx Tx) error { return tx.ForgetCarried(ctx, gateA, 3) })
	is(gateA, b, none)
	note(t, s, func(ctx context.Context, tx Tx) error { return tx.TakeCarried(ctx, gateA, 2, 0) })
	is(gateA, none)
	note(t, s, func(ctx context.Context, tx Tx) error { return tx.TakeCarried(ctx, gateA, 1, 4) }) // of another gate
	is(gateA, none)
	is(gateB, a)
}
