#!/usr/bin/env bash
# Makes a Debian package of an installed tree: the command, the libraries and what programs are built with.
#
#   deb.sh TREE VERSION OUT.deb      TREE has bin, lib and include, as `make install PREFIX=` leaves them
set -euo pipefail
tree="$1" version="$2" out="$3"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

arch="$(dpkg --print-architecture)"
root="$work/root"
# Where the packages of a system have their libraries: the linker and pkg-config look there without being told.
libraries="$root/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH 2> /dev/null || gcc -print-multiarch)"
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$libraries" "$root/usr/share/doc/clusterkit"
cp -a "$tree/bin/." "$root/usr/bin/"
cp -a "$tree/lib/." "$libraries/"
cp -a "$tree/include" "$root/usr/include"
cp "$tree/CHANGELOG.md" "$root/usr/share/doc/clusterkit/"
# Their prefix is two folders above; here it is three.
sed -i 's|^prefix=.*|prefix=${pcfiledir}/../../..|; s|^libdir=.*|libdir=${pcfiledir}/..|' "$libraries"/pkgconfig/*.pc
sed -i 's|CMAKE_CURRENT_LIST_DIR}/../../.."|CMAKE_CURRENT_LIST_DIR}/../../../.."|; s|_clusterkit_prefix}/lib/|CMAKE_CURRENT_LIST_DIR}/../../|' \
  "$libraries/cmake/clusterkit/clusterkitConfig.cmake"
{
  printf 'Files: *\nLicense: MIT or Apache-2.0\n\n'
  cat "$tree/LICENSE-MIT"
  printf '\n\n'
  cat "$tree/LICENSE-APACHE"
} > "$root/usr/share/doc/clusterkit/copyright"

# The least C library that has every symbol that is asked for.
glibc="$(objdump -T "$root/usr/bin/clusterkit" "$libraries"/libclusterkit.so.* | grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -Vu | tail -n 1)"
size="$(du -sk "$root/usr" | cut -f1)"
cat > "$root/DEBIAN/control" <<CONTROL
Package: clusterkit
Version: $version
Architecture: $arch
Maintainer: ClusterKit <clusterkit@example.org>
Installed-Size: $size
Depends: libc6 (>= $glibc), libgcc-s1
Section: libs
Priority: optional
Homepage: https://github.com/clusterkit/clusterkit
Description: Embeddable cluster coordination layer
 Membership, leader election, a partition map, automatic rebalancing and failure
 detection for distributed applications: the library for C and C++, shared and
 static, its headers, and the clusterkit command.
CONTROL
printf 'activate-noawait ldconfig\n' > "$root/DEBIAN/triggers"
find "$root" -type d -exec chmod 755 {} +
dpkg-deb --root-owner-group --build "$root" "$out" > /dev/null
