#!/bin/sh
# Compiles bpf/ anew and compares: check-generated.sh CLANG. Byte identity holds
# within one version of clang only, so another version is told, not compared.
set -eu

clang=$1
have=$("$clang" --version | head -n 1)
want=$(cat internal/probe/TOOLCHAIN)
if [ "$have" != "$want" ]; then
	echo "check-generated: needs \"$want\", found \"$have\"" >&2
	exit 1
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir/internal"
cp -r go.mod go.sum bpf headers "$dir"
cp -r internal/probe "$dir/internal"
rm -f "$dir"/internal/probe/*_bpfel.*
(cd "$dir" && go generate ./internal/probe)
for f in internal/probe/*_bpfel.*; do
	cmp "$f" "$dir/$f" || {
		echo "check-generated: $f does not match bpf/; run \"make generate\"" >&2
		exit 1
	}
done
echo "check-generated: internal/probe matches bpf/"
