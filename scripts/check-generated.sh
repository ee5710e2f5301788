#!/bin/sh
# Makes the manual page and the JSON encoder and compiles bpf/ anew, and compares: check-generated.sh CLANG.
# Byte identity of bpf/ holds within one version of clang only. With another one it must compile without a
# warning and give the same Go bindings: types, maps, programs and variables.
set -eu

clang=$1
have=$("$clang" --version | head -n 1)
want=$(cat internal/probe/TOOLCHAIN)
if [ "$have" = "$want" ]; then compare='*_bpfel.*'; else compare='*_bpfel.go'; fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go run ./internal/manpage docs/oomtrace.8.in >"$dir/oomtrace.8"
cmp docs/oomtrace.8 "$dir/oomtrace.8" || {
	echo "check-generated: docs/oomtrace.8 does not match the help; run \"make man\"" >&2
	exit 1
}
go run ./internal/render/encodegen "$dir/encode_gen.go"
cmp internal/render/encode_gen.go "$dir/encode_gen.go" || {
	echo "check-generated: internal/render does not match the record; run \"make generate\"" >&2
	exit 1
}
mkdir -p "$dir/internal"
cp -r go.mod go.sum bpf headers "$dir"
cp -r internal/probe "$dir/internal"
rm -f "$dir"/internal/probe/*_bpfel.*
(cd "$dir" && BPF2GO_CC=$clang go generate ./internal/probe)
# shellcheck disable=SC2086 # a pattern
for f in internal/probe/$compare; do
	cmp "$f" "$dir/$f" || {
		echo "check-generated: $f does not match bpf/; run \"make generate\"" >&2
		exit 1
	}
done
if [ "$have" = "$want" ]; then
	echo "check-generated: internal/probe matches bpf/"
else
	echo "check-generated: the bindings match bpf/; bytes not compared: $have, made with $want"
fi
