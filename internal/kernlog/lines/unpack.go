package lines

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// maxWindow bounds how much of what it has unpacked a decoder has to keep. gzip keeps
// 32 KiB; xz up to its preset 8 and zstd up to 20 are within.
const maxWindow = 32 << 20

// ErrWindow is the error for a log that takes more memory to unpack.
var ErrWindow = fmt.Errorf("it takes more than %d MiB of memory to unpack", maxWindow>>20)

// decompress unpacks what gzip, xz or zstd has packed.
func decompress(_ Grammar, head []byte, src *source) (z io.Reader, err error) {
	name := ""
	switch {
	case scan.HasPrefix(head, "\x1f\x8b"):
		name = "gzip"
		z, err = gzip.NewReader(&packed{src})
	case scan.HasPrefix(head, "\xfd7zXZ\x00"):
		name = "xz"
		guard := newGuard(&packed{src})
		if z, err = xz.NewReader(guard); err == nil {
			z = &explained{z, func(err error) error {
				if guard.err != nil { // what the decoder makes of it does not tell
					err = fmt.Errorf("xz: %w: try xz -dc FILE | oomtrace read", guard.err)
				}
				return err
			}}
		}
	case scan.HasPrefix(head, "\x28\xb5\x2f\xfd"):
		name = "zstd"
		var d *zstd.Decoder
		// One goroutine's worth of work in the caller's: nothing to close.
		d, err = zstd.NewReader(&packed{src}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		z = &explained{d, func(err error) error {
			if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
				err = fmt.Errorf("zstd: %w: try zstd -dcM2GB FILE | oomtrace read", ErrWindow)
			}
			return err
		}}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return z, nil
}

// explained is a decoder whose errors are told in other words.
type explained struct {
	io.Reader
	explain func(error) error
}

func (e *explained) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if err != nil {
		err = e.explain(err)
	}
	return n, err
}

// guard follows the format of xz, as far as it takes to know how much memory the decoder
// needs, since that allocates what any block asks for (The .xz File Format, 1.2.1). Up to
// maxDictionary may be asked for, as preset 9 does for logs of any size; of a block that
// then turns out to use it no more is passed on.
type guard struct {
	in    io.Reader
	err   error
	ended bool // what follows is not understood: the decoder refuses it

	state func(*guard, []byte)
	want  int    // bytes that the state takes
	field []byte // those that are there
	skip  int64
	at    int64 // bytes so far

	check int64 // bytes of a block's check
	large bool  // a block's dictionary is larger than maxWindow
	out   int64 // bytes that the block unpacks to, so far
	chunk byte  // how a chunk begins

	values  uint64 // of the index that are to come, once that is known
	shift   int
	counted bool
}

const maxDictionary = 64 << 20

func newGuard(in io.Reader) *guard {
	g := &guard{in: in}
	g.expect(4, (*guard).begin)
	return g
}

// Read implements io.Reader.
func (g *guard) Read(b []byte) (int, error) {
	if g.err != nil {
		return 0, g.err
	}
	n, err := g.in.Read(b)
	if end := g.follow(b[:n]); end < n || g.err != nil {
		return end, g.err
	}
	return n, err
}

// follow returns how much of b may be passed on.
func (g *guard) follow(b []byte) int {
	for i := 0; i < len(b) && !g.ended; {
		if g.skip > 0 {
			n := min(g.skip, int64(len(b)-i))
			i, g.skip, g.at = i+int(n), g.skip-n, g.at+n
			continue
		}
		from := i
		n := min(g.want-len(g.field), len(b)-i)
		g.field = append(g.field, b[i:i+n]...)
		i, g.at = i+n, g.at+int64(n)
		if len(g.field) < g.want {
			break
		}
		field := g.field
		g.field = g.field[:0]
		if g.state(g, field); g.err != nil {
			return from
		}
	}
	return len(b)
}

func (g *guard) expect(n int, state func(*guard, []byte)) { g.want, g.state = n, state }

// begin is at a stream's header, or at padding before it.
func (g *guard) begin(b []byte) {
	if !bytes.Equal(b, []byte{0, 0, 0, 0}) {
		g.expect(8, (*guard).stream)
	}
}

func (g *guard) stream(b []byte) {
	sizes := [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
	g.check = sizes[b[3]&15]
	g.expect(1, (*guard).block)
}

// block is at a block's header or, with a zero, at the index.
func (g *guard) block(b []byte) {
	if b[0] == 0 {
		g.values, g.shift, g.counted = 0, 0, false
		g.expect(1, (*guard).index)
		return
	}
	g.expect((int(b[0])+1)*4-1, (*guard).header)
}

// header reads which filter the block has: LZMA2 alone is known to the decoder.
func (g *guard) header(b []byte) {
	const hasPacked, hasUnpacked, lzma2 = 0x40, 0x80, 0x21
	flags, rest := b[0], b[1:]
	for _, flag := range [...]byte{hasPacked, hasUnpacked} {
		if flags&flag != 0 {
			_, n := binary.Uvarint(rest)
			rest = rest[max(n, 0):]
		}
	}
	if flags&3 != 0 || len(rest) < 3 || rest[0] != lzma2 || rest[1] != 1 || rest[2] > 40 {
		g.ended = true
		return
	}
	size := int64(2|rest[2]&1) << (rest[2]/2 + 11)
	if size > maxDictionary {
		g.err = ErrWindow
	}
	g.large, g.out = size > maxWindow, 0
	g.expect(1, (*guard).lzma)
}

// lzma is at a chunk of LZMA2, or at the end of the block.
func (g *guard) lzma(b []byte) {
	switch g.chunk = b[0]; {
	case b[0] == 0:
		g.skip = -g.at&3 + g.check
		g.expect(1, (*guard).block)
	case b[0] < 3: // stored
		g.expect(2, (*guard).sizes)
	case b[0] < 0x80:
		g.ended = true
	case b[0] < 0xc0:
		g.expect(4, (*guard).sizes)
	default: // with new properties
		g.expect(5, (*guard).sizes)
	}
}

func (g *guard) sizes(b []byte) {
	out := int64(binary.BigEndian.Uint16(b)) + 1
	g.skip = out
	if g.chunk >= 0x80 {
		out += int64(g.chunk&0x1f) << 16
		g.skip = int64(binary.BigEndian.Uint16(b[2:])) + 1
	}
	if g.out += out; g.large && g.out > maxWindow {
		g.err = ErrWindow
	}
	g.expect(1, (*guard).lzma)
}

// index is at a byte of one of its numbers: how many pairs there are, and these.
func (g *guard) index(b []byte) {
	const checksum, footer = 4, 12
	last := b[0]&0x80 == 0
	switch {
	case g.counted && last:
		g.values--
	case !g.counted:
		g.values |= uint64(b[0]&0x7f) << g.shift
		if g.shift += 7; g.shift > 63 {
			g.ended = true
		}
		if last {
			g.counted, g.values = true, 2*g.values
		}
	}
	if g.counted && g.values == 0 {
		g.skip = -g.at&3 + checksum + footer
		g.expect(4, (*guard).begin)
	}
}
