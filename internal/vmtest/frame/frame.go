// Package frame carries typed messages over a serial line, from a guest's init
// to the process that runs QEMU.
//
// A frame is the magic, one byte of kind, the lengths of name and data (16 and
// 32 bits, big endian), name, data, and a CRC-32 of all after the magic. Stray
// bytes ahead of the first frame are skipped: probing a port leaves some.
package frame

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"
)

// Kind says what a frame carries.
type Kind byte

// The kinds of frames.
const (
	// Hello is the first frame: init runs. Name is the kernel's release.
	Hello Kind = 'h'
	// Output is a piece of what the command writes to stdout and stderr.
	Output Kind = 'o'
	// File is a file handed out; Name is its path.
	File Kind = 'f'
	// Failure is a reason why init could not run the command, in Data.
	Failure Kind = 'e'
	// Exit is the last frame; Name is the command's exit code in decimal.
	Exit Kind = 'x'
)

// MaxData is the longest data a frame may carry.
const MaxData = 64 << 20

const (
	magic      = "\x16\x02VMF"
	headerSize = 1 + 2 + 4
)

// ErrCorrupt is returned for a frame that arrived damaged.
var ErrCorrupt = errors.New("damaged frame")

// Frame is one message.
type Frame struct {
	Kind Kind
	Name string
	Data []byte
}

// Writer writes frames. It may be used by several goroutines.
type Writer struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write sends one frame.
func (w *Writer) Write(f Frame) error {
	if len(f.Name) > 0xffff || len(f.Data) > MaxData {
		return fmt.Errorf("frame %c %.40q: too long", f.Kind, f.Name)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	b := append(w.buf[:0], magic...)
	b = append(b, byte(f.Kind))
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.Name)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(f.Data)))
	b = append(b, f.Name...)
	b = append(b, f.Data...)
	w.buf = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[len(magic):]))
	_, err := w.w.Write(w.buf)
	return err
}

// Reader reads frames.
type Reader struct {
	r      *bufio.Reader
	synced bool
}

// NewReader returns a Reader on r.
func NewReader(r io.Reader) *Reader { return &Reader{r: bufio.NewReader(r)} }

// Read returns the next frame, io.EOF at a clean end, io.ErrUnexpectedEOF
// inside a frame, or an error that is ErrCorrupt.
func (r *Reader) Read() (Frame, error) {
	if err := r.sync(); err != nil {
		return Frame{}, err
	}
	sum := crc32.NewIEEE()
	body := io.TeeReader(r.r, sum)
	var header [headerSize]byte
	if _, err := io.ReadFull(body, header[:]); err != nil {
		return Frame{}, inside(err)
	}
	nameLen := int64(binary.BigEndian.Uint16(header[1:]))
	dataLen := int64(binary.BigEndian.Uint32(header[3:]))
	if dataLen > MaxData {
		return Frame{}, fmt.Errorf("%w: %d bytes of data", ErrCorrupt, dataLen)
	}
	// A buffer grows with what arrives, so that a wrong length costs nothing.
	var payload bytes.Buffer
	if _, err := io.CopyN(&payload, body, nameLen+dataLen); err != nil {
		return Frame{}, inside(err)
	}
	want := sum.Sum32()
	var got [4]byte
	if _, err := io.ReadFull(r.r, got[:]); err != nil {
		return Frame{}, inside(err)
	}
	if binary.BigEndian.Uint32(got[:]) != want {
		return Frame{}, fmt.Errorf("%w: wrong checksum", ErrCorrupt)
	}
	b := payload.Bytes()
	return Frame{Kind: Kind(header[0]), Name: string(b[:nameLen]), Data: b[nameLen:]}, nil
}

// sync reads up to and including the magic.
func (r *Reader) sync() error {
	for matched := 0; matched < len(magic); {
		c, err := r.r.ReadByte()
		if err != nil {
			if matched > 0 {
				return inside(err)
			}
			return err
		}
		switch {
		case c == magic[matched]:
			matched++
		case r.synced:
			return fmt.Errorf("%w: no magic", ErrCorrupt)
		case c == magic[0]:
			matched = 1
		default:
			matched = 0
		}
	}
	r.synced = true
	return nil
}

func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
