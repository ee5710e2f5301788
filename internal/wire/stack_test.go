package wire

import (
	"slices"
	"testing"
)

func TestDropTrampoline(t *testing.T) {
	tests := []struct {
		name        string
		stack, want []string
	}{
		{"fexit", []string{"oom_kill_process+0x71", "out_of_memory+0x219", "_autofs_dev_ioctl.cold+0x993a", "out_of_memory+0x9", "alloc+0x1"},
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
