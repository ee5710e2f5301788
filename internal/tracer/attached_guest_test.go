//go:build vmguest

package tracer

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// TestGuestAttached: every program around a kill is attached on every kernel; a
// verifier that refuses one would go unseen, since kills are reported without it.
func TestGuestAttached(t *testing.T) {
	tr, err := Open(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close() }()
	for _, at := range tr.Attachments() {
		if at.Kind != "" {
			continue
		}
		for _, try := range at.Tried {
			t.Errorf("%s: %s: %v", at.Hook, try.Kind, try.Err)
			var ve *ebpf.VerifierError
			if errors.As(try.Err, &ve) {
				t.Errorf("%s", strings.Join(ve.Log[max(0, len(ve.Log)-30):], "\n"))
			}
		}
	}
}
