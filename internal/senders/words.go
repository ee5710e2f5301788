package senders

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/journal"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	// defaultWordsWait is how long a record waits for its manager's message:
	// systemd-oomd writes it after the kill, and journald needs its time.
	defaultWordsWait = 500 * time.Millisecond
	// wordsPause is between two looks at the journal.
	wordsPause = 20 * time.Millisecond
	// wordsBefore is how long before a kill its reason may have been written.
	wordsBefore = 3 * time.Second
	// wordsRecent is how old a kill may be to be waited for.
	wordsRecent = 5 * time.Second
	maxWords    = 300 // bytes
)

// WordsOptions are the settings of Words. The zero value works: nothing is said.
type WordsOptions struct {
	// Tail gives a process's messages since a time, newest first.
	Tail func(pid int32, since time.Time) ([]journal.Entry, error)
	// Wait bounds how long a record waits for a message; zero means 500 ms.
	Wait time.Duration
	// Pending says that an OOM kill waits behind this record: it ends a wait.
	Pending func() bool
}

// Words finds what a memory manager itself says of the reason of its kills.
type Words struct {
	o WordsOptions
	// silent is a manager of which no message came, and until when none is waited
	// for: it kills many at once.
	silent int32
	until  time.Time
	// last is the last look, which does for all that is asked shortly after.
	last struct {
		pid     int32
		at      time.Time
		entries []journal.Entry
	}
}

// NewWords returns a Words.
func NewWords(o WordsOptions) *Words {
	if o.Wait == 0 {
		o.Wait = defaultWordsWait
	}
	if o.Pending == nil {
		o.Pending = func() bool { return false }
	}
	return &Words{o: o}
}

// Record fills in Sender.Says. What the journal does not have in time, or cannot be
// read, stays out.
func (w *Words) Record(ctx context.Context, rec *oom.Record) {
	s := rec.Sender
	if w.o.Tail == nil || rec.Kind != oom.KindSigkill || s == nil || s.Role != oom.RoleMemoryManager || !s.PID.Known || rec.Victim == nil {
		return
	}
	var p program
	for _, known := range programs() {
		if known.name == s.Program {
			p = known
		}
	}
	deadline := time.Now().Add(w.o.Wait)
	for len(p.reasons) > 0 {
		entries, err := w.look(s.PID.Value, rec.Time.Add(-wordsBefore))
		if s.Says = p.reason(entries, rec.Victim); s.Says != "" {
			return
		}
		now := time.Now()
		mute := s.PID.Value == w.silent && now.Before(w.until)
		switch {
		case err != nil, mute, ctx.Err() != nil, w.o.Pending(), now.Sub(rec.Time) > wordsRecent:
			return
		case now.After(deadline):
			w.silent, w.until = s.PID.Value, now.Add(wordsRecent)
			return
		}
		time.Sleep(wordsPause)
	}
}

// look reads a manager's messages: those of a moment ago where it kills so many that
// each has no time for a look of its own.
func (w *Words) look(pid int32, since time.Time) ([]journal.Entry, error) {
	if w.last.pid == pid && time.Since(w.last.at) < wordsPause {
		return w.last.entries, nil
	}
	entries, err := w.o.Tail(pid, since)
	w.last.pid, w.last.at, w.last.entries = pid, time.Now(), entries
	return entries, err
}

// reason is what a program's messages, newest first, say of one kill.
func (p *program) reason(entries []journal.Entry, v *oom.Victim) string {
	if p.announces != "" {
		entries = since(entries, fmt.Sprintf(p.announces, v.PID.Value))
	}
	var said []string
	for i := len(p.reasons) - 1; i >= 0; i-- {
		for _, e := range entries {
			text := strings.TrimSpace(e.Message)
			if strings.Contains(text, p.reasons[i]) && (!p.namesCgroup || killedCgroup(text, v.Cgroup)) {
				said = append([]string{text}, said...)
				break
			}
		}
	}
	text := strings.Join(said, "; ")
	return strings.ToValidUTF8(text[:min(len(text), maxWords)], "")
}

// since drops the messages that are newer than the one which announces a kill; all
// without it.
func since(entries []journal.Entry, announcement string) []journal.Entry {
	for i, e := range entries {
		if strings.Contains(e.Message, announcement) {
			return entries[i:]
		}
	}
	return nil
}

// killedCgroup says whether a message of the form "Killed PATH due to ..." is of a
// cgroup, or of one around it.
func killedCgroup(text, cgroup string) bool {
	f := strings.Fields(text)
	return len(f) > 1 && f[1] != "/" && strings.HasPrefix(cgroup+"/", strings.TrimSuffix(f[1], "/")+"/")
}
