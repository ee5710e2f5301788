package tracer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cilium/ebpf"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// statArgStart is arg_start's place among the fields of /proc/PID/stat that
// follow the command name, counted from 0 (field 48 in proc(5), the third is
// the first one here).
const statArgStart = 45

// statStart is starttime's, field 22, in ticks of userHZ since the machine's start.
const (
	statStart = 19
	userHZ    = 100
)

// errNoCmdline reports a process that has no command line, or no longer.
var errNoCmdline = errors.New("no command line")

// scanCmdlines puts the command lines of the processes that are there already
// into the map that exec fills from now on. A process that goes meanwhile is no
// error. Entries that exec has written are left alone.
func scanCmdlines(proc string, m *ebpf.Map) error {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return fmt.Errorf("scan command lines: %w", err)
	}
	for _, e := range entries {
		pid, err := strconv.ParseUint(e.Name(), 10, 31)
		if err != nil {
			continue
		}
		line, err := readCmdline(filepath.Join(proc, e.Name()))
		if err != nil {
			continue
		}
		err = m.Update(uint32(pid), &line, ebpf.UpdateNoExist)
		if err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
			return fmt.Errorf("scan command lines: pid %d: %w", pid, err)
		}
	}
	return nil
}

// readCmdline reads cmdline and, to tell whose arguments they are, arg_start of
// stat in a /proc/PID directory (Documentation/filesystems/proc.rst).
func readCmdline(dir string) (line probe.OomtraceCmdline, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return line, err
	}
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return line, err
	}
	start, ok := argStart(stat)
	if !ok || len(b) == 0 {
		return line, errNoCmdline
	}
	ticks, _ := statField(stat, statStart)
	n := copy(line.Text[:], b)
	line.ArgStart, line.StartBootNs, line.Len = start, ticks*(1e9/userHZ), uint32(n)
	if n < len(b) {
		line.Cut = 1
	}
	return line, nil
}

// argStart is 0 for those who may not ptrace.
func argStart(stat []byte) (uint64, bool) {
	v, ok := statField(stat, statArgStart)
	return v, ok && v != 0
}

// statField finds a number behind the command name, which may hold anything, parentheses
// and spaces too.
func statField(stat []byte, n int) (uint64, bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, false
	}
	fields := bytes.Fields(stat[i+1:])
	if len(fields) <= n {
		return 0, false
	}
	v, err := strconv.ParseUint(string(fields[n]), 10, 64)
	return v, err == nil
}
