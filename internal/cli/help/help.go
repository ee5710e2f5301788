// Package help is what a command line says of itself: help by intent, completion for
// shells, and what a mistyped word was meant to be, all from the flags as they are defined.
package help

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// columns is the width that help fits.
const columns = 80

// Groups keeps the flags of a verb by intent, for the help, and as one set, for parsing.
type Groups struct {
	// All are the flags of all groups.
	All    *pflag.FlagSet
	groups []group
}

// group is a set of flags under one heading.
type group struct {
	title string
	flags *pflag.FlagSet
}

// New returns flags without any.
func New(name string) *Groups {
	all := pflag.NewFlagSet(name, pflag.ContinueOnError)
	all.SetOutput(io.Discard)
	return &Groups{All: all}
}

// Add adds a group.
func (g *Groups) Add(title string, define func(*pflag.FlagSet)) {
	set := pflag.NewFlagSet(title, pflag.ContinueOnError)
	set.SortFlags = false
	define(set)
	g.groups = append(g.groups, group{title, set})
	g.All.AddFlagSet(set)
}

// Help lists the flags: a short name, a name, a value, and below or beside it what it is for.
func (g *Groups) Help() string {
	var b strings.Builder
	for _, gr := range g.groups {
		fmt.Fprintf(&b, "\n%s:\n", gr.title)
		gr.flags.VisitAll(func(f *pflag.Flag) { line(&b, f) })
	}
	return b.String()
}

// textColumn is where what a flag is for begins.
const textColumn = 28

func line(b *strings.Builder, f *pflag.Flag) {
	value, text := pflag.UnquoteUsage(f)
	name := "      --" + f.Name
	if f.Shorthand != "" {
		name = "  -" + f.Shorthand + ", --" + f.Name
	}
	if value != "" {
		name += " " + value
	}
	if d := defaultOf(f); d != "" && !strings.Contains(text, "default") {
		text += " (default " + d + ")"
	}
	b.WriteString(name)
	at := len(name)
	for i, part := range wrap(text, columns-textColumn) {
		if i > 0 || at > textColumn-2 {
			b.WriteByte('\n')
			at = 0
		}
		fmt.Fprintf(b, "%s%s", strings.Repeat(" ", textColumn-at), part)
		at = columns
	}
	b.WriteByte('\n')
}

// defaultOf is a default that is worth to be shown.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return ""
	}
	return f.DefValue
}

func wrap(text string, n int) []string {
	var out []string
	for word := range strings.FieldsSeq(text) {
		if i := len(out) - 1; i >= 0 && len(out[i])+1+len(word) <= n {
			out[i] += " " + word
			continue
		}
		out = append(out, word)
	}
	return out
}

// Error is a command line that is wrong.
type Error struct {
	// Meant is what a flag was meant to be, if there is one like it.
	Meant   string
	unknown string // the flag that there is none of, without dashes
	err     error
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Parse reads the arguments. It returns pflag.ErrHelp where help is asked for, and else an
// *Error.
func (g *Groups) Parse(args []string) error {
	err := g.All.Parse(args)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return err
	}
	e := &Error{err: err}
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
		e.unknown = unknown.GetSpecifiedName()
		var names []string
		g.All.VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near := Nearest(e.unknown, names); near != "" {
			e.Meant = "--" + near
		}
	}
	return e
}

// Nearest is the word that another was probably meant to be: two letters apart at most, and
// fewer than half of them; empty where there is none.
func Nearest(word string, words []string) string {
	best, least := "", min(3, (len(word)+1)/2)
	for _, w := range slices.Sorted(slices.Values(words)) {
		if strings.HasPrefix(w, word) && len(word) > 2 {
			return w
		}
		if d := distance(word, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is how many letters differ, are missing, too many or in another order.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
