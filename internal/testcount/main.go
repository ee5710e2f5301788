// Testcount runs "go test -json" with the given arguments, prints what fails in
// full and the rest in a line a package, and closes with a count:
//
//	testcount -tier unit -- -race ./...
//	unit: 412 passed, 0 failed, 0 skipped
//
// A package that fails without a failing test counts as one failure, so does a
// run without any test, and so does a skipped test: what a tier cannot run does
// not belong to it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// event is a line of go test -json (cmd/test2json).
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string
	Elapsed                       float64
}

// counter adds up the events of one run.
type counter struct {
	w                       io.Writer
	passed, failed, skipped int
	output                  map[string][]string // by package and test, until it ends
	blamed                  map[string]bool     // packages with a failed test
	prefix                  string
	own                     []string // closing lines of the runs within the tests
	seconds                 int      // of those, the ones that came of a second guest
}

func main() {
	tier := flag.String("tier", "test", "name of the tier in the closing line")
	result := flag.String("result", "", "append the closing line to this file")
	flag.Parse()
	lines, ok, err := run(*tier, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "testcount:", err)
		os.Exit(1)
	}
	if *result != "" {
		if err := appendLines(*result, lines); err != nil {
			fmt.Fprintln(os.Stderr, "testcount:", err)
			os.Exit(1)
		}
	}
	if !ok {
		os.Exit(1)
	}
}

func appendLines(path string, lines []string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, strings.Join(lines, "\n"))
	return errors.Join(err, f.Close())
}

// run returns the closing line, or those of the runs within the tests, which
// count what really ran.
func run(tier string, args []string) (lines []string, ok bool, err error) {
	started := time.Now()
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, false, err
	}
	if err := cmd.Start(); err != nil {
		return nil, false, err
	}
	c := &counter{w: os.Stdout, output: map[string][]string{}, blamed: map[string]bool{}, prefix: tier + ": "}
	readErr := c.read(out)
	waitErr := cmd.Wait()
	if waitErr != nil && c.failed == 0 {
		c.failed++
		fmt.Printf("%s: go test: %v\n", tier, waitErr)
	}
	line := fmt.Sprintf("%s: %d passed, %d failed, %d skipped", tier, c.passed, c.failed, c.skipped)
	fmt.Printf("%s (%s%s)\n", line, time.Since(started).Round(time.Second), c.again())
	lines = c.own
	if len(lines) == 0 {
		lines = []string{line}
	}
	return lines, c.passed > 0 && c.failed == 0 && c.skipped == 0, readErr
}

func (c *counter) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			_, _ = fmt.Fprintln(c.w, lines.Text())
			continue
		}
		c.add(e)
	}
	return lines.Err()
}

func (c *counter) add(e event) {
	key := e.Package + e.ImportPath + "\x00" + e.Test
	switch e.Action {
	case "output", "build-output":
		c.output[key] = append(c.output[key], e.Output)
		if tiersOwn(e.Output) {
			if counts(e.Output) {
				c.own = append(c.own, strings.TrimSpace(e.Output))
			}
			if strings.Contains(e.Output, "; failed at first") {
				c.seconds++
			}
			_, _ = fmt.Fprint(c.w, strings.TrimLeft(e.Output, " "))
		}
		return
	case "pass":
		c.passed += test(e)
	case "skip":
		c.skipped += test(e)
		c.show(e, key)
	case "fail":
		c.fail(e, key)
	case "build-fail": // the package's own fail follows, and is counted
		_, _ = fmt.Fprint(c.w, strings.Join(c.output[key], ""))
	default:
		return
	}
	if e.Test == "" && e.Action == "pass" {
		_, _ = fmt.Fprintf(c.w, "%sok %s %.1fs\n", c.prefix, e.Package, e.Elapsed)
	}
	delete(c.output, key)
}

// tiersOwn are the lines that a test prints to tell of the runs within it.
func tiersOwn(line string) bool { return strings.HasPrefix(strings.TrimLeft(line, " "), "vm ") }

// again is how many runs within the tests needed a second guest.
func (c *counter) again() string {
	if len(c.own) == 0 {
		return ""
	}
	return fmt.Sprintf("; second guests: %d", c.seconds)
}

// counts says that such a line has the counts of a run: "vm 6.12 small: 3 passed,".
func counts(line string) bool {
	_, rest, _ := strings.Cut(line, ": ")
	f := strings.Fields(rest)
	return len(f) > 1 && f[1] == "passed,"
}

func (c *counter) fail(e event, key string) {
	if e.Test != "" {
		c.failed++
		c.blamed[e.Package] = true
	} else if !c.blamed[e.Package] {
		c.failed++
	}
	c.show(e, key)
}

func (c *counter) show(e event, key string) {
	if e.Test == "" && e.Action == "skip" {
		return // no test files
	}
	_, _ = fmt.Fprintf(c.w, "%s%s %s %s\n%s", c.prefix, e.Action, e.Package, e.Test, strings.Join(c.output[key], ""))
}

// test is 1 for a test's event, 0 for a package's.
func test(e event) int {
	if e.Test == "" {
		return 0
	}
	return 1
}
