//go:build vmtest

package matrix

import (
	"context"
	"os"
	"path/filepath"

	"github.com/oomtrace/oomtrace/internal/vmtest"
	"github.com/oomtrace/oomtrace/internal/vmtest/initramfs"
	"github.com/oomtrace/oomtrace/internal/vmtest/kernels"
)

// realtest holds oomtrace against real container runtimes, as trixie has them.
const realtest = "./internal/container/realtest"

func containerd(ctx context.Context, b *builds, k *kernels.Kernel) ([]initramfs.File, error) {
	return b.runtime(ctx, k, []string{"containerd", "runc"},
		"/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", "/usr/bin/ctr", "/usr/sbin/runc")
}

func docker(ctx context.Context, b *builds, k *kernels.Kernel) ([]initramfs.File, error) {
	return b.runtime(ctx, k, []string{"docker.io", "docker-cli"},
		"/usr/sbin/dockerd", "/usr/bin/docker", "/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/runc")
}

func podman(ctx context.Context, b *builds, k *kernels.Kernel) ([]initramfs.File, error) {
	files, err := b.runtime(ctx, k, []string{"podman", "crun", "netavark"},
		"/usr/bin/podman", "/usr/bin/conmon", "/usr/bin/crun", "/usr/lib/podman/netavark")
	return append(files, initramfs.File{
		Path: "/etc/containers/policy.json", Data: []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`),
	}), err
}

// hog gives the program that is killed, alone.
func hog(ctx context.Context, b *builds, k *kernels.Kernel) ([]initramfs.File, error) {
	path := filepath.Join(b.dir, "hog-"+k.Arch)
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, err := os.Stat(path); err != nil {
		if err := vmtest.BuildProgram(ctx, k.Arch, b.root, realtest+"/hog", path); err != nil {
			return nil, err
		}
	}
	return []initramfs.File{{Path: "/hog", Host: path, Mode: 0o755}}, nil
}

// runtime gives a runtime's programs with their libraries, the program that the
// containers run, and the files of /etc that every runtime reads.
func (b *builds) runtime(ctx context.Context, k *kernels.Kernel, packages []string, programs ...string) ([]initramfs.File, error) {
	root, err := kernels.Packages(ctx, "trixie", k.Arch, kernels.Options{}, packages...)
	if err != nil {
		return nil, err
	}
	files, err := initramfs.Programs(root, programs...)
	if err != nil {
		return nil, err
	}
	run, err := hog(ctx, b, k)
	if err != nil {
		return nil, err
	}
	return append(append(files, run...),
		initramfs.File{Path: "/etc/hosts", Data: []byte("127.0.0.1 localhost\n")},
		initramfs.File{Path: "/var/run", Link: "/run"},
		initramfs.File{Path: "/etc/resolv.conf"},
		initramfs.File{Path: "/etc/hostname", Data: []byte("guest\n")},
		initramfs.File{Path: "/etc/passwd", Data: []byte("root:x:0:0:root:/root:/bin/sh\n")},
		initramfs.File{Path: "/etc/group", Data: []byte("root:x:0:\n")},
	), nil
}
