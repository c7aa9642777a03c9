#!/bin/sh
# The file system under the programs, from Debian's packages, for an image without shell and package manager:  root.sh INTO
#
# Each package's record goes to var/lib/dpkg/status.d, as in Google's distroless images, so that vulnerability scanners
# know what is inside.
set -eu
into="$1"
packages="base-files ca-certificates libc6 libgcc-s1 libstdc++6 netbase"

apt-get update -q
apt-get install -y -q --no-install-recommends ca-certificates
mkdir -p "$into/var/lib/dpkg/status.d" /packages
cd /packages
# shellcheck disable=SC2086 # a list
apt-get download -q $packages
for package in *.deb; do
  dpkg-deb -x "$package" "$into"
  dpkg-deb -f "$package" >"$into/var/lib/dpkg/status.d/$(dpkg-deb -f "$package" Package)"
done
cd "$into"
# Of the documentation, the licences stay. Character sets other than UTF-8 and translations are used by nothing here.
find usr/share/doc -type f ! -name copyright -delete
find usr/share/doc -type l -delete
rm -rf usr/lib/*/gconv usr/share/man usr/share/info usr/share/lintian usr/share/bug usr/share/ca-certificates usr/sbin usr/bin
find . -type d -empty -path './usr/*' -delete

# The authorities that the base image trusts: Debian's, and those that a base image of one's own adds.
mkdir -p etc/ssl/certs
cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/
# Files before the name server: `localhost` must not depend on it.
echo 'hosts: files dns' >etc/nsswitch.conf
echo 'root:x:0:0:root:/:/sbin/nologin' >etc/passwd
echo 'emofleet:x:10001:10001:emofleet:/data:/sbin/nologin' >>etc/passwd
printf 'root:x:0:\nemofleet:x:10001:\n' >etc/group
mkdir -p tmp data
chmod 1777 tmp data
