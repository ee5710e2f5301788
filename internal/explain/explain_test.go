package explain

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/oom"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// check holds what is true of every explanation.
func check(t *testing.T, w *oom.Why) {
	t.Helper()
	known := knownCodes()
	if !known[w.Verdict] {
		t.Errorf("verdict %q is not one of Codes", w.Verdict)
	}
	if w.Verdict != codeUnknown && !hasCode(w, w.Verdict) {
		t.Errorf("verdict %s rests on no reason: %+v", w.Verdict, w)
	}
	checkText(t, "summary", w.Summary)
	for _, r := range w.Reasons {
		if !known[r.Code] {
			t.Errorf("reason %q is not one of Codes", r.Code)
		}
		checkText(t, r.Code, r.Text)
	}
	unsure := w.Unsure.Or(false)
	if unsure != strings.Contains(w.Summary, "could also be") {
		t.Errorf("unsure is %v: %s", unsure, w.Summary)
	}
	if unsure != (w.Check != "") {
		t.Errorf("unsure is %v, and the next step %q", unsure, w.Check)
	}
	if w.Unsure.Known && !unsure {
		t.Error("unsure is given as false; it is left out then")
	}
}

var knownCodes = sync.OnceValue(func() map[string]bool {
	known := map[string]bool{}
	for _, c := range Codes() {
		known[c.Name] = true
	}
	return known
})

// maxText is what four lines of a terminal hold.
const maxText = 400

func checkText(t *testing.T, what, s string) {
	t.Helper()
	if s == "" || len(s) > maxText {
		t.Errorf("%s has %d bytes: %q", what, len(s), s)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		t.Errorf("%s is not one line of text: %q", what, s)
	}
}

// TestGolden keeps the words of every scenario, and of the story that they must
// be able to tell.
func TestGolden(t *testing.T) {
	var out bytes.Buffer
	for _, p := range pairs() {
		writeGolden(t, &out, p.code+": "+p.name, p.rec)
		writeGolden(t, &out, "not "+p.code+": "+p.lookAlike, p.other)
	}
	for _, s := range stories() {
		writeGolden(t, &out, s.name, s.rec)
	}
	path := filepath.Join("..", "..", "testdata", "explain", "why.golden")
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		t.Errorf("%s differs; look at it with go test -update and git diff", path)
	}
}

func writeGolden(t *testing.T, out *bytes.Buffer, name string, rec *oom.Record) {
	w := Of(rec)
	check(t, w)
	verdict := w.Verdict
	if w.Unsure.Or(false) {
		verdict += ", unsure"
	}
	fmt.Fprintf(out, "# %s\n[%s] %s\n", name, verdict, w.Summary)
	for _, r := range w.Reasons {
		fmt.Fprintf(out, "  %s: %s\n", r.Code, r.Text)
	}
	out.WriteByte('\n')
}

type story struct {
	name string
	rec  *oom.Record
}

func stories() []story {
	kill := func(scope oom.Scope) *oom.Record {
		return &oom.Record{Kind: oom.KindKill, Scope: scope, Victim: &oom.Victim{RSSBytes: b(1743412 * kib), AnonRSSBytes: b(1743412 * kib)}}
	}
	return []story{
		{"the kill line alone, system", kill(oom.ScopeSystem)},
		{"the kill line alone, cgroup", kill(oom.ScopeCgroup)},
		{"swap idle, swappiness 0, no statistics", system(swap(2948*mib, 2929*mib), swappinessZero, noStats, func(r *oom.Record) { r.Victim.LockedVMBytes = size{} })},
		{"swap idle, nothing else known", system(swap(2948*mib, 2929*mib), noStats, func(r *oom.Record) { r.Memory.Swappiness = oom.Opt[uint32]{} })},
		{"a pod that may not swap", limited(inPod(252*mib), func(r *oom.Record) { r.Victim.CgroupLimits[0].SwapMaxBytes = b(0) })},
		{"gone, reaped", &oom.Record{Kind: oom.KindExit, Exit: &oom.Exit{AfterNS: b(38e6), Reaped: oom.Some(true), ReapedAfterNS: b(12e6), RSSBytes: b(0)}}},
		{"slow, reaper gave up", &oom.Record{Kind: oom.KindExit, Exit: &oom.Exit{AfterNS: b(7.2e9), ReaperGaveUp: oom.Some(true), RSSBytes: b(90 * mib)}}},
		{"exit of nothing known", &oom.Record{Kind: oom.KindExit}},
		{"lost, number unknown", &oom.Record{Kind: oom.KindLost}},
		{"empty", &oom.Record{}},
	}
}

func TestUnknown(t *testing.T) {
	w := Of(&oom.Record{Kind: oom.KindKill, Scope: oom.ScopeSystem})
	if w.Verdict != codeUnknown || !w.Unsure.Or(false) || len(w.Reasons) != 0 {
		t.Errorf("got %+v", w)
	}
}

// TestUnsure holds where the evidence stops being enough.
func TestUnsure(t *testing.T) {
	free := swap(2*gib, 2*gib-20*mib)
	tests := []struct {
		name    string
		rec     *oom.Record
		verdict string
		unsure  bool
	}{
		{"half is anonymous", limited(limitStat(oom.LimitAnon, 128*mib), limitStat(oom.LimitFile, 100*mib)), codeLimitAnon, false},
		{"less than half is", limited(limitStat(oom.LimitAnon, 120*mib), limitStat(oom.LimitFile, 100*mib)), codeLimitAnon, true},
		{"dirty cache, swap in use, swap cache not counted", limited(limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib), limitStat(oom.LimitFileDirty, 150*mib),
			func(r *oom.Record) { r.Limit.SwapUsageBytes = b(90 * mib) }), codeLimitDirty, true},
		{"dirty cache, swap in use", limited(limitStat(oom.LimitAnon, 40*mib), limitStat(oom.LimitFile, 210*mib), limitStat(oom.LimitFileDirty, 150*mib), limitStat(oom.LimitSwapcached, 0),
			func(r *oom.Record) { r.Limit.SwapUsageBytes = b(90 * mib) }), codeLimitDirty, false},
		{"swap full", system(swap(2*gib, 100*mib)), codeSwapFull, false},
		{"swap nearly full", system(swap(2*gib, 300*mib)), codeSwapFull, true},
		{"swap full for 64 CPUs", system(swap(2*gib, 30*mib), cpus(64)), codeSwapFull, false},
		{"swap not full for 2 CPUs", system(swap(2*gib, 60*mib), cpus(2)), codeSwapFull, true},
		{"swap's last percent", system(swap(2*gib, 20*mib), cpus(2)), codeSwapFull, false},
		{"swap read late, full or not", system(swap(2*gib, 600*mib), late(500*mib)), codeSwapFull, true},
		{"swap read late, full either way", system(swap(2*gib, 20*mib), late(10*mib)), codeSwapFull, false},
		{"may not swap, holds less than half", system(free, levels(b(0)), victimAnon(gib)), codeSwapForbidden, true},
		{"may not swap, holds half", system(free, levels(b(0)), victimAnon(3*gib/2)), codeSwapForbidden, false},
		{"swappiness 0, multi-generational", system(free, swappinessZero, lruGen(true)), codeSwapSwappiness, false},
		{"swappiness 0, older LRU, hardly any page cache", system(free, swappinessZero, lruGen(false)), codeSwapSwappiness, true},
		{"swappiness 0, either LRU, hardly any page cache", system(free, swappinessZero), codeSwapSwappiness, true},
		{"swappiness 0, older LRU, page cache", system(free, swappinessZero, lruGen(false), stat(oom.StatActiveFile, 300*mib)), codeSwapSwappiness, false},
		{"swappiness 0, as much kernel memory", system(free, swappinessZero, lruGen(true), stat(oom.StatActiveAnon, 500*mib), stat(oom.StatInactiveAnon, 500*mib), stat(oom.StatSlabUnrecl, 1500*mib)), codeSwapSwappiness, true},
		{"swappiness 0, locked memory not known", system(free, swappinessZero, noStats, func(r *oom.Record) { r.Victim.LockedVMBytes = size{} }), codeSwapSwappiness, true},
		{"swappiness 0, swap in use, file pages left", system(swap(2*gib, gib), swappinessZero, stat(oom.StatActiveFile, 300*mib)), codeSwapSwappiness, false},
		{"swap's state not known", system(func(r *oom.Record) { r.Memory.SwapTotalBytes = size{} }), codeMemoryLow, true},
		{"many tasks of many names", system(tasks(800, 4*mib, 4*mib, 4*mib), func(r *oom.Record) {
			for i := range r.Candidates {
				r.Candidates[i].Comm = string(rune('a' + i))
			}
		}), codeManyTasks, true},
		{"many tasks, their sum not known", system(tasks(800, 4*mib, 4*mib, 4*mib), func(r *oom.Record) { r.CandidatesBytes = size{} }), codeManyTasks, true},
		{"many tasks, anonymous memory not known", system(tasks(800, 4*mib, 4*mib, 4*mib), noStats), codeManyTasks, true},
		{"huge pages at the kill", system(stat(oom.StatHugepagesTotal, 3*gib), stat(oom.StatHugepagesFree, 3*gib)), codeMemoryHugepages, false},
		{"huge pages after the kill", system(stat(oom.StatHugepagesTotal, 3*gib), stat(oom.StatHugepagesFree, 3*gib), func(r *oom.Record) { r.Sampled = []string{"memory.stat.hugepages"} }), codeMemoryHugepages, true},
		{"a cpuset's nodes", system(numa(oom.ScopeCpuset, "0", 2*gib)), codeNodeCpuset, false},
		{"a policy's node in a log without the machine's size", system(fromLog, numa(oom.ScopeMempolicy, "0", 2*gib), func(r *oom.Record) {
			r.Memory.TotalBytes, r.Memory.Zones = size{}, r.Memory.Zones[:1]
		}), codeNodeMempolicy, true},
		{"slab, of which some may be dropped", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), slabOf("slab_bytes", 2*gib)), codeMemoryKernel, true},
		{"slab that cannot be dropped", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), slabOf(oom.StatSlabUnrecl, 2*gib)), codeMemoryKernel, false},
		{"a cpuset's nodes, guessed", system(numa(oom.ScopeCpuset, "", 2*gib)), codeNodeCpuset, true},
		{"missing memory, huge pages known", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0), stat(oom.StatHugepagesTotal, 0)), codeMemoryMissing, true},
		{"missing memory, huge pages not known", system(stat(oom.StatActiveAnon, 0), stat(oom.StatInactiveAnon, 0)), codeMemoryMissing, true},
		{"the pod's limit, own usage not known", limited(inPod(30*mib), func(r *oom.Record) { r.Victim.CgroupLimits[0].UsageBytes = size{} }), codeLimitAnon, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := Of(tt.rec)
			check(t, w)
			if w.Verdict != tt.verdict || w.Unsure.Or(false) != tt.unsure {
				t.Errorf("want %s, unsure %v; got %+v", tt.verdict, tt.unsure, w)
			}
		})
	}
}

// TestDocs holds docs/why.md and Codes together.
func TestDocs(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "why.md"))
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^#### `([a-z_]+)`").FindAllSubmatch(doc, -1) {
		documented = append(documented, string(m[1]))
	}
	var codes []string
	for _, c := range Codes() {
		codes = append(codes, c.Name)
		if c.Meaning == "" || strings.Contains(c.Meaning, "\n") {
			t.Errorf("%s: meaning %q", c.Name, c.Meaning)
		}
	}
	if !slices.Equal(documented, codes) {
		t.Errorf("docs/why.md has\n%v\nCodes has\n%v", documented, codes)
	}
}

func BenchmarkExplain(bm *testing.B) {
	rec := limited(inPod(252 * mib))
	bm.ReportAllocs()
	for bm.Loop() {
		Explain(rec)
	}
}

// FuzzExplain takes any record: no panic, and what check holds. The corpus is
// every scenario, with hostile names.
func FuzzExplain(f *testing.F) {
	for _, p := range pairs() {
		for _, rec := range []*oom.Record{p.rec, p.other} {
			if rec.Victim != nil {
				rec.Victim.Comm = "a\n\x1b[2J\"\xff"
			}
			raw, err := json.Marshal(rec)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var rec oom.Record
		if json.Unmarshal(raw, &rec) != nil {
			return
		}
		check(t, Of(&rec))
	})
}

func TestText(t *testing.T) {
	sizes := map[uint64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 10 << 20: "10 MiB", 256 << 20: "256 MiB", 2948 << 20: "2.9 GiB",
		1<<30 - 1: "1 GiB", 1 << 30: "1 GiB", 1785253888: "1.7 GiB", 1 << 63: "8 EiB", 1<<64 - 1: "16 EiB",
	}
	for n, want := range sizes {
		if got := sizeText(n); got != want {
			t.Errorf("sizeText(%d) is %q, want %q", n, got, want)
		}
	}
	percents := []struct {
		part, whole uint64
		want        string
	}{{0, 5, "0 %"}, {1, 1000, "under 1 %"}, {999, 1000, "99 %"}, {5, 5, "100 %"}, {1, 2, "50 %"}, {0, 0, "0 %"}, {1<<64 - 1, 1 << 63, "200 %"}}
	for _, p := range percents {
		if got := percentText(p.part, p.whole); got != p.want {
			t.Errorf("percentText(%d, %d) is %q, want %q", p.part, p.whole, got, p.want)
		}
	}
	durations := map[uint64]string{0: "0 µs", 999_499: "999 µs", 38e6: "38 ms", 999_900_000: "999 ms", 1e9: "1 s", 2.84e9: "2.8 s", 62_500_000_000: "1 min 3 s", 59_990_000_000: "59.9 s", 240e9: "4 min", 473e9: "7 min 53 s", 1805e9: "30 min", 3596e9: "1 h", 28_200e9: "7 h 50 min", 3600e9: "1 h", 48 * 3600e9: "2 d", 51 * 3600e9: "2 d 3 h"}
	for n, want := range durations {
		if got := spanText(n); got != want {
			t.Errorf("spanText(%d) is %q, want %q", n, got, want)
		}
	}
}
