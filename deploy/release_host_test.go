//go:build hosttest

package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestHostRelease makes the release of this machine's architecture, twice as the script
// does, and looks at what comes out.
func TestHostRelease(t *testing.T) {
	const version = "v1.2.3"
	dir, name := t.TempDir(), "oomtrace-"+version+"-linux-"+runtime.GOARCH
	t.Chdir("..")
	out := run(t, "scripts/release.sh", version, dir, runtime.GOARCH)
	want := []string{"SHA256SUMS", name + ".spdx.json", name + ".tar.gz", "oomtrace_1.2.3_" + runtime.GOARCH + ".deb"}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	t.Chdir(dir)
	sums := run(t, "sha256sum", "--check", "SHA256SUMS")
	for _, file := range want[1:] {
		if !strings.Contains(out, "the same twice: "+file) || !strings.Contains(sums, file+": OK") {
			t.Errorf("%s: not compared, or without a sum:\n%s\n%s", file, out, sums)
		}
	}
	run(t, "tar", "-xzf", name+".tar.gz")
	for _, file := range []string{"LICENSE", "README.md", "oomtrace.8"} {
		if _, err := os.Stat(filepath.Join(name, file)); err != nil {
			t.Error(err)
		}
	}
	if text := run(t, filepath.Join(name, "oomtrace"), "version"); !strings.Contains(text, version) {
		t.Errorf("version %q", text)
	}
	checkMaterials(t, name+".spdx.json", version)
	if got := run(t, "dpkg-deb", "--field", want[3], "Version", "Architecture"); got != "Version: 1.2.3\nArchitecture: "+runtime.GOARCH {
		t.Errorf("package: %s", got)
	}
}

// checkMaterials: the bill is SPDX, of this version, and each module has a licence.
func checkMaterials(t *testing.T, path, version string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		SPDXVersion string
		Packages    []struct{ Name, VersionInfo, LicenseConcluded string }
	}
	if err := json.Unmarshal(text, &bill); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(bill.SPDXVersion, "SPDX-2.") || len(bill.Packages) < 10 {
		t.Fatalf("%s, %d packages", bill.SPDXVersion, len(bill.Packages))
	}
	if own := bill.Packages[0]; !strings.HasSuffix(own.Name, "oomtrace") || own.VersionInfo != version {
		t.Errorf("of %s %s", own.Name, own.VersionInfo)
	}
	for _, p := range bill.Packages {
		if p.LicenseConcluded == "" || p.LicenseConcluded == "NOASSERTION" {
			t.Errorf("%s has no licence", p.Name)
		}
	}
}
