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
var ErrPin = errors.New("cannot pin")

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
	lock *os.File
}

// openPinDir makes the directory, checks that it can hold pins, and locks it.
func openPinDir(root string) (_ *pinDir, err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrPin, root, err)
	}
	if int64(st.Type) != unix.BPF_FS_MAGIC {
		_ = os.Remove(root) // only an empty one goes
		return nil, fmt.Errorf("%w: %s is not on a bpffs", ErrPin, root)
	}
	f, err := os.Open(root)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		err = heldBy(f, err)
		return nil, errors.Join(fmt.Errorf("%w: %s: %w", ErrPin, root, err), f.Close())
	}
	name, err := pinName()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &pinDir{path: filepath.Join(root, name), root: root, lock: f}, nil
}

func (d *pinDir) close() error { return d.lock.Close() }

// pinName tells sets of different layouts and builds apart.
func pinName() (string, error) {
	spec, err := probe.LoadOomtrace()
	if err != nil {
		return "", fmt.Errorf("BPF object: %w", err)
	}
	sum := sha256.New()
	for _, h := range plan(TierAuto) {
		for _, c := range h.candidates {
			_, _ = fmt.Fprintf(sum, "%s %v\n", c.program, spec.Programs[c.program].Instructions)
		}
	}
	return layoutPrefix(wire.Layout) + hex.EncodeToString(sum.Sum(nil)[:6]), nil
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
}

// sets lists what is pinned.
func (d *pinDir) sets() (found pinSets, err error) {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return found, fmt.Errorf("%w: %w", ErrPin, err)
	}
	for _, e := range entries {
		path := filepath.Join(d.root, e.Name())
		_, statErr := os.Stat(filepath.Join(path, pinComplete))
		complete := statErr == nil
		switch {
		case !e.IsDir():
			return found, fmt.Errorf("%w: %s holds %s, which is not ours", ErrPin, d.root, e.Name())
		case !complete:
			// A reader died while it was attaching, or taking a set away.
			if err := removeSet(path); err != nil {
				return found, err
			}
		case path == d.path:
			found.own = true
		case strings.HasPrefix(e.Name(), layoutPrefix(wire.Layout)):
			found.readable = append(found.readable, path)
		default:
			found.foreign = append(found.foreign, path)
		}
	}
	return found, nil
}

// removeSet unpins one set. The kernel detaches a link when its last reference
// goes.
func removeSet(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	// The mark goes first: half a set must not look like a whole one.
	errs = append(errs, ignoreMissing(os.Remove(filepath.Join(path, pinComplete))))
	for _, e := range entries {
		errs = append(errs, ignoreMissing(os.Remove(filepath.Join(path, e.Name()))))
	}
	errs = append(errs, os.Remove(path))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: remove: %w", ErrPin, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Unpin removes all that Open pinned below root, and root itself. It fails with
// ErrPin while a tracer uses it.
func Unpin(root string) error {
	if _, err := os.Stat(root); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	d, err := openPinDir(root)
	if err != nil {
		return err
	}
	defer func() { _ = d.close() }()
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	for _, e := range entries {
		if err := removeSet(filepath.Join(root, e.Name())); err != nil {
			return err
		}
	}
	if err := os.Remove(root); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	return nil
}

// pinMaps pins the maps before anything is attached.
func (d *pinDir) pinMaps(maps map[string]*ebpf.Map) error {
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

// settings names what pinned hooks have been told, and a later reader cannot
// change.
func settings(opts Options) string {
	sum := sha256.Sum256([]byte(opts.BTF))
	return fmt.Sprintf("%s-%s-%d-%s", pinSettings, tierName(opts.Tier), opts.top(), hex.EncodeToString(sum[:6]))
}

func tierName(tier Tier) string {
	if tier == TierAuto {
		return "auto"
	}
	return string(tier)
}

// differs says what of the options does not hold for the hooks that are pinned;
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
		for i, flag := range []string{"", "--attach " + have[1], "--top " + have[2], "another --btf"} {
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

// openPinned opens the maps of a set.
func (t *Tracer) openPinned(path string) error {
	t.maps = map[string]*ebpf.Map{}
	for _, name := range pinnedMaps() {
		m, err := ebpf.LoadPinnedMap(filepath.Join(path, name), nil)
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPin, path, plainError(err))
		}
		t.maps[name] = m
	}
	if err := t.openRing(); err != nil {
		return err
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
	a := &attacher{symbols: t.symbols}
	for _, p := range found {
		i := slices.IndexFunc(hooks, func(h hook) bool { return h.name == p.hook })
		switch {
		case i < 0:
		case p.what == pinLink:
			t.attachments = append(t.attachments, hooks[i].attachment(p.kind))
		case p.what == pinProgram:
			if err := t.attachAgain(a, filepath.Join(path, p.String()), &hooks[i], p.kind); err != nil {
				return err
			}
		}
	}
	return nil
}

// attachAgain attaches a pinned program. Only the hook that is needed can make it
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
	if h.needed {
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
