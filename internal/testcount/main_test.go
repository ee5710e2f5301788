package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func newCounter(w *bytes.Buffer) *counter {
	return &counter{w: w, output: map[string][]string{}, blamed: map[string]bool{}, prefix: "unit: "}
}

// TestStream reads what "go test -json" wrote for packages that pass, fail,
// panic, exit by themselves, do not build, and have no tests.
func TestStream(t *testing.T) {
	stream, err := os.Open(filepath.Join("testdata", "stream.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	var out bytes.Buffer
	c := newCounter(&out)
	if err := c.read(stream); err != nil {
		t.Fatal(err)
	}
	// Failed: TestFail, TestParent and its bad one, TestPanics, and the
	// packages exits, broken, leaf and vetbad, each once.
	if c.passed != 8 || c.failed != 8 || c.skipped != 1 {
		t.Errorf("%d passed, %d failed, %d skipped; want 8, 8, 1", c.passed, c.failed, c.skipped)
	}
	golden := filepath.Join("testdata", "stream.golden")
	if *update {
		if err := os.WriteFile(golden, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, out.Bytes()) {
		t.Errorf("%s differs; look at it with go test -update and git diff", golden)
	}
	for _, secret := range []string{"quiet", "=== RUN   TestPass\n"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("shows %q of a test that passed", secret)
		}
	}
}

func TestAdd(t *testing.T) {
	const pass, fail, skip = "pass", "fail", "skip"
	for _, tc := range []struct {
		name                    string
		events                  []event
		passed, failed, skipped int
		shown                   string
	}{
		{"nothing", nil, 0, 0, 0, ""},
		{"a test and its package", []event{{Action: pass, Package: "p", Test: "T"}, {Action: pass, Package: "p", Elapsed: 1.25}}, 1, 0, 0, "unit: ok p 1.2s\n"},
		{"a package without tests", []event{{Action: skip, Package: "p"}}, 0, 0, 0, ""},
		{"a skipped test", []event{
			{Action: "output", Package: "p", Test: "T", Output: "no root\n"}, {Action: skip, Package: "p", Test: "T"},
		}, 0, 0, 1, "unit: skip p T\nno root\n"},
		{"a failed test is not counted again as a package", []event{{Action: fail, Package: "p", Test: "T"}, {Action: fail, Package: "p"}}, 0, 1, 0, "unit: fail p T\nunit: fail p \n"},
		{"a failed package", []event{{Action: fail, Package: "p"}}, 0, 1, 0, "unit: fail p \n"},
		{"failures of another package", []event{{Action: fail, Package: "q", Test: "T"}, {Action: fail, Package: "p"}}, 0, 2, 0, "unit: fail q T\nunit: fail p \n"},
		{"a build that fails", []event{
			{Action: "build-output", ImportPath: "p [p.test]", Output: "undefined: x\n"}, {Action: "build-fail", ImportPath: "p [p.test]"},
			{Action: fail, Package: "p"},
		}, 0, 1, 0, "undefined: x\nunit: fail p \n"},
		{"what is of no interest", []event{{Action: "start", Package: "p"}, {Action: "run", Package: "p", Test: "T"}, {Action: "attr"}, {}}, 0, 0, 0, ""},
		{"output of the same name elsewhere", []event{
			{Action: "output", Package: "p", Test: "T", Output: "mine\n"}, {Action: "output", Package: "q", Test: "T", Output: "theirs\n"},
			{Action: fail, Package: "p", Test: "T"},
		}, 0, 1, 0, "unit: fail p T\nmine\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			c := newCounter(&out)
			for _, e := range tc.events {
				c.add(e)
			}
			if c.passed != tc.passed || c.failed != tc.failed || c.skipped != tc.skipped || out.String() != tc.shown {
				t.Errorf("%d passed, %d failed, %d skipped, shown %q", c.passed, c.failed, c.skipped, out.String())
			}
		})
	}
}

func TestAppendLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	for _, line := range []string{"unit: 1 passed", "vm: 2 passed"} {
		if err := appendLines(path, []string{line}); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "unit: 1 passed\nvm: 2 passed\n" {
		t.Errorf("%q, %v", b, err)
	}
	if err := appendLines(filepath.Join(path, "below-a-file"), nil); err == nil {
		t.Error("no error")
	}
}

// TestCounts: of the lines that a test prints on its runs, those with counts are
// added up, and no others.
func TestCounts(t *testing.T) {
	for line, want := range map[string]bool{
		"vm 6.12 small: 3 passed, 0 failed, 0 skipped (6.12, 50s, 1 boots)\n":  true,
		"vm 6.12 small: at first: x_test.go:1: 5 ms: kill of 1146, incident\n": false,
		"vm: fail a/package TestVM\n":                                          false,
		"vm \n":                                                                false,
	} {
		if counts(line) != want {
			t.Errorf("%q: %v", line, !want)
		}
	}
}
