package assemble

import (
	"errors"
	"fmt"

	"github.com/oomtrace/oomtrace/internal/history"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// HistoryMode says how growth is followed.
type HistoryMode = history.Mode

// ParseHistory turns a user's word into a mode.
func ParseHistory(s string) (HistoryMode, error) { return history.ParseMode(s) }

// describeHistory says how growth is followed, and why charges are not counted.
func describeHistory(tr *tracer.Tracer, mode string) []string {
	by, err := tr.History()
	switch {
	case mode == string(history.ModeOff):
		return []string{row("history", "off")}
	case mode == string(history.ModeSampled):
		return []string{row("history", "sampled every second")}
	case err == nil:
		return []string{row("history", "exact: "+by.Kind+" on "+by.Hook)}
	}
	lines := []string{row("history", "sampled every second; charges are not counted:")}
	var at *tracer.AttachError
	if errors.As(err, &at) {
		return append(lines, tracer.Attachment{Tried: at.Attempts}.Lines()[1:]...)
	}
	return append(lines, fmt.Sprintf("%-21s   %v", "", err))
}
