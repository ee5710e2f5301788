package workload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Churning is processes that take and give back memory for ever, and how many pages
// they took.
type Churning struct {
	process *Process
	groups  []*Cgroup
	count   []byte
}

// hugePage is a huge page of amd64 and of arm64 with 4 KiB pages.
const hugePage = 2 << 20

// Churn starts n processes in n cgroups on one CPU, at least two, which take that many
// bytes at a time, from 2 MiB on in huge pages. What they take meets no limit, but each
// cgroup has one.
func (g *Guest) Churn(n int, bytes int64) (_ *Churning, err error) {
	c := &Churning{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	path := filepath.Join(g.dir, "churn")
	if err := os.WriteFile(path, make([]byte, pageSize), 0o600); err != nil {
		return nil, err
	}
	if c.count, err = mapCounter(path); err != nil {
		return nil, err
	}
	h := Hog{Name: "churn", Copies: max(n, 2), OneCPU: true, Steps: []Step{{Kind: Churn, Bytes: bytes, Path: path}}}
	for i := range n {
		group, err := g.H.Make(nil, "churn-"+strconv.Itoa(i), Limits{MaxBytes: 64 * bytes})
		if err != nil {
			return nil, err
		}
		c.groups = append(c.groups, group)
	}
	for i := range h.Copies {
		h.EachProcs = append(h.EachProcs, c.groups[min(i, n-1)].Procs())
	}
	c.process, err = Start(h)
	return c, err
}

// Begun waits until pages are being taken.
func (c *Churning) Begun(ctx context.Context) error {
	for c.Pages() == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Pages is how many pages were taken so far.
func (c *Churning) Pages() uint64 {
	return atomic.LoadUint64((*uint64)(unsafe.Pointer(unsafe.SliceData(c.count))))
}

// Stop ends the processes and removes their cgroups.
func (c *Churning) Stop() error {
	var errs []error
	if c.process != nil {
		errs = append(errs, c.process.Stop())
	}
	for _, group := range c.groups {
		errs = append(errs, group.Remove())
	}
	if c.count != nil {
		errs = append(errs, unix.Munmap(c.count))
	}
	return errors.Join(errs...)
}
