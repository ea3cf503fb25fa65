package lock_test

import (
	"os"
	"testing"

	"ecluse/internal/app/roomtest"
)

func TestMain(m *testing.M) { os.Exit(roomtest.Run(m)) }
