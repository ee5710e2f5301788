// Package ring reads a BPF ring buffer and gives the kernel back what was read
// only when it is done: a record counts as delivered once it has been written
// out, so a reader that dies before leaves it for the next one.
//
//	rec, err := r.Next(ctx)
//	... write it ...
//	r.Done()
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
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	headerBytes = 8
	busyBit     = 1 << 31
	discardBit  = 1 << 30
	lengthMask  = discardBit - 1
)

// busyPause is how long a record that is still being written is left alone: it
// is finished in a moment, since BPF cannot sleep in between.
const busyPause = 50 * time.Microsecond

var (
	// ErrClosed is returned by a reader that was closed.
	ErrClosed = os.ErrClosed
	// ErrCorrupt reports a ring whose positions or lengths cannot be: another
	// process wrote to its consumer page.
	ErrCorrupt = errors.New("ring is corrupt")
)

// Record is one record of the ring. Bytes alias the ring, or the reader's buffer
// for a record that wraps: they are valid until Done.
type Record struct {
	Bytes []byte
	// Pos is where the record lies.
	Pos uint64
}

// Head is how a record begins; a shorter one is filled up with zeros.
type Head [8]byte

// memory is the mapped ring: apart from Reader, so that it can be tested
// without a kernel.
type memory struct {
	consumer *atomic.Uint64
	producer *atomic.Uint64
	data     []byte
	size     uint64
	// wrapped holds the record that goes on at the start of data.
	wrapped []byte
}

// wrapBytes is room for any record of this program's, so that a wrap allocates
// nothing; a longer one makes more room.
const wrapBytes = 36 << 10

// Reader reads one ring. Next and Done are for one goroutine; the other methods
// may be called from any.
type Reader struct {
	mem   memory
	pages [][]byte

	// file is the map for the runtime's poller: a wait takes no thread, and the one that
	// finds a record goes on with it. In a system call of its own the reader would lose
	// its processor, and wake two other threads to get it back.
	file *os.File
	conn syscall.RawConn

	mu      sync.Mutex
	ctx     context.Context // what wakes a wait, and how to release it
	unwatch func() bool
	end     uint64 // where the record in use ends; 0: none is in use
	closed  bool
}

// Open maps the ring of a BPF_MAP_TYPE_RINGBUF map with size bytes of data. It
// goes on at the position where the last reader stopped. The descriptor stays
// the caller's.
func Open(mapFD, size int) (*Reader, error) {
	r := &Reader{}
	err := r.mapPages(mapFD, size)
	if err == nil {
		err = r.openFile(mapFD)
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Reader) openFile(mapFD int) error {
	fd, err := unix.FcntlInt(uintptr(mapFD), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("duplicate ring: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // what has os.NewFile poll it
		return errors.Join(fmt.Errorf("poll ring: %w", err), unix.Close(fd))
	}
	r.file = os.NewFile(uintptr(fd), "ring")
	if r.conn, err = r.file.SyscallConn(); err != nil {
		return fmt.Errorf("poll ring: %w", err)
	}
	return nil
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
	return r.mem.check()
}

// check holds what an earlier reader left against what can be: with a consumer position
// that is not within the ring the kernel would find no room for any record, or records
// would be read from within others.
func (m *memory) check() error {
	// What is ahead of the producer is more than a ring behind it, too: these wrap.
	consumer, producer := m.consumer.Load(), m.producer.Load()
	if consumer%headerBytes != 0 || producer-consumer > m.size {
		return fmt.Errorf("%w: read up to %d of %d", ErrCorrupt, consumer, producer)
	}
	return nil
}

// slot is what lies at a position of the ring.
type slot struct {
	at, n     uint64 // where in data the bytes are, and how many
	end       uint64 // where the next one starts
	discarded bool
	busy      bool // there is a record, and it is still being written
	ready     bool // there is a record, and it is finished
}

// peek looks at pos. The slot is neither ready nor busy when the ring is empty.
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
		return slot{busy: true}, nil
	}
	n := uint64(length & lengthMask)
	end := pos + (headerBytes+n+7)&^7
	if end > producer || end-pos > m.size {
		return slot{}, fmt.Errorf("%w: %d bytes at %d of %d", ErrCorrupt, n, pos, producer)
	}
	return slot{at: (at + headerBytes) & (m.size - 1), n: n, end: end, discarded: length&discardBit != 0, ready: true}, nil
}

// head is how a record begins. It never wraps, so nothing is put together: the
// record in use may be.
func (m *memory) head(s slot) (h Head) {
	copy(h[:min(s.n, uint64(len(h)))], m.data[s.at:])
	return h
}

// bytes returns the whole record.
func (m *memory) bytes(s slot) []byte {
	at, n := s.at, s.n
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

// Next waits for the next record; without a Done in between it is the same again.
// Once ctx is done it returns what the ring still holds and then io.EOF.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	r.watch(ctx)
	for {
		last := ctx.Err() != nil
		rec, found, err := r.take()
		switch {
		case err != nil:
			return Record{}, err
		case found.ready:
			return rec, nil
		case found.busy:
			time.Sleep(busyPause)
		case last:
			return Record{}, io.EOF
		default:
			if err := r.wait(ctx); err != nil {
				return Record{}, err
			}
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
	r.ctx, r.unwatch = ctx, context.AfterFunc(ctx, r.wakeUp)
}

// wakeUp ends a wait.
func (r *Reader) wakeUp() { _ = r.file.SetReadDeadline(time.Unix(1, 0)) }

// take gives the first record that the kernel has not got back, and gives back
// those that were discarded before it.
func (r *Reader) take() (Record, slot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if r.closed {
			return Record{}, slot{}, ErrClosed
		}
		pos := r.mem.consumer.Load()
		s, err := r.mem.peek(pos)
		if err != nil || !s.ready {
			return Record{}, s, err
		}
		if !s.discarded {
			r.end = s.end
			return Record{Bytes: r.mem.bytes(s), Pos: pos}, s, nil
		}
		r.mem.consumer.Store(s.end)
	}
}

// Done gives the record that Next returned back to the kernel.
func (r *Reader) Done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != 0 && !r.closed {
		r.mem.consumer.Store(r.end)
	}
	r.end = 0
}

// Unread counts the finished records that the kernel has not got back and that
// of says yes to: whether the one in use is such a one, and how many are behind it.
func (r *Reader) Unread(of func(Head) bool) (inUse bool, behind int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false, 0
	}
	for pos := r.mem.consumer.Load(); ; {
		s, err := r.mem.peek(pos)
		if err != nil || !s.ready {
			return inUse, behind
		}
		if !s.discarded && of(r.mem.head(s)) {
			if s.end == r.end {
				inUse = true
			} else {
				behind++
			}
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

// wait waits until there may be something new.
func (r *Reader) wait(ctx context.Context) error {
	err := r.conn.Read(func(uintptr) bool { return r.isMore() })
	switch {
	case err == nil, r.isClosed(): // Next says so
		return nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("wait for ring: %w", err)
	case ctx.Err() == nil: // it was for another context
		return r.file.SetReadDeadline(time.Time{})
	}
	return nil
}

// isMore says that something was sent that is not done, or that nothing will be.
func (r *Reader) isMore() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed || r.mem.consumer.Load() != r.mem.producer.Load()
}

func (r *Reader) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// Close unmaps the ring; what is not done stays in it. A Next that waits returns
// ErrClosed. It can be called again.
func (r *Reader) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	if r.unwatch != nil {
		r.unwatch()
	}
	var errs []error
	for _, p := range r.pages {
		errs = append(errs, unix.Munmap(p))
	}
	r.pages, r.mem = nil, memory{}
	r.mu.Unlock()
	if r.file != nil { // a wait may be asking for mu
		errs = append(errs, r.file.Close())
	}
	return errors.Join(errs...)
}
