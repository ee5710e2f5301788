package kernlog

import (
	"testing"
)

// TestTemplates: source text that prints a kill is none. In a log the same may be a process's name.
func TestTemplates(t *testing.T) {
	const sizes = "total-vm:400kB, anon-rss:40kB, file-rss:0kB"
	const stamp, tag = "[    1.000000] ", "Mar  7 04:11:09 h kernel: "
	for line, want := range map[string]int{
		"\tfmt.Fprintf(w, \"" + tag + stamp + "Killed process 1 (%s) " + sizes + "\", name)":               0,
		"\tfmt.Fprintf(w, \"" + tag + stamp + "Killed process %d (%s) total-vm:%dkB\", pid, name, vm)":     0,
		"\tfmt.Fprintf(w, \"" + stamp + "%s invoked oom-killer: gfp_mask=0xcc0, order=0\", name)":          0,
		"    println!(\"" + stamp + "Out of memory: Killed process 1 ({}) " + sizes + "\", name);":         0,
		"    println!(\"" + stamp + "Out of memory: Killed process {} ({}) " + sizes + "\", pid, name);":   0,
		"    println!(\"" + stamp + "{} invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0\", name);": 0,
		"    return f\"" + stamp + "Killed process {pid} ({name}) total-vm:{vm}kB, anon-rss:{rss}kB\"":     0,
		"    line = f\"Killed process 12 ({name}) " + sizes + "\"":                                         0,
		"    line = \"" + stamp + "Killed process 12 (%(name)s) " + sizes + "\" % facts":                   0,
		"    line = \"" + stamp + "Killed process 12 (\" + name + \") " + sizes + "\"":                     0,
		"const l = `" + tag + stamp + "Killed process 1 (${name}) " + sizes + "`":                          0,
		"echo \"" + stamp + "Out of memory: Killed process 1 (${name}) " + sizes + "\"":                    0,
		"echo \"" + tag + "Out of memory: Killed process 1 ($name) " + sizes + "\" >> log":                 0,
		"logger -p kern.warn \"Out of memory: Killed process ${pid} (${name}) " + sizes + "\"":             0,
		"logger -p kern.warn \"Out of memory: Killed process 1 ($name) " + sizes + "\"":                    0,
		"printf 'Mar  7 04:11:09 h kernel: Killed process 1 (%s) " + sizes + "\\n' \"$name\"":              0,
		"\tlog.Printf(\"Killed process 77 (%s) " + sizes + "\", name)":                                     0,
		"puts \"" + stamp + "Killed process 1 (#{name}) " + sizes + "\"":                                   0,
		"print(\"" + stamp + "Killed process 1 (\\(name)) " + sizes + "\")":                                0,
		"in := \"" + stamp + "Killed process 1 (a) " + sizes + "\"":                                        1,
		"\t\t\"" + stamp + "Killed process 1 (%s) " + sizes + "\",":                                        1,
		stamp + "Killed process 1 (%s) " + sizes:                                                           1,
		tag + "Out of memory: Killed process 1 ({}) " + sizes:                                              1,
		"Out of memory: Killed process 1 (${a}) " + sizes:                                                  1,
		"<4>" + stamp + "Killed process 1 ({a}) " + sizes:                                                  1,
		"it's " + tag + "Killed process 1 (a) " + sizes:                                                    1,
	} {
		recs := readText(t, line+"\n", testOptions())
		if len(recs) != want {
			t.Errorf("%q: %d records, want %d", line, len(recs), want)
		}
	}
}
