package kernlog

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestKillInTwo: a kill's line that is broken at any blank, or behind a hyphen or a colon of its
// fields, is whole again, with nothing else of the report there to know it by.
func TestKillInTwo(t *testing.T) {
	const first, second = "Out of memory: Kill process 812 (hostapd) score 31 or sacrifice child", "Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, file-rss:4kB, shmem-rss:0kB"
	const vz = "Out of memory in UB 1234: OOM killed process 812 (hostapd) score 0 vm:6196kB, rss:1024kB, swap:0kB"
	rhel := strings.Replace(killedLine, "(hostapd) ", "(hostapd), UID 48, ", 1)
	sizes := func(r *oom.Record) bool {
		v := r.Victim
		return v.TotalVMBytes == oom.Some(uint64(6196<<10)) && v.AnonRSSBytes == oom.Some(uint64(1024<<10)) && v.RSSBytes.Known
	}
	for _, line := range []string{killedLine, strings.Replace(killedLine, "Out", "Memory cgroup out", 1), rhel, second, vz} {
		check := sizes
		if line == vz {
			check = func(r *oom.Record) bool { return r.Victim.TotalVMBytes == oom.Some(uint64(6196<<10)) }
		}
		for _, prefix := range []string{"[  104.482941] ", "Mar  7 04:11:09 worker kernel: ", "Mar  7 04:11:09 worker kernel: [  104.482941] ", "> [  104.482941] ", "[Fri Mar  7 04:11:09] "} {
			for i, c := range []byte(line) {
				left, right := line[:i], line[i:]
				if c == ' ' {
					left, right = line[:i+1], line[i+1:]
				} else if behind := i > strings.Index(line, ") ") && i > 0 && (line[i-1] == '-' || line[i-1] == ':'); !behind {
					continue
				}
				if i < len("Killed") { // not enough to know it by
					continue
				}
				for _, indent := range []string{"", "  ", "               "} {
					if prefix[0] == '>' {
						indent = "> " + indent
					}
					log := prefix + left + "\n" + indent + right + "\nThen it went on.\n"
					t.Run(fmt.Sprintf("%s, %s|%s, %q", prefix, left, right, indent), func(t *testing.T) {
						checkWanted(t, log, wanted{oom.KindKill, "812 hostapd", "", check})
					})
				}
			}
		}
	}
	checkWanted(t, "> [  104.482941] "+first+"\n> [  104.482942] Killed process 812 (hostapd) total-\nvm:\n> 6196kB, anon-rss:1024kB, file-rss:\n> 4kB, shmem-rss:0kB\n\nBye\n",
		wanted{oom.KindKill, "812 hostapd", "", sizes})
}

// TestKillAndProse: what follows a kill's line that breaks off is its rest only if it is of the
// kernel's words.
func TestKillAndProse(t *testing.T) {
	for _, line := range []string{
		"Out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, ...",
		"Out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, [...]",
		"Out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB, …",
		"Out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB,",
		"Out of memory: Killed process 812 (hostapd) total-vm:6196kB, anon-rss:1024kB",
		"Out of memory: Killed process 812 (hostapd) total-vm:6196kB",
		"Out of memory: Killed process 812 (hostapd) total-vm:",
		"Out of memory: Killed process 812 (hostapd)",
		"Out of memory: Kill process 812 (hostapd)",
	} {
		for _, prose := range []string{"Then it restarted.", "Resolution", "file system full", "the total-vm:6196kB is odd", "swap was off"} {
			log := "[  104.482941] " + line + "\n" + prose + "\n" + "[  105.000000] " + headerLine + "\n[  105.000100] " + strings.ReplaceAll(killedLine, "812", "813") + "\n"
			t.Run(line+", "+prose, func(t *testing.T) {
				all, st := readAll(t, strings.NewReader(log), testOptions())
				if len(all) != 2 || all[0].Victim.PID.Value != 812 || all[0].Victim.Comm != "hostapd" || all[1].Victim.PID.Value != 813 || st.Unplaced != 0 {
					t.Fatalf("%d records, %+v", len(all), st)
				}
			})
		}
	}
	// A header or a row has no prose for its rest either, and words alone make no kill.
	for _, log := range []string{
		"squid invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL),\nThat is odd.\n" + killedLine + "\n",
		headerLine + "\n[  812]     0   812     1549      256    45056        0             0\nThis is the one that it took\n" + killedLine + "\n",
		headerLine + "\nOut of memory: Killed\nprocesses are many.\n" + killedLine + "\n",
	} {
		checkWanted(t, log, wanted{oom.KindKill, "812 hostapd", "squid", func(r *oom.Record) bool {
			return !slices.ContainsFunc(r.Candidates, func(c oom.Candidate) bool { return strings.Contains(c.Comm, "This") })
		}})
	}
	for end, known := range map[string]bool{"": true, " ...": false} {
		checkWanted(t, "squid invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL),"+end+"\norder=3, oom_score_adj=0\n"+killedLine+"\n",
			wanted{oom.KindKill, "812 hostapd", "squid", func(r *oom.Record) bool { return r.Trigger.Order.Known == known }})
	}
}
