//go:build hosttest

package tracer

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// TestHostKills traces real kills on this machine, in whichever hierarchy it
// has, on every tier that needs neither kprobes nor tracefs.
func TestHostKills(t *testing.T) {
	form := newRSSForm(t)
	for _, tier := range []Tier{TierAuto, TierTPBTF, TierRawTP} {
		t.Run("tier="+string(tier), func(t *testing.T) {
			l := start(t, tier, form)
			l.shared = true
			for _, s := range cgroupScenarios() {
				t.Run(s.name, func(t *testing.T) {
					// This machine need not allow the decision's programs.
					s.run(t, l, TierTPBTF)
				})
			}
			if l.reports == 0 {
				t.Error("no oom-kill line of any of these kills")
			}
		})
	}
}

// TestHostCounters: what is asked after every record, in a trace without losses.
func TestHostCounters(t *testing.T) {
	tr, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Stats(); err != nil {
		t.Error(err)
	}
	if lost, err := tr.unreported(nil); err != nil || len(lost) > 0 {
		t.Error(lost, err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if _, err := tr.Stats(); err == nil {
		t.Error("a closed tracer counts on")
	}
}

// TestHostFunctionTypes: fentry is not tried on what BTF does not have.
func TestHostFunctionTypes(t *testing.T) {
	a := &attacher{cache: btf.NewCache()}
	for name, want := range map[string]error{hookOutOfMemory: nil, "no_such_function": errNoFunctionType, "task_struct": errNoFunctionType} {
		if err := a.refused(functionHook(name, 0, "", ""), candidate{kind: string(TierFentry)}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// TestHostCmdlines: the living keep their command lines, however many processes exit; a child
// of one that exits keeps its parent's.
func TestHostCmdlines(t *testing.T) {
	tr, err := Open(t.Context(), Options{CmdlineEntries: 2048})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close() }()
	lines := tr.maps[probe.OomtraceMapCmdlines]
	lives := exec.Command("sleep", "1000")
	if err := lives.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lives.Process.Kill(); _ = lives.Wait() }()
	waits, holds, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = waits.Close(), holds.Close() }() // which ends the daemon
	sh := exec.Command("sh", "-c", "(read -r line) <&3 >/dev/null 2>&1 & echo $!")
	sh.ExtraFiles = []*os.File{waits}
	out, err := sh.Output()
	daemon, numErr := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || numErr != nil {
		t.Fatal(err, numErr)
	}
	var gone []uint32
	for range 3000 {
		cmd := exec.Command("true")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		gone = append(gone, uint32(cmd.Process.Pid))
	}
	for pid, want := range map[int]string{lives.Process.Pid: "sleep\x001000\x00", daemon: "sh\x00-c\x00(read"} {
		var line probe.OomtraceCmdline
		if err := lines.Lookup(uint32(pid), &line); err != nil || !strings.HasPrefix(string(line.Text[:line.Len]), want) {
			t.Errorf("process %d: %v: %q, want %q", pid, err, line.Text[:line.Len], want)
		}
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if ticks, ok := statField(stat, statStart); err != nil || !ok || line.StartBootNs/(1e9/userHZ) != ticks {
			t.Errorf("process %d: started at %d ns, %d ticks (%v)", pid, line.StartBootNs, ticks, err)
		}
	}
	kept := 0
	for _, pid := range gone {
		if lines.Lookup(pid, new(probe.OomtraceCmdline)) == nil {
			kept++
		}
	}
	if most := 256 * int(tr.machine.CPUs); kept == 0 || kept > most {
		t.Errorf("%d command lines of exited processes, at most %d", kept, most)
	}
}
