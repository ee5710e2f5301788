package kernlog

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestKillThenSilence: a kill line that ends behind the name is its report's, however long
// it takes until the next line.
func TestKillThenSilence(t *testing.T) {
	const report = "STAMP Xorg invoked oom-killer: gfp_mask=0x4d0, order=2, oom_adj=0\n" +
		"STAMP Mem-info:\nSTAMP active_anon:14031 inactive_anon:14073 isolated_anon:1\n" +
		"STAMP Out of memory: kill process 5064 (gnome-session) score 57411 or a child\nSTAMP Killed process 5135 (metacity)\n"
	for name, next := range map[string]string{
		"nothing":        "",
		"at once":        "May 19 03:39:57 mid kernel: usb 1-1: new device\n",
		"a second":       "May 19 03:39:58 mid kernel: usb 1-1: new device\n",
		"two minutes":    "May 19 03:41:57 mid kernel: usb 1-1: new device\n",
		"the next one":   "May 19 03:41:57 mid kernel: gdm3 invoked oom-killer: gfp_mask=0xd0, order=2, oom_adj=0\nMay 19 03:41:57 mid kernel: Killed process 5200 (gdm3)\n",
		"another's":      "May 19 03:41:57 top kernel: usb 1-1: new device\n",
		"the same again": "May 19 03:41:57 mid kernel: Killed process 5135 (metacity)\n",
	} {
		all := readText(t, strings.ReplaceAll(report, "STAMP", "May 19 03:39:57 mid kernel:")+next, testOptions())
		want := 1
		if name == "the next one" || name == "the same again" {
			want = 2
		}
		if len(all) != want || all[0].Victim == nil || all[0].Victim.PID != oom.Some(int32(5135)) || all[0].Trigger == nil || all[0].Trigger.Comm != "Xorg" || all[0].Time.Format("15:04:05") != "03:39:57" {
			t.Errorf("%s: %d records, %+v", name, len(all), all[0].Victim)
		}
	}
}
