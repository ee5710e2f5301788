//go:build vmtest

package matrix

import (
	"slices"
	"testing"
)

// TestVMComplaints: of a guest's output, what the failed tests printed is reported,
// and nothing of the others.
func TestVMComplaints(t *testing.T) {
	const output = `=== RUN   TestGuest
=== RUN   TestGuest/good
    guest_test.go:1: as it should be
=== RUN   TestGuest/bad
    guest_test.go:2: verdict a, want b
    guest_test.go:3: and more
--- FAIL: TestGuest (2.00s)
    --- PASS: TestGuest/good (1.00s)
    --- FAIL: TestGuest/bad (1.00s)
FAIL
`
	want := []string{"guest_test.go:2: verdict a, want b", "guest_test.go:3: and more"}
	if got := complaints([]byte(output)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
