package workload

import (
	"bytes"
	"crypto/rand"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// killedStatus is the launcher's exit status when its child died of SIGKILL.
const killedStatus = 128 + int(unix.SIGKILL)

const (
	pageSize = 4096
	reportFD = 3
	gateFD   = 4
	// ringBytes is what a pipe's ring of 256 slots takes.
	ringBytes = 16 << 10
	// pipePages is how many pages a pipe holds at first (PIPE_DEF_BUFFERS).
	pipePages = 16
)

// Main turns this process into a hog or an actor if it was started as one, and then
// never returns. Otherwise it does nothing.
func Main() {
	if role, ok := os.LookupEnv(roleEnv); ok {
		if err := play(Role(role)); err != nil {
			fmt.Fprintln(os.Stderr, "role:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	spec, ok := os.LookupEnv(hogEnv)
	if !ok {
		return
	}
	status, err := hog(spec)
	if err != nil {
		fmt.Fprintln(os.Stderr, "hog:", err)
		status = 1
	}
	os.Exit(status)
}

func hog(spec string) (int, error) {
	var h Hog
	b, err := hex.DecodeString(spec)
	if err != nil {
		return 0, err
	}
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&h); err != nil {
		return 0, err
	}
	p, err := plan(h)
	if err != nil {
		return 0, err
	}
	if h.OneCPU {
		runtime.LockOSThread()
		first := unix.CPUSet{}
		first.Set(0)
		if err := unix.SchedSetaffinity(0, &first); err != nil {
			return 0, err
		}
	}
	if h.LeaderExits {
		return 0, threads(p)
	}
	return launch(p)
}

// work is a Hog made ready for a process that can do nothing but system calls:
// all strings ended by a NUL, all memory mapped, all files open.
type work struct {
	procsFD  int
	eachFD   []int // of the copies
	adjPath  []byte
	adj      []byte
	name     []byte
	uid      int
	sharesMM bool
	copies   int
	gated    bool   // wait at the gate before taking memory
	gate     [2]int // pipe: at its end 0 they wait until its end 1 is closed
	full     []byte
	steps    []readyStep
}

type readyStep struct {
	kind   Kind
	region []byte
	lock   bool
	fd     int
	count  int
	slots  int64 // of Rings and Slots
	path   []byte
	bind   uint64
	buf    []byte
	pipes  [][4]int32    // of Holes: the pipe to keep, and the one to close
	pages  []byte        // Churn's counter
	wait   unix.Timespec // after each paceBytes, or of Pause
}

// paceBytes is what a step with a Rate takes at once.
const paceBytes = 64 << 10

func plan(h Hog) (*work, error) {
	w := &work{
		procsFD: -1, adjPath: []byte("/proc/self/oom_score_adj\x00"), adj: []byte(strconv.Itoa(h.Adj)),
		name: append([]byte(h.Name), 0), uid: h.UID, sharesMM: h.SharesMM, copies: h.Copies, full: []byte(fullLine),
	}
	if h.Copies > 1 {
		w.full = nil
	}
	if h.Waits {
		w.gated, w.gate = true, [2]int{gateFD, -1}
	}
	if err := raiseLimits(h.Steps); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if h.Procs != "" {
		fd, err := unix.Open(h.Procs, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", h.Procs, err)
		}
		w.procsFD = fd
	}
	for _, path := range h.EachProcs {
		fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
		w.eachFD = append(w.eachFD, fd)
	}
	for i, s := range h.Steps {
		r, err := planStep(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.Kind, err)
		}
		if s.Kind == Drop && i > 0 {
			r.region = w.steps[i-1].region
		}
		w.steps = append(w.steps, r)
	}
	return w, nil
}

// raiseLimits lifts the limits that the steps run into, and no others: raising
// one takes CAP_SYS_RESOURCE, which a container's root may lack.
func raiseLimits(steps []Step) error {
	var errs []error
	for _, s := range steps {
		switch {
		case s.Lock:
			errs = append(errs, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}))
		case s.Kind == Pipes || s.Kind == Sockets || s.Kind == Rings || s.Kind == Slots || s.Kind == Holes:
			errs = append(errs, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 17, Max: 1 << 17}))
		}
	}
	return errors.Join(errs...)
}

func planStep(s Step) (readyStep, error) {
	r := readyStep{kind: s.Kind, lock: s.Lock, fd: -1, path: append([]byte(s.Path), 0)}
	if s.Node > 0 {
		r.bind = 1 << (s.Node - 1)
	}
	if s.Rate > 0 {
		r.wait = unix.NsecToTimespec(paceBytes * int64(time.Second) / s.Rate)
	}
	var err error
	flags, size := unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE, s.Bytes
	switch s.Kind {
	case Anon, THP, Sparse:
	case Churn:
		if r.pages, err = mapCounter(s.Path); err != nil {
			return r, err
		}
	case Swapoff, Drop, Pause:
		r.wait = unix.NsecToTimespec(int64(s.Time))
		return r, nil
	case Noise, Half:
		r.buf = make([]byte, pageSize)
		if s.Kind == Half {
			r.buf = r.buf[:pageSize/2]
		}
		_, _ = rand.Read(r.buf) // never fails
	case Shmem:
		flags = unix.MAP_SHARED | unix.MAP_ANON | unix.MAP_NORESERVE
	case Pgtables:
		// One page table of 4 KiB maps 2 MiB.
		size = s.Bytes / pageSize * hugePage
	case Huge:
		flags |= unix.MAP_HUGETLB
	case File, Write:
		r.fd, err = unix.Open(s.Path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
		if err != nil {
			return r, err
		}
		flags = unix.MAP_SHARED
	}
	switch s.Kind {
	case Sync:
		r.buf = make([]byte, pageSize)
		r.fd, err = unix.Open(s.Path, unix.O_RDWR|unix.O_SYNC|unix.O_CLOEXEC, 0)
		return r, err
	case Flush:
		r.fd, err = unix.Open(s.Path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		return r, err
	case File:
		err = errors.Join(unix.Ftruncate(r.fd, s.Bytes), unix.Unlink(s.Path))
	case Write:
		r.buf = make([]byte, 64<<10)
		r.count = int(s.Bytes / int64(len(r.buf)))
		return r, nil
	case Pipes, Sockets:
		r.buf = make([]byte, 64<<10)
		r.count = int(s.Bytes / int64(len(r.buf)))
		return r, nil
	case Rings, Slots:
		r.slots = 256
		if s.Kind == Slots {
			r.slots = 128
		}
		r.count = int(s.Bytes / (r.slots * ringBytes / 256))
		return r, nil
	case Holes:
		r.buf = make([]byte, pageSize)
		r.pipes = make([][4]int32, s.Bytes/(2*pipePages*pageSize))
		return r, nil
	case Dirs:
		// A directory takes about 1 KiB of dentry and inode.
		r.count = int(s.Bytes >> 10)
		r.path = append([]byte(s.Path), "/00000000\x00"...)
		return r, nil
	}
	if err != nil {
		return r, err
	}
	r.region, err = unix.Mmap(max(r.fd, -1), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		return r, err
	}
	if s.Kind == THP {
		return r, unix.Madvise(r.region, unix.MADV_HUGEPAGE)
	}
	// Small pages make the counts exact.
	advice := unix.MADV_NOHUGEPAGE
	if s.Kind == Sparse || s.Kind == Churn && s.Bytes >= hugePage {
		advice = unix.MADV_HUGEPAGE
	}
	if err := unix.Madvise(r.region, advice); err != nil && !errors.Is(err, unix.EINVAL) {
		return r, err
	}
	return r, nil
}

// mapCounter maps the first page of a file.
func mapCounter(path string) ([]byte, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	b, err := unix.Mmap(fd, 0, pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return b, errors.Join(err, unix.Close(fd))
}

// launch makes the hog's process: a copy of this one with a single thread, so
// that what the kernel counts for it is exact and its pid is its only tid. Only
// the calling thread is copied, hence the child must not need Go's scheduler,
// stack growth or memory: it runs functions marked nosplit, which check for
// neither, and has all signals blocked.
func launch(w *work) (int, error) {
	runtime.LockOSThread()
	var all unix.Sigset_t
	for i := range all.Val {
		all.Val[i] = ^all.Val[i]
	}
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
		return 0, err
	}
	if w.copies > 1 {
		// A copy that comes when the others have been killed would live on.
		if err := unix.Pipe2(w.gate[:], unix.O_CLOEXEC); err != nil {
			return 0, err
		}
		w.gated = true
	}
	for i := range max(w.copies, 1) {
		if i < len(w.eachFD) {
			w.procsFD = w.eachFD[i]
		}
		pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return 0, fmt.Errorf("clone: %w", errno)
		}
		if pid == 0 {
			child(w)
		}
		if i > 0 {
			continue
		}
		if _, err := unix.Write(reportFD, []byte(strconv.Itoa(int(pid))+"\n")); err != nil {
			return 0, err
		}
	}
	if err := unix.Close(reportFD); err != nil {
		return 0, err
	}
	if w.copies > 1 {
		if err := unix.Close(w.gate[1]); err != nil {
			return 0, err
		}
	}
	return waitAll(max(w.copies, 1))
}

// waitAll waits for n children and returns the worst of their ends.
func waitAll(n int) (int, error) {
	status := 0
	for range n {
		var ws unix.WaitStatus
		if _, err := unix.Wait4(-1, &ws, 0, nil); err != nil {
			return 0, fmt.Errorf("wait: %w", err)
		}
		if ws.Signaled() {
			status = max(status, 128+int(ws.Signal()))
		} else {
			status = max(status, ws.ExitStatus())
		}
	}
	return status, nil
}

// threads takes the memory in a thread that is not the first one, after the
// first one has ended.
func threads(w *work) error {
	if err := enterSplit(w); err != nil {
		return err
	}
	if _, err := unix.Write(reportFD, []byte(strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return err
	}
	if err := endLeader(); err != nil {
		return err
	}
	takeAll(w)
	sleepForever()
	return nil
}

// endLeader returns on another thread than the first one, locked to it, once
// that one has ended. Where the runtime will next run a goroutine is unknown,
// so each that is not on the first thread holds on to its own until one is.
func endLeader() error {
	found := make(chan error)
	release := make(chan struct{})
	defer close(release)
	for range 64 {
		go func() {
			runtime.LockOSThread()
			if unix.Gettid() != os.Getpid() {
				found <- nil
				<-release
				return
			}
			// This thread alone ends; exit_group would end the process. Syscall
			// rather than RawSyscall: the runtime has to notice that it is away.
			_, _, errno := syscall.Syscall(unix.SYS_EXIT, 0, 0, 0)
			found <- errno
		}()
		select {
		case err := <-found:
			if err != nil {
				return fmt.Errorf("end the first thread: %w", err)
			}
		case <-time.After(time.Second):
			runtime.LockOSThread()
			return waitZombie()
		}
	}
	return errors.New("no goroutine ran on the first thread")
}

// waitZombie waits until the first thread has exited.
func waitZombie() error {
	path := fmt.Sprintf("/proc/self/task/%d/stat", os.Getpid())
	for range 1000 {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if i := bytes.LastIndexByte(b, ')'); i > 0 && i+2 < len(b) && b[i+2] == 'Z' {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("the first thread did not end")
}

// enterSplit does what enter does, for a process with all of Go's runtime.
func enterSplit(w *work) error {
	if w.procsFD >= 0 {
		if _, err := unix.Write(w.procsFD, []byte("0")); err != nil {
			return fmt.Errorf("enter cgroup: %w", err)
		}
	}
	return os.WriteFile("/proc/self/oom_score_adj", w.adj, 0)
}

//go:nosplit
func call(number, a, b, c uintptr) bool {
	_, _, errno := syscall.RawSyscall(number, a, b, c)
	return errno == 0
}

//go:nosplit
func addr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

//go:nosplit
func fail(status uintptr) {
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT_GROUP, status, 0, 0)
	}
}

// child is the hog. It never returns.
//
//go:nosplit
func child(w *work) {
	enter(w)
	if w.gated {
		var b [1]byte
		call(unix.SYS_CLOSE, uintptr(w.gate[1]), 0, 0)
		call(unix.SYS_READ, uintptr(w.gate[0]), uintptr(unsafe.Pointer(&b[0])), 1)
	}
	if w.sharesMM {
		// The parent waits in vfork for as long as the child lives, so both may
		// use one stack.
		pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, unix.CLONE_VM|unix.CLONE_VFORK|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 || pid != 0 {
			fail(2)
		}
	}
	takeAll(w)
	sleepForever()
}

//go:nosplit
func sleepForever() {
	for {
		// ppoll without descriptors and timeout sleeps.
		_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// enter takes the process to its cgroup, adjustment, name and user.
//
//go:nosplit
func enter(w *work) {
	zero := [1]byte{'0'}
	if w.procsFD >= 0 {
		if ok := call(unix.SYS_WRITE, uintptr(w.procsFD), uintptr(unsafe.Pointer(&zero[0])), 1); !ok {
			fail(3)
		}
	}
	call(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0)
	call(unix.SYS_PRCTL, unix.PR_SET_NAME, addr(w.name), 0)
	r, _, errno := syscall.RawSyscall6(unix.SYS_OPENAT, ^uintptr(99), addr(w.adjPath), unix.O_WRONLY, 0, 0, 0)
	if errno != 0 {
		fail(4)
	}
	if ok := call(unix.SYS_WRITE, r, addr(w.adj), uintptr(len(w.adj))); !ok {
		fail(5)
	}
	call(unix.SYS_CLOSE, r, 0, 0)
	if w.uid != 0 {
		if ok := call(unix.SYS_SETRESUID, uintptr(w.uid), uintptr(w.uid), uintptr(w.uid)); !ok {
			fail(6)
		}
	}
}

// takeAll takes the memory of all steps and then says so.
//
//go:nosplit
func takeAll(w *work) {
	for i := range w.steps {
		take(&w.steps[i])
	}
	call(unix.SYS_WRITE, reportFD, addr(w.full), uintptr(len(w.full)))
}

//go:nosplit
func take(s *readyStep) {
	if s.bind != 0 {
		_, _, _ = syscall.RawSyscall6(unix.SYS_MBIND, addr(s.region), uintptr(len(s.region)), 2, uintptr(unsafe.Pointer(&s.bind)), 64, 0)
	}
	if s.lock {
		call(unix.SYS_MLOCK, addr(s.region), uintptr(len(s.region)), 0)
	}
	switch s.kind {
	case Anon, Shmem, File, THP:
		for i := 0; i < len(s.region); i += pageSize {
			s.region[i] = 1
			if i%paceBytes == 0 {
				pause(s)
			}
		}
	case Churn:
		count := (*uint64)(unsafe.Pointer(unsafe.SliceData(s.pages)))
		for {
			for i := 0; i < len(s.region); i += pageSize {
				s.region[i] = 1
			}
			atomic.AddUint64(count, uint64(len(s.region)/pageSize))
			call(unix.SYS_MADVISE, addr(s.region), uintptr(len(s.region)), unix.MADV_DONTNEED)
		}
	case Drop:
		call(unix.SYS_MADVISE, addr(s.region), uintptr(len(s.region)), unix.MADV_DONTNEED)
	case Pause:
		pause(s)
	case Noise, Half:
		for i := 0; i < len(s.region); i += pageSize {
			copy(s.region[i:i+pageSize], s.buf)
		}
	case Swapoff:
		call(unix.SYS_SWAPOFF, addr(s.path), 0, 0)
	case Huge, Sparse:
		for i := 0; i < len(s.region); i += hugePage {
			s.region[i] = 1
		}
	case Pgtables:
		for i := 0; i < len(s.region); i += hugePage {
			s.fd += int(s.region[i])
		}
	case Write:
		for range s.count {
			call(unix.SYS_WRITE, uintptr(s.fd), addr(s.buf), uintptr(len(s.buf)))
			pause(s)
		}
	case Sync:
		call(unix.SYS_WRITE, uintptr(s.fd), addr(s.buf), uintptr(len(s.buf)))
	case Flush:
		call(unix.SYS_FSYNC, uintptr(s.fd), 0, 0)
	case Pipes:
		takePipes(s)
	case Rings, Slots:
		takeRings(s)
	case Holes:
		takeHoles(s)
	case Sockets:
		takeSockets(s)
	case Dirs:
		takeDirs(s)
	}
}

// pause waits as long as the step says, if at all.
//
//go:nosplit
func pause(s *readyStep) {
	if s.wait.Sec != 0 || s.wait.Nsec != 0 {
		_, _, _ = syscall.RawSyscall6(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&s.wait)), 0, 0, 0, 0, 0)
	}
}

//go:nosplit
func takePipes(s *readyStep) {
	for range s.count {
		var fds [2]int32
		call(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds[0])), unix.O_NONBLOCK, 0)
		call(unix.SYS_WRITE, uintptr(fds[1]), addr(s.buf), uintptr(len(s.buf)))
	}
}

//go:nosplit
func takeRings(s *readyStep) {
	for range s.count {
		var fds [2]int32
		call(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds[0])), unix.O_NONBLOCK, 0)
		call(unix.SYS_FCNTL, uintptr(fds[0]), unix.F_SETPIPE_SZ, uintptr(s.slots*pageSize))
	}
}

//go:nosplit
func takeHoles(s *readyStep) {
	for i := range s.pipes {
		fds := &s.pipes[i]
		call(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds[0])), unix.O_NONBLOCK, 0)
		call(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds[2])), unix.O_NONBLOCK, 0)
		for range pipePages {
			call(unix.SYS_WRITE, uintptr(fds[1]), addr(s.buf), pageSize)
			call(unix.SYS_WRITE, uintptr(fds[3]), addr(s.buf), pageSize)
		}
	}
	for i := range s.pipes {
		call(unix.SYS_CLOSE, uintptr(s.pipes[i][2]), 0, 0)
		call(unix.SYS_CLOSE, uintptr(s.pipes[i][3]), 0, 0)
	}
}

//go:nosplit
func takeSockets(s *readyStep) {
	for range s.count {
		var fds [2]int32
		_, _, _ = syscall.RawSyscall6(unix.SYS_SOCKETPAIR, unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0, uintptr(unsafe.Pointer(&fds[0])), 0, 0)
		call(unix.SYS_WRITE, uintptr(fds[1]), addr(s.buf), uintptr(len(s.buf)))
	}
}

//go:nosplit
func takeDirs(s *readyStep) {
	digits := len(s.path) - 9
	for n := range s.count {
		for d := range 8 {
			s.path[digits+d] = byte('a' + n>>(4*d)&15)
		}
		call(unix.SYS_MKDIRAT, ^uintptr(99), addr(s.path), 0o755)
	}
}
