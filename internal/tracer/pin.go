package tracer

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/oomtrace/oomtrace/internal/probe"
	"github.com/oomtrace/oomtrace/internal/ring"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// ErrPin: the directory for --pin cannot be used.
var ErrPin = errors.New("cannot use the pin directory")

// Names below the pin directory: DIR/l<layout>-<hash of the object>/, in it the
// maps that a reader needs, the links as link-<n>-<kind>-<hook>, programs that
// each reader attaches for itself as program-<n>-<kind>-<hook>, what was asked
// for as settings-<tier>-<top>-<hash of the BTF file's name>, and last of all a
// mark that the rest is complete.
const (
	pinLink     = "link" // bpffs has no dots in names
	pinProgram  = "program"
	pinSettings = "settings"
	pinComplete = "complete"
)

// pinned is what the name of a link or program says.
type pinned struct {
	what string // pinLink or pinProgram
	n    int    // its place in the plan
	kind string
	hook string
}

func (p pinned) String() string {
	return fmt.Sprintf("%s-%d-%s-%s", p.what, p.n, p.kind, hex.EncodeToString([]byte(p.hook)))
}

func parsePinned(name string) (p pinned, ok bool) {
	parts := strings.SplitN(name, "-", 4)
	if len(parts) != 4 {
		return p, false
	}
	n, err := strconv.Atoi(parts[1])
	hook, hexErr := hex.DecodeString(parts[3])
	return pinned{what: parts[0], n: n, kind: parts[2], hook: string(hook)}, err == nil && hexErr == nil
}

// pinnedMaps are those that a later reader needs. All others live on through
// the programs.
func pinnedMaps() []string {
	return []string{probe.OomtraceMapEvents, probe.OomtraceMapCounters, probe.OomtraceMapLedger, probe.OomtraceMapCmdlines}
}

// pinDir is a bpffs directory that this process has locked.
type pinDir struct {
	path string // of the set that this build makes
	root string
	dir  *os.Root
	lock *os.File
}

// openPinDir makes the directory, checks that it can hold pins and is ours, and
// locks it.
func openPinDir(root string) (_ *pinDir, err error) {
	_, err = os.Lstat(root)
	made := errors.Is(err, fs.ErrNotExist)
	if made {
		err = os.MkdirAll(root, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrPin, root, err)
	}
	if int64(st.Type) != unix.BPF_FS_MAGIC {
		if made {
			_ = os.Remove(root)
		}
		return nil, fmt.Errorf("%w: %s is not on a bpffs", ErrPin, root)
	}
	d := &pinDir{path: filepath.Join(root, pinName()), root: root}
	if d.dir, err = openOwnDir(root); err != nil {
		return nil, err
	}
	if err := d.takeLock(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *pinDir) takeLock() (err error) {
	if d.lock, err = d.dir.Open("."); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrPin, d.root, heldBy(d.lock, err))
	}
	return nil
}

func (d *pinDir) close() error {
	if d.lock == nil {
		return d.dir.Close()
	}
	return errors.Join(d.lock.Close(), d.dir.Close())
}

// unchanged fails if the path no longer leads to the directory that is locked.
func (d *pinDir) unchanged() error {
	now, err := os.Lstat(d.root)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	if held, err := d.lock.Stat(); err != nil || !os.SameFile(now, held) {
		return &ForeignPinError{Dir: d.root, Why: "was replaced while oomtrace used it"}
	}
	return nil
}

// pinName differs between sets of different layouts and builds.
func pinName() string {
	sum := sha256.New()
	for _, object := range probe.Objects() {
		_, _ = sum.Write(object)
	}
	for _, h := range slices.Concat(plan(TierAuto), historyPlan()) {
		for _, c := range h.candidates {
			_, _ = fmt.Fprintln(sum, c.program)
		}
	}
	return layoutPrefix(wire.Layout) + hex.EncodeToString(sum.Sum(nil)[:6])
}

func layoutPrefix(layout int) string { return "l" + strconv.Itoa(layout) + "-" }

// heldBy says who has the lock, as /proc/locks knows it (fs/locks.c).
func heldBy(f *os.File, err error) error {
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return err
	}
	var st unix.Stat_t
	locks, openErr := os.Open("/proc/locks")
	if openErr != nil || unix.Fstat(int(f.Fd()), &st) != nil {
		return errors.New("another oomtrace uses it")
	}
	defer func() { _ = locks.Close() }()
	inode := ":" + strconv.FormatUint(st.Ino, 10)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 6 && fields[1] == "FLOCK" && strings.HasSuffix(fields[5], inode) {
			return fmt.Errorf("process %s uses it", fields[4])
		}
	}
	return errors.New("another oomtrace uses it")
}

// pinSets are the complete sets in a directory.
type pinSets struct {
	own      bool     // of this build
	readable []string // of other builds, with the same layout
	foreign  []string // with other layouts
	left     []string // pins in these that this build does not know
}

// sets lists what is pinned, and removes sets that are incomplete: a reader exited
// while it was attaching, or removing one. Foreign pins inside of a set, as a later
// version may have there, stay.
func (d *pinDir) sets() (found pinSets, err error) {
	c, err := look(d.dir.FS(), uint32(os.Geteuid()))
	if err != nil {
		return found, err
	}
	for _, name := range c.foreign {
		if set, _, inside := strings.Cut(name, "/"); !inside || set == filepath.Base(d.path) {
			return found, &ForeignPinError{Dir: d.root, Names: c.foreign}
		}
	}
	found.left = c.foreign
	for _, set := range c.sets {
		path := filepath.Join(d.root, set)
		switch {
		case !slices.Contains(c.pins[set], pinComplete):
			if err := removePins(d.dir, set, c.pins[set]); err != nil {
				return found, err
			}
		case path == d.path:
			found.own = true
		case strings.HasPrefix(set, layoutPrefix(wire.Layout)):
			found.readable = append(found.readable, path)
		default:
			found.foreign = append(found.foreign, path)
		}
	}
	return found, nil
}

// pinMaps pins the maps before anything is attached.
func (d *pinDir) pinMaps(maps map[string]*ebpf.Map) error {
	if err := d.unchanged(); err != nil {
		return err
	}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	for _, name := range pinnedMaps() {
		if err := maps[name].Pin(filepath.Join(d.path, name)); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPin, name, plainError(err))
		}
	}
	return nil
}

// pinSpot is the place of the nth hook in a set. A nil one keeps nothing.
type pinSpot struct {
	dir *pinDir
	n   int
}

// spot is nil without pins.
func (d *pinDir) spot(n int) *pinSpot {
	if d == nil {
		return nil
	}
	return &pinSpot{d, n}
}

// link pins a link. link.ErrNotSupported: this kind of link cannot be pinned on
// this kernel (perf events before 5.15).
func (s *pinSpot) link(l link.Link, _ *ebpf.Program, at *Attachment) error {
	return s.pin(l, pinLink, at)
}

// program keeps a program, without its link.
func (s *pinSpot) program(_ link.Link, prog *ebpf.Program, at *Attachment) error {
	return s.pin(prog, pinProgram, at)
}

func (s *pinSpot) pin(what interface{ Pin(string) error }, as string, at *Attachment) error {
	if s == nil {
		return nil
	}
	if err := what.Pin(filepath.Join(s.dir.path, pinned{as, s.n, at.Kind, at.Hook}.String())); err != nil {
		return fmt.Errorf("pin: %w", plainError(err))
	}
	return nil
}

// finish notes what was asked for and marks the set as complete.
func (d *pinDir) finish(maps map[string]*ebpf.Map, opts Options) error {
	if err := d.unchanged(); err != nil {
		return err
	}
	for _, name := range []string{settings(opts), pinComplete} {
		if err := d.mark(maps, name); err != nil {
			return err
		}
	}
	return nil
}

// mark pins a map under another name. Any will do: what counts is the name.
func (d *pinDir) mark(maps map[string]*ebpf.Map, name string) error {
	again, err := maps[probe.OomtraceMapCounters].Clone()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	defer func() { _ = again.Close() }()
	if err := again.Pin(filepath.Join(d.path, name)); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, plainError(err))
	}
	return nil
}

// settings names what pinned programs were loaded with, and a later reader cannot
// change.
func settings(opts Options) string {
	sum := sha256.Sum256([]byte(opts.BTF))
	return fmt.Sprintf("%s-%s-%d-%s-%s", pinSettings, tierName(opts.Tier), opts.top(), hex.EncodeToString(sum[:6]), sigkillsName(opts.NoSigkills))
}

func sigkillsName(none bool) string {
	if none {
		return "off"
	}
	return "on"
}

func tierName(tier Tier) string {
	if tier == TierAuto {
		return "auto"
	}
	return string(tier)
}

// differs says what of the options does not hold for the programs that are pinned;
// nothing if all does.
func (d *pinDir) differs(opts Options) string {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return ""
	}
	want := strings.Split(settings(opts), "-")
	for _, e := range entries {
		have := strings.Split(e.Name(), "-")
		if have[0] != pinSettings || len(have) != len(want) {
			continue
		}
		var other []string
		for i, flag := range []string{"", "--attach " + have[1], "--top " + have[2], "another --btf", "SIGKILLs " + have[4]} {
			if have[i] != want[i] {
				other = append(other, flag)
			}
		}
		if len(other) > 0 {
			return fmt.Sprintf("pinned programs in %s keep their settings (%s); stop oomtrace and run \"oomtrace unpin\" to change them", d.root, strings.Join(other, ", "))
		}
	}
	return ""
}

// hasForm says that a pinned map is of the kind that this build makes, or one of before
// made: its counters were per CPU.
func hasForm(m *ebpf.Map, want *ebpf.MapSpec) bool {
	kind := m.Type() == want.Type && m.Flags() == want.Flags
	before := want.Name == probe.OomtraceMapCounters && m.Type() == ebpf.PerCPUArray
	counts := want.Name == probe.OomtraceMapCounters || want.Name == probe.OomtraceMapLedger
	return (kind || before) && m.KeySize() == want.KeySize && m.ValueSize() == want.ValueSize && (!counts || m.MaxEntries() >= want.MaxEntries)
}

// openPinned opens the maps of a set.
func (t *Tracer) openPinned(path string) error {
	spec, err := probe.LoadOomtrace()
	if err != nil {
		return fmt.Errorf("BPF object: %w", err)
	}
	t.maps = map[string]*ebpf.Map{}
	for _, name := range pinnedMaps() {
		m, err := ebpf.LoadPinnedMap(filepath.Join(path, name), nil)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPin, path, plainError(err))
		}
		t.maps[name] = m
		if !hasForm(m, spec.Maps[name]) {
			return &ForeignPinError{Dir: filepath.Join(path, name), Why: "is another program's map"}
		}
	}
	if err := t.openRing(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrPin, path, err)
	}
	t.drainEnd = t.ring.End()
	return nil
}

// listPinned learns from names what is pinned, in the order of the plan.
func listPinned(path string) ([]pinned, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	var found []pinned
	for _, e := range entries {
		if p, ok := parsePinned(e.Name()); ok {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b pinned) int { return a.n - b.n })
	return found, nil
}

// attachPinned goes on with a set: its links are attached, and its programs that
// have none are attached again.
func (t *Tracer) attachPinned(path string) error {
	found, err := listPinned(path)
	if err != nil {
		return err
	}
	hooks := plan(TierAuto)
	a := &attacher{symbols: t.symbols, watched: &t.watched}
	for _, p := range found {
		i := slices.IndexFunc(hooks, func(h hook) bool { return h.name == p.hook })
		switch {
		case i < 0:
		case p.what == pinLink:
			t.attachments = append(t.attachments, hooks[i].attachment(p.kind))
			t.watched.addPinned(path, p)
		case p.what == pinProgram:
			if err := t.attachAgain(a, filepath.Join(path, p.String()), &hooks[i], p.kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// attachAgain attaches a pinned program. Only the program that is needed can make it
// fail.
func (t *Tracer) attachAgain(a *attacher, path string, h *hook, kind string) error {
	at, l, err := a.again(path, h, kind)
	if err == nil {
		at.Unpinned = !h.unpinned
		t.attachments, t.links = append(t.attachments, at), append(t.links, l)
		return nil
	}
	at.Kind, at.Tried = "", []Attempt{{Kind: kind, Err: plainError(err)}}
	t.attachments = append(t.attachments, at)
	if h.needed || isExhausted(err) {
		return &AttachError{Hook: h.name, Attempts: at.Tried}
	}
	t.notes = append(t.notes, fmt.Sprintf("%s is not attached again: %v", h.name, plainError(err)))
	return nil
}

func (a *attacher) again(path string, h *hook, kind string) (at Attachment, l link.Link, err error) {
	at = h.attachment(kind)
	i := slices.IndexFunc(h.candidates, func(c candidate) bool { return c.kind == kind })
	if i < 0 {
		return at, nil, fmt.Errorf("no program for %s", kind)
	}
	prog, err := ebpf.LoadPinnedProgram(path, nil)
	if err != nil {
		return at, nil, err
	}
	defer func() { _ = prog.Close() }() // the link holds it
	l, err = a.attach(*h, h.candidates[i], &at, prog, keepNothing)
	return at, l, err
}

// openRing maps the ring of t.maps, and opens what is counted beside it.
func (t *Tracer) openRing() (err error) {
	events := t.maps[probe.OomtraceMapEvents]
	if t.ring, err = ring.Open(events.FD(), int(events.MaxEntries())); err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	info, err := events.Info()
	if err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	if id, ok := info.ID(); ok {
		t.set = uint32(id)
	}
	return t.counters.open(t.maps[probe.OomtraceMapLedger])
}
