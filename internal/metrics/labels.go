package metrics

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	unknown = "unknown"
	// other stands for the names beyond the bound.
	other = "other"
	// maxLabelBytes is a little more than Kubernetes (253) and systemd (255)
	// allow for a name.
	maxLabelBytes = 256
	// shortID is how much of a container's id is shown, as "docker ps" does.
	shortID = 12
)

// owner is the label set of one series of owners.
type owner struct{ scope, namespace, pod, container, unit string }

// owners counts by owner, with a bound on its series.
type owners struct {
	vec *prometheus.CounterVec

	mu     sync.Mutex
	series map[owner]prometheus.Counter
	// full is how many series have all labels, limit how many there are with
	// those that have the namespace or unit only.
	full, limit int
}

func newOwners(name, help string, limit int) *owners {
	return &owners{
		vec: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: name, Help: help + "; \"other\" stands for names beyond the bound.",
		}, []string{"scope", "namespace", "pod", "container", "unit"}),
		series: make(map[owner]prometheus.Counter),
		full:   limit - limit/4,
		limit:  limit,
	}
}

func (k *owners) inc(scope string, of *oom.Owner) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counter(ownerOf(scope, of)).Inc()
}

// counter returns the series for an owner, or the one that it falls into.
func (k *owners) counter(o owner) prometheus.Counter {
	if c := k.get(o, k.full); c != nil {
		return c
	}
	coarse := owner{o.scope, o.namespace, other, other, o.unit}
	if o.namespace != "" {
		coarse.unit = other
	}
	if c := k.get(coarse, k.limit); c != nil {
		return c
	}
	rest := owner{o.scope, other, other, other, other}
	return k.get(rest, len(k.series)+1)
}

// get returns the series, new if there are fewer than limit, or nil.
func (k *owners) get(o owner, limit int) prometheus.Counter {
	c, ok := k.series[o]
	if !ok && len(k.series) < limit {
		c = k.vec.WithLabelValues(o.scope, o.namespace, o.pod, o.container, o.unit)
		k.series[o] = c
	}
	return c
}

// ownerOf names an owner; nil is none. The unit of a container is its runtime's
// own (cri-containerd-ID.scope and the like) and would make a series of each
// restart.
func ownerOf(scope string, v *oom.Owner) owner {
	o := owner{scope: scope}
	if v == nil {
		return o
	}
	if v.Container != nil {
		o.container = v.Container.Name
		if o.container == "" {
			o.container = v.Container.ID[:min(shortID, len(v.Container.ID))]
		}
	}
	if v.Pod != nil {
		o.namespace, o.pod = clean(v.Pod.Namespace), v.Pod.Name
		if o.pod == "" {
			o.pod = v.Pod.UID
		}
		if v.Pod.Container != "" {
			o.container = v.Pod.Container
		}
	}
	if v.Pod == nil && v.Container == nil {
		o.unit = clean(v.Unit)
	}
	o.pod, o.container = clean(o.pod), clean(o.container)
	return o
}

// clean makes a label value of text that others chose: valid UTF-8, no control
// or format characters (U+FFFD stands for them), at most maxLabelBytes long.
func clean(s string) string {
	if len(s) > maxLabelBytes {
		end := maxLabelBytes - len("…")
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	if len(s) > maxLabelBytes { // U+FFFD is longer than what it stands for
		return clean(s)
	}
	return s
}

// kinds are the values of the label kind.
func kinds() []string {
	return []string{
		string(oom.KindKill), string(oom.KindAlreadyExiting), string(oom.KindNoVictim), string(oom.KindExit), string(oom.KindSigkill),
		string(oom.KindOOM), string(oom.KindPanic), string(oom.KindLost),
	}
}

func scopes() []string {
	return []string{string(oom.ScopeSystem), string(oom.ScopeCgroup), string(oom.ScopeCpuset), string(oom.ScopeMempolicy), unknown}
}

func kindOf(k oom.Kind) string {
	for _, known := range kinds() {
		if string(k) == known {
			return known
		}
	}
	return ""
}

func scopeOf(s oom.Scope) string {
	for _, known := range scopes() {
		if string(s) == known {
			return known
		}
	}
	return unknown
}
