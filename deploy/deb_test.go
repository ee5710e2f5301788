package deploy

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// buildDeb packs a script in place of the binary.
func buildDeb(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	binary := filepath.Join(dir, "binary")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho oomtrace test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(t, "../scripts/deb.sh", version, runtime.GOARCH, binary, dir)
}

func haveDpkg(t *testing.T) bool {
	t.Helper()
	_, err := exec.LookPath("dpkg-deb")
	if err != nil {
		t.Log("no dpkg-deb here")
	}
	return err == nil
}

func TestDebVersions(t *testing.T) {
	if !haveDpkg(t) {
		return
	}
	for version, want := range map[string]string{
		"v1.2.3": "1.2.3", "1.2.3-4-gabc1234-dirty": "1.2.3+4.gabc1234.dirty", "abc1234": "0~abc1234", "devel": "0~devel",
		// Before 1.2.3 for dpkg.
		"v1.2.3-rc1": "1.2.3~rc1", "v1.2.3-beta.2-4-gabc1234": "1.2.3~beta.2+4.gabc1234",
	} {
		deb := buildDeb(t, version)
		if got := run(t, "dpkg-deb", "--field", deb, "Version"); got != want {
			t.Errorf("%s: version %s, want %s", version, got, want)
		}
	}
}

func TestDebIsReproducible(t *testing.T) {
	if !haveDpkg(t) {
		return
	}
	one, err := os.ReadFile(buildDeb(t, "v1"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := os.ReadFile(buildDeb(t, "v1"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one, two) {
		t.Error("built twice, not the same")
	}
}

// TestDebInstallUpgradeRemove uses a directory as the system, so it needs no
// root and leaves this one alone.
func TestDebInstallUpgradeRemove(t *testing.T) {
	if !haveDpkg(t) {
		return
	}
	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log/oomtrace"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"var/lib/dpkg/status", "var/lib/dpkg/available", "var/log/oomtrace/kills.json"} {
		if err := os.WriteFile(filepath.Join(root, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dpkg := func(args ...string) {
		t.Helper()
		// The directory is no Debian: nothing there could run chrooted.
		run(t, "dpkg", append([]string{"--root=" + root, "--force-script-chrootless", "--force-not-root", "--force-bad-path", "--log=/dev/null"}, args...)...)
	}
	files := []string{
		"usr/bin/oomtrace", "usr/lib/systemd/system/oomtrace.service", "etc/default/oomtrace",
		"usr/share/bash-completion/completions/oomtrace", "usr/share/zsh/vendor-completions/_oomtrace", "usr/share/fish/vendor_completions.d/oomtrace.fish",
		"usr/share/man/man8/oomtrace.8.gz", "usr/share/doc/oomtrace/copyright", "usr/lib/systemd/system/oomtrace.socket",
	}
	there := func(want bool, files ...string) {
		t.Helper()
		for _, f := range files {
			if _, err := os.Stat(filepath.Join(root, f)); (err == nil) != want {
				t.Errorf("%s: there is %v, want %v", f, err == nil, want)
			}
		}
	}
	dpkg("--install", buildDeb(t, "v1.0.0"))
	there(true, files...)
	if got := run(t, filepath.Join(root, "usr/bin/oomtrace")); got != "oomtrace test" {
		t.Errorf("runs as %q", got)
	}
	dpkg("--verify", "oomtrace")
	const changed = "OOMTRACE_ARGS=\"--since-boot\"\n"
	defaults := filepath.Join(root, "etc/default/oomtrace")
	if err := os.WriteFile(defaults, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	dpkg("--install", buildDeb(t, "v1.1.0"))
	if got := read(t, defaults); got != changed {
		t.Errorf("an upgrade changed the configuration: %q", got)
	}
	dpkg("--remove", "oomtrace")
	there(false, files[0], files[1], files[3], files[4], files[5])
	there(true, files[2], "var/log/oomtrace/kills.json")
	dpkg("--purge", "oomtrace")
	there(false, files[2], "var/log/oomtrace")
}
