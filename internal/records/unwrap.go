package records

import (
	"bytes"
	"encoding/json"
	"regexp"
)

// unwrapped is a program's line without what a runtime put around it. partial says that
// the line goes on in the next one of its stream.
type unwrapped struct {
	text    []byte
	partial bool
	stream  stream
}

// stream is where the program wrote a line; a log may mix the two.
type stream int

const (
	stdout stream = iota // or a wrapper that has no stream
	stderr
	streams
)

func streamOf(name string) stream {
	if name == "stderr" {
		return stderr
	}
	return stdout
}

// isMessage says whether this is no record but what may stand among them: what oomtrace
// writes to stderr, or a message as before records.
func (u *unwrapped) isMessage() bool {
	return u.isOwnMessage() || u.stream == stderr && !bytes.HasPrefix(bytes.TrimSpace(u.text), []byte("{"))
}

// isOwnMessage says whether this may stand before records, and not in another log: a message by
// its first word, what systemd says of the unit, the journal's marks, or nothing.
func (u *unwrapped) isOwnMessage() bool {
	text := bytes.TrimSpace(u.text)
	return u.isOwnWord() || len(text) == 0 || bytes.HasPrefix(text, []byte("-- ")) ||
		text[0] != '{' && bytes.Contains(text, []byte("oomtrace.service"))
}

// isOwnWord says whether this is oomtrace's own message, whatever it quotes.
func (u *unwrapped) isOwnWord() bool {
	text := bytes.TrimSpace(u.text)
	return bytes.HasPrefix(text, []byte("oomtrace: ")) || bytes.HasPrefix(text, []byte("hint: "))
}

// isKernels says whether a line that is no record is the kernel's, or quotes it.
func (u *unwrapped) isKernels() bool {
	if u.isOwnWord() {
		return false
	}
	for _, words := range []string{"kernel: ", " invoked oom-killer: ", "Killed process ", "Out of memory"} {
		if bytes.Contains(u.text, []byte(words)) {
			return true
		}
	}
	return false
}

// report is what a report of the kernel begins or ends with (mm/oom_kill.c, dump_header and
// __oom_kill_process).
var report = regexp.MustCompile(` invoked oom-killer: |ut of memory.{0,40}: Kill(?:ed)? process \d`)

// The prefixes that may stand before a line.
var (
	// cri is a line of a log in the CRI's format: time, stream, tag.
	cri = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([PF])(?::\S*)? ?`)
	// syslog is journalctl's short forms and RFC 3164: priority, time, host, and oomtrace or, about it,
	// systemd. Of time and host each may lack where the process is told.
	syslog = regexp.MustCompile(`^(?:<\d{1,3}>)?(?:` + shortTime + ` \S*[^\s:] (?:` + program +
		`(?:\[\d+\])?|(?:systemd|init\.scope)\[1\])|(?:` + shortTime + ` )?` + program + `\[\d+\]): `)
	// rfc5424 has a version, and data behind the program, its process and the message's id.
	rfc5424 = regexp.MustCompile(`^(?:<\d{1,3}>)?1 \S+ \S+ (?:` + program + ` \S+|systemd 1) \S+ ` +
		`(?:-|(?:\[(?:[^]"]|"(?:\\.|[^"\\])*")*\])+) (?:\x{feff})?`)
	// container is kubectl logs --prefix or a name and a bar (docker compose logs), and the time.
	container = regexp.MustCompile(`^(?:\[pod/\S+/\S+\] |[\w.-]+ *\| )?(?:\d{4}-\d\d-\d\dT\S+ )?`)
	// color is the terminal's. Records have none: JSON escapes what begins it.
	color = regexp.MustCompile(`\x1b\[[\d;]*m`)
)

const (
	program = `(?:/\S*/)?oomtrace(?:\.service)?`
	// shortTime is short and short-precise, short-iso, short-full or the same without a weekday, short-unix
	// or short-monotonic and -delta.
	shortTime = `(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d+)?|\d{4}-\d\d-\d\dT\S+|` +
		`(?:[A-Z][a-z]{2} )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\S*(?: \S+)?|\d+\.\d+|\[ *\d+\.\d+[ <>.\d]*\])`
)

func unwrap(line []byte) unwrapped {
	if bytes.IndexByte(line, 0x1b) >= 0 {
		line = color.ReplaceAll(line, nil)
	}
	if m := cri.FindSubmatch(line); m != nil {
		return unwrapped{line[len(m[0]):], m[2][0] == 'P', streamOf(string(m[1]))}
	}
	for _, prefix := range []*regexp.Regexp{syslog, rfc5424, container} {
		if n := len(prefix.Find(line)); n > 0 {
			line = line[n:]
			break
		}
	}
	if !bytes.HasPrefix(line, []byte("{")) {
		return unwrapped{text: line}
	}
	return unwrapJSON(line)
}

// unwrapJSON takes a line out of Docker's json-file log and the journal's JSON.
func unwrapJSON(line []byte) unwrapped {
	if !bytes.Contains(line, []byte(`"log":`)) && !bytes.Contains(line, []byte(`"MESSAGE":`)) {
		return unwrapped{text: line}
	}
	var entry struct {
		Schema  json.RawMessage `json:"schema"`
		Log     *string         `json:"log"`
		Stream  string          `json:"stream"`
		Message *string         `json:"MESSAGE"`
	}
	if json.Unmarshal(line, &entry) != nil || entry.Schema != nil {
		return unwrapped{text: line}
	}
	switch {
	case entry.Log != nil:
		text, whole := bytes.CutSuffix([]byte(*entry.Log), []byte("\n"))
		return unwrapped{text, !whole, streamOf(entry.Stream)}
	case entry.Message != nil:
		return unwrapped{text: []byte(*entry.Message)}
	}
	return unwrapped{text: line}
}
