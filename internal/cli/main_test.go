package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// asOomtrace makes the test binary run as oomtrace.
const asOomtrace = "OOMTRACE_TEST_AS_MAIN"

// enterCgroup names a cgroup.procs to enter first.
const enterCgroup = "OOMTRACE_TEST_CGROUP"

func TestMain(m *testing.M) {
	workload.Main()
	if procs := os.Getenv(enterCgroup); procs != "" {
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			panic(err)
		}
	}
	if os.Getenv(asOomtrace) != "" {
		os.Exit(Main("v0.0.0-test"))
	}
	testscript.Main(m, map[string]func(){"oomtrace": func() { os.Exit(Main("v0.0.0-test")) }})
}
