package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	// maxMessage bounds an answer about one container, in bytes: the runtime's
	// own configuration of it may be in there. An engine in a container has to do
	// with less.
	maxMessage        = 4 << 20
	maxForeignMessage = 32 << 10
	// maxFields bounds the fields of the latter: an empty message takes two bytes
	// in an answer, and a hundred times as many once it is parsed.
	maxFields = 2000
	// maxHeaders bounds what precedes and follows an answer, in bytes.
	maxHeaders = 16 << 10
	// maxUnasked bounds all that an engine in a container sends for one question, in
	// bytes: what goes beyond ends the connection, since frames that nobody asked for
	// cost time.
	maxUnasked = maxForeignMessage + 2*maxHeaders
	// ioBuffer is the size of a connection's buffers, in bytes.
	ioBuffer = 4 << 10
	// idle is how long a connection is kept that nothing is asked over.
	idle = 10 * time.Second
)

// socket is a place that can be connected to, if it may be trusted.
type socket struct {
	domain
	path string // as it is named in messages, below root
	root string // the root directory that it is in
	proc string // where proc is mounted
	// node gives the root anew where it is another process's, judged again; nil
	// for this machine's.
	node func() (*os.File, daemon, error)
}

// dial connects. Nothing is connected to but a socket that only the domain's owners
// could have put there, and that one of them answers at.
func (s *socket) dial(ctx context.Context) (net.Conn, error) {
	root, path := s.root, s.path
	if s.node != nil {
		dir, d, err := s.node()
		if err != nil {
			return nil, err
		}
		defer func() { _ = dir.Close() }()
		if d.domain != s.domain {
			return nil, errUntrusted
		}
		root = d.root
		if path, err = filepath.Rel(s.root, s.path); err != nil {
			return nil, err
		}
	}
	if s.node == nil && !filepath.IsAbs(path) {
		var err error
		if path, err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	f, err := openIn(root, path, s.check)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err // else it says the number of the file
	}
	if err != nil {
		return nil, err
	}
	if err := s.answers(s.proc, conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// trusted says that nobody but the domain's owners could have put the place there.
func (s *socket) trusted() error {
	f, err := openIn(s.root, s.path, s.check)
	if err != nil {
		return err
	}
	return f.Close()
}

// client is a connection of gRPC, made when it is needed.
type client struct {
	*socket

	// left is how many bytes may still come before the next question.
	left atomic.Int64

	mu   sync.Mutex
	conn *grpc.ClientConn
	err  error // of the last dial
}

// get gives the connection for one question.
func (c *client) get() (*grpc.ClientConn, error) {
	c.left.Store(maxUnasked)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		return c.conn, nil
	}
	call := []grpc.CallOption{grpc.MaxCallRecvMsgSize(maxMessage)}
	if !c.system() {
		call = []grpc.CallOption{grpc.MaxCallRecvMsgSize(maxForeignMessage), grpc.ForceCodec(sparseCodec{})}
	}
	conn, err := grpc.NewClient("passthrough:///localhost",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := c.dial(ctx)
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.err = err; err == nil && !c.system() {
				conn = &metered{conn, &c.left}
			}
			return conn, err
		}),
		grpc.WithDefaultCallOptions(call...),
		grpc.WithMaxHeaderListSize(maxHeaders),
		grpc.WithReadBufferSize(ioBuffer), grpc.WithWriteBufferSize(ioBuffer),
		grpc.WithIdleTimeout(idle), grpc.WithNoProxy(), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
	)
	c.conn = conn
	return conn, err
}

// metered is a connection that ends once too much has come over it.
type metered struct {
	net.Conn
	left *atomic.Int64
}

var errUnasked = errors.New("the runtime sends what nobody asked for")

func (m *metered) Read(b []byte) (int, error) {
	n, err := m.Conn.Read(b)
	if m.left.Add(-int64(n)) < 0 {
		return 0, errUnasked
	}
	return n, err
}

func (c *client) close() {
	c.mu.Lock()
	conn := c.conn
	c.conn = nil
	c.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

// refused translates a failure: what is a single container's, and what is the
// whole service's. A service that refuses is connected to anew the next time, not
// when gRPC thinks it is time.
func (c *client) refused(ctx context.Context, what string, err, none error) error {
	switch st := status.Convert(err); st.Code() {
	case codes.OK:
		return nil
	case codes.NotFound:
		return errNotFound
	case codes.DeadlineExceeded:
		err = context.DeadlineExceeded
	case codes.Canceled:
		err = context.Canceled
	case codes.Unimplemented:
		err = &downError{none}
	case codes.Unavailable:
		c.mu.Lock()
		cause := c.err
		c.mu.Unlock()
		c.close()
		if cause == nil {
			cause = errors.New(st.Message())
		}
		err = &downError{cause}
	default:
		err = errors.New(st.Message())
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fmt.Errorf("%s: %w", what, err)
}

// sparseCodec reads messages of few fields only.
type sparseCodec struct{}

var errTooManyFields = errors.New("the answer has too many fields")

func (sparseCodec) Name() string                  { return "proto" }
func (sparseCodec) Marshal(v any) ([]byte, error) { return proto.Marshal(v.(proto.Message)) }
func (sparseCodec) Unmarshal(b []byte, v any) error {
	if countFields(b, 4) > maxFields {
		return errTooManyFields
	}
	return proto.Unmarshal(b, v.(proto.Message))
}

// countFields counts the fields of a message and of those in it, to a depth. Texts
// are taken for messages, too.
func countFields(b []byte, depth int) (n int) {
	eachField(b, func(_ fieldNumber, v []byte, _ uint64) {
		if n++; depth > 0 && n <= maxFields {
			n += countFields(v, depth-1)
		}
	})
	return n
}
