// Command oomtrace explains Linux OOM kills: see "oomtrace help".
package main

import (
	"os"

	"github.com/oomtrace/oomtrace/internal/cli"
)

// version is set by the release build (-X main.version); otherwise the module's
// own version is used.
var version string

func main() {
	os.Exit(cli.Main(version))
}
