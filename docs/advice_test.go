package docs

import (
	"strings"
	"testing"
)

func TestAdvice(t *testing.T) {
	for _, tt := range []struct{ code, check, do string }{
		{"swap_none", "`swapon --show`.", "more memory, or swap; kubelet does not start with swap unless `failSwapOn: false`."},
		{"victim_allocating_task", "", "`sysctl vm.oom_kill_allocating_task=0`."},
		{"exit_gone", "", ""},
		{"no such code", "", ""},
		{"", "", ""},
	} {
		if check, do := Advice(tt.code); check != tt.check || do != tt.do {
			t.Errorf("%s: check %q, do %q; want %q, %q", tt.code, check, do, tt.check, tt.do)
		}
	}
}

// TestAdviceIsWhole: each "Check:" of the document reaches the page, with its backticks in pairs.
func TestAdviceIsWhole(t *testing.T) {
	found := 0
	for _, part := range strings.Split(whyDocument, "\n#### `")[1:] {
		code, _, _ := strings.Cut(part, "`")
		check, do := Advice(code)
		if check != "" {
			found++
		}
		for _, text := range []string{check, do} {
			if strings.Count(text, "`")%2 != 0 || strings.Contains(text, "Check:") || strings.Contains(text, "Do:") {
				t.Errorf("%s: %q", code, text)
			}
		}
	}
	if want := strings.Count(whyDocument, "Check: "); found != want {
		t.Errorf("%d codes have a check, the document %d", found, want)
	}
}
