package wire

import (
	"strconv"
	"strings"
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/probe"
)

func (d *victimDecoder) stacks() error {
	kernel, err := d.span(d.raw.KernelStack, "kernel stack")
	if err != nil {
		return err
	}
	user, err := d.span(d.raw.UserStack, "user stack")
	if err != nil {
		return err
	}
	d.ev.UserStack = make([]oom.UserFrame, 0, len(user)/8)
	for len(user) >= 8 {
		address, _ := take[uint64](user, "user stack")
		d.ev.UserStack = append(d.ev.UserStack, oom.UserFrame{Address: address})
		user = user[8:]
	}
	if err := d.userFrames(); err != nil {
		return err
	}
	if d.m.Symbol == nil || d.rec.Trigger == nil {
		return nil
	}
	names := make([]string, 0, len(kernel)/8)
	for len(kernel) >= 8 {
		address, _ := take[uint64](kernel, "kernel stack")
		kernel = kernel[8:]
		if !isHook(d.m.Core, names, address) {
			names = append(names, d.m.Symbol(address))
		}
	}
	d.rec.Trigger.KernelStack = dropTrampoline(dropOwnFrames(names))
	return nil
}

// frameValid says that a frame has a build id (enum bpf_stack_build_id_status).
const frameValid = 1

// userFrames takes the build ids of the user stack. Both stacks are of the same
// moment, so that they have the same frames.
func (d *victimDecoder) userFrames() error {
	b, err := d.span(d.raw.UserFrames, "user frames")
	if err != nil {
		return err
	}
	for i := range d.ev.UserStack {
		raw, err := take[probe.OomtraceUserFrame](b, "user frame")
		if err != nil {
			return nil // fewer frames than addresses: the rest has no build id
		}
		b = b[unsafe.Sizeof(raw):]
		if raw.Status == frameValid {
			d.ev.UserStack[i].BuildID, d.ev.UserStack[i].Offset = raw.BuildId, raw.Offset
		}
	}
	return nil
}

// isHook says that the next frame is code of the programs: outside of the kernel's
// own text (core), and innermost (of fexit, whose function has returned) or what
// called out_of_memory (its trampoline), which modules do not do.
func isHook(core func(uint64) bool, stack []string, address uint64) bool {
	if core == nil || core(address) {
		return false
	}
	return len(stack) == 0 || strings.HasPrefix(stack[len(stack)-1], "out_of_memory+")
}

// ownFrames bounds how many frames of the program itself precede the kernel's.
const ownFrames = 8

// dropOwnFrames takes off the frames of the BPF program and its trampoline: the
// stack begins in the function that was hooked.
func dropOwnFrames(stack []string) []string {
	for i := range min(ownFrames, len(stack)) {
		if strings.HasPrefix(stack[i], "mark_oom_victim+") || strings.HasPrefix(stack[i], "out_of_memory+") {
			return stack[i:]
		}
	}
	return stack
}

// dropTrampoline takes out what fexit puts into the stack: it runs the function
// from a trampoline, which the function's own first bytes call. The trampoline
// came after the symbols were read: where it is still there, its name is any.
func dropTrampoline(stack []string) []string {
	for i := range stack {
		function, _, _ := strings.Cut(stack[i], "+")
		for n := 1; n <= 2 && i+n < len(stack); n++ {
			again, at, _ := strings.Cut(stack[i+n], "+")
			if offset, err := strconv.ParseUint(at, 0, 64); err == nil && again == function && offset <= entryBytes {
				return append(stack[:i+1], stack[i+n+1:]...)
			}
		}
	}
	return stack
}

// entryBytes is how far into a function the call to a trampoline can return:
// endbr64 or bti, and the call.
const entryBytes = 16
