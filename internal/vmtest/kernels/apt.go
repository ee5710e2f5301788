package kernels

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// ErrNoMirror is returned when apt knows no Debian mirror and none is given.
var ErrNoMirror = errors.New("apt is set up with no Debian mirror")

// MirrorVariable names the environment variable with the URL of a Debian mirror
// to use, for machines that are no Debian, such as Ubuntu. The packages are
// checked with the keys of the package debian-archive-keyring.
const MirrorVariable = "OOMTRACE_DEBIAN_MIRROR"

// archiveKeyring is where debian-archive-keyring has its keys.
const archiveKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// fetch downloads and unpacks a kernel and renames the result to home.
func fetch(ctx context.Context, src source, dir, home string) (err error) {
	tmp, err := os.MkdirTemp(dir, ".fetch-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()

	apt, err := newApt(ctx, src, filepath.Join(tmp, "apt"))
	if err != nil {
		return err
	}
	packages, err := apt.kernelPackages(ctx, "linux-image-cloud-"+src.arch)
	if err != nil {
		return err
	}
	root := filepath.Join(tmp, "root")
	for _, p := range packages {
		if err := apt.unpack(ctx, p, root); err != nil {
			return err
		}
	}
	ready := filepath.Join(tmp, "ready")
	if err := arrange(root, ready); err != nil {
		return err
	}
	return os.Rename(ready, home)
}

// arrange moves what matters out of the unpacked packages. Where the files are
// differs: /boot or the module directory, / or /usr.
func arrange(root, ready string) error {
	image, err := one(root, "boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz", "lib/modules/*/vmlinuz")
	if err != nil {
		return err
	}
	modules, err := one(root, "lib/modules/*", "usr/lib/modules/*")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(ready, 0o755); err != nil {
		return err
	}
	release := filepath.Base(modules)
	return errors.Join(
		os.Rename(image, filepath.Join(ready, "vmlinuz")),
		os.Rename(modules, filepath.Join(ready, "modules")),
		os.WriteFile(filepath.Join(ready, "release"), []byte(release), 0o644),
	)
}

// one returns the only path below root that matches one of the patterns.
func one(root string, patterns ...string) (string, error) {
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return "", err
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("packages hold none of %s", strings.Join(patterns, ", "))
}

// apt runs apt with a configuration of its own: one suite of one architecture,
// so that names and versions are not ambiguous, and no knowledge of what is
// installed here.
type apt struct {
	dir     string
	options []string
}

func newApt(ctx context.Context, src source, dir string) (*apt, error) {
	m, err := debianMirror(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"lists/partial", "state", "cache/archives/partial", "debs"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	list := filepath.Join(dir, "sources.list")
	status := filepath.Join(dir, "state", "status")
	if err := errors.Join(
		os.WriteFile(list, []byte(m.line(src)), 0o644),
		os.WriteFile(status, nil, 0o644),
	); err != nil {
		return nil, err
	}
	a := &apt{dir: dir}
	for _, o := range []string{
		"Dir::Etc::sourcelist=" + list,
		"Dir::Etc::sourceparts=/dev/null",
		"Dir::State=" + filepath.Join(dir, "state"),
		"Dir::State::lists=" + filepath.Join(dir, "lists"),
		"Dir::State::status=" + status,
		"Dir::Cache=" + filepath.Join(dir, "cache"),
		"APT::Architecture=" + src.arch,
		"APT::Architectures=" + src.arch,
		// Root would otherwise drop to a user that cannot write here.
		"APT::Sandbox::User=root",
		"Acquire::Languages=none",
		"Acquire::Retries=2",
	} {
		a.options = append(a.options, "-o", o)
	}
	_, err = a.run(ctx, "apt-get", "-q", "update")
	return a, err
}

// run runs an apt program in the directory for packages.
func (a *apt) run(ctx context.Context, program string, args ...string) ([]byte, error) {
	return run(ctx, filepath.Join(a.dir, "debs"), program, append(a.options[:len(a.options):len(a.options)], args...)...)
}

func run(ctx context.Context, dir, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%w (Debian has it in the packages apt and dpkg)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", program, args[len(args)-1], err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// kernelPackages follows the dependencies of the metapackage to the packages
// that hold the image and the modules.
func (a *apt) kernelPackages(ctx context.Context, meta string) ([]string, error) {
	var packages []string
	seen := map[string]bool{meta: true}
	for queue := []string{meta}; len(queue) > 0; queue = queue[1:] {
		out, err := a.run(ctx, "apt-cache", "show", "--no-all-versions", queue[0])
		if err != nil {
			return nil, err
		}
		for _, dep := range kernelDepends(string(out)) {
			if !seen[dep] {
				seen[dep] = true
				packages = append(packages, dep)
				queue = append(queue, dep)
			}
		}
	}
	if len(packages) == 0 {
		return nil, fmt.Errorf("package %s names no kernel", meta)
	}
	return packages, nil
}

// kernelDepends returns the kernel packages in the Depends and Pre-Depends
// fields of a package's description.
func kernelDepends(show string) []string {
	name := regexp.MustCompile(`^linux-(?:image|binary|modules)-[0-9][a-z0-9.+~-]*`)
	var deps []string
	for line := range strings.Lines(show) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if field != "Depends" && field != "Pre-Depends" {
			continue
		}
		for dep := range strings.SplitSeq(value, ",") {
			if found := name.FindString(strings.TrimSpace(dep)); found != "" {
				deps = append(deps, found)
			}
		}
	}
	return deps
}

// unpack downloads a package and unpacks its files below root.
func (a *apt) unpack(ctx context.Context, name, root string) error {
	if _, err := a.run(ctx, "apt-get", "-q", "download", name); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(a.dir, "debs", name+"_*.deb"))
	if err != nil {
		return err
	}
	if len(debs) != 1 {
		return fmt.Errorf("download of %s left %d files, want 1", name, len(debs))
	}
	_, err = run(ctx, "", "dpkg-deb", "-x", debs[0], root)
	return err
}

// mirror is a Debian archive as apt is set up with it.
type mirror struct {
	uri, signedBy string
}

// line is the entry of sources.list for a source.
func (m mirror) line(src source) string {
	options := "arch=" + src.arch
	if m.signedBy != "" {
		options += " signed-by=" + m.signedBy
	}
	return fmt.Sprintf("deb [%s] %s %s main\n", options, m.uri, src.suite)
}

// debianMirror returns the mirror that is given, or else asks apt which one it
// uses for Debian's main archive.
func debianMirror(ctx context.Context) (mirror, error) {
	if uri := os.Getenv(MirrorVariable); uri != "" {
		return mirror{uri: uri, signedBy: archiveKeyring}, nil
	}
	const format = "$(ORIGIN)\t$(RELEASE)\t$(COMPONENT)\t$(SITE)\t$(SIGNED_BY)"
	out, err := run(ctx, "", "apt-get", "indextargets", "--format", format)
	if err != nil {
		return mirror{}, err
	}
	return pickMirror(string(out))
}

// pickMirror chooses the mirror from apt's list of index files. Security and
// third-party archives do not carry every suite, so they do not do.
func pickMirror(targets string) (mirror, error) {
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 {
			continue
		}
		origin, release, component, site, signedBy := f[0], f[1], f[2], f[3], f[4]
		if (origin != "Debian" && !strings.HasPrefix(origin, "$(")) || component != "main" || strings.Contains(release, "-security") || strings.Contains(release, "/") {
			continue
		}
		// A variable that apt cannot fill stays as it was written.
		if strings.HasPrefix(signedBy, "$(") {
			signedBy = ""
		}
		return mirror{uri: site, signedBy: signedBy}, nil
	}
	return mirror{}, fmt.Errorf("%w (on Debian run apt-get update; elsewhere install debian-archive-keyring and set %s to a mirror's URL)", ErrNoMirror, MirrorVariable)
}
