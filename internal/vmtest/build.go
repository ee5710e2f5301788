package vmtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// BuildProgram builds a static program for a guest; pkg is relative to root,
// the repository; an empty root is the working directory.
func BuildProgram(ctx context.Context, arch, root, pkg, out string) error {
	return goBuild(ctx, arch, root, "build", "-o", out, pkg)
}

// BuildTest builds the test binary of a package for a guest, with the build tag
// vmguest that guest tests carry.
func BuildTest(ctx context.Context, arch, root, pkg, out string) error {
	return goBuild(ctx, arch, root, "test", "-c", "-tags", "vmguest", "-o", out, pkg)
}

func goBuild(ctx context.Context, arch, root string, args ...string) error {
	verb := args[0]
	args = append([]string{verb, "-trimpath", "-ldflags=-s -w"}, args[1:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s %s: %w: %s", verb, args[len(args)-1], err, out)
	}
	return nil
}
