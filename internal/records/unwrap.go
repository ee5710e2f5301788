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
	for _, begin := range []string{"oomtrace: ", "hint: ", "-- "} {
		if bytes.HasPrefix(text, []byte(begin)) {
			return true
		}
	}
	return len(text) == 0 || text[0] != '{' && bytes.Contains(text, []byte("oomtrace.service"))
}

// isKernels says whether a line that is no record is the kernel's, or quotes it.
func (u *unwrapped) isKernels() bool {
	for _, words := range []string{"kernel: ", " invoked oom-killer: ", "Killed process ", "Out of memory"} {
		if bytes.Contains(u.text, []byte(words)) {
			return true
		}
	}
	return false
}

// The prefixes that may stand before a line.
var (
	// cri is a line of a log in the CRI's format: time, stream, tag.
	cri = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\S+ (stdout|stderr) ([PF])(?::\S*)? ?`)
	// kubectl is kubectl logs --prefix and --timestamps, and docker compose logs.
	kubectl = regexp.MustCompile(`^(?:\[pod/\S+/\S+\] )?(?:\d{4}-\d\d-\d\dT\S+ )?`)
	// syslog is journalctl's short forms and syslog: time, host, program, or systemd about it.
	syslog = regexp.MustCompile(`^(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) \S+ (?:oomtrace(?:\[\d+\])?|systemd\[1\]): `)
	// compose is a name and a bar.
	compose = regexp.MustCompile(`^[\w.-]+ *\| `)
)

func unwrap(line []byte) unwrapped {
	if m := cri.FindSubmatch(line); m != nil {
		return unwrapped{line[len(m[0]):], m[2][0] == 'P', streamOf(string(m[1]))}
	}
	for _, prefix := range []*regexp.Regexp{syslog, compose, kubectl} {
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
