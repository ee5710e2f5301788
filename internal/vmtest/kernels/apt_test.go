//go:build !vmtest

// The VM tier hands flags to every test binary below internal/vmtest, and this
// one knows none of them.

package kernels

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fakeApt puts an apt-get before the real one that prints targets.
func fakeApt(t *testing.T, targets string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "targets"), []byte(targets), 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\ncat " + filepath.Join(dir, "targets") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// TestMirror asks for the mirror in both ways there are, here and in
// scripts/apt-mirror.sh: they must agree.
func TestMirror(t *testing.T) {
	const (
		ubuntu = "Ubuntu\tnoble\tmain\thttp://mirror.example/ubuntu\t/usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
		debian = "Debian\ttrixie-security\tmain\thttp://mirror.example/debian-security\t/k.pgp\n" +
			"Debian\ttrixie\tcontrib\thttp://mirror.example/contrib\t/k.pgp\n" +
			"Debian\ttrixie\tmain\thttp://mirror.example/debian\t/k.pgp\n"
	)
	for _, tt := range []struct{ name, targets, given, want string }{
		{"Debian with keys", debian, "", "deb [signed-by=/k.pgp] http://mirror.example/debian sid main"},
		{"Debian before the first update", "$(ORIGIN)\t$(RELEASE)\tmain\thttp://mirror.example/debian\t$(SIGNED_BY)\n", "", "deb http://mirror.example/debian sid main"},
		{"Ubuntu", ubuntu, "", ""},
		{"no apt sources", "", "", ""},
		{
			"Ubuntu, a mirror given", ubuntu, "http://mirror.example/given",
			"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/given sid main",
		},
		{
			"Debian, a mirror given", debian, "http://mirror.example/given",
			"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/given sid main",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fakeApt(t, tt.targets)
			t.Setenv(MirrorVariable, tt.given)
			m, err := debianMirror(context.Background())
			if tt.want == "" {
				if !errors.Is(err, ErrNoMirror) || !strings.Contains(err.Error(), MirrorVariable) {
					t.Errorf("error %v", err)
				}
			} else if got := strings.ReplaceAll(strings.ReplaceAll(m.line(source{suite: "sid", arch: "a"}), "arch=a ", ""), "[arch=a] ", ""); err != nil || got != tt.want+"\n" {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
			out, err := exec.Command("../../../scripts/apt-mirror.sh", "sid").CombinedOutput()
			if tt.want == "" {
				if err == nil || !strings.Contains(string(out), MirrorVariable) {
					t.Errorf("the script says %q, %v", out, err)
				}
			} else if err != nil || string(out) != tt.want+"\n" {
				t.Errorf("the script says %q, %v, want %q", out, err, tt.want)
			}
		})
	}
}
