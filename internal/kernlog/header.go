package kernlog

import (
	"bytes"
	"math"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const maxFrames = 64

// parseHeader reads what stands right of the comm: "gfp_mask=0x14200ca(NAMES),
// nodemask=(null), order=0, oom_score_adj=0". The names come with 4.6, the
// nodemask stands here from 4.10 to 4.20.
func (r *report) parseHeader(comm, b []byte) {
	before, b, _ := bytes.Cut(b, []byte("gfp_mask=")) // linux-next has had it last
	mask, rest, _ := scan.Hex(b)
	t := &r.trigger
	t.Comm = scan.Keep(bytes.TrimRight(comm, " "))
	if hidden := len(rest) > 0 && rest[0] != '(' && rest[0] != ',' && rest[0] != ' '; hidden {
		rest = rest[max(0, bytes.IndexByte(rest, '(')):] // "0x62****": people hide digits
	} else if mask <= math.MaxUint32 {
		t.GFPMask = oom.Some(uint32(mask))
	}
	if len(rest) > 0 && rest[0] == '(' {
		if end := bytes.IndexByte(rest, ')'); end > 0 {
			t.GFPFlags = strings.Split(scan.Keep(rest[1:end]), "|")
			rest = rest[end+1:]
		}
	}
	r.parseOrder(before)
	r.parseOrder(rest)
	r.oldAdj = scan.Contains(rest, " oom_adj=")
	r.old = len(comm) == 0 || scan.Contains(rest, "oomkilladj=")
}

// parseOrder reads the header's end, which can come as a line of its own when
// other output fell between its parts.
func (r *report) parseOrder(b []byte) {
	t := &r.trigger
	if mask, ok := scan.After(b, "nodemask="); ok {
		for _, next := range [...]string{", ", ",order="} { // its own commas have no blanks
			if end := bytes.Index(mask, []byte(next)); end >= 0 {
				mask = mask[:end]
			}
		}
		t.Nodemask = nodeList(mask)
	}
	if order := keyed(b, "order=", scan.Int32); order.Known {
		t.Order, r.sysrq = order, order.Value == -1
	}
	t.OOMScoreAdj = either(keyed(b, "oom_score_adj=", scan.Int32), t.OOMScoreAdj)
}

// nodeList is the kernel's list of nodes; a null mask means no restriction.
func nodeList(b []byte) string {
	b = bytes.Trim(b, " ,")
	if string(b) == "(null)" {
		return ""
	}
	return scan.Keep(b)
}

// parseCpuset reads "COMM cpuset=NAME mems_allowed=0-1" (up to 4.20). False when
// it is another task's.
func (r *report) parseCpuset(b []byte) bool {
	i := bytes.LastIndex(b, []byte(" mems_allowed="))
	j := bytes.Index(b, []byte("cpuset="))
	if i < 0 || j < 0 || j+len("cpuset=") > i || !r.byTrigger(b[:j]) {
		return false
	}
	r.trigger.Cpuset = scan.Keep(b[j+len("cpuset=") : i])
	r.trigger.MemsAllowed = scan.Keep(bytes.TrimSpace(b[i+len(" mems_allowed="):]))
	return true
}

// byTrigger says whether a line that begins with this comm can be the trigger's.
func (r *report) byTrigger(comm []byte) bool {
	return r.headless || r.trigger.Comm == "" || r.trigger.Comm == scan.Keep(bytes.TrimSpace(comm))
}

// parseCPU reads "CPU: 1 UID: 0 PID: 77 Comm: x Not tainted 6.12.0 #1" (the UID
// from 6.11 on). The PID is the thread's. False when it is another task's.
func (r *report) parseCPU(b []byte) bool {
	head, tail, ok := bytes.Cut(b, []byte(" Comm: "))
	if !ok { // up to 3.9: "Pid: 77, comm: x Not tainted 3.2.0 #1"
		head, tail, _ = bytes.Cut(b, []byte(" comm: "))
	}
	if comm := r.trigger.Comm; !r.headless && comm != "" && !strings.HasPrefix(scan.Keep(tail), comm) {
		return false
	}
	key := "PID: "
	if !scan.Contains(head, key) {
		key = "Pid: "
	}
	r.trigger.TID = either(keyed(head, key, scan.PID), r.trigger.TID)
	if uid := keyed(head, "UID: ", scan.Uint); uid.Known {
		r.trigger.UID = either(uidOf(uid.Value), r.trigger.UID)
	}
	r.kernel, r.hasCPU = release(b), true
	return true
}

const oldTask = ", task: "

// isOldCPU says whether this is s390's "CPU: 0 Not tainted 2.6.28 #1" or "Process basename
// (pid: 77, task: 1, ksp: 2)", which it printed in place of the CPU's line up to 3.10.
func isOldCPU(b []byte) bool {
	if scan.HasPrefix(b, "Process ") {
		return scan.Contains(b, " (pid: ") && scan.Contains(b, oldTask)
	}
	return scan.HasPrefix(b, "CPU: ") && !scan.Contains(b, "omm: ") && release(b) != ""
}

func (r *report) parseOldCPU(b []byte) bool {
	task, ok := bytes.CutPrefix(b, []byte("Process "))
	if !ok {
		r.kernel, r.hasCPU = release(b), true
		return true
	}
	i := bytes.LastIndex(task, []byte(" (pid: "))
	pid, _, ok := scan.PID(task[i+len(" (pid: "):])
	if !ok || !r.byTrigger(task[:i]) {
		return false
	}
	r.trigger.TID, r.hasCPU = oom.Some(pid), true
	return true
}

// release takes "6.12.0" out of "… Tainted: G W  6.12.0 #1 Debian".
func release(b []byte) string {
	i := bytes.LastIndex(b, []byte(" #"))
	if i < 0 || i+2 >= len(b) || !scan.IsDigit(b[i+2]) || !scan.Contains(b[:i], "ainted") {
		return ""
	}
	b = b[:i]
	b = b[bytes.LastIndexByte(b, ' ')+1:]
	if len(b) == 0 || !scan.IsDigit(b[0]) {
		return ""
	}
	return scan.Keep(b)
}

type stackState int

const (
	stackNone stackState = iota
	stackOpen
	stackDone
	// stackForeign: a second trace in this report is someone else's.
	stackForeign
)

// frame reads " sym+0x1f/0x30 [module]", with "[<address>] " before it on old
// kernels, "[stack] [address] " on powerpc. Guessed frames, marked "? " or
// " (unreliable)", say nothing certain.
func frame(b []byte) (name []byte, guessed, ok bool) {
	for range 2 {
		if len(b) > 18 && b[0] == '[' && b[17] == ']' && b[18] == ' ' && allHex(b[1:17]) {
			b = b[19:]
		}
	}
	if scan.HasPrefix(b, "([<") { // s390, the innermost
		b = bytes.TrimSuffix(b[1:], []byte(")"))
	}
	if scan.HasPrefix(b, "[<") {
		end := bytes.Index(b, []byte(">] "))
		if end < 0 {
			return nil, false, false
		}
		b = scan.SkipSpaces(b[end+3:])
	} else if scan.First(b) == '[' {
		if end := bytes.Index(b, []byte("] ")); end > 0 && scan.Contains(b[:end], "+0x") {
			b = b[end+2:] // klogd named them once more
		}
	}
	if scan.HasPrefix(b, "? ") {
		guessed, b = true, b[2:]
	}
	name, rest := scan.Field(b)
	if scan.HasPrefix(rest, "from ") { // 32-bit ARM: "(callee) from [<address>] (caller+0x1/0x2)"
		b = rest[len("from "):]
		if end := bytes.Index(b, []byte(">] (")); end > 0 && scan.HasPrefix(b, "[<") {
			b = bytes.TrimSuffix(b[end+4:], []byte(")"))
		}
		name, rest = scan.Field(b)
	}
	if n := len(name); n > 2 && name[0] == '(' && name[n-1] == ')' { // what wrapping left of such a line
		name = name[1 : n-1]
	}
	guessed = guessed || len(rest) > 0 && scan.Contains(rest, "(unreliable)")
	if scan.HasPrefix(name, "0x") {
		_, rest, ok := scan.Hex(name)
		return name, guessed, ok && len(rest) == 0
	}
	plus, slash := bytes.IndexByte(name, '+'), bytes.LastIndexByte(name, '/')
	if plus <= 0 || slash < plus+4 || !scan.HasPrefix(name[plus:], "+0x") || !scan.HasPrefix(name[slash:], "/0x") {
		return nil, false, false
	}
	return name[:slash], guessed, true
}

// sysrqWork is what SysRq-f lets a worker call; the header's order says so from 4.3 on only.
const sysrqWork = "moom_callback"

// asksForKill reads "Workqueue: events moom_callback", which stands behind the CPU's line.
func asksForKill(b []byte) bool {
	return scan.HasPrefix(b, "Workqueue: ") && bytes.HasSuffix(b, []byte(" "+sysrqWork))
}

func allHex(b []byte) bool {
	return !slices.ContainsFunc(b, func(c byte) bool {
		_, ok := scan.HexDigit(c)
		return !ok
	})
}

// printing says whether a frame belongs to the printing of the report.
func printing(name []byte) bool {
	symbol, _, _ := bytes.Cut(name, []byte("+"))
	symbol, _, _ = bytes.Cut(symbol, []byte("."))
	switch string(symbol) {
	case "dump_stack", "dump_stack_lvl", "__dump_stack", "dump_backtrace", "show_stack", "dump_header",
		"unwind_backtrace", "show_regs", "__show_regs", "show_trace_log_lvl":
		return true
	}
	return false
}

// chargesCgroup says whether a frame is one that only a cgroup's limit leads to an OOM through
// (mem_cgroup_handle_oom up to 3.11).
func chargesCgroup(name []byte) bool {
	return scan.HasPrefix(name, "mem_cgroup_out_of_memory+") || scan.HasPrefix(name, "mem_cgroup_oom_synchronize+") ||
		scan.HasPrefix(name, "mem_cgroup_handle_oom+")
}

// addFrame adds a frame that says something of the way into the allocator.
func (r *report) addFrame(name []byte) bool {
	t := &r.trigger
	n := len(t.KernelStack)
	if r.stackState != stackOpen || len(t.KernelStack) >= maxFrames || len(t.KernelStack) == 0 && printing(name) {
		return false
	}
	r.sysrq = r.sysrq || scan.HasPrefix(name, sysrqWork+"+")
	r.atLimit = r.atLimit || chargesCgroup(name)
	if n < cap(t.KernelStack) { // the report before had most likely the same one here
		if t.KernelStack = t.KernelStack[:n+1]; t.KernelStack[n] == string(name) {
			return true
		}
	}
	t.KernelStack = append(t.KernelStack[:n], scan.Keep(name))
	return true
}
