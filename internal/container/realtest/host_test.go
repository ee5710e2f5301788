//go:build hosttest

package realtest

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/vmtest"
)

const (
	// patience is how long a runtime may take, or a kill.
	patience = 20 * time.Second
	// slack is what a busy machine may add to a time.
	slack = 250 * time.Millisecond
	// namesWait is the program's own bound.
	namesWait = 0
	// manyWithin is how long the many containers may take, on a busy machine.
	manyWithin = 10 * time.Minute
)

// hog builds the images' program.
func hog(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hog")
	if err := vmtest.BuildProgram(t.Context(), "", "", "github.com/oomtrace/oomtrace/internal/container/realtest/hog", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestHostContainerd kills in pods of a real containerd on this machine.
func TestHostContainerd(t *testing.T) {
	containerdCases(t, startContainerd(t, hog(t)))
}

// TestHostMany: 200 containers come and go within about a minute.
func TestHostMany(t *testing.T) {
	many(t, startContainerd(t, hog(t)), 200, 6)
}
