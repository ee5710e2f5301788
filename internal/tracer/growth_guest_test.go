//go:build vmguest

package tracer

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
)

// TestGuestHistoryAttach: what counts growth attaches by every function hook that the
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
			attachments, err := tr.History()
			if err != nil {
				var verifier *ebpf.VerifierError
				if errors.As(err, &verifier) {
					t.Logf("%-40v", verifier)
				}
				t.Fatal(err)
			}
			for _, at := range attachments {
				t.Logf("%s: %q %v", at.Hook, at.Kind, at.Tried)
				if at.Kind == "" && at.Hook != hookV1Write {
					t.Errorf("%s is not attached: %v", at.Hook, at.Tried)
				}
			}
		})
	}
}
