package kernlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/oom"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const corpus = "../../testdata/kernlog"

// testOptions leave nothing to the machine that the test runs on.
func testOptions() Options {
	return Options{Location: time.UTC, Year: 2025}
}

func readAll(t testing.TB, in io.Reader, o Options) ([]*oom.Record, Stats) {
	t.Helper()
	r := NewReader(in, o)
	var all []*oom.Record
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, r.Stats()
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
}

func readText(t testing.TB, text string, o Options) []*oom.Record {
	t.Helper()
	all, _ := readAll(t, strings.NewReader(text), o)
	return all
}

func logs(t testing.TB) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(corpus, "*.txt"))
	if err != nil || len(names) == 0 {
		t.Fatal("no logs", err)
	}
	return names
}

func TestGolden(t *testing.T) {
	for _, name := range logs(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			o := testOptions()
			o.OnUnplaced = func(line int, text string) { t.Errorf("line %d not placed: %s", line, text) }
			got, _ := readAll(t, bytes.NewReader(text), o)
			golden(t, strings.TrimSuffix(name, ".txt")+".golden.json", got)
		})
	}
}

func golden(t *testing.T, path string, got []*oom.Record) {
	t.Helper()
	have, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	have = append(have, '\n')
	if *update {
		if err := os.WriteFile(path, have, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		t.Errorf("%s differs:\n%s", path, have)
	}
}

// The words that tests look for in logs, where "lines" is what they call a log's own.
const (
	headerMark = lines.HeaderMark
	killedMark = lines.KilledMark
)

func parseKmsg(raw []byte) (lines.KmsgHeader, bool) { return lines.ParseKmsg(raw) }
