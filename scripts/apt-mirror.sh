#!/bin/sh
# Prints an entry of sources.list for a suite of Debian's main archive:
# apt-mirror.sh SUITE. The mirror is $OOMTRACE_DEBIAN_MIRROR, or else the one that
# apt on this machine is set up with. Security and third-party archives do not
# carry every suite, so they do not do.
set -eu

suite=$1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
if [ -n "${OOMTRACE_DEBIAN_MIRROR:-}" ]; then
	echo "deb [signed-by=$keyring] $OOMTRACE_DEBIAN_MIRROR $suite main"
	exit
fi
# shellcheck disable=SC2016 # apt's own variables
apt-get indextargets --format '$(ORIGIN)	$(RELEASE)	$(COMPONENT)	$(SITE)	$(SIGNED_BY)' |
	awk -F '\t' -v suite="$suite" '
		# A variable that apt cannot fill stays as it was written.
		($1 == "Debian" || $1 ~ /^\$/) && $3 == "main" && $2 !~ /-security|\// && !done {
			printf "deb %s%s %s main\n", ($5 == "" || $5 ~ /^\$/) ? "" : "[signed-by=" $5 "] ", $4, suite
			done = 1
		}
		END {
			if (!done) {
				print "apt is set up with no Debian mirror: on Debian run apt-get update; elsewhere" > "/dev/stderr"
				print "install debian-archive-keyring and set OOMTRACE_DEBIAN_MIRROR to the URL of one" > "/dev/stderr"
				exit 1
			}
		}'
