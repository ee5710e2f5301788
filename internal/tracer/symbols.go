package tracer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"
)

// Symbols is the kernel's symbol table, packed: a distribution kernel has well
// over 100 000 names, and this stays in memory as long as the tracer runs.
type Symbols struct {
	addresses []uint64 // of functions, ascending
	names     []uint32 // where in text the name starts
	text      []byte   // names, each with a NUL
	data      map[string]uint64
	split     map[string]string
}

// symbolNames are what the loader asks for by name.
type symbolNames struct {
	data      []string
	functions []string
}

// readSymbols parses /proc/kallsyms: "address type name [module]" a line
// (kernel/kallsyms.c, s_show). Addresses are zero without CAP_SYSLOG: then no
// address is known, but the names are.
func readSymbols(path string, want symbolNames) (*Symbols, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("kernel symbols: %w", err)
	}
	defer func() { _ = f.Close() }()
	s, err := parseSymbols(f, want)
	if err != nil {
		return nil, fmt.Errorf("kernel symbols: read %s: %w", path, err)
	}
	return s, nil
}

func parseSymbols(r io.Reader, want symbolNames) (*Symbols, error) {
	s := &Symbols{data: map[string]uint64{}, split: map[string]string{}}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		address, kind, name, ok := parseSymbol(lines.Bytes())
		if !ok {
			continue
		}
		s.add(address, kind, name, want)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if !sort.SliceIsSorted(s.addresses, func(i, j int) bool { return s.addresses[i] < s.addresses[j] }) {
		sort.Sort((*byAddress)(s))
	}
	return s, nil
}

func parseSymbol(line []byte) (address uint64, kind byte, name []byte, ok bool) {
	i := bytes.IndexByte(line, ' ')
	if i < 0 || len(line) < i+4 || line[i+2] != ' ' {
		return 0, 0, nil, false
	}
	address, err := strconv.ParseUint(string(line[:i]), 16, 64)
	if err != nil {
		return 0, 0, nil, false
	}
	name = line[i+3:]
	if j := bytes.IndexAny(name, " \t"); j >= 0 {
		name = name[:j]
	}
	return address, line[i+1], name, len(name) > 0
}

func (s *Symbols) add(address uint64, kind byte, name []byte, want symbolNames) {
	for _, w := range want.data {
		// Whatever its kind: 7.3 shows the read-only data within the text as 't'.
		if string(name) == w && address != 0 {
			s.data[w] = address
			return
		}
	}
	switch kind {
	case 't', 'T', 'w', 'W':
		s.addFunction(address, name, want.functions)
	}
}

func (s *Symbols) addFunction(address uint64, name []byte, want []string) {
	for _, w := range want {
		if symbol, ok := splitSymbol(name, w); ok && s.split[w] != w {
			s.split[w] = symbol
		}
	}
	if address == 0 {
		return
	}
	s.addresses = append(s.addresses, address)
	s.names = append(s.names, uint32(len(s.text)))
	s.text = append(append(s.text, name...), 0)
}

// splitSymbol says whether name is the function itself or the copy of it that
// the compiler suffixed. The .cold part is no entry, and .part.N is only a
// piece of it; either can come behind another suffix (.isra.0.cold).
func splitSymbol(name []byte, function string) (string, bool) {
	rest, ok := bytes.CutPrefix(name, []byte(function))
	if !ok {
		return "", false
	}
	if bytes.Contains(rest, []byte(".cold")) || bytes.Contains(rest, []byte(".part.")) {
		return "", false
	}
	if len(rest) == 0 || bytes.HasPrefix(rest, []byte(".isra.")) || bytes.HasPrefix(rest, []byte(".constprop.")) {
		return string(name), true
	}
	return "", false
}

// Function returns the symbol to probe for a function asked for when reading.
func (s *Symbols) Function(name string) (string, bool) {
	symbol, ok := s.split[name]
	return symbol, ok
}

// Data returns a data symbol's address, 0 when the kernel hides it.
func (s *Symbols) Data(name string) uint64 { return s.data[name] }

// Range returns the addresses that a function spans: up to the next symbol.
func (s *Symbols) Range(function string) (start, end uint64) {
	symbol, ok := s.split[function]
	if !ok {
		return 0, 0
	}
	for i := range s.addresses {
		if string(s.name(i)) != symbol {
			continue
		}
		for j := i + 1; j < len(s.addresses); j++ {
			if s.addresses[j] > s.addresses[i] {
				return s.addresses[i], s.addresses[j]
			}
		}
	}
	return 0, 0
}

func (s *Symbols) name(i int) []byte {
	b := s.text[s.names[i]:]
	return b[:bytes.IndexByte(b, 0)]
}

// maxFunction is further than any function reaches: an address beyond is in
// code that had no symbol yet when the table was read, such as a BPF program.
const maxFunction = 1 << 20

// Append adds "symbol+0xoffset" for an address, or the bare address where no
// symbol is known.
func (s *Symbols) Append(dst []byte, address uint64) []byte {
	i := sort.Search(len(s.addresses), func(i int) bool { return s.addresses[i] > address }) - 1
	if i < 0 || address-s.addresses[i] > maxFunction {
		return strconv.AppendUint(append(dst, "0x"...), address, 16)
	}
	dst = append(dst, s.name(i)...)
	return strconv.AppendUint(append(dst, "+0x"...), address-s.addresses[i], 16)
}

// Len is how many functions have a known address.
func (s *Symbols) Len() int { return len(s.addresses) }

type byAddress Symbols

func (b *byAddress) Len() int           { return len(b.addresses) }
func (b *byAddress) Less(i, j int) bool { return b.addresses[i] < b.addresses[j] }
func (b *byAddress) Swap(i, j int) {
	b.addresses[i], b.addresses[j] = b.addresses[j], b.addresses[i]
	b.names[i], b.names[j] = b.names[j], b.names[i]
}
