package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os/exec"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestJq lets jq, another JSON parser than Go's, read every line: the examples,
// hostile text in every field, and records filled at random. What it reads is
// what Go reads.
func TestJq(t *testing.T) {
	var lines bytes.Buffer
	n := 0
	add := func(rec *oom.Record) {
		lines.Write(writeJSON(t, rec))
		n++
	}
	for _, e := range records() {
		add(e.rec)
	}
	for i, s := range hostileTexts() {
		add(hostile(s, uint64(1)<<(2*i)))
	}
	// The others have numbers that no float64 holds, and jq knows no others.
	exact := n
	for i, s := range hostileTexts() {
		fill := filler{random: rand.New(rand.NewPCG(1, uint64(i))), text: s, number: 1 << 40}
		add(fill.record())
	}
	cmd := exec.Command("jq", "-c", "-e", "if type == \"object\" then . else error(\"no object\") end")
	cmd.Stdin = bytes.NewReader(lines.Bytes())
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Log("no jq here")
		return
	}
	if err != nil {
		t.Fatalf("jq: %v\n%s", err, out)
	}
	ours, theirs := bytes.Split(lines.Bytes(), []byte("\n")), bytes.Split(out, []byte("\n"))
	if len(ours) != n+1 || len(theirs) != n+1 {
		t.Fatalf("%d records are %d lines, %d of jq", n, len(ours)-1, len(theirs)-1)
	}
	for i := range exact {
		var a, b oom.Record
		if err := errors.Join(json.Unmarshal(ours[i], &a), json.Unmarshal(theirs[i], &b)); err != nil {
			t.Fatal(err)
		}
		if x, y := writeJSON(t, &a), writeJSON(t, &b); !bytes.Equal(x, y) {
			t.Errorf("written %s\nread by jq %s", x, y)
		}
	}
}
