#!/bin/sh
# mmdebstrap's customize hook: fetches the packages whose files go onto the FAT partition (they are not installed into the slot) by the same
# apt, so that their signatures are checked as well. $1 is the new root; BOOT_FOLDER takes the files, BOOT_PACKAGES names them.
set -eu
mkdir -p "$BOOT_FOLDER/debs"
cd "$BOOT_FOLDER/debs"
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
# shellcheck disable=SC2086  # a list of names
apt-get -q -o APT::Sandbox::User=root download $BOOT_PACKAGES
for deb in *.deb; do
    dpkg-deb --extract "$deb" "$BOOT_FOLDER"
    dpkg-deb --show --showformat='${Package} ${Version}\n' "$deb"
done >"$BOOT_FOLDER/packages"
rm -r "$BOOT_FOLDER/debs"
