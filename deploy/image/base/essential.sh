#!/bin/sh
# mmdebstrap's essential hook: what must be there before the kernel is installed, which makes the initial RAM disk. $1 is the new root.
set -eu
here=$(dirname "$0")
mkdir -p "$1/etc/initramfs-tools/conf.d"
cp "$here/initramfs.conf" "$1/etc/initramfs-tools/conf.d/millrace"
cp "$here/initramfs.modules" "$1/etc/initramfs-tools/modules"
