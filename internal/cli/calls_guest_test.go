//go:build vmguest

package cli

import (
	"net/http"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/harden"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// mostCalls is more than any number of a system call.
const mostCalls = 512

// recorder counts the system calls of one process: those that are made, and those
// that come back with EPERM, as the filter lets them.
type recorder struct{ made, refused *ebpf.Map }

// record starts to count the calls of a process.
func record(t *testing.T, pid int) *recorder {
	t.Helper()
	// Where pt_regs has the number (arch/x86/include/asm/ptrace.h, orig_ax;
	// arch/arm64/include/asm/ptrace.h, syscallno).
	number := int32(15 * 8)
	if runtime.GOARCH == "arm64" {
		number = 35 * 8
	}
	var r recorder
	for _, at := range []struct {
		point string
		into  **ebpf.Map
		find  asm.Instructions // puts the number at r10-4, or goes to exit
	}{
		{"sys_enter", &r.made, asm.Instructions{
			asm.LoadMem(asm.R1, asm.R6, 8, asm.DWord),
			asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
		}},
		{"sys_exit", &r.refused, asm.Instructions{
			asm.LoadMem(asm.R1, asm.R6, 8, asm.DWord),
			asm.JNE.Imm(asm.R1, -int32(unix.EPERM), "exit"),
			asm.LoadMem(asm.R3, asm.R6, 0, asm.DWord),
			asm.Add.Imm(asm.R3, number),
			asm.Mov.Imm(asm.R2, 4),
			asm.Mov.Reg(asm.R1, asm.RFP),
			asm.Add.Imm(asm.R1, -4),
			asm.FnProbeReadKernel.Call(),
		}},
	} {
		m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: mostCalls})
		if err != nil {
			t.Fatal(err)
		}
		*at.into = m
		code := asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.FnGetCurrentPidTgid.Call(),
			asm.RSh.Imm(asm.R0, 32),
			asm.JNE.Imm(asm.R0, int32(pid), "exit"),
		}
		code = append(code, at.find...)
		code = append(code,
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "exit"),
			asm.Mov.Imm(asm.R1, 1),
			asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("exit"),
			asm.Return())
		program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.RawTracepoint, License: "GPL", Instructions: code})
		if err != nil {
			t.Fatalf("%s: %v", at.point, err)
		}
		l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: at.point, Program: program})
		if err != nil {
			t.Fatalf("%s: %v", at.point, err)
		}
		t.Cleanup(func() { _, _, _ = l.Close(), program.Close(), m.Close() })
	}
	return &r
}

// counts are the calls that were counted, by number.
func counts(t *testing.T, m *ebpf.Map) map[uintptr]uint64 {
	t.Helper()
	all := map[uintptr]uint64{}
	for nr := range uint32(mostCalls) {
		var n uint64
		if err := m.Lookup(nr, &n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			all[uintptr(nr)] = n
		}
	}
	return all
}

// TestPrivilegesCalls holds the table of system calls that a hardened process may make
// against those that it makes, from the ready file to its end.
func TestPrivilegesCalls(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kills.json")
	made, refused := map[uintptr]uint64{}, map[uintptr]uint64{}
	for _, args := range [][]string{
		{"--source", "bpf", "--pin", bpffs(t), "--since-boot", "--sigkill", "all", "--metrics", "127.0.0.1:0", "--output-file", file, "--output-max-bytes", "4096"},
		{"--source", "kmsg", "-o", "json"},
	} {
		p := newTracee(t, args...).startReady()
		r := record(t, p.cmd.Process.Pid)
		exercise(t, p)
		p.interrupt()
		for nr, n := range counts(t, r.made) {
			made[nr] += n
		}
		for nr, n := range counts(t, r.refused) {
			refused[nr] += n
		}
	}
	known := map[uintptr]bool{}
	for _, c := range harden.Calls() {
		known[c.Number] = true
		t.Logf("%s (%d): %d times, %d EPERM", c.Name, c.Number, made[c.Number], refused[c.Number])
		if made[c.Number] == 0 && c.Rare == "" {
			t.Errorf("%s is allowed, is never made, and no reason is given", c.Name)
		}
	}
	for nr := range refused {
		if !known[nr] {
			t.Errorf("call %d is made, and refused", nr)
		}
	}
}

// exercise makes a trace do what it does in its life.
func exercise(t *testing.T, p *tracee) {
	for range 3 {
		if err := overrunOnce("calls"); err != nil {
			t.Fatal(err)
		}
	}
	a := act(t, workload.Sleeper, 0)
	kill(t, a.PID)
	a.Wait()
	if address := regexp.MustCompile(`metrics on http://([^/]+)/metrics`).FindStringSubmatch(p.stderr.String()); address != nil {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
		for _, path := range []string{"/metrics", "/healthz"} {
			resp, err := client.Get("http://" + address[1] + path)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	_ = p.cmd.Process.Signal(syscall.SIGURG) // as the runtime does, to preempt
	time.Sleep(3 * time.Second)              // what is done now and then
	if strings.Contains(p.stderr.String(), "warning") {
		t.Error(p.stderr.String())
	}
}
