#!/bin/bash
# The part of vagrant-test.sh that runs in namespaces of its own:
# vagrant-session.sh TOOLS WORK sets up the chroot TOOLS and runs itself in it.
set -euo pipefail

if [ "$1" != --inside ]; then
	tools=$1 work=$2
	ip link set lo up
	mount --bind "$tools" "$tools"
	cd "$tools"
	mount -t proc proc proc
	mount -t sysfs sysfs sys
	mount -t tmpfs -o mode=755 dev dev
	# No kvm: a guest under one that does not work hangs.
	mkdir dev/net dev/pts dev/shm
	mkdir -p session
	for d in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200; do
		IFS=: read -r name major minor <<<"$d"
		mknod -m 666 "dev/$name" c "$major" "$minor"
	done
	ln -s /proc/self/fd dev/fd
	mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
	ln -s pts/ptmx dev/ptmx
	for d in dev/shm run tmp; do mount -t tmpfs tmpfs "$d"; done
	mount --bind "$work" session
	mount --bind "$work/repo" repo
	mount --bind "$work/libvirt" var/lib/libvirt
	mount --bind "$work/cache" var/cache/libvirt
	mount --bind "$work/log" var/log
	exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/session/home LANG=C.UTF-8 \
		chroot . /bin/bash /repo/scripts/vagrant-session.sh --inside
fi

rm -f /etc/libvirt/qemu/*.xml # the domain of a run that was killed
mkdir -p /var/lib/libvirt/{dnsmasq,images,qemu} /var/log/libvirt/qemu /session/records
virtlogd -d
libvirtd -d
for _ in $(seq 100); do
	virsh -q -c qemu:///system list >/dev/null 2>&1 && break
	sleep 0.2
done

export VAGRANT_HOME=/session/home VAGRANT_DOTFILE_PATH=/session/dot VAGRANT_DEFAULT_PROVIDER=libvirt
export VAGRANT_CHECKPOINT_DISABLE=1 VAGRANT_BOX_UPDATE_CHECK_DISABLE=1
export OOMTRACE_BOX=oomtrace-test OOMTRACE_DRIVER=qemu OOMTRACE_MEMORY=1024 OOMTRACE_PREBUILT=1 OOMTRACE_NETWORK=open
export OOMTRACE_KERNEL=/session/vmlinuz OOMTRACE_INITRD=/session/initrd.img OOMTRACE_CMDLINE="root=/dev/vda ro console=ttyS0 quiet"

cd /repo
vagrant box add --no-tty --name "$OOMTRACE_BOX" /session/oomtrace.box
rm /session/oomtrace.box
run() {
	echo "\$ vagrant ssh -c '$1'"
	vagrant ssh -c "$1" -- -q
}
status=0
{
	vagrant up --no-tty &&
		run 'uname -r' &&
		# build/oomtrace is the host's: the VM has no network to install a compiler from.
		run 'cd /vagrant && sudo make -o build demo | tee /tmp/demo' &&
		run 'cd /vagrant && sudo scripts/vagrant-swap-idle.sh' &&
		run 'cd /vagrant && sudo scripts/vagrant-unit.sh build/oomtrace_*.deb' &&
		vagrant ssh -c 'grep ^{ /tmp/demo' -- -q >/session/records/demo.json &&
		vagrant ssh -c 'cat /tmp/swap-idle.json' -- -q >/session/records/swap-idle.json &&
		vagrant ssh -c 'cat /tmp/unit.json' -- -q >/session/records/unit.json
} || status=$?
vagrant destroy --force
exit "$status"
