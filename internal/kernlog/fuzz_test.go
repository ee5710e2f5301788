package kernlog

import (
	"bytes"
	"os"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func seeds(f *testing.F) {
	f.Helper()
	for _, name := range logs(f) {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:min(len(text), 12000)])
	}
	lines := original(f)
	for _, w := range append(textWrappings(), otherWrappings()...) {
		f.Add([]byte(w.wrap(lines)))
	}
	for _, c := range compressors() {
		f.Add(pack(f, c, textWrappings()[0].wrap(lines)))
	}
}

// bounds: how many records a text may give at most.
func bounds(text []byte) int {
	n := 0
	for _, mark := range []string{"Kill process ", "Killed process ", "invoked oom-killer: ", "is already exiting", "no killable process", "panic_on_oom is enabled", summaryMark} {
		n += bytes.Count(text, []byte(mark))
	}
	return n
}

func check(t *testing.T, rec *oom.Record) {
	t.Helper()
	if rec.Schema != oom.Schema || rec.ID == "" || rec.Source != oom.SourceKmsg || len(rec.Candidates) > maxCandidates {
		t.Fatalf("record %+v", rec)
	}
	if rec.Kind == oom.KindKill && (rec.Victim == nil || !rec.Victim.TID.Known) {
		t.Fatal("a kill without a victim")
	}
}

// FuzzReader: no panic, an end, and no more records than lines that can make
// one. What is compressed or escaped can hold more than is seen in the input.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		o := testOptions()
		o.MaxLine = 2000
		r := NewReader(bytes.NewReader(text), o)
		n := 0
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			check(t, rec)
			n++
		}
		plain := r.format == formatText && !bytes.Contains(text, []byte(`\x`)) && !bytes.Contains(text, []byte{0x1b})
		packed := len(text) > 2 && (text[0] == 0x1f || text[0] == 0xfd || text[0] == 0x28)
		if plain && !packed && n > bounds(text) {
			t.Fatalf("%d records, at most %d possible", n, bounds(text))
		}
	})
}

// FuzzParser takes the text line by line, with exit records.
func FuzzParser(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		o := testOptions()
		o.ExitRecords = true
		p := NewParser(o)
		x := prefixes{o: &o}
		n := 0
		for _, raw := range bytes.Split(text, []byte("\n")) {
			if l, ok := kmsgOnly(&x, raw); ok {
				p.Line(l)
			}
			for rec := p.Take(); rec != nil; rec = p.Take() {
				check(t, rec)
				n++
			}
		}
		p.Flush()
		for rec := p.Take(); rec != nil; rec = p.Take() {
			check(t, rec)
			n++
		}
		if most := bounds(text) + bytes.Count(text, []byte("oom_reaper: ")); n > most && !bytes.Contains(text, []byte(`\x`)) {
			t.Fatalf("%d records, at most %d possible", n, most)
		}
	})
}

// kmsgOnly reads /dev/kmsg's form, and any other line as bare text.
func kmsgOnly(x *prefixes, raw []byte) (l Line, ok bool) {
	if text, kernel, ok := x.kmsg(&l, raw); ok {
		l.Text = text
		return l, kernel
	}
	l.Text = raw
	return l, true
}
