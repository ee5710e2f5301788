// Package witness reads what the kernel itself says about OOM kills, apart from
// all code that is under test: the raw lines of /dev/kmsg, and the few that
// name the kill taken to pieces (kernel: mm/oom_kill.c, dump_oom_summary and
// __oom_kill_process).
package witness

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Log is the kernel log from one point on.
type Log struct {
	fd int
}

// Open returns the kernel log from now on.
func Open() (*Log, error) {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("kernel log: %w", err)
	}
	if _, err := unix.Seek(fd, 0, io.SeekEnd); err != nil {
		return nil, errors.Join(fmt.Errorf("kernel log: %w", err), unix.Close(fd))
	}
	return &Log{fd}, nil
}

// Close closes the log.
func (l *Log) Close() error { return unix.Close(l.fd) }

// Read returns the records that came since the last Read, as /dev/kmsg gives
// them: "6,123,456,-;text", without the newline and the lines of key=value.
func (l *Log) Read() ([]string, error) {
	var lines []string
	buf := make([]byte, 16<<10)
	for {
		n, err := unix.Read(l.fd, buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return lines, nil
		case errors.Is(err, unix.EPIPE):
			return lines, errors.New("kernel log: records were overwritten before they were read")
		case err != nil:
			return lines, fmt.Errorf("kernel log: %w", err)
		}
		line, _, _ := strings.Cut(string(buf[:n]), "\n")
		lines = append(lines, line)
	}
}

// Kill is a "Killed process" line.
type Kill struct {
	// Reason is what the line starts with, such as "Memory cgroup out of memory".
	Reason    string
	PID       int
	Comm      string
	TotalVMKB uint64
	AnonKB    uint64
	FileKB    uint64
	ShmemKB   uint64
	UID       int
	// PgtablesKB is in the line from 5.4 on, as UID and Adj are.
	PgtablesKB uint64
	Adj        int
}

// Decision is an "oom-kill:" line: what was decided, and for which task.
type Decision struct {
	// Constraint is CONSTRAINT_MEMCG and so on.
	Constraint string
	// OOMMemcg is the cgroup at its limit; empty and Global set on a system OOM.
	OOMMemcg  string
	Global    bool
	TaskMemcg string
	Task      string
	PID       int
	UID       int
}

// Text returns the text of a /dev/kmsg record.
func Text(record string) string {
	_, text, ok := strings.Cut(record, ";")
	if !ok {
		return record
	}
	return text
}

// Kills takes the "Killed process" lines out of records.
func Kills(records []string) ([]Kill, error) {
	var kills []Kill
	for _, r := range records {
		reason, rest, ok := strings.Cut(Text(r), ": Killed process ")
		if !ok {
			continue
		}
		k, err := parseKill(rest)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", r, err)
		}
		k.Reason = reason
		kills = append(kills, k)
	}
	return kills, nil
}

// parseKill reads "PID (COMM) total-vm:1kB, …". The name may hold anything, so
// it is what stands between the first bracket and the last ") total-vm:".
func parseKill(s string) (Kill, error) {
	pid, rest, ok := strings.Cut(s, " (")
	end := strings.LastIndex(rest, ") total-vm:")
	if !ok || end < 0 {
		return Kill{}, errors.New("no name")
	}
	k := Kill{Comm: rest[:end]}
	var err error
	if k.PID, err = strconv.Atoi(pid); err != nil {
		return Kill{}, err
	}
	numbers := map[string]*uint64{
		"total-vm": &k.TotalVMKB, "anon-rss": &k.AnonKB, "file-rss": &k.FileKB, "shmem-rss": &k.ShmemKB, "pgtables": &k.PgtablesKB,
	}
	ints := map[string]*int{"UID": &k.UID, "oom_score_adj": &k.Adj}
	fields := strings.Fields(strings.ReplaceAll(rest[end+2:], ",", " "))
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ":")
		if p := numbers[name]; p != nil {
			*p, err = strconv.ParseUint(strings.TrimSuffix(value, "kB"), 10, 64)
		} else if p := ints[name]; p != nil {
			*p, err = strconv.Atoi(value)
		}
		if err != nil {
			return Kill{}, err
		}
	}
	return k, nil
}

// Decisions takes the "oom-kill:" lines out of records.
func Decisions(records []string) ([]Decision, error) {
	var all []Decision
	for _, r := range records {
		rest, ok := strings.CutPrefix(Text(r), "oom-kill:constraint=")
		if !ok {
			continue
		}
		d, err := parseDecision(rest)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", r, err)
		}
		all = append(all, d)
	}
	return all, nil
}

// parseDecision reads
// "C,nodemask=N,cpuset=S,mems_allowed=M,oom_memcg=A,task_memcg=B,task=NAME,pid=P,uid=U",
// or "…,global_oom,task_memcg=…". Commas in names make it ambiguous; the keys
// are looked for in the order in which the kernel writes them.
func parseDecision(s string) (Decision, error) {
	var d Decision
	var ok bool
	if d.Constraint, s, ok = strings.Cut(s, ",nodemask="); !ok {
		return d, errors.New("no nodemask")
	}
	if before, after, found := strings.Cut(s, ",oom_memcg="); found {
		_ = before
		d.OOMMemcg, s, ok = strings.Cut(after, ",task_memcg=")
	} else {
		d.Global = true
		_, s, ok = strings.Cut(s, ",global_oom,task_memcg=")
	}
	if !ok {
		return d, errors.New("no task_memcg")
	}
	at := strings.LastIndex(s, ",uid=")
	if at < 0 {
		return d, errors.New("no uid")
	}
	var err error
	if d.UID, err = strconv.Atoi(s[at+5:]); err != nil {
		return d, err
	}
	s = s[:at]
	if at = strings.LastIndex(s, ",pid="); at < 0 {
		return d, errors.New("no pid")
	}
	if d.PID, err = strconv.Atoi(s[at+5:]); err != nil {
		return d, err
	}
	s = s[:at]
	if at = strings.LastIndex(s, ",task="); at < 0 {
		return d, errors.New("no task")
	}
	d.TaskMemcg, d.Task = s[:at], s[at+6:]
	return d, nil
}
