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
		"objects":                 {`{"log":"` + user + `"}` + "\n" + `{"log":"` + part + `"}` + "\n", 1},
		"a further line of one":   {`{"log":"` + user + `\n` + part + `"}` + "\n", 0},
		"a fence in one":          {`{"log":"` + "```[    5.000001] part" + `"}` + "\n" + `{"log":"` + part + "```" + `"}` + "\n", 2},
		"rows of a table":         {"time,message\n2025-03-07T12:00:09Z," + user + "\n2025-03-07T12:00:10Z," + part + "\n", 1},
		"in a text":               {"a text\n" + `{"log":"` + user + `"}` + "\n" + `{"log":"` + part + `"}` + "\n", 1},
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
