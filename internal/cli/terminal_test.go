package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"
)

// screen is what a terminal shows.
type screen struct {
	*os.File
	t    *testing.T
	mu   sync.Mutex
	text bytes.Buffer
	done chan struct{}
}

// copy keeps what comes until the program ends: EIO is how a terminal does.
func (s *screen) copy() {
	defer close(s.done)
	buf := make([]byte, 64<<10)
	for {
		n, err := s.Read(buf)
		s.mu.Lock()
		s.text.Write(buf[:n])
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.text.String(), "\r\n", "\n")
}

// wait waits until the terminal has shown a text.
func (s *screen) wait(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !strings.Contains(s.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("no %q in %.2000q", text, s.String())
		}
	}
}

// onTerminal runs oomtrace on a terminal, which is its stdin, stdout and stderr, and
// returns what a person sees there.
func onTerminal(t *testing.T, columns uint16, env []string, during func(*screen), args ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append([]string{asOomtrace + "=1", "TZ=UTC", "PATH=" + os.Getenv("PATH")}, env...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 40, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{File: terminal, t: t, done: make(chan struct{})}
	go s.copy()
	timer := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer func() {
		timer.Stop()
		_ = cmd.Process.Kill() // where a test has ended before it
		<-s.done
		_ = terminal.Close()
	}()
	if during != nil {
		during(s)
	}
	<-s.done
	_ = cmd.Wait() // what it wrote is looked at
	return s.String()
}

const utf8Locale = "LANG=C.UTF-8"

// kernelLog is a log with kills of hostile names, of a limit and of the machine.
const kernelLog = "../../testdata/kernlog/6.12-guest-kmsg.txt"

// TestTerminalWidths: no line of a list, of text or of wide text is longer than the
// terminal, and an explanation loses no word to it.
func TestTerminalWidths(t *testing.T) {
	for _, columns := range []int{60, 80, 120, 200} {
		for _, args := range [][]string{{"list"}, {"read"}, {"show", "locker"}, {"read", "-o", "wide"}} {
			t.Run(fmt.Sprintf("%d/%s", columns, strings.Join(args, " ")), func(t *testing.T) {
				out := onTerminal(t, uint16(columns), []string{utf8Locale, "NO_COLOR=1"}, nil, append(args, kernelLog)...)
				lines := strings.Split(strings.TrimSpace(out), "\n")
				if len(lines) < 5 {
					t.Fatalf("only %q", out)
				}
				for _, line := range lines {
					if n := utf8.RuneCountInString(line); n > columns && !strings.HasPrefix(line, "oomtrace: ") {
						t.Errorf("%d columns: %q", n, line)
					}
				}
				words := strings.Join(strings.Fields(out), " ")
				if args[0] != "list" && !strings.Contains(words, "mlock") {
					t.Errorf("the explanation lost words:\n%s", out)
				}
			})
		}
	}
}

func TestTerminalColour(t *testing.T) {
	escape := regexp.MustCompile(`\x1b\[`)
	for _, tt := range []struct {
		name   string
		env    []string
		colour bool
	}{{"by default", nil, true}, {"NO_COLOR", []string{"NO_COLOR=1"}, false}, {"NO_COLOR is empty", []string{"NO_COLOR="}, true}} {
		t.Run(tt.name, func(t *testing.T) {
			for _, verb := range []string{"read", "list"} {
				out := onTerminal(t, 120, append(tt.env, utf8Locale), nil, verb, kernelLog)
				if got := escape.MatchString(out); got != tt.colour {
					t.Errorf("%s: colour %v:\n%s", verb, got, out)
				}
			}
		})
	}
}

func TestTerminalWithoutUTF8(t *testing.T) {
	for _, verb := range []string{"list", "show"} {
		out := onTerminal(t, 100, []string{"LANG=C", "NO_COLOR=1"}, nil, verb, kernelLog)
		for _, r := range out {
			if verb == "list" && r > 0x7e {
				t.Errorf("%s: %q in\n%s", verb, r, out)
				break
			}
		}
	}
}

// TestTerminalWaits: who gives no file is told that a log is waited for, and can type one.
func TestTerminalWaits(t *testing.T) {
	line := "[ 1375.9] Out of memory: Killed process 23143 (pip3) total-vm:2112380kB, anon-rss:1743412kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:3904kB oom_score_adj:0\n"
	out := onTerminal(t, 80, []string{utf8Locale}, func(terminal *screen) {
		if _, err := io.WriteString(terminal, line+"\x04"); err != nil {
			t.Error(err)
		}
	}, "read")
	for _, want := range []string{"oomtrace: waiting for a kernel log", "pip3 23143", "oomtrace: 1 kill in 1 line"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestTerminalMessages: what is wrong is said in a line with a hint.
func TestTerminalMessages(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"raed", `oomtrace: unexpected argument "raed"` + "\n" + `hint: did you mean "read"? See "oomtrace help"`},
		{"show nobody " + kernelLog, `oomtrace: no such kill: "nobody"` + "\n" + "hint: "},
		{"read --since soon", "oomtrace: --since \"soon\": not a point in time\nhint: "},
	} {
		if out := onTerminal(t, 80, []string{utf8Locale}, nil, strings.Fields(tt.args)...); !strings.HasPrefix(out, tt.want) {
			t.Errorf("%s: %q", tt.args, out)
		}
	}
}

// TestTerminalProgress: a long read shows kills, rate and time left, and nothing of that is
// left when it ends; resizing the terminal meanwhile does no harm.
func TestTerminalProgress(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	big, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	// A hole of zeros is read and skipped.
	if err := big.Truncate(1 << 40); err != nil {
		t.Fatal(err)
	}
	if err := big.Close(); err != nil {
		t.Fatal(err)
	}
	out := onTerminal(t, 80, []string{utf8Locale}, func(terminal *screen) {
		terminal.wait("B/s)")
		if err := pty.Setsize(terminal.File, &pty.Winsize{Rows: 40, Cols: 60}); err != nil {
			t.Error(err)
		}
		if _, err := terminal.Write([]byte{3}); err != nil { // Ctrl-C
			t.Error(err)
		}
	}, "read", kernelLog, name)
	for _, want := range []string{"oomtrace: 11 kills ", "oomtrace: 11 kills in "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %.2000q", want, out)
		}
	}
	_, last, _ := strings.Cut(out, "oomtrace: 11 kills in ")
	if strings.Contains(last, "[#") {
		t.Errorf("a bar is left: %q", last)
	}
}

// TestTerminalProgressPipe: of a pipe it is said how much was read, and Ctrl-C still ends the
// wait for more.
func TestTerminalProgressPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(kernelLog)
	if err != nil {
		t.Fatal(err)
	}
	out := onTerminal(t, 80, []string{utf8Locale}, func(terminal *screen) {
		pipe, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = pipe.Close() }() // the end of oomtrace comes first
		for _, err = pipe.Write(log); err == nil && !strings.Contains(terminal.String(), " kills ("); {
			_, err = pipe.Write([]byte("\n"))
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			t.Error(err)
		}
		if _, err := terminal.Write([]byte{3}); err != nil { // Ctrl-C
			t.Error(err)
		}
		<-terminal.done
	}, "read", name)
	if !strings.Contains(out, "B/s)") || !strings.Contains(out, "oomtrace: 11 kills in ") {
		t.Errorf("%.2000q", out)
	}
	if strings.Contains(out, " 0% ") || strings.Contains(out, "NaN") {
		t.Errorf("a part of an unknown whole: %.2000q", out)
	}
}
