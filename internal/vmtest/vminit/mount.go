package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

type mountPoint struct {
	kind, dir, data string
}

func mountEarly() error {
	return mountThese(
		mountPoint{"proc", "/proc", ""},
		mountPoint{"sysfs", "/sys", ""},
		mountPoint{"devtmpfs", "/dev", ""},
	)
}

// mountAll mounts what a running system has. The output directory is a file
// system of its own, so that a full root does not lose the results.
func mountAll(cgroup string) error {
	err := mountThese(
		mountPoint{"tmpfs", "/tmp", "mode=1777"},
		mountPoint{"tmpfs", "/run", "mode=755"},
		mountPoint{"tmpfs", "/dev/shm", "mode=1777"},
		mountPoint{"tmpfs", "/vm/out", "mode=755"},
		mountPoint{"devpts", "/dev/pts", ""},
		mountPoint{"tracefs", "/sys/kernel/tracing", ""},
		mountPoint{"debugfs", "/sys/kernel/debug", ""},
		mountPoint{"bpf", "/sys/fs/bpf", "mode=700"},
	)
	return errors.Join(err, mountCgroups(cgroup), links())
}

// mountCgroups mounts the hierarchies as systemd does in its three modes.
func mountCgroups(mode string) error {
	const root = "/sys/fs/cgroup"
	v1 := func() error {
		err := mountThese(mountPoint{"tmpfs", root, "mode=755"})
		for _, controller := range []string{"memory", "cpuset", "pids", "freezer", "cpu,cpuacct"} {
			err = errors.Join(err, mountThese(mountPoint{"cgroup", root + "/" + controller, controller}))
		}
		// A cgroup's limit counts for those below, which systemd asks for, too.
		// From 5.11 on it is always so.
		return errors.Join(err, os.WriteFile(root+"/memory/memory.use_hierarchy", []byte("1"), 0))
	}
	switch mode {
	case "", "v2":
		return mountThese(mountPoint{"cgroup2", root, ""})
	case "v1":
		return v1()
	case "hybrid":
		return errors.Join(v1(), mountThese(mountPoint{"cgroup2", root + "/unified", ""}))
	default:
		return fmt.Errorf("cgroup mode %q is none of v1, v2, hybrid", mode)
	}
}

func mountThese(points ...mountPoint) error {
	for _, m := range points {
		if err := os.MkdirAll(m.dir, 0o755); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.dir, err)
		}
	}
	return nil
}

// links makes the names that programs expect below /dev and /etc.
func links() error {
	var errs []error
	for name, target := range map[string]string{
		"/dev/fd":     "/proc/self/fd",
		"/dev/stdin":  "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1",
		"/dev/stderr": "/proc/self/fd/2",
		"/etc/mtab":   "/proc/self/mounts",
	} {
		if err := os.MkdirAll("/etc", 0o755); err != nil {
			errs = append(errs, err)
		}
		if err := os.Symlink(target, name); err != nil && !errors.Is(err, os.ErrExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
