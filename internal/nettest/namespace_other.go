//go:build !linux

package nettest

import (
	"context"
	"os/exec"
	"testing"

	"ecluse/internal/stocktest"
)

// Namespace is Linux's alone.
type Namespace struct{}

// NewNamespace skips the test.
func NewNamespace(_ context.Context, t testing.TB, _ Line) *Namespace {
	t.Helper()
	stocktest.Lacks(t, "Linux, where network namespaces are")
	return nil
}

// Inside is never called.
func (*Namespace) Inside(cmd *exec.Cmd) *exec.Cmd { return cmd }

// Reach is never called.
func (*Namespace) Reach(string) *Relay { return nil }

// Congestion is never called.
func (*Namespace) Congestion(string) {}

// Silence is never called.
func (*Namespace) Silence(bool) {}

// Packets is never called.
func (*Namespace) Packets() (sent, lost int64) { return 0, 0 }
