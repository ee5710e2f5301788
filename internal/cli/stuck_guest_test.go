//go:build vmguest

package cli

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
)

// TestGuestStuck has a victim wait, as no signal can stop it, for a disk that
// does not write: the kill frees its memory, yet it does not go.
func TestGuestStuck(t *testing.T) {
	g := openGuest(t)
	d, err := g.Delayed(16*mib, workload.Never)
	if err != nil {
		t.Fatal(err)
	}
	c, err := g.Cgroup(nil, "oomtrace-stuck", workload.Limits{MaxBytes: 40 * mib})
	if err != nil {
		t.Fatal(err)
	}
	p := newTracee(t).startReady()
	stuck, err := g.Start(workload.Hog{Name: "stuck", Adj: 500, Procs: c.Procs(), Steps: []workload.Step{
		{Kind: workload.Anon, Bytes: 24 * mib}, {Kind: workload.Sync, Path: d.Path()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a process that waits for the disk", p.ended, func() bool {
		// Entering the cgroup makes it wait, too.
		used, err := c.Get("memory.current")
		n, _ := strconv.Atoi(used)
		return err == nil && n > 24*mib && state(t, stuck.PID) == "D"
	})
	if _, err := g.Fill(t.Context(), workload.Hog{Name: "grower", Procs: c.Procs(), Steps: []workload.Step{{Kind: workload.Anon, Bytes: 24 * mib}}}); err != nil {
		t.Error(err)
	}
	warning := fmt.Sprintf("victim %d (\"stuck\") is still alive 5s after SIGKILL", stuck.PID)
	eventually(t, "the warning of a victim that stays", p.ended, func() bool { return strings.Contains(p.stderr.String(), warning) })
	if s := state(t, stuck.PID); s != "D" {
		t.Errorf("state %s: it was to wait for the disk", s)
	}
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	if killed, err := stuck.Wait(t.Context()); err != nil || !killed {
		t.Errorf("killed %v, %v", killed, err)
	}
	var gone []oom.Record
	eventually(t, "the exit record", p.ended, func() bool {
		gone = only(parse(t, wholeLines(p.out.Bytes())), oom.KindExit)
		return len(gone) > 0
	})
	p.interrupt()
	if got := names(p.kills()); !slices.Equal(got, []string{"stuck"}) {
		t.Errorf("kills of %q", got)
	}
	r := gone[0]
	if r.Victim.PID.Value != int32(stuck.PID) || r.Exit.AfterNS.Value < uint64(5*time.Second) || !r.Exit.Reaped.Value {
		t.Errorf("exit %+v of %+v", r.Exit, r.Victim)
	}
	verdict{is: "exit_slow", also: []string{"exit_gone", "exit_reaped"}, not: []string{"exit_reaper_gave_up"}}.check(t, &r)
}

// state is a process's, in the letter of ps.
func state(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b[bytes.LastIndexByte(b, ')'):]), " ")
	s, _, _ := strings.Cut(rest, " ")
	return s
}

func names(records []oom.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, r.Victim.Comm)
	}
	return out
}
