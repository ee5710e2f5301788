package lines

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// TestEntriesApart: what the text of an entry says of the lines behind it says nothing of the
// next entry's, and a line of text around objects is another program's further line as before.
func TestEntriesApart(t *testing.T) {
	const user, part = `Mar  7 12:00:09 box app[7]: x`, `part one`
	for name, tt := range map[string]struct {
		log  string
		want int
	}{
		"objects":                 {`{"log":"` + user + `"}` + "\n" + `{"log":"` + part + `"}` + "\n", 0},
		"a further line of one":   {`{"log":"` + user + `\n` + part + `"}` + "\n", 0},
		"a fence in one":          {`{"log":"` + "```[    5.000001] part" + `"}` + "\n" + `{"log":"` + part + "```" + `"}` + "\n", 2},
		"rows of a table":         {"time,message\n2025-03-07T12:00:09Z," + user + "\n2025-03-07T12:00:10Z," + part + "\n", 0},
		"in a text":               {"a text\n" + `{"log":"` + user + `"}` + "\n" + `{"log":"` + part + `"}` + "\n", 0},
		"in another's text":       {"a text\n" + user + "\n" + `{"log":"` + part + `"}` + "\n", 0},
		"behind one in another's": {"a text\n" + user + "\n" + `{"log":"[    5.000001] part two"}` + "\n" + part + "\n", 1},
	} {
		to, _ := read(t, strings.NewReader(tt.log), true)
		var got []string
		for _, l := range to.lines {
			if text := string(l.Text); strings.HasPrefix(text, "part") {
				got = append(got, text)
			}
		}
		if len(got) != tt.want || name == "a fence in one" && got[1] != part+"```" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestPausedAnywhere: a log of objects is the same wherever its input pauses.
func TestPausedAnywhere(t *testing.T) {
	log := `{"log":"[    5.000001] part {one}"}` + "\n[    5.000002] part two\n[6.1] part\n" + `{"a":{"b":[1]},"log":"[    7.000001] part \"}"}` + "\n" +
		`{"events":[ {"message":"[    8.000001] part four"},{"message":"[    8.000002] part five"}]}` + "\n"
	lines := func(in io.Reader) string {
		to := &list{busy: true}
		r := NewReader(in, Options{Location: time.UTC}, words{}, to)
		for err := error(nil); err == nil || errors.Is(err, os.ErrDeadlineExceeded); {
			err = r.Step()
		}
		var out strings.Builder
		for _, l := range to.lines {
			fmt.Fprintf(&out, "%d %s\n", l.Uptime.Value, l.Text)
		}
		return out.String()
	}
	want := lines(strings.NewReader(log))
	if n := strings.Count(want, "part"); n != 6 {
		t.Fatalf("%d lines: %s", n, want)
	}
	for i := 1; i < len(log); i++ {
		if got := lines(&paused{pieces: []string{log[:i], log[i:]}}); got != want {
			t.Errorf("after %q: %s", log[max(0, i-20):i], got)
		}
	}
}

// TestYearsByHost: a host's new year does not move another's, nor do lines that come late, are
// passed over or are read again.
func TestYearsByHost(t *testing.T) {
	quiet := strings.Repeat("Dec 20 12:00:00 a app[7]: nothing of note\n", startLines+20)
	for name, tt := range map[string]struct{ log, want string }{
		"two hosts":          {"Dec 31 a, Dec 31 b, Jan 1 a, Dec 31 b, Jan 1 a, Jan 1 b, Jan 2 a, Feb 2 b", "24 24 25 24 25 25 25 25"},
		"a host that is new": {"Dec 31 a, Jan 1 a, Jan 1 b, Dec 31 c, Jan 1 c", "24 25 25 24 25"},
		"not in turn":        {"Jan 1 a, Dec 31 b, Jan 1 b, Jan 2 a", "24 24 25 25"},
		"a quiet year":       {"Dec 8 a, Jan 5 a, Dec 9 b, Jan 6 b", "24 25 25 26"},
		"a new host, late":   {"Feb 3 a, Oct 9 b", "24 24"},
		"an old host, quiet": {"Feb 3 a, Dec 20 b, Jan 15 b, Mar 1 a", "24 24 25 25"},
		"out of order":       {"Dec 31 a, Jan 1 a, Dec 31 a, Jan 1 a, Jan 2 a", "24 25 24 25 25"},
		"no host":            {"Dec 31 kernel:, Jan 1 kernel:, Feb 1 kernel:", "24 25 25"},
		"no January":         {"Dec 31 a, Feb 1 a, Feb 2 b", "24 25 25"},
		"years":              {"Dec 1 a, Jan 1 a, Jul 1 a, Dec 1 a, Jan 1 a", "24 25 25 25 26"},
		"newest first":       {"Dec 3 a, Nov 3 a, Oct 3 a", "24 24 24"},
		"looked back at":     {quiet + "Jan 3 12:00:01 a kernel: part one\nJan 3 12:00:02 a kernel: Killed process 5 (a) 3kB\n", "25 25"},
	} {
		log := tt.log
		if !strings.Contains(log, "\n") {
			log = ""
			for _, at := range strings.Split(tt.log, ", ") {
				f := strings.Fields(at)
				log += fmt.Sprintf("%s %2s 12:00:00 %s kernel: part one\n", f[0], f[1], strings.Replace(f[2], "kernel:", "", 1))
			}
			log = strings.ReplaceAll(log, "  kernel:", " kernel:")
		}
		to := &list{}
		r := NewReader(strings.NewReader(log), Options{Location: time.UTC, Year: 2024}, words{}, to)
		for r.Step() == nil {
		}
		var got []string
		for _, l := range to.lines {
			got = append(got, l.Time.Format("06"))
		}
		if years := strings.Join(got, " "); years != tt.want {
			t.Errorf("%s: %s, want %s", name, years, tt.want)
		}
	}
}
