package page

import (
	"cmp"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// kill is one section.
type kill struct {
	rec     *oom.Record
	Anchor  string
	Section template.HTML
	Full    bool
	Many    bool

	Heading  string
	Sentence string
	Verdict  string
	Unsure   bool
	Victim   string
	Owner    string
	When     string
	WhenISO  string
	RSS      template.HTML
	Limit    template.HTML
	// SortRSS and SortLimit are what the table sorts by.
	SortRSS, SortLimit uint64
	Facts              []fact
	More               []fact
	Reasons            []reason
	// Directory is the cgroup that C stands for in the advice.
	Directory string
	Growth    *growth
	Filled    []*stack
	Levels    []level
	Changes   []template.HTML
	Holders   *holders
	Tasks     *tasks
	Zones     []zone
	Orders    []int
	Swap      *swap
	Stats     []statTable
	Caches    []named
	Sites     []named
	Trigger   []fact
	Kernel    []string
	User      []string
	Sender    []fact
	Log       string
	JSON      template.HTML
	exitFact  int
}

// fact is one name with its value.
type fact struct {
	Name  string
	Value template.HTML
	Wide  bool
}

// reason is one of why's, with what to look at.
type reason struct {
	Code      string
	Text      string
	Check, Do template.HTML
}

// named is a size by name.
type named struct {
	Name  string
	Sizes []template.HTML
}

func (p *Page) kill(rec *oom.Record, line []byte) *kill {
	k := &kill{rec: rec, Heading: visible(heading(rec)), RSS: dash, Limit: dash, JSON: jsonText(line), exitFact: -1}
	k.Log = logText(rec.LogText)
	k.When, k.WhenISO = p.when(rec)
	if v := rec.Victim; v != nil {
		k.Victim = visible(process(v.Comm, cmp.Or(v.PID, v.TID)))
		k.Owner = visible(cmp.Or(v.Name(), v.Cgroup))
		k.RSS, k.SortRSS = sizeOpt(v.RSSBytes), v.RSSBytes.Value
	}
	if l := rec.Limit; l != nil {
		k.Limit, k.SortLimit = sizeOpt(l.MaxBytes), l.MaxBytes.Value
		if k.Owner == "" {
			k.Owner = visible(l.Cgroup)
		}
	}
	p.why(k)
	k.Facts, k.More = k.facts()
	k.Growth = growthOf(rec)
	k.Filled = filled(rec)
	k.Levels, k.Changes = levels(rec), changes(rec)
	k.Holders, k.Tasks = holdersOf(rec), tasksOf(rec)
	k.memory()
	k.processes()
	k.setExit(rec.Exit)
	return k
}

// logText are the kernel's lines, without what a terminal or a reader could be misled by.
func logText(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(visible(strings.ReplaceAll(strings.TrimSuffix(line, "\n"), "\t", "  ")) + "\n")
	}
	return b.String()
}

// heading says in a line what happened.
func heading(rec *oom.Record) string {
	who := "A process"
	if v := rec.Victim; v != nil {
		who = process(v.Comm, cmp.Or(v.PID, v.TID))
	}
	switch rec.Kind {
	case oom.KindAlreadyExiting:
		return who + " was exiting and was marked as victim"
	case oom.KindNoVictim:
		return "OOM without a process that could be killed"
	case oom.KindOOM:
		return "An OOM whose end is not in the log"
	case oom.KindPanic:
		return "The kernel panicked on an OOM"
	case oom.KindSigkill:
		if s := rec.Sender; s != nil && s.Comm != "" {
			return who + " was killed by " + process(s.Comm, cmp.Or(s.PID, s.TID))
		}
		return who + " was killed by SIGKILL"
	}
	return who + " was killed"
}

func (p *Page) when(rec *oom.Record) (text, iso string) {
	if !rec.Time.IsZero() {
		t := rec.Time.In(p.opts.Location)
		return t.Format("2006-01-02 15:04:05 MST"), rec.Time.Format(time.RFC3339Nano)
	}
	if ns, ok := rec.UptimeNS.Get(); ok {
		return span(ns) + " after boot", ""
	}
	return "", ""
}

func (p *Page) why(k *kill) {
	w := k.rec.Why
	if w == nil {
		return
	}
	k.Verdict, k.Sentence, k.Unsure = visible(w.Verdict), visible(sentence(w.Summary)), w.Unsure.Value
	for _, r := range w.Reasons {
		out := reason{Code: visible(r.Code), Text: visible(sentence(r.Text))}
		if p.opts.Advice != nil {
			check, do := p.opts.Advice(r.Code)
			out.Check, out.Do = prose(check), prose(do)
			if strings.Contains(check+do, "C/") {
				k.Directory = visible(k.directory())
			}
		}
		k.Reasons = append(k.Reasons, out)
	}
}

// directory is the cgroup that the advice is on.
func (k *kill) directory() string {
	switch {
	case k.rec.Limit != nil && k.rec.Limit.Cgroup != "":
		return k.rec.Limit.Cgroup
	case k.rec.Victim != nil:
		return k.rec.Victim.Cgroup
	}
	return ""
}

// sentence begins with a capital and ends with a stop.
func sentence(s string) string {
	if s == "" {
		return s
	}
	if c := s[0]; c >= 'a' && c <= 'z' {
		// A name keeps its spelling: vm.swappiness, memory.max.
		if word, _, _ := strings.Cut(s, " "); !strings.ContainsAny(word, "._/=") && word != "kubelet" {
			s = strings.ToUpper(s[:1]) + s[1:]
		}
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// list is a list of facts under construction.
type list []fact

func (l *list) add(name string, value template.HTML) {
	if value != "" && value != dash {
		*l = append(*l, fact{name, value, false})
	}
}

func (l *list) text(name, s string) {
	if s != "" {
		l.add(name, text(s))
	}
}

func (l *list) code(name, s string) {
	if s != "" {
		*l = append(*l, fact{name, mono(s), len(s) > 24})
	}
}

// facts are what a reader asks first; more is the rest.
func (k *kill) facts() (first, more []fact) {
	var l, m list
	rec := k.rec
	v := rec.Victim
	if v != nil {
		l.text("Owner", cmp.Or(v.Name(), v.Cgroup))
	}
	if rec.Limit != nil {
		k.limitFacts(&l, &m, rec.Limit)
	}
	if v != nil {
		victimFacts(&l, &m, v)
	}
	if g := rec.Trigger; g != nil && g.Comm != "" {
		by := text(process(g.Comm, cmp.Or(g.PID, g.TID)))
		if o := cmp.Or(g.Name(), g.Cgroup); o != "" && visible(o) != k.Owner {
			by += " of " + text(o)
		}
		l.add("Invoked by", by)
	}
	if rec.Sysrq.Value {
		l.text("Requested", "with SysRq-f")
	}
	l.text("Scope", string(rec.Scope))
	l.text("Panic", string(rec.Panic))
	l.add("Repeated", number(rec.Repeats))
	m.add("RAM and swap of this OOM", sizeOpt(rec.DomainBytes))
	if v == nil {
		return l, m
	}
	if !v.StartTime.IsZero() && rec.Time.After(v.StartTime) {
		l.text("Had run for", span(uint64(rec.Time.Sub(v.StartTime))))
	}
	l.code("Command", v.Cmdline)
	return l, m
}

func victimFacts(l, m *list, v *oom.Victim) {
	if v.RSSBytes.Known {
		var parts []string
		for _, p := range []struct {
			name string
			v    oom.Opt[uint64]
		}{{" anonymous", v.AnonRSSBytes}, {" file", v.FileRSSBytes}, {" shared", v.ShmemRSSBytes}} {
			if p.v.Value > 0 {
				parts = append(parts, string(size(p.v.Value))+p.name)
			}
		}
		resident := "<b>" + string(size(v.RSSBytes.Value)) + "</b> " + bracket(strings.Join(parts, ", "))
		l.add("Resident", template.HTML(strings.TrimSpace(resident))) //nolint:gosec // sizes
	}
	l.add("Swapped out", sizeOpt(v.SwapBytes))
	m.code("Cgroup", v.Cgroup)
	if p := v.CgroupPressure; p != nil {
		m.text("Waited for memory", strings.Join(append(waited("some", p.Some), waited("all", p.Full)...), ", "))
	}
	m.add("Page tables", sizeOpt(v.PgtablesBytes))
	m.add("Locked", sizeOpt(v.LockedVMBytes))
	m.add("Virtual", sizeOpt(v.TotalVMBytes))
	m.add("oom_score_adj", number(v.OOMScoreAdj))
	m.add("Badness, in pages", number(v.BadnessPages))
	m.add("Score", number(v.Score))
	if v.OOMOrigin.Value {
		m.text("Chosen", "without weighing: it was taking memory out of swap or KSM")
	}
	m.code("Executable", v.Exe)
	m.add("User id", number(v.UID))
	m.add("Parent", number(v.PPID))
	if v.TID != v.PID {
		m.add("Marked thread", number(v.TID))
	}
	m.add("Id in its namespace", number(v.NSPID))
	containerFacts(m, &v.Owner)
}

func containerFacts(l *list, o *oom.Owner) {
	if c := o.Container; c != nil {
		l.code("Image", c.Image)
		l.text("Runtime", c.Runtime)
		l.code("Container id", c.ID)
		l.add("Memory request", sizeOpt(c.MemoryRequestBytes))
		l.add("Memory limit", sizeOpt(c.MemoryLimitBytes))
		l.add("Restarts", number(c.RestartCount))
	}
	if c := o.OuterContainer; c != nil {
		l.text("Inside of", strings.TrimSpace(c.Name+" "+c.Image))
	}
	if p := o.Pod; p != nil {
		l.text("QoS", p.QoS)
		l.code("Pod uid", p.UID)
		l.text("Swap behavior", p.SwapBehavior)
	}
	l.text("Unit", o.Unit)
}

func (k *kill) limitFacts(l, m *list, r *oom.Limit) {
	what := text(cmp.Or(string(r.Level), "cgroup"))
	switch {
	case r.UsageBytes.Known && r.MaxBytes.Known:
		what += ", " + sizeOpt(r.UsageBytes) + " of <b>" + sizeOpt(r.MaxBytes) + "</b>"
	case r.MaxBytes.Known:
		what += ", <b>" + sizeOpt(r.MaxBytes) + "</b>"
	case r.UsageBytes.Known:
		what += ", " + sizeOpt(r.UsageBytes) + " in use"
	}
	l.add("Limit hit", what)
	if k.rec.Victim == nil || r.Cgroup != k.rec.Victim.Cgroup {
		m.code("Limit of", r.Cgroup)
	}
	if r.SwapUsageBytes.Known && r.SwapMaxBytes.Known {
		m.add("Its swap", sizeOpt(r.SwapUsageBytes)+" of "+sizeOpt(r.SwapMaxBytes))
	} else {
		m.add("Its swap", sizeOpt(r.SwapUsageBytes))
	}
	if r.MemswUsageBytes.Known && r.MemswMaxBytes.Known {
		m.add("With swap", sizeOpt(r.MemswUsageBytes)+" of "+sizeOpt(r.MemswMaxBytes))
	}
	m.add("Failed charges", number(r.Failures))
	if r.OOMGroup.Value {
		m.text("memory.oom.group", "1: all of it is killed")
	}
}

// setExit adds how the victim ended.
func (k *kill) setExit(e *oom.Exit) {
	if e == nil {
		return
	}
	var what template.HTML
	switch {
	case e.AfterNS.Known:
		what = "after " + duration(e.AfterNS)
	case e.ReapedAfterNS.Known:
		what = "memory reaped after " + duration(e.ReapedAfterNS)
	case e.Reaped.Value:
		what = "memory reaped"
	}
	if e.ReaperGaveUp.Value {
		what += " (the reaper gave up)"
	}
	if n := len(e.SharedMM); n > 0 {
		var names []string
		for _, s := range e.SharedMM {
			names = append(names, process(s.Comm, s.PID))
		}
		what += " with " + text(strings.Join(names, ", ")) + ", which shared its memory"
	}
	if what == "" {
		return
	}
	f := fact{Name: "Exited", Value: what}
	if k.exitFact >= 0 {
		k.Facts[k.exitFact] = f
		return
	}
	k.exitFact = len(k.Facts)
	k.Facts = append(k.Facts, f)
}

// processes are who asked for the memory, and who sent the signal.
func (k *kill) processes() {
	if g := k.rec.Trigger; g != nil {
		var l list
		l.text("Process", process(g.Comm, cmp.Or(g.PID, g.TID)))
		l.text("Owner", g.Name())
		l.code("Cgroup", g.Cgroup)
		l.code("Command", g.Cmdline)
		if g.Order.Known && g.Order.Value >= 0 && g.Order.Value < 32 {
			l.add("Asked for", template.HTML(fmt.Sprintf("%d contiguous pages (order %d)", 1<<g.Order.Value, g.Order.Value))) //nolint:gosec // numbers
			if g.Order.Value == 0 {
				l[len(l)-1].Value = "one page (order 0)"
			}
		}
		if g.GFPMask.Known {
			l.add("gfp mask", mono(fmt.Sprintf("0x%x ", g.GFPMask.Value)+strings.Join(g.GFPFlags, " | ")))
		}
		l.code("Nodes of the policy", g.Nodemask)
		l.code("Nodes allowed", g.MemsAllowed)
		l.code("Cpuset", g.Cpuset)
		l.add("oom_score_adj", number(g.OOMScoreAdj))
		k.Trigger = l
		k.Kernel, k.User = frames(g.KernelStack), frames(g.UserStack)
	}
	s := k.rec.Sender
	if s == nil && k.rec.Cause == "" {
		return
	}
	var l list
	l.text("Cause", strings.ReplaceAll(string(k.rec.Cause), "_", " "))
	if s != nil {
		l.text("Process", process(s.Comm, cmp.Or(s.PID, s.TID)))
		l.text("Owner", s.Name())
		l.code("Cgroup", s.Cgroup)
		l.code("Command", s.Cmdline)
		l.code("Executable", s.Exe)
		l.add("User id", number(s.UID))
		var parents []string
		for _, a := range s.Parents {
			parents = append(parents, process(a.Comm, a.PID))
		}
		l.text("Started by", strings.Join(parents, ", by "))
		l.text("Recognised as", strings.TrimSpace(s.Program+" "+bracket(strings.ReplaceAll(string(s.Role), "_", " "))))
		l.text("It says", s.Says)
	}
	k.Sender = l
}

// waited is a line of a PSI file.
func waited(who string, t *oom.PressureTime) []string {
	if t == nil {
		return nil
	}
	var out []string
	for _, avg := range [...]struct {
		seconds int
		percent oom.Opt[float64]
	}{{10, t.Avg10Percent}, {60, t.Avg60Percent}, {300, t.Avg300Percent}} {
		if avg.percent.Known {
			out = append(out, fmt.Sprintf("%s %.2f %% of %d s", who, avg.percent.Value, avg.seconds))
		}
	}
	return out
}

func bracket(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

func frames(stack []string) []string {
	out := make([]string, len(stack))
	for i, f := range stack {
		out[i] = visible(f)
	}
	return out
}

// What follows is for the template.

// ID is the record's, where it is fit for a command line.
func (k *kill) ID() string {
	for _, c := range []byte(k.rec.ID) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return "last"
		}
	}
	return k.rec.ID
}

// Node is the machine's name.
func (k *kill) Node() string { return visible(k.rec.Node) }

// KernelRelease is what uname -r prints.
func (k *kill) KernelRelease() string { return visible(k.rec.Kernel) }

// Kind is a class for the style.
func (k *kill) Kind() string {
	if k.rec.Kind == oom.KindKill {
		return "kill"
	}
	return "event"
}

// Incomplete says that the source held only part of the report.
func (k *kill) Incomplete() bool { return k.rec.Incomplete.Value }

// SourceWords name the witness.
func (k *kill) SourceWords() string {
	switch k.rec.Source {
	case oom.SourceBPF:
		return "seen live by BPF"
	case oom.SourceKmsg:
		return "from the kernel log"
	}
	return "source unknown"
}

// SortTime is what the table sorts by.
func (k *kill) SortTime() string {
	if k.rec.Time.IsZero() {
		return fmt.Sprint(k.rec.UptimeNS.Value / 1e6)
	}
	return fmt.Sprint(k.rec.Time.UnixMilli())
}

// AskedOrder is the order of a request for more than a page.
func (k *kill) AskedOrder() int32 {
	if k.rec.Trigger == nil {
		return 0
	}
	return max(k.rec.Trigger.Order.Value, 0)
}

// Pale says that blocks of this order are too small for the request.
func (k *kill) Pale(order int) bool { return order < int(k.AskedOrder()) }

// Record is where the record comes from.
func (k *kill) Record() []fact {
	var l list
	l.code("Id", k.rec.ID)
	l.code("Incident", k.rec.Incident)
	l.code("Boot", k.rec.BootID)
	l.text("Uptime", uptime(k.rec.UptimeNS))
	l.add("CPUs", number(k.rec.CPUs))
	l.text("Programs", strings.Join(k.rec.Hooks, ", "))
	l.text("Sampled just after the kill", strings.Join(k.rec.Sampled, ", "))
	l.text("Metadata missing for", strings.Join(k.rec.NamesMissing, ", "))
	return l
}

func uptime(ns oom.Opt[uint64]) string {
	if !ns.Known {
		return ""
	}
	return fmt.Sprintf("%d.%06d s", ns.Value/1e9, ns.Value%1e9/1e3)
}
