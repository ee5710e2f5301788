//go:build vmguest

package systemd

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

const (
	service = "oomtrace.service"
	pins    = "/sys/fs/bpf/oomtrace"
	kills   = "/var/log/oomtrace/kills.json"
	// flags are what /etc/default/oomtrace proposes, where no collector reads the
	// journal.
	defaults = "/etc/default/oomtrace"
	flags    = "OOMTRACE_ARGS=\"--output-file " + kills + " --output-max-bytes 10000000\"\n"
)

// programs counts the BPF programs that trace.
func programs(t *testing.T) int {
	t.Helper()
	n := 0
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := ebpf.NewProgramFromID(next)
		if errors.Is(err, os.ErrNotExist) {
			id = next
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		switch p.Type() {
		case ebpf.Tracing, ebpf.Kprobe, ebpf.TracePoint, ebpf.RawTracepoint, ebpf.RawTracepointWritable:
			n++
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		id = next
	}
}

// install: a package starts nothing by itself; enabled, it runs and records.
func install(t *testing.T) {
	do(t, "dpkg", "--install", "/debs/1.0.0.deb")
	if state, _ := try("systemctl", "is-active", service); state != "inactive" {
		t.Errorf("after the installation it is %s", state)
	}
	if err := os.WriteFile(defaults, []byte(flags), 0o644); err != nil {
		t.Fatal(err)
	}
	do(t, "systemctl", "enable", "--now", service)
	if state := property(t, service, "ActiveState"); state != "active" {
		t.Fatalf("it is %s", state)
	}
	overrun(t, "first")
	recorded(t, "first.service")
	if programs(t) == 0 || gone(pins) {
		t.Errorf("%d programs; pins are gone: %v", programs(t), gone(pins))
	}
}

// crash: however it ends, it comes back, and the kill that comes next has its one
// record. After STOP the watchdog has to end it. QUIT stands for a panic: the runtime
// ends both alike, after it has printed the goroutines.
func crash(t *testing.T) {
	for _, signal := range []string{"SEGV", "ABRT", "QUIT", "KILL", "STOP"} {
		t.Run(signal, func(t *testing.T) {
			before := restarts(t)
			do(t, "systemctl", "kill", "--signal", signal, service)
			unit := "after-" + strings.ToLower(signal)
			overrun(t, unit)
			until(t, "it is restarted", func() bool {
				return restarts(t) > before && property(t, service, "ActiveState") == "active"
			})
			recorded(t, unit+".service")
			if n := restarts(t); n != before+1 {
				t.Errorf("%d restarts", n-before)
			}
		})
	}
}

// change installs another version over the one that runs: the kills before, during
// and after have their records.
func change(t *testing.T, version string) {
	name := strings.ReplaceAll(version, ".", "-")
	old := property(t, service, "MainPID")
	overrun(t, "before-"+name)
	do(t, "dpkg", "--install", "/debs/"+version+".deb")
	overrun(t, "after-"+name)
	if got := do(t, "dpkg-query", "--show", "--showformat", "${Version} ${Status}", "oomtrace"); got != version+" install ok installed" {
		t.Errorf("installed: %s", got)
	}
	if b, err := os.ReadFile(defaults); err != nil || string(b) != flags {
		t.Errorf("%s is now %q, %v", defaults, b, err)
	}
	if now := property(t, service, "MainPID"); now == old || property(t, service, "ActiveState") != "active" {
		t.Errorf("process %s before, %s after", old, now)
	}
	recorded(t, "before-"+name+".service")
	recorded(t, "after-"+name+".service")
}

// usageError: what a restart does not mend is not tried again.
func usageError(t *testing.T) {
	dropIn(t, service, "[Service]\nEnvironment=OOMTRACE_ARGS=--nonsense\nEnvironmentFile=\n")
	if _, err := try("systemctl", "restart", service); err == nil {
		t.Error("it starts with a wrong flag")
	}
	before := restarts(t)
	until(t, "it has failed", func() bool { return property(t, service, "ActiveState") == "failed" })
	if code := property(t, service, "ExecMainStatus"); code != "2" {
		t.Errorf("exit status %s", code)
	}
	// Longer than RestartSec=: systemd would have tried again.
	do(t, "sleep", "3")
	if state, n := property(t, service, "ActiveState"), restarts(t); state != "failed" || n != before {
		t.Errorf("%s after %d restarts", state, n-before)
	}
}

// purge: nothing stays, neither in the kernel nor in a file.
func purge(t *testing.T, before int) {
	do(t, "systemctl", "restart", service)
	overrun(t, "last")
	recorded(t, "last.service")
	do(t, "dpkg", "--purge", "oomtrace")
	for _, path := range []string{
		pins, "/usr/bin/oomtrace", defaults, "/var/log/oomtrace", "/usr/lib/systemd/system/oomtrace.service",
		"/usr/lib/systemd/system/oomtrace.socket", "/etc/systemd/system/multi-user.target.wants/oomtrace.service", "/run/oomtrace",
	} {
		if !gone(path) {
			t.Errorf("%s is left", path)
		}
	}
	until(t, "its programs leave the kernel", func() bool { return programs(t) == before })
	if units := do(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "oomtrace*"); units != "" {
		t.Errorf("units are left: %s", units)
	}
	if list, _ := try("dpkg-query", "--show", "oomtrace"); list != "" {
		t.Errorf("dpkg knows %s", list)
	}
}
