package render

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// ownerWidth is the column's; what is longer has a line of its own.
const ownerWidth = 23

// owner names the victim's owner.
func owner(r *oom.Record) string {
	if r.Victim == nil {
		return "-"
	}
	return ownerName(&r.Victim.Owner, r.Victim.Cgroup)
}

// ownerName names an owner, or at least the cgroup.
func ownerName(o *oom.Owner, cgroup string) string { return cmp.Or(o.Name(), cgroup, "-") }

// splitAt gives as much of a clean text as fits n columns, and the rest.
func splitAt(s string, n int) (part, rest string) {
	end := len(s)
	for i, c := range s {
		if n -= width(string(c)); n < 0 {
			end = i
			break
		}
	}
	return s[:end], s[end:]
}

// ownerDetails adds what a name leaves out, and the owner of the trigger or the sender
// where it is another one.
func (t *Text) ownerDetails(r *oom.Record) {
	v := r.Victim
	if v == nil {
		return
	}
	if c := v.Container; c != nil {
		t.details("container", containerText(c))
	}
	if c := v.OuterContainer; c != nil {
		text := containerText(c)
		if c.Name != "" {
			text = c.Name + ", " + text
		}
		t.details("outer", strings.TrimSuffix(text, ", "))
	}
	if p := v.Pod; p != nil {
		t.details("pod", joined("uid", p.UID, "qos", p.QoS))
	}
	if g := r.Trigger; g != nil {
		if name := ownerName(&g.Owner, g.Cgroup); name != "-" && name != owner(r) {
			t.details("invoked by", g.Comm+" of "+name)
		}
	}
	if s := r.Sender; s != nil {
		if name := ownerName(&s.Owner, s.Cgroup); name != "-" {
			t.details("sent by", s.Comm+" of "+name)
		}
		t.details("says", s.Says)
	}
}

// containerText tells what is known of a container.
func containerText(c *oom.Container) string {
	s := joined("id", c.ID, "image", c.Image, "runtime", c.Runtime)
	for _, n := range []struct {
		name  string
		value oom.Opt[uint64]
		text  func(oom.Opt[uint64]) string
	}{
		{"restarts", c.RestartCount, func(v oom.Opt[uint64]) string { return number(v, "-") }},
		{"request", c.MemoryRequestBytes, exact},
		{"limit", c.MemoryLimitBytes, exact},
	} {
		if n.value.Known {
			s = strings.TrimPrefix(s+", "+n.name+" "+n.text(n.value), ", ")
		}
	}
	return s
}

// joined lists the pairs of a name and a text that is known.
func joined(pairs ...string) string {
	var out []string
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, fmt.Sprintf("%s %s", pairs[i], pairs[i+1]))
		}
	}
	return strings.Join(out, ", ")
}
