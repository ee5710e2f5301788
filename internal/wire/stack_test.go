package wire

import (
	"slices"
	"testing"
)

// TestHookFrames: the programs' own frames are not part of the call stack.
func TestHookFrames(t *testing.T) {
	names := map[uint64]string{
		1: "mark_oom_victim+0xac", 2: "out_of_memory+0x217", 3: "mem_cgroup_out_of_memory+0xc0", 4: "asm_exc_page_fault+0x26",
		100: "bpf_prog_8d301a7286986f4b_x+0x8024", 101: "xt_table+0x33d5", 102: "zram_write+0x10",
	}
	for _, tt := range []struct {
		name  string
		addrs []uint64
		want  []string
	}{
		{"a trampoline (7.3)", []uint64{1, 2, 100, 3, 4}, []string{names[1], names[2], names[3], names[4]}},
		{"the program is innermost", []uint64{101, 100, 100, 3, 4}, []string{names[3], names[4]}},
		{"a module asked", []uint64{1, 2, 3, 102, 4}, []string{names[1], names[2], names[3], names[102], names[4]}},
		{"no program", []uint64{1, 2, 3}, []string{names[1], names[2], names[3]}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := whole()
			r.KernelStack = r.append(words(tt.addrs...))
			m := machine()
			m.Symbol = func(a uint64) string { return names[a] }
			m.Core = func(a uint64) bool { return a < 100 }
			var ev Event
			if err := ev.Decode(r.encode(), m); err != nil {
				t.Fatal(err)
			}
			if got := ev.Record.Trigger.KernelStack; !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

func TestDropTrampoline(t *testing.T) {
	tests := []struct {
		name        string
		stack, want []string
	}{
		{"fexit", []string{"oom_kill_process+0x71", "out_of_memory+0x219", "_autofs_dev_ioctl.cold+0x993a", "out_of_memory+0x9", "alloc+0x1"},
			[]string{"oom_kill_process+0x71", "out_of_memory+0x219", "alloc+0x1"}},
		{"fexit, its trampoline known", []string{"oom_kill_process+0x71", "out_of_memory+0x219", "out_of_memory+0x9", "alloc+0x1"},
			[]string{"oom_kill_process+0x71", "out_of_memory+0x219", "alloc+0x1"}},
		{"recursion", []string{"f+0x219", "g+0x1", "f+0x90"}, []string{"f+0x219", "g+0x1", "f+0x90"}},
		{"addresses", []string{"0xffff1", "0xffff2", "0xffff1"}, []string{"0xffff1", "0xffff2", "0xffff1"}},
		{"short", []string{"f+0x1"}, []string{"f+0x1"}},
		{"none", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := dropTrampoline(slices.Clone(tt.stack)); !slices.Equal(got, tt.want) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
