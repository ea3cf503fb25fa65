package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
)

// TestHeldStays: a sweep takes what a crash left and not what is being written.
func TestHeldStays(t *testing.T) {
	dir := t.TempDir()
	f, err := CreateTemp(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Claim(f.Name()); !errors.Is(err, ErrHeld) {
		t.Errorf("claimed while it is written: %v", err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if !there(f) {
		t.Fatal("it was swept while it is written")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left %v", entries)
	}
}

// TestWriteWhileSwept: writers and sweeps do not disturb each other.
func TestWriteWhileSwept(t *testing.T) {
	dir := t.TempDir()
	stop := make(chan struct{})
	var sweeps, writes sync.WaitGroup
	sweeps.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := Sweep(dir); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 4 {
		writes.Go(func() {
			for range 200 {
				if err := WriteFile(filepath.Join(dir, strconv.Itoa(i)), []byte("x")); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writes.Wait()
	close(stop)
	sweeps.Wait()
	if entries, _ := os.ReadDir(dir); len(entries) != 4 {
		t.Errorf("left %v", entries)
	}
}

// TestNoLocks: where files cannot be held, making one gives up and leaves nothing;
// a sweep that comes in between is no reason to.
func TestNoLocks(t *testing.T) {
	dir := t.TempDir()
	_, err := createHeld(dir, func(*os.File) error { return fmt.Errorf("%w (not supported)", ErrNoLocks) })
	if !errors.Is(err, ErrNoLocks) {
		t.Errorf("got %v", err)
	}
	tries := 0
	f, err := createHeld(dir, func(f *os.File) error {
		switch tries++; tries {
		case 1:
			return ErrHeld
		case 2:
			return os.Remove(f.Name())
		}
		return hold(f)
	})
	if err != nil || tries != 3 {
		t.Fatalf("%d tries, %v", tries, err)
	}
	defer f.Close()
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}

// TestLock: one at a time, whoever asks: of a number in a file nothing is lost.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	number := filepath.Join(dir, "number")
	add := func() (err error) {
		unlock, err := Lock(filepath.Join(dir, "lock"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, unlock()) }()
		text, err := os.ReadFile(number)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(text))
		if err != nil {
			return err
		}
		return os.WriteFile(number, []byte(strconv.Itoa(n+1)), 0o600)
	}
	if err := os.WriteFile(number, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if err := add(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if text, err := os.ReadFile(number); err != nil || string(text) != "400" {
		t.Errorf("counted %s, %v", text, err)
	}
}
