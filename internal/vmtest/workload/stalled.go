package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Modules are the kernel modules that scenarios and their kin need beyond those of swap on
// zram.
func Modules() []string { return []string{"dm-delay", "vhost_vsock"} }

// Never is later than any scenario's end, in ms.
const Never = 3600_000

// Delayed is a block device that holds what is written to it for some time.
type Delayed struct {
	name, lower string
	sectors     int64
	// dev is its path.
	dev string
}

// Delayed makes a block device on zram that reads at once and writes after that
// many ms, until Close, which has all that waits written first.
func (g *Guest) Delayed(bytes int64, ms int) (*Delayed, error) {
	lower, err := g.zram(bytes)
	if err != nil {
		return nil, err
	}
	d := &Delayed{name: "oomtrace-" + strings.TrimPrefix(lower, "/dev/"), lower: lower, sectors: bytes / 512}
	if err := d.create(g, ms); err != nil {
		return nil, fmt.Errorf("delayed device: %w", err)
	}
	// The last one to close a device waits until it is written: this one does so
	// after the delay is removed, and no other is the last.
	f, err := os.OpenFile(d.dev, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("delayed device: %w", err)
	}
	g.defers(f.Close)
	g.defers(d.Release)
	return d, nil
}

func (d *Delayed) create(g *Guest, ms int) error {
	made, err := d.ioctl(unix.DM_DEV_CREATE, 0, "")
	if err != nil {
		return err
	}
	d.dev = "/dev/dm-" + strconv.Itoa(int(unix.Minor(made.Dev)))
	g.defers(func() error {
		_, err := d.ioctl(unix.DM_DEV_REMOVE, 0, "")
		return err
	})
	return errors.Join(d.load(ms), d.resume(), d.load(0))
}

// Path is the device's.
func (d *Delayed) Path() string { return d.dev }

// Release makes the device write at once, what waits in it too: it is written
// before the device resumes (drivers/md/dm-delay.c, delay_presuspend). The table
// for it was loaded when there was memory for one.
func (d *Delayed) Release() error { return d.resume() }

// load sets the delay that the device has from the next resume on.
func (d *Delayed) load(ms int) error {
	// Reads, then writes, each with device, offset and delay.
	_, err := d.ioctl(unix.DM_TABLE_LOAD, 0, fmt.Sprintf("%s 0 0 %s 0 %d", d.lower, d.lower, ms))
	return err
}

// resume is what DM_DEV_SUSPEND does without DM_SUSPEND_FLAG; there is no file
// system to freeze.
func (d *Delayed) resume() error {
	_, err := d.ioctl(unix.DM_DEV_SUSPEND, unix.DM_SKIP_LOCKFS_FLAG, "")
	return err
}

// ioctl makes one call of the device mapper, with one target if there is a
// table (include/uapi/linux/dm-ioctl.h).
func (d *Delayed) ioctl(request uintptr, flags uint32, table string) (*unix.DmIoctl, error) {
	var call struct {
		unix.DmIoctl
		target unix.DmTargetSpec
		params [256]byte
	}
	call.Version = [3]uint32{unix.DM_VERSION_MAJOR, 0, 0}
	call.Data_size, call.Data_start = uint32(unsafe.Sizeof(call)), uint32(unsafe.Offsetof(call.target))
	call.Flags = flags
	copy(call.Name[:len(call.Name)-1], d.name)
	if table != "" {
		call.Target_count = 1
		call.target.Length = uint64(d.sectors)
		copy(call.target.Target_type[:], "delay")
		if copy(call.params[:len(call.params)-1], table) < len(table) {
			return nil, errors.New("the table is too long")
		}
	}
	f, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // nothing is written
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), request, uintptr(unsafe.Pointer(&call)))
		if errno == unix.EINTR {
			continue // the Go runtime's own signals come in between
		}
		if errno != 0 {
			return nil, fmt.Errorf("device mapper %#x: %w", request, errno)
		}
		return &call.DmIoctl, nil
	}
}

// runExiting fills a cgroup beside a process that SIGKILL has hit while it waits
// for a disk: the kernel chooses that one, and has nothing to kill.
func runExiting(ctx context.Context, g *Guest) (*Outcome, error) {
	dev, err := g.Delayed(16*mib, Never)
	if err != nil {
		return nil, err
	}
	c, err := g.Cgroup(nil, "oomtrace-test", Limits{MaxBytes: 48 * mib})
	if err != nil {
		return nil, err
	}
	stuck, err := g.Start(Hog{Name: "stuck", Procs: c.Procs(), Steps: []Step{{Kind: Anon, Bytes: 32 * mib}, {Kind: Sync, Path: dev.dev}}})
	if err != nil {
		return nil, err
	}
	out := &Outcome{Constraint: constraintMemcg, Limit: c.Path, Cgroup: c.Path, Victims: []int{stuck.PID}, Exiting: true}
	err = c.waitUsage(ctx, 32*mib) // entering the cgroup makes it wait, too
	if err == nil {
		err = stuck.waitState(ctx, 'D')
	}
	if err == nil {
		err = unix.Kill(stuck.PID, unix.SIGKILL)
	}
	if err == nil {
		// It has its memory once the reaper has taken the other's.
		var grower *Process
		grower, err = g.Fill(ctx, Hog{Name: "grower", Procs: c.Procs(), Steps: anon(32 * mib)})
		if err == nil {
			out.Survivors = []int{grower.PID}
		}
	}
	err = errors.Join(err, dev.Release()) // nothing could end it otherwise
	if err == nil {
		err = expectKill(ctx, stuck)
	}
	if n, countErr := c.OOMKills(); err == nil && (countErr != nil || n != 0) {
		err = fmt.Errorf("the kernel counts %d kills (%w): none expected", n, countErr)
	}
	return out, err
}

// stalledScenarios have page cache and swap on a block device that does not
// write.
func stalledScenarios() []Scenario {
	cache := func(ms int, then ...Kind) func(context.Context, *Guest) (*Outcome, error) {
		return func(ctx context.Context, g *Guest) (*Outcome, error) {
			d, err := g.Delayed(64*mib, ms)
			if err != nil {
				return nil, err
			}
			// Below three quarters of the limit no writer is made to wait
			// then (mm/page-writeback.c, dirty_freerun_ceiling).
			if err := g.Sysctl("vm/dirty_ratio", "100"); err != nil {
				return nil, err
			}
			steps := []Step{{Kind: Write, Path: d.Path(), Bytes: 20 * mib}}
			for _, kind := range then {
				steps = append(steps, Step{Kind: kind, Path: d.Path()})
			}
			return inCgroup(ctx, g, Limits{MaxBytes: 32 * mib}, Hog{Steps: append(steps, Step{Kind: Anon, Bytes: 96 * mib})})
		}
	}
	return []Scenario{
		{Name: "cgroup-stalled", About: "page cache waits for a disk that does not write", Needs: Needs{V2: true}, Run: cache(Never)},
		{Name: "cgroup-exiting", About: "the biggest process was killed before, and cannot end yet", Needs: Needs{V2: true}, Run: runExiting},
		// Reclaim does not wait for a thread that is late to write (mm/vmscan.c,
		// shrink_folio_list): on a busy host the kill may find the cache not written yet.
		{Name: "cgroup-written", About: "page cache is written to a disk and dropped, private memory takes its place", Needs: Needs{V2: true}, Run: cache(0, Flush)},
	}
}
