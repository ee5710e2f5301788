#!/bin/sh
# The Debian package and its unit in a VM with systemd: vagrant-unit.sh DEB.
# Installs it, has a process killed that is older than the tracer, one while the
# tracer is away, and removes it again. Leaves the records in /tmp/unit.json.
# Needs root; not for a machine that matters.
set -eu

deb=$1
pins=/sys/fs/bpf/oomtrace
fail() {
	echo "vagrant-unit: $*" >&2
	systemctl status --no-pager --lines 30 oomtrace >&2 || true
	exit 1
}
records() { journalctl --unit oomtrace --output cat --no-pager | grep '^{' || true; }
# eater NAME PROGRAM... waits for a line in /run/NAME, then overruns its memory.
eater() {
	name=$1
	mkfifo "/run/$name"
	# The program is one argument that needs no exec: its arguments are not seen
	# by a tracer that comes later.
	systemd-run --quiet --unit="$name" --property=MemoryMax=48M --property=MemorySwapMax=0 --property=OOMPolicy=kill \
		perl -e 'open F, "<", shift; <F>; push @held, "x" x (1 << 20) while 1' "/run/$name"
}
# until_recorded UNIT waits for the record of a kill.
until_recorded() {
	tries=0
	until records | grep '"kind":"kill"' | grep -q "\"unit\":\"$1.service\""; do
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || fail "no record of $1"
		sleep 1
	done
}

# crash SIGNAL ends the service by a signal, waits until it is back, and has a
# process killed: that kill is recorded.
crash() {
	before=$(systemctl show --value --property NRestarts oomtrace)
	systemctl kill --signal "$1" oomtrace
	tries=0
	until [ "$(systemctl show --value --property NRestarts oomtrace)" -gt "$before" ] && systemctl is-active --quiet oomtrace; do
		tries=$((tries + 1))
		[ "$tries" -lt 60 ] || fail "it is not restarted after $1"
		sleep 1
	done
	unit=crash-$(echo "$1" | tr '[:upper:]' '[:lower:]')
	eater "$unit"
	echo go >"/run/$unit"
	until_recorded "$unit"
	rm "/run/$unit"
}

eater older
eater away
dpkg --install "$deb"
systemctl start oomtrace
systemctl is-active oomtrace
systemctl show --property=CapabilityBoundingSet --property=MemoryCurrent oomtrace

echo go >/run/older
until_recorded older

# Long enough to be away for sure.
mkdir -p /run/systemd/system/oomtrace.service.d
printf '[Service]\nRestartSec=15\n' >/run/systemd/system/oomtrace.service.d/away.conf
systemctl daemon-reload
systemctl kill --signal KILL oomtrace
echo go >/run/away
while systemctl is-active --quiet away; do sleep 0.2; done
[ "$(systemctl show --value --property SubState oomtrace)" = auto-restart ] || fail "it was not away at the kill"
! records | grep -q '"unit":"away.service"' || fail "the kill was recorded before the restart"
until_recorded away
records >/tmp/unit.json
[ -e "$pins" ] || fail "no pins in $pins"

# Go exits with 2 when it crashes, as for wrong flags: the unit has it end by a
# signal. STOP is for the watchdog to end.
printf '[Service]\nWatchdogSec=5\nTimeoutAbortSec=5\n' >/run/systemd/system/oomtrace.service.d/away.conf
systemctl daemon-reload
systemctl restart oomtrace
for signal in SEGV ABRT QUIT STOP; do crash $signal; done

# A flag that does not exist: one start, no more.
echo 'OOMTRACE_ARGS=--nonsense' >/etc/default/oomtrace
rm -r /run/systemd/system/oomtrace.service.d
systemctl daemon-reload
before=$(systemctl show --value --property NRestarts oomtrace)
! systemctl restart oomtrace || fail "it started with a wrong flag"
sleep 3
[ "$(systemctl show --value --property ActiveState oomtrace)" = failed ] || fail "it is not left as failed"
[ "$(systemctl show --value --property NRestarts oomtrace)" -le "$before" ] || fail "it restarts with a wrong flag"

dpkg --purge oomtrace
for left in "$pins" /usr/bin/oomtrace /etc/default/oomtrace /var/log/oomtrace; do
	[ ! -e "$left" ] || fail "$left is left"
done
rm -f /run/older /run/away
echo "vagrant-unit: the package works, and leaves nothing behind"
