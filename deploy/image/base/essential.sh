#!/bin/sh
# mmdebstrap's essential hook: what must be there before the kernel is installed. $1 is the new root.
set -eu
here=$(dirname "$0")
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/local/sbin"
cp "$here/initramfs.conf" "$1/etc/initramfs-tools/conf.d/millrace"
cp "$here/initramfs.modules" "$1/etc/initramfs-tools/modules"
# The kernel's package would look through thousands of modules in emulation: minutes, which take this machine's own depmod seconds (customize.sh).
printf '#!/bin/sh\nexit 0\n' >"$1/usr/local/sbin/depmod"
chmod 0755 "$1/usr/local/sbin/depmod"
