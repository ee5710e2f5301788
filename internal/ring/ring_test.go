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
	f.r = &Reader{mem: memory{consumer: &f.consumer, producer: &f.producer, data: data, size: size}}
	if err := f.r.openFile(fd); err != nil {
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
		f.r.Done()
		f.consumed(f.producer.Load())
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
	f.r.Done()
	f.next("after")
	f.r.Done()

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
	f.r.Done()
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
	f.next("one")
	f.consumed(16) // what was discarded first is given back at once
	f.r.Done()
	f.consumed(32)
	f.next("two")
	f.consumed(48)
	f.r.Done()
	f.consumed(f.producer.Load())
	f.reserve([]byte("no"))(discardBit)
	if _, err := f.r.Next(done()); !errors.Is(err, io.EOF) {
		t.Errorf("nothing but a discarded record: %v", err)
	}
	f.consumed(f.producer.Load())
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
		f.r.Done()
	}
	for range 2 {
		if _, err := f.r.Next(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("drained: %v", err)
		}
	}
	f.put([]byte("c"))
	f.next("c")
	f.r.Done()
}

// TestWaits lets Next wait for a record, and for the context.
func TestWaits(t *testing.T) {
	f := newFake(t, 4096)
	for range 20 {
		go func() {
			time.Sleep(time.Millisecond)
			f.put([]byte("here"))
		}()
		f.next("here")
		f.quiet()
		f.r.Done()
	}
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if _, err := f.r.Next(ctx); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		cancel()
	}
}

// TestWakesOnce: a wake-up that came late, for a context of before, ends one wait only.
func TestWakesOnce(t *testing.T) {
	f := newFake(t, 4096)
	f.r.wakeUp()
	if err := f.r.wait(t.Context()); err != nil {
		t.Error(err)
	}
	const pause = 20 * time.Millisecond
	time.AfterFunc(pause, func() { f.put([]byte("here")) })
	began := time.Now()
	if err := f.r.wait(t.Context()); err != nil || time.Since(began) < pause/2 {
		t.Errorf("a wake-up is left: %v", err)
	}
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
	f.next("a")
	f.put([]byte("b"))
	for range 2 {
		if err := f.r.Close(); err != nil {
			t.Error(err)
		}
	}
	f.r.Done()
	f.consumed(0) // the next reader gets it again
	if inUse, behind := f.r.Unread(func(Head) bool { return true }); inUse || behind != 0 || f.r.End() != 0 {
		t.Errorf("in a closed ring: %v, %d, end %d", inUse, behind, f.r.End())
	}
	for _, ctx := range []context.Context{t.Context(), done()} {
		if _, err := f.r.Next(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("next: %v", err)
		}
	}
}

// TestInUse: a record is the reader's until it is done, come what may: others are
// sent, it is asked for again, the ring is looked through. One that wraps is in
// the reader's buffer.
func TestInUse(t *testing.T) {
	f := newFake(t, 64)
	for _, first := range []string{"y", "a record that wraps"} {
		for f.producer.Load()%64 != 48 { // 8 bytes of it lie before the ring's end
			f.put([]byte("y"))
			f.next("y")
			f.r.Done()
		}
		at := f.consumer.Load()
		f.put([]byte(first))
		rec := f.next(first)
		f.put([]byte("another"))
		if inUse, behind := f.r.Unread(func(Head) bool { return true }); !inUse || behind != 1 {
			t.Errorf("in use %v, %d behind it", inUse, behind)
		}
		if again := f.next(first); again.Pos != rec.Pos || rec.Pos != at {
			t.Errorf("at %d, again at %d", rec.Pos, again.Pos)
		}
		f.consumed(at)
		if string(rec.Bytes) != first {
			t.Errorf("%q turned into %q", first, rec.Bytes)
		}
		f.r.Done()
		f.r.Done() // is nothing
		f.next("another")
		f.r.Done()
		f.consumed(f.producer.Load())
	}
}

// TestUnread looks at how the records begin that are left, without touching any,
// past what was discarded, up to the first that is still being written.
func TestUnread(t *testing.T) {
	f := newFake(t, 4096)
	unread := func(kind string, wantInUse bool, wantBehind int) {
		t.Helper()
		inUse, behind := f.r.Unread(func(h Head) bool { return string(h[:4]) == kind })
		if inUse != wantInUse || behind != wantBehind {
			t.Errorf("%s: in use %v, %d behind; want %v, %d", kind, inUse, behind, wantInUse, wantBehind)
		}
	}
	unread("kill", false, 0)
	f.put([]byte("kill    1"))
	unread("kill", false, 1)
	f.next("kill    1")
	unread("kill", true, 0)
	unread("exit", false, 0)
	f.put([]byte("sh"))
	unread("sh\x00\x00", false, 1) // nothing of the one before shows through
	f.reserve([]byte("kill    dropped"))(discardBit)
	f.put([]byte("exit    1"))
	f.put([]byte("kill    2"))
	unread("kill", true, 1)
	unread("exit", false, 1)
	finish := f.reserve([]byte("late    3"))
	m := f.r.mem
	copy(m.data[(f.producer.Load()-16)&(m.size-1):], "late    3") // written, but not finished
	f.put([]byte("exit    2"))
	unread("late", false, 0)
	unread("exit", false, 1)
	finish(0)
	unread("late", false, 1)
	unread("exit", false, 2)
	for _, want := range []string{"kill    1", "sh", "exit    1", "kill    2", "late    3", "exit    2"} {
		f.next(want)
		f.r.Done()
	}
	if f.r.End() != f.producer.Load() {
		t.Errorf("end %d, want %d", f.r.End(), f.producer.Load())
	}
}

// TestConcurrent looks through the ring while records come and are read.
func TestConcurrent(t *testing.T) {
	f := newFake(t, 1<<12)
	const n = 2000
	go func() {
		var b [24]byte
		for i := range uint64(n) {
			for f.producer.Load()-f.consumer.Load() > 1<<11 {
				time.Sleep(time.Microsecond)
			}
			binary.LittleEndian.PutUint64(b[:], i)
			f.put(b[:])
		}
	}()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				last := uint64(0)
				f.r.Unread(func(h Head) bool {
					if i := binary.LittleEndian.Uint64(h[:]); last != 0 && i != last+1 {
						t.Errorf("%d after %d", i, last)
					} else {
						last = i
					}
					return true
				})
			}
		})
	}
	for i := range uint64(n) {
		rec, err := f.r.Next(t.Context())
		if err != nil || binary.LittleEndian.Uint64(rec.Bytes) != i {
			t.Fatalf("record %d: %v", i, err)
		}
		f.r.Done()
	}
	close(stop)
	wg.Wait()
	f.consumed(f.producer.Load())
}

// TestCorrupt reads a ring whose consumer page another process wrote to.
func TestCorrupt(t *testing.T) {
	for name, scribble := range map[string]func(*fake){
		"position between records": func(f *fake) { f.consumer.Store(16) },
		"position not aligned":     func(f *fake) { f.consumer.Store(3) },
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

// TestPositions: a ring is refused whose positions cannot be, as whoever may write to a
// pinned map can leave them.
func TestPositions(t *testing.T) {
	const size = 4096
	for _, tt := range []struct {
		name               string
		consumer, producer uint64
		ok                 bool
	}{
		{"empty", 0, 0, true},
		{"all read", 8 * size, 8 * size, true},
		{"full", 7 * size, 8 * size, true},
		{"some", 8*size - 64, 8 * size, true},
		{"read beyond the end", 8*size + 8, 8 * size, false},
		{"far beyond it", 1 << 63, 8 * size, false},
		{"more than there is room for", 7*size - 8, 8 * size, false},
		{"within a header", 8*size - 4, 8 * size, false},
	} {
		m := memory{consumer: new(atomic.Uint64), producer: new(atomic.Uint64), size: size}
		m.consumer.Store(tt.consumer)
		m.producer.Store(tt.producer)
		if err := m.check(); tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", tt.name, err)
		}
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
		if s.ready && (err != nil || s.busy || s.end <= pos || s.end > producer || s.n > size-headerBytes || s.end%8 != 0) {
			t.Errorf("%d bytes from %d to %d of %d", s.n, pos, s.end, producer)
		}
		if s.ready {
			whole := m.bytes(s)
			if h := m.head(s); uint64(len(whole)) != s.n || !bytes.HasPrefix(whole, h[:min(len(whole), len(h))]) {
				t.Errorf("%d bytes %x, head %x", s.n, whole, h)
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	f := newFake(&testing.T{}, 1<<16)
	payload := make([]byte, 1000)
	b.ReportAllocs()
	for b.Loop() {
		f.reserve(payload)(0)
		if _, err := f.r.Next(b.Context()); err != nil {
			b.Fatal(err)
		}
		f.r.Done()
	}
}
