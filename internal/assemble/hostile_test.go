package assemble

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// hostileCgroups are paths that a user of a container can give a cgroup.
func hostileCgroups() map[string]string {
	return map[string]string{
		"255 bytes":      "/" + strings.Repeat("n", 255),
		"255 odd bytes":  "/" + strings.Repeat("\xff", 255),
		"deep":           strings.Repeat("/level", 32),
		"escapes":        "/a\x1b[2J\x1b]0;owned\x07b",
		"newline":        "/a\n{\"schema\":1,\"kind\":\"kill\"}\n",
		"quotes":         `/"}'` + "`$(reboot)`" + `\"`,
		"backslashes":    `/\x1b[2J\\x0a\`,
		"no UTF-8":       "/\xc3(\xe2\x28\xa1\xed\xa0\x80",
		"bidi":           "/\u202eexe.\u2066txt\u200b",
		"metrics' marks": "/a\"} 1\noomtrace_kills_total 7\n#",
	}
}

// kernelLog is a kill as /dev/kmsg tells it: what is not printable is in hex
// (kernel/printk/printk.c, append_char).
func kernelLog(cgroup string) string {
	var b strings.Builder
	for i, text := range []string{
		"worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
		"CPU: 1 PID: 77 Comm: worker Not tainted 6.12.0 #1",
		"memory: usage 400kB, limit 400kB, failcnt 7",
		"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=" + cgroup + ",task_memcg=" + cgroup + ",task=worker,pid=77,uid=5",
		"Memory cgroup out of memory: Killed process 77 (worker) total-vm:400kB, anon-rss:40kB, file-rss:4kB, shmem-rss:0kB, UID:5 pgtables:40kB oom_score_adj:7",
	} {
		fmt.Fprintf(&b, "6,%d,%d,-;", 100+i, 5_000_000+i)
		for _, c := range []byte(text) {
			if c < ' ' || c >= 0x7f || c == '\\' {
				fmt.Fprintf(&b, `\x%02x`, c)
			} else {
				b.WriteByte(c)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// seen is what is left of a name once it is text: U+FFFD where it is none. That
// is one for each byte from the ring, one for all that follow each other from the
// kernel log; here it is always one.
func seen(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	for strings.Contains(s, "\ufffd\ufffd") {
		s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
	}
	return s
}

// outputs gives a record of a kill in this cgroup in every form, from the ring
// and from the kernel log.
func outputs(t *testing.T, cgroup, format string) []byte {
	t.Helper()
	var out bytes.Buffer
	to := Output{To: &out, Format: format}
	if _, err := Read(t.Context(), ReadOptions{Output: to, Files: []string{"-"}, Stdin: strings.NewReader(kernelLog(cgroup))}); err != nil {
		t.Fatal(err)
	}
	rec := madeUpKill(oom.ScopeCgroup)
	rec.Victim.Cgroup, rec.Trigger.Cgroup, rec.Limit.Cgroup = cgroup, cgroup, cgroup
	rec.Victim.Cmdline, rec.Victim.Comm = cgroup, cgroup[1:min(len(cgroup), 16)]
	run(t, liveStages(t, StageOptions{}), to, rec)
	return out.Bytes()
}

// TestHostileCgroups takes hostile names from both sources to every output.
func TestHostileCgroups(t *testing.T) {
	var all bytes.Buffer
	for name, cgroup := range hostileCgroups() {
		t.Run(name, func(t *testing.T) {
			lines := outputs(t, cgroup, "json")
			all.Write(lines)
			records := bytes.Split(bytes.TrimSuffix(lines, []byte("\n")), []byte("\n"))
			if len(records) != 2 {
				t.Fatalf("%d lines, want 2: %q", len(records), lines)
			}
			for _, line := range records {
				var rec oom.Record
				if err := json.Unmarshal(line, &rec); err != nil {
					t.Fatal(err)
				}
				if seen(rec.Victim.Cgroup) != seen(cgroup) || seen(rec.Limit.Cgroup) != seen(cgroup) {
					t.Errorf("victim's %q, limit's %q, want %q", rec.Victim.Cgroup, rec.Limit.Cgroup, seen(cgroup))
				}
			}
			for _, format := range []string{"json", "text", "wide"} {
				checkPrintable(t, outputs(t, cgroup, format))
			}
			checkScrape(t, cgroup)
		})
	}
	checkJq(t, all.Bytes(), 2*len(hostileCgroups()))
}

// checkPrintable: nothing in it moves a cursor or hides text.
func checkPrintable(t *testing.T, out []byte) {
	t.Helper()
	if !utf8.Valid(out) || bytes.ContainsFunc(out, func(r rune) bool { return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf) }) {
		t.Errorf("control characters or no UTF-8: %q", out)
	}
}

// checkScrape: the name is one label's value, and makes no line of its own.
func checkScrape(t *testing.T, cgroup string) {
	t.Helper()
	m := metrics.New(metrics.Options{})
	rec := madeUpKill(oom.ScopeCgroup)
	rec.Victim.Owner = oom.Owner{Unit: cgroup[1:] + ".service"}
	m.Observe(rec)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	checkPrintable(t, w.Body.Bytes())
	kills := 0
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "oomtrace_kills_total") {
			kills++
			if !strings.HasSuffix(line, "\"} 1\n") {
				t.Errorf("%q", line)
			}
		}
	}
	if kills != 1 {
		t.Errorf("%d series of kills, want 1", kills)
	}
}

// checkJq lets jq read the lines.
func checkJq(t *testing.T, lines []byte, want int) {
	t.Helper()
	cmd := exec.Command("jq", "-e", "-c", `if .schema == 1 then .id else error("no record") end`)
	cmd.Stdin = bytes.NewReader(lines)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Log("no jq here")
		return
	}
	if got := bytes.Count(out, []byte("\n")); err != nil || got != want {
		t.Errorf("jq: %v, %d records, want %d\n%s", err, got, want, out)
	}
}

// TestJqReadsEveryLog lets jq read the records of every kernel log that there is
// a golden for.
func TestJqReadsEveryLog(t *testing.T) {
	logs, err := filepath.Glob("../../testdata/kernlog/*.txt")
	if err != nil || len(logs) == 0 {
		t.Fatalf("%d logs, %v", len(logs), err)
	}
	var out bytes.Buffer
	sum, err := Read(t.Context(), ReadOptions{Output: Output{To: &out, Format: "json"}, Files: logs})
	if err != nil || sum.Failed > 0 {
		t.Fatalf("%d files failed, %v", sum.Failed, err)
	}
	n := bytes.Count(out.Bytes(), []byte("\n"))
	if n < len(logs)/2 {
		t.Errorf("%d records of %d logs", n, len(logs))
	}
	checkJq(t, out.Bytes(), n)
}
