// Package metrics offers what was traced to Prometheus.
//
// The metrics, all counted since the process started:
//
//	oomtrace_kills_total{scope,namespace,pod,container,unit}
//	oomtrace_biggest_holder_total{scope,namespace,pod,container,unit}
//	oomtrace_records_total{kind,scope}       every combination from the start, at 0
//	oomtrace_victim_rss_bytes                histogram of the killed
//	oomtrace_last_kill_timestamp_seconds     0 before the first
//	oomtrace_lost_total{kind}                kill, exit, no_victim, sigkill, cgroup notices and log_lines
//	oomtrace_no_victim_repeats_total         OOMs without a victim, counted but not recorded
//	oomtrace_undecoded_total
//	oomtrace_drained_total                   found in the pinned ring buffer at the start
//	oomtrace_hook_info{hook,kind}            1; kind is "none" where none attached
//	oomtrace_bpf_seconds_total{program}      with kernel.bpf_stats_enabled only
//	oomtrace_bpf_runs_total{program}         the same
//	oomtrace_cgroup_limit_seconds{cgroup}    until a cgroup reaches its limit, if it grows on; the 10 nearest
//	oomtrace_build_info{version,goversion}   1
//	process_*                                of oomtrace itself
package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// DefaultMaxSeries bounds oomtrace_kills_total by default.
const DefaultMaxSeries = 1000

// Options may be zero.
type Options struct {
	// MaxSeries is about how many series oomtrace_kills_total has at most; 0
	// means DefaultMaxSeries. Of these, three quarters have all labels.
	// Then only the namespace or unit is kept, with the other names "other", and
	// when that is full too, all names are "other": one more series a scope.
	MaxSeries int
	// Version of oomtrace; empty means "unknown".
	Version string
	// Stats is asked at each scrape, by any goroutine; nil means no stats. With an
	// error the counters are left out of the scrape: zeros would look like a
	// restart. The programs are reported all the same.
	Stats func() (Stats, error)
	// Healthy is asked by /healthz, by any goroutine; nil means always healthy.
	Healthy func() error
	// Alive is asked by /livez, likewise: false is a reason to restart.
	Alive func() bool
}

// Stats are the tracer's counters and programs.
type Stats struct {
	// Lost counts the victims, LostExit the exits, LostCgroup the cgroup notices
	// and LostNoVictim the OOMs without a victim that were dropped: the ring buffer
	// was full.
	Lost, LostExit, LostCgroup, LostNoVictim uint64
	// LostLogLines counts the lines that the kernel's log overwrote before they were read.
	LostLogLines uint64
	// LostSigkill counts the SIGKILLs of others that found no room in theirs.
	LostSigkill uint64
	// Repeated counts the OOMs without a victim that have no record, since one of
	// the same cgroup was just recorded.
	Repeated uint64
	// Undecoded counts damaged records and those of another layout.
	Undecoded uint64
	// Drained counts the records that waited in a pinned ring at the start.
	Drained uint64
	// Hooks are the attachments, one for each name.
	Hooks []Hook
	// Programs are what the kernel counted of them, as far as it counts.
	Programs []Program
	// Near are the cgroups that reach their limit soonest, a few.
	Near []Near
}

// Program is how often and how long a BPF program ran.
type Program struct {
	Name    string
	Runs    uint64
	Seconds float64
}

// Near is a cgroup on its way to its limit.
type Near struct {
	Cgroup  string
	Seconds float64
}

// Hook is where a program is attached, and how.
type Hook struct {
	// Name is the function or tracepoint, such as "oom_kill_process".
	Name string
	// Kind is "fentry", "kprobe", "tp_btf" and so on; empty if not attached.
	Kind string
}

// Metrics counts records. Its methods may be called by any goroutine.
type Metrics struct {
	opts     Options
	registry *prometheus.Registry
	records  *prometheus.CounterVec
	rss      prometheus.Histogram
	last     prometheus.Gauge
	kills    *owners
	holders  *owners
	sigkills *prometheus.CounterVec

	mu       sync.Mutex
	incident string // of the last kill
	held     string // incident whose holder was counted
}

// New returns a Metrics with a registry of its own.
func New(opts Options) *Metrics {
	if opts.MaxSeries <= 0 {
		opts.MaxSeries = DefaultMaxSeries
	}
	m := &Metrics{
		opts:     opts,
		registry: prometheus.NewRegistry(),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oomtrace_records_total", Help: "Records by kind and scope.",
		}, []string{"kind", "scope"}),
		rss: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "oomtrace_victim_rss_bytes", Help: "Resident memory of killed processes.",
			Buckets: prometheus.ExponentialBuckets(1<<20, 4, 10), // 1 MiB to 256 GiB
		}),
		last: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oomtrace_last_kill_timestamp_seconds", Help: "Time of the last kill, 0 before the first.",
		}),
		kills:   newOwners("oomtrace_kills_total", "Kills by scope and by owner of the victim", opts.MaxSeries),
		holders: newOwners("oomtrace_biggest_holder_total", "OOMs by scope and by who held the most memory", max(1, opts.MaxSeries/4)),
		sigkills: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oomtrace_sigkills_total", Help: "SIGKILLs that the kernel's OOM killer did not send, by cause and by the program that sent them.",
		}, []string{"cause", "program"}),
	}
	// A counter that first appears with a value of 1 has no increase; these are
	// there from the start.
	for _, kind := range kinds() {
		for _, scope := range scopes() {
			m.records.WithLabelValues(kind, scope)
		}
	}
	m.registry.MustRegister(m.records, m.rss, m.last, m.kills.vec, m.holders.vec, m.sigkills,
		&statsCollector{stats: opts.Stats}, buildInfo(opts.Version),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func buildInfo(version string) prometheus.Collector {
	if version == "" {
		version = unknown
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "oomtrace_build_info", Help: "The build of oomtrace; always 1.",
		ConstLabels: prometheus.Labels{"version": clean(version), "goversion": runtime.Version()},
	})
	g.Set(1)
	return g
}

// Observe counts a record. It keeps nothing of it.
func (m *Metrics) Observe(rec *oom.Record) {
	scope := scopeOf(rec.Scope)
	if kind := kindOf(rec.Kind); kind != "" && !m.follows(rec) {
		m.records.WithLabelValues(kind, scope).Inc()
	}
	if rec.Kind == oom.KindSigkill {
		m.sigkill(rec)
	}
	if rec.Kind != oom.KindKill {
		return
	}
	var of *oom.Owner
	if rec.Victim != nil {
		of = &rec.Victim.Owner
	}
	m.kills.inc(scope, of)
	m.holder(scope, rec)
	if !rec.Time.IsZero() {
		m.last.Set(float64(rec.Time.UnixNano()) / float64(time.Second))
	}
	if rec.Victim == nil {
		return
	}
	if rss, ok := rec.Victim.RSSBytes.Get(); ok {
		m.rss.Observe(float64(rss))
	}
}

// follows says that an OOM without a victim is the end of one that killed: no alarm of
// its own.
func (m *Metrics) follows(rec *oom.Record) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rec.Kind == oom.KindKill {
		m.incident = rec.Incident
	}
	return rec.Kind == oom.KindNoVictim && rec.Incident != "" && rec.Incident == m.incident
}

// holder counts who held the most, once for all victims of a decision.
func (m *Metrics) holder(scope string, rec *oom.Record) {
	if len(rec.Holders) == 0 {
		return
	}
	m.mu.Lock()
	again := rec.Incident != "" && rec.Incident == m.held
	m.held = rec.Incident
	m.mu.Unlock()
	if !again {
		m.holders.inc(scope, &rec.Holders[0].Owner)
	}
}

// sigkill counts by what can only be one of a few: a cause, and a program that was
// recognised.
func (m *Metrics) sigkill(rec *oom.Record) {
	program := ""
	if rec.Sender != nil && rec.Sender.Role != "" {
		program = rec.Sender.Program
	}
	m.sigkills.WithLabelValues(string(rec.Cause), program).Inc()
}

// Handler serves /metrics, and /healthz and /livez with 200 or, with the reason, 503.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthPath, m.answer)
	mux.HandleFunc("GET "+livePath, m.answer)
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		// The rest is still of use when a collector fails.
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	}))
	return mux
}

// What a probe asks for.
const (
	healthPath = "/healthz"
	livePath   = "/livez"
)

func isProbe(path string) bool { return path == healthPath || path == livePath }

// probe is the answer to a probe.
func (m *Metrics) probe(path string) (status int, text string) {
	if path == livePath {
		if m.opts.Alive != nil && !m.opts.Alive() {
			return http.StatusServiceUnavailable, "output is stuck"
		}
	} else if m.opts.Healthy != nil {
		if err := m.opts.Healthy(); err != nil {
			return http.StatusServiceUnavailable, clean(err.Error())
		}
	}
	return http.StatusOK, "ok"
}

// answer is for clients that keep a connection: the first probe on one is answered at the
// door.
func (m *Metrics) answer(w http.ResponseWriter, r *http.Request) {
	status, text := m.probe(r.URL.Path)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	// The client has closed the connection when this fails.
	_, _ = w.Write([]byte(text + "\n"))
}

// statsCollector turns Stats into metrics at each scrape.
type statsCollector struct {
	stats func() (Stats, error)
	once  sync.Once
	descs statsDescs
}

type statsDescs struct {
	lost, repeated, undecoded, drained, hook, seconds, runs, limit *prometheus.Desc
}

func (c *statsCollector) init() *statsDescs {
	c.once.Do(func() {
		c.descs = statsDescs{
			lost:      prometheus.NewDesc("oomtrace_lost_total", "Records dropped because the ring buffer was full, and lines of the kernel log overwritten before they were read.", []string{"kind"}, nil),
			repeated:  prometheus.NewDesc("oomtrace_no_victim_repeats_total", "OOMs without a victim that were only counted.", nil, nil),
			undecoded: prometheus.NewDesc("oomtrace_undecoded_total", "Records that could not be decoded.", nil, nil),
			drained:   prometheus.NewDesc("oomtrace_drained_total", "Records that waited in the pinned ring buffer at the start.", nil, nil),
			hook:      prometheus.NewDesc("oomtrace_hook_info", "How each program is attached; always 1.", []string{"hook", "kind"}, nil),
			seconds:   prometheus.NewDesc("oomtrace_bpf_seconds_total", "Time that a BPF program ran.", []string{"program"}, nil),
			runs:      prometheus.NewDesc("oomtrace_bpf_runs_total", "How often a BPF program ran.", []string{"program"}, nil),
			limit:     prometheus.NewDesc("oomtrace_cgroup_limit_seconds", "Time until a cgroup reaches its memory limit if it grows on, of the nearest.", []string{"cgroup"}, nil),
		}
	})
	return &c.descs
}

// Describe implements prometheus.Collector.
func (c *statsCollector) Describe(ch chan<- *prometheus.Desc) {
	d := c.init()
	for _, desc := range []*prometheus.Desc{d.lost, d.repeated, d.undecoded, d.drained, d.hook, d.seconds, d.runs, d.limit} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (c *statsCollector) Collect(ch chan<- prometheus.Metric) {
	if c.stats == nil {
		return
	}
	d := c.init()
	s, err := c.stats()
	if err == nil {
		counters(ch, d, &s)
	}
	seen := make(map[string]bool, len(s.Hooks))
	for _, h := range s.Hooks {
		name, kind := clean(h.Name), clean(h.Kind)
		if seen[name] { // twice the same series would spoil the scrape
			continue
		}
		seen[name] = true
		if kind == "" {
			kind = "none"
		}
		ch <- prometheus.MustNewConstMetric(d.hook, prometheus.GaugeValue, 1, name, kind)
	}
}

func counters(ch chan<- prometheus.Metric, d *statsDescs, s *Stats) {
	count := func(desc *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v), labels...)
	}
	count(d.lost, s.Lost, "kill")
	count(d.lost, s.LostExit, "exit")
	count(d.lost, s.LostCgroup, "cgroup")
	count(d.lost, s.LostNoVictim, "no_victim")
	count(d.lost, s.LostSigkill, "sigkill")
	count(d.lost, s.LostLogLines, "log_lines")
	count(d.repeated, s.Repeated)
	count(d.undecoded, s.Undecoded)
	count(d.drained, s.Drained)
	series := map[string]bool{} // twice the same would spoil the scrape
	for _, p := range s.Programs {
		if name := clean(p.Name); !series[name] {
			series[name] = true
			count(d.runs, p.Runs, name)
			ch <- prometheus.MustNewConstMetric(d.seconds, prometheus.CounterValue, p.Seconds, name)
		}
	}
	for _, n := range s.Near {
		if name := clean(n.Cgroup); !series[name] {
			series[name] = true
			ch <- prometheus.MustNewConstMetric(d.limit, prometheus.GaugeValue, n.Seconds, name)
		}
	}
}
