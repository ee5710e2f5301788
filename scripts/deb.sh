#!/bin/bash
# Builds a Debian package: deb.sh VERSION ARCH BINARY DIR writes
# DIR/oomtrace_VERSION_ARCH.deb and prints its name. The same input gives the
# same bytes.
set -euo pipefail

version=$1 arch=$2 binary=$3 out=$4
here=$(cd "$(dirname "$0")/.." && pwd)
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0}

# v1.2.3-4-gabc-dirty becomes 1.2.3+4.gabc.dirty, and v1.2.3-rc1, which is before
# 1.2.3, 1.2.3~rc1; a version starts with a digit.
debversion=${version#v}
debversion=$(printf %s "$debversion" | sed -E 's/^([^-]*)-(alpha|beta|pre|rc)/\1~\2/; s/-/+/; s/[^A-Za-z0-9.+~]/./g')
[[ $debversion == [0-9]* ]] || debversion=0~$debversion

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
umask 022
chmod 755 "$root"

install -D -m 755 "$binary" "$root/usr/bin/oomtrace"
install -D -m 644 "$here/deploy/oomtrace.service" "$root/usr/lib/systemd/system/oomtrace.service"
install -D -m 644 "$here/deploy/oomtrace.socket" "$root/usr/lib/systemd/system/oomtrace.socket"
install -D -m 644 "$here/deploy/oomtrace.default" "$root/etc/default/oomtrace"
install -d "$root/usr/share/man/man8" "$root/usr/share/doc/oomtrace" "$root/DEBIAN"
gzip -9nc "$here/docs/oomtrace.8" >"$root/usr/share/man/man8/oomtrace.8.gz"
for shell in bash:share/bash-completion/completions/oomtrace zsh:share/zsh/vendor-completions/_oomtrace \
	fish:share/fish/vendor_completions.d/oomtrace.fish; do
	install -d "$root/usr/$(dirname "${shell#*:}")"
	# The binary may be of another architecture.
	(cd "$here" && GOARCH='' GOFLAGS=-trimpath go run ./cmd/oomtrace completion "${shell%%:*}") >"$root/usr/${shell#*:}"
done
{
	printf 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n'
	printf 'Upstream-Name: oomtrace\nSource: https://github.com/oomtrace/oomtrace\n\n'
	printf 'Files: *\nCopyright: the oomtrace authors\nLicense: Apache-2.0\n'
	printf ' On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n\n'
	printf 'Files: bpf/*\nCopyright: the oomtrace authors\nLicense: GPL-2.0-only or BSD-2-Clause\n'
	printf ' The BPF programs, which are part of the binary. The text of the GPL is in\n'
	printf ' /usr/share/common-licenses/GPL-2.\n'
} >"$root/usr/share/doc/oomtrace/copyright"

echo /etc/default/oomtrace >"$root/DEBIAN/conffiles"
cat >"$root/DEBIAN/control" <<EOF
Package: oomtrace
Version: $debversion
Architecture: $arch
Maintainer: the oomtrace authors <oomtrace@users.noreply.github.com>
Installed-Size: $(du -ks --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
Section: admin
Priority: optional
Homepage: https://github.com/oomtrace/oomtrace
Description: flight recorder for Linux OOM kills
 Reports for every kill by the kernel's OOM killer which process died, which
 one invoked the OOM killer, which limit was hit, what held the memory, why
 swap did not help, and which container or unit the victim belonged to.
 .
 The service is not started by itself: systemctl enable --now oomtrace.
EOF

# systemctl is asked only where systemd runs, and not for a tree elsewhere.
# shellcheck disable=SC2016 # for the package's scripts to expand
systemd='[ -z "${DPKG_ROOT:-}" ] && [ -d /run/systemd/system ]'
cat >"$root/DEBIAN/postinst" <<EOF
#!/bin/sh
set -e
if [ "\$1" = configure ] && $systemd; then
	systemctl daemon-reload || true
	# An upgrade loses nothing: kills wait in the pinned ring meanwhile.
	[ -z "\$2" ] || systemctl try-restart oomtrace.service || true
fi
EOF
cat >"$root/DEBIAN/prerm" <<EOF
#!/bin/sh
set -e
if [ "\$1" = remove ] && $systemd; then
	systemctl disable --now oomtrace.service oomtrace.socket || true
	# What was pinned would stay in the kernel until the next boot.
	/usr/bin/oomtrace unpin --pin /sys/fs/bpf/oomtrace >/dev/null 2>&1 || true
fi
EOF
cat >"$root/DEBIAN/postrm" <<EOF
#!/bin/sh
set -e
if [ "\$1" = purge ]; then
	rm -rf "\${DPKG_ROOT:-}/var/log/oomtrace"
fi
if $systemd; then
	systemctl daemon-reload || true
fi
EOF
chmod 755 "$root"/DEBIAN/{postinst,prerm,postrm}

(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z | xargs -0 md5sum >DEBIAN/md5sums)
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkdir -p "$out"
deb=$out/oomtrace_${debversion}_$arch.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$deb" >/dev/null
echo "$deb"
