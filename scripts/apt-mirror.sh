#!/bin/sh
# Prints an entry of sources.list for a suite of Debian's main archive, on the
# mirror that apt on this machine is set up with: apt-mirror.sh SUITE. Security
# and third-party archives do not carry every suite, so they do not do.
set -eu

suite=$1
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
				print "apt is set up with no Debian mirror; add a Debian source and run apt-get update" > "/dev/stderr"
				exit 1
			}
		}'
