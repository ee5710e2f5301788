#!/bin/sh
# Shows a kill at once: demo.sh OOMTRACE. Starts the tracer, lets a process
# overrun a memory cgroup of 32 MiB, and shows the record as text and as JSON.
set -eu

oomtrace=$1
if [ "$(id -u)" -ne 0 ]; then
	echo "demo: tracing needs root; asking sudo"
	exec sudo "$0" "$@"
fi

dir=$(mktemp -d)
name=oomtrace-demo-$$
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	group=/sys/fs/cgroup/$name limit=memory.max noswap=memory.swap.max
	grep -qw memory /sys/fs/cgroup/cgroup.subtree_control ||
		echo +memory >/sys/fs/cgroup/cgroup.subtree_control
elif [ -d /sys/fs/cgroup/memory ]; then
	group=/sys/fs/cgroup/memory/$name limit=memory.limit_in_bytes noswap=memory.swappiness
else
	echo "demo: no memory cgroup hierarchy found under /sys/fs/cgroup" >&2
	exit 1
fi

tracer='' second='' eater=''
cleanup() {
	# shellcheck disable=SC2086 # those that were started
	[ -z "$tracer$second" ] || kill $tracer $second 2>/dev/null || true
	[ -z "$eater" ] || kill -KILL "$eater" 2>/dev/null || true
	wait
	[ ! -d "$group" ] || rmdir "$group" 2>/dev/null || true
	rm -rf "$dir"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$oomtrace" --output text --cgroup "/$name" --count 1 --duration 60s --ready-file "$dir/ready" >"$dir/text" 2>"$dir/log" &
tracer=$!
"$oomtrace" --output json --cgroup "/$name" --count 1 --duration 60s --ready-file "$dir/ready2" >"$dir/json" 2>/dev/null &
second=$!
tries=0
while [ ! -e "$dir/ready" ] || [ ! -e "$dir/ready2" ]; do
	if ! kill -0 "$tracer" 2>/dev/null || [ "$tries" -ge 300 ]; then
		cat "$dir/log" >&2
		exit 1
	fi
	tries=$((tries + 1))
	sleep 0.1
done

mkdir "$group"
echo 33554432 >"$group/$limit"
# Else the machine's swap would have to be full first. A kernel without swap
# accounting has no such file.
[ ! -e "$group/$noswap" ] || echo 0 >"$group/$noswap"
# tail keeps the last line, and /dev/zero has none that ends.
# shellcheck disable=SC2016 # $0 is the inner shell's
sh -c 'echo $$ >"$0/cgroup.procs" && exec tail /dev/zero' "$group" >/dev/null 2>&1 &
eater=$!
wait "$eater" 2>/dev/null || true
eater=''

wait "$tracer" "$second" || true
tracer='' second=''
cat "$dir/log"
echo
cat "$dir/text"
echo
echo "The same as JSON:"
cat "$dir/json"
