package tracer

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// statLine is a /proc/PID/stat with that command name and arg_start.
func statLine(comm, argStart string) string {
	fields := make([]string, 50)
	for i := range fields {
		fields[i] = strconv.Itoa(i + 3)
	}
	fields[0], fields[statArgStart] = "S", argStart
	return "4242 (" + comm + ") " + strings.Join(fields, " ") + "\n"
}

func TestArgStart(t *testing.T) {
	for _, tc := range []struct {
		name, stat string
		want       uint64
		ok         bool
	}{
		{"plain", statLine("java", "140722"), 140722, true},
		{"spaces", statLine("tmux: server", "140722"), 140722, true},
		{"parentheses", statLine("a) S 1 2 (b", "140722"), 140722, true},
		{"newline", statLine("a)\n(", "140722"), 140722, true},
		{"empty name", statLine("", "140722"), 140722, true},
		{"highest", statLine("a", "18446744073709551615"), ^uint64(0), true},
		{"not for us to see", statLine("a", "0"), 0, false},
		{"negative", statLine("a", "-1"), 0, false},
		{"too big", statLine("a", "18446744073709551616"), 0, false},
		{"old kernel, fewer fields", "1 (init) S 0 1 1\n", 0, false},
		{"no name", "1 init S 0 1 1", 0, false},
		{"empty", "", 0, false},
	} {
		if got, ok := argStart([]byte(tc.stat)); ok != tc.ok || (ok && got != tc.want) {
			t.Errorf("%s: %d, %v", tc.name, got, ok)
		}
	}
}

func TestReadCmdline(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, tc := range []struct {
		name, cmdline, stat string
		want                string
		cut                 uint32
		err                 error
	}{
		{"plain", "java\x00-jar\x00a.jar\x00", statLine("java", "77"), "java\x00-jar\x00a.jar\x00", 0, nil},
		{"hostile", "\x1b[31m\xff\n\x00", statLine("a", "77"), "\x1b[31m\xff\n\x00", 0, nil},
		{"just fits", long[:256], statLine("a", "77"), long[:256], 0, nil},
		{"cut", long, statLine("a", "77"), long[:256], 1, nil},
		{"kernel thread", "", statLine("kworker/0:1", "0"), "", 0, errNoCmdline},
		{"no arg_start", "java\x00", statLine("java", "0"), "", 0, errNoCmdline},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for file, text := range map[string]string{"cmdline": tc.cmdline, "stat": tc.stat} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			line, err := readCmdline(dir)
			if !errors.Is(err, tc.err) {
				t.Fatal(err)
			}
			if err == nil && (string(line.Text[:line.Len]) != tc.want || line.Cut != tc.cut || line.ArgStart != 77) {
				t.Errorf("%q of %d bytes, cut %d, at %d", line.Text, line.Len, line.Cut, line.ArgStart)
			}
		})
	}
	if _, err := readCmdline(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a process that has exited: %v", err)
	}
	if err := scanCmdlines(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no /proc: %v", err)
	}
}

// TestOwnCmdline reads this process, whose arg_start the kernel shows.
func TestOwnCmdline(t *testing.T) {
	line, err := readCmdline("/proc/self")
	if err != nil {
		t.Fatal(err)
	}
	if first := line.Text[:min(len(os.Args[0]), len(line.Text))]; line.ArgStart == 0 || !bytes.HasPrefix([]byte(os.Args[0]), first) {
		t.Errorf("%q at %#x", line.Text[:line.Len], line.ArgStart)
	}
}

func FuzzArgStart(f *testing.F) {
	f.Add([]byte(statLine("a) S", "77")))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if v, ok := argStart(stat); ok && (v == 0 || !bytes.Contains(stat, strconv.AppendUint(nil, v, 10)[1:])) {
			t.Errorf("%d out of %q", v, stat)
		}
	})
}

func TestTopology(t *testing.T) {
	for _, tc := range []struct {
		name, cpu, node string
		cpus, nodes     uint32
		fails           bool
	}{
		{"one", "0\n", "0\n", 1, 1, false},
		{"range", "0-3\n", "0-1\n", 4, 2, false},
		{"gaps", "0,2-3,8\n", "0,7\n", 9, 8, false},
		{"no NUMA", "0-255\n", "", 256, 1, false},
		{"no CPUs", "\n", "0\n", 0, 0, true},
		{"no list", "all\n", "0\n", 0, 0, true},
		{"nodes unreadable", "0\n", "?\n", 0, 0, true},
		{"file missing", "", "0\n", 0, 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			for kind, text := range map[string]string{"cpu": tc.cpu, "node": tc.node} {
				path := filepath.Join(dir, "devices/system", kind)
				if text == "" {
					continue
				}
				if err := errors.Join(os.MkdirAll(path, 0o700), os.WriteFile(filepath.Join(path, "possible"), []byte(text), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			cpus, nodes, err := topology(dir)
			if (err != nil) != tc.fails || (err == nil && (cpus != tc.cpus || nodes != tc.nodes)) {
				t.Errorf("%d CPUs, %d nodes, %v", cpus, nodes, err)
			}
		})
	}
}
