package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/procfs"
)

// Mode says which versions of cgroups a machine has mounted.
type Mode string

// The modes. Hybrid machines have both, and the memory controller on one.
const (
	ModeV1     Mode = "v1"
	ModeV2     Mode = "v2"
	ModeHybrid Mode = "hybrid"
)

// Mount is one mount of a cgroup hierarchy.
type Mount struct {
	// Point is where it is mounted, without the root that was asked.
	Point string
	// Root is the cgroup that shows at Point: "/", or a container's own.
	Root string
}

// Hierarchies are the cgroup hierarchies of a machine that matter here.
type Hierarchies struct {
	// Mode is empty where no cgroups are mounted.
	Mode Mode
	// MemoryVersion is 1 or 2, and 0 where the memory controller is nowhere.
	MemoryVersion int
	// Memory is where the memory controller's hierarchy is.
	Memory Mount
	// Unified is where cgroup v2 is, if mounted.
	Unified Mount
}

// ReadHierarchies reads the mounts of the machine whose root directory is given,
// "/" for this one: /proc/self/mountinfo (Documentation/filesystems/proc.rst)
// and, for v2, cgroup.controllers, which alone tells whether v2 has memory.
func ReadHierarchies(root string) (Hierarchies, error) {
	f, err := os.Open(filepath.Join(root, "proc/self/mountinfo"))
	if err != nil {
		return Hierarchies{}, fmt.Errorf("read mounts: %w", err)
	}
	defer func() { _ = f.Close() }()
	h, err := ParseMountinfo(f)
	if err != nil || h.Unified.Point == "" || h.MemoryVersion == 1 {
		return h, err
	}
	controllers := filepath.Join(root, h.Unified.Point, "cgroup.controllers")
	b, err := os.ReadFile(controllers)
	if errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, fmt.Errorf("read controllers of cgroup v2: %w", err)
	}
	if !slices.Contains(strings.Fields(string(b)), "memory") {
		h.MemoryVersion, h.Memory = 0, Mount{}
	}
	return h, nil
}

// ParseMountinfo finds the hierarchies in text of /proc/self/mountinfo. Without
// a v1 memory hierarchy, memory is taken to be on v2.
func ParseMountinfo(r io.Reader) (Hierarchies, error) {
	var h Hierarchies
	v1 := false
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m, kind, options, ok := mount(lines.Text())
		switch {
		case !ok:
		case kind == "cgroup2":
			h.Unified = better(h.Unified, m)
		case kind == "cgroup":
			v1 = v1 || !hasOption(options, "name=systemd")
			if hasOption(options, "memory") {
				h.Memory, h.MemoryVersion = better(h.Memory, m), 1
			}
		}
	}
	if err := lines.Err(); err != nil {
		return h, fmt.Errorf("read mounts: %w", err)
	}
	switch {
	case h.Unified.Point != "" && v1:
		h.Mode = ModeHybrid
	case h.Unified.Point != "":
		h.Mode = ModeV2
	case v1:
		h.Mode = ModeV1
	}
	if h.MemoryVersion == 0 && h.Unified.Point != "" {
		h.Memory, h.MemoryVersion = h.Unified, 2
	}
	return h, nil
}

// better keeps the first mount, unless a later one shows the whole hierarchy.
func better(have, m Mount) Mount {
	if have.Point == "" || have.Root != "/" && m.Root == "/" {
		return m
	}
	return have
}

// mount reads one line: "36 35 98:0 root point options optional... - type source
// superoptions".
func mount(line string) (m Mount, kind, options string, ok bool) {
	before, after, ok := strings.Cut(line, " - ")
	if !ok {
		return m, "", "", false
	}
	f, g := strings.Fields(before), strings.Fields(after)
	if len(f) < 6 || len(g) < 3 {
		return m, "", "", false
	}
	return Mount{Root: procfs.Unescape(f[3]), Point: procfs.Unescape(f[4])}, g[0], g[2], true
}

func hasOption(list, option string) bool {
	return slices.Contains(strings.Split(list, ","), option)
}
