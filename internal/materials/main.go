// Materials writes the bill of materials of a Go binary as SPDX 2.3 JSON:
//
//	materials -created TIME -source URL BINARY
//
// What is in the binary is read from the binary itself, the licences from the
// modules' own files. It fails if a licence is not one of those that this project
// may distribute.
package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

func main() {
	created := flag.String("created", "1970-01-01T00:00:00Z", "`time` of the document, RFC 3339")
	source := flag.String("source", "https://github.com/oomtrace/oomtrace", "`address` of the project")
	version := flag.String("version", "", "`version` of the release; empty is what Go wrote into the binary")
	flag.Parse()
	if err := run(os.Stdout, flag.Args(), *version, *created, *source); err != nil {
		fmt.Fprintln(os.Stderr, "materials:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, args []string, version, created, source string) error {
	if len(args) != 1 {
		return errors.New("give one binary")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	info.Main.Version = cmp.Or(version, info.Main.Version)
	doc, err := describe(info, created, source, moduleDir)
	if err != nil {
		return err
	}
	out := json.NewEncoder(w)
	out.SetIndent("", " ")
	return out.Encode(doc)
}

// document is an SPDX 2.3 document (https://spdx.github.io/spdx-spec/v2.3/).
type document struct {
	Version           string         `json:"spdxVersion"`
	DataLicense       string         `json:"dataLicense"`
	ID                string         `json:"SPDXID"`
	Name              string         `json:"name"`
	DocumentNamespace string         `json:"documentNamespace"`
	CreationInfo      creation       `json:"creationInfo"`
	Packages          []pkg          `json:"packages"`
	Relationships     []relationship `json:"relationships"`
}

type creation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

type pkg struct {
	ID               string     `json:"SPDXID"`
	Name             string     `json:"name"`
	VersionInfo      string     `json:"versionInfo"`
	DownloadLocation string     `json:"downloadLocation"`
	FilesAnalyzed    bool       `json:"filesAnalyzed"`
	LicenseConcluded string     `json:"licenseConcluded"`
	LicenseDeclared  string     `json:"licenseDeclared"`
	CopyrightText    string     `json:"copyrightText"`
	ExternalRefs     []external `json:"externalRefs,omitempty"`
}

type external struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type relationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

const noAssertion = "NOASSERTION"

// describe makes the document. dirOf gives the directory of a module's files.
func describe(info *buildinfo.BuildInfo, created, source string, dirOf func(path, version string) (string, error)) (*document, error) {
	version := info.Main.Version
	arch := setting(info, "GOARCH")
	doc := &document{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: "oomtrace-" + arch,
		DocumentNamespace: source + "/spdx/" + cmp.Or(setting(info, "vcs.revision"), version, "devel") + "/" + arch,
		CreationInfo:      creation{Created: created, Creators: []string{"Tool: oomtrace-materials"}},
	}
	// The BPF programs in it are dual-licensed, by the file.
	main := newPackage(info.Main.Path, cmp.Or(version, "devel"), "Apache-2.0 AND (GPL-2.0-only OR BSD-2-Clause)")
	main.DownloadLocation = "git+" + source
	doc.add(main, "SPDXRef-DOCUMENT", "DESCRIBES")
	doc.add(newPackage("std", strings.TrimPrefix(info.GoVersion, "go"), "BSD-3-Clause"), main.ID, "CONTAINS")
	var failed []error
	for _, dep := range sorted(info.Deps) {
		dir, err := dirOf(dep.Path, dep.Version)
		if err != nil {
			return nil, err
		}
		licence, err := licenceOf(dir)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", dep.Path, err))
		}
		doc.add(newPackage(dep.Path, dep.Version, cmp.Or(licence, noAssertion)), main.ID, "CONTAINS")
	}
	return doc, errors.Join(failed...)
}

func (d *document) add(p pkg, from, how string) {
	d.Packages = append(d.Packages, p)
	d.Relationships = append(d.Relationships, relationship{from, how, p.ID})
}

func newPackage(name, version, licence string) pkg {
	id := regexp.MustCompile(`[^A-Za-z0-9.-]+`).ReplaceAllString(name+"-"+version, "-")
	return pkg{
		ID: "SPDXRef-" + id, Name: name, VersionInfo: version, DownloadLocation: noAssertion, CopyrightText: noAssertion,
		LicenseConcluded: licence, LicenseDeclared: licence,
		ExternalRefs: []external{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + name + "@" + version}},
	}
}

// sorted are the modules as they were built in: a replacement counts.
func sorted(deps []*debug.Module) []*debug.Module {
	out := make([]*debug.Module, 0, len(deps))
	for _, dep := range deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		out = append(out, dep)
	}
	slices.SortFunc(out, func(a, b *debug.Module) int { return cmp.Compare(a.Path, b.Path) })
	return out
}

func setting(info *buildinfo.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

func moduleDir(path, version string) (string, error) {
	out, err := exec.Command("go", "mod", "download", "-json", path+"@"+version).Output()
	if err != nil {
		return "", fmt.Errorf("%s@%s: %w", path, version, err)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		return "", fmt.Errorf("%s@%s: %w", path, version, err)
	}
	return m.Dir, nil
}

// mayDistribute says whether a binary under Apache-2.0 may hold code under this
// licence without more than its text.
func mayDistribute(licence string) bool {
	switch licence {
	case "Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "0BSD":
		return true
	}
	return false
}

// licenceOf reads the licences of a module in dir.
func licenceOf(dir string) (string, error) {
	var ids []string
	for _, pattern := range []string{"LICENSE*", "LICENCE*", "COPYING*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return "", err
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				return "", err
			}
			found, err := recognise(text)
			if err != nil {
				return "", fmt.Errorf("%s: %w", filepath.Base(name), err)
			}
			ids = append(ids, found...)
		}
	}
	if ids == nil {
		return "", errors.New("no licence")
	}
	slices.Sort(ids)
	return strings.Join(slices.Compact(ids), " AND "), nil
}

// recognise tells the licences of a text.
func recognise(text []byte) (ids []string, err error) {
	const least = 60 // percent that are known text; names and years are not
	cover := licensecheck.Scan(text)
	if cover.Percent < least {
		return nil, errors.New("no licence that is known")
	}
	for _, m := range cover.Match {
		if !mayDistribute(m.ID) {
			return nil, fmt.Errorf("%s: not to be distributed with a binary like this one", m.ID)
		}
		ids = append(ids, m.ID)
	}
	return ids, nil
}
