package container

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/encoding/protowire"
)

// rpc calls a gRPC service over a socket, with a connection for each call. The
// gRPC library holds an answer in memory as a whole, and what it is parsed to on
// top: for 10 000 containers more than this program may have. Here an answer is
// read item by item, as it arrives.
type rpc struct {
	path string
	// most bounds an answer, in bytes; zero means maxAnswer.
	most uint32
}

const (
	// maxItem bounds one item of an answer, in bytes: a pod in full is at
	// most 1.5 MiB (etcd's limit).
	maxItem = 2 << 20
	// maxHeaders bounds what precedes and follows an answer, in bytes.
	maxHeaders = 16 << 10
)

// The codes of gRPC that matter (google.golang.org/grpc/codes).
const (
	codeDeadlineExceeded = 4
	codeNotFound         = 5
	codeUnimplemented    = 12
)

// rpcError is a call that the service refused.
type rpcError struct {
	code    int
	message string
}

func (e *rpcError) Error() string {
	if e.message == "" {
		return "gRPC code " + strconv.Itoa(e.code)
	}
	return e.message
}

// Is makes the refusals that are no failures of the socket comparable.
func (e *rpcError) Is(target error) bool {
	switch target {
	case errNotFound:
		return e.code == codeNotFound
	case ErrNoRuntime:
		return e.code == codeUnimplemented
	case context.DeadlineExceeded:
		return e.code == codeDeadlineExceeded
	}
	return false
}

var (
	errNoGRPC    = errors.New("does not speak gRPC")
	errMalformed = errors.New("the answer is malformed")
	errTooLong   = errors.New("the answer is too long")
	// errEnough ends a call whose caller takes no more.
	errEnough = errors.New("the rest is not wanted")
)

// fieldFunc takes one field of a message: v is that of a string, bytes or
// message and only valid during the call, x that of a number.
type fieldFunc func(n fieldNumber, v []byte, x uint64) error

// call sends a request and hands each top-level field of the answer to f. An
// error of f ends the call and is returned.
func (r *rpc) call(ctx context.Context, what, method string, request []byte, f fieldFunc) error {
	err := r.try(ctx, method, request, f)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (r *rpc) try(ctx context.Context, method string, request []byte, f fieldFunc) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", r.path)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	// The end of the context ends a read that is under way.
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	s := stream{framer: http2.NewFramer(conn, bufio.NewReaderSize(conn, 4<<10))}
	s.framer.SetMaxReadFrameSize(16 << 10) // HTTP/2's default, and its least
	s.framer.MaxHeaderListSize = maxHeaders
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	s.framer.SetReuseFrames()
	if err := s.send(ctx, conn, method, request); err != nil {
		return err
	}
	most := r.most
	if most == 0 {
		most = maxAnswer
	}
	return s.receive(most, f)
}

// stream is the one call of an HTTP/2 connection
// (grpc/doc/PROTOCOL-HTTP2.md).
type stream struct {
	framer *http2.Framer
	data   []byte // of the last DATA frame, as far as it has not been read
	begun  bool   // the answer's headers were there
	ended  bool
	failed error  // of the connection
	status string // grpc-status and grpc-message of the trailers
	reason string
}

const streamID = 1

func (s *stream) send(ctx context.Context, w io.Writer, method string, request []byte) error {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	fields := []hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: method},
		{Name: ":authority", Value: "localhost"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
	}
	if end, ok := ctx.Deadline(); ok { // so that the other side gives up too
		left := max(time.Until(end).Milliseconds(), 1)
		fields = append(fields, hpack.HeaderField{Name: "grpc-timeout", Value: strconv.FormatInt(min(left, 99_999_999), 10) + "m"})
	}
	for _, f := range fields {
		if err := enc.WriteField(f); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(w, http2.ClientPreface); err != nil {
		return err
	}
	message := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request)))
	return errors.Join(
		s.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: maxHeaders}),
		s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: streamID, BlockFragment: block.Bytes(), EndHeaders: true}),
		s.framer.WriteData(streamID, true, append(message, request...)),
	)
}

// receive reads the answer: one message, and the status behind it.
func (s *stream) receive(most uint32, f fieldFunc) error {
	var head [5]byte
	switch _, err := io.ReadFull(s, head[:]); {
	case errors.Is(err, io.EOF):
		return s.result(true)
	case err != nil:
		return err
	}
	n := binary.BigEndian.Uint32(head[1:])
	switch {
	case head[0] != 0:
		return fmt.Errorf("%w: compressed", errMalformed)
	case n > most:
		return errTooLong
	}
	message := &io.LimitedReader{R: s, N: int64(n)}
	err := fields(bufio.NewReaderSize(message, 4<<10), f)
	switch {
	case s.failed != nil:
		return s.failed
	case err != nil:
		return err
	}
	for !s.ended {
		if err := s.next(); err != nil {
			return err
		}
		if len(s.data) > 0 {
			return errMalformed // one message is an answer
		}
	}
	if err := s.result(false); err != nil || message.N == 0 {
		return err
	}
	return errMalformed
}

// result tells how the call ended.
func (s *stream) result(empty bool) error {
	code, err := strconv.Atoi(s.status)
	switch {
	case err != nil:
		return errNoGRPC
	case code != 0:
		return &rpcError{code: code, message: s.reason}
	case empty:
		return errMalformed
	}
	return nil
}

// Read gives the answer's bytes as they arrive.
func (s *stream) Read(p []byte) (int, error) {
	for len(s.data) == 0 {
		if s.ended {
			return 0, io.EOF
		}
		if err := s.next(); err != nil {
			s.failed = err
			return 0, err
		}
	}
	n := copy(p, s.data)
	s.data = s.data[n:]
	return n, nil
}

// next reads one frame. All data is taken at once, so the other side may send as
// much again: it never has more under way than the window of 64 KiB.
func (s *stream) next() error {
	frame, err := s.framer.ReadFrame()
	if err != nil {
		var conn http2.ConnectionError
		var str http2.StreamError
		if errors.Is(err, http2.ErrFrameTooLarge) || errors.As(err, &conn) || errors.As(err, &str) {
			return fmt.Errorf("%w: %w", errNoGRPC, err)
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // the end of an answer is another one
		}
		return err
	}
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			return s.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			return s.framer.WritePing(true, f.Data)
		}
	case *http2.MetaHeadersFrame:
		return s.headers(f)
	case *http2.DataFrame:
		s.data, s.ended = f.Data(), f.StreamEnded()
		if n := f.Length; n > 0 && !s.ended {
			return errors.Join(s.framer.WriteWindowUpdate(0, n), s.framer.WriteWindowUpdate(streamID, n))
		}
	case *http2.RSTStreamFrame:
		return fmt.Errorf("the call was ended: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		if f.LastStreamID < streamID {
			return fmt.Errorf("the call was refused: %v", f.ErrCode)
		}
	}
	return nil
}

// headers reads those before the answer, and the trailers behind it; they are
// one where there is no answer.
func (s *stream) headers(f *http2.MetaHeadersFrame) error {
	if !s.begun {
		s.begun = true
		kind := ""
		for _, h := range f.Fields {
			if h.Name == "content-type" {
				kind = h.Value
			}
		}
		if f.PseudoValue("status") != "200" || !strings.HasPrefix(kind, "application/grpc") {
			return errNoGRPC
		}
	}
	for _, h := range f.Fields {
		switch h.Name {
		case "grpc-status":
			s.status = h.Value
		case "grpc-message":
			s.reason = h.Value
			if plain, err := url.PathUnescape(h.Value); err == nil {
				s.reason = plain
			}
		}
	}
	s.ended = f.StreamEnded()
	return nil
}

// fields hands each field of a protobuf message to f as it is read.
func fields(r *bufio.Reader, f fieldFunc) error {
	var buf []byte
	for {
		tag, err := binary.ReadUvarint(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		n, kind := protowire.DecodeTag(tag)
		if err != nil || !n.IsValid() {
			return errMalformed
		}
		var v []byte
		var x uint64
		switch kind {
		case protowire.VarintType:
			x, err = binary.ReadUvarint(r)
		case protowire.Fixed64Type:
			_, err = r.Discard(8)
		case protowire.Fixed32Type:
			_, err = r.Discard(4)
		case protowire.BytesType:
			var size uint64
			if size, err = binary.ReadUvarint(r); err == nil && size > maxItem {
				return errTooLong
			}
			if uint64(cap(buf)) < size {
				buf = make([]byte, size)
			}
			v = buf[:size]
			if err == nil {
				_, err = io.ReadFull(r, v)
			}
		default:
			return errMalformed
		}
		if err != nil {
			return errMalformed
		}
		if err := f(n, v, x); err != nil {
			return err
		}
	}
}

type fieldNumber = protowire.Number

// eachField calls f with each field of a message that is in memory. It returns
// false where the message is malformed.
func eachField(b []byte, f func(n fieldNumber, v []byte, x uint64)) bool {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return false
		}
		b = b[size:]
		var v []byte
		var x uint64
		switch kind {
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			x, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return false
		}
		b = b[size:]
		f(n, v, x)
	}
	return true
}

// appendText appends a field that is a string or a message, unless it is empty.
func appendText[T string | []byte](b []byte, n fieldNumber, v T) []byte {
	if len(v) == 0 {
		return b
	}
	b = protowire.AppendTag(b, n, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(len(v)))
	return append(b, v...)
}
