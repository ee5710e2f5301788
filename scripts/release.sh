#!/bin/bash
# Builds the release for both architectures: release.sh VERSION. Each binary is
# built twice and must come out the same.
set -euo pipefail

version=$1
out=build/release
rm -rf "$out"
mkdir -p "$out"
for arch in amd64 arm64; do
	for try in a b; do
		CGO_ENABLED=0 GOARCH=$arch go build -trimpath -ldflags "-s -w -X main.version=$version" \
			-o "$out/$arch-$try" ./cmd/oomtrace
	done
	cmp "$out/$arch-a" "$out/$arch-b"
	name=oomtrace-$version-linux-$arch
	mkdir "$out/$name"
	mv "$out/$arch-a" "$out/$name/oomtrace"
	rm "$out/$arch-b"
	cp LICENSE README.md "$out/$name"
	go version -m "$out/$name/oomtrace" >"$out/$name/MODULES"
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$out" -c "$name" | gzip -n >"$out/$name.tar.gz"
	rm -r "${out:?}/$name"
done
(cd "$out" && sha256sum ./*.tar.gz >sha256sums && cat sha256sums)
