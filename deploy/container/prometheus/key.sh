#!/bin/sh
# Makes a viewer's key of the collector for Prometheus, and keeps it in the file that prometheus.yml names.
# Run by compose.yaml before Prometheus starts; changes nothing where the file is there.
#   key.sh FILE
set -eu

file=$1
if [ -s "$file" ]; then
    echo "there is a key in $file"
    exit 0
fi
# A name that no earlier key has, also if the volume of the keys was thrown away.
name="prometheus-$(date +%s)"
umask 0022
millrace-collector key create --name "$name" --role viewer | sed -n 's/^viewer key: //p' >"$file.new"
[ -s "$file.new" ] || { echo "no key was made" >&2; exit 1; }
mv "$file.new" "$file"
echo "made the key $name"
