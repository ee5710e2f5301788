package tracer

import (
	"strings"
	"testing"
)

// TestGFP compares with what kernels from 5.10 on printed in their reports.
func TestGFP(t *testing.T) {
	for _, tc := range []struct {
		mask uint32
		want string
	}{
		{0, ""},
		{0xcc0, "GFP_KERNEL"},
		{0xdc0, "GFP_KERNEL|__GFP_ZERO"},
		{0x400cc0, "GFP_KERNEL_ACCOUNT"},
		{0x40cc0, "GFP_KERNEL|__GFP_COMP"},
		{0x42dc0, "GFP_KERNEL|__GFP_NOWARN|__GFP_COMP|__GFP_ZERO"},
		{0x100cca, "GFP_HIGHUSER_MOVABLE"},
		{0x100dca, "GFP_HIGHUSER_MOVABLE|__GFP_ZERO"},
		{0x140cca, "GFP_HIGHUSER_MOVABLE|__GFP_COMP"},
		{0x101cca, "GFP_HIGHUSER_MOVABLE|__GFP_WRITE"},
		{0x101c4a, "GFP_NOFS|__GFP_HIGHMEM|__GFP_HARDWALL|__GFP_MOVABLE|__GFP_WRITE"},
		{0x100cc2, "GFP_HIGHUSER"},
		{0x100cc0, "GFP_USER"},
		{0xcc4, "GFP_KERNEL|GFP_DMA32"},
		{0xcc1, "GFP_KERNEL|GFP_DMA"},
		{0xc00, "GFP_NOIO"},
		{0x1c2cca &^ 0xc00, "GFP_TRANSHUGE_LIGHT"},
		{(0x1c2cca &^ 0xc00) | 0x400, "GFP_TRANSHUGE"},
		{0x400, "__GFP_DIRECT_RECLAIM"},
		{0x800, "__GFP_KSWAPD_RECLAIM"},
		{0xf0000000, ""}, // differs from kernel to kernel
	} {
		if got := strings.Join(gfpFlags(tc.mask), "|"); got != tc.want {
			t.Errorf("%#x is %s, want %s", tc.mask, got, tc.want)
		}
	}
}

// TestGFPNames shows that the names of a mask say all of it, and no more.
func TestGFPNames(t *testing.T) {
	masks, all := map[string]uint32{}, uint32(0)
	for _, n := range gfpNames() {
		if _, twice := masks[n.name]; twice || n.mask == 0 {
			t.Errorf("%s stands there twice or for nothing", n.name)
		}
		masks[n.name], all = n.mask, all|n.mask
	}
	if all != 1<<24-1 {
		t.Errorf("bits without a name: %#x", (1<<24-1)&^all)
	}
	for bits := range uint32(1 << 24) {
		if bits&(bits-1) != 0 && bits%977 != 0 { // single bits, and many others
			continue
		}
		sum := uint32(0)
		for _, name := range gfpFlags(bits) {
			if sum&masks[name] != 0 {
				t.Fatalf("%#x: %s names bits twice", bits, name)
			}
			sum |= masks[name]
		}
		if sum != bits {
			t.Fatalf("%#x: the names say %#x", bits, sum)
		}
	}
}
