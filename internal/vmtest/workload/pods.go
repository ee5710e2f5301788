package workload

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The two of kubelet's swap behaviours (memorySwap.swapBehavior).
const (
	NoSwap      = "NoSwap"
	LimitedSwap = "LimitedSwap"
)

// pod is a pod of one container as kubelet and containerd lay out its cgroups.
type pod struct {
	name, qos string
	// cgroupfs names the cgroups as that driver does, rather than systemd's.
	cgroupfs bool
	limits   Limits
	// request is kubelet's word for the container's memory request.
	request string
	steps   []Step
	// kubelet is the behaviour of the kubelet whose files lie on the machine;
	// without one there are only the cgroups.
	kubelet string
	about   string
}

// podScenarios are kills in pods' cgroups: the cgroups are what kubelet makes,
// the processes and kubelet's files are not its own.
func podScenarios() []Scenario {
	var out []Scenario
	for _, p := range pods() {
		out = append(out, Scenario{Name: p.name, About: p.about, Needs: Needs{V2: true, Kubelet: p.kubelet}, Run: p.run})
	}
	return append(out, Scenario{
		Name: "pod-limit-neighbour", About: "the pod's limit is used up, mostly by another container than the victim's",
		Needs: Needs{V2: true}, Run: runNeighbour,
	}, Scenario{
		Name: "pod-slice-swap-forbidden", About: "the pod's cgroup may not swap, its container's own may: not kubelet's doing",
		Needs: Needs{V2: true}, Run: runSliceForbidden,
	}, Scenario{
		Name: "podman-swap-forbidden", About: "a podman pod's container may not swap, which is no kubelet's doing",
		Needs: Needs{V2: true}, Run: runPodman,
	})
}

func pods() []pod {
	const qosBurstable = "burstable"
	forbidden := Limits{MaxBytes: 32 * mib, NoSwap: true}
	grow := anon(96 * mib)
	locked := []Step{{Kind: Anon, Bytes: 8 * mib}, {Kind: Anon, Bytes: 96 * mib, Lock: true}}
	return []pod{
		{name: "pod-burstable", about: "a burstable pod may not swap, and nothing says by which of kubelet's rules",
			qos: qosBurstable, limits: forbidden, steps: grow},
		{name: "pod-besteffort", about: "a pod without requests may not swap, whatever kubelet's behaviour",
			qos: "besteffort", cgroupfs: true, limits: forbidden, steps: grow},
		{name: "pod-guaranteed", about: "a guaranteed pod may not swap, whatever kubelet's behaviour",
			qos: "guaranteed", limits: forbidden, steps: grow},
		{name: "pod-swap-allowed", about: "a burstable pod may swap, but its memory is locked",
			qos: qosBurstable, limits: Limits{MaxBytes: 32 * mib}, steps: locked},
		{name: "pod-noswap", about: "kubelet's behaviour NoSwap forbids a burstable pod to swap",
			qos: qosBurstable, cgroupfs: true, limits: forbidden, request: "16Mi", steps: grow, kubelet: NoSwap},
		{name: "pod-request-is-limit", about: "LimitedSwap gives a container whose request is its limit no swap",
			qos: qosBurstable, limits: forbidden, request: "32Mi", steps: grow, kubelet: LimitedSwap},
		{name: "pod-critical", about: "LimitedSwap gives a critical pod no swap, which its request does not tell",
			qos: qosBurstable, limits: forbidden, request: "16Mi", steps: grow, kubelet: LimitedSwap},
		{name: "pod-limitedswap", about: "the share of swap that LimitedSwap gave a container is used up",
			qos: qosBurstable, limits: Limits{MaxBytes: 32 * mib, SwapBytes: 16 * mib}, request: "16Mi", steps: grow, kubelet: LimitedSwap},
	}
}

// uid and id are made from the name, so that kubelet's files can be written
// before the cgroups are there.
func (p *pod) uid() string {
	h := hexOf(p.name, 32)
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

func (p *pod) id() string { return hexOf("c"+p.name, 64) }

func hexOf(name string, digits int) string {
	return (fmt.Sprintf("%x", name) + strings.Repeat("0", digits))[:digits]
}

// levels are the names of the cgroups from kubelet's root to the container
// (pkg/kubelet/cm/cgroup_manager_linux.go). Guaranteed pods have no level for
// their class.
func (p *pod) levels() []string {
	class := p.qos
	if class == "guaranteed" {
		class = ""
	}
	if p.cgroupfs {
		out := []string{"kubepods", class, "pod" + p.uid(), p.id()}
		if class == "" {
			out = append(out[:1], out[2:]...)
		}
		return out
	}
	out := []string{"kubepods.slice"}
	prefix := "kubepods-"
	if class != "" {
		prefix += class + "-"
		out = append(out, strings.TrimSuffix(prefix, "-")+".slice")
	}
	return append(out, prefix+"pod"+strings.ReplaceAll(p.uid(), "-", "_")+".slice", "cri-containerd-"+p.id()+".scope")
}

func (p *pod) run(ctx context.Context, g *Guest) (*Outcome, error) {
	return inLevels(ctx, g, p.levels(), p.limits, Hog{Name: "app", Steps: p.steps})
}

// runNeighbour fills a pod with two containers: the one that is not chosen holds
// most of it.
func runNeighbour(ctx context.Context, g *Guest) (*Outcome, error) {
	p := pod{name: "neighbour", qos: "burstable"}
	levels := p.levels()
	slice, err := g.levels(levels[:len(levels)-1], Limits{MaxBytes: 48 * mib})
	if err != nil {
		return nil, err
	}
	other, err := g.Cgroup(slice, "cri-containerd-"+hexOf("other", 64)+".scope", Limits{})
	if err != nil {
		return nil, err
	}
	own, err := g.Cgroup(slice, levels[len(levels)-1], Limits{MaxBytes: 40 * mib})
	if err != nil {
		return nil, err
	}
	big, err := g.Fill(ctx, Hog{Name: "neighbour", Procs: other.Procs(), Adj: -900, Steps: anon(32 * mib)})
	if err != nil {
		return nil, err
	}
	app, err := overrun(ctx, g, Hog{Name: "app", Procs: own.Procs(), Steps: anon(32 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{
		Constraint: constraintMemcg, Limit: slice.Path, Cgroup: own.Path, Level: "pod", Victims: []int{app.PID}, Survivors: []int{big.PID},
	}, nil
}

func runSliceForbidden(ctx context.Context, g *Guest) (*Outcome, error) {
	if err := g.Swap(96*mib, 5); err != nil {
		return nil, err
	}
	p := pod{name: "slice", qos: "burstable"}
	levels := p.levels()
	slice, err := g.levels(levels[:len(levels)-1], Limits{})
	if err != nil {
		return nil, err
	}
	if err := slice.Set("memory.swap.max", "0"); err != nil {
		return nil, err
	}
	c, err := g.Cgroup(slice, levels[len(levels)-1], Limits{MaxBytes: 32 * mib})
	if err != nil {
		return nil, err
	}
	app, err := overrun(ctx, g, Hog{Name: "app", Procs: c.Procs(), Steps: anon(96 * mib)})
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Level: "container", Victims: []int{app.PID}}, nil
}

// levels makes nested cgroups, the limits those of the innermost, and returns it.
func (g *Guest) levels(names []string, l Limits) (*Cgroup, error) {
	var c *Cgroup
	for i, name := range names {
		own := Limits{}
		if i == len(names)-1 {
			own = l
		}
		var err error
		if c, err = g.Cgroup(c, name, own); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func runPodman(ctx context.Context, g *Guest) (*Outcome, error) {
	levels := []string{"machine.slice", "machine-libpod_pod_" + hexOf("pod", 64) + ".slice", "libpod-" + hexOf("container", 64) + ".scope"}
	return inLevels(ctx, g, levels, Limits{MaxBytes: 32 * mib, NoSwap: true}, Hog{Name: "app", Steps: anon(96 * mib)})
}

// inLevels overruns the limit of the innermost of nested cgroups, with swap on
// the machine.
func inLevels(ctx context.Context, g *Guest, levels []string, l Limits, h Hog) (*Outcome, error) {
	if err := g.Swap(96*mib, 5); err != nil {
		return nil, err
	}
	c, err := g.levels(levels, l)
	if err != nil {
		return nil, err
	}
	h.Procs = c.Procs()
	p, err := overrun(ctx, g, h)
	if err != nil {
		return nil, err
	}
	return &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Victims: []int{p.PID}}, nil
}

// Kubelet writes what a kubelet of that swap behaviour has on disk, until
// Close: its configuration, the links to its containers' logs, and what it
// granted them (pkg/kubelet/allocation/state).
func (g *Guest) Kubelet(behavior string) error {
	type resources struct {
		Requests map[string]string `json:"requests"`
		Limits   map[string]string `json:"limits"`
	}
	granted := map[string]any{}
	const state, links = "/var/lib/kubelet", "/var/log/containers"
	for _, dir := range []string{state, links} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		g.defers(func() error { return os.RemoveAll(dir) })
	}
	for _, p := range pods() {
		if p.kubelet == "" {
			continue
		}
		r := resources{map[string]string{"memory": p.request}, map[string]string{"memory": "32Mi"}}
		granted[p.uid()] = map[string]any{"ContainerResources": map[string]resources{"app": r}}
		link := filepath.Join(links, p.name+"_shop_app-"+p.id()+".log")
		if err := os.Symlink("/var/log/pods/shop_"+p.name+"_"+p.uid()+"/app/0.log", link); err != nil {
			return err
		}
	}
	data, err := json.Marshal(map[string]any{"entries": granted})
	if err != nil {
		return err
	}
	file, err := json.Marshal(map[string]any{"data": string(data), "checksum": 1})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(state, "allocated_pods_state"), file, 0o600); err != nil {
		return err
	}
	config := "kind: KubeletConfiguration\nfailSwapOn: false\nmemorySwap:\n  swapBehavior: " + behavior + "\n"
	return os.WriteFile(filepath.Join(state, "config.yaml"), []byte(config), 0o644)
}
