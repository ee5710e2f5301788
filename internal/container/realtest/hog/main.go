// Hog is the only program of the images that the tests run: it takes memory
// inside a container, in the ways that the tests ask for.
//
//	hog pause           sleep
//	hog eat MIB         take memory, then sleep
//	hog wait MIB        wait for SIGUSR1, then take memory
//	hog parent MIB      have a child take memory on SIGUSR1, and live on
//	hog group N MIB     have N-1 more processes sleep, then take memory
//	hog stay            ignore SIGTERM, and sleep
//	hog say N           print a record of kind lost whose node has N bytes, and sleep
package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		os.Exit(2)
	}
	if os.Args[1] == "stay" {
		signal.Ignore(syscall.SIGTERM)
	} else {
		go end()
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "pause", "stay":
	case "say":
		n, _ := strconv.Atoi(args[0])
		fmt.Printf("{\"schema\":1,\"id\":\"a1\",\"kind\":\"lost\",\"source\":\"bpf\",\"node\":%q,\"lost\":1}\n", strings.Repeat("a ", n/2))
	case "eat":
		eat(args, 0)
	case "wait":
		asked()
		eat(args, 0)
	case "parent":
		asked()
		reap(start("worst", args[0]))
	case "worst":
		_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
		eat(args, 0)
	case "group":
		n, _ := strconv.Atoi(args[0])
		for range n - 1 {
			go reap(start("pause"))
		}
		eat(args, 1)
	default:
		os.Exit(2)
	}
	for {
		time.Sleep(time.Hour)
	}
}

// end has SIGTERM end the first process of a container, which the kernel spares
// unless it asks for the signal.
func end() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM)
	<-c
	os.Exit(0)
}

func asked() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	<-c
}

// start runs this program again, and returns when it is there.
func start(args ...string) *os.Process {
	p, err := os.StartProcess("/hog", append([]string{"hog"}, args...), &os.ProcAttr{
		Env: os.Environ(), Files: []*os.File{nil, nil, nil},
	})
	if err != nil {
		os.Exit(3)
	}
	return p
}

func reap(p *os.Process) { _, _ = p.Wait() }

var kept [][]byte

// eat takes as many MiB as the argument at i says, and keeps them.
func eat(args []string, i int) {
	n, err := strconv.Atoi(args[i])
	if err != nil {
		os.Exit(2)
	}
	for range n {
		b := make([]byte, 1<<20)
		for at := 0; at < len(b); at += 4096 {
			b[at] = 1
		}
		kept = append(kept, b)
	}
}
