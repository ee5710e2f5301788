//go:build vmguest

package systemd

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// memory is a value of /proc/meminfo, in MiB.
func memory(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); f[0] == name+":" {
			n, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			return n / 1024
		}
	}
	t.Fatalf("no %s in /proc/meminfo", name)
	return 0
}

// processes are those of a unit, by the program that they run.
func processes(t *testing.T, unit string) map[int]string {
	t.Helper()
	group := property(t, unit, "ControlGroup")
	b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", group, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]string{}
	for _, word := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err == nil {
			out[pid] = strings.TrimSpace(string(comm))
		}
	}
	return out
}

// manager is a memory manager and the kill that it is brought to.
type manager struct {
	name, service string
	// settings are for its unit, file is one of its own.
	settings, file, text string
	// victim are settings of the unit that it shall kill, command what runs there.
	victim  []string
	command []string
	// dead is how many processes it kills.
	dead int
	// says is a part of its own words.
	says string
}

func managers(t *testing.T) []manager {
	// nohang takes no threshold above 50 %, of all memory; earlyoom's are of what
	// processes can have.
	const below = 48
	total := memory(t, "MemTotal")
	eat := []string{"/hog", "eat", strconv.Itoa(memory(t, "MemAvailable") - total*(below-12)/100)}
	nohang := fmt.Sprintf("soft_threshold_min_mem = %d %%\nhard_threshold_min_mem = %d %%\nwarning_threshold_min_mem = %d %%\n", below, below, below)
	pressed := []string{"MemoryHigh=32M", "ManagedOOMMemoryPressure=kill", "ManagedOOMMemoryPressureLimit=2%"}
	swapped := []string{"MemoryHigh=32M", "ManagedOOMSwap=kill"}
	const oomd = "/etc/systemd/oomd.conf.d/test.conf"
	return []manager{
		{
			name: "earlyoom", service: "earlyoom.service", command: eat, dead: 1, says: "low memory! at or below SIGKILL limits",
			settings: "[Service]\nEnvironmentFile=\nEnvironment=\"EARLYOOM_ARGS=-m 60,60\"\n",
		},
		{
			name: "nohang", service: "nohang.service", command: eat, dead: 1, // its words come when its buffer is full
			settings: "[Service]\nExecStart=\nExecStart=/usr/sbin/nohang --monitor --config /etc/nohang/test.conf\n",
			file:     "/etc/nohang/test.conf", text: nohangConfig(t, nohang),
		},
		{
			name: "systemd-oomd", service: "systemd-oomd.service", victim: pressed, command: []string{"/hog", "group", "3", "900"}, dead: 3,
			file: oomd, text: "[OOM]\nDefaultMemoryPressureDurationSec=1s\n", says: "due to memory pressure",
		},
		{
			name: "systemd-oomd", service: "systemd-oomd.service", victim: swapped, command: []string{"/hog", "eat", "900"}, dead: 1,
			file: oomd, text: "[OOM]\nSwapUsedLimit=10%\n", says: "due to memory used",
		},
	}
}

// nohangConfig is Debian's, with other thresholds.
func nohangConfig(t *testing.T, thresholds string) string {
	t.Helper()
	b, err := os.ReadFile("/etc/nohang/nohang.conf")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for line := range strings.Lines(string(b)) {
		if name, _, ok := strings.Cut(line, "="); !ok || !strings.Contains(thresholds, strings.TrimSpace(name)+" =") || strings.HasPrefix(line, "#") {
			out.WriteString(line)
		}
	}
	return out.String() + "\n" + thresholds
}

// swapOn gives the machine swap, which systemd-oomd judges by.
func swapOn(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/sys/block/zram0/disksize", []byte("1G"), 0); err != nil {
		t.Fatal(err)
	}
	do(t, "mkswap", "/dev/zram0")
	do(t, "swapon", "/dev/zram0")
	t.Cleanup(func() {
		do(t, "swapoff", "/dev/zram0")
		if err := os.WriteFile("/sys/block/zram0/reset", []byte("1"), 0); err != nil {
			t.Error(err)
		}
	})
}

// manage: what a memory manager kills has one record for each process, with the
// manager as its sender, and none of an OOM kill.
func manage(t *testing.T) {
	for i, m := range managers(t) {
		t.Run(fmt.Sprintf("%s %d", m.name, i), func(t *testing.T) {
			if m.name == "systemd-oomd" {
				swapOn(t)
			}
			if m.file != "" {
				if err := os.MkdirAll(filepath.Dir(m.file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(m.file, []byte(m.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if m.settings != "" {
				dropIn(t, m.service, m.settings)
			}
			do(t, "systemctl", "start", m.service)
			defer func() {
				if t.Failed() {
					out, _ := try("journalctl", "--no-pager", "--unit", m.service, "--lines", "30")
					t.Logf("its log: %s", out)
				}
				do(t, "systemctl", "stop", m.service)
				_, _ = try("systemctl", "reset-failed", m.service)
			}()
			before := len(oomKills(t))
			unit := fmt.Sprintf("managed-%d", i)
			start(t, unit, m.victim, m.command...)
			until(t, "the unit has ended", func() bool { return property(t, unit+".service", "ActiveState") != "active" })
			m.recorded(t, unit+".service")
			if n := len(oomKills(t)); n != before {
				t.Errorf("%d OOM kills", n-before)
			}
		})
	}
}

// oomKills are all records of OOM kills.
func oomKills(t *testing.T) []oom.Record {
	t.Helper()
	return slices.DeleteFunc(records(t), func(r oom.Record) bool { return r.Kind != oom.KindKill })
}

// recorded holds the records of what the manager killed against what it did.
func (m *manager) recorded(t *testing.T, unit string) {
	t.Helper()
	var got []oom.Record
	until(t, "the records of "+unit, func() bool {
		got = of(t, oom.KindSigkill, unit)
		return len(got) >= m.dead
	})
	pids := map[int32]bool{}
	said := false
	for _, r := range got {
		pids[r.Victim.PID.Value] = true
		if r.Sender == nil || r.Sender.Program != m.name || r.Sender.Role != oom.RoleMemoryManager || r.Cause != oom.CauseMemoryManager {
			t.Errorf("cause %s, sender %+v", r.Cause, r.Sender)
			continue
		}
		if r.Why == nil || r.Why.Verdict != "killed_by_manager" {
			t.Errorf("why %+v", r.Why)
		}
		if r.Sender.Unit != m.service {
			t.Errorf("sender's unit %q", r.Sender.Unit)
		}
		t.Logf("process %d: %s says %q", r.Victim.PID.Value, r.Sender.Program, r.Sender.Says)
		said = said || strings.Contains(r.Sender.Says, m.says)
	}
	if len(pids) != m.dead || len(got) != m.dead {
		t.Errorf("%d records of %d processes, want %d", len(got), len(pids), m.dead)
	}
	if !said && m.spoke(t, got) {
		t.Errorf("none has its words %q", m.says)
	}
}

// inTime is how long after a kill the journal must have a manager's words for its record
// to have them: a record waits half a second for them and no longer (Words in
// internal/senders), of which the look into the journal takes a part. Nor does it look
// more than three seconds back.
const inTime = 300 * time.Millisecond

// spoke says whether the journal had the manager's words in time for one of the records,
// by the journal's own times. On a busy host they may come later.
func (m *manager) spoke(t *testing.T, records []oom.Record) bool {
	t.Helper()
	for line := range strings.Lines(do(t, "journalctl", "--no-pager", "--output=json", "--unit", m.service)) {
		var e struct {
			Message string `json:"MESSAGE"`
			Time    int64  `json:"__REALTIME_TIMESTAMP,string"` // us
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || !strings.Contains(e.Message, m.says) {
			continue // a message that is no text is an array
		}
		for _, r := range records {
			late := time.UnixMicro(e.Time).Sub(r.Time)
			t.Logf("its words came %v after the SIGKILL of %d", late, r.Victim.PID.Value)
			if late < inTime && late > -2*time.Second {
				return true
			}
		}
	}
	return false
}

// policy: what systemd does after an OOM kill in a unit belongs to that kill.
func policy(t *testing.T) {
	for _, p := range []string{"stop", "kill", "continue"} {
		t.Run(p, func(t *testing.T) {
			unit := "policy-" + p
			fifo := "/run/" + unit
			if err := unix.Mkfifo(fifo, 0o600); err != nil {
				t.Fatal(err)
			}
			start(t, unit, []string{"MemoryMax=64M", "MemorySwapMax=0", "OOMPolicy=" + p, "TimeoutStopSec=1"},
				"/bin/sh", "-c", `trap "" TERM; /bin/sleep 600 & read go <"$1"; /hog eat 128; while :; do /bin/sleep 600; done`, "sh", fifo)
			var before map[int]string
			until(t, "it runs", func() bool { before = processes(t, unit+".service"); return len(before) == 2 })
			if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
				t.Fatal(err)
			}
			state := func() string { return property(t, unit+".service", "ActiveState") }
			until(t, "the kill is recorded", func() bool { return len(of(t, oom.KindKill, unit+".service")) > 0 })
			if p != "continue" {
				until(t, "systemd has ended it", func() bool { return state() == "failed" })
			}
			// Records come in order: that of a later kill has all others before it.
			overrun(t, "after-"+unit)
			recorded(t, "after-"+unit+".service")
			m := victimsOf(t, unit+".service")
			t.Logf("%s: processes %v, kills %+v", p, before, m)
			m.judge(t, p, before, state())
		})
	}
}

// dead are the records of what died in a unit, by process.
type dead struct {
	oom, sigkill []int
	incidents    map[string]bool
	senders      map[string]bool
}

func victimsOf(t *testing.T, unit string) dead {
	t.Helper()
	d := dead{incidents: map[string]bool{}, senders: map[string]bool{}}
	for _, r := range of(t, oom.KindKill, unit) {
		d.oom = append(d.oom, int(r.Victim.PID.Value))
		d.incidents[r.Incident] = true
	}
	for _, r := range of(t, oom.KindSigkill, unit) {
		d.sigkill = append(d.sigkill, int(r.Victim.PID.Value))
		d.incidents[r.Incident] = true
		if r.Sender != nil {
			d.senders[r.Sender.Program] = true
		}
	}
	return d
}

func (d *dead) judge(t *testing.T, policy string, before map[int]string, state string) {
	t.Helper()
	if len(d.incidents) != 1 {
		t.Errorf("incidents %v, want one", d.incidents)
	}
	killed := 0 // of those that were there before
	for pid := range before {
		if slices.Contains(d.oom, pid) || slices.Contains(d.sigkill, pid) {
			killed++
		}
	}
	switch policy {
	case "stop":
		// The shell and its first child ignore SIGTERM; the hog is the victim.
		if len(d.oom) != 1 || len(d.sigkill) < 2 || killed < 2 || len(d.senders) != 1 || !d.senders["systemd"] {
			t.Errorf("OOM %v, SIGKILL %v by %v", d.oom, d.sigkill, d.senders)
		}
	case "kill":
		// systemd signals what is still there: whom it reaches before the OOM killer,
		// which goes through the unit's cgroup, is its victim alone.
		twice := slices.ContainsFunc(d.sigkill, func(pid int) bool { return slices.Contains(d.oom, pid) })
		delete(d.senders, "systemd")
		if len(d.oom) == 0 || len(d.oom)+len(d.sigkill) < 3 || killed < 2 || twice || len(d.senders) != 0 {
			t.Errorf("OOM %v, SIGKILL %v, not only by systemd: %v", d.oom, d.sigkill, d.senders)
		}
	case "continue":
		if len(d.oom) != 1 || len(d.sigkill) != 0 || state != "active" {
			t.Errorf("OOM %v, SIGKILL %v, unit %s", d.oom, d.sigkill, state)
		}
	}
}
