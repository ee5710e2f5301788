#!/bin/bash
# Makes the root of a chroot with vagrant, libvirt and QEMU from Debian's packages:
# vagrant-tools.sh ROOT. Needs root and mmdebstrap.
set -euo pipefail

root=$1
# Of the suites, the one whose vagrant and libvirt this is known to work with.
suite=bookworm
mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' \
	--include=vagrant,vagrant-libvirt,libvirt-daemon-system,libvirt-clients,libvirt-daemon-driver-qemu \
	--include=qemu-system-x86,qemu-utils,dnsmasq-base,iproute2,iptables,rsync,openssh-client,netbase,procps \
	"$suite" "$root" "$("$(dirname "$0")/apt-mirror.sh" "$suite")"
cat >>"$root/etc/libvirt/libvirtd.conf" <<-'CONF'
	auth_unix_ro = "none"
	auth_unix_rw = "none"
CONF
# No other user is in the chroot.
cat >>"$root/etc/libvirt/qemu.conf" <<-'CONF'
	user = "root"
	group = "root"
	security_driver = "none"
	cgroup_controllers = []
	namespaces = []
	remember_owner = 0
CONF
mkdir -p "$root/repo" "$root/session"
