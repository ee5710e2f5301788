package cli

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	testscript.Main(m, map[string]func(){"oomtrace": func() { os.Exit(Main("v0.0.0-test")) }})
}
