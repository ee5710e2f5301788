//go:build !mutants

package explain

// What runs over every scenario with every number changed takes seconds, which is too
// long for each of a thousand mutants.

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestAbsentNumbers takes one number after the other out of each scenario: no
// reason may appear that the whole record did not give, save those that say less.
func TestAbsentNumbers(t *testing.T) {
	weaker := []string{
		codeLimitFull, codeSwapUnexplained, codeKubeletUnsure,
		codeLimitFile,                     // dirty or not is open, and it says so
		codeLimitDirty,                    // of the page cache or on the way to swap is open, and it says so
		codeNodeCpuset, codeNodeMempolicy, // the kernel's word; how short the nodes are is open, and it says so
		codeSwapUnevictable, // mlocked or not is open
		codeMemoryMissing,   // names huge pages as one of the causes
		codeSwapCgroupFull,  // a limit that is absent is unlimited
		codeSwapIdle,        // a fact, where the kind of memory is open
		codeSwapNone,        // the total is 0; what is left in devices says more
	}
	for _, p := range pairs() {
		whole := Of(p.rec)
		var tree map[string]any
		raw, err := json.Marshal(p.rec)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &tree); err != nil {
			t.Fatal(err)
		}
		vary(t, tree, tree, nil, func(rec *oom.Record) {
			w := Of(rec)
			check(t, w)
			for _, r := range w.Reasons {
				if !hasCode(whole, r.Code) && !slices.Contains(weaker, r.Code) {
					t.Errorf("%s/%s: %s appears when a number is taken out: %+v", p.code, p.name, r.Code, w)
				}
			}
		})
	}
}

// vary calls f with the record once for each number in it, that number replaced
// by value, or left out for nil. What does not fit the field is passed over.
func vary(t *testing.T, root, at map[string]any, value any, f func(*oom.Record)) {
	for key, v := range at {
		switch v := v.(type) {
		case map[string]any:
			vary(t, root, v, value, f)
			continue
		case []any:
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					vary(t, root, m, value, f)
				}
			}
			continue
		case float64:
		default:
			continue
		}
		at[key] = value
		if value == nil {
			if key == "ago_ns" || key == "bytes" {
				at[key] = v
				continue // each point has both
			}
			delete(at, key)
		}
		raw, err := json.Marshal(root)
		at[key] = v
		if err != nil {
			t.Fatal(err)
		}
		var rec oom.Record
		if json.Unmarshal(raw, &rec) == nil {
			f(&rec)
		}
	}
}

// TestExtremes puts hostile numbers in the place of each number.
func TestExtremes(t *testing.T) {
	for _, p := range pairs() {
		for _, rec := range []*oom.Record{p.rec, p.other} {
			raw, err := json.Marshal(rec)
			if err != nil {
				t.Fatal(err)
			}
			var tree map[string]any
			if err := json.Unmarshal(raw, &tree); err != nil {
				t.Fatal(err)
			}
			for _, n := range []json.Number{"0", "-1", "2147483647", "18446744073709551615"} {
				vary(t, tree, tree, n, func(r *oom.Record) { check(t, Of(r)) })
			}
		}
	}
}
