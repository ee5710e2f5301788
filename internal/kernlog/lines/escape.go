package lines

import (
	"unicode/utf8"

	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
)

// unescape undoes the \xNN of /dev/kmsg, or of dmesg, which has them for what
// cannot be printed only.
func unescape(dst, b []byte, unprintable bool) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' && i+3 < len(b) && b[i+1] == 'x' {
			if v, ok := hexByte(b[i+2:]); ok && (!unprintable || v < 0x20 || v >= 0x7f) {
				dst = append(dst, v)
				i += 3
				continue
			}
		}
		dst = append(dst, b[i])
	}
	return dst
}

// hexByte reads two hexadecimal digits.
func hexByte(b []byte) (v byte, ok bool) {
	hi, ok := scan.HexDigit(b[0])
	lo, ok2 := scan.HexDigit(b[1])
	return hi<<4 | lo, ok && ok2
}

// unescapeOctal undoes the #0NN that rsyslog writes for control characters.
func unescapeOctal(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] == '#' && i+3 < len(b) && b[i+1] == '0' && b[i+2] >= '0' && b[i+2] <= '3' && b[i+3] >= '0' && b[i+3] <= '7' {
			dst = append(dst, (b[i+2]-'0')<<3|(b[i+3]-'0'))
			i += 3
			continue
		}
		dst = append(dst, b[i])
	}
	return dst
}

// stripEscapes takes terminal escapes out: colours, and what consoles send.
func stripEscapes(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		if b[i] != 0x1b {
			dst = append(dst, b[i])
			continue
		}
		i++
		switch {
		case i >= len(b):
		case b[i] == '[':
			for i++; i < len(b) && (b[i] < 0x40 || b[i] > 0x7e); i++ {
			}
		case b[i] >= ' ' && b[i] <= '/': // a character set: "ESC ( B"
			i++
		case b[i] == ']', b[i] == 'k', b[i] == 'P': // a title, to the bell or "ESC \"
			for i++; i < len(b) && b[i] != '\a' && b[i] != 0x1b; i++ {
			}
			if i+1 < len(b) && b[i] == 0x1b {
				i++
			}
		}
	}
	return dst
}

// holeBytes is how many zeros in a row are a hole in a file.
const holeBytes = 32

// printable says whether data looks like text of some encoding.
func printable(b []byte) bool {
	control, zero, run := 0, 0, 0
	for _, c := range b {
		if c != 0 {
			run = 0
		}
		switch {
		case c == 0:
			zero++
			if run++; run == holeBytes {
				zero -= holeBytes - 1 // no encoding has so many: a crash left them
			} else if run > holeBytes {
				zero--
			}
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != 0x1b && c != 0x1e && c != '\f' && c != '\b':
			control++
		}
	}
	if control > len(b)/20 || zero > len(b)/3 {
		return false
	}
	return control == 0 || utf8.Valid(b[:max(0, len(b)-utf8.UTFMax)]) || control < len(b)/50
}
