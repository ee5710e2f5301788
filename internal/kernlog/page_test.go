package kernlog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestPageSize: where no list of free blocks shows how big a page is, other lines may.
func TestPageSize(t *testing.T) {
	const zones = "Node 0 DMA free:%dkB min:4096kB low:5120kB high:6144kB present:4194304kB managed:%dkB\nlowmem_reserve[]: 0 0 0\n"
	type lines struct {
		kernel        string
		anonKB        int // of the nodes listed
		freeKB        int // of the zones listed
		managedKB     int
		anon, free    int // pages of the whole machine
		ram, reserved int
	}
	for name, c := range map[string]struct {
		lines
		want uint64 // of the free memory
	}{
		"64 KiB by the free memory":              {lines{freeKB: 650000, free: 10150}, 10150 << 16},
		"64 KiB by a node":                       {lines{anonKB: 7680000, anon: 120004, free: 300}, 300 << 16},
		"16 KiB by what is managed":              {lines{managedKB: 4030000, freeKB: 40000, ram: 262144, reserved: 10270, free: 2500}, 2500 << 14},
		"64 KiB by name":                         {lines{kernel: "5.14.0-427.el9.aarch64+64k", free: 900}, 900 << 16},
		"16 KiB by name":                         {lines{kernel: "6.9.7-401.asahi.fc40.aarch64+16k", free: 901}, 901 << 14},
		"4 KiB, all is listed":                   {lines{managedKB: 4030000, anonKB: 2000000, freeKB: 41000, anon: 500100, ram: 1048576, reserved: 41076, free: 10200}, 10200 << 12},
		"4 KiB, a zone of several is listed":     {lines{freeKB: 11000, managedKB: 15000, ram: 1048576, reserved: 41076, free: 262000}, 262000 << 12},
		"4 KiB, much was given back in between":  {lines{managedKB: 4030000, freeKB: 190000, ram: 1048576, reserved: 41076, free: 10200}, 10200 << 12},
		"4 KiB, nothing else is known":           {lines{free: 10200}, 10200 << 12},
		"few pages say nothing":                  {lines{freeKB: 9000, free: 500}, 500 << 12},
		"bigger, and not all is listed: unknown": {lines{freeKB: 190000, free: 10200}, 0},
	} {
		if c.kernel == "" {
			c.kernel = "6.1.0"
		}
		text := headerLine + "\nCPU: 0 PID: 88 Comm: squid Not tainted " + c.kernel + " #1\nMem-Info:\n" +
			fmt.Sprintf("active_anon:%d inactive_anon:0 isolated_anon:0\n free:%d free_pcp:0 free_cma:0\n", c.anon, c.free)
		if c.anonKB > 0 {
			text += fmt.Sprintf("Node 0 active_anon:%dkB inactive_anon:0kB active_file:0kB\n", c.anonKB)
		}
		if c.freeKB > 0 {
			text += fmt.Sprintf(zones, c.freeKB, c.managedKB)
		}
		if c.ram > 0 {
			text += fmt.Sprintf("%d pages RAM\n%d pages reserved\n", c.ram, c.reserved)
		}
		all := readText(t, strings.ReplaceAll(text, "managed:0kB", "")+killLineText+"\n", testOptions())
		want := oom.Some(c.want)
		if c.want == 0 {
			want = oom.Opt[uint64]{}
		}
		if len(all) != 1 || all[0].Memory == nil || all[0].Memory.FreeBytes != want {
			t.Errorf("%s: %+v", name, all[0].Memory)
		}
	}
}

// TestLimitOfNone: 5.0 to 5.2 print CONSTRAINT_NONE for a cgroup's limit, and a BPF program
// may print what it likes.
func TestLimitOfNone(t *testing.T) {
	for constraint, limit := range map[string]string{
		"CONSTRAINT_NONE": "oom_memcg=/b,task_memcg=/b/c", "CONSTRAINT_MEMCG": "oom_memcg=/b,task_memcg=/b/c", "CONSTRAINT_BPF_PSI": "oom_memcg=/b,task_memcg=/b/c",
		"CONSTRAINT_NONE ": "global_oom,task_memcg=/b/c",
	} {
		want, reason := oom.ScopeCgroup, "Memory cgroup out of memory"
		if strings.HasPrefix(limit, "global") {
			want, reason = oom.ScopeSystem, "Out of memory"
		}
		summary := "oom-kill:constraint=" + strings.TrimSpace(constraint) + ",nodemask=(null),cpuset=/,mems_allowed=0," + limit + ",task=a,pid=77,uid=5"
		kill := strings.Replace(killLineText, killLineText[:strings.Index(killLineText, ":")], reason, 1)
		all := readText(t, headerLine+"\n"+summary+"\n"+kill+"\n", testOptions())
		if len(all) != 1 || all[0].Scope != want || all[0].Victim.Cgroup != "/b/c" || (want == oom.ScopeCgroup) != (all[0].Limit != nil && all[0].Limit.Cgroup == "/b") {
			t.Errorf("%s: %d records, %+v", constraint, len(all), all[0])
		}
	}
}
