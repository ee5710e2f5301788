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

// Guest is the machine that a scenario runs on, with what the scenario made.
// Close takes all of it away again.
type Guest struct {
	H       Hierarchy
	dir     string
	undo    []func() error
	running []*Process
}

// Open looks at the machine and keeps this process and its children (other
// than hogs) from being chosen by the OOM killer.
func Open() (*Guest, error) {
	h, err := FindHierarchy()
	if err != nil {
		return nil, err
	}
	const unkillable = "-1000"
	if err := os.WriteFile("/proc/self/oom_score_adj", []byte(unkillable), 0); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "workload-")
	if err != nil {
		return nil, err
	}
	g := &Guest{H: h, dir: dir}
	g.defers(func() error { return os.RemoveAll(dir) })
	return g, nil
}

func (g *Guest) defers(f func() error) { g.undo = append(g.undo, f) }

// Close ends the processes and undoes all else, in reverse order.
func (g *Guest) Close() error {
	var errs []error
	for _, p := range g.running {
		errs = append(errs, p.Stop())
	}
	for i := len(g.undo) - 1; i >= 0; i-- {
		errs = append(errs, g.undo[i]())
	}
	g.undo, g.running = nil, nil
	return errors.Join(errs...)
}

// Cgroup makes a cgroup that Close removes.
func (g *Guest) Cgroup(parent *Cgroup, name string, l Limits) (*Cgroup, error) {
	c, err := g.H.Make(parent, name, l)
	if err != nil {
		return nil, err
	}
	g.defers(func() error {
		if err := c.Remove(); err != nil {
			return fmt.Errorf("remove cgroup %s: %w", c.Path, err)
		}
		return nil
	})
	return c, nil
}

// Start starts a hog that Close ends.
func (g *Guest) Start(h Hog) (*Process, error) {
	p, err := Start(h)
	if err == nil {
		g.running = append(g.running, p)
	}
	return p, err
}

// Fill starts a hog and waits until it has all its memory; it must not die.
func (g *Guest) Fill(ctx context.Context, h Hog) (*Process, error) {
	p, err := g.Start(h)
	if err != nil {
		return nil, err
	}
	if err := p.Full(ctx); err != nil {
		return nil, fmt.Errorf("hog %s did not get its memory: %w", h.Name, err)
	}
	return p, nil
}

// Ramfs mounts a ramfs: a file system whose page cache cannot be written back.
func (g *Guest) Ramfs() (string, error) { return g.mount("ramfs", "") }

// Tmpfs mounts a tmpfs of at most that size.
func (g *Guest) Tmpfs(bytes int64) (string, error) {
	return g.mount("tmpfs", "size="+strconv.FormatInt(bytes, 10))
}

func (g *Guest) mount(kind, data string) (string, error) {
	dir, err := os.MkdirTemp(g.dir, kind+"-")
	if err != nil {
		return "", err
	}
	if err := unix.Mount(kind, dir, kind, 0, data); err != nil {
		return "", fmt.Errorf("mount %s: %w", kind, err)
	}
	g.defers(func() error { return unix.Unmount(dir, unix.MNT_DETACH) })
	return dir, nil
}

// Sysctl sets a kernel parameter, such as "vm/swappiness", until Close.
func (g *Guest) Sysctl(name, value string) error {
	return g.set(filepath.Join("/proc/sys", name), value)
}

// Spares starts small processes for kills of the whole machine: the reaper
// passes over what is locked or not in an address space, and the kernel panics
// when it finds no other process to kill before the victim has exited
// (mm/oom_kill.c, out_of_memory).
func (g *Guest) Spares() error {
	_, err := g.Start(Hog{Name: "spare", Steps: anon(64 * kib), Copies: 40})
	return err
}

// HugePagesOnDemand lets processes ask for transparent huge pages, which are off by
// default with less than 512 MiB (mm/huge_memory.c, hugepage_init), and makes room for
// them: who gets none takes small pages. The kernel raises
// vm.min_free_kbytes to a tenth of a small machine with that, and leaves it there
// (mm/khugepaged.c, set_recommended_min_free_kbytes): Close sets both back.
func (g *Guest) HugePagesOnDemand() error {
	minFree, err := os.ReadFile("/proc/sys/vm/min_free_kbytes")
	if err != nil {
		return err
	}
	if err := g.Sysctl("vm/min_free_kbytes", strings.TrimSpace(string(minFree))); err != nil {
		return err
	}
	const file = "/sys/kernel/mm/transparent_hugepage/enabled"
	choices, err := os.ReadFile(file) // the one in brackets is on
	if err != nil {
		return err
	}
	_, on, _ := strings.Cut(string(choices), "[")
	on, _, _ = strings.Cut(on, "]")
	g.defers(func() error { return os.WriteFile(file, []byte(on), 0) })
	return errors.Join(os.WriteFile(file, []byte("madvise"), 0), putInOrder())
}

// HugePages reserves huge pages until Close. What earlier scenarios left in
// the page cache is in the way of some of them, so the memory is put in order
// between the tries.
func (g *Guest) HugePages(n int) error {
	const file = "/proc/sys/vm/nr_hugepages"
	want := strconv.Itoa(n)
	if err := g.Sysctl("vm/nr_hugepages", want); err != nil {
		return err
	}
	var got string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if got = strings.TrimSpace(string(b)); got == want {
			return nil
		}
		if err := errors.Join(putInOrder(), os.WriteFile(file, []byte(want), 0)); err != nil {
			return err
		}
	}
	return fmt.Errorf("huge pages: %s reserved, %s wanted", got, want)
}

// putInOrder makes free memory one piece, as far as that goes.
func putInOrder() error {
	return errors.Join(
		os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0),
		os.WriteFile("/proc/sys/vm/compact_memory", []byte("1"), 0),
	)
}

// hugePagesFree waits until so many huge pages are free: who had them may still
// be leaving.
func (g *Guest) hugePagesFree(ctx context.Context, n int) error {
	for ctx.Err() == nil {
		b, err := os.ReadFile("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages")
		if err != nil || strings.TrimSpace(string(b)) == strconv.Itoa(n) {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("huge pages in use: %w", ctx.Err())
}

func (g *Guest) set(path, value string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	g.defers(func() error { return os.WriteFile(path, []byte(strings.TrimSpace(string(old))), 0) })
	return nil
}

// Swap turns swap on a new zram device on, until Close.
func (g *Guest) Swap(bytes int64, priority int) error {
	dev, err := g.zram(bytes)
	if err != nil {
		return err
	}
	return g.swapOn(dev, bytes, priority)
}

// zram makes a zram device that Close removes, and returns its path.
func (g *Guest) zram(bytes int64) (string, error) {
	b, err := os.ReadFile("/sys/class/zram-control/hot_add")
	if err != nil {
		return "", fmt.Errorf("zram: %w", err)
	}
	id := strings.TrimSpace(string(b))
	g.defers(func() error { return os.WriteFile("/sys/class/zram-control/hot_remove", []byte(id), 0) })
	if err := os.WriteFile("/sys/block/zram"+id+"/disksize", []byte(strconv.FormatInt(bytes, 10)), 0); err != nil {
		return "", fmt.Errorf("zram: %w", err)
	}
	return "/dev/zram" + id, nil
}

// waitForRoom waits a little for what was killed to give its memory back: swapoff makes
// its caller the first to be killed, whatever its adjustment (mm/swapfile.c,
// set_current_oom_origin).
func waitForRoom() {
	for range 200 {
		free, err1 := meminfo("MemFree")
		total, err2 := meminfo("SwapTotal")
		left, err3 := meminfo("SwapFree")
		if errors.Join(err1, err2, err3) != nil || free > total-left+16*mib {
			return // swapoff says what is wrong
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// swapOn turns swap on a device on, until Close.
func (g *Guest) swapOn(dev string, bytes int64, priority int) error {
	if err := writeSwapHeader(dev, bytes); err != nil {
		return err
	}
	path, err := unix.BytePtrFromString(dev)
	if err != nil {
		return err
	}
	const prefer = 0x8000 // SWAP_FLAG_PREFER
	if _, _, errno := unix.Syscall(unix.SYS_SWAPON, ptr(path), uintptr(prefer|priority&0x7fff), 0); errno != 0 {
		return fmt.Errorf("swapon %s: %w", dev, errno)
	}
	g.defers(func() error {
		waitForRoom()
		for {
			_, _, errno := unix.Syscall(unix.SYS_SWAPOFF, ptr(path), 0, 0)
			if errno == unix.EINTR {
				continue // the Go runtime's own signals come in between
			}
			if errno != 0 {
				return fmt.Errorf("swapoff %s: %w", dev, errno)
			}
			return nil
		}
	})
	return nil
}

// writeSwapHeader does what mkswap does (kernel: include/linux/swap.h, union
// swap_header): version and last page after 1 KiB, the magic at the page's end.
func writeSwapHeader(dev string, bytes int64) error {
	page := make([]byte, pageSize)
	le := func(at int, v uint32) {
		page[at], page[at+1], page[at+2], page[at+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
	le(1024, 1)
	le(1028, uint32(bytes/pageSize-1))
	copy(page[pageSize-10:], "SWAPSPACE2")
	f, err := os.OpenFile(dev, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("swap: %w", err)
	}
	_, err = f.Write(page)
	return errors.Join(err, f.Sync(), f.Close())
}
