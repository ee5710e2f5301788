package cli

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressAfter is how long a read takes before it shows how far it is.
const progressAfter = time.Second

// progress is a bar on stderr for a person who waits for a long read.
type progress struct {
	bar     *progressbar.ProgressBar // nil as long as it is not shown
	stderr  io.Writer
	started time.Time
	size    int64
	done    int64
}

// newProgress is nil where no person waits, or nobody knows for how much.
func newProgress(env Env, files []string) *progress {
	if !env.StderrTerminal {
		return nil
	}
	p := &progress{stderr: env.Stderr, started: time.Now()}
	for _, name := range files {
		info, err := os.Stat(name)
		if f, ok := env.Stdin.(*os.File); ok && name == "-" {
			info, err = f.Stat()
		}
		if err == nil && info.Mode().IsRegular() {
			p.size += info.Size()
		}
	}
	if p.size == 0 {
		return nil
	}
	return p
}

// read is called with bytes that were read, and the kills found so far.
func (p *progress) read(bytes, n int) {
	p.done += int64(bytes)
	if p.bar == nil {
		if time.Since(p.started) < progressAfter {
			return
		}
		p.bar = progressbar.NewOptions64(p.size, progressbar.OptionSetWriter(p.stderr), progressbar.OptionShowBytes(true),
			progressbar.OptionUseIECUnits(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(24), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "#", SaucerPadding: ".", BarStart: "[", BarEnd: "]"}))
	}
	p.bar.Describe("oomtrace: " + count(n, "kill"))
	_ = p.bar.Set64(min(p.done, p.size)) // nothing can be done when the terminal is gone
}

// output takes the bar away before records are written, which may go to the same terminal.
func (p *progress) output(to io.Writer) io.Writer { return &clearing{to, p} }

type clearing struct {
	to io.Writer
	p  *progress
}

func (c *clearing) Write(b []byte) (int, error) {
	if c.p.bar != nil {
		_ = c.p.bar.Clear()
	}
	return c.to.Write(b)
}

// finish takes the bar away.
func (p *progress) finish() {
	if p != nil && p.bar != nil {
		_ = p.bar.Finish()
	}
}
