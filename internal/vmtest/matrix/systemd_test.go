//go:build vmtest

package matrix

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/oomtrace/oomtrace/internal/vmtest"
	"github.com/oomtrace/oomtrace/internal/vmtest/initramfs"
	"github.com/oomtrace/oomtrace/internal/vmtest/kernels"
)

// systemdtest holds the Debian package, and the memory managers that Debian has,
// against a real systemd.
const systemdtest = "./internal/vmtest/systemd"

// systemd gives a small Debian: systemd, dpkg and the memory managers, unpacked and
// not configured, and two versions of the package.
func systemd(ctx context.Context, b *builds, k *kernels.Kernel) ([]initramfs.File, error) {
	root, err := kernels.Packages(ctx, "trixie", k.Arch, kernels.Options{},
		"systemd", "systemd-oomd", "dbus", "earlyoom", "nohang",
		"dpkg", "tar", "coreutils", "dash", "sed", "grep", "diffutils", "util-linux", "mount", "libc-bin")
	if err != nil {
		return nil, err
	}
	files, err := tree(root)
	if err != nil {
		return nil, err
	}
	run, err := hog(ctx, b, k)
	if err != nil {
		return nil, err
	}
	debs, err := b.debs(ctx, k, "1.0.0", "1.1.0")
	if err != nil {
		return nil, err
	}
	files = append(append(files, run...), debs...)
	for path, data := range map[string]string{
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\nmessagebus:x:101:101::/nonexistent:/bin/false\n" +
			"systemd-oom:x:102:102::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n",
		"/etc/group": "root:x:0:\ntty:x:5:\nadm:x:4:\nmessagebus:x:101:\nsystemd-oom:x:102:\nsystemd-journal:x:103:\n" +
			"utmp:x:43:\nkmem:x:15:\nnogroup:x:65534:\n",
		"/etc/machine-id":      "0123456789abcdef0123456789abcdef\n",
		"/etc/fstab":           "",
		"/var/lib/dpkg/status": "",
	} {
		files = append(files, initramfs.File{Path: path, Data: []byte(data)})
	}
	for _, unit := range []string{"serial-getty@.service", "getty@.service", "systemd-logind.service", "systemd-hwdb-update.service"} {
		files = append(files, initramfs.File{Path: "/etc/systemd/system/" + unit, Link: "/dev/null"})
	}
	for _, dir := range []string{"/var/lib/dpkg/info", "/var/lib/dpkg/updates", "/var/lib/dpkg/triggers", "/var/log", "/tmp", "/run"} {
		files = append(files, initramfs.File{Path: dir, Mode: fs.ModeDir | 0o755})
	}
	return append(files, initramfs.File{Path: "/var/run", Link: "/run"}), nil
}

// tree gives the files below a directory, without those that nothing reads there.
func tree(root string) ([]initramfs.File, error) {
	skip := regexp.MustCompile(`^(boot|var/cache|usr/(include|games|src)|usr/share/(doc|man|locale|info|zoneinfo|i18n|perl.*|bash-completion|zsh|lintian)|` +
		`usr/lib/udev|usr/lib/[a-z0-9_]+-linux-gnu/(gconv|perl)|usr/lib/python3[^/]*/(test|idlelib|lib2to3|ensurepip))(/|$)|/__pycache__(/|$)`)
	var files []initramfs.File
	err := filepath.WalkDir(root, func(host string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(host, root)
		if skip.MatchString(strings.TrimPrefix(name, "/")) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		f := initramfs.File{Path: name, Mode: info.Mode()}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			if f.Link, err = os.Readlink(host); err != nil {
				return err
			}
		case d.Type().IsRegular():
			f.Host = host
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// debs packs the program once for each version.
func (b *builds) debs(ctx context.Context, k *kernels.Kernel, versions ...string) ([]initramfs.File, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	binary := filepath.Join(b.dir, "oomtrace-"+k.Arch)
	if err := vmtest.BuildProgram(ctx, k.Arch, b.root, "./cmd/oomtrace", binary); err != nil {
		return nil, err
	}
	var files []initramfs.File
	for _, version := range versions {
		cmd := exec.CommandContext(ctx, filepath.Join(b.root, "scripts/deb.sh"), version, k.Arch, binary, b.dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, err
		}
		host := strings.TrimSpace(string(out))
		files = append(files, initramfs.File{Path: "/debs/" + version + ".deb", Host: host})
	}
	return files, nil
}
