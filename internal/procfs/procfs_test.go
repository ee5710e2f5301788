package procfs

import (
	"reflect"
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "/a": "/a", `/a\040b`: "/a b", `\011\012\134`: "\t\n\\", `\377`: "\xff", `\400`: `\400`, `\08`: `\08`, `\0409`: " 9",
		`a\`: `a\`, `a\04`: `a\04`, `\-01`: `\-01`, `\+01`: `\+01`,
	} {
		if got := Unescape(in); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
}

func TestSwaps(t *testing.T) {
	const text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/zram0                              partition\t1048572\t\t512\t\t100\n" +
		"/swap\\040file\\040(deleted)             file\t\t2097148\t\t0\t\t-2\n" +
		"short line\n" +
		"/x file -1 x 99999999999\n"
	want := []oom.SwapDevice{
		{Name: "/dev/zram0", Type: "partition", SizeBytes: oom.Some(uint64(1048572 << 10)), UsedBytes: oom.Some(uint64(512 << 10)), Priority: oom.Some(int32(100))},
		{Name: "/swap file", Type: "file", SizeBytes: oom.Some(uint64(2097148 << 10)), UsedBytes: oom.Some(uint64(0)), Priority: oom.Some(int32(-2))},
		{Name: "/x", Type: "file"},
	}
	if got := Swaps(text); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "Filename Type Size Used Priority\n", "\x00\xff"} {
		if got := Swaps(text); got != nil {
			t.Errorf("%q: %+v", text, got)
		}
	}
}

func TestMeminfo(t *testing.T) {
	const text = "MemTotal:         455920 kB\nHugePages_Total:     100\nHugepagesize:       2048 kB\nrubbish\n:\nMany: lots\nSwapTotal: lots kB\n" +
		"HugePages_Free: lots\nMemFree: 1 MB\nMemAvailable: 18446744073709551615 kB\nPercpu\nSwapFree: 7 kB"
	some := oom.Some[uint64]
	want := Meminfo{MemTotal: some(455920 << 10), HugePagesTotal: some(100), Hugepagesize: some(2 << 20), SwapFree: some(7 << 10)}
	if got := ParseMeminfo(text); got != want {
		t.Errorf("%+v", got)
	}
	const all = "MemTotal: 1 kB\nMemFree: 2 kB\nMemAvailable: 3 kB\nBuffers: 99 kB\nSwapTotal: 4 kB\nSwapFree: 5 kB\nVmallocUsed: 6 kB\nPercpu: 7 kB\n" +
		"HugePages_Total: 8\nHugePages_Free: 9\nHugePages_Rsvd: 10\nHugePages_Surp: 11\nHugepagesize: 12 kB\nHugetlb: 13 kB\n"
	want = Meminfo{
		MemTotal: some(1 << 10), MemFree: some(2 << 10), MemAvailable: some(3 << 10), SwapTotal: some(4 << 10), SwapFree: some(5 << 10),
		VmallocUsed: some(6 << 10), Percpu: some(7 << 10), HugePagesTotal: some(8), HugePagesFree: some(9), HugePagesRsvd: some(10),
		HugePagesSurp: some(11), Hugepagesize: some(12 << 10), Hugetlb: some(13 << 10),
	}
	if got := ParseMeminfo(all); got != want {
		t.Errorf("%+v", got)
	}
}

func TestSlabs(t *testing.T) {
	const text = `slabinfo - version: 2.1
# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>
kmalloc-16k          300    320  16384    2    8 : tunables    0    0    0 : slabdata    160    160      0
dentry              9000   9999    192   21    1 : tunables    0    0    0 : slabdata    477    477      0
none                   0      0    312   13    1 : tunables    0    0    0 : slabdata      0      0      0
cut                    1      2
wide                   1 9223372036854775807 4096 1 1 : tunables
odd                   -1      2      3 1 1 : tunables
`
	cache := func(name string, used, total uint64) oom.SlabCache {
		return oom.SlabCache{Name: name, UsedBytes: oom.Some(used), TotalBytes: oom.Some(total)}
	}
	want := []oom.SlabCache{cache("kmalloc-16k", 300*16384, 320*16384), cache("dentry", 9000*192, 9999*192), cache("none", 0, 0)}
	if got := Slabs(text); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if got := Slabs(""); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestAllocation(t *testing.T) {
	for line, want := range map[string]oom.Allocation{
		"   127664128    31168 mm/page_ext.c:270 func:alloc_page_ext ": {Site: "mm/page_ext.c:270 func:alloc_page_ext", Bytes: oom.Some[uint64](127664128), Calls: oom.Some[uint64](31168)},
		"  4096 1 drivers/x.c:1 [nf_tables] func:nft_do accurate:no":   {Site: "drivers/x.c:1 [nf_tables] func:nft_do", Bytes: oom.Some[uint64](4096), Calls: oom.Some[uint64](1)},
		"allocinfo - version: 1.0":                                     {},
		"#     <size>  <calls> <tag info>":                             {},
		"-4096 1 mm/a.c:1 func:a":                                      {},
		"4096 -1 mm/a.c:1 func:a":                                      {},
		"4096 1":                                                       {},
		"99999999999999999999 1 mm/a.c:1 func:a":                       {},
		"":                                                             {},
	} {
		if got, ok := Allocation(line); got != want || ok != (want.Site != "") {
			t.Errorf("%q: %+v, %v", line, got, ok)
		}
	}
}

func FuzzSwaps(f *testing.F) {
	f.Add("Filename Type Size Used Priority\n/a file 1 2 3\n")
	f.Add("\n\\040 \\ 1 99999999999999999 -9\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range Swaps(s) {
			if d.Type == "" || d.SizeBytes.Value%1024 != 0 {
				t.Fatalf("%+v", d)
			}
		}
	})
}
