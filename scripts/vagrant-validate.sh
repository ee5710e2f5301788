#!/bin/sh
# Validates the Vagrantfile for each of its providers. Installs Debian's vagrant
# where it is missing.
set -eu

if ! command -v vagrant >/dev/null || ! dpkg -s vagrant-libvirt >/dev/null 2>&1; then
	if [ "$(id -u)" -eq 0 ]; then sudo=; else sudo=sudo; fi
	$sudo apt-get update -q >/dev/null
	DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -q --no-install-recommends vagrant vagrant-libvirt >/dev/null
fi

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export VAGRANT_HOME="$dir/home" VAGRANT_DOTFILE_PATH="$dir/dot"

# Vagrant reads a provider's settings only where that provider is usable. For
# VirtualBox a program that tells a version is enough.
mkdir "$dir/bin"
printf '#!/bin/sh\necho 7.0.20r163906\n' >"$dir/bin/VBoxManage"
chmod +x "$dir/bin/VBoxManage"

validate() { # validate PROVIDER [NAME=VALUE...]
	provider=$1
	shift
	printf '%s: ' "$provider${*:+ ($*)}"
	env PATH="$dir/bin:$PATH" VAGRANT_DEFAULT_PROVIDER="$provider" "$@" vagrant validate
}
validate virtualbox
validate libvirt
validate libvirt OOMTRACE_DRIVER=qemu OOMTRACE_KERNEL=/vmlinuz OOMTRACE_INITRD=/initrd.img OOMTRACE_NETWORK=open
