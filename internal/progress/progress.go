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

// throttle is the least time between two looks of the bar.
const throttle = 100 * time.Millisecond

// Bar is a bar on a terminal. A nil Bar shows nothing.
type Bar struct {
	bar     *progressbar.ProgressBar
	shown   bool
	started time.Time
	size    int64 // 0: not known
	done    int64
}

// New returns a Bar for a read of size bytes, 0 where that is not known; nil without a
// terminal.
func New(terminal io.Writer, size int64) *Bar {
	if terminal == nil {
		return nil
	}
	b := &Bar{started: time.Now(), size: size}
	opts := []progressbar.Option{
		progressbar.OptionSetWriter(terminal), progressbar.OptionShowBytes(true), progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(throttle), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetDescription("oomtrace: reading"), progressbar.OptionSetElapsedTime(false),
	}
	if size > 0 {
		opts = append(opts, progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(24),
			progressbar.OptionSetTheme(progressbar.Theme{Saucer: "#", SaucerPadding: ".", BarStart: "[", BarEnd: "]"}))
	} else { // a spinner in ASCII, which turns with the reads and not in a goroutine of its own
		const slashes = 9
		size = -1
		opts = append(opts, progressbar.OptionShowCount(), progressbar.OptionSpinnerType(slashes),
			progressbar.OptionSetSpinnerChangeInterval(0))
	}
	b.bar = progressbar.NewOptions64(size, opts...)
	b.bar.StartWithoutRender() // else what was read before it is shown is read in no time
	return b
}

// Read says that bytes were read, and how many kills were found so far.
func (b *Bar) Read(bytes, kills int) {
	if b == nil {
		return
	}
	b.done += int64(bytes)
	if b.size > 0 {
		b.done = min(b.done, b.size) // a log may grow while it is read
	}
	if !b.shown && time.Since(b.started) < after {
		return
	}
	b.shown = true
	plural := "s"
	if kills == 1 {
		plural = ""
	}
	_ = b.bar.Set64(b.done) // nothing can be done when the terminal is gone
	b.bar.Describe(fmt.Sprintf("oomtrace: %d kill%s", kills, plural))
}

// Clear takes the bar away until the next read.
func (b *Bar) Clear() {
	if b != nil {
		_ = b.bar.Clear() // as above
	}
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
	c.b.Clear()
	return c.to.Write(p)
}

// Finish takes the bar away.
func (b *Bar) Finish() {
	if b != nil && b.shown {
		_ = b.bar.Finish()
	}
}
