package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	lineV1Memory  = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:16 - cgroup cgroup rw,memory\n"
	lineV1CPU     = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
	lineV1Systemd = "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
	lineHybrid    = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
	lineV2        = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
	lineV2Part    = "29 23 0:26 /a\\040b /run/part rw,nosuid - cgroup2 cgroup2 rw\n"
	lineOther     = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,memory\n"
)

func TestParseMountinfo(t *testing.T) {
	for _, c := range []struct {
		name, text    string
		mode          Mode
		version       int
		memory, point string
	}{
		{"none", lineOther, "", 0, "", ""},
		{"v1", lineOther + lineV1CPU + lineV1Memory + lineV1Systemd, ModeV1, 1, "/sys/fs/cgroup/memory", ""},
		{"v2", lineOther + lineV2, ModeV2, 2, "/sys/fs/cgroup", "/sys/fs/cgroup"},
		{"v2 with systemd's own hierarchy", lineV2 + lineV1Systemd, ModeV2, 2, "/sys/fs/cgroup", "/sys/fs/cgroup"},
		{"hybrid, memory on v1", lineV1Memory + lineHybrid, ModeHybrid, 1, "/sys/fs/cgroup/memory", "/sys/fs/cgroup/unified"},
		{"hybrid, memory on v2", lineV1CPU + lineHybrid, ModeHybrid, 2, "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified"},
		{"the whole hierarchy wins", lineV2Part + lineV2, ModeV2, 2, "/sys/fs/cgroup", "/sys/fs/cgroup"},
		{"rubbish", "a b c\n - \n1 2 3 4 5 6 - cgroup2\n\x00\n", "", 0, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := ParseMountinfo(strings.NewReader(c.text))
			if err != nil {
				t.Fatal(err)
			}
			if h.Mode != c.mode || h.MemoryVersion != c.version || h.Memory.Point != c.memory || h.Unified.Point != c.point {
				t.Errorf("got %+v", h)
			}
		})
	}
	h, err := ParseMountinfo(strings.NewReader(lineV2Part))
	if err != nil || h.Memory.Root != "/a b" {
		t.Errorf("root %q, %v", h.Memory.Root, err)
	}
}

func TestReadHierarchies(t *testing.T) {
	root := t.TempDir()
	if _, err := ReadHierarchies(root); err == nil {
		t.Fatal("no error without /proc")
	}
	write(t, filepath.Join(root, "proc/self/mountinfo"), lineV1CPU+lineHybrid)
	h, err := ReadHierarchies(root)
	if err != nil || h.MemoryVersion != 2 {
		t.Errorf("without cgroup.controllers: %+v, %v", h, err)
	}
	controllers := filepath.Join(root, "sys/fs/cgroup/unified/cgroup.controllers")
	write(t, controllers, "cpu memory pids\n")
	if h, err = ReadHierarchies(root); err != nil || h.MemoryVersion != 2 {
		t.Errorf("with memory: %+v, %v", h, err)
	}
	write(t, controllers, "hugetlb memory_recursiveprot\n")
	if h, err = ReadHierarchies(root); err != nil || h.MemoryVersion != 0 || h.Mode != ModeHybrid {
		t.Errorf("without memory: %+v, %v", h, err)
	}
}

func TestReadHierarchiesHere(t *testing.T) {
	if _, err := ReadHierarchies("/"); err != nil {
		t.Error(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
