//go:build vmguest

package tracer

import (
	"os"
	"testing"
)

// TestGuestHistoryAttach: what counts growth attaches by every attach type for functions that the
// guest's kernel has.
func TestGuestHistoryAttach(t *testing.T) {
	for _, tier := range []Tier{TierFentry, TierKprobe} {
		if string(tier) == os.Getenv("OOMTRACE_NO_TIER") {
			continue
		}
		t.Run(string(tier), func(t *testing.T) {
			tr, err := Open(t.Context(), Options{Tier: tier})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tr.Close() }()
			by, err := tr.History()
			if err != nil || by.Kind != string(tier) {
				t.Errorf("%+v: %v", by, err)
			}
			for _, at := range tr.growth.attachments {
				// Some kernels have no v1 of the controller.
				if at.Kind != string(tier) && at.Hook != hookV1Write && at.Hook != hookRmdir && at.Hook != hookAdj {
					t.Errorf("%s is not attached: %v", at.Hook, at.Tried)
				}
			}
		})
	}
}
