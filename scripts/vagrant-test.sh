#!/bin/bash
# Brings the Vagrant VM up for real, reproduces kills in it, brings the records
# to build/vagrant and destroys it: vagrant-test.sh [SUITE]. SUITE is the Debian
# suite whose system and kernel the VM gets (bookworm).
#
# Nothing is installed on this machine and nothing listens on it: vagrant and
# libvirt run in a chroot of Debian's packages, in namespaces of their own. KVM is
# not used. The chroot and the box are kept in the cache.
set -euo pipefail

suite=${1:-bookworm}
cd "$(dirname "$0")/.."
if [ "$(id -u)" -ne 0 ]; then
	exec sudo --preserve-env=PATH,HOME,OOMTRACE_CACHE,XDG_CACHE_HOME "$0" "$@"
fi
[ -x build/oomtrace ] || {
	echo "vagrant-test: no build/oomtrace; run make build" >&2
	exit 1
}

cache=${OOMTRACE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/oomtrace}/vagrant
sum() { cat "$@" | sha256sum | cut -c 1-12; }
tools=$cache/tools-$(sum scripts/vagrant-tools.sh)
box=$cache/box-$suite-$(sum scripts/vagrant-box.sh)
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

missing=
for need in mmdebstrap:mmdebstrap qemu-img:qemu-utils mke2fs:e2fsprogs jq:jq; do
	command -v "${need%:*}" >/dev/null || missing="$missing ${need#*:}"
done
if [ -n "$missing" ]; then
	apt-get update -q >/dev/null
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
fi

if [ ! -d "$tools" ]; then
	echo "vagrant-test: making a chroot with vagrant and libvirt"
	rm -rf "$cache"/tools-*
	scripts/vagrant-tools.sh "$cache/tools-new"
	mv "$cache/tools-new" "$tools"
fi
if [ ! -d "$box" ]; then
	echo "vagrant-test: making a box of $suite"
	rm -rf "$cache/box-$suite"-*
	mkdir "$cache/box-$suite-new"
	scripts/vagrant-box.sh "$suite" "$(find "$tools/usr/share" -path '*/keys/vagrant.pub' | head -n 1)" "$cache/box-$suite-new"
	mv "$cache/box-$suite-new" "$box"
fi

work=$(mktemp -d "$cache/.run-XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{libvirt,home,log,cache}
# Only what the VM is to have.
mkdir "$work/repo"
tar --exclude=./.git --exclude=./build -cf - . | tar -C "$work/repo" -xf -
mkdir "$work/repo/build"
cp build/oomtrace "$work/repo/build"
# The box is of this architecture.
scripts/deb.sh "$(git describe --tags --always --dirty 2>/dev/null || echo devel)" amd64 build/oomtrace "$work/repo/build"
cp "$box/vmlinuz" "$box/initrd.img" "$box/oomtrace.box" "$work"

failed=0
unshare --net --mount --pid --ipc --uts --fork --kill-child --propagation private \
	timeout --foreground 1200 scripts/vagrant-session.sh "$tools" "$work" 9>&- || failed=$?
rm -rf build/vagrant
mkdir -p build/vagrant
cp -r "$work"/records/. build/vagrant 2>/dev/null || true
if [ "$failed" -ne 0 ]; then
	cp -r "$work/log" build/vagrant/log
	echo "vagrant-test: failed; logs are in build/vagrant/log" >&2
	exit "$failed"
fi

# value FILE BLOCK NAME prints a number of a record.
value() { sed -n "s/.*\"$2\":{[^}]*\"$3\":\([0-9]*\).*/\1/p" "build/vagrant/$1"; }
expect() {
	"$@" || {
		echo "vagrant-test: not so: $*" >&2
		exit 1
	}
}
for file in demo.json swap-idle.json; do
	expect [ "$(grep -c '"kind":"kill"' "build/vagrant/$file")" -eq 1 ]
	expect [ "$(value $file victim rss_bytes)" -gt 10000000 ]
done
expect grep -q '"scope":"cgroup"' build/vagrant/demo.json
expect grep -q '"scope":"system"' build/vagrant/swap-idle.json
# The point of the scenario: nine tenths of the swap are free.
expect [ "$(value swap-idle.json memory swap_total_bytes)" -gt 500000000 ]
expect [ "$(value swap-idle.json memory swap_free_bytes)" -gt 450000000 ]
# kill_of UNIT FILTER succeeds if a kill of that unit fits.
kill_of() { jq -se --arg unit "$1.service" "any(.[]; .kind == \"kill\" and .victim.unit == \$unit and ($2))" build/vagrant/unit.json >/dev/null; }
for unit in older away; do
	expect kill_of $unit '.victim.cmdline | startswith("/usr/bin/perl -e open F")'
	expect kill_of $unit '.trigger.kernel_stack | any(startswith("out_of_memory+0x"))'
	expect kill_of $unit '.scope == "cgroup" and .limit.max_bytes == 50331648'
done
echo "vagrant-test: the records are in build/vagrant"
