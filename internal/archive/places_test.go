package archive

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func write(t *testing.T, root, name, text string, age time.Duration) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil { //nolint:gosec // one is a program
		t.Fatal(err)
	}
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestPlaces(t *testing.T) {
	root := t.TempDir()
	write(t, root, "/var/log/oomtrace/kills.json", "", time.Minute)
	write(t, root, "/var/log/oomtrace/kills.json.1", "", time.Hour)
	write(t, root, "/data/a[1].json", "", 0)
	write(t, root, "/data/a1.json", "", 0)
	write(t, root, "/etc/default/oomtrace", "# --output-file /no\nOOMTRACE_ARGS=\"--top 3 --output-file=/data/a[1].json -v\"\n", 0)
	write(t, root, "/var/log/kern.log", "", 0)
	var got []string
	for _, p := range Places(Options{Root: root}) {
		var names []string
		for _, in := range p.Inputs {
			names = append(names, strings.TrimPrefix(in.Name, root))
		}
		got = append(got, p.Name+": "+strings.Join(names, ", "))
	}
	want := []string{
		"oomtrace's own files: /var/log/oomtrace/kills.json.1, /var/log/oomtrace/kills.json, /data/a[1].json",
		"oomtrace's journal: journalctl --quiet --no-pager --all _SYSTEMD_UNIT=oomtrace.service --output=cat",
		"the kernel log in the journal: journalctl --quiet --no-pager --all _TRANSPORT=kernel --output=json",
		"the kernel log: /dev/kmsg", "syslog: /var/log/kern.log",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestJournal runs what stands for journalctl.
func TestJournal(t *testing.T) {
	for _, tt := range []struct{ name, script, want, fails string }{
		{"lines", `echo "$@"`, "--quiet --no-pager --all _TRANSPORT=kernel --output=json --since=@1699999940\n", ""},
		{"nothing matches", `exit 1`, "", ""},
		{"it complains", `echo no such field >&2; exit 1`, "", "no such field"},
		{"it crashes", `kill -9 $$`, "", "killed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			write(t, root, "journalctl", "#!/bin/sh\n"+tt.script+"\n", 0)
			places := Places(Options{Root: root, Journalctl: filepath.Join(root, "journalctl"), Since: time.Unix(1700000000, 0)})
			in, err := places[1].Inputs[0].Open(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(in)
			if string(got) != tt.want || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
				t.Errorf("got %q, %v", got, err)
			}
			if err := in.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestJournalIsEnded(t *testing.T) {
	root := t.TempDir()
	write(t, root, "journalctl", "#!/bin/sh\necho a; exec sleep 1000\n", 0)
	in, err := Places(Options{Root: root, Journalctl: filepath.Join(root, "journalctl")})[0].Inputs[0].Open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
}
