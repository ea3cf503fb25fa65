package app_test

import (
	"os"
	"testing"

	"ecluse/internal/app/roomtest"
)

func TestMain(m *testing.M) { os.Exit(roomtest.Run(m)) }

// TestStages: every stage that other tests begin from can be made, and its end
// verifies.
func TestStages(t *testing.T) {
	d := roomtest.At(t, roomtest.Erased, 200)
	d.Verify(d.Open())
}
