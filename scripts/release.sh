#!/bin/bash
# Builds the release: release.sh VERSION [DIR [ARCH...]], in DIR, emptied first, and for both
# architectures; DIR is build/release. Beside the archives:
# Debian packages, a bill of materials (SPDX) for each binary, and checksums.
# Everything is made twice, the second time without what the first left in the
# cache, and must come out the same.
set -euo pipefail

version=$1
out=${2:-build/release}
shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- amd64 arm64
mkdir -p "$out"
out=$(cd "$out" && pwd)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

# check_materials BINARY FILE compares it with what Go wrote into the binary.
check_materials() {
	diff <(go version -m "$1" | awk '$1 == "dep" {print $2 "@" $3}' | sort) \
		<(jq -r '.packages[2:][] | .name + "@" + .versionInfo' "$2" | sort) || {
		echo "release: $2 has other modules than $1" >&2
		return 1
	}
}

# build ARCH CACHE DIR makes the release of one architecture in DIR.
build() {
	local arch=$1 cache=$2 dir=$3
	local name=oomtrace-$version-linux-$arch
	mkdir -p "$dir/$name"
	GOCACHE=$cache CGO_ENABLED=0 GOARCH=$arch go build -tags grpcnotrace -trimpath -ldflags "-s -w -X main.version=$version" \
		-o "$dir/$name/oomtrace" ./cmd/oomtrace
	cp LICENSE README.md docs/oomtrace.8 "$dir/$name"
	go run ./internal/materials -version "$version" -created "$created" "$dir/$name/oomtrace" >"$dir/$name.spdx.json"
	check_materials "$dir/$name/oomtrace" "$dir/$name.spdx.json"
	scripts/deb.sh "$version" "$arch" "$dir/$name/oomtrace" "$dir" >/dev/null
	tar --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" -C "$dir" -c "$name" |
		gzip -n >"$dir/$name.tar.gz"
	rm -r "${dir:?}/$name"
}

rm -rf "$out"
trap 'chmod -R u+w "$out/cache" 2>/dev/null || true; rm -rf "$out/cache" "$out/again"' EXIT
for arch; do
	build "$arch" "$(go env GOCACHE)" "$out"
	build "$arch" "$out/cache" "$out/again"
done
for again in "$out"/again/*; do
	cmp "$again" "$out/${again##*/}"
	echo "release: the same twice: ${again##*/}"
done
(cd "$out" && sha256sum -- *.tar.gz *.deb *.spdx.json >SHA256SUMS && sha256sum --check SHA256SUMS)
