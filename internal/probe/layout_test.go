package probe

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// wireStructs are the Go types of the structs in bpf/event.h.
func wireStructs() map[string]any {
	return map[string]any{
		"event_header": OomtraceEventHeader{}, "span": OomtraceSpan{}, "task_info": OomtraceTaskInfo{}, "mm_info": OomtraceMmInfo{},
		"decision_info": OomtraceDecisionInfo{}, "memcg_info": OomtraceMemcgInfo{}, "memory_info": OomtraceMemoryInfo{},
		"zone_info": OomtraceZoneInfo{}, "candidate_info": OomtraceCandidateInfo{}, "victim_event": OomtraceVictimEvent{},
		"exit_event": OomtraceExitEvent{}, "shared_mm_event": OomtraceSharedMmEvent{}, "cgroup_event": OomtraceCgroupEvent{},
		"cmdline": OomtraceCmdline{}, "sigkill_event": OomtraceSigkillEvent{}, "parent_info": OomtraceParentInfo{},
	}
}

// objects are the committed ones, of every architecture.
func objects(t *testing.T) map[string]*btf.Spec {
	t.Helper()
	paths, err := filepath.Glob("oomtrace_*_bpfel.o")
	if err != nil || len(paths) != 2 {
		t.Fatalf("objects %v: %v", paths, err)
	}
	specs := map[string]*btf.Spec{}
	for _, path := range paths {
		coll, err := ebpf.LoadCollectionSpec(path)
		if err != nil {
			t.Fatal(err)
		}
		specs[path] = coll.Types
	}
	return specs
}

// TestLayout holds the Go types against the C structs of every object: the same
// fields at the same places, and of the same size.
func TestLayout(t *testing.T) {
	for path, types := range objects(t) {
		for name, goValue := range wireStructs() {
			t.Run(path+"/"+name, func(t *testing.T) {
				var c *btf.Struct
				if err := types.TypeByName(name, &c); err != nil {
					t.Fatal(err)
				}
				compare(t, c, reflect.TypeOf(goValue))
			})
		}
	}
}

func compare(t *testing.T, c *btf.Struct, g reflect.Type) {
	t.Helper()
	if uintptr(c.Size) != g.Size() {
		t.Errorf("%d bytes in C, %d in Go", c.Size, g.Size())
	}
	if c.Size%8 != 0 && c.Name != "span" {
		t.Errorf("%d bytes are no multiple of 8", c.Size)
	}
	var fields []reflect.StructField
	for f := range g.Fields() {
		if f.Name != "_" {
			fields = append(fields, f)
		}
	}
	if len(fields) != len(c.Members) {
		t.Fatalf("%d fields in C, %d in Go", len(c.Members), len(fields))
	}
	end := uint32(0)
	for i, m := range c.Members {
		f := fields[i]
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		if goName(m.Name) != f.Name || uintptr(m.Offset.Bytes()) != f.Offset || uintptr(size) != f.Type.Size() {
			t.Errorf("C: %s at %d, %d bytes; Go: %s at %d, %d bytes", m.Name, m.Offset.Bytes(), size, f.Name, f.Offset, f.Type.Size())
		}
		if m.Offset.Bytes() != end || m.BitfieldSize != 0 {
			t.Errorf("%s lies at %d, the field before ends at %d: padding must be a field, bitfields are none", m.Name, m.Offset.Bytes(), end)
		}
		end = m.Offset.Bytes() + uint32(size)
	}
	if end != c.Size {
		t.Errorf("fields end at %d of %d", end, c.Size)
	}
}

// goName is bpf2go's: each word with a capital.
func goName(c string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(c, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// TestLayoutNumber keeps the layout that belongs to the number in bpf/event.h: a
// ring that was pinned by another version must not be taken for one of this.
func TestLayoutNumber(t *testing.T) {
	header, err := os.ReadFile("../../bpf/event.h")
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`(?m)^#define WIRE_LAYOUT (\d+)$`).FindSubmatch(header)
	if number == nil {
		t.Fatal("bpf/event.h has no WIRE_LAYOUT")
	}
	for path, types := range objects(t) {
		var out bytes.Buffer
		for _, name := range []string{
			"event_header", "span", "task_info", "mm_info", "decision_info", "memcg_info", "memory_info", "zone_info", "candidate_info",
			"victim_event", "exit_event", "shared_mm_event", "cgroup_event",
		} {
			describe(t, &out, types, name)
		}
		golden := filepath.Join("testdata", "layout-"+string(number[1])+".golden")
		if *update {
			if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(want, out.Bytes()) {
			t.Errorf("%s is not as %s says: a released layout that changes needs a new WIRE_LAYOUT; then go test -update", path, golden)
		}
	}
}

func describe(t *testing.T, out *bytes.Buffer, types *btf.Spec, name string) {
	t.Helper()
	var c *btf.Struct
	if err := types.TypeByName(name, &c); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "%s %d\n", name, c.Size)
	for _, m := range c.Members {
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(out, "\t%d %s %d\n", m.Offset.Bytes(), m.Name, size)
	}
}

// TestEnums holds the Go constants that index arrays against C's.
func TestEnums(t *testing.T) {
	for path, types := range objects(t) {
		for name, want := range map[string]uint64{
			"MEMCG_STAT_SWAP": uint64(OomtraceMemcgStatMEMCG_STAT_SWAP), "MEMCG_STAT_COUNT": uint64(OomtraceMemcgStatMEMCG_STAT_COUNT),
			"VM_STAT_FILE_PAGES": uint64(OomtraceVmStatVM_STAT_FILE_PAGES), "VM_STAT_COUNT": uint64(OomtraceVmStatVM_STAT_COUNT),
			"COUNTER_COUNT": uint64(OomtraceCounterCOUNTER_COUNT), "HOOK_MARK_VICTIM": uint64(OomtraceHookBitHOOK_MARK_VICTIM),
			"EVENT_SHARED_MM": uint64(OomtraceEventTypeEVENT_SHARED_MM), "MEMCG_CUT": uint64(OomtraceMemcgFlagMEMCG_CUT),
			"TASK_CGROUP_V2": uint64(OomtraceTaskFlagTASK_CGROUP_V2),
		} {
			if got, ok := enumValue(types, name); !ok || got != want {
				t.Errorf("%s: %s is %d (%v), want %d", path, name, got, ok, want)
			}
		}
	}
}

func enumValue(types *btf.Spec, name string) (uint64, bool) {
	for typ, err := range types.All() {
		if err != nil {
			return 0, false
		}
		e, ok := typ.(*btf.Enum)
		if !ok {
			continue
		}
		for _, v := range e.Values {
			if v.Name == name {
				return v.Value, true
			}
		}
	}
	return 0, false
}
