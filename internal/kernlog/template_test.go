package kernlog

import (
	"testing"
)

// TestTemplates: source text that prints a kill has no number there. With one it is a kill, whatever
// the process's name is, and however a log's shipper quotes the line.
func TestTemplates(t *testing.T) {
	const sizes = "total-vm:400kB, anon-rss:40kB, file-rss:0kB"
	const stamp, tag = "[    1.000000] ", "Mar  7 04:11:09 h kernel: "
	for line, want := range map[string]int{
		"\tfmt.Fprintf(w, \"" + tag + stamp + "Killed process %d (%s) total-vm:%dkB\", pid, name, vm)":   0,
		"    println!(\"" + stamp + "Out of memory: Killed process {} ({}) " + sizes + "\", pid, name);": 0,
		"    return f\"" + stamp + "Killed process {pid} ({name}) total-vm:{vm}kB, anon-rss:{rss}kB\"":   0,
		"    line = \"" + stamp + "Killed process \" + pid + \" (\" + name + \") " + sizes + "\"":        0,
		"logger -p kern.warn \"Out of memory: Killed process ${pid} (${name}) " + sizes + "\"":           0,
		"puts \"" + stamp + "Killed process #{pid} (#{name}) " + sizes + "\"":                            0,
		"\tlog.Printf(\"" + stamp + "Killed process 77 (%s) " + sizes + "\", name)":                      0,
		"- `" + stamp + "Killed process 1 (%s) " + sizes + "`":                                           1,
		"level=warn facility=kern msg=\"" + stamp + "Killed process 1 (${x}) " + sizes + "\"":            1,
		"  - message: \"" + stamp + "Killed process 1 ({}) " + sizes + "\"":                              1,
		"He wrote: \"" + stamp + "Killed process 1 (%s) " + sizes + "\"":                                 1,
		"He saw what printf(3) says, \"" + stamp + "Killed process 1 (%s) " + sizes + "\"":               1,
		"in := \"" + stamp + "Killed process 1 (a) " + sizes + "\"":                                      1,
		"\t\t\"" + stamp + "Killed process 1 (%s) " + sizes + "\",":                                      1,
		stamp + "Killed process 1 (%s) " + sizes:                                                         1,
		tag + "Out of memory: Killed process 1 ({}) " + sizes:                                            1,
		"Out of memory: Killed process 1 (${a}) " + sizes:                                                1,
		"<4>" + stamp + "Killed process 1 ({a}) " + sizes:                                                1,
		"it's " + tag + "Killed process 1 (a) " + sizes:                                                  1,
	} {
		recs := readText(t, line+"\n", testOptions())
		if len(recs) != want {
			t.Errorf("%q: %d records, want %d", line, len(recs), want)
		}
	}
}
