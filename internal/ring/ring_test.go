package ring

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fake is the kernel's side of a ring: the same memory, and a descriptor that is
// readable as long as the two positions differ.
type fake struct {
	t        *testing.T
	r        *Reader
	consumer atomic.Uint64
	producer atomic.Uint64
	fd       int
}

// newFake makes a reader of a ring of size bytes.
func newFake(t *testing.T, size uint64) *fake {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t: t, fd: fd}
	words := make([]uint64, size/8) // aligned
	data := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
	f.r = &Reader{epoll: -1, event: -1, mem: memory{consumer: &f.consumer, producer: &f.producer, data: data, size: size}}
	f.r.init()
	if err := f.r.openWait(fd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(f.r.Close(), unix.Close(fd)); err != nil {
			t.Error(err)
		}
	})
	return f
}

// memory outlives Close, which forgets the reader's.
func (f *fake) header(m *memory, pos uint64) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&m.data[pos&(m.size-1)]))
}

// reserve puts a record that is still being written, as bpf_ringbuf_reserve
// does, and returns what finishes it.
func (f *fake) reserve(b []byte) (finish func(bits uint32)) {
	m := f.r.mem
	pos := f.producer.Load()
	head := f.header(&m, pos)
	head.Store(uint32(len(b)) | busyBit)
	f.producer.Store(pos + (headerBytes+uint64(len(b))+7)&^7)
	return func(bits uint32) {
		for i, c := range b {
			m.data[(pos+headerBytes+uint64(i))&(m.size-1)] = c
		}
		head.Store(uint32(len(b)) | bits)
		f.signal()
	}
}

func (f *fake) put(b []byte) { f.reserve(b)(0) }

func (f *fake) signal() {
	one := [8]byte{0: 1}
	if _, err := unix.Write(f.fd, one[:]); err != nil {
		f.t.Error(err)
	}
}

// quiet makes the descriptor unreadable, as it is once all is consumed.
func (f *fake) quiet() {
	var n [8]byte
	_, _ = unix.Read(f.fd, n[:])
}

func (f *fake) next(want string) Record {
	f.t.Helper()
	rec, err := f.r.Next(f.t.Context())
	if err != nil || string(rec.Bytes) != want {
		f.t.Fatalf("next: %q, %v; want %q", rec.Bytes, err, want)
	}
	return rec
}

func (f *fake) consumed(want uint64) {
	f.t.Helper()
	if got := f.consumer.Load(); got != want {
		f.t.Errorf("consumer at %d, want %d", got, want)
	}
}

func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestWrap pushes many records of all lengths through a small ring.
func TestWrap(t *testing.T) {
	f := newFake(t, 4096)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		b := make([]byte, random.IntN(1000))
		for j := range b {
			b[j] = byte(random.Uint32())
		}
		if i%50 == 0 {
			b = make([]byte, 4096-headerBytes) // as much as fits
		}
		f.put(b)
		rec, err := f.r.Next(t.Context())
		if err != nil || !bytes.Equal(rec.Bytes, b) || rec.Pos%8 != 0 {
			t.Fatalf("record %d at %d of %d bytes: %v", i, rec.Pos, len(b), err)
		}
		f.r.Ack(rec.Pos)
		f.consumed(f.producer.Load())
	}
	if f.r.Pending() != 0 || f.r.Available() != 0 {
		t.Errorf("%d pending, %d bytes left", f.r.Pending(), f.r.Available())
	}
}

func TestBusy(t *testing.T) {
	f := newFake(t, 4096)
	finish := f.reserve([]byte("late"))
	f.put([]byte("after"))
	go func() {
		time.Sleep(20 * time.Millisecond)
		finish(0)
	}()
	f.next("late") // in order, though the one after was ready first
	f.next("after")

	// The end of the context does not lose what is being written.
	finish = f.reserve([]byte("last"))
	go func() {
		time.Sleep(20 * time.Millisecond)
		finish(0)
	}()
	rec, err := f.r.Next(done())
	if err != nil || string(rec.Bytes) != "last" {
		t.Fatalf("%q, %v", rec.Bytes, err)
	}
	if _, err := f.r.Next(done()); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestDiscard(t *testing.T) {
	f := newFake(t, 4096)
	f.reserve([]byte("no"))(discardBit)
	f.put([]byte("one"))
	f.reserve([]byte("neither"))(discardBit)
	f.put([]byte("two"))
	one := f.next("one")
	f.consumed(16) // what was discarded first is given back at once
	two := f.next("two")
	f.r.Ack(two.Pos)
	f.consumed(16)
	f.r.Ack(one.Pos)
	f.consumed(f.producer.Load())
	f.reserve([]byte("no"))(discardBit)
	if _, err := f.r.Next(done()); !errors.Is(err, io.EOF) {
		t.Errorf("nothing but a discarded record: %v", err)
	}
	f.consumed(f.producer.Load())
}

// TestUnread: what is left is counted, handed out or not, one that wraps too.
func TestUnread(t *testing.T) {
	f := newFake(t, 64)
	unread := func(want int) {
		t.Helper()
		var seen string
		n := f.r.Unread(func(b []byte) bool {
			seen += string(b) + " "
			return b[0] != 'n'
		})
		if n != want {
			t.Errorf("%d unread, want %d: %q", n, want, seen)
		}
	}
	unread(0)
	for range 6 { // to the ring's end
		f.put([]byte("y"))
		f.r.Ack(f.next("y").Pos)
	}
	unread(0)
	f.reserve([]byte("dropped"))(discardBit)
	f.put([]byte("a record that wraps"))
	f.put([]byte("no"))
	unread(1)
	rec := f.next("a record that wraps")
	f.reserve([]byte("x")) // not finished
	unread(1)
	f.r.Ack(rec.Pos)
	unread(0)
	if err := f.r.Close(); err != nil {
		t.Error(err)
	}
	unread(0)
}

func TestAckOutOfOrder(t *testing.T) {
	f := newFake(t, 4096)
	var recs []Record
	for _, s := range []string{"a", "b", "c", "d"} {
		f.put([]byte(s))
		recs = append(recs, f.next(s))
	}
	for _, step := range []struct {
		ack     uint64
		pending int
		at      uint64
	}{
		{recs[2].Pos, 4, 0}, {recs[1].Pos, 4, 0}, {12345, 4, 0}, {recs[0].Pos + 1, 4, 0}, {recs[0].Pos, 1, 48}, {recs[0].Pos, 1, 48},
		{recs[3].Pos, 0, 64}, {recs[3].Pos, 0, 64},
	} {
		f.r.Ack(step.ack)
		f.consumed(step.at)
		if n := f.r.Pending(); n != step.pending || f.r.Available() != 64-step.at {
			t.Errorf("after ack of %d: %d pending, %d bytes", step.ack, n, f.r.Available())
		}
	}
}

// TestDrain shows that the end of the context is no end of the records there
// are, and that the reader goes on with another context.
func TestDrain(t *testing.T) {
	f := newFake(t, 4096)
	f.put([]byte("a"))
	f.put([]byte("b"))
	ctx := done()
	for _, want := range []string{"a", "b"} {
		if rec, err := f.r.Next(ctx); err != nil || string(rec.Bytes) != want {
			t.Fatalf("%q, %v", rec.Bytes, err)
		}
	}
	for range 2 {
		if _, err := f.r.Next(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("drained: %v", err)
		}
	}
	f.put([]byte("c"))
	f.next("c")
}

// TestWaits lets Next wait for a record, and for the context.
func TestWaits(t *testing.T) {
	f := newFake(t, 4096)
	for range 20 {
		go func() {
			time.Sleep(time.Millisecond)
			f.put([]byte("here"))
		}()
		rec := f.next("here")
		f.quiet()
		f.r.Ack(rec.Pos)
	}
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := f.r.Next(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		cancel()
	}
}

// TestWindow holds more records than the reader hands out at once.
func TestWindow(t *testing.T) {
	f := newFake(t, 1<<20)
	for range window + 1 {
		f.put([]byte("x"))
	}
	first := f.next("x")
	for range window - 1 {
		f.next("x")
	}
	got := make(chan Record)
	go func() {
		rec, _ := f.r.Next(t.Context())
		got <- rec
	}()
	select {
	case rec := <-got:
		t.Fatalf("one more than the window: %d", rec.Pos)
	case <-time.After(20 * time.Millisecond):
	}
	f.r.Ack(first.Pos)
	if rec := <-got; string(rec.Bytes) != "x" {
		t.Errorf("%q", rec.Bytes)
	}
	closed := make(chan error)
	f.put([]byte("x"))
	go func() {
		_, err := f.r.Next(t.Context())
		closed <- err
	}()
	time.Sleep(5 * time.Millisecond)
	if err := f.r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-closed; !errors.Is(err, ErrClosed) {
		t.Errorf("closed at the window: %v", err)
	}
}

// TestHeldIsNotBusy waits while a record is not acknowledged: the ring's
// descriptor is readable all that time, which must not keep a CPU busy.
func TestHeldIsNotBusy(t *testing.T) {
	f := newFake(t, 4096)
	f.put([]byte("slow"))
	rec := f.next("slow")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := cpuTime(t)
	if _, err := f.r.Next(ctx); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if used := cpuTime(t) - before; used > 100*time.Millisecond {
		t.Errorf("%v of CPU in 300 ms of waiting", used)
	}
	go func() {
		time.Sleep(time.Millisecond)
		f.put([]byte("next"))
	}()
	f.next("next") // comes although nothing was acknowledged
	f.r.Ack(rec.Pos)
}

func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestClose closes while Next is at any point of its wait: it must return, and
// nothing may be left open.
func TestClose(t *testing.T) {
	fds, routines := openFiles(t), runtime.NumGoroutine()
	for i := range 300 {
		t.Run("", func(t *testing.T) {
			f := newFake(t, 4096)
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := f.r.Next(t.Context()); !errors.Is(err, ErrClosed) {
					t.Errorf("next: %v", err)
				}
			})
			time.Sleep(time.Duration(i%10) * 20 * time.Microsecond)
			wg.Go(func() { _ = f.r.Close() })
			if err := f.r.Close(); err != nil {
				t.Error(err)
			}
			wait(t, &wg)
		})
	}
	if n := openFiles(t); n > fds {
		t.Errorf("%d descriptors left open", n-fds)
	}
	for range 100 {
		if runtime.NumGoroutine() <= routines {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines left", runtime.NumGoroutine()-routines)
}

func wait(t *testing.T, wg *sync.WaitGroup) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		wg.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("Next hangs in a closed ring")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestAfterClose(t *testing.T) {
	f := newFake(t, 4096)
	f.put([]byte("a"))
	rec := f.next("a")
	f.put([]byte("b"))
	for range 2 {
		if err := f.r.Close(); err != nil {
			t.Error(err)
		}
	}
	f.r.Ack(rec.Pos)
	f.consumed(0) // the next reader gets it again
	if n := f.r.Available(); n != 0 {
		t.Errorf("%d bytes in a closed ring", n)
	}
	for _, ctx := range []context.Context{t.Context(), done()} {
		if _, err := f.r.Next(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("next: %v", err)
		}
	}
}

// TestConcurrent acknowledges from many goroutines while records come.
func TestConcurrent(t *testing.T) {
	f := newFake(t, 1<<16)
	const n = 2000
	go func() {
		var b [8]byte
		for i := range uint64(n) {
			for f.producer.Load()-f.consumer.Load() > 1<<15 {
				time.Sleep(time.Microsecond)
			}
			binary.LittleEndian.PutUint64(b[:], i)
			f.put(append([]byte(nil), b[:]...))
		}
	}()
	acks := make(chan uint64, 64)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for pos := range acks {
				f.r.Ack(pos)
			}
		})
	}
	for i := range uint64(n) {
		rec, err := f.r.Next(t.Context())
		if err != nil || binary.LittleEndian.Uint64(rec.Bytes) != i {
			t.Fatalf("record %d: %v", i, err)
		}
		acks <- rec.Pos
	}
	close(acks)
	wg.Wait()
	f.consumed(f.producer.Load())
}

// TestCorrupt reads a ring whose consumer page somebody else wrote to.
func TestCorrupt(t *testing.T) {
	for name, scribble := range map[string]func(*fake){
		"position between records": func(f *fake) { f.r.next = 16 },
		"position not aligned":     func(f *fake) { f.r.next = 3 },
		"longer than the ring":     func(f *fake) { f.header(&f.r.mem, 0).Store(lengthMask) },
		"longer than what is there": func(f *fake) {
			f.header(&f.r.mem, 0).Store(4000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 4096)
			f.put(bytes.Repeat([]byte{0x3f}, 64))
			scribble(f)
			if rec, err := f.r.Next(t.Context()); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%q, %v", rec.Bytes, err)
			}
		})
	}
}

func TestOpenRefused(t *testing.T) {
	fds := openFiles(t)
	file, err := unix.MemfdCreate("ring", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	if err := unix.Ftruncate(file, int64(4*page)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name     string
		fd, size int
		want     string
	}{
		{"no descriptor", -1, page, "map consumer page"},
		{"no such size", file, -page, "map ring"},
		{"no ring", file, page, "watch ring"}, // a plain file cannot be waited for
	} {
		r, err := Open(tc.fd, tc.size)
		if err == nil || r != nil || !strings.HasPrefix(err.Error(), tc.want+": ") {
			t.Errorf("%s: %v, %v", tc.name, r, err)
		}
	}
	_ = unix.Close(file)
	if n := openFiles(t); n != fds {
		t.Errorf("%d descriptors, %d before", n, fds)
	}
}

// FuzzPeek reads arbitrary memory at arbitrary positions: what it returns lies
// in the ring and before the producer.
func FuzzPeek(f *testing.F) {
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 'a', 'b', 'c', 'd'}, uint64(0), uint64(16))
	f.Add([]byte{0xff, 0xff, 0xff, 0x3f}, uint64(0), uint64(1<<40))
	f.Add([]byte{0, 0x10, 0, 0x40}, uint64(64), uint64(128))
	f.Fuzz(func(t *testing.T, b []byte, pos, producer uint64) {
		const size = 64
		var words [2 * size / 8]uint64
		data := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
		copy(data, b)
		copy(data[size:], data[:size])
		m := memory{producer: new(atomic.Uint64), data: data, size: size}
		m.producer.Store(producer)
		s, err := m.peek(pos)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			t.Error(err)
		}
		if s.ready && (err != nil || s.end <= pos || s.end > producer || len(s.bytes) > size-headerBytes || s.end%8 != 0) {
			t.Errorf("%d bytes from %d to %d of %d", len(s.bytes), pos, s.end, producer)
		}
	})
}

func TestNextDoesNotAllocate(t *testing.T) {
	f := newFake(t, 1<<16)
	payload, ctx := make([]byte, 1000), t.Context()
	for range 200 { // each of 1008 bytes: some wrap
		f.put(payload)
		rec := f.next(string(payload))
		f.r.Ack(rec.Pos)
	}
	const runs = 50
	for range runs + 1 { // AllocsPerRun runs it once before
		f.put(payload)
	}
	if n := testing.AllocsPerRun(runs, func() {
		rec, err := f.r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		f.r.Ack(rec.Pos)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkNext(b *testing.B) {
	f := newFake(&testing.T{}, 1<<16)
	payload := make([]byte, 1000)
	b.ReportAllocs()
	for b.Loop() {
		f.reserve(payload)(0)
		rec, err := f.r.Next(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		f.r.Ack(rec.Pos)
	}
}

// TestAhead looks at what is not handed out yet, without touching it, and past
// what was dropped.
func TestAhead(t *testing.T) {
	f := newFake(t, 4096)
	is := func(want string) bool {
		return f.r.Ahead(func(head [8]byte) bool { return string(head[:]) == want })
	}
	if is("kill    ") {
		t.Error("something in an empty ring")
	}
	f.put([]byte("kill    1"))
	f.next("kill    1")
	if is("kill    ") {
		t.Error("what was handed out")
	}
	f.put([]byte("short"))
	f.reserve([]byte("kill    dropped"))(discardBit)
	f.put([]byte("exit    1"))
	if is("kill    ") || !is("exit    ") {
		t.Error("not as it was put")
	}
	f.put([]byte("kill    2"))
	finish := f.reserve([]byte("kill!   3"))
	if !is("kill    ") || is("kill!   ") {
		t.Error("not the one that is finished")
	}
	finish(0)
	if !is("kill!   ") {
		t.Error("not the last one")
	}
	for _, want := range []string{"short", "exit    1", "kill    2", "kill!   3"} {
		f.next(want)
	}
}
