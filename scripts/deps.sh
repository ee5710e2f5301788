#!/bin/sh
# Installs what the named purposes (build, test, page, release, generate) need, on Debian and
# Ubuntu. Does nothing, and asks no network, where all of it is there.
set -eu

go_wanted=$(sed -n 's/^toolchain go//p' go.mod)

# As a prefix to a command that needs root.
if [ "$(id -u)" -eq 0 ]; then sudo=; else sudo=sudo; fi

install() {
	if [ -z "${updated:-}" ]; then
		$sudo apt-get update -q >/dev/null
		updated=1
	fi
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends "$@" >/dev/null
}

missing=
need() { # need COMMAND PACKAGE
	PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null || missing="$missing $2"
}

# A Go of 1.21 or later fetches the toolchain that go.mod asks for by itself. An
# older one, such as Debian 12's, can fetch it as the module that it is.
need_go() {
	PATH=$HOME/.cache/oomtrace/go/bin:$PATH:/usr/local/go/bin
	command -v go >/dev/null || install golang-go
	# Not here: go.mod asks for a version that may have to be fetched first.
	have=$(cd / && GOTOOLCHAIN=local go env GOVERSION | sed 's/^go1\.\([0-9]*\).*/\1/')
	[ "$have" -ge 21 ] || fetch_go
}

fetch_go() {
	dir=$(mktemp -d)
	printf 'module fetch\n' >"$dir/go.mod"
	tree=$(cd "$dir" && GOFLAGS=-mod=mod go mod download -json "golang.org/toolchain@v0.0.1-go$go_wanted.linux-$(go env GOARCH)" |
		sed -n 's/^[[:space:]]*"Dir": "\(.*\)",$/\1/p')
	rm -rf "$dir"
	[ -n "$tree" ] || {
		echo "deps: could not fetch Go $go_wanted; install Go 1.21 or later" >&2
		exit 1
	}
	# Modules are unpacked without execute bits.
	chmod -R u+w "$tree/bin" "$tree/pkg/tool"
	chmod -R a+x "$tree/bin" "$tree/pkg/tool"
	mkdir -p "$HOME/.cache/oomtrace"
	ln -sfn "$tree" "$HOME/.cache/oomtrace/go"
}

for purpose in "$@"; do
	case $purpose in
	build)
		need_go
		need make make
		need git git
		;;
	test)
		need gcc gcc # the race detector
		[ -e /usr/include/stdio.h ] || missing="$missing libc6-dev"
		need clang clang
		need llvm-strip llvm
		need shellcheck shellcheck
		need jq jq
		need zsh zsh
		need fish fish
		need qemu-system-x86_64 qemu-system-x86
		need qemu-system-aarch64 qemu-system-arm
		need vagrant vagrant
		need dpkg-deb dpkg
		need xz xz-utils
		need containerd containerd
		need runc runc
		need prometheus prometheus
		need promtool prometheus
		# The kernels of the guests come from Debian's archive, on Ubuntu too.
		[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
		;;
	page)
		need chromium chromium
		need node nodejs
		need npm npm
		;;
	release)
		need jq jq
		need dpkg-deb dpkg
		need xz xz-utils
		;;
	generate)
		need clang clang
		need llvm-strip llvm
		;;
	esac
done
# shellcheck disable=SC2086 # a list of packages
[ -z "$missing" ] || install $missing
