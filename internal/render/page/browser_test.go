//go:build pagetest

package page

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestPageInChromium has browsertest look at pages in a real browser. PAGE_TEST_DIR keeps
// its pictures.
func TestPageInChromium(t *testing.T) {
	dir := os.Getenv("PAGE_TEST_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	for name, records := range map[string][]*oom.Record{
		"one": {cgroupKill()}, "system": {systemKill()}, "sigkill": {sigkill()}, "hostile": {hostile()}, "many": many(12), "none": nil,
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".html"), []byte(render(t, records...)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("node", "browsertest/run.mjs", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(out) {
		var check struct{ Name, Error string }
		if err := json.Unmarshal(line, &check); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		t.Run(check.Name, func(t *testing.T) {
			if check.Error != "" {
				t.Error(check.Error)
			}
		})
	}
}
