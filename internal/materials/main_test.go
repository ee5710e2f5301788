package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
)

const mit = `MIT License

Copyright (c) 2026 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

const mpl = `This Source Code Form is subject to the terms of the Mozilla Public
License, v. 2.0. If a copy of the MPL was not distributed with this
file, You can obtain one at http://mozilla.org/MPL/2.0/.

`

func TestDescribe(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"free": mit, "unknown": "All rights reserved.", "strict": mpl + mit} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "LICENSE"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dirOf := func(path, _ string) (string, error) { return filepath.Join(dir, path), nil }
	info := &buildinfo.BuildInfo{
		GoVersion: "go1.26.0", Main: debug.Module{Path: "example.org/x", Version: "v1.2.3"},
		Deps:     []*debug.Module{{Path: "old", Version: "v0.1.0", Replace: &debug.Module{Path: "free", Version: "v1.0.0"}}},
		Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}},
	}
	doc, err := describe(info, "2026-01-01T00:00:00Z", "https://example.org/x", dirOf)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range doc.Packages {
		got = append(got, p.Name+"@"+p.VersionInfo+" "+p.LicenseConcluded)
	}
	want := "example.org/x@v1.2.3 Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause); std@1.26.0 BSD-3-Clause; free@v1.0.0 MIT"
	if strings.Join(got, "; ") != want {
		t.Errorf("got %q", got)
	}
	if doc.Version != "SPDX-2.3" || len(doc.Relationships) != 3 || doc.DocumentNamespace != "https://example.org/x/spdx/v1.2.3/arm64" {
		t.Errorf("%+v", doc)
	}
	for _, name := range []string{"unknown", "strict", "missing"} {
		info.Deps = []*debug.Module{{Path: name, Version: "v1"}}
		if _, err := describe(info, "", "", dirOf); err == nil || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOwnBinary: the test's own binary is one of Go's, and all of its modules may
// be distributed.
func TestOwnBinary(t *testing.T) {
	var out bytes.Buffer
	if err := run(&out, []string{os.Args[0]}, "v1.2.3", "2026-01-01T00:00:00Z", "https://example.org/x"); err != nil {
		t.Fatal(err)
	}
	var doc document
	if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Packages) < 2 {
		t.Errorf("%d packages, %v", len(doc.Packages), err)
	}
	if err := run(&out, []string{"/dev/null"}, "", "", ""); err == nil {
		t.Error("no binary, no error")
	}
}
