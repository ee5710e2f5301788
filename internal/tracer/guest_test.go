//go:build vmguest

package tracer

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/vmtest/workload"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// TestGuestKills runs every scenario on every tier of the guest's kernel. A
// tier that this kernel lacks is named in OOMTRACE_NO_TIER, so that one that
// should be there and is not fails.
func TestGuestKills(t *testing.T) {
	protect(t)
	form := newRSSForm(t)
	missing := os.Getenv("OOMTRACE_NO_TIER")
	for _, tier := range Tiers() {
		t.Run("tier="+string(tier), func(t *testing.T) {
			if string(tier) == missing {
				refused(t, tier)
				return
			}
			l := start(t, tier, form)
			checkTier(t, l.tracer, tier)
			for _, s := range guestScenarios() {
				t.Run(s.name, func(t *testing.T) { s.run(t, l, tier) })
			}
			t.Run("swap", func(t *testing.T) { swapped(t, l, tier) })
			t.Run("system", func(t *testing.T) { system(t, l, tier) })
			t.Run("sysrq-f", func(t *testing.T) { sysrq(t, l, tier) })
			if decides(tier) {
				t.Run("no-victim", func(t *testing.T) { noVictim(t, l) })
			}
			t.Run("exit", func(t *testing.T) { exits(t, l) })
		})
	}
}

// refused: a tier that is asked for and cannot be had is an error that says why.
func refused(t *testing.T, tier Tier) {
	t.Helper()
	tr, err := Open(t.Context(), Options{Tier: tier})
	var attach *AttachError
	if !errors.As(err, &attach) || len(attach.Attempts) == 0 || attach.Attempts[0].Kind != string(tier) || !errors.Is(err, ErrUnsupported) {
		t.Errorf("%s: %v", tier, err)
	}
	if err == nil {
		_ = tr.Close()
	}
}

// protect keeps this process out of the way of the system OOMs.
func protect(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/proc/1/oom_score_adj", "/proc/self/oom_score_adj"} {
		if err := os.WriteFile(path, []byte("-1000"), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
}

// checkTier: what was pinned is what is attached.
func checkTier(t *testing.T, tr *Tracer, tier Tier) {
	t.Helper()
	for _, a := range tr.Attachments() {
		if a.Hook == hookOOMKillProcess && a.Kind != string(tier) {
			t.Errorf("%s by %q: %+v", a.Hook, a.Kind, a.Tried)
		}
		if a.Hook == hookMarkVictim && !decides(tier) && a.Kind != string(tier) {
			t.Errorf("%s by %q: %+v", a.Hook, a.Kind, a.Tried)
		}
	}
	for _, n := range tr.Notes() {
		t.Errorf("note: %s", n)
	}
}

// lowered is a victim that others would be preferred to; lowering takes
// CAP_SYS_RESOURCE, which this machine's root may lack, so it runs in guests.
func lowered() scenario {
	return scenario{name: "adj-negative", limit: workload.Limits{MaxBytes: 24 * mib, NoSwap: true}, kills: 1,
		hogs: []workload.Hog{{Name: "adj-", Adj: -300, Steps: anon(64)}}}
}

func guestScenarios() []scenario {
	group := workload.Limits{MaxBytes: 32 * mib, NoSwap: true, Group: true}
	var five []workload.Hog
	for i := range 5 {
		five = append(five, workload.Hog{Name: "member" + strconv.Itoa(i), Steps: anon(7)})
	}
	five[4].Steps = anon(48)
	return append(cgroupScenarios(), lowered(),
		scenario{name: "oom-group", limit: group, hogs: five, kills: 5},
		scenario{name: "threads", limit: workload.Limits{MaxBytes: 32 * mib, NoSwap: true}, kills: 1,
			hogs: []workload.Hog{{Name: "threads", LeaderExits: true, Steps: anon(64)}},
			check: func(t *testing.T, r *oom.Record) {
				if r.Victim.PID == r.Victim.TID {
					t.Errorf("pid %v is the marked thread: another one expected", r.Victim.PID)
				}
				if r.Victim.RSSBytes.Value < 16*mib {
					t.Errorf("rss %d", r.Victim.RSSBytes.Value)
				}
			}},
		scenario{name: "file", limit: workload.Limits{MaxBytes: 24 * mib, NoSwap: true}, kills: 1,
			hogs: []workload.Hog{{Name: "file", Steps: []workload.Step{{Kind: workload.File, Path: "/hog-file", Bytes: 64 * mib}}}},
			check: func(t *testing.T, r *oom.Record) {
				if r.Victim.FileRSSBytes.Value+r.Victim.ShmemRSSBytes.Value < 16*mib {
					t.Errorf("file rss %d, shmem rss %d", r.Victim.FileRSSBytes.Value, r.Victim.ShmemRSSBytes.Value)
				}
			}},
	)
}

// swapped kills a process part of whose memory is in swap.
func swapped(t *testing.T, l *live, tier Tier) {
	g, err := workload.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := g.Swap(96*mib, 5); err != nil {
		t.Fatal(err)
	}
	scenario{
		name: "swap", kills: 1, limit: workload.Limits{MaxBytes: 24 * mib, SwapBytes: 16 * mib},
		hogs: []workload.Hog{{Name: "swapped", Steps: anon(96)}},
		check: func(t *testing.T, r *oom.Record) {
			if v := r.Victim.SwapBytes.Value; v < 12*mib || v > 16*mib+mib {
				t.Errorf("swap %d: about 16 MiB expected", v)
			}
			if decides(tier) && r.Limit.SwapMaxBytes.Value != 16*mib {
				t.Errorf("limit's swap maximum %v", r.Limit.SwapMaxBytes)
			}
		},
	}.run(t, l, tier)
}

// system lets a process outside of any limit take all memory.
func system(t *testing.T, l *live, tier Tier) {
	l.begin(t)
	s := scenario{name: "system", kills: 1, hogs: []workload.Hog{{Name: "system", Steps: anon(2048)}}}
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	group, err := h.Make(nil, "unlimited", workload.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = group.Remove() }()
	s.check = func(t *testing.T, r *oom.Record) {
		if r.Victim.RSSBytes.Value < 128*mib {
			t.Errorf("rss %d: most of the machine expected", r.Victim.RSSBytes.Value)
		}
		if decides(tier) && (r.DomainBytes.Value < 256*mib || r.Trigger.GFPFlags == nil) {
			t.Errorf("domain %v, gfp %v", r.DomainBytes, r.Trigger.GFPFlags)
		}
	}
	s.runHogs(t, group)
	s.hold(t, l, tier)
}

// sysrq asks for a kill by hand.
func sysrq(t *testing.T, l *live, tier Tier) {
	l.begin(t)
	p, err := workload.Start(workload.Hog{Name: "sysrq", Adj: 900, Steps: anon(32)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop() }()
	if err := p.Full(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("f"), 0); err != nil {
		t.Fatal(err)
	}
	if killed, err := p.Wait(t.Context()); err != nil || !killed {
		t.Fatalf("killed %v, %v", killed, err)
	}
	s := scenario{name: "sysrq", kills: 1, check: func(t *testing.T, r *oom.Record) {
		if decides(tier) && (!r.Sysrq.Value || r.Trigger.Order.Value != -1) {
			t.Errorf("sysrq %v, order %v", r.Sysrq, r.Trigger.Order)
		}
	}}
	s.hold(t, l, tier)
}

// noVictim overruns a cgroup whose only process may not be killed.
func noVictim(t *testing.T, l *live) {
	l.begin(t)
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	group, err := h.Make(nil, "no-victim", workload.Limits{MaxBytes: 16 * mib, NoSwap: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = group.Remove() }()
	p, err := workload.Start(workload.Hog{Name: "spared", Adj: -1000, Procs: group.Procs(), Steps: anon(64)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop() }()
	var got []seen
	for deadline := time.Now().Add(patience); len(got) == 0; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no record of an OOM without a victim")
		}
		got = l.of(oom.KindNoVictim)
	}
	if rec := got[0].rec; rec.Victim != nil || rec.Limit == nil || rec.Limit.Cgroup != "/no-victim" {
		t.Errorf("record %+v", rec)
	}
}

// TestGuestFlood: a cgroup in which no process may be killed faults for ever. What it
// sends while no process reads leaves room for the kills beside it, and all of it is
// counted.
func TestGuestFlood(t *testing.T) {
	protect(t)
	tr, err := Open(t.Context(), Options{RingBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tr.Close() }()
	h, err := workload.FindHierarchy()
	if err != nil {
		t.Fatal(err)
	}
	overrun := func(name string, adj int) *workload.Process {
		group, err := h.Make(nil, name, workload.Limits{MaxBytes: 8 * mib, NoSwap: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = group.Remove() })
		p, err := workload.Start(workload.Hog{Name: name, Adj: adj, Procs: group.Procs(), Steps: anon(32)})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	spared := overrun("spared", -1000)
	var stats Stats
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if stats, err = tr.Stats(); err != nil || stats.NoVictim > 60 {
			break
		}
	}
	const kills = 5
	for i := range kills {
		if killed, err := overrun("killed-"+strconv.Itoa(i), 0).Wait(t.Context()); err != nil || !killed {
			t.Fatalf("killed %v, %v", killed, err)
		}
	}
	if err := spared.Stop(); err != nil {
		t.Fatal(err)
	}
	if stats, err = tr.Stats(); err != nil {
		t.Fatal(err)
	}
	got, repeats := drain(t, tr)
	t.Logf("%+v, records %v, %d of them reported as repeats", stats, got, repeats)
	if got[oom.KindKill] != kills || stats.Lost != 0 {
		t.Errorf("%d kills, %d lost: %d were made", got[oom.KindKill], stats.Lost, kills)
	}
	if stats.NoVictim <= 60 || got[oom.KindNoVictim] == 0 || stats.NoVictim != got[oom.KindNoVictim]+stats.Repeated+stats.LostNoVictim || repeats > stats.Repeated {
		t.Errorf("%d OOMs without a victim: %d records, %d lost, %d repeats of which %d are reported",
			stats.NoVictim, got[oom.KindNoVictim], stats.LostNoVictim, stats.Repeated, repeats)
	}
}

// drain counts what the ring holds.
func drain(t *testing.T, tr *Tracer) (got map[oom.Kind]uint64, repeats uint64) {
	t.Helper()
	done, cancel := context.WithCancel(t.Context())
	cancel()
	got = map[oom.Kind]uint64{}
	var ev wire.Event
	for {
		err := tr.read(done, &ev)
		if errors.Is(err, io.EOF) {
			return got, repeats
		}
		if err != nil {
			t.Fatal(err)
		}
		got[ev.Record.Kind]++
		repeats += ev.Record.Repeats.Value
		tr.done()
	}
}

// exits looks at the records that follow the kills.
func exits(t *testing.T, l *live) {
	l.mu.Lock()
	defer l.mu.Unlock()
	torn := slices.ContainsFunc(l.tracer.Attachments(), func(a Attachment) bool {
		return (a.Hook == hookExitMmap || a.Hook == hookExitMmapReturn) && a.Kind != ""
	})
	known := 0
	for _, r := range l.exits {
		if r.Exit.RSSBytes.Known {
			known++
		}
		if !r.Exit.AfterNS.Known || r.Exit.AfterNS.Value > uint64(time.Minute) || r.Victim.Comm == "" {
			t.Errorf("exit %+v of %+v", r.Exit, r.Victim)
		}
		// It is reported once there is memory again, or not known to be.
		if rss := r.Exit.RSSBytes; rss.Value >= mib || !rss.Known && torn {
			t.Errorf("%s %d went holding %v bytes", r.Victim.Comm, r.Victim.PID.Value, rss)
		}
	}
	if known == 0 || known < len(l.exits)/2 {
		t.Errorf("%d exit records, %d with what the memory was then", len(l.exits), known)
	}
}

// TestGuestOpenErrors: what a user can get wrong has an error of its own.
func TestGuestOpenErrors(t *testing.T) {
	if _, err := Open(t.Context(), Options{BTF: "/proc/version"}); !errors.Is(err, ErrBTF) {
		t.Errorf("a file that is no BTF: %v", err)
	}
	if _, err := Open(t.Context(), Options{BTF: "/nonexistent"}); !errors.Is(err, ErrBTF) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := ParseTier("jprobe"); err == nil || !strings.Contains(err.Error(), "jprobe") {
		t.Errorf("unknown attach type: %v", err)
	}
}
