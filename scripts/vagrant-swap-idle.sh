#!/bin/sh
# Reproduces a kill by the system with swap unused, in a VM of its own: there is
# swap, and a service locks all of its memory and eats what there is. Shows the
# record as text and leaves it as JSON in /tmp/swap-idle.json. Needs root; not
# for a machine that matters.
set -eu

swap=/var/tmp/swap-idle
out=/tmp/swap-idle
trap 'swapoff "$swap" 2>/dev/null || true; rm -f "$swap" "$out".ready-*' EXIT
fallocate -l 512M "$swap"
chmod 600 "$swap"
mkswap "$swap" >/dev/null
swapon "$swap"

# trace NAME FLAG... traces one kill of the service; $! is the tracer.
trace() {
	name=$1
	shift
	oomtrace --count 1 --duration 300s --comm perl --ready-file "$out.ready-$name" "$@" &
	while [ ! -e "$out.ready-$name" ]; do
		kill -0 $!
		sleep 0.1
	done
}
trace json --output json >"$out.json" 2>"$out.log"
json=$!
trace wide --output wide
wide=$!

case $(uname -m) in
x86_64) mlockall=151 ;;
*) mlockall=230 ;;
esac
# 3 is MCL_CURRENT | MCL_FUTURE.
systemd-run --quiet --wait --unit=ci-runner perl -e \
	"syscall($mlockall, 3) == 0 or die; push @held, 'x' x (1 << 20) while 1" || true
wait "$wide" "$json"
