package assemble

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// write makes files of these logs.
func write(t *testing.T, logs ...string) (files []string) {
	t.Helper()
	for i, log := range logs {
		file := filepath.Join(t.TempDir(), string(rune('a'+i)))
		if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

const oneKill = "[    5.000001] Out of memory: Killed process 77 (a) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB, UID:5 pgtables:40kB oom_score_adj:7\n"

// TestReadTwice: a kill that is there twice is written once, and counted.
func TestReadTwice(t *testing.T) {
	const syslog = "Mar  7 04:00:05 worker kernel: "
	text := strings.SplitN(oneKill, "] ", 2)[1]
	other := strings.ReplaceAll(text, "77", "78")
	for name, c := range map[string]struct {
		files      []string
		kills      int
		duplicates uint64
	}{
		"uptimes":             {[]string{oneKill, oneKill}, 1, 1},
		"a host's wall clock": {[]string{syslog + text + syslog + other, syslog + other}, 2, 1},
		"no clock":            {[]string{text, text}, 1, 1},
		"another kill":        {[]string{oneKill, strings.ReplaceAll(oneKill, "77", "78")}, 2, 0},
		"in one file":         {[]string{oneKill + other + oneKill}, 2, 1},
		"no host":             {[]string{"[Fri Mar  7 04:00:05 2025] " + text, "[Fri Mar  7 04:00:05 2025] " + text}, 1, 1},
		"another time":        {[]string{"[Fri Mar  7 04:00:05 2025] " + text, "[Fri Mar  7 04:00:25 2025] " + text}, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			sum, err := Read(t.Context(), ReadOptions{Output: Output{To: &out, Format: "json"}, Files: write(t, c.files...), Year: 2025})
			if err != nil || sum.Written != c.kills || sum.Duplicates+sum.DoubledLines != c.duplicates || strings.Count(out.String(), "\n") != c.kills {
				t.Errorf("%v, %+v: %s", err, sum, out.String())
			}
		})
	}
}

// TestReadOthers: a file that cannot be read does not keep the others from it,
// and is named.
func TestReadOthers(t *testing.T) {
	good := write(t, oneKill, strings.ReplaceAll(oneKill, "77", "78"))
	missing := filepath.Join(t.TempDir(), "missing")
	binary := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(binary, slices.Repeat([]byte{0x7f, 0, 1, 2, 0xff}, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	var said []string
	var out bytes.Buffer
	o := ReadOptions{Output: Output{To: &out, Format: "json"}, Files: []string{missing, good[0], binary, good[1]}}
	o.Notify = func(text string) { said = append(said, text) }
	sum, err := Read(t.Context(), o)
	if err != nil || sum.Written != 2 || sum.Failed != 2 || sum.Lines < 2 {
		t.Errorf("%v, %+v", err, sum)
	}
	if len(said) != 2 || !strings.Contains(said[0], missing) || !strings.HasPrefix(said[1], "read "+binary+": ") {
		t.Errorf("said %q", said)
	}
}

// TestReadLimit: no more is written than was asked for, and what was read is
// counted all the same.
func TestReadLimit(t *testing.T) {
	var out bytes.Buffer
	log := oneKill + strings.ReplaceAll(oneKill, "77", "78") + strings.ReplaceAll(oneKill, "77", "79")
	files := append(write(t, log, log), filepath.Join(t.TempDir(), "never opened"))
	sum, err := Read(t.Context(), ReadOptions{Output: Output{To: &out, Format: "json"}, Files: files, Limit: 2})
	if err != nil || sum.Written != 2 || strings.Count(out.String(), "\n") != 2 || sum.Failed > 0 || sum.Lines == 0 {
		t.Errorf("%v, %+v: %s", err, sum, out.String())
	}
}

// TestReadFIFO: one that nothing writes to ends with the context.
func TestReadFIFO(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if sum, err := Read(ctx, ReadOptions{Output: Output{To: &bytes.Buffer{}, Format: "json"}, Files: []string{fifo, "never opened"}}); err != nil || sum.Failed > 0 {
			t.Errorf("%v, %+v", err, sum)
		}
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Fatal("it has not ended")
	}
}
