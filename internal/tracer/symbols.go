package tracer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"strconv"
)

// Symbols is the kernel's symbol table. A distribution kernel has well over
// 100 000 names and all of this stays in memory as long as the tracer runs, so
// it is packed: functions go by address in groups, and within a group each has
// the distance from the one before and the numbers of the words that its name is
// made of. A kernel has few words: some 10 000 for 60 000 functions.
type Symbols struct {
	groups  []group
	packed  []byte
	words   []byte   // one after the other, the most frequent first
	wordEnd []uint32 // where in words each ends
	count   int
	data    map[string]uint64
	split   map[string]string
	ranges  map[string][2]uint64 // of the functions asked for
	core    [2]uint64            // _stext and _etext: the kernel's own text
	hidden  bool                 // some function's address is zero
}

// group is where some functions start: in the kernel, and in packed.
type group struct {
	address uint64
	at      uint32
}

// groupSize is how many functions have to be passed over at most to find one.
const groupSize = 32

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

func parseSymbols(r io.Reader, want symbolNames) (*Symbols, error) {
	s := &Symbols{data: map[string]uint64{}, split: map[string]string{}}
	var t table
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), 1<<20)
	for lines.Scan() {
		address, kind, name, ok := parseSymbol(lines.Bytes())
		if !ok {
			continue
		}
		s.add(&t, address, kind, name, want)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if !sort.IsSorted(&t) {
		sort.Stable(&t)
	}
	s.ranges = t.ranges(s.split)
	s.pack(&t)
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
	t.addresses = append(t.addresses, address)
	t.names = append(t.names, uint32(len(t.text)))
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

// Append adds "symbol+0xoffset" for an address, or the bare address where no
// symbol is known.
func (s *Symbols) Append(dst []byte, address uint64) []byte {
	name, start, ok := s.find(address)
	if !ok || address-start > maxFunction {
		return strconv.AppendUint(append(dst, "0x"...), address, 16)
	}
	dst = s.appendName(dst, name)
	return strconv.AppendUint(append(dst, "+0x"...), address-start, 16)
}

// Len is how many functions have a known address.
func (s *Symbols) Len() int { return s.count }

// find returns the packed name and the address of the last function at or below
// an address. In packed, a function is its distance, its number of words, and
// their numbers.
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
		name, packed = packed[n:], skipName(packed[n:])
	}
	return name, start, true
}

func skipName(packed []byte) []byte {
	words, at := binary.Uvarint(packed)
	for ; words > 0; at++ {
		if packed[at] < 0x80 {
			words-- // the last byte of a number
		}
	}
	return packed[at:]
}

func (s *Symbols) appendName(dst, packed []byte) []byte {
	words, n := binary.Uvarint(packed)
	for i := range words {
		if i > 0 {
			dst = append(dst, '_')
		}
		packed = packed[n:]
		var word uint64
		word, n = binary.Uvarint(packed)
		start := uint32(0)
		if word > 0 {
			start = s.wordEnd[word-1]
		}
		dst = append(dst, s.words[start:s.wordEnd[word]]...)
	}
	return dst
}

// pack takes over a sorted table. Its last entry for an address is the one that
// is found, as there can be several names.
func (s *Symbols) pack(t *table) {
	v := t.vocabulary()
	number := s.takeWords(v)
	packed := make([]byte, 0, 2*len(v.of))
	of := v.of
	for i, address := range t.addresses {
		distance := uint64(0)
		if i%groupSize == 0 {
			s.groups = append(s.groups, group{address: address, at: uint32(len(packed))})
		} else {
			distance = address - t.addresses[i-1]
		}
		packed = binary.AppendUvarint(packed, distance)
		packed = binary.AppendUvarint(packed, uint64(v.lengths[i]))
		for _, w := range of[:v.lengths[i]] {
			packed = binary.AppendUvarint(packed, uint64(number[w]))
		}
		of = of[v.lengths[i]:]
	}
	s.count, s.packed, s.groups = len(t.addresses), slices.Clone(packed), slices.Clone(s.groups)
}

// takeWords stores the words, the most frequent first, and returns their new
// numbers by the old ones.
func (s *Symbols) takeWords(v *vocabulary) []uint32 {
	order := make([]uint32, len(v.words))
	size := 0
	for i, w := range v.words {
		order[i] = uint32(i)
		size += len(w)
	}
	slices.SortStableFunc(order, func(a, b uint32) int { return v.uses[b] - v.uses[a] })
	number := make([]uint32, len(v.words))
	s.words, s.wordEnd = make([]byte, 0, size), make([]uint32, 0, len(v.words))
	for n, old := range order {
		number[old] = uint32(n)
		s.words = append(s.words, v.words[old]...)
		s.wordEnd = append(s.wordEnd, uint32(len(s.words)))
	}
	return number
}

// vocabulary is the words of a table's names, numbered as they came.
type vocabulary struct {
	words   []string
	uses    []int
	of      []uint32 // the words of all names
	lengths []uint32 // how many of them each name has
}

func (t *table) vocabulary() *vocabulary {
	v := &vocabulary{of: make([]uint32, 0, 4*len(t.names)), lengths: make([]uint32, 0, len(t.names))}
	numbers := map[string]uint32{}
	for i := range t.names {
		n := uint32(0)
		for word := range bytes.SplitSeq(t.name(i), []byte{'_'}) {
			number, known := numbers[string(word)]
			if !known {
				number = uint32(len(v.words))
				v.words, v.uses = append(v.words, string(word)), append(v.uses, 0)
				numbers[v.words[number]] = number
			}
			v.uses[number]++
			v.of = append(v.of, number)
			n++
		}
		v.lengths = append(v.lengths, n)
	}
	return v
}

// table is the functions of the symbol table as they are read.
type table struct {
	addresses []uint64
	names     []uint32 // where in text the name starts
	text      []byte   // names, each with a NUL
}

func (t *table) name(i int) []byte {
	b := t.text[t.names[i]:]
	return b[:bytes.IndexByte(b, 0)]
}

// ranges finds what the functions asked for span; symbols are their names here.
func (t *table) ranges(symbols map[string]string) map[string][2]uint64 {
	out := map[string][2]uint64{}
	for i, start := range t.addresses {
		name := t.name(i)
		for function, symbol := range symbols {
			if _, done := out[function]; done || string(name) != symbol {
				continue
			}
			for _, end := range t.addresses[i+1:] {
				if end > start {
					out[function] = [2]uint64{start, end}
					break
				}
			}
		}
	}
	return out
}

func (t *table) Len() int           { return len(t.addresses) }
func (t *table) Less(i, j int) bool { return t.addresses[i] < t.addresses[j] }
func (t *table) Swap(i, j int) {
	t.addresses[i], t.addresses[j] = t.addresses[j], t.addresses[i]
	t.names[i], t.names[j] = t.names[j], t.names[i]
}
