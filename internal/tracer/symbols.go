package tracer

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"
	"strconv"

	"golang.org/x/sys/unix"
)

// Symbols is the kernel's symbol table: the functions, and what was asked for by
// name. Some 1.2 MiB of a distribution kernel's stay in memory as long as the
// tracer runs: by address in groups, within which each function has the distance
// from the one before, how many bytes its name begins with as that one's does, and
// the rest of the name with a NUL.
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
	data      map[string]bool
	functions map[string]bool
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

// table is the functions as they are read: in text, of each its address, its name
// and a NUL; in starts, where each begins.
type table struct {
	text   []byte
	starts []uint32
}

const addressSize = 8

func (t *table) add(address uint64, name []byte) {
	t.starts = append(t.starts, uint32(len(t.text)))
	t.text = binary.NativeEndian.AppendUint64(t.text, address)
	t.text = append(append(t.text, name...), 0)
}

func (t *table) address(start uint32) uint64 { return binary.NativeEndian.Uint64(t.text[start:]) }

// name is with the NUL.
func (t *table) name(start uint32) []byte {
	rest := t.text[start+addressSize:]
	return rest[:bytes.IndexByte(rest, 0)+1]
}

func (t *table) sort() {
	byAddress := func(a, b uint32) int { return cmp.Compare(t.address(a), t.address(b)) }
	if !slices.IsSortedFunc(t.starts, byAddress) {
		slices.SortStableFunc(t.starts, byAddress)
	}
}

// after is the lowest address in a sorted table that is higher than this one, 0 for none.
func (t *table) after(address uint64) uint64 {
	i := sort.Search(len(t.starts), func(i int) bool { return t.address(t.starts[i]) > address })
	if i == len(t.starts) {
		return 0
	}
	return t.address(t.starts[i])
}

// Room for the functions of nearly any kernel. That of the text is outside of the heap,
// which the collector would keep small around it, and goes back as a whole.
const (
	functionsRoom = 128 << 10
	textRoom      = 16 << 20
)

func parseSymbols(r io.Reader, want symbolNames) (*Symbols, error) {
	s := &Symbols{data: map[string]uint64{}, split: map[string]string{}, ranges: map[string][2]uint64{}}
	room, err := unix.Mmap(-1, 0, textRoom, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unix.Munmap(room) }()
	t := &table{text: room[:0], starts: make([]uint32, 0, functionsRoom)}
	for lines := bufio.NewReaderSize(r, 64<<10); ; {
		line, err := lines.ReadSlice('\n')
		if err != nil && err != io.EOF {
			return nil, err
		}
		if address, kind, name, ok := parseSymbol(bytes.TrimSuffix(line, []byte{'\n'})); ok {
			s.add(t, address, kind, name, want)
		}
		if err == io.EOF {
			break
		}
	}
	t.sort()
	for function, r := range s.ranges {
		if r[1] = t.after(r[0]); r[0] == 0 || r[1] == 0 {
			r = [2]uint64{}
		}
		s.ranges[function] = r
	}
	s.pack(t)
	return s, nil
}

// pack takes over a sorted table.
func (s *Symbols) pack(t *table) {
	packed := make([]byte, 0, len(t.text)-addressSize*len(t.starts))
	s.groups = make([]group, 0, len(t.starts)/groupSize+1)
	before, nameBefore := uint64(0), []byte(nil)
	for i, f := range t.starts {
		address, name := t.address(f), t.name(f)
		if i%groupSize == 0 {
			s.groups = append(s.groups, group{address: address, at: uint32(len(packed))})
			before, nameBefore = address, nil
		}
		shared := sharedPrefix(nameBefore, name)
		packed = append(binary.AppendUvarint(packed, address-before), byte(shared))
		packed = append(packed, name[shared:]...)
		before, nameBefore = address, name
	}
	s.packed, s.count = slices.Clone(packed), len(t.starts)
}

// sharedPrefix is how many bytes two names with their NULs begin with alike, the NUL not
// among them.
func sharedPrefix(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b), math.MaxUint8+1)-1 && a[n] == b[n] {
		n++
	}
	return n
}

func parseSymbol(line []byte) (address uint64, kind byte, name []byte, ok bool) {
	i := bytes.IndexByte(line, ' ')
	if i <= 0 || i > 2*addressSize || len(line) < i+4 || line[i+2] != ' ' {
		return 0, 0, nil, false
	}
	for _, c := range line[:i] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		default:
			return 0, 0, nil, false
		}
		address = address<<4 | uint64(c)
	}
	name = line[i+3:]
	if j := bytes.IndexByte(name, '\t'); j >= 0 {
		name = name[:j]
	}
	if j := bytes.IndexByte(name, ' '); j >= 0 {
		name = name[:j]
	}
	return address, line[i+1], name, len(name) > 0
}

func (s *Symbols) add(t *table, address uint64, kind byte, name []byte, want symbolNames) {
	// Whatever its kind: 7.3 shows the read-only data within the text as 't'.
	if want.data[string(name)] && address != 0 {
		s.data[string(name)] = address
		return
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

func (s *Symbols) addFunction(t *table, address uint64, name []byte, want map[string]bool) {
	s.hidden = s.hidden || address == 0
	if function, suffix, _ := bytes.Cut(name, []byte{'.'}); want[string(function)] && isEntry(suffix) {
		s.addWanted(string(function), string(name), address)
	}
	if address != 0 && !isPadding(name) {
		t.add(address, name)
	}
}

// isPadding says that nothing runs there: the room before a function for a
// checksum or a thunk (CONFIG_PREFIX_SYMBOLS, CONFIG_CFI_CLANG). That is half of
// some kernels' table.
func isPadding(name []byte) bool {
	return bytes.HasPrefix(name, []byte("__pfx_")) || bytes.HasPrefix(name, []byte("__cfi_"))
}

// isEntry says whether a name with this behind its first dot is the function itself or
// the copy of it that the compiler suffixed. The .cold part is no entry, and .part.N is
// only a piece of it; either can come behind another suffix (.isra.0.cold).
func isEntry(suffix []byte) bool {
	if bytes.HasPrefix(suffix, []byte("cold")) || bytes.Contains(suffix, []byte(".cold")) || bytes.Contains(suffix, []byte("part.")) {
		return false
	}
	return len(suffix) == 0 || bytes.HasPrefix(suffix, []byte("isra.")) || bytes.HasPrefix(suffix, []byte("constprop."))
}

// addWanted notes the symbol of a function asked for: rather the function itself than a
// copy. Of a name that several functions have, the lowest counts.
func (s *Symbols) addWanted(function, symbol string, address uint64) {
	known, again := s.split[function], s.split[function] == symbol
	if known == function && !again {
		return
	}
	s.split[function] = symbol
	if before := s.ranges[function][0]; !again || before == 0 || address < before {
		s.ranges[function] = [2]uint64{address}
	}
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

// maxName has room for nearly any name and its offset.
const maxName = 128

// Name is "symbol+0xoffset" for an address, or the bare address where no symbol is
// known.
func (s *Symbols) Name(address uint64) string {
	var room [maxName]byte
	name, start, ok := s.find(room[:0], address)
	if !ok || address-start > maxFunction {
		return "0x" + strconv.FormatUint(address, 16)
	}
	return string(strconv.AppendUint(append(name, "+0x"...), address-start, 16))
}

// find returns the name, in room, and the address of the last function at or below an
// address.
func (s *Symbols) find(room []byte, address uint64) (name []byte, start uint64, ok bool) {
	i := sort.Search(len(s.groups), func(i int) bool { return s.groups[i].address > address }) - 1
	if i < 0 {
		return nil, 0, false
	}
	packed := s.packed[s.groups[i].at:]
	if i+1 < len(s.groups) {
		packed = s.packed[s.groups[i].at:s.groups[i+1].at]
	}
	name, start = room, s.groups[i].address
	for len(packed) > 0 {
		distance, n := binary.Uvarint(packed)
		if start+distance > address {
			break
		}
		start += distance
		shared, rest := packed[n], packed[n+1:]
		end := bytes.IndexByte(rest, 0)
		name, packed = append(name[:shared], rest[:end]...), rest[end+1:]
	}
	return name, start, true
}

// Len is how many functions have a known address.
func (s *Symbols) Len() int { return s.count }
