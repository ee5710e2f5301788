package kernels

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Packages downloads packages of a Debian suite with all that they depend on,
// and unpacks them without installing anything: no script runs, no service
// starts. It returns the directory that holds their files, which is kept for the
// next time.
func Packages(ctx context.Context, suite, arch string, opts Options, names ...string) (root string, err error) {
	dir, err := cacheDir(opts)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(strings.Join(names, " ")))
	home := filepath.Join(dir, "packages-"+suite+"-"+arch+"-"+hex.EncodeToString(sum[:4]))
	unlock, err := lock(home + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(home); err == nil {
		return home, nil
	}
	tmp, err := os.MkdirTemp(dir, ".fetch-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	apt, err := newApt(ctx, source{suite: suite, arch: arch}, filepath.Join(tmp, "apt"))
	if err != nil {
		return "", err
	}
	root = filepath.Join(tmp, "root")
	if err := apt.unpackAll(ctx, root, names); err != nil {
		return "", err
	}
	return home, os.Rename(root, home)
}

// unpackAll unpacks packages and what they depend on below root.
func (a *apt) unpackAll(ctx context.Context, root string, names []string) error {
	args := append([]string{"-q", "-y", "-o", "Debug::NoLocking=true", "--no-install-recommends", "--download-only", "install"}, names...)
	if _, err := a.run(ctx, "apt-get", args...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, "cache", "archives", "*.deb"))
	if err != nil {
		return err
	}
	// Debian's directories are links into /usr; a package that has them as
	// directories must not stand in the way.
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.MkdirAll(filepath.Join(root, "usr", d), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("usr/"+d, filepath.Join(root, d)); err != nil {
			return err
		}
	}
	for _, deb := range debs {
		if _, err := run(ctx, "", "dpkg-deb", "-x", deb, root); err != nil {
			return err
		}
	}
	return nil
}
