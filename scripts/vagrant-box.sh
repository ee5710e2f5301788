#!/bin/bash
# Makes a libvirt box from Debian's packages: vagrant-box.sh SUITE KEY DIR. Writes
# DIR/oomtrace.box, and the box's kernel and initrd, DIR/vmlinuz and
# DIR/initrd.img, for a direct boot. KEY is the public key that comes with
# Vagrant, which replaces it by a new one at the first start. Needs root,
# mmdebstrap and qemu-utils. The packages come from the mirror that apt on this
# machine is set up with.
set -euo pipefail

suite=$1 key=$2 dir=$3
here=$(dirname "$0")
mirror=$("$here/apt-mirror.sh" "$suite")

work=$(mktemp -d "$dir/.box-XXXXXX")
trap 'rm -rf "$work"' EXIT

# Sets up what Vagrant expects of a box in the root $1.
furnish() {
	local root=$1
	chroot "$root" useradd -m -s /bin/bash vagrant
	install -d -m 700 "$root/home/vagrant/.ssh"
	install -m 600 "$key" "$root/home/vagrant/.ssh/authorized_keys"
	chroot "$root" chown -R vagrant:vagrant /home/vagrant/.ssh
	echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
	echo 'UseDNS no' >"$root/etc/ssh/sshd_config.d/vagrant.conf"
	printf '[Match]\nName=e*\n[Network]\nDHCP=ipv4\n' >"$root/etc/systemd/network/vagrant.network"
	# By hand, since systemctl wants a mounted /proc.
	local units=$root/etc/systemd/system
	mkdir -p "$units/multi-user.target.wants"
	ln -sf /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
	# Waiting for a way out would hold up a VM that has none.
	for unit in systemd-networkd-wait-online.service apt-daily.timer apt-daily-upgrade.timer; do
		ln -sf /dev/null "$units/$unit"
	done
	echo '/dev/vda / ext4 noatime 0 1' >"$root/etc/fstab"
	rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
}

mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' \
	--include=linux-image-cloud-amd64,systemd-sysv,dbus,udev,kmod,iproute2,procps,openssh-server,sudo,rsync,make \
	"$suite" "$work/root" "$mirror"
furnish "$work/root"
# The newest, should there be several.
find "$work/root/boot" -name 'vmlinuz-*' | sort -V | tail -n 1 | xargs -I{} cp {} "$dir/vmlinuz"
find "$work/root/boot" -name 'initrd.img-*' | sort -V | tail -n 1 | xargs -I{} cp {} "$dir/initrd.img"

truncate -s 3G "$work/disk"
mke2fs -q -t ext4 -d "$work/root" "$work/disk"
qemu-img convert -f raw -O qcow2 "$work/disk" "$work/box.img"
echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": 3}' >"$work/metadata.json"
tar -C "$work" -cf "$work/box" metadata.json box.img
mv "$work/box" "$dir/oomtrace.box"
