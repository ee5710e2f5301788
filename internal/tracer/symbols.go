package tracer

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
)

// Symbols is the kernel's symbol table: the functions, and what was asked for by
// name. Some 1.5 MiB of a distribution kernel's stay in memory as long as the
// tracer runs: by address in groups, within which each function has the distance
// from the one before and its name with a NUL.
type Symbols struct {
	groups []group
	packed []byte
	count  int
	data   map[string]uint64
	split  map[string]string
	ranges map[string][2]uint64 // of the functions asked for
	core   [2]uint64            // _stext and _etext: the kernel's own text
	hidden bool                 // some function's address is zero
}

// group is where some functions start: in the kernel, and in packed.
type group struct {
	address uint64
	at      uint32
}

// groupSize is how many functions have to be passed over at most to find one.
const groupSize = 16

// symbolNames are what the loader asks for by name.
type symbolNames struct {
	data      []string
	functions []string
}

// A symbol table that names no function, for one of these reasons: stacks stay
// without names then.
var (
	errNoSymbols       = errors.New("it is empty, as a sandbox such as systemd's ProtectKernelTunables= leaves it: stacks have no names, renamed functions are not found")
	errHiddenAddresses = errors.New("its addresses are hidden, which CAP_SYSLOG shows unless kernel.kptr_restrict is 2: stacks have no names")
)

// readSymbols parses /proc/kallsyms: "address type name [module]" a line
// (kernel/kallsyms.c, s_show). Addresses are zero without CAP_SYSLOG: then no
// address is known, but the names are. A table without a function that has an
// address is returned together with the error that says why.
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
	if s.count == 0 {
		why := errNoSymbols
		if s.hidden {
			why = errHiddenAddresses
		}
		return s, fmt.Errorf("kernel symbols: %s: %w", path, why)
	}
	return s, nil
}

// table is the functions as they are read.
type table struct {
	functions []function
	text      []byte // their names, each with a NUL
}

type function struct {
	address uint64
	name    uint32 // where in text it starts
}

func (t *table) name(f function) []byte {
	name, _, _ := bytes.Cut(t.text[f.name:], []byte{0})
	return name
}

// Room for the functions of nearly any kernel, of which only what is used comes
// into memory: growing would leave twice as much behind.
const (
	functionsRoom = 256 << 10
	textRoom      = 8 << 20
)

func parseSymbols(r io.Reader, want symbolNames) (*Symbols, error) {
	s := &Symbols{data: map[string]uint64{}, split: map[string]string{}, ranges: map[string][2]uint64{}}
	t := &table{functions: make([]function, 0, functionsRoom), text: make([]byte, 0, textRoom)}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		if address, kind, name, ok := parseSymbol(lines.Bytes()); ok {
			s.add(t, address, kind, name, want)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	byAddress := func(a, b function) int { return cmp.Compare(a.address, b.address) }
	if !slices.IsSortedFunc(t.functions, byAddress) {
		slices.SortStableFunc(t.functions, byAddress)
	}
	s.findRanges(t)
	s.pack(t)
	return s, nil
}

// pack takes over a sorted table.
func (s *Symbols) pack(t *table) {
	packed := make([]byte, 0, len(t.text)+2*len(t.functions))
	s.groups = make([]group, 0, len(t.functions)/groupSize+1)
	before := uint64(0)
	for i, f := range t.functions {
		if i%groupSize == 0 {
			s.groups = append(s.groups, group{address: f.address, at: uint32(len(packed))})
			before = f.address
		}
		packed = binary.AppendUvarint(packed, f.address-before)
		packed = append(append(packed, t.name(f)...), 0)
		before = f.address
	}
	s.packed, s.count = slices.Clone(packed), len(t.functions)
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

func (s *Symbols) add(t *table, address uint64, kind byte, name []byte, want symbolNames) {
	for _, w := range want.data {
		// Whatever its kind: 7.3 shows the read-only data within the text as 't'.
		if string(name) == w && address != 0 {
			s.data[w] = address
			return
		}
	}
	switch string(name) {
	case "_stext":
		s.core[0] = address
	case "_etext":
		s.core[1] = address
	}
	switch kind {
	case 't', 'T', 'w', 'W':
		s.addFunction(t, address, name, want.functions)
	}
}

func (s *Symbols) addFunction(t *table, address uint64, name []byte, want []string) {
	for _, w := range want {
		if symbol, ok := splitSymbol(name, w); ok && s.split[w] != w {
			s.split[w] = symbol
		}
	}
	s.hidden = s.hidden || address == 0
	if address == 0 || isPadding(name) {
		return
	}
	t.functions = append(t.functions, function{address: address, name: uint32(len(t.text))})
	t.text = append(append(t.text, name...), 0)
}

// isPadding says that nothing runs there: the room before a function for a
// checksum or a thunk (CONFIG_PREFIX_SYMBOLS, CONFIG_CFI_CLANG). That is half of
// some kernels' table.
func isPadding(name []byte) bool {
	return bytes.HasPrefix(name, []byte("__pfx_")) || bytes.HasPrefix(name, []byte("__cfi_"))
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
	r := s.ranges[function]
	return r[0], r[1]
}

// Core says whether an address is in the kernel's own text rather than a module's
// or BPF's. Where the table does not show that text, all are.
func (s *Symbols) Core(address uint64) bool {
	return s.core[0] == 0 || s.core[1] == 0 || address >= s.core[0] && address < s.core[1]
}

// maxFunction is further than any function reaches: an address beyond is in
// code that had no symbol yet when the table was read, such as a BPF program.
const maxFunction = 1 << 20

// Name is "symbol+0xoffset" for an address, or the bare address where no symbol is
// known.
func (s *Symbols) Name(address uint64) string {
	name, start, ok := s.find(address)
	if !ok || address-start > maxFunction {
		return fmt.Sprintf("0x%x", address)
	}
	return string(name) + "+0x" + strconv.FormatUint(address-start, 16)
}

// find returns the name and the address of the last function at or below an
// address.
func (s *Symbols) find(address uint64) (name []byte, start uint64, ok bool) {
	i := sort.Search(len(s.groups), func(i int) bool { return s.groups[i].address > address }) - 1
	if i < 0 {
		return nil, 0, false
	}
	packed := s.packed[s.groups[i].at:]
	if i+1 < len(s.groups) {
		packed = s.packed[s.groups[i].at:s.groups[i+1].at]
	}
	start = s.groups[i].address
	for len(packed) > 0 {
		distance, n := binary.Uvarint(packed)
		if start+distance > address {
			break
		}
		start += distance
		name, packed, _ = bytes.Cut(packed[n:], []byte{0})
	}
	return name, start, true
}

// Len is how many functions have a known address.
func (s *Symbols) Len() int { return s.count }

// findRanges finds what the functions asked for span: up to the next symbol. Of a
// name that several functions have, the first counts.
func (s *Symbols) findRanges(t *table) {
	functions := make(map[string]string, len(s.split))
	for function, symbol := range s.split {
		functions[symbol] = function
	}
	for i, f := range t.functions {
		function, ok := functions[string(t.name(f))]
		if !ok {
			continue
		}
		if _, done := s.ranges[function]; done {
			continue
		}
		for _, next := range t.functions[i+1:] {
			if next.address > f.address {
				s.ranges[function] = [2]uint64{f.address, next.address}
				break
			}
		}
	}
}
