// Package progress shows a person on a terminal how far a long read is.
package progress

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// after is how long a read takes before it shows how far it is.
const after = time.Second

// Bar is a bar on a terminal. A nil Bar shows nothing.
type Bar struct {
	bar      *progressbar.ProgressBar // nil as long as it is not shown
	terminal io.Writer
	started  time.Time
	size     int64
	done     int64
}

// New returns a Bar for a read of size bytes; nil without a terminal, or where the size is
// not known.
func New(terminal io.Writer, size int64) *Bar {
	if terminal == nil || size <= 0 {
		return nil
	}
	return &Bar{terminal: terminal, started: time.Now(), size: size}
}

// Read says that bytes were read, and how many kills were found so far.
func (b *Bar) Read(bytes, kills int) {
	if b == nil {
		return
	}
	b.done += int64(bytes)
	if b.bar == nil {
		if time.Since(b.started) < after {
			return
		}
		b.bar = progressbar.NewOptions64(b.size, progressbar.OptionSetWriter(b.terminal), progressbar.OptionShowBytes(true),
			progressbar.OptionUseIECUnits(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(24), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "#", SaucerPadding: ".", BarStart: "[", BarEnd: "]"}))
	}
	plural := "s"
	if kills == 1 {
		plural = ""
	}
	b.bar.Describe(fmt.Sprintf("oomtrace: %d kill%s", kills, plural))
	_ = b.bar.Set64(min(b.done, b.size)) // nothing can be done when the terminal is gone
}

// Output takes the bar away before anything is written to w, which may be the same terminal.
func (b *Bar) Output(w io.Writer) io.Writer {
	if b == nil {
		return w
	}
	return &clearing{w, b}
}

type clearing struct {
	to io.Writer
	b  *Bar
}

func (c *clearing) Write(p []byte) (int, error) {
	if c.b.bar != nil {
		_ = c.b.bar.Clear()
	}
	return c.to.Write(p)
}

// Finish takes the bar away.
func (b *Bar) Finish() {
	if b != nil && b.bar != nil {
		_ = b.bar.Finish()
	}
}
