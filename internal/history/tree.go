package history

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// Bounds of the sampler. What is open costs the kernel a page each (seq_file keeps
// its buffer), so nothing is kept open: a cgroup that stands still is read rarely
// instead.
const (
	maxNodes    = 16384
	readsATick  = 192
	stillATick  = 48 // of these, those that stand still
	looksATick  = 12
	slowest     = 32 // ticks between two readings of a cgroup that stands still, if there are not too many
	atStart     = 16 // ticks to the second reading of those that were there before this
	stillBytes  = 256 << 10
	maxLevelAge = 128 // ticks between two readings of a limit
	keepGone    = 30  // ticks that a removed cgroup's history is kept
)

// node is one memory cgroup.
type node struct {
	path    string // below the hierarchy's root, "/" for the root
	id      uint64 // inode number of its directory, which is the kernel's id
	level   oom.Level
	usageAt sizes
	last    uint64
	lastAt  uint32 // stamp; 0: not read yet
	max     uint64 // unlimited where there is none
	every   uint32 // ticks between two readings
	due     uint32 // tick of the next reading
	maxDue  uint32
	gone    uint32 // tick at which it was found removed; 0: it is there
}

const unlimited = ^uint64(0)

// files reads the files of cgroups, and keeps its buffers: one goroutine uses it.
type files struct {
	mount string
	v1    bool
	buf   [4096]byte
	name  []byte
}

// path is that of a cgroup's file; with an empty name, of its directory.
func (f *files) path(dir, name string) string {
	f.name = append(append(append(f.name[:0], f.mount...), dir...), '/')
	return string(append(f.name, name...))
}

// read gives a cgroup's file; the bytes live until the next call.
func (f *files) read(dir, name string) ([]byte, error) {
	fd, err := unix.Open(f.path(dir, name), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	n, err := unix.Read(fd, f.buf[:])
	_ = unix.Close(fd)
	if err != nil {
		return nil, err
	}
	return f.buf[:n], nil
}

// number reads a file with one number. "max" is unlimited.
func (f *files) number(dir, name string) (uint64, error) {
	b, err := f.read(dir, name)
	if err != nil {
		return 0, err
	}
	if bytes.HasPrefix(b, []byte("max")) {
		return unlimited, nil
	}
	v, ok := number(b)
	if !ok {
		return 0, errNoNumber
	}
	return v, nil
}

var errNoNumber = errors.New("no number")

func (f *files) usage(dir string) (uint64, error) {
	if f.v1 {
		return f.number(dir, "memory.usage_in_bytes")
	}
	return f.number(dir, "memory.current")
}

// limit gives a cgroup's limit. v1 writes a number beyond all memory for none.
func (f *files) limit(dir string) uint64 {
	name := "memory.max"
	if f.v1 {
		name = "memory.limit_in_bytes"
	}
	v, err := f.number(dir, name)
	if err != nil || v>>62 != 0 {
		return unlimited
	}
	return v
}

// id is the kernel's id of a cgroup, and links how many its directory has: two, and
// one more for each cgroup in it.
func (f *files) id(dir string) (id, links uint64, err error) {
	var st unix.Stat_t
	if err := unix.Stat(f.path(dir, ""), &st); err != nil {
		return 0, 0, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return 0, 0, unix.ENOTDIR
	}
	return st.Ino, uint64(st.Nlink), nil
}

// tree is the cgroups of a hierarchy: found by walking it, some directories a tick,
// and by notices of new ones. The sampler alone calls what reads files, which may
// take long while there is no memory; what it has read may be had at any time.
type tree struct {
	files

	mu      sync.Mutex // never held while a file is read
	nodes   map[string]*node
	order   []*node // for going round
	notices []string
	look    int // next in order to be looked at
	sample  int // last in order that was read
	still   int // the same of those that stand still
	filling bool
	tick    uint32

	due []*node // of one tick
}

func newTree(mount string, version int) *tree {
	return &tree{files: files{mount: mount, v1: version == 1}, nodes: map[string]*node{}}
}

// add takes a cgroup in, or takes it anew if another one has its path now.
func (t *tree) add(dir string) {
	id, _, err := t.id(dir)
	if err != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	have := t.nodes[dir]
	if have != nil && have.id == id && have.gone == 0 {
		return
	}
	if have == nil && len(t.nodes) >= maxNodes || len(t.order) >= 2*maxNodes { // those that are gone stay a while
		return
	}
	if have != nil && have.gone == 0 {
		have.gone = max(t.tick, 1)
	}
	dir = strings.Clone(dir)
	n := &node{path: dir, id: id, level: cgroup.Parse(dir).Level, max: unlimited, every: 1, due: t.tick, maxDue: t.tick}
	if t.filling {
		n.every = atStart
	}
	t.nodes[dir] = n
	t.order = append(t.order, n)
}

// walk finds what is new below a cgroup, and whether it is there still.
func (t *tree) walk(n *node) {
	id, links, err := t.id(n.path)
	switch {
	case err != nil:
		t.remove(n)
		return
	case id != n.id:
		t.add(n.path)
	}
	if links == 2 { // file systems that do not count them have 1
		return
	}
	entries, err := os.ReadDir(t.path(n.path, ""))
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			if below := path.Join(n.path, e.Name()); !t.knows(below) {
				t.add(below)
			}
		}
	}
}

func (t *tree) knows(dir string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[dir]
	return n != nil && n.gone == 0
}

func (t *tree) remove(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n.gone == 0 {
		n.gone = max(t.tick, 1)
	}
}

// fill walks the whole hierarchy, at the start.
func (t *tree) fill() {
	t.filling = true // by this goroutine alone
	t.add("/")
	for i := 0; ; i++ {
		t.mu.Lock()
		if i >= len(t.order) {
			t.filling = false
			t.mu.Unlock()
			return
		}
		n := t.order[i]
		t.mu.Unlock()
		t.walk(n)
	}
}

// notice takes the path of a new cgroup, from any goroutine.
func (t *tree) notice(dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.notices) < maxNodes {
		t.notices = append(t.notices, strings.Clone(dir))
	}
}

// step is one tick: a few directories are looked at, and the cgroups that are due
// are read.
func (t *tree) step(changed func(*node, uint32)) {
	t.mu.Lock()
	t.tick++
	t.forget()
	notices := t.notices
	t.notices = nil
	t.due = t.due[:0]
	for range min(looksATick, len(t.order)) {
		t.look = (t.look + 1) % len(t.order)
		t.due = append(t.due, t.order[t.look])
	}
	looks := len(t.due)
	t.takeDue()
	t.mu.Unlock()
	for _, dir := range notices {
		t.add(dir)
	}
	for i, n := range t.due {
		if i >= looks {
			if now, ok := t.readUsage(n); ok {
				changed(n, now)
			}
		} else if n.gone == 0 { // written by this goroutine alone
			t.walk(n)
		}
	}
}

// takeDue appends the cgroups that are to be read in this tick. Those that stand still
// have a share of their own: however many they are, what changes is read each tick. The
// caller holds mu.
func (t *tree) takeDue() {
	t.takeSome(&t.sample, readsATick-stillATick, func(n *node) bool { return n.every < slowest })
	t.takeSome(&t.still, stillATick, func(n *node) bool { return n.every >= slowest })
}

// takeSome goes on behind the one that it took last.
func (t *tree) takeSome(last *int, most int, of func(*node) bool) {
	for i, begin := 1, *last; i <= len(t.order) && most > 0; i++ {
		at := (begin + i) % len(t.order)
		if n := t.order[at]; n.gone == 0 && int32(t.tick-n.due) >= 0 && of(n) {
			t.due = append(t.due, n)
			*last, most = at, most-1
		}
	}
}

// readUsage takes a sample. The less a cgroup changes the rarer it is read.
func (t *tree) readUsage(n *node) (now uint32, ok bool) {
	v, err := t.usage(n.path)
	now = stampAt(host.BootNS())
	if (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)) && n.path != "/" {
		t.remove(n)
		return 0, false
	}
	most := n.max
	if err == nil && int32(t.tick-n.maxDue) >= 0 {
		most = t.limit(n.path)
		n.maxDue = t.tick + maxLevelAge
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err != nil || n.lastAt != 0 && max(v, n.last)-min(v, n.last) < stillBytes:
		n.every = min(n.every*2, slowest)
	case n.lastAt != 0:
		n.every = 1
	}
	n.due = t.tick + n.every
	if err != nil { // v2's root has no such file
		return 0, false
	}
	n.last, n.lastAt, n.max = v, now, most
	n.usageAt.add(now, v)
	return now, true
}

// forget drops what is gone for a while: a kill's record may still come.
func (t *tree) forget() {
	t.order = slices.DeleteFunc(t.order, func(n *node) bool {
		if n.gone == 0 || t.tick-n.gone < keepGone {
			return false
		}
		if t.nodes[n.path] == n {
			delete(t.nodes, n.path)
		}
		return true
	})
}

// pathOf is the path of the cgroup with an id, empty where it is not known.
func (t *tree) pathOf(id uint64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.order {
		if n.id == id {
			return n.path
		}
	}
	return ""
}

// usageOf gives the samples of a cgroup's usage up to a time. With an id it is that
// cgroup's, though another one may have its path by now.
func (t *tree) usageOf(dir string, id oom.Opt[uint64], ns uint64) []at[uint64] {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nodes[dir]
	if n != nil && id.Known && n.id != id.Value {
		n = nil
		for _, other := range t.order {
			if other.id == id.Value {
				n = other
			}
		}
	}
	if n == nil {
		return nil
	}
	return n.usageAt.before(ns)
}

// below lists the living cgroups below a path, each before those in it. The caller
// holds mu.
func (t *tree) below(dir string) []*node {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	var out []*node
	for _, n := range t.order {
		if n.gone == 0 && n.path != dir && strings.HasPrefix(n.path, prefix) {
			out = append(out, n)
		}
	}
	slices.SortFunc(out, func(a, b *node) int { return comparePaths(a.path, b.path) })
	return out
}

// comparePaths orders a cgroup's descendants right behind it.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

func isBelow(dir, of string) bool {
	return len(dir) > len(of) && dir[len(of)] == '/' && strings.HasPrefix(dir, of)
}
