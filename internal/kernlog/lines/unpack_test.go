package lines

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// packXZ packs with a dictionary of so many bytes, blocks of at most block.
func packXZ(t *testing.T, text string, dictionary int, block int64) string {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: dictionary, BlockSize: block}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// unpacked reads all that is in one packed text.
func unpacked(packed string) (string, error) {
	src := &source{in: strings.NewReader(packed), buf: make([]byte, bufferBytes)}
	r, err := decompress(nil, src.peek(), src)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), err
}

// TestWindow: memory that unpacking takes is bounded, in the first block or a later one,
// in another stream, and by what a block holds.
func TestWindow(t *testing.T) {
	small := strings.Repeat("a line of a log\n", 1000)
	rnd := rand.New(rand.NewPCG(1, 2))
	var mixed strings.Builder
	for mixed.Len() < 300_000 {
		fmt.Fprintf(&mixed, "%x a line\n", rnd.Uint64())
	}
	const huge = 1 << 27
	for _, tt := range []struct {
		name, packed, want string
		refused            bool
	}{
		{"small", packXZ(t, small, 1<<20, 1<<30), small, false},
		{"many blocks", packXZ(t, mixed.String(), 1<<16, 7001), mixed.String(), false},
		{"many streams, with padding", packXZ(t, mixed.String(), 1<<16, 100_001) + "\x00\x00\x00\x00\x00\x00\x00\x00" + packXZ(t, small, 1<<16, 999), mixed.String() + small, false},
		{"nothing in it", packXZ(t, "", 1<<16, 1<<30), "", false},
		{"preset 9 of a small log", packXZ(t, small, maxDictionary, 1<<30), small, false},
		{"a huge dictionary", packXZ(t, small, huge, 1<<30), "", true},
		{"a huge dictionary in another stream", packXZ(t, small, 1<<16, 5000) + packXZ(t, small, huge, 1<<30), "", true},
		{"a huge dictionary in another block", graft(t, packXZ(t, small, 1<<16, 5000), packXZ(t, small, huge, 1<<30)), "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := unpacked(tt.packed)
			if tt.refused != errors.Is(err, ErrWindow) || !tt.refused && (err != nil || got != tt.want) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// TestLargeDictionary: a dictionary that is allowed for small logs is not for what fills
// it.
func TestLargeDictionary(t *testing.T) {
	const chunks = 513 // of 64 KiB
	stored := strings.Repeat("\x02\xff\xff"+strings.Repeat("x", 1<<16), chunks)
	for bits, want := range map[byte]error{26: nil, 28: ErrWindow} { // 32 MiB, 64 MiB
		head := "\xfd7zXZ\x00\x00\x00crc.\x02\x00\x21\x01" + string(bits) + "\x00\x00\x00crc."
		n, err := io.Copy(io.Discard, newGuard(strings.NewReader(head+stored)))
		if !errors.Is(err, want) || n < maxWindow || want != nil && n > maxWindow+1<<16 {
			t.Errorf("%d: %d bytes, %v", bits, n, err)
		}
	}
}

// graft puts the first block of b behind the blocks of a.
func graft(t *testing.T, a, b string) string {
	t.Helper()
	const header, footer = 12, 12
	backward := int(a[len(a)-8]) | int(a[len(a)-7])<<8
	index := len(a) - footer - (backward+1)*4
	if index <= header || a[index] != 0 {
		t.Fatal("not where the index is")
	}
	return a[:index] + b[header:]
}

func TestWindowOfZstd(t *testing.T) {
	pack := func(text string, window int) string {
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1), zstd.WithSingleSegment(false))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil { // the size is not known before
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	text := strings.Repeat("a line of a log\n", 1000)
	if got, err := unpacked(pack(text, maxWindow)); err != nil || got != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for name, packed := range map[string]string{"first": pack(text, 2*maxWindow), "second": pack(text, 1<<16) + pack(text, 2*maxWindow)} {
		if got, err := unpacked(packed); !errors.Is(err, ErrWindow) {
			t.Errorf("%s frame: %d bytes, %v", name, len(got), err)
		}
	}
}

// FuzzGuard: whatever comes, all of it is passed on or refused, in order, and the same
// however it is cut.
func FuzzGuard(f *testing.F) {
	var b bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16, BlockSize: 100}.NewWriter(&b)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := io.WriteString(w, strings.Repeat("a line\n", 50)); err != nil {
		f.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes(), uint8(3))
	f.Fuzz(func(t *testing.T, packed []byte, cut uint8) {
		whole, wholeErr := io.ReadAll(newGuard(bytes.NewReader(packed)))
		parts := newGuard(bytes.NewReader(packed))
		var got []byte
		var err error
		for piece := make([]byte, int(cut)+1); err == nil; {
			var n int
			n, err = parts.Read(piece)
			got = append(got, piece[:n]...)
		}
		if errors.Is(err, io.EOF) {
			err = nil
		}
		if !errors.Is(err, wholeErr) || !bytes.HasPrefix(packed, got) || err == nil && len(got) != len(packed) || err == nil && !bytes.Equal(whole, got) {
			t.Errorf("%d bytes, %v; in parts %d bytes, %v", len(whole), wholeErr, len(got), err)
		}
	})
}
