package cli

import (
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/oomtrace/oomtrace/internal/container/crifake"
)

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true, UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"runtime": scriptRuntime, "deadsocket": scriptDeadSocket},
	})
}

// scriptRuntime is "runtime SOCKET ID UID": a runtime that knows one container.
func scriptRuntime(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	r := &crifake.Runtime{
		ID: args[1], Container: "app", Image: "shop/cart:1.4", Namespace: "shop", Pod: "cart-7c9f", UID: args[2], MemoryLimitBytes: 64 << 20,
	}
	ts.Defer(r.Serve(l))
}

// scriptDeadSocket is "deadsocket SOCKET": one that nobody listens to.
func scriptDeadSocket(ts *testscript.TestScript, _ bool, args []string) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	ts.Check(err)
	ts.Check(syscall.Bind(fd, &syscall.SockaddrUnix{Name: ts.MkAbs(args[0])}))
	ts.Check(syscall.Close(fd))
}
