// Package ring reads a BPF ring buffer and gives the kernel back what was read
// only when it is acknowledged: a record counts as delivered once it has been
// written out, so a reader that dies before leaves it for the next one.
//
// The layout is the kernel's (kernel/bpf/ringbuf.c, ringbuf_map_mmap): a page
// with the consumer position, which user space writes, a page with the producer
// position, and the data. The kernel would map the data twice in a row, so that
// no record wraps; it is mapped once here, since each mapping counts as resident
// memory of the reader, and the one record that wraps is put together.
package ring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	headerBytes = 8
	busyBit     = 1 << 31
	discardBit  = 1 << 30
	lengthMask  = discardBit - 1
	// window bounds the records that are handed out and not acknowledged.
	window = 512
)

// heldWait is how often the ring is looked at while records are not
// acknowledged: its descriptor then always says that there is something.
const heldWait = 10 * time.Millisecond

var (
	// ErrClosed is returned by a reader that was closed.
	ErrClosed = os.ErrClosed
	// ErrCorrupt reports a ring whose positions or lengths cannot be: somebody
	// else wrote to its consumer page.
	ErrCorrupt = errors.New("ring is corrupt")
)

// Record is one record of the ring. Bytes alias the ring, or the reader's buffer
// for a record that wraps: they are valid until the record is acknowledged.
type Record struct {
	Bytes []byte
	// Pos names the record to Ack.
	Pos uint64
}

// memory is the mapped ring: apart from Reader, so that it can be tested
// without a kernel.
type memory struct {
	consumer *atomic.Uint64
	producer *atomic.Uint64
	data     []byte
	size     uint64
	// wrapped holds the record that goes on at the start of data. There is only
	// one before the kernel gets back the space that it lies in.
	wrapped []byte
}

// wrapBytes is room for any record of this program's, so that a wrap allocates
// nothing; a longer one makes more room.
const wrapBytes = 36 << 10

// pending is a record handed out, or passed over, that the kernel has not got
// back yet.
type pending struct {
	start, end uint64
	done       bool
}

// Reader reads one ring. Next is for one goroutine; Ack and Close may come
// from others.
type Reader struct {
	mem    memory
	epoll  int
	event  int
	pages  [][]byte
	events [2]unix.EpollEvent

	ctx     context.Context // what wakes a wait, and how to let go of it
	unwatch func() bool

	mu      sync.Mutex
	changed *sync.Cond // acknowledged, closed or no longer waiting
	queue   []pending  // ascending, a ring of its own
	first   int
	count   int
	next    uint64 // where Next goes on
	waiting bool   // Next is using the descriptors
	closed  bool
}

// Open maps the ring of a BPF_MAP_TYPE_RINGBUF map with size bytes of data. It
// goes on at the position where the last reader stopped. The descriptor stays
// the caller's.
func Open(mapFD, size int) (*Reader, error) {
	r := &Reader{epoll: -1, event: -1}
	r.init()
	err := r.mapPages(mapFD, size)
	if err == nil {
		err = r.openWait(mapFD)
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	r.next = r.mem.consumer.Load()
	return r, nil
}

// openWait opens what a wait for the ring needs.
func (r *Reader) openWait(mapFD int) (err error) {
	if r.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("create epoll: %w", err)
	}
	if r.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("create eventfd: %w", err)
	}
	for _, fd := range []int{mapFD, r.event} {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return fmt.Errorf("watch ring: %w", err)
		}
	}
	return nil
}

func (r *Reader) init() {
	r.queue = make([]pending, window)
	r.changed = sync.NewCond(&r.mu)
}

func (r *Reader) mapPages(fd, size int) error {
	page := os.Getpagesize()
	consumer, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map consumer page: %w", err)
	}
	r.pages = append(r.pages, consumer)
	producer, err := unix.Mmap(fd, int64(page), page+size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map ring: %w", err)
	}
	r.pages = append(r.pages, producer)
	r.mem = memory{
		consumer: (*atomic.Uint64)(unsafe.Pointer(&consumer[0])),
		producer: (*atomic.Uint64)(unsafe.Pointer(&producer[0])),
		data:     producer[page:],
		size:     uint64(size),
		wrapped:  make([]byte, wrapBytes),
	}
	return nil
}

// slot is what lies at a position of the ring.
type slot struct {
	bytes     []byte
	end       uint64 // where the next one starts
	discarded bool
	ready     bool // there is a record, and it is finished
}

// head is how a record begins, and where it ends. Its first 8 bytes never wrap,
// so that nothing is put together: another record may be, and be in use.
type head struct {
	bytes [8]byte
	whole bool
	end   uint64
}

func (m *memory) head(pos uint64) (head, bool) {
	producer := m.producer.Load()
	at := pos & (m.size - 1)
	if pos >= producer || at%headerBytes != 0 {
		return head{}, false
	}
	length := (*atomic.Uint32)(unsafe.Pointer(&m.data[at])).Load()
	n := uint64(length & lengthMask)
	h := head{end: pos + (headerBytes+n+7)&^7}
	if length&busyBit != 0 || h.end > producer || h.end-pos > m.size {
		return head{}, false
	}
	if n >= 8 && length&discardBit == 0 {
		h.whole = true
		copy(h.bytes[:], m.data[(at+headerBytes)&(m.size-1):])
	}
	return h, true
}

// peek looks at pos. The slot is not ready when the ring is empty, or when the
// record is still being written.
func (m *memory) peek(pos uint64) (slot, error) {
	producer := m.producer.Load()
	if pos >= producer {
		return slot{}, nil
	}
	at := pos & (m.size - 1)
	if at%headerBytes != 0 {
		return slot{}, fmt.Errorf("%w: position %d", ErrCorrupt, pos)
	}
	length := (*atomic.Uint32)(unsafe.Pointer(&m.data[at])).Load()
	if length&busyBit != 0 {
		return slot{}, nil
	}
	n := uint64(length & lengthMask)
	end := pos + (headerBytes+n+7)&^7
	if end > producer || end-pos > m.size {
		return slot{}, fmt.Errorf("%w: %d bytes at %d of %d", ErrCorrupt, n, pos, producer)
	}
	s := slot{end: end, discarded: length&discardBit != 0, ready: true}
	if !s.discarded {
		s.bytes = m.at((at+headerBytes)&(m.size-1), n)
	}
	return s, nil
}

// at returns n bytes from at on.
func (m *memory) at(at, n uint64) []byte {
	if at+n <= m.size {
		return m.data[at : at+n]
	}
	if uint64(len(m.wrapped)) < n {
		m.wrapped = make([]byte, n)
	}
	head := copy(m.wrapped, m.data[at:])
	copy(m.wrapped[head:n], m.data)
	return m.wrapped[:n]
}

// Next waits for the next record. Once ctx is done it returns what the ring
// still holds and then io.EOF. It waits, too, while too many records are
// unacknowledged.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	r.watch(ctx)
	for {
		rec, ok, err := r.take()
		if ok || err != nil {
			return rec, err
		}
		if ctx.Err() != nil && !r.busy() {
			return Record{}, io.EOF
		}
		if err := r.wait(); err != nil {
			return Record{}, err
		}
	}
}

// watch lets the end of ctx end a wait. A reader is nearly always given the same
// context, which is watched once.
func (r *Reader) watch(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == ctx || r.closed {
		return
	}
	if r.unwatch != nil {
		r.unwatch()
	}
	r.ctx, r.unwatch = ctx, context.AfterFunc(ctx, r.wake)
}

// take hands out the record at next, if there is one.
func (r *Reader) take() (Record, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		for r.count == window && !r.closed {
			r.changed.Wait()
		}
		if r.closed {
			return Record{}, false, ErrClosed
		}
		s, err := r.mem.peek(r.next)
		if err != nil || !s.ready {
			return Record{}, false, err
		}
		start := r.next
		r.next = s.end
		r.queue[(r.first+r.count)%window] = pending{start: start, end: s.end, done: s.discarded}
		r.count++
		if !s.discarded {
			return Record{Bytes: s.bytes, Pos: start}, true, nil
		}
		r.advance()
	}
}

// Ahead says whether a finished record that has not been handed out begins with
// bytes that f accepts; of a shorter one than 8 bytes it is not asked.
func (r *Reader) Ahead(f func(head [8]byte) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pos := r.next; !r.closed; {
		h, ok := r.mem.head(pos)
		if !ok {
			return false
		}
		if h.whole && f(h.bytes) {
			return true
		}
		pos = h.end
	}
	return false
}

// busy says that a record has been reserved and not been finished: it will be
// in a moment, since BPF cannot sleep in between.
func (r *Reader) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.closed && r.next < r.mem.producer.Load()
}

// wait waits until there may be something new. Close waits for it to return
// before it closes the descriptors: their numbers could be somebody else's next.
func (r *Reader) wait() error {
	if r.busy() {
		runtime.Gosched()
		time.Sleep(50 * time.Microsecond)
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	r.waiting = true
	held := r.count > 0
	r.mu.Unlock()
	err := r.sleep(held)
	r.mu.Lock()
	r.waiting = false
	r.changed.Broadcast()
	if err != nil {
		return fmt.Errorf("wait for ring: %w", err)
	}
	return nil
}

// sleep waits for the ring or a wake. While records are held the ring's
// descriptor would end each wait at once, so only a wake ends it early.
func (r *Reader) sleep(held bool) error {
	var err error
	if held {
		fds := []unix.PollFd{{Fd: int32(r.event), Events: unix.POLLIN}}
		_, err = unix.Poll(fds, int(heldWait.Milliseconds()))
	} else {
		_, err = unix.EpollWait(r.epoll, r.events[:], -1)
	}
	var woken [8]byte
	_, _ = unix.Read(r.event, woken[:])
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

// wake ends a wait.
func (r *Reader) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bell()
}

// bell ends a wait; mu is held.
func (r *Reader) bell() {
	if r.event >= 0 {
		one := [8]byte{0: 1}
		_, _ = unix.Write(r.event, one[:])
	}
}

// Ack gives the record at pos back to the kernel, as soon as all before it are
// acknowledged too. A position that is not pending is ignored.
func (r *Reader) Ack(pos uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.count {
		p := &r.queue[(r.first+i)%window]
		if p.start == pos {
			p.done = true
			break
		}
	}
	r.advance()
}

// advance moves the consumer position over the acknowledged prefix.
func (r *Reader) advance() {
	moved := false
	for r.count > 0 && r.queue[r.first].done && !r.closed {
		r.mem.consumer.Store(r.queue[r.first].end)
		r.first = (r.first + 1) % window
		r.count--
		moved = true
	}
	if moved {
		r.changed.Broadcast()
	}
}

// Pending is how many records are handed out and not acknowledged.
func (r *Reader) Pending() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Unread is how many records, of those that of says yes to, the kernel has not
// got back: those handed out and not acknowledged, and those behind them. It may
// be called while a Next hangs on an earlier record.
func (r *Reader) Unread(of func([]byte) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0
	}
	n := 0
	view := r.mem
	view.wrapped = nil // the reader's may be in use
	for pos := view.consumer.Load(); ; {
		s, err := view.peek(pos)
		if err != nil || !s.ready {
			return n
		}
		if !s.discarded && of(s.bytes) {
			n++
		}
		pos = s.end
	}
}

// End is the position behind the last record that was sent so far.
func (r *Reader) End() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0
	}
	return r.mem.producer.Load()
}

// Available is how many bytes lie between the two positions.
func (r *Reader) Available() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0
	}
	return r.mem.producer.Load() - r.mem.consumer.Load()
}

// Close unmaps the ring; what was not acknowledged stays in it. A Next that
// waits returns ErrClosed. It can be called again.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.unwatch != nil {
		r.unwatch()
	}
	r.bell()
	r.changed.Broadcast()
	for r.waiting {
		r.changed.Wait()
	}
	var errs []error
	for _, p := range r.pages {
		errs = append(errs, unix.Munmap(p))
	}
	for _, fd := range []int{r.epoll, r.event} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	r.pages, r.epoll, r.event, r.mem = nil, -1, -1, memory{}
	return errors.Join(errs...)
}
