package sample

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	swapsText = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/swap\\040file                            file\t\t969724\t\t19046\t\t-2\n" +
		"/dev/zram0                              partition\t98300\t\t0\t\t5\n"
	meminfoText = "MemTotal:         455920 kB\nMemFree:  1 kB\nSwapTotal:        98300 kB\nSwapFree:         98000 kB\n" +
		"Percpu:  12 kB\nVmallocUsed:  34 kB\nHugePages_Total:     100\nHugePages_Free:       90\nHugePages_Rsvd:        2\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n"
)

func root(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLRUGenUnread: only a kernel that lacks the file has the older LRU alone.
func TestLRUGenUnread(t *testing.T) {
	const name = "kernel/mm/lru_gen/enabled"
	for dir, want := range map[string]oom.Opt[bool]{
		t.TempDir(): oom.Some(false), root(t, map[string]string{name + "/is/a/directory": ""}): {}, root(t, map[string]string{name: "0x0000\n"}): oom.Some(false),
	} {
		rec := oom.Record{Kind: oom.KindKill, Source: oom.SourceBPF}
		s := Sampler{Root: root(t, nil), Sys: dir}
		if s.Record(&rec); rec.Memory == nil && want.Known || rec.Memory != nil && rec.Memory.LRUGen != want {
			t.Errorf("%+v, want %+v", rec.Memory, want)
		}
	}
}

// TestSysctlReadIsSmall: the kernel takes as much memory for a read of a parameter as the
// reader offers (fs/proc/proc_sysctl.c, proc_sys_call_handler), and there is none left.
func TestSysctlReadIsSmall(t *testing.T) {
	s := Sampler{Root: root(t, map[string]string{"sys/vm/swappiness": "60\n", "sys/vm/oom_kill_allocating_task": "1\n"})}
	rec := &oom.Record{Memory: &oom.Memory{}}
	s.sysctls(rec)
	if m := rec.Memory; m.Swappiness.Value != 60 || !m.OOMKillAllocatingTask.Value {
		t.Errorf("%+v", m)
	}
	for _, f := range []*file{&s.swappiness, &s.allocatingTask} {
		if len(f.buf) > 64 {
			t.Errorf("%s was read with %d bytes", f.Name(), len(f.buf))
		}
	}
}

func TestRecordFillsOnlyWhatIsMissing(t *testing.T) {
	s := Sampler{Root: root(t, map[string]string{"swaps": swapsText, "meminfo": meminfoText, "sys/vm/swappiness": "60\n", "sys/vm/oom_kill_allocating_task": "1\n"}),
		Sys: root(t, map[string]string{"kernel/mm/lru_gen/enabled": "0x0007\n"})}
	rec := &oom.Record{Source: oom.SourceBPF, Memory: &oom.Memory{TotalBytes: oom.Some(uint64(7))}}
	s.Record(rec)
	m := rec.Memory
	want := []oom.SwapDevice{
		{Name: "/swap file", Type: "file", SizeBytes: oom.Some(uint64(969724 << 10)), UsedBytes: oom.Some(uint64(19046 << 10)), Priority: oom.Some(int32(-2))},
		{Name: "/dev/zram0", Type: "partition", SizeBytes: oom.Some(uint64(98300 << 10)), UsedBytes: oom.Some(uint64(0)), Priority: oom.Some(int32(5))},
	}
	if !reflect.DeepEqual(m.SwapDevices, want) {
		t.Errorf("devices %+v", m.SwapDevices)
	}
	if m.TotalBytes.Value != 7 {
		t.Errorf("a value from the kill was replaced: %v", m.TotalBytes)
	}
	if m.SwapTotalBytes.Value != 98300<<10 || m.SwapFreeBytes.Value != 98000<<10 || m.Swappiness.Value != 60 || !m.OOMKillAllocatingTask.Value {
		t.Errorf("memory %+v", m)
	}
	if v, ok := m.Stat.Get(oom.StatHugepagesFree); !ok || v != 90<<21 {
		t.Errorf("free huge pages %d, %v", v, ok)
	}
	names := []string{"memory.swap_devices", "memory.swap_total_bytes", "memory.swap_free_bytes", "memory.stat.hugepages", "memory.stat.percpu", "memory.stat.vmalloc", "memory.lru_gen", "memory.swappiness", "memory.oom_kill_allocating_task"}
	if !reflect.DeepEqual(rec.Sampled, names) {
		t.Errorf("sampled %v", rec.Sampled)
	}
}

func TestRecordLeavesUnknownOut(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no files": {},
		"rubbish":  {"swaps": "\x00\xff", "meminfo": "HugePages_Total: many\nHugepagesize\n", "sys/vm/swappiness": "-1", "sys/vm/oom_kill_allocating_task": "yes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Sampler{Root: root(t, files), Sys: root(t, map[string]string{"kernel/mm/lru_gen/enabled": "on"})}
			rec := &oom.Record{Source: oom.SourceBPF, Memory: &oom.Memory{}}
			s.Record(rec)
			if len(rec.Sampled) != 0 || rec.Memory != nil {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

// Huge pages of a second size are in meminfo's sum only.
func TestHugePagesOfAllSizes(t *testing.T) {
	const dir = "kernel/mm/hugepages/hugepages-"
	s := Sampler{
		Root: root(t, map[string]string{"meminfo": meminfoText + "Hugetlb:  2301952 kB\n"}),
		Sys: root(t, map[string]string{
			dir + "2048kB/nr_hugepages": "100\n", dir + "2048kB/free_hugepages": "90\n", dir + "2048kB/resv_hugepages": "2\n",
			dir + "1048576kB/nr_hugepages": "2\n", dir + "1048576kB/free_hugepages": "1\n", dir + "1048576kB/resv_hugepages": "0\n",
		}),
	}
	rec := &oom.Record{Source: oom.SourceBPF, Memory: &oom.Memory{}}
	s.Record(rec)
	for name, want := range map[string]uint64{
		oom.StatHugepagesTotal: 2301952 << 10, oom.StatHugepagesFree: 90<<21 + 1<<30, oom.StatHugepagesRsvd: 2 << 21,
	} {
		if got, ok := rec.Memory.Stat.Get(name); !ok || got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
	counted := &oom.Record{Source: oom.SourceBPF, Memory: &oom.Memory{Stat: oom.Stats{{Name: oom.StatHugepagesTotal, Bytes: 7}}}}
	s.Record(counted)
	if got, _ := counted.Memory.Stat.Get(oom.StatHugepagesTotal); got != 7 || slices.Contains(counted.Sampled, "memory.stat.hugepages") {
		t.Errorf("what was read at the kill is %d now, sampled %v", got, counted.Sampled)
	}
}

// What was read for one kill serves those before it, not those after.
func TestSampleIsOfAfterTheKill(t *testing.T) {
	s := Sampler{Root: root(t, map[string]string{"meminfo": "SwapFree: 10 kB\n"})}
	free := func(uptime uint64) uint64 {
		rec := &oom.Record{Source: oom.SourceBPF, UptimeNS: oom.Some(uptime), Memory: &oom.Memory{}}
		s.Record(rec)
		return rec.Memory.SwapFreeBytes.Value
	}
	before := host.BootNS()
	if got := free(before); got != 10<<10 {
		t.Fatalf("swap free is %d", got)
	}
	if err := os.WriteFile(filepath.Join(s.Root, "meminfo"), []byte("SwapFree: 20 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.readAt = host.BootNS() // fresh, however slow this machine is
	if got := free(before); got != 10<<10 {
		t.Errorf("a kill before the read: swap free is %d", got)
	}
	if got := free(s.readAt + 1); got != 20<<10 {
		t.Errorf("a kill after the read: swap free is %d", got)
	}
}

// TestWaited: of a record that waited too long nothing is sampled, and its trigger's pid may be
// another's.
func TestWaited(t *testing.T) {
	s := Sampler{Root: root(t, map[string]string{"meminfo": "SwapFree: 10 kB\nMemFree: 10 kB\n", "42/maps": "400000-402000 r-xp 00000000 00:00 1 /bin/x\n", "swaps": swapsText})}
	for _, kind := range []oom.Kind{oom.KindKill, oom.KindNoVictim, oom.KindSigkill} {
		late := &oom.Record{
			Kind: kind, Source: oom.SourceBPF, UptimeNS: oom.Some(host.BootNS() - uint64(host.MostWait)),
			Trigger: &oom.Trigger{PID: oom.Some[int32](42)},
		}
		s.Record(late)
		NewStacks(StackOptions{Root: s.Root}).UserStack(late, []oom.UserFrame{{Address: 0x401000}})
		if late.Memory != nil || late.Sampled != nil || !slices.Equal(late.Trigger.UserStack, []string{"0x401000"}) {
			t.Errorf("%s: %+v, sampled %q, stack %q", kind, late.Memory, late.Sampled, late.Trigger.UserStack)
		}
	}
}

// The kernel log is no place to add today's numbers to, nor is the end of a
// victim; an OOM whose programs saw nothing of the machine is.
func TestRecordsWithoutMemory(t *testing.T) {
	s := Sampler{Root: root(t, map[string]string{"swaps": swapsText})}
	for name, tt := range map[string]struct {
		rec  oom.Record
		want []string
	}{
		"of a log":    {oom.Record{Kind: oom.KindKill, Source: oom.SourceKmsg, Memory: &oom.Memory{}}, nil},
		"exit":        {oom.Record{Kind: oom.KindExit, Source: oom.SourceBPF}, nil},
		"kill":        {oom.Record{Kind: oom.KindKill, Source: oom.SourceBPF}, []string{oom.SampledSwapDevices, oom.SampledLRUGen}},
		"no victim":   {oom.Record{Kind: oom.KindNoVictim, Source: oom.SourceBPF}, []string{oom.SampledSwapDevices, oom.SampledLRUGen}},
		"has devices": {oom.Record{Source: oom.SourceBPF, Memory: &oom.Memory{SwapDevices: make([]oom.SwapDevice, 1)}}, []string{oom.SampledLRUGen}},
	} {
		s.Record(&tt.rec)
		if !slices.Equal(tt.rec.Sampled, tt.want) || (tt.rec.Memory == nil) != (tt.rec.Kind == oom.KindExit) {
			t.Errorf("%s: sampled %v, memory %v", name, tt.rec.Sampled, tt.rec.Memory)
		}
	}
}

func userFrames(addresses ...uint64) []oom.UserFrame {
	var out []oom.UserFrame
	for _, a := range addresses {
		out = append(out, oom.UserFrame{Address: a})
	}
	return out
}

func TestUserStack(t *testing.T) {
	maps := "00400000-00500000 r-xp 00001000 08:01 7 /usr/bin/hog with space\n" +
		"7f0000000000-7f0000010000 r-xp 00002000 08:01 8 /lib/libc.so.6\n7f0000020000-7f0000030000 rw-p 00000000 00:00 0 \n"
	s := NewStacks(StackOptions{Root: root(t, map[string]string{"7/maps": maps}), Wait: time.Minute})
	rec := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(int32(7))}}
	s.UserStack(rec, userFrames(0x400010, 0x7f0000000100, 0x7f0000020000, 0x1, 0, 0x400010))
	want := []string{"hog+0x1010", "libc.so.6+0x2100", "0x7f0000020000", "0x1"}
	if !reflect.DeepEqual(rec.Trigger.UserStack, want) || !reflect.DeepEqual(rec.Sampled, []string{"trigger.user_stack"}) {
		t.Errorf("%q, sampled %q", rec.Trigger.UserStack, rec.Sampled)
	}
	gone := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(int32(8))}}
	known := oom.UserFrame{Address: 0x400010, Offset: 0x1010}
	known.BuildID[0], known.BuildID[19] = 0xab, 1
	s.UserStack(gone, append(userFrames(0x400010), known))
	if !reflect.DeepEqual(gone.Trigger.UserStack, []string{"0x400010", "build-id:ab" + strings.Repeat("0", 36) + "01+0x1010"}) || gone.Sampled != nil {
		t.Errorf("a process that has exited: %q, sampled %q", gone.Trigger.UserStack, gone.Sampled)
	}
}

// TestUserStackFarDown: a process has more mappings than are read at once.
func TestUserStackFarDown(t *testing.T) {
	var maps strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&maps, "%d000-%d800 r-xp 00000000 08:01 7 /usr/lib/%s\n", 1000+i, 1000+i, strings.Repeat("x", i%90))
	}
	maps.WriteString("7f0000000000-7f0000010000 r-xp 00002000 08:01 8 /lib/libc.so.6\n")
	s := NewStacks(StackOptions{Root: root(t, map[string]string{"7/maps": maps.String()}), Wait: time.Minute})
	rec := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(int32(7))}}
	s.UserStack(rec, userFrames(0x7f0000000100, 0x1001010))
	if want := []string{"libc.so.6+0x2100", "x+0x10"}; !slices.Equal(rec.Trigger.UserStack, want) {
		t.Errorf("%q, want %q", rec.Trigger.UserStack, want)
	}
}

// TestUserStackOfGroup: all victims of one OOM have the trigger's stack, and its
// process, which may have exited by then, is read once.
func TestUserStackOfGroup(t *testing.T) {
	dir := root(t, map[string]string{"7/maps": "00400000-00500000 r-xp 00001000 08:01 7 /usr/bin/hog\n"})
	s := NewStacks(StackOptions{Root: dir, Wait: time.Minute})
	stack := func(incident string, address uint64) string {
		rec := &oom.Record{Incident: incident, Trigger: &oom.Trigger{PID: oom.Some(int32(7))}}
		s.UserStack(rec, userFrames(address))
		return rec.Trigger.UserStack[0]
	}
	if got := stack("a", 0x400010); got != "hog+0x1010" {
		t.Errorf("the first: %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "7/maps")); err != nil {
		t.Fatal(err)
	}
	if got := stack("a", 0x400010); got != "hog+0x1010" {
		t.Errorf("the same OOM: %q", got)
	}
	if got := stack("b", 0x400010); got != "0x400010" {
		t.Errorf("another OOM: %q", got)
	}
	if got := stack("b", 0x400020); got != "0x400020" {
		t.Errorf("another stack: %q", got)
	}
}

// TestUserStackHangs: a process whose maps cannot be read now, here a pipe that
// no process writes, costs its record the names and the others nothing.
func TestUserStackHangs(t *testing.T) {
	dir := root(t, map[string]string{"7/maps": "", "8/maps": "00400000-00500000 r-xp 00001000 08:01 7 /usr/bin/hog\n"})
	pipe := filepath.Join(dir, "7/maps")
	if err := errors.Join(os.Remove(pipe), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	s := NewStacks(StackOptions{Root: dir})
	stack := func(pid int32) string {
		rec := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(pid)}}
		s.UserStack(rec, userFrames(0x400010))
		if len(rec.Trigger.UserStack) != 1 {
			t.Fatalf("%q", rec.Trigger.UserStack)
		}
		return rec.Trigger.UserStack[0]
	}
	if got := stack(8); got != "hog+0x1010" {
		t.Errorf("before: %q", got)
	}
	for _, pid := range []int32{7, 8, 7} {
		if got := stack(pid); got != "0x400010" {
			t.Errorf("process %d: %q", pid, got)
		}
	}
	let := func() {
		f, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err == nil {
			err = f.Close()
		}
		if err != nil {
			t.Error(err)
		}
	}
	let()
	for deadline := time.Now().Add(time.Minute); stack(8) != "hog+0x1010"; { // it comes back
		if time.Now().After(deadline) {
			t.Fatal("no names any more")
		}
		time.Sleep(time.Millisecond)
	}
	if got := stack(7); got != "0x400010" {
		t.Errorf("again: %q", got)
	}
	let()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

// TestGarbage: what a kill's record takes of the heap, of a process with as many
// mappings as are read.
func TestGarbage(t *testing.T) {
	maps := "00400000-00500000 r-xp 00001000 08:01 7 /usr/bin/hog\n7f0000000000-7f0000010000 r-xp 00002000 08:01 8 /lib/libc.so.6\n"
	dir := root(t, map[string]string{
		"swaps": swapsText, "meminfo": meminfoText, "sys/vm/swappiness": "60\n", "sys/vm/oom_kill_allocating_task": "1\n",
		"7/maps": strings.Repeat(maps[:len(maps)/2], 1000) + maps,
	})
	s, stacks := Sampler{Root: dir, Sys: root(t, map[string]string{"kernel/mm/lru_gen/enabled": "0x0000\n"})}, NewStacks(StackOptions{Root: dir, Wait: time.Minute})
	stack := userFrames(0x400010, 0x7f0000000100, 0x1)
	stack[2].BuildID[0] = 7
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.readAt = 0 // not fresh any more
			rec := &oom.Record{Source: oom.SourceBPF, Trigger: &oom.Trigger{PID: oom.Some(int32(7))}, Memory: &oom.Memory{}}
			s.Record(rec)
			stacks.UserStack(rec, stack)
			if len(rec.Sampled) != 11 {
				b.Fatalf("sampled %v", rec.Sampled)
			}
		}
	})
	t.Logf("%d bytes a record, %v", r.AllocedBytesPerOp(), r)
	if r.AllocedBytesPerOp() > 16<<10 {
		t.Errorf("%d bytes a record", r.AllocedBytesPerOp())
	}
}

func FuzzMaps(f *testing.F) {
	f.Add([]byte("00400000-00500000 r-xp 00001000 08:01 7 /usr/bin/hog\n"), uint64(0x400010))
	f.Add([]byte("-\n0-ffffffffffffffff x 0 0 0 \xff\x1b"), uint64(7))
	f.Fuzz(func(t *testing.T, maps []byte, address uint64) {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "7"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "7/maps"), maps, 0o600); err != nil {
			t.Fatal(err)
		}
		s := NewStacks(StackOptions{Root: dir, Wait: time.Minute})
		rec := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(int32(7))}}
		s.UserStack(rec, userFrames(address, address))
		if got := rec.Trigger.UserStack; address != 0 && (len(got) != 2 || got[0] != got[1] || got[0] == "") {
			t.Errorf("%q", got)
		}
	})
}

// TestSlabs: the caches that cannot be reclaimed are listed where they hold an eighth of the
// machine, and half of what there was is still there.
func TestSlabs(t *testing.T) {
	const list = "slabinfo - version: 2.1\n# name\nbig 100 110 1048576 1 1\ndentry 200 200 1048576 1 1\nsmall 1 2 1048576 1 1\nempty 0 0 1 1 1\n"
	dir := root(t, map[string]string{"slabinfo": list})
	sys := root(t, map[string]string{"kernel/slab/dentry/reclaim_account": "1\n", "kernel/slab/big/reclaim_account": "0\n"})
	const mib = 1 << 20
	for _, tt := range []struct {
		name   string
		sys    string
		change func(*oom.Record)
		want   bool
	}{
		{"an eighth", sys, func(*oom.Record) {}, true},
		{"less", sys, func(r *oom.Record) { r.Memory.TotalBytes = oom.Some[uint64](896*mib + 8) }, false},
		{"how much is not known", sys, func(r *oom.Record) { r.Memory.Stat = nil }, false},
		{"a cgroup's limit", sys, func(r *oom.Record) { r.Scope = oom.ScopeCgroup }, false},
		{"given back since", sys, func(r *oom.Record) { r.Memory.Stat[0].Bytes = 224*mib + 2 }, false},
		{"half of it given back", sys, func(r *oom.Record) { r.Memory.Stat[0].Bytes = 224 * mib }, true},
		{"of one it cannot be read", root(t, map[string]string{"kernel/slab/big/reclaim_account/is/no/file": ""}), func(*oom.Record) {}, false},
		{"a kernel that does not say", t.TempDir(), func(*oom.Record) {}, false},
		{"of the kernel's report", sys, func(r *oom.Record) { r.Memory.SlabCaches = []oom.SlabCache{{Name: "x"}} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := &oom.Record{Kind: oom.KindKill, Source: oom.SourceBPF, Scope: oom.ScopeSystem, Memory: &oom.Memory{
				TotalBytes: oom.Some[uint64](896 * mib),
				Stat:       oom.Stats{{Name: oom.StatSlabUnrecl, Bytes: 112 * mib}, {Name: oom.StatSlabReclaimable, Bytes: 200 * mib}},
			}}
			tt.change(rec)
			had := len(rec.Memory.SlabCaches)
			s := Sampler{Root: dir, Sys: tt.sys}
			s.Record(rec)
			var names []string
			for _, c := range rec.Memory.SlabCaches[had:] {
				names = append(names, c.Name)
			}
			if got := slices.Equal(names, []string{"big", "small"}); got != tt.want || got != slices.Contains(rec.Sampled, oom.SampledSlabCaches) {
				t.Errorf("%q, sampled %q", names, rec.Sampled)
			}
		})
	}
}

// TestListsOfAStorm: kills of one moment have the lists of one reading.
func TestListsOfAStorm(t *testing.T) {
	const mib = 1 << 20
	dir := root(t, map[string]string{"slabinfo": "big 100 100 1048576 1 1\n", "allocinfo": "104857600 1 x.c:1 func:f\n"})
	s := Sampler{Root: dir, Sys: root(t, map[string]string{"kernel/slab/big/reclaim_account": "0\n"})}
	kill := func() *oom.Record {
		rec := &oom.Record{Kind: oom.KindKill, Source: oom.SourceBPF, Scope: oom.ScopeSystem, Memory: &oom.Memory{
			TotalBytes: oom.Some[uint64](896 * mib), FreeBytes: oom.Some[uint64](0), Stat: oom.Stats{
				{Name: oom.StatActiveAnon}, {Name: oom.StatInactiveAnon}, {Name: oom.StatActiveFile}, {Name: oom.StatInactiveFile}, {Name: oom.StatUnevictable},
				{Name: oom.StatSlabUnrecl, Bytes: 112 * mib},
			},
		}}
		s.readAt = host.BootNS() // the moment does not pass
		s.Record(rec)
		return rec
	}
	first := kill()
	for _, name := range []string{"slabinfo", "allocinfo"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if second := kill(); len(first.Memory.SlabCaches) != 1 || len(first.Memory.Allocations) != 1 ||
		!slices.Equal(first.Memory.SlabCaches, second.Memory.SlabCaches) || !slices.Equal(first.Memory.Allocations, second.Memory.Allocations) {
		t.Errorf("%+v, then %+v", first.Memory, second.Memory)
	}
	s.last = machine{}
	if rec := kill(); len(rec.Memory.SlabCaches)+len(rec.Memory.Allocations) != 0 {
		t.Errorf("%+v", rec.Memory)
	}
}

// TestAllocations: the sites that hold the most are listed where a quarter of the machine is neither
// free nor on the LRU lists.
func TestAllocations(t *testing.T) {
	var list strings.Builder
	list.WriteString("allocinfo - version: 1.0\n#     <size>  <calls> <tag info>\n")
	for i := range 2000 { // longer than a read, and in no order
		fmt.Fprintf(&list, "%12d %8d mm/x.c:%d func:f\n", i*7919%2000*4096, i, i*7919%2000)
	}
	whole := root(t, map[string]string{"allocinfo": list.String()})
	full := func(r *oom.Record) {}
	for _, tt := range []struct {
		name   string
		dir    string
		change func(*oom.Record)
		want   int
	}{
		{"a quarter", whole, full, 10},
		{"less", whole, func(r *oom.Record) { r.Memory.FreeBytes = oom.Some(r.Memory.FreeBytes.Value + 1) }, 0},
		{"what is free is not known", whole, func(r *oom.Record) { r.Memory.FreeBytes = oom.Opt[uint64]{} }, 0},
		{"a list is not known", whole, func(r *oom.Record) { r.Memory.Stat = r.Memory.Stat[1:] }, 0},
		{"a cgroup's limit", whole, func(r *oom.Record) { r.Scope = oom.ScopeCgroup }, 0},
		{"not counted", root(t, nil), full, 0},
		{"turned off", root(t, map[string]string{"allocinfo": "allocinfo - version: 1.0\n#     <size>  <calls> <tag info>\n           0        0 mm/x.c:1 func:f\n"}), full, 0},
		{"a line without an end", root(t, map[string]string{"allocinfo": "4096 1 mm/x.c:1 func:f\n" + strings.Repeat("x", 1<<20)}), full, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const gib = 1 << 30
			rec := &oom.Record{Kind: oom.KindKill, Source: oom.SourceBPF, Scope: oom.ScopeSystem, Memory: &oom.Memory{
				TotalBytes: oom.Some[uint64](8 * gib), FreeBytes: oom.Some[uint64](gib), Stat: oom.Stats{
					{Name: oom.StatActiveAnon, Bytes: gib}, {Name: oom.StatInactiveAnon, Bytes: gib}, {Name: oom.StatActiveFile, Bytes: gib},
					{Name: oom.StatInactiveFile, Bytes: gib}, {Name: oom.StatUnevictable, Bytes: gib},
				},
			}}
			tt.change(rec)
			s := Sampler{Root: tt.dir, Sys: t.TempDir()}
			s.Record(rec)
			got := rec.Memory.Allocations
			if len(got) != tt.want || slices.Contains(rec.Sampled, oom.SampledAllocations) != (tt.want > 0) {
				t.Fatalf("%+v, sampled %q", got, rec.Sampled)
			}
			for i, a := range got {
				if tt.want == 10 && (a.Bytes.Value != uint64(1999-i)*4096 || a.Site != fmt.Sprintf("mm/x.c:%d func:f", 1999-i)) {
					t.Errorf("%d: %+v", i, a)
				}
			}
		})
	}
}
