package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// asOomtrace makes the test binary run as oomtrace.
const asOomtrace = "OOMTRACE_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	workload.Main()
	if os.Getenv(asOomtrace) != "" {
		os.Exit(Main("v0.0.0-test"))
	}
	testscript.Main(m, map[string]func(){"oomtrace": func() { os.Exit(Main("v0.0.0-test")) }})
}
