package kernlog

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// idsOf are the ids of a log's OOMs and records, as one run reads it behind others.
func idsOf(t *testing.T, seen *Seen, log string) (incidents, records []string) {
	t.Helper()
	seen.Next()
	o := testOptions()
	o.Seen = seen
	r := NewReader(strings.NewReader(log), o)
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return incidents, records
		}
		if err != nil {
			t.Fatal(err)
		}
		incidents, records = append(incidents, rec.Incident), append(records, rec.ID)
	}
}

// TestIDsWithoutStamps: in a log without a clock each OOM and each record has an id of its own,
// also where several are about one process, and beside another such log; again the same the next
// time.
func TestIDsWithoutStamps(t *testing.T) {
	kill := func(kb int) string {
		return headerLine + "\n" + cpuLine + "\n" + strings.Replace(killedLine, "anon-rss:1024kB", fmt.Sprintf("anon-rss:%dkB", kb), 1) + "\n"
	}
	choice := headerLine + "\n" + cpuLine + "\noom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/a,task=hostapd,pid=812,uid=0\n"
	claimed := headerLine + "\n" + cpuLine + "\nMem-Info:\n" + killedLine + "\n[ pid ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n[    812]     0   812     1549      257    28672        0             0 hostapd\n"
	cut := headerLine + "\n" + strings.Replace(cpuLine, "537", "812", 1) + "\nMem-Info:\nactive_anon:1 inactive_anon:2 isolated_anon:0\n"
	for name, log := range map[string]string{
		"kills": kill(1) + kill(2), "no kill line, then one": choice + cut + kill(2), "taken back": claimed + kill(2), "all": choice + cut + kill(2) + claimed + choice + cut,
	} {
		var all, again []string
		for _, ids := range []*[]string{&all, &again} {
			var seen Seen
			for _, text := range []string{log, strings.ReplaceAll(log, "anon-rss:", "anon-rss:7")} {
				incidents, records := idsOf(t, &seen, text)
				*ids = append(append(*ids, incidents...), records...)
			}
		}
		used := map[string]bool{}
		for _, id := range all {
			if used[id] {
				t.Errorf("%s: %s twice of %q", name, id, all)
			}
			used[id] = true
		}
		if len(all) < 8 || strings.Join(again, " ") != strings.Join(all, " ") {
			t.Errorf("%s: %q, again %q", name, all, again)
		}
	}
}
