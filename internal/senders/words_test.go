package senders

import (
	"errors"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/journal"
	"github.com/oomtrace/oomtrace/internal/oom"
)

func managed(program string) *oom.Record {
	v := victim("/system.slice/web.service/worker", "web.service", "", "")
	v.PID = oom.Some[int32](77)
	rec := sigkill(0, v, &oom.Sender{PID: oom.Some[int32](5), Role: oom.RoleMemoryManager, Program: program})
	rec.Time = time.Now()
	return rec
}

// log gives messages, newest first.
func log(messages ...string) (out []journal.Entry) {
	for _, m := range messages {
		out = append(out, journal.Entry{Message: m})
	}
	return out
}

// TestWords: a manager's message is its reason only where it is of this kill.
func TestWords(t *testing.T) {
	const (
		limits = "low memory! at or below SIGKILL limits: mem 10.00%, swap 10.00%"
		now    = "mem avail:   300 of  1400 MiB (21.43%), swap free:    0 of    0 MiB ( 0.00%)"
		oomd   = "Killed /system.slice/web.service due to memory pressure for /system.slice being 85.00% > 60.00% for > 20s with reclaim activity"
		nohang = "  MemAvailable [500 MiB, 33.0 %] <= hard_threshold_min_mem [600 MiB, 40.0 %]"
	)
	for _, tc := range []struct {
		name, program string
		log           []journal.Entry
		want          string
	}{
		{"earlyoom", "earlyoom", log(`sending SIGKILL to process 77 uid 0 "hog": oom_score 900`, limits, now, "old"), now + "; " + limits},
		{"of another kill", "earlyoom", log(`sending SIGKILL to process 770 uid 0 "hog"`, limits, now), ""},
		{"not that of the kill after", "earlyoom", log(`sending SIGKILL to process 78 uid 0 "b"`, "low memory! later", now, `sending SIGKILL to process 77 uid 0 "a"`, limits), limits},
		{"systemd-oomd, a cgroup around", "systemd-oomd", log("Considered 1 cgroups for killing", oomd), oomd},
		{"another cgroup of that prefix", "systemd-oomd", log("Killed /system.slice/web.serv due to memory used"), ""},
		{"the root", "systemd-oomd", log("Killed / due to memory used"), ""},
		{"nohang", "nohang", log("Implementing a corrective action:", nohang), nohang[2:]},
		{"a program whose messages are not known", "bustd", log(limits), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			rec := managed(tc.program)
			w := NewWords(WordsOptions{Wait: time.Nanosecond, Tail: func(pid int32, since time.Time) ([]journal.Entry, error) {
				if pid != 5 || !since.Before(rec.Time) {
					t.Errorf("asked for %d since %v", pid, since)
				}
				return tc.log, nil
			}})
			if w.Record(t.Context(), rec); rec.Sender.Says != tc.want {
				t.Errorf("says %q, want %q", rec.Sender.Says, tc.want)
			}
		})
	}
}

// TestWordsWait: a message is waited for, but not for long, not again for the next
// process, not of old kills, and not while an OOM kill is pending.
func TestWordsWait(t *testing.T) {
	asked := 0
	never := func(int32, time.Time) ([]journal.Entry, error) { asked++; return nil, nil }
	look := func(w *Words, rec *oom.Record) int {
		asked = 0
		w.Record(t.Context(), rec)
		return asked
	}
	w := NewWords(WordsOptions{Tail: never, Wait: 2 * wordsPause})
	if n := look(w, managed("earlyoom")); n < 2 || n > 4 {
		t.Errorf("looked %d times", n)
	}
	if n := look(w, managed("earlyoom")); n > 1 {
		t.Errorf("looked %d times for the next process", n)
	}
	for range 1000 {
		look(w, managed("earlyoom"))
	}
	time.Sleep(wordsPause)
	if n := look(w, managed("earlyoom")); n != 1 {
		t.Errorf("looked %d times after many others", n)
	}
	old := managed("earlyoom")
	old.Time = old.Time.Add(-time.Minute)
	if n := look(NewWords(WordsOptions{Tail: never}), old); n != 1 {
		t.Errorf("looked %d times for an old kill", n)
	}
	if n := look(NewWords(WordsOptions{Tail: never, Pending: func() bool { return true }}), managed("earlyoom")); n != 1 {
		t.Errorf("looked %d times while a kill is pending", n)
	}
	failing := func(int32, time.Time) ([]journal.Entry, error) { asked++; return nil, errors.New("no") }
	if n := look(NewWords(WordsOptions{Tail: failing}), managed("earlyoom")); n != 1 {
		t.Errorf("looked %d times at what cannot be read", n)
	}
	late := func(int32, time.Time) ([]journal.Entry, error) {
		if asked++; asked < 3 {
			return nil, nil
		}
		return log("Killed /system.slice due to memory used"), nil
	}
	rec := managed("systemd-oomd")
	if look(NewWords(WordsOptions{Tail: late}), rec); rec.Sender.Says == "" {
		t.Error("a message that comes a moment later is missed")
	}
	other := managed("earlyoom")
	other.Sender.Role = oom.RoleRuntime
	if n := look(NewWords(WordsOptions{Tail: never}), other); n != 0 {
		t.Error("asked for another sender")
	}
}
