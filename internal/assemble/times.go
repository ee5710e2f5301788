package assemble

import (
	"time"

	"github.com/oomtrace/oomtrace/internal/pipeline"
	"github.com/oomtrace/oomtrace/internal/timespec"
)

// TimeError says that a point in time is not understood.
type TimeError struct {
	Name string // "since" or "until"
	Err  error
}

func (e *TimeError) Error() string { return e.Name + ": " + e.Err.Error() }
func (e *TimeError) Unwrap() error { return e.Err }

// ParseTimes sets the times of filters by a user's words; an empty one is no bound. The
// error is a *TimeError.
func ParseTimes(f *pipeline.Filters, since, until string, now time.Time) error {
	for _, one := range []struct {
		name, text string
		to         *time.Time
	}{{"since", since, &f.Since}, {"until", until, &f.Until}} {
		if one.text == "" {
			continue
		}
		var err error
		if *one.to, err = timespec.Parse(one.text, now); err != nil {
			return &TimeError{one.name, err}
		}
	}
	return nil
}
