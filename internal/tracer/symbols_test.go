package tracer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const someSymbols = `ffffffff81000000 T _text
ffffffff81200100 t oom_evaluate_task
ffffffff81200000 T out_of_memory
ffffffff81200300 t oom_kill_process.isra.0
ffffffff81200380 t oom_kill_process.isra.0.cold
ffffffff812003f0 t __pfx___oom_kill_process.constprop.0.isra.0
ffffffff81200400 t __oom_kill_process.constprop.0.isra.0
ffffffff81200480 t __oom_kill_process_other
ffffffff81200500 t __oom_kill_process.part.0
ffffffff81200500 t alias_of_it
ffffffff82000000 D vm_swappiness
ffffffff82000008 B nr_swap_pages
ffffffff81300000 t mem_cgroup_stats_index
0000000000000000 A fixed_percpu_data
ffffffffc0000000 t out_of_memory_helper	[some_module]
ffffffffc0001000 t bpf_prog_6deef7357e7b4530_x	[bpf]
a line that is none
zzzz t no_address
ffffffff81200600 t` + " \n"

func parsed(t *testing.T, text string) *Symbols {
	t.Helper()
	s, err := parseSymbols(strings.NewReader(text), wantedSymbols())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSymbols(t *testing.T) {
	s := parsed(t, someSymbols)
	if s.Len() != 11 {
		t.Errorf("%d functions", s.Len())
	}
	for name, want := range map[string]string{
		hookOutOfMemory: "out_of_memory", hookEvaluateTask: "oom_evaluate_task", hookOOMKillProcess: "oom_kill_process.isra.0",
		hookKillVictim: "__oom_kill_process.constprop.0.isra.0", "never_asked_for": "",
	} {
		if got, ok := s.Function(name); got != want || ok != (want != "") {
			t.Errorf("%s is %q", name, got)
		}
	}
	if s.Data(symSwappiness) != 0xffffffff82000000 || s.Data(symSwapFree) != 0xffffffff82000008 || s.Data(symRAM) != 0 || s.Data(symMemcgStats) != 0xffffffff81300000 {
		t.Errorf("data %x", s.data)
	}
	if start, end := s.Range(hookKillVictim); start != 0xffffffff81200400 || end != 0xffffffff81200480 {
		t.Errorf("%s from %x to %x", hookKillVictim, start, end)
	}
	if start, end := s.Range("never_asked_for"); start != 0 || end != 0 {
		t.Errorf("from %x to %x", start, end)
	}
}

func TestSymbolNames(t *testing.T) {
	s := parsed(t, someSymbols)
	for _, tc := range []struct {
		address uint64
		want    string
	}{
		{0xffffffff81200000, "out_of_memory+0x0"}, {0xffffffff812000ff, "out_of_memory+0xff"}, {0xffffffff81200100, "oom_evaluate_task+0x0"},
		{0xffffffffc0001010, "bpf_prog_6deef7357e7b4530_x+0x10"}, {0, "0x0"}, {0xffffffff80ffffff, "0xffffffff80ffffff"},
		{0xffffffff81000000 + maxFunction, "_text+0x100000"}, {0xffffffff81000000 + maxFunction + 1, "0xffffffff81100001"},
		{^uint64(0), "0xffffffffffffffff"},
	} {
		if got := s.Name(tc.address); got != tc.want {
			t.Errorf("%x is %q, want %q", tc.address, got, tc.want)
		}
	}
	if got := (&Symbols{}).Name(0x1234); got != "0x1234" {
		t.Errorf("without symbols: %q", got)
	}
}

// TestCoreText: what is outside of it is a module's, or BPF's.
func TestCoreText(t *testing.T) {
	s := parsed(t, "ffffffff81000000 T _stext\nffffffff81200000 T out_of_memory\nffffffff82200000 T _etext\n")
	for address, want := range map[uint64]bool{
		0xffffffff80ffffff: false, 0xffffffff81000000: true, 0xffffffff821fffff: true, 0xffffffff82200000: false, 0xffffffffc0001000: false,
	} {
		if s.Core(address) != want {
			t.Errorf("%x: %v", address, !want)
		}
	}
	if !parsed(t, someSymbols).Core(0xffffffffc0001000) {
		t.Error("its text is not known, and an address is outside of it")
	}
}

// TestSplitSymbol covers the names that compilers give to copies and pieces of a
// function. Lines come in any order; the function itself wins.
func TestSplitSymbol(t *testing.T) {
	for _, tc := range []struct {
		names []string
		want  string
	}{
		{[]string{"oom_kill_process"}, "oom_kill_process"},
		{[]string{"oom_kill_process", "oom_kill_process.isra.0"}, "oom_kill_process"},
		{[]string{"oom_kill_process.isra.0", "oom_kill_process"}, "oom_kill_process"},
		{[]string{"oom_kill_process.isra.0", "oom_kill_process.isra.0.cold"}, "oom_kill_process.isra.0"},
		{[]string{"oom_kill_process.constprop.0.cold", "oom_kill_process.constprop.0"}, "oom_kill_process.constprop.0"},
		{[]string{"oom_kill_process.isra.0.part.0"}, ""},
		{[]string{"oom_kill_process.cold"}, ""},
		{[]string{"oom_kill_process.part.0"}, ""},
		{[]string{"oom_kill_process.llvm.123"}, ""},
		{[]string{"oom_kill_process_count"}, ""},
		{[]string{"my_oom_kill_process"}, ""},
	} {
		var text strings.Builder
		for i, name := range tc.names {
			fmt.Fprintf(&text, "ffffffff8100%04x t %s\n", 16*i, name)
		}
		if got, _ := parsed(t, text.String()).Function(hookOOMKillProcess); got != tc.want {
			t.Errorf("%v: probes %q, want %q", tc.names, got, tc.want)
		}
	}
}

// TestHiddenAddresses reads what a kernel shows without CAP_SYSLOG: the names
// stand, no address does.
func TestHiddenAddresses(t *testing.T) {
	s := parsed(t, "0000000000000000 T out_of_memory\n0000000000000000 D vm_swappiness\n")
	if got, ok := s.Function(hookOutOfMemory); !ok || got != "out_of_memory" {
		t.Errorf("function %q", got)
	}
	if start, end := s.Range(hookOutOfMemory); s.Len() != 0 || s.Data(symSwappiness) != 0 || start != 0 || end != 0 {
		t.Errorf("%d addresses, data %x, from %x to %x", s.Len(), s.Data(symSwappiness), start, end)
	}
}

func TestReadSymbolsErrors(t *testing.T) {
	if _, err := readSymbols(filepath.Join(t.TempDir(), "none"), wantedSymbols()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := parseSymbols(strings.NewReader(strings.Repeat("x", 2<<20)), wantedSymbols()); err == nil {
		t.Error("a line of 2 MiB is no kernel's")
	}
}

// TestNoSymbolsAreNoted: without names, there has to be a reason.
func TestNoSymbolsAreNoted(t *testing.T) {
	for _, tt := range []struct {
		name, text, function string
		want                 error
	}{
		{"whole", someSymbols, "out_of_memory", nil},
		{"empty, as in a sandbox", "", "", errNoSymbols},
		{"addresses hidden", "0000000000000000 T out_of_memory\n0000000000000000 D vm_swappiness\n", "out_of_memory", errHiddenAddresses},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kallsyms")
			if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := readSymbols(path, wantedSymbols()); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			var tr Tracer
			tr.keepSymbols(readSymbols(path, wantedSymbols()))
			if got, _ := tr.symbols.Function(hookOutOfMemory); got != tt.function {
				t.Errorf("function %q, want %q", got, tt.function)
			}
			if notes := len(tr.Notes()); (notes == 1) != (tt.want != nil) {
				t.Errorf("notes %q", tr.Notes())
			}
		})
	}
}

// TestOddNames covers names of all forms.
func TestOddNames(t *testing.T) {
	names := []string{"_", "__", "a", "_a", "a_", "__x64_sys_brk", "do__it_", "a.isra.0_b", "\xff_\xfe", strings.Repeat("a_", 300)}
	var text strings.Builder
	for i, name := range names {
		fmt.Fprintf(&text, "%016x t %s\n", 0xffffffff81000000+uint64(i)*16, name)
	}
	s := parsed(t, text.String())
	for i, name := range names {
		if got, want := s.Name(0xffffffff81000003+uint64(i)*16), name+"+0x3"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestManySymbols looks up every address of a big table given in any order.
func TestManySymbols(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var lines []string
	for i := range 5000 {
		lines = append(lines, fmt.Sprintf("%016x t f%d", 0xffffffff81000000+uint64(i)*32, i))
	}
	random.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	s := parsed(t, strings.Join(lines, "\n"))
	for i := range 5000 {
		offset := random.Uint64N(32)
		want := fmt.Sprintf("f%d+0x%x", i, offset)
		if got := s.Name(0xffffffff81000000 + uint64(i)*32 + offset); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	}
}

func FuzzSymbols(f *testing.F) {
	f.Add(someSymbols, uint64(0xffffffff81200001))
	f.Add("1 t \x00\n2 T a\x00b\n", uint64(3))
	f.Fuzz(func(t *testing.T, text string, address uint64) {
		s, err := parseSymbols(strings.NewReader(text), wantedSymbols())
		if err != nil {
			return
		}
		byAddress := func(a, b group) int { return cmp.Compare(a.address, b.address) }
		if !slices.IsSortedFunc(s.groups, byAddress) || len(s.groups) != (s.Len()+groupSize-1)/groupSize {
			t.Errorf("%x, %d functions", s.groups, s.Len())
		}
		if got := s.Name(address); len(got) == 0 {
			t.Error("an address without a name at all")
		}
		for name := range wantedSymbols().functions {
			if start, end := s.Range(name); start > end {
				t.Errorf("%s from %x to %x", name, start, end)
			}
		}
	})
}

func BenchmarkReadSymbols(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := readSymbols(kallsyms, wantedSymbols()); err != nil && !errors.Is(err, errHiddenAddresses) {
			b.Fatal(err)
		}
	}
}
