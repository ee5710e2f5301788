#!/bin/sh
# Runs a command as root, keeping the environment that Go needs.
set -eu
if [ "$(id -u)" -eq 0 ]; then
	exec "$@"
fi
exec sudo --preserve-env=PATH,HOME,GOFLAGS,GOPROXY,GOCACHE,GOMODCACHE,GOTOOLCHAIN,CGO_ENABLED "$@"
