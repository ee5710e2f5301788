#!/bin/sh
# Validates the Vagrantfile where vagrant is installed ("make deps-test" does).
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
VAGRANT_HOME=$dir/home VAGRANT_DOTFILE_PATH=$dir/dot vagrant validate --ignore-provider
