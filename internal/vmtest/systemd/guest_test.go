//go:build vmguest

// Package systemd holds oomtrace against a machine that a real systemd runs: its
// Debian package, its service, and the memory managers that Debian has.
package systemd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// patience is long: guests are emulated.
const patience = 3 * time.Minute

// try runs a command and returns what it printed.
func try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, stderr.Bytes())
	}
	return strings.TrimSpace(string(out)), err
}

// do runs a command that has to succeed.
func do(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := try(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so within %v: %s", patience, what)
		}
	}
}

// property is what systemd says of a unit.
func property(t *testing.T, unit, name string) string {
	t.Helper()
	return do(t, "systemctl", "show", "--value", "--property", name, unit)
}

// restarts is how often systemd has started the service again by itself.
func restarts(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(property(t, service, "NRestarts"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// records are what the service has written so far.
func records(t *testing.T) []oom.Record {
	t.Helper()
	b, err := os.ReadFile(kills)
	if err != nil {
		t.Fatal(err)
	}
	var out []oom.Record
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var r oom.Record
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, r)
	}
	return out
}

// of are the records of one kind whose victim belonged to a unit.
func of(t *testing.T, kind oom.Kind, unit string) []oom.Record {
	t.Helper()
	var out []oom.Record
	for _, r := range records(t) {
		if r.Kind == kind && r.Victim != nil && r.Victim.Unit == unit {
			out = append(out, r)
		}
	}
	return out
}

// start runs a program as a unit of its own, with properties.
func start(t *testing.T, unit string, properties []string, command ...string) {
	t.Helper()
	args := []string{"--quiet", "--unit=" + unit}
	for _, p := range properties {
		args = append(args, "--property="+p)
	}
	do(t, "systemd-run", append(args, command...)...)
	t.Cleanup(func() {
		_, _ = try("systemctl", "stop", unit) // it has mostly ended
		_, _ = try("systemctl", "reset-failed", unit)
	})
}

// overrun has a unit overrun its memory.
func overrun(t *testing.T, unit string) {
	t.Helper()
	start(t, unit, []string{"MemoryMax=32M", "MemorySwapMax=0"}, "/hog", "eat", "64")
}

// recorded waits for the one record of the kill in a unit.
func recorded(t *testing.T, unit string) {
	t.Helper()
	var got []oom.Record
	until(t, "a record of the kill in "+unit, func() bool {
		got = of(t, oom.KindKill, unit)
		return len(got) > 0
	})
	if len(got) != 1 {
		t.Errorf("%d records of the kill in %s", len(got), unit)
	}
}

// dropIn adds settings to a unit, and to those that have them, until the test ends.
func dropIn(t *testing.T, unit, text string) {
	t.Helper()
	dir := "/run/systemd/system/" + unit + ".d"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "test.conf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	do(t, "systemctl", "daemon-reload")
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
		_, _ = try("systemctl", "daemon-reload")
	})
}

// TestGuest goes through the life of an installed package.
func TestGuest(t *testing.T) {
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := try("journalctl", "--no-pager", "--lines", "60")
			t.Logf("journal: %s", out)
		}
	})
	until(t, "the system is up", func() bool {
		out, _ := try("systemctl", "is-system-running")
		return out == "running" || out == "degraded"
	})
	if failed := do(t, "systemctl", "list-units", "--failed", "--plain", "--no-legend"); failed != "" {
		t.Logf("failed units: %s", failed)
	}
	before := programs(t)
	dropIn(t, service, "[Service]\nWatchdogSec=12\n") // sooner than the package's
	if !t.Run("install", install) {
		return
	}
	t.Run("OOMPolicy", policy)
	t.Run("managers", manage)
	t.Run("crash", crash)
	t.Run("upgrade", func(t *testing.T) { change(t, "1.1.0") })
	t.Run("downgrade", func(t *testing.T) { change(t, "1.0.0") })
	t.Run("usage error", usageError)
	t.Run("purge", func(t *testing.T) { purge(t, before) })
}

// gone says that a file is not there.
func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, os.ErrNotExist)
}
