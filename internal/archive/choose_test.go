package archive

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func rec(id string, pid int32, pod string) *oom.Record {
	r := &oom.Record{ID: id, Kind: oom.KindKill, Incident: "i" + id, Victim: &oom.Victim{PID: oom.Some(pid), TID: oom.Some(pid + 1)}}
	if pod != "" {
		r.Victim.Pod = &oom.Pod{Namespace: "shop", Name: pod}
	}
	return r
}

func memory() []*oom.Record {
	exit := rec("e1", 7, "")
	exit.Kind, exit.Incident = oom.KindExit, "iabc123"
	java := rec("abd999", 7000, "cart-1")
	java.Victim.Comm = "java"
	return []*oom.Record{
		rec("abc123", 7, "cart-0"), exit, java, rec("7000f0", 9, "search-0"), rec("fff000", 11, "search-0"),
		{ID: "lost", Kind: oom.KindLost}, {ID: "nov123", Kind: oom.KindNoVictim},
	}
}

func ids(records []*oom.Record) string {
	var out []string
	for _, r := range records {
		out = append(out, r.ID)
	}
	return strings.Join(out, " ")
}

func TestChoose(t *testing.T) {
	for _, tt := range []struct{ name, which, want string }{
		{"the newest", "last", "nov123"},
		{"a process, with its exit", "7", "abc123 e1"},
		{"a thread", "8", "abc123 e1"},
		{"a process before an id that begins so", "7000", "abd999"},
		{"the beginning of an id", "7000f", "7000f0"},
		{"a whole id", "abd999", "abd999"},
		{"a pod", "cart-1", "abd999"},
		{"a pod with its namespace", "shop/cart-1", "abd999"},
		{"a process's name", "java", "abd999"},
		{"an OOM without a victim", "nov", "nov123"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Choose(memory(), tt.which)
			if err != nil || ids(got) != tt.want {
				t.Errorf("got %q, %v; want %q", ids(got), err, tt.want)
			}
		})
	}
}

func TestChooseFails(t *testing.T) {
	for _, which := range []string{"ab", "12345", "nobody", "", "e1", "lost", "cart"} {
		if got, err := Choose(memory(), which); !errors.Is(err, ErrNone) {
			t.Errorf("%q: got %q, %v", which, ids(got), err)
		}
	}
	if _, err := Choose(nil, Last); !errors.Is(err, ErrNone) {
		t.Errorf("the last of none: %v", err)
	}
	for _, tt := range []struct{ which, want string }{{"search-0", "7000f0 fff000"}} {
		var several *SeveralError
		if _, err := Choose(memory(), tt.which); !errors.As(err, &several) || ids(several.Matches) != tt.want {
			t.Errorf("%q: %v", tt.which, err)
		}
	}
}

// TestNewest: SIGKILLs count like the OOM killer's kills, unless they follow from one.
func TestNewest(t *testing.T) {
	of := func(r *oom.Record, kind oom.Kind, incident string) *oom.Record {
		r.Kind, r.Incident = kind, incident
		return r
	}
	all := []*oom.Record{
		{ID: "panic", Kind: oom.KindPanic}, rec("a", 1, ""), of(rec("g1", 2, ""), oom.KindKill, "ig"), of(rec("g2", 3, ""), oom.KindKill, "ig"),
		of(rec("a-exit", 1, ""), oom.KindExit, "ia"), of(rec("a-more", 9, ""), oom.KindSigkill, "ia"), of(rec("g1-exit", 2, ""), oom.KindExit, "ig"),
		of(rec("g-more", 8, ""), oom.KindSigkill, "ig"), of(rec("g2-exit", 3, ""), oom.KindExit, "ig"), of(rec("s1", 5, ""), oom.KindSigkill, ""),
		{ID: "lost", Kind: oom.KindLost}, of(rec("s2", 6, ""), oom.KindSigkill, ""), {ID: "nov", Kind: oom.KindNoVictim},
	}
	for n, want := range map[int]string{
		0: ids(all), 1: "s2 nov", 2: "s1 lost s2 nov", 3: "g2 g-more g2-exit s1 lost s2 nov",
		4: "g1 g2 g1-exit g-more g2-exit s1 lost s2 nov", 6: ids(all),
		5: "a g1 g2 a-exit a-more g1-exit g-more g2-exit s1 lost s2 nov",
	} {
		if got := ids(Newest(all, n)); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestNewestOfFew(t *testing.T) {
	for n, want := range map[int]string{
		0: "abc123 e1 abd999 7000f0 fff000 lost nov123", 1: "fff000 lost nov123", 4: "abc123 e1 abd999 7000f0 fff000 lost nov123",
		9: "abc123 e1 abd999 7000f0 fff000 lost nov123", 3: "abd999 7000f0 fff000 lost nov123",
	} {
		if got := ids(Newest(memory(), n)); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestWhich(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := errors.Join(os.WriteFile("kern.log", nil, 0o600), os.Mkdir("java", 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args  []string
		which string
		files int
	}{
		{nil, Last, 0},
		{[]string{"7"}, "7", 0},
		{[]string{"7", "kern.log"}, "7", 1},
		{[]string{"kern.log"}, Last, 1},
		{[]string{"-"}, Last, 1},
		{[]string{"/var/log/absent"}, Last, 1},
		{[]string{"./absent", "b"}, Last, 2},
		{[]string{"shop/cart-1"}, "shop/cart-1", 0},
		{[]string{"java"}, "java", 0}, // a directory is no log
	} {
		if which, files := Which(tt.args); which != tt.which || len(files) != tt.files {
			t.Errorf("%q: got %q and %q", tt.args, which, files)
		}
	}
}

func TestSort(t *testing.T) {
	at := func(r *oom.Record, s int64) *oom.Record {
		r.Time = time.Unix(s, 0)
		return r
	}
	up := func(r *oom.Record, ns uint64) *oom.Record {
		r.UptimeNS = oom.Some(ns)
		return r
	}
	for _, tt := range []struct {
		name string
		in   []*oom.Record
		want string
	}{
		{"by time", []*oom.Record{at(rec("b", 1, ""), 5), at(rec("a", 1, ""), 3)}, "a b"},
		{"by the kernel's clock", []*oom.Record{up(rec("b", 1, ""), 5), up(rec("a", 1, ""), 3)}, "a b"},
		{"as they came", []*oom.Record{rec("b", 1, ""), rec("a", 1, "")}, "b a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := slices.Clone(tt.in)
			Sort(got)
			if ids(got) != tt.want {
				t.Errorf("got %s, want %s", ids(got), tt.want)
			}
		})
	}
}
