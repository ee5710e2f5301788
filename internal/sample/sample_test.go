package sample

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	swapsText = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/swap\\040file                            file\t\t969724\t\t19046\t\t-2\n" +
		"/dev/zram0                              partition\t98300\t\t0\t\t5\n"
	meminfoText = "MemTotal:         455920 kB\nMemFree:  1 kB\nSwapTotal:        98300 kB\nSwapFree:         98000 kB\n" +
		"HugePages_Total:     100\nHugePages_Free:       90\nHugePages_Rsvd:        2\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n"
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

func TestRecordFillsOnlyWhatIsMissing(t *testing.T) {
	s := Sampler{Root: root(t, map[string]string{"swaps": swapsText, "meminfo": meminfoText, "sys/vm/swappiness": "60\n", "sys/vm/oom_kill_allocating_task": "1\n"})}
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
	names := []string{"memory.swap_devices", "memory.swap_total_bytes", "memory.swap_free_bytes", "memory.stat.hugepages", "memory.swappiness", "memory.oom_kill_allocating_task"}
	if !reflect.DeepEqual(rec.Sampled, names) {
		t.Errorf("sampled %v", rec.Sampled)
	}
}

func TestRecordLeavesUnknownOut(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"no files": {},
		"rubbish":  {"swaps": "\x00\xff", "meminfo": "HugePages_Total: many\nHugepagesize\n", "sys/vm/swappiness": "-1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Sampler{Root: root(t, files)}
			rec := &oom.Record{Source: oom.SourceBPF, Memory: &oom.Memory{}}
			s.Record(rec)
			if len(rec.Sampled) != 0 || !reflect.DeepEqual(*rec.Memory, oom.Memory{}) {
				t.Errorf("record %+v", rec)
			}
		})
	}
}

// The kernel log is no place to add today's numbers to.
func TestRecordOfTheLogStays(t *testing.T) {
	s := Sampler{Root: root(t, map[string]string{"swaps": swapsText})}
	rec := &oom.Record{Source: oom.SourceKmsg, Memory: &oom.Memory{}}
	s.Record(rec)
	if len(rec.Sampled) != 0 {
		t.Errorf("sampled %v", rec.Sampled)
	}
}

func TestUserStack(t *testing.T) {
	maps := "00400000-00500000 r-xp 00001000 08:01 7 /usr/bin/hog with space\n" +
		"7f0000000000-7f0000010000 r-xp 00002000 08:01 8 /lib/libc.so.6\n7f0000020000-7f0000030000 rw-p 00000000 00:00 0 \n"
	s := newStacks(t, StackOptions{Root: root(t, map[string]string{"7/maps": maps}), Wait: time.Minute})
	rec := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(int32(7))}}
	s.UserStack(rec, []uint64{0x400010, 0x7f0000000100, 0x7f0000020000, 0x1, 0, 0x400010})
	want := []string{"hog+0x1010", "libc.so.6+0x2100", "0x7f0000020000", "0x1"}
	if !reflect.DeepEqual(rec.Trigger.UserStack, want) || !reflect.DeepEqual(rec.Sampled, []string{"trigger.user_stack"}) {
		t.Errorf("%q, sampled %q", rec.Trigger.UserStack, rec.Sampled)
	}
	gone := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(int32(8))}}
	s.UserStack(gone, []uint64{0x400010})
	if !reflect.DeepEqual(gone.Trigger.UserStack, []string{"0x400010"}) || gone.Sampled != nil {
		t.Errorf("a process that is gone: %q, sampled %q", gone.Trigger.UserStack, gone.Sampled)
	}
}

func newStacks(t *testing.T, o StackOptions) *Stacks {
	t.Helper()
	s := NewStacks(o)
	t.Cleanup(s.Close)
	return s
}

// TestUserStackHangs: a process whose maps cannot be read now, here a pipe that
// nobody writes, costs its record the names and the others nothing.
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
		s.UserStack(rec, []uint64{0x400010})
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
	s.Close() // while it hangs
	let()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestDoesNotAllocate(t *testing.T) {
	maps := "00400000-00500000 r-xp 00001000 08:01 7 /usr/bin/hog\n7f0000000000-7f0000010000 r-xp 00002000 08:01 8 /lib/libc.so.6\n"
	dir := root(t, map[string]string{
		"swaps": strings.ReplaceAll(swapsText, `\040`, "_"), "meminfo": meminfoText, // a name with a space is made anew
		"sys/vm/swappiness": "60\n", "sys/vm/oom_kill_allocating_task": "1\n",
		"7/maps": strings.Repeat(maps[:len(maps)/2], 1000) + maps,
	})
	s, stacks := Sampler{Root: dir}, newStacks(t, StackOptions{Root: dir, Wait: time.Minute})
	rec := &oom.Record{Source: oom.SourceBPF, Trigger: &oom.Trigger{PID: oom.Some(int32(7))}, Memory: &oom.Memory{}}
	once := func() {
		s.readAt = time.Time{} // not fresh any more
		*rec.Memory = oom.Memory{Stat: rec.Memory.Stat[:0]}
		rec.Sampled, rec.Trigger.UserStack = rec.Sampled[:0], rec.Trigger.UserStack[:0]
		s.Record(rec)
		stacks.UserStack(rec, []uint64{0x400010, 0x7f0000000100, 0x1})
	}
	once()
	if n := testing.AllocsPerRun(50, once); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if len(rec.Sampled) != 8 {
		t.Errorf("sampled %v", rec.Sampled)
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
		s := newStacks(t, StackOptions{Root: dir, Wait: time.Minute})
		rec := &oom.Record{Trigger: &oom.Trigger{PID: oom.Some(int32(7))}}
		s.UserStack(rec, []uint64{address, address})
		if got := rec.Trigger.UserStack; address != 0 && (len(got) != 2 || got[0] != got[1] || got[0] == "") {
			t.Errorf("%q", got)
		}
	})
}
