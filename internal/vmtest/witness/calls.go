package witness

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Calls counts the system calls of one process.
type Calls struct {
	made, refused *ebpf.Map
	links         []link.Link
}

// mostCalls is more than any number of a system call.
const mostCalls = 512

// WatchCalls counts from now on. What a filter refuses does not count as made
// (kernel/entry/common.c, syscall_trace_enter).
func WatchCalls(pid int) (*Calls, error) {
	if err := rlimit.RemoveMemlock(); err != nil { // needed before 5.11
		return nil, err
	}
	var c Calls
	var err error
	// The number is the tracepoint's second argument.
	if c.made, err = c.count(pid, "sys_enter", asm.Instructions{
		asm.LoadMem(asm.R1, asm.R6, 8, asm.DWord),
		asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word),
	}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// The number is in pt_regs (arch/x86/include/asm/ptrace.h, orig_ax;
	// arch/arm64/include/asm/ptrace.h, syscallno).
	number := int32(15 * 8)
	if runtime.GOARCH == "arm64" {
		number = 35 * 8
	}
	if c.refused, err = c.count(pid, "sys_exit", asm.Instructions{
		asm.LoadMem(asm.R1, asm.R6, 8, asm.DWord),
		asm.JNE.Imm(asm.R1, -int32(unix.EPERM), "exit"),
		asm.LoadMem(asm.R3, asm.R6, 0, asm.DWord),
		asm.Add.Imm(asm.R3, number),
		asm.Mov.Imm(asm.R2, 4),
		asm.Mov.Reg(asm.R1, asm.RFP),
		asm.Add.Imm(asm.R1, -4),
		asm.FnProbeReadKernel.Call(),
	}); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &c, nil
}

// count attaches a program that counts by the number that find puts at r10-4.
func (c *Calls) count(pid int, tracepoint string, find asm.Instructions) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: mostCalls})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tracepoint, err)
	}
	code := append(asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnGetCurrentPidTgid.Call(),
		asm.RSh.Imm(asm.R0, 32),
		asm.JNE.Imm(asm.R0, int32(pid), "exit"),
	}, find...)
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
		return nil, errors.Join(fmt.Errorf("%s: %w", tracepoint, err), m.Close())
	}
	l, err := link.AttachRawTracepoint(link.RawTracepointOptions{Name: tracepoint, Program: program})
	if err = errors.Join(err, program.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", tracepoint, err), m.Close())
	}
	c.links = append(c.links, l)
	return m, nil
}

// Counts are how often each call was made, and how often one came back with EPERM, by
// number.
func (c *Calls) Counts() (made, refused map[uintptr]uint64, err error) {
	if made, err = counts(c.made); err == nil {
		refused, err = counts(c.refused)
	}
	return made, refused, err
}

func counts(m *ebpf.Map) (map[uintptr]uint64, error) {
	all := map[uintptr]uint64{}
	for nr := range uint32(mostCalls) {
		var n uint64
		if err := m.Lookup(nr, &n); err != nil {
			return nil, err
		}
		if n > 0 {
			all[uintptr(nr)] = n
		}
	}
	return all, nil
}

// Close ends it.
func (c *Calls) Close() error {
	var err error
	for _, l := range c.links {
		err = errors.Join(err, l.Close())
	}
	for _, m := range []*ebpf.Map{c.made, c.refused} {
		if m != nil {
			err = errors.Join(err, m.Close())
		}
	}
	return err
}
