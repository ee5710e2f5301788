package render

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// IsTerminal says whether a person reads f.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// TerminalColumns is the terminal's width, 0 without one.
func TerminalColumns(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// ASCIILocale reports that the locale names another character set than UTF-8. The
// first variable that is set counts (locale(7)); with none, as under a service manager,
// UTF-8 is assumed.
func ASCIILocale(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(getenv(name)); v != "" {
			return !strings.Contains(v, "utf-8") && !strings.Contains(v, "utf8")
		}
	}
	return false
}
