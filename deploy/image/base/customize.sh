#!/bin/sh
# mmdebstrap's customize hook: the kernel's list of modules and its initial RAM disk, and the packages whose files go onto the FAT partition
# (they are not installed into the slot), fetched by the same apt, so that their signatures are checked as well.
# $1 is the new root; BOOT_FOLDER takes the files, BOOT_PACKAGES names them.
set -eu

for program in depmod update-initramfs; do
    rm "$1/usr/sbin/$program"
    chroot "$1" dpkg-divert --quiet --local --rename --remove "/usr/sbin/$program"
done
for modules in "$1"/usr/lib/modules/*; do
    version=${modules##*/}
    depmod --basedir "$1" "$version"
    chroot "$1" mkinitramfs -o "/boot/initrd.img-$version" "$version"
done

mkdir -p "$BOOT_FOLDER/debs"
cd "$BOOT_FOLDER/debs"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
# shellcheck disable=SC2086  # a list of names
apt-get -q -o APT::Sandbox::User=root download $BOOT_PACKAGES
for deb in *.deb; do
    dpkg-deb --extract "$deb" "$BOOT_FOLDER"
    # shellcheck disable=SC2016  # dpkg's own words
    dpkg-deb --show --showformat='${Package} ${Version}\n' "$deb"
done >"$BOOT_FOLDER/packages"
rm -r "$BOOT_FOLDER/debs"
