package docs

import (
	_ "embed"
	"strings"
)

//go:embed why.md
var whyDocument string

// Advice is what why.md says of a code: how to check it, and what to do. Both are empty
// where it says nothing.
func Advice(code string) (check, do string) {
	_, rest, ok := strings.Cut(whyDocument, "\n#### `"+code+"`\n")
	if !ok {
		return "", ""
	}
	section, _, _ := strings.Cut(rest, "\n#")
	section = strings.Join(strings.Fields(section), " ")
	if _, both, ok := strings.Cut(section, "Check and do: "); ok {
		return "", both
	}
	section, do, _ = strings.Cut(section, " Do: ")
	_, check, _ = strings.Cut(section, "Check: ")
	return check, do
}
