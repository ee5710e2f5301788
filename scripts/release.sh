#!/bin/bash
# Builds the release for both architectures: release.sh VERSION. Each binary
# is built twice and must come out the same. Beside the archives: Debian
# packages, a bill of materials for each binary, and checksums.
set -euo pipefail

version=$1
out=build/release
cyclonedx=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
rm -rf "$out"
mkdir -p "$out"
for arch in amd64 arm64; do
	for try in a b; do
		# The second build starts from nothing: a cache would only give the first.
		cache=$([ "$try" = a ] && go env GOCACHE || echo "$PWD/$out/cache")
		GOCACHE=$cache CGO_ENABLED=0 GOARCH=$arch go build -trimpath -ldflags "-s -w -X main.version=$version" \
			-o "$out/$arch-$try" ./cmd/oomtrace
	done
	cmp "$out/$arch-a" "$out/$arch-b"
	name=oomtrace-$version-linux-$arch
	mkdir "$out/$name"
	mv "$out/$arch-a" "$out/$name/oomtrace"
	rm "$out/$arch-b"
	cp LICENSE README.md docs/oomtrace.8 "$out/$name"
	go run "$cyclonedx" bin -json -noserial -output "$out/$name.cdx.json" "$out/$name/oomtrace" 2>/dev/null
	scripts/deb.sh "$version" "$arch" "$out/$name/oomtrace" "$out"
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$out" -c "$name" | gzip -n >"$out/$name.tar.gz"
	rm -r "${out:?}/$name"
done
chmod -R u+w "$out/cache"
rm -rf "$out/cache"
(cd "$out" && sha256sum ./*.tar.gz ./*.deb ./*.cdx.json >sha256sums && cat sha256sums)
