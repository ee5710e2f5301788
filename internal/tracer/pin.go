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
// each reader attaches for itself as program-<n>-<kind>-<hook>, and last of all
// a mark that the rest is complete.
const (
	pinLink     = "link" // bpffs has no dots in names
	pinProgram  = "program"
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
	return []string{probe.OomtraceMapEvents, probe.OomtraceMapCounters, probe.OomtraceMapCmdlines}
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

// sets lists what is pinned: the complete set of this build, if there is one,
// and those of other builds with the same layout.
func (d *pinDir) sets() (own bool, others []string, err error) {
	entries, err := os.ReadDir(d.root)
	if err != nil {
		return false, nil, fmt.Errorf("%w: %w", ErrPin, err)
	}
	for _, e := range entries {
		path := filepath.Join(d.root, e.Name())
		_, statErr := os.Stat(filepath.Join(path, pinComplete))
		complete := statErr == nil
		switch {
		case !e.IsDir():
			return false, nil, fmt.Errorf("%w: %s holds %s, which is not ours", ErrPin, d.root, e.Name())
		case !complete:
			// A reader died while it was attaching.
			if err := removeSet(path); err != nil {
				return false, nil, err
			}
		case path == d.path:
			own = true
		case strings.HasPrefix(e.Name(), layoutPrefix(wire.Layout)):
			others = append(others, path)
		default:
			return false, nil, fmt.Errorf("%w: %s was pinned by a version with another record layout, and may hold records that only it can read", ErrPin, path)
		}
	}
	return own, others, nil
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

// pinLink pins the nth link. link.ErrNotSupported: this kind of link cannot be
// pinned on this kernel (perf events before 5.15).
func (d *pinDir) pinLink(l link.Link, n int, at *Attachment) error {
	name := pinned{pinLink, n, at.Kind, at.Hook}.String()
	if err := l.Pin(filepath.Join(d.path, name)); err != nil {
		return fmt.Errorf("pin: %w", plainError(err))
	}
	return nil
}

// pinProgram keeps the program of the nth hook, without its link.
func (d *pinDir) pinProgram(prog *ebpf.Program, n int, h hook, c candidate) error {
	name := pinned{pinProgram, n, c.kind, h.name}.String()
	if err := prog.Pin(filepath.Join(d.path, name)); err != nil {
		return fmt.Errorf("pin: %w", plainError(err))
	}
	return nil
}

// finish marks the set as complete. Any map will do: what counts is the name.
func (d *pinDir) finish(maps map[string]*ebpf.Map) error {
	again, err := maps[probe.OomtraceMapCounters].Clone()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	defer func() { _ = again.Close() }()
	if err := again.Pin(filepath.Join(d.path, pinComplete)); err != nil {
		return fmt.Errorf("%w: %w", ErrPin, plainError(err))
	}
	return nil
}

// openPinned opens the maps and links of a set.
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
	return t.listPinned(path)
}

// listPinned learns from the links' names what is attached.
func (t *Tracer) listPinned(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPin, err)
	}
	hooks := plan(TierAuto)
	attached := map[int]Attachment{}
	for _, e := range entries {
		p, ok := parsePinned(e.Name())
		if i := hookAt(hooks, p.hook); ok && p.what == pinLink && i >= 0 {
			attached[p.n] = hooks[i].attachment(p.kind)
		}
	}
	for n := range hooks {
		if at, ok := attached[n]; ok {
			t.attachments = append(t.attachments, at)
		}
	}
	return nil
}

func hookAt(hooks []hook, name string) int {
	return slices.IndexFunc(hooks, func(h hook) bool { return h.name == name })
}

// attachPinned attaches the set's programs that have no link of their own: what
// they send is for a reader that runs. Records are whole without them.
func (t *Tracer) attachPinned(path string) {
	hooks := plan(TierAuto)
	for i := range hooks {
		if !hooks[i].unpinned {
			continue
		}
		at, l, err := attachProgram(path, i, &hooks[i])
		t.attachments = append(t.attachments, at)
		if err != nil {
			t.notes = append(t.notes, fmt.Sprintf("%s is not attached again: %v", hooks[i].name, err))
			continue
		}
		t.links = append(t.links, l)
	}
}

// attachProgram attaches the pinned program of the nth hook.
func attachProgram(path string, n int, h *hook) (at Attachment, l link.Link, err error) {
	at = h.attachment("")
	for _, c := range h.candidates {
		var prog *ebpf.Program
		prog, err = ebpf.LoadPinnedProgram(filepath.Join(path, pinned{pinProgram, n, c.kind, h.name}.String()), nil)
		if err == nil {
			l, err = c.attach(nil, prog, h.name)
			_ = prog.Close() // the link holds it
		}
		if err == nil {
			at.Kind = c.kind
			return at, l, nil
		}
		err = plainError(err)
		at.Tried = append(at.Tried, Attempt{Kind: c.kind, Err: err})
	}
	return at, nil, err
}

// openRing maps the ring of t.maps.
func (t *Tracer) openRing() (err error) {
	events := t.maps[probe.OomtraceMapEvents]
	if t.ring, err = ring.Open(events.FD(), int(events.MaxEntries())); err != nil {
		return fmt.Errorf("open ring: %w", err)
	}
	return nil
}
