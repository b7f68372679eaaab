#!/bin/sh
# mmdebstrap's essential hook: what must be there before the kernel is installed. $1 is the new root.
set -eu
here=$(dirname "$0")
mkdir -p "$1/etc/initramfs-tools/conf.d"
cp "$here/initramfs.conf" "$1/etc/initramfs-tools/conf.d/millrace"
cp "$here/initramfs.modules" "$1/etc/initramfs-tools/modules"
# The kernel's package would look through thousands of modules in emulation: minutes, which take this machine's own depmod seconds. And the
# initial RAM disk would be made again by every package that touches it. Both are made once, by customize.sh.
for program in depmod update-initramfs; do
    chroot "$1" dpkg-divert --quiet --local --rename --add "/usr/sbin/$program"
    printf '#!/bin/sh\nexit 0\n' >"$1/usr/sbin/$program"
    chmod 0755 "$1/usr/sbin/$program"
done
