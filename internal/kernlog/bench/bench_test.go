package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/euank/go-kmsg-parser/kmsgparser"
	"github.com/google/cadvisor/utils/oomparser"

	"github.com/oomtrace/oomtrace/internal/kernlog"
)

const corpus = "../../../testdata/kernlog"

// mib is the log's size.
func mib() int {
	if n, err := strconv.Atoi(os.Getenv("KERNLOG_BENCH_MIB")); err == nil && n > 0 {
		return n
	}
	return 1024
}

// reports are the OOM reports of a guest's log, as /dev/kmsg gives them.
func reports(b *testing.B) (text string, kills int) {
	b.Helper()
	raw, err := os.ReadFile(filepath.Join(corpus, "6.12-guest-kmsg.txt"))
	if err != nil {
		b.Fatal(err)
	}
	return string(raw), strings.Count(string(raw), "Killed process")
}

// makeLog writes a log of which one hundredth is OOM text.
func makeLog(b *testing.B) (path string, size int64) {
	b.Helper()
	oomText, _ := reports(b)
	path = filepath.Join(b.TempDir(), "kmsg")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	ordinary := ordinaryLines(99 * len(oomText))
	for size < int64(mib())<<20 {
		n, err := io.WriteString(f, ordinary+oomText)
		if err != nil {
			b.Fatal(err)
		}
		size += int64(n)
	}
	return path, size
}

func ordinaryLines(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		at := 1000000 + i*137
		switch i % 5 {
		case 0:
			fmt.Fprintf(&b, "6,%d,%d,-;usb 1-1.%d: new high-speed USB device number %d using xhci_hcd\n", i, at, i%4, i%128)
		case 1:
			fmt.Fprintf(&b, "5,%d,%d,-;audit: type=1400 audit(1741320000.%03d:%d): apparmor=\"DENIED\" operation=\"open\" profile=\"snap.app\" name=\"/proc/%d/mounts\" pid=%d comm=\"app\" requested_mask=\"r\" denied_mask=\"r\" fsuid=1000 ouid=0\n", i, at, i%1000, i, i, i)
		case 2:
			fmt.Fprintf(&b, "6,%d,%d,-;cni0: port %d(veth%08x) entered forwarding state\n", i, at, i%64, i*7919)
		case 3:
			fmt.Fprintf(&b, "4,%d,%d,-;[UFW BLOCK] IN=eth0 OUT= MAC=00:16:3e:5e:6c:00 SRC=10.0.%d.%d DST=10.0.0.2 LEN=60 TOS=0x00 TTL=52 ID=%d DF PROTO=TCP SPT=%d DPT=23 WINDOW=29200 RES=0x00 SYN URGP=0\n", i, at, i%256, i*7%256, i%65536, i%65536)
		default:
			fmt.Fprintf(&b, "6,%d,%d,-;EXT4-fs (nvme0n1p%d): mounted filesystem with ordered data mode. Quota mode: none.\n", i, at, i%9)
		}
	}
	return b.String()
}

// BenchmarkOomtrace reads the log with kernlog.
func BenchmarkOomtrace(b *testing.B) {
	path, size := makeLog(b)
	b.SetBytes(size)
	b.ReportAllocs()
	b.ResetTimer()
	kills, most := 0, uint64(0)
	for b.Loop() {
		kills = 0
		f, err := os.Open(path)
		if err != nil {
			b.Fatal(err)
		}
		r := kernlog.NewReader(f, kernlog.Options{})
		for {
			_, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if kills++; kills%100 == 1 {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse)
			}
		}
		kills = int(r.Stats().Kills)
		_ = f.Close()
	}
	b.ReportMetric(float64(kills), "kills")
	b.ReportMetric(float64(most)/(1<<20), "heap-MiB")
}

// BenchmarkReports reads a log that is nothing but OOM reports, each at another time.
func BenchmarkReports(b *testing.B) {
	raw, _ := reports(b)
	var text strings.Builder
	lines := strings.SplitAfter(raw, "\n")
	for boot := 0; text.Len() < 32<<20; boot++ {
		for _, line := range lines {
			f := strings.SplitN(line, ",", 4)
			if usec, err := strconv.Atoi(f[min(2, len(f)-1)]); err == nil && len(f) == 4 {
				line = fmt.Sprintf("%s,%s,%d,%s", f[0], f[1], usec+boot*100_000_000, f[3])
			}
			text.WriteString(line)
		}
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	before, loops := cpuTime(b), 0
	for b.Loop() {
		loops++
		r := kernlog.NewReader(strings.NewReader(text.String()), kernlog.Options{})
		n := 0
		for {
			if _, err := r.Next(); err != nil {
				break
			}
			n++
		}
		b.ReportMetric(float64(n), "records")
	}
	b.ReportMetric(float64(loops)*float64(text.Len())/1e6/(cpuTime(b)-before).Seconds(), "MB/cpu-s")
}

// cpuTime is what the process has used: other work on the machine does not count.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// fileParser gives a file's lines to oomparser as its own source gives those of
// /dev/kmsg.
type fileParser struct {
	path string
}

func (p *fileParser) SeekEnd() error                { return nil }
func (p *fileParser) Close() error                  { return nil }
func (p *fileParser) SetLogger(_ kmsgparser.Logger) {}

func (p *fileParser) Parse() <-chan kmsgparser.Message {
	out := make(chan kmsgparser.Message)
	go func() {
		defer close(out)
		f, err := os.Open(p.path)
		if err != nil {
			return
		}
		defer func() { _ = f.Close() }()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			head, text, ok := strings.Cut(lines.Text(), ";")
			if !ok {
				continue
			}
			f := strings.SplitN(head, ",", 4)
			if len(f) < 3 {
				continue
			}
			prio, _ := strconv.Atoi(f[0])
			seq, _ := strconv.Atoi(f[1])
			usec, _ := strconv.Atoi(f[2])
			out <- kmsgparser.Message{Priority: prio, SequenceNumber: seq, Timestamp: time.UnixMicro(int64(usec)), Message: text}
		}
	}()
	return out
}

// BenchmarkCadvisor reads the log with cAdvisor's parser.
func BenchmarkCadvisor(b *testing.B) {
	path, size := makeLog(b)
	b.SetBytes(size)
	b.ReportAllocs()
	b.ResetTimer()
	kills := 0
	for b.Loop() {
		p := &oomparser.OomParser{}
		field := reflect.ValueOf(p).Elem().FieldByName("parser")
		*(*kmsgparser.Parser)(unsafe.Pointer(field.UnsafeAddr())) = &fileParser{path}
		out := make(chan *oomparser.OomInstance, 10)
		go func() {
			p.StreamOoms(out)
			close(out)
		}()
		kills = 0
		for o := range out {
			if o.Pid != 0 {
				kills++
			}
		}
	}
	b.ReportMetric(float64(kills), "kills")
}
