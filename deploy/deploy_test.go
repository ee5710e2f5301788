// Package deploy holds what runs oomtrace as a service; this is its test.
package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/oomtrace/oomtrace/internal/metrics"
	"github.com/oomtrace/oomtrace/internal/oom"
)

const (
	unitFile      = "oomtrace.service"
	socketFile    = "oomtrace.socket"
	manifestFile  = "oomtrace.yaml"
	dashboardFile = "grafana-dashboard.json"
	rulesFile     = "oomtrace.rules.yaml"
	rulesTestFile = "oomtrace.rules.test.yaml"
	manPage       = "../docs/oomtrace.8"
	operations    = "../docs/operations.md"
)

// serviceFlags are the flags for running as a service. Everything below deploy/
// uses these only, and the man page describes each.
func serviceFlags() []string {
	return []string{
		"--pin", "--metrics", "--output", "--output-file", "--output-max-bytes", "--since-boot",
		"--redact", "--runtime-socket", "--oom-score-adj", "--health",
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// strict decodes YAML or JSON and refuses fields that into does not have.
func strict(t *testing.T, doc string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(doc), into, yaml.DisallowUnknownFields); err != nil {
		t.Errorf("%T: %v", into, err)
	}
}

// manifest is what oomtrace.yaml holds.
type manifest struct {
	namespace corev1.Namespace
	account   corev1.ServiceAccount
	role      rbacv1.ClusterRole
	binding   rbacv1.ClusterRoleBinding
	daemonSet appsv1.DaemonSet
	policy    networkingv1.NetworkPolicy
}

func readManifest(t *testing.T) *manifest {
	t.Helper()
	var m manifest
	into := map[string]any{
		"v1 Namespace": &m.namespace, "v1 ServiceAccount": &m.account, "apps/v1 DaemonSet": &m.daemonSet,
		"rbac.authorization.k8s.io/v1 ClusterRole": &m.role, "rbac.authorization.k8s.io/v1 ClusterRoleBinding": &m.binding,
		"networking.k8s.io/v1 NetworkPolicy": &m.policy,
	}
	for _, doc := range strings.Split(read(t, manifestFile), "\n---\n") {
		var meta metav1.TypeMeta
		if err := yaml.Unmarshal([]byte(doc), &meta); err != nil {
			t.Fatal(err)
		}
		kind := meta.APIVersion + " " + meta.Kind
		if into[kind] == nil {
			t.Fatalf("unexpected or second %q", kind)
		}
		strict(t, doc, into[kind])
		delete(into, kind)
	}
	for kind := range into {
		t.Errorf("no %s", kind)
	}
	return &m
}

func TestManifestFitsTogether(t *testing.T) {
	m := readManifest(t)
	ns, ds := m.namespace.Name, m.daemonSet
	pod := ds.Spec.Template.Spec
	for _, c := range []struct {
		what string
		ok   bool
	}{
		{"namespaces", ns != "" && m.account.Namespace == ns && ds.Namespace == ns},
		{"the pod's account", pod.ServiceAccountName == m.account.Name},
		{"the binding's role", m.binding.RoleRef.Name == m.role.Name && m.binding.RoleRef.APIGroup == rbacv1.GroupName},
		{"the binding's subject", slices.Contains(m.binding.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Name: m.account.Name, Namespace: ns})},
		{"no rule, no token", len(m.role.Rules) == 0 && !*pod.AutomountServiceAccountToken && !*m.account.AutomountServiceAccountToken},
		{"the selector", fmt.Sprint(ds.Spec.Selector.MatchLabels) == fmt.Sprint(ds.Spec.Template.Labels)},
		{"hostPID", pod.HostPID && !pod.HostNetwork && !pod.HostIPC},
		{"the pod security level", m.namespace.Labels["pod-security.kubernetes.io/enforce"] == "privileged"},
		{"one container", len(pod.Containers) == 1 && len(pod.InitContainers) == 0},
	} {
		if !c.ok {
			t.Errorf("%s: does not fit", c.what)
		}
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v.HostPath != nil
	}
	for _, mount := range pod.Containers[0].VolumeMounts {
		if !volumes[mount.Name] {
			t.Errorf("mount %s: no such volume", mount.Name)
		}
		if want := mount.Name != "bpffs"; mount.ReadOnly != want {
			t.Errorf("mount %s: readOnly is %v", mount.Name, mount.ReadOnly)
		}
		delete(volumes, mount.Name)
	}
	if len(volumes) > 0 {
		t.Errorf("not mounted: %v", volumes)
	}
}

func TestManifestIsTight(t *testing.T) {
	c := readManifest(t).daemonSet.Spec.Template.Spec.Containers[0]
	if got := c.Resources.Limits.Memory().Value(); got != 64<<20 || c.Resources.Requests.Memory().Value() != got {
		t.Errorf("memory: %d bytes", got)
	}
	s := c.SecurityContext
	if *s.Privileged || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("securityContext is not tight")
	}
	if !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("drops %v", s.Capabilities.Drop)
	}
	// The API server refuses no_new_privs with SYS_ADMIN.
	if slices.Contains(s.Capabilities.Add, "SYS_ADMIN") {
		t.Error("adds SYS_ADMIN")
	}
	var unit []corev1.Capability
	for name := range strings.FieldsSeq(setting(t, "CapabilityBoundingSet")) {
		unit = append(unit, corev1.Capability(strings.TrimPrefix(name, "CAP_")))
	}
	// What systemd does itself: oom_score_adj, the limit on locked memory, the priority.
	unit = append(unit, "SYS_RESOURCE", "IPC_LOCK", "SYS_NICE")
	added := slices.Sorted(slices.Values(s.Capabilities.Add))
	slices.Sort(unit)
	if !slices.Equal(unit, added) {
		t.Errorf("capabilities: the unit has %v, the DaemonSet %v", unit, s.Capabilities.Add)
	}
	doc := read(t, operations)
	for _, name := range unit {
		if !strings.Contains(doc, "| `CAP_"+string(name)+"` |") {
			t.Errorf("%s does not say what CAP_%s is for", operations, name)
		}
	}
	// A full disk makes it unready: a restart would not help.
	for path, probes := range map[string][]*corev1.Probe{
		"/livez": {c.LivenessProbe, c.StartupProbe}, "/healthz": {c.ReadinessProbe},
	} {
		for _, probe := range probes {
			if probe == nil || probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != c.Ports[1].Name {
				t.Errorf("probe %v, want %s", probe, path)
			}
		}
	}
	for i, flag := range []string{"metrics", "health"} {
		if want := fmt.Sprintf("--%s=0.0.0.0:%d", flag, c.Ports[i].ContainerPort); !slices.Contains(c.Args, want) || c.Ports[i].Name != flag {
			t.Errorf("no %s in %v, %v", want, c.Args, c.Ports[i])
		}
	}
}

// TestManifestMounts: no more is mounted than what is read.
func TestManifestMounts(t *testing.T) {
	pod := readManifest(t).daemonSet.Spec.Template.Spec
	for _, v := range pod.Volumes {
		switch path := v.HostPath.Path; path {
		case "/", "/run", "/var", "/var/run", "/var/lib", "/proc", "/etc", "/dev":
			t.Errorf("%s is mounted as a whole", path)
		}
	}
}

// TestNetworkPolicy: nothing leaves the pod, and only the metrics' port can be
// reached from other pods.
func TestNetworkPolicy(t *testing.T) {
	m := readManifest(t)
	spec, labels := m.policy.Spec, m.daemonSet.Spec.Template.Labels
	if m.policy.Namespace != m.namespace.Name || fmt.Sprint(spec.PodSelector.MatchLabels) != fmt.Sprint(labels) {
		t.Errorf("is for %s %v", m.policy.Namespace, spec.PodSelector)
	}
	if fmt.Sprint(spec.PolicyTypes) != "[Ingress Egress]" || len(spec.Egress) != 0 || len(spec.Ingress) != 1 {
		t.Fatalf("%+v", spec)
	}
	in := spec.Ingress[0]
	if len(in.From) == 0 || len(in.Ports) != 1 || in.Ports[0].Port.StrVal != "metrics" {
		t.Errorf("lets in %+v", in)
	}
}

// asCrash makes the test binary end as oomtrace may.
const asCrash = "OOMTRACE_TEST_CRASH"

func TestMain(m *testing.M) {
	switch os.Getenv(asCrash) {
	case "":
		os.Exit(m.Run())
	case "panic":
		panic("made up")
	default:
		fmt.Println("waiting")
		select {}
	}
}

// TestCrashRestarts: with the unit's environment, a crash is no exit with one of
// the codes that the unit does not restart after.
func TestCrashRestarts(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"panic": 0, "segv": syscall.SIGSEGV, "watchdog": syscall.SIGABRT, "quit": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", "ulimit -c 0; exec "+os.Args[0])
			cmd.Env = append(os.Environ(), asCrash+"="+name)
			cmd.Env = append(cmd.Env, settings(t)["Environment"]...)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if signal != 0 {
				if _, err := out.Read(make([]byte, 64)); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			_ = cmd.Wait()
			if status := cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
				t.Errorf("ended with %v", cmd.ProcessState)
			}
		})
	}
}

// settings are the lines of the unit, by key.
func settings(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	section := ""
	for i, line := range strings.Split(read(t, unitFile), "\n") {
		switch {
		case line == "", strings.HasPrefix(line, "#"):
			continue
		case line[0] == '[':
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || section == "" || key != strings.TrimSpace(key) {
			t.Errorf("%s:%d: %q", unitFile, i+1, line)
		}
		all[key] = append(all[key], value)
	}
	return all
}

func setting(t *testing.T, key string) string {
	t.Helper()
	return strings.Join(settings(t)[key], "\n")
}

func TestUnit(t *testing.T) {
	for key, want := range map[string]string{
		"Type": "notify", "NoNewPrivileges": "yes", "SystemCallArchitectures": "native", "OOMScoreAdjust": "-1000",
		"ProtectSystem": "strict", "WantedBy": "multi-user.target", "Restart": "always", "DeviceAllow": "/dev/kmsg r",
		"RestartPreventExitStatus": "2 3 4", "ReadWritePaths": "-/sys/fs/bpf", "ProtectKernelLogs": "no",
		"PrivateNetwork": "yes", "RestrictAddressFamilies": "AF_UNIX", "Requires": "oomtrace.socket", "LimitMEMLOCK": "infinity", "Nice": "-20",
		"PrivateDevices": "yes", "BindReadOnlyPaths": "/dev/kmsg", "ProtectProc": "invisible", "LimitCORE": "0",
	} {
		if got := setting(t, key); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
	for _, key := range []string{"WatchdogSec", "MemoryMax", "CapabilityBoundingSet"} {
		if setting(t, key) == "" {
			t.Errorf("no %s", key)
		}
	}
	if setting(t, "MemoryMin") != "" {
		t.Error("MemoryMin= has no effect without that of the slices above (cgroup-v2.rst, memory.min)")
	}
	filter := strings.Fields(settings(t)["SystemCallFilter"][0])
	for _, call := range []string{"@system-service", "bpf", "perf_event_open", "syslog"} {
		if !slices.Contains(filter, call) {
			t.Errorf("%s is not allowed", call)
		}
	}
	// Without the limit each scrape starts a service that has failed for good, again and again; what
	// ties the socket to the service keeps one that crashed from being restarted.
	for line, want := range map[string]bool{"ListenStream=127.0.0.1:9497": true, "TriggerLimitBurst=5": true, "PartOf=" + unitFile: false, "BindsTo=" + unitFile: false} {
		if strings.Contains(read(t, socketFile), "\n"+line+"\n") != want {
			t.Errorf("%s in %s is not %v", line, socketFile, want)
		}
	}
	verifyUnit(t)
	verifyExposure(t)
}

// verifyExposure asks systemd how much the unit leaves open.
func verifyExposure(t *testing.T) {
	t.Helper()
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", unitFile).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) || strings.Contains(string(out), "unrecognized option") {
		t.Log("no systemd-analyze here that rates files")
		return
	}
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}

// TestUnitLeavesInReach holds what a setting for hardening would take away.
func TestUnitLeavesInReach(t *testing.T) {
	for key, takes := range map[string]string{
		"ProtectKernelTunables": "/proc/kallsyms, see systemd.exec(5)",
		"ProcSubset":            "all of /proc but the processes",
		"PrivateUsers":          "the capabilities",
		"PrivatePIDs":           "other processes",
	} {
		if got := setting(t, key); got != "" {
			t.Errorf("%s=%s takes away %s", key, got, takes)
		}
	}
	for _, path := range strings.Fields(setting(t, "InaccessiblePaths")) {
		if path = strings.TrimPrefix(path, "-"); path != "/proc/kcore" {
			t.Errorf("%s is not in reach", path)
		}
	}
	readOnly := strings.Fields(setting(t, "ReadOnlyPaths"))
	for _, path := range []string{"/sys", "/proc/sys", "-/proc/sysrq-trigger"} {
		if !slices.Contains(readOnly, path) {
			t.Errorf("%s may be written", path)
		}
	}
	// Below it, its own oom_score_adj is written.
	if slices.Contains(readOnly, "/proc") {
		t.Error("/proc may not be written")
	}
	for _, name := range []string{"CAP_SYSLOG", "CAP_SYS_PTRACE"} {
		if !slices.Contains(strings.Fields(setting(t, "CapabilityBoundingSet")), name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// verifyUnit lets systemd read the unit.
func verifyUnit(t *testing.T) {
	t.Helper()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("no systemd-analyze here")
		return
	}
	// The binary and the man page need not be installed.
	dir := t.TempDir()
	copied := dir + "/oomtrace.service"
	if err := os.WriteFile(dir+"/"+socketFile, []byte(strings.Replace(read(t, socketFile), "Documentation=man:oomtrace(8)\n", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("/usr/bin/oomtrace", "/bin/true", "Documentation=man:oomtrace(8)\n", "").Replace(read(t, unitFile))
	if err := os.WriteFile(copied, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "--man=no", "verify", copied).CombinedOutput(); err != nil || bytes.Contains(out, []byte(copied)) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

var (
	flagPattern   = regexp.MustCompile(`(?:^|[\s"'=,\[])(--?[a-z][a-z-]*)`)
	metricPattern = regexp.MustCompile(`\b(?:oomtrace|process)_[a-z_]+\b`)
)

func checkFlags(t *testing.T, where, text string) {
	t.Helper()
	for _, m := range flagPattern.FindAllStringSubmatch(text, -1) {
		if f := m[1]; f != "-o" && !slices.Contains(serviceFlags(), f) {
			t.Errorf("%s: unknown flag %s", where, f)
		}
	}
}

func TestFlags(t *testing.T) {
	exec := setting(t, "ExecStart")
	if !strings.HasPrefix(exec, "/usr/bin/oomtrace -o json ") {
		t.Errorf("ExecStart=%s", exec)
	}
	checkFlags(t, unitFile, exec)
	checkFlags(t, manifestFile, strings.Join(readManifest(t).daemonSet.Spec.Template.Spec.Containers[0].Args, " "))
	for line := range strings.Lines(read(t, "oomtrace.default")) {
		if _, args, ok := strings.Cut(line, "OOMTRACE_ARGS="); ok {
			checkFlags(t, "oomtrace.default", args)
		}
	}
	page := read(t, manPage)
	for _, f := range serviceFlags() {
		if !strings.Contains(page, ".It Fl ") || !regexp.MustCompile(`(?m)^\.It (Fl . , )?Fl Fl `+f[2:]+`\b`).MatchString(page) {
			t.Errorf("%s does not describe %s", manPage, f)
		}
	}
}

func TestDockerfile(t *testing.T) {
	var from []string
	entry := ""
	for line := range strings.Lines(read(t, "Dockerfile")) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "FROM":
			from = append(from, rest)
		case "ENTRYPOINT":
			entry = rest
		case "CMD":
			var args []string
			if err := json.Unmarshal([]byte(rest), &args); err != nil {
				t.Error(err)
			}
		}
	}
	if !slices.Equal(from, []string{"scratch"}) || entry != `["/oomtrace"]` {
		t.Errorf("FROM %v, ENTRYPOINT %s", from, entry)
	}
}

// metricNames scrapes a Metrics that has seen everything once.
func metricNames(t *testing.T) map[string]bool {
	t.Helper()
	m := metrics.New(metrics.Options{Stats: func() (metrics.Stats, error) {
		return metrics.Stats{
			Hooks:    []metrics.Hook{{Name: "mark_victim", Kind: "tp_btf"}},
			Programs: []metrics.Program{{Name: "mark_victim", Runs: 1, Seconds: 1}}, Near: []metrics.Near{{Cgroup: "/shop", Seconds: 90}},
		}, nil
	}})
	m.Observe(&oom.Record{Kind: oom.KindKill, Victim: &oom.Victim{}, Holders: []oom.Holder{{}}})
	m.Observe(&oom.Record{Kind: oom.KindSigkill, Victim: &oom.Victim{}})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	names := map[string]bool{}
	for line := range strings.Lines(w.Body.String()) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " "); ok && strings.HasPrefix(line, "# TYPE ") {
			names[name] = true
			if strings.HasSuffix(strings.TrimSpace(line), " histogram") {
				names[name+"_bucket"], names[name+"_count"], names[name+"_sum"] = true, true, true
			}
		}
	}
	return names
}

func TestMetricNamesExist(t *testing.T) {
	names := metricNames(t)
	for _, file := range []string{dashboardFile, rulesFile, rulesTestFile, operations} {
		found := metricPattern.FindAllString(read(t, file), -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range found {
			// The latter is a directory of pod logs: namespace, pod.
			if !names[name] && name != "oomtrace_oomtrace" {
				t.Errorf("%s: no metric %s", file, name)
			}
		}
	}
	doc := read(t, operations)
	for name := range names {
		if strings.HasPrefix(name, "oomtrace_") && !strings.Contains(doc, strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count"), "_sum")) {
			t.Errorf("%s: nothing on %s", operations, name)
		}
	}
}

// dashboard is the part of Grafana's model that is used here.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []struct {
		ID      int
		Type    string
		Title   string
		GridPos struct{ X, Y, W, H int }
		Targets []struct{ RefID, Expr string }
	}
}

func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, dashboardFile)), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || d.Title == "" || d.SchemaVersion == 0 || len(d.Panels) == 0 {
		t.Errorf("uid %q, title %q, schema %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	known := []string{"$__range", "$__rate_interval"}
	for _, v := range d.Templating.List {
		known = append(known, "$"+v.Name)
	}
	variable := regexp.MustCompile(`\$\w+`)
	ids := map[int]bool{}
	taken := map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q: id twice, no title or no target", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			for _, v := range variable.FindAllString(target.Expr, -1) {
				if !slices.Contains(known, v) {
					t.Errorf("panel %q: unknown variable %s", p.Title, v)
				}
			}
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if before := taken[[2]int{x, y}]; before != "" || x >= 24 {
					t.Fatalf("panel %q at %d,%d: outside or over %q", p.Title, x, y, before)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	checkExpressions(t, &d)
}

// checkExpressions lets promtool parse the dashboard's queries as if they were
// rules.
func checkExpressions(t *testing.T, d *dashboard) {
	t.Helper()
	variables := strings.NewReplacer("$__range", "1h", "$__rate_interval", "1m", "$instance", ".*", "$namespace", ".*")
	var rules []map[string]string
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			rules = append(rules, map[string]string{"record": fmt.Sprintf("panel:%d:%s", p.ID, target.RefID), "expr": variables.Replace(target.Expr)})
		}
	}
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/dashboard.yaml"
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

// promtool runs Prometheus's own checker where it is installed (Debian: in the
// package prometheus).
func promtool(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("promtool", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Log("no promtool here")
		return
	}
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// rules is the format of Prometheus's rule files.
type rules struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func TestRules(t *testing.T) {
	var r rules
	strict(t, read(t, rulesFile), &r)
	doc, cases := read(t, operations), read(t, rulesTestFile)
	seen := map[string]bool{}
	for _, g := range r.Groups {
		for _, rule := range g.Rules {
			severity := rule.Labels["severity"]
			switch {
			case rule.Alert == "" || seen[rule.Alert] || rule.Expr == "":
				t.Errorf("%s: alert %q is empty or there twice", g.Name, rule.Alert)
			case !slices.Contains([]string{"critical", "warning", "info"}, severity):
				t.Errorf("%s: severity %q", rule.Alert, severity)
			case rule.Annotations["summary"] == "" || rule.Annotations["description"] == "":
				t.Errorf("%s: no summary or description", rule.Alert)
			case !strings.Contains(doc, "`"+rule.Alert+"`"):
				t.Errorf("%s: not in %s", rule.Alert, operations)
			case !regexp.MustCompile(`alertname: ` + rule.Alert + `\n +exp_alerts:`).MatchString(cases):
				t.Errorf("%s: no case in %s lets it fire", rule.Alert, rulesTestFile)
			}
			seen[rule.Alert] = true
		}
	}
	promtool(t, "check", "rules", rulesFile)
	promtool(t, "test", "rules", rulesTestFile)
}

// TestOperations parses the examples and looks up the fields that they name.
func TestOperations(t *testing.T) {
	doc := read(t, operations)
	blocks := 0
	for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(doc, -1) {
		var into map[string]any
		if err := yaml.UnmarshalStrict([]byte(m[1]), &into); err != nil {
			t.Errorf("%v in\n%s", err, m[1])
		}
		blocks++
	}
	fields := regexp.MustCompile(`\b(?:victim|why|trigger|limit)\.[a-z_.]+[a-z]`).FindAllString(doc, -1)
	if blocks < 4 || len(fields) == 0 {
		t.Errorf("%d examples, %d fields", blocks, len(fields))
	}
	for _, path := range fields {
		if !hasField(reflect.TypeFor[oom.Record](), strings.Split(path, ".")) {
			t.Errorf("%s: no field %s", operations, path)
		}
	}
}

// hasField says whether a type has a field of this path of JSON names.
func hasField(typ reflect.Type, path []string) bool {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if len(path) == 0 || typ.Kind() != reflect.Struct {
		return len(path) == 0
	}
	for _, f := range reflect.VisibleFields(typ) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name == path[0] {
			return hasField(f.Type, path[1:])
		}
	}
	return false
}

// TestEveryFileIsTested reminds of files that nothing here looks at.
func TestEveryFileIsTested(t *testing.T) {
	known := []string{unitFile, socketFile, manifestFile, dashboardFile, rulesFile, rulesTestFile, "Dockerfile", "oomtrace.default"}
	entries, err := fs.ReadDir(os.DirFS("."), ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(known, e.Name()) && !strings.HasSuffix(e.Name(), "_test.go") {
			t.Errorf("%s: not tested", e.Name())
		}
	}
}
