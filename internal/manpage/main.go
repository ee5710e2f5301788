// Manpage writes the manual page: manpage docs/oomtrace.8.in >docs/oomtrace.8.
package main

import (
	"fmt"
	"os"

	"github.com/oomtrace/oomtrace/internal/cli"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "manpage:", err)
		os.Exit(1)
	}
}

func run(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	page, err := cli.ManPage(string(source))
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(page)
	return err
}
