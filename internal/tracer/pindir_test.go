package tracer

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRefusedDirectories(t *testing.T) {
	fine := dirFacts{directory: true, uid: 7, mode: fs.ModeDir | 0o700}
	for _, tt := range []struct {
		name   string
		change func(*dirFacts)
		why    string
	}{
		{"ours", func(*dirFacts) {}, ""},
		{"readable by others", func(f *dirFacts) { f.mode = fs.ModeDir | 0o755 }, ""},
		{"symbolic link", func(f *dirFacts) { f.symlink, f.directory = true, false }, "symbolic link"},
		{"file", func(f *dirFacts) { f.directory = false }, "not a directory"},
		{"mount point", func(f *dirFacts) { f.mountRoot = true }, "mount point"},
		{"another owner", func(f *dirFacts) { f.uid = 8 }, "uid 8"},
		{"group may write", func(f *dirFacts) { f.mode = fs.ModeDir | 0o720 }, "mode 0720"},
		{"all may write", func(f *dirFacts) { f.mode = fs.ModeDir | 0o702 }, "mode 0702"},
		{"all may write, sticky", func(f *dirFacts) { f.mode = fs.ModeDir | fs.ModeSticky | 0o777 }, "mode 0777"},
		{"others may replace it", func(f *dirFacts) { f.looseParent = true }, "replace it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fine
			tt.change(&f)
			if got := f.refuse(7); (got == "") != (tt.why == "") || !strings.Contains(got, tt.why) {
				t.Errorf("refused because it %q, want %q", got, tt.why)
			}
		})
	}
}

func TestOwnNames(t *testing.T) {
	names := newOwnNames()
	for _, tt := range []struct {
		name     string
		set, pin bool
	}{
		{"l9-0123456789ab", true, false},
		{"l9-0123456789a", false, false},
		{"l9-0123456789abc", false, false},
		{"l-0123456789ab", false, false},
		{"x9-0123456789ab", false, false},
		{"l9-0123456789AB", false, false},
		{"events", false, true},
		{"counters", false, true},
		{"growths", false, true},
		{"killed", false, true},
		{"limits", false, true},
		{"events2", false, false},
		{"complete", false, true},
		{"incomplete", false, false},
		{settings(Options{}), false, true},
		{settings(Options{Tier: TierRawTP, BTF: "/x", Top: -1}), false, true},
		{"settings-auto-10-e3b0c44298fc", false, true}, // of before
		{settings(Options{NoSigkills: true}), false, true},
		{"settings-auto-10-e3b0c44298fc-maybe", false, false},
		{"settings-auto", false, false},
		{pinned{pinLink, 3, "tp_btf", "mark_victim"}.String(), false, true},
		{pinned{pinProgram, 12, "tracepoint", "oom/mark_victim"}.String(), false, true},
		{"link-3-tp_btf-", false, false},
		{"link-x-tp_btf-6d", false, false},
		{"link-3-tp_btf-6d6", false, false},
		{"cilium_calls_00012", false, false},
		{"tp_dbg", false, false},
		{"link", false, false},
		{"events\n", false, false},
	} {
		if set, pin := names.set.MatchString(tt.name), names.pin.MatchString(tt.name); set != tt.set || pin != tt.pin {
			t.Errorf("%q: set %v, pin %v; want %v, %v", tt.name, set, pin, tt.set, tt.pin)
		}
	}
}

// pinTree makes plain files in place of pins; names that end with "/" are
// directories.
func pinTree(t *testing.T, names ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pins")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o700); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func treeOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if d.IsDir() {
			name += "/"
		}
		if name != "./" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestUnpinLeavesForeign: what oomtrace did not make stays, and is named.
func TestUnpinLeavesForeign(t *testing.T) {
	const set, other = "l9-0123456789ab", "l8-ba9876543210"
	link := pinned{pinLink, 0, "tp_btf", "mark_victim"}.String()
	for _, tt := range []struct {
		name    string
		has     []string
		left    []string
		foreign []string
		removed bool
	}{
		{name: "empty"},
		{name: "ours", has: []string{set + "/events", set + "/" + link, set + "/complete", other + "/counters"}},
		{name: "an empty set", has: []string{set + "/"}},
		{
			name: "another program's directory", has: []string{"cilium/", "tc/globals/cilium_calls", "map1"},
			left:    []string{"cilium/", "map1", "tc/", "tc/globals/", "tc/globals/cilium_calls"},
			foreign: []string{"cilium", "map1", "tc"},
		},
		{
			name: "a foreign pin beside ours", has: []string{set + "/events", "map1"},
			left: []string{"map1"}, foreign: []string{"map1"}, removed: true,
		},
		{
			name: "a foreign pin in ours", has: []string{set + "/events", set + "/complete", set + "/map1", set + "/deep/link"},
			left:    []string{set + "/", set + "/deep/", set + "/deep/link", set + "/map1"},
			foreign: []string{set + "/deep", set + "/map1"}, removed: true,
		},
		{
			name: "a file with a set's name", has: []string{set},
			left: []string{set}, foreign: []string{set},
		},
		{
			name: "a directory with a pin's name", has: []string{set + "/events/x"},
			left: []string{set + "/", set + "/events/", set + "/events/x"}, foreign: []string{set + "/events"}, removed: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := pinTree(t, tt.has...)
			dir, err := openOwnDir(name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = dir.Close() }()
			err = unpinAll(dir, name)
			var foreign *ForeignPinError
			if errors.As(err, &foreign) != (len(tt.foreign) > 0) || err != nil && !errors.Is(err, ErrPin) {
				t.Fatalf("error %v", err)
			}
			if foreign != nil && (!cmp.Equal(foreign.Names, tt.foreign) || foreign.Removed != tt.removed) {
				t.Errorf("%+v", foreign)
			}
			if diff := cmp.Diff(tt.left, treeOf(t, name)); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOpenOwnDir: what others could have put there is refused.
func TestOpenOwnDir(t *testing.T) {
	dir := pinTree(t, "a/", "file", "loose/inside/")
	for _, err := range []error{
		os.Symlink("a", filepath.Join(dir, "link")),
		os.Chmod(filepath.Join(dir, "loose"), 0o777),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct{ name, why string }{
		{"a", ""}, {"link", "symbolic link"}, {"file", "not a directory"}, {"loose", "written by others"}, {"loose/inside", "replace it"},
	} {
		root, err := openOwnDir(filepath.Join(dir, tt.name))
		if root != nil {
			_ = root.Close()
		}
		var foreign *ForeignPinError
		if errors.As(err, &foreign) != (tt.why != "") || foreign != nil && !strings.Contains(foreign.Why, tt.why) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.why)
		}
	}
	if _, err := openOwnDir(filepath.Join(dir, "nothing")); !errors.Is(err, fs.ErrNotExist) || !errors.Is(err, ErrPin) {
		t.Errorf("missing: %v", err)
	}
}

// TestReplacedDirectory: another directory in the place of the locked one is
// found out before anything is pinned there.
func TestReplacedDirectory(t *testing.T) {
	name := pinTree(t)
	dir, err := openOwnDir(name)
	if err != nil {
		t.Fatal(err)
	}
	d := &pinDir{root: name, dir: dir}
	defer func() { _ = d.close() }()
	if err := d.takeLock(); err != nil {
		t.Fatal(err)
	}
	if err := d.unchanged(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Rename(name, name+"-away"), os.Mkdir(name, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := d.pinMaps(nil); !errors.As(err, new(*ForeignPinError)) {
		t.Errorf("replaced: %v", err)
	}
	if got := treeOf(t, name); got != nil {
		t.Errorf("made %v there", got)
	}
}

func TestForeignNamesAreQuotedAndFew(t *testing.T) {
	names := make([]string, 20)
	for i := range names {
		names[i] = "x\x1b[31m"
	}
	got := (&ForeignPinError{Dir: "/d", Names: names}).Error()
	if strings.Contains(got, "\x1b") || !strings.HasSuffix(got, "and 12 more") {
		t.Error(got)
	}
}

// TestDiffers: what pinned programs keep is told to a reader that asks for something else.
func TestDiffers(t *testing.T) {
	d := &pinDir{root: "/pins", path: t.TempDir()}
	if err := os.Mkdir(filepath.Join(d.path, settings(Options{NoSigkills: true})), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		opts Options
		want string
	}{
		{"the same", Options{NoSigkills: true}, ""},
		{"SIGKILLs", Options{}, "(SIGKILLs off)"},
		{"a tier and the candidates", Options{NoSigkills: true, Tier: TierKprobe, Top: 3}, "(--attach auto, --top 10)"},
	} {
		if got := d.differs(tt.opts); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
