package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// Hierarchy is where the memory controller is.
type Hierarchy struct {
	// Version is 1 or 2.
	Version int
	// Root is the mount point.
	Root string
}

// FindHierarchy looks which hierarchy the memory controller is in.
func FindHierarchy() (Hierarchy, error) {
	if _, err := os.Stat(filepath.Join(cgroupMount, "memory", "memory.limit_in_bytes")); err == nil {
		return Hierarchy{1, filepath.Join(cgroupMount, "memory")}, nil
	}
	b, err := os.ReadFile(filepath.Join(cgroupMount, "cgroup.controllers"))
	if err != nil {
		return Hierarchy{}, fmt.Errorf("no memory controller: %w", err)
	}
	if !strings.Contains(string(b), "memory") {
		return Hierarchy{}, errors.New("no memory controller")
	}
	return Hierarchy{2, cgroupMount}, nil
}

// Cgroup is a memory cgroup that a scenario made.
type Cgroup struct {
	h Hierarchy
	// Path is its path below the hierarchy's root, with a leading slash.
	Path string
}

// Limits are the settings of a cgroup. Zero leaves a setting as it is.
type Limits struct {
	MaxBytes int64
	// SwapBytes is how much swap it may use; NoSwap forbids any.
	SwapBytes int64
	NoSwap    bool
	// Group is memory.oom.group (v2 only).
	Group bool
}

// Make makes a cgroup below another one, or below the root with an empty parent.
func (h Hierarchy) Make(parent *Cgroup, name string, l Limits) (*Cgroup, error) {
	up := "/"
	if parent != nil {
		up = parent.Path
	}
	if h.Version == 2 {
		control := filepath.Join(h.Root, up, "cgroup.subtree_control")
		if err := os.WriteFile(control, []byte("+memory"), 0); err != nil {
			return nil, fmt.Errorf("make cgroup: %w", err)
		}
	}
	c := &Cgroup{h: h, Path: filepath.Join(up, name)}
	if err := os.Mkdir(c.dir(), 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup: %w", err)
	}
	if err := c.limit(l); err != nil {
		return nil, errors.Join(err, os.Remove(c.dir()))
	}
	return c, nil
}

func (c *Cgroup) dir() string { return filepath.Join(c.h.Root, c.Path) }

// Procs is the file that a process enters the cgroup by.
func (c *Cgroup) Procs() string { return filepath.Join(c.dir(), "cgroup.procs") }

// Set writes one of the cgroup's files, and blocks: os.WriteFile does not where a file
// can be polled, and a limit that is lowered so is set, and nothing reclaimed or killed
// for it (mm/memcontrol.c, memory_max_write, since 6.16).
func (c *Cgroup) Set(file, value string) error {
	path := filepath.Join(c.dir(), file)
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	// A signal, as the runtime sends itself, ends a write of v1 (mm/memcontrol.c,
	// mem_cgroup_resize_max).
	for _, err = unix.Write(fd, []byte(value)); errors.Is(err, unix.EINTR); {
		_, err = unix.Write(fd, []byte(value))
	}
	if err != nil {
		err = &os.PathError{Op: "write", Path: path, Err: err}
	}
	return errors.Join(err, unix.Close(fd))
}

// Get reads one of the cgroup's files.
func (c *Cgroup) Get(file string) (string, error) {
	b, err := os.ReadFile(filepath.Join(c.dir(), file))
	return strings.TrimSpace(string(b)), err
}

// pids are the processes in the cgroup.
func (c *Cgroup) pids() ([]int, error) {
	text, err := c.Get("cgroup.procs")
	var pids []int
	for _, field := range strings.Fields(text) {
		pid, convErr := strconv.Atoi(field)
		pids, err = append(pids, pid), errors.Join(err, convErr)
	}
	return pids, err
}

// waitUsage waits until a cgroup of v2 has that much memory.
func (c *Cgroup) waitUsage(ctx context.Context, bytes int) error {
	for ctx.Err() == nil {
		text, err := c.Get("memory.current")
		if err != nil {
			return err
		}
		if n, err := strconv.Atoi(text); err != nil || n >= bytes {
			return err
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s does not fill: %w", c.Path, ctx.Err())
}

// OOMKills is how many processes of the cgroup the OOM killer has killed, as
// the kernel counts them (v2: memory.events; v1: memory.oom_control).
func (c *Cgroup) OOMKills() (int, error) {
	file := "memory.events"
	if c.h.Version == 1 {
		file = "memory.oom_control"
	}
	text, err := c.Get(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "oom_kill "); ok {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("%s of %s counts no kills", file, c.Path)
}

// mostToLeave is for hundreds of processes on a busy host.
const mostToLeave = 2 * time.Minute

// Remove removes the cgroup, whose processes must have been killed: it waits
// for those that are still leaving.
func (c *Cgroup) Remove() error {
	var err error
	for deadline := time.Now().Add(mostToLeave); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if err = unix.Rmdir(c.dir()); !errors.Is(err, unix.EBUSY) {
			break
		}
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (c *Cgroup) limit(l Limits) error {
	var errs []error
	set := func(file string, value int64) { errs = append(errs, c.Set(file, strconv.FormatInt(value, 10))) }
	if c.h.Version == 1 {
		if l.MaxBytes > 0 {
			set("memory.limit_in_bytes", l.MaxBytes)
		}
		if l.MaxBytes > 0 && (l.NoSwap || l.SwapBytes > 0) {
			set("memory.memsw.limit_in_bytes", l.MaxBytes+l.SwapBytes)
		}
		return errors.Join(errs...)
	}
	if l.MaxBytes > 0 {
		set("memory.max", l.MaxBytes)
	}
	if l.NoSwap || l.SwapBytes > 0 {
		set("memory.swap.max", l.SwapBytes)
	}
	if l.Group {
		set("memory.oom.group", 1)
	}
	return errors.Join(errs...)
}
