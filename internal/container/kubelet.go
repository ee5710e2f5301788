package container

import (
	"encoding/json"
	"math"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// kubeletConfigs are where kubelet's configuration usually is.
var kubeletConfigs = []string{
	"/var/lib/kubelet/config.yaml",
	"/etc/kubernetes/kubelet/config.json",
	"/etc/kubernetes/kubelet/kubelet-config.json",
	"/home/kubernetes/kubelet-config.yaml",
	"/var/lib/k0s/kubelet-config.yaml",
	"/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/*.conf",
	"/var/lib/rancher/rke2/agent/etc/kubelet.conf.d/*.conf",
}

// swapBehavior finds memorySwap.swapBehavior in YAML and JSON alike, and
// kubeletConfig what such a file is.
var (
	swapBehavior  = regexp.MustCompile(`(?m)^[^#\n]*\bswapBehavior"?\s*:\s*["']?(NoSwap|LimitedSwap)\b`)
	kubeletConfig = regexp.MustCompile(`(?m)^[^#\n]*\bkind"?\s*:\s*["']?KubeletConfiguration\b`)
)

// defaultSwapBehavior is what counts where the configuration does not say
// (pkg/kubelet/apis/config/v1beta1, MemorySwapConfiguration).
const defaultSwapBehavior = "NoSwap"

// kubelet is what its files say. It is guarded by Cache.mu.
type kubelet struct {
	swapBehavior string
	granted      map[grantKey]grant
}

// grantKey names a container of a pod; without a container it is the pod itself.
type grantKey struct{ uid, container string }

type grant struct{ request, limit oom.Opt[uint64] }

// readSwapBehavior reads kubelet's configuration.
func (c *Cache) readSwapBehavior() {
	behavior := ""
	for _, pattern := range kubeletConfigs {
		// A pattern cannot be malformed, which is Glob's only error.
		paths, _ := filepath.Glob(filepath.Join(c.opts.Root, pattern))
		for _, p := range paths {
			b, err := readFile(p)
			if err != nil {
				continue
			}
			if m := swapBehavior.FindSubmatch(b); m != nil {
				behavior = string(m[1])
			} else if behavior == "" && kubeletConfig.Match(b) {
				behavior = defaultSwapBehavior
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kubelet.swapBehavior = behavior
}

// grant takes what kubelet granted the containers of a state file.
func (c *Cache) grant(granted map[grantKey]grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kubelet.granted = granted
}

// add adds what kubelet's files have of a container and its pod; a limit that the
// runtime told stays.
func (k *kubelet) add(i *Info) {
	if i.Pod == nil || i.Pod.UID == "" || i.Pod.Namespace == "" {
		return
	}
	if g, ok := k.granted[grantKey{i.Pod.UID, i.PodContainer}]; ok {
		i.MemoryRequestBytes = g.request
		if !i.MemoryLimitBytes.Known {
			i.MemoryLimitBytes = g.limit
		}
	}
	g, ok := k.granted[grantKey{uid: i.Pod.UID}]
	if !ok && k.swapBehavior == "" {
		return
	}
	pod := *i.Pod // others read it
	if pod.SwapBehavior = k.swapBehavior; ok {
		pod.MemoryRequestBytes, pod.MemoryLimitBytes = g.request, g.limit
	}
	i.Pod = &pod
}

// requirements are a container's, in two shapes of the file: 1.33 and earlier
// have the containers right below the pod, later ones one level deeper.
type requirements struct {
	Requests, Limits map[string]json.RawMessage
}

// maxGrants bounds what is kept of a state file.
const maxGrants = 16384

// podRequirements are a pod's.
type podRequirements struct {
	ContainerResources map[string]requirements
	PodLevelResources  *requirements
}

// grants reads the entries of the state. A container in it without a request has
// one of zero.
func (d *stateData) grants() map[grantKey]grant {
	out := map[grantKey]grant{}
	add := func(uid, container string, g grant) {
		if len(out) < maxGrants {
			out[grantKey{text(uid), text(container)}] = g
		}
	}
	for _, entries := range []map[string]json.RawMessage{d.AllocationEntries, d.Entries} {
		for uid, raw := range entries {
			var pod podRequirements
			if json.Unmarshal(raw, &pod) != nil || pod.ContainerResources == nil {
				pod = podRequirements{}
				if json.Unmarshal(raw, &pod.ContainerResources) != nil {
					continue
				}
			}
			for name, r := range pod.ContainerResources {
				g := r.grant()
				if _, ok := r.Requests["memory"]; !ok {
					g.request = oom.Some(uint64(0))
				}
				add(uid, name, g)
			}
			if r := pod.PodLevelResources; r != nil {
				add(uid, "", r.grant())
			}
		}
	}
	return out
}

func (r *requirements) grant() grant {
	return grant{request: quantity(r.Requests["memory"]), limit: quantity(r.Limits["memory"])}
}

// quantity reads a Kubernetes quantity in bytes, such as "256Mi", "1.5G",
// "1e9" or "128000m" (apimachinery, pkg/api/resource); fractions of a byte are
// rounded up.
func quantity(raw json.RawMessage) oom.Opt[uint64] {
	s := strings.Trim(string(raw), `"`)
	i := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	scale := 1.0
	if i > 0 {
		var ok bool
		if scale, ok = suffixes[s[i:]]; !ok {
			i, scale = len(s), 1 // an exponent, or nothing that can be read
		}
	} else {
		i = len(s)
	}
	n, err := strconv.ParseFloat(s[:i], 64)
	n = math.Ceil(n * scale)
	if err != nil || math.IsNaN(n) || n < 0 || n >= 1<<63 {
		return oom.Opt[uint64]{}
	}
	return oom.Some(uint64(n))
}

var suffixes = map[string]float64{
	"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
	"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40, "Pi": 1 << 50, "Ei": 1 << 60,
}
