#!/usr/bin/env bash
# fetch_source.sh PACKAGE DIR [N]: unpacks Debian's source of PACKAGE into DIR. Of Debian's patches,
# which stay in DIR/debian/patches, the first N of the series are applied (default: none). Nothing of it
# is part of this repository. It is the newest version that can be fetched. Exits 77, after saying why,
# where there is none.
#
# MEND_SOURCES names a directory with such sources, unpatched, by package: those are copied instead. The
# system's own package lists are not changed: source entries are enabled in a private copy.
set -euo pipefail
package=$1 directory=$2 count=${3:-0}
skip() { echo "skipped: $*"; exit 77; }

fetch() {
  local tool list
  for tool in apt-get dpkg-source make; do
    command -v "$tool" >/dev/null || skip "needs $tool to fetch and build the source of $package"
  done
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/download"
  for list in /etc/apt/sources.list.d/*.sources; do
    [ -e "$list" ] || continue
    sed 's/^Types: *deb *$/Types: deb-src/' "$list" >"$work/parts/$(basename "$list")"
  done
  if [ -s /etc/apt/sources.list ]; then
    sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/parts/main.list"
  fi
  local apt=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/parts"
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
  timeout 120 apt-get "${apt[@]}" -qq update >"$work/log" 2>&1 ||
    skip "apt-get update failed: $(tail -n 1 "$work/log")"
  # An archive's index may name a version whose files are gone already: then the next older one.
  local version fetched=
  echo 'no package source has it' >"$work/log"
  for version in $(apt-cache "${apt[@]}" showsrc --only-source "$package" 2>/dev/null |
    sed -n 's/^Version: //p' | sort -ruV); do
    if (cd "$work/download" && timeout 120 apt-get "${apt[@]}" -qq source --only-source \
      --download-only "$package=$version") >"$work/log" 2>&1; then
      fetched=$version
      break
    fi
    rm -f "$work"/download/*
  done
  [ -n "$fetched" ] || skip "the source of $package could not be fetched: $(tail -n 1 "$work/log")"
  dpkg-source --no-check --skip-patches -x "$work"/download/*.dsc "$directory" >/dev/null
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$directory"
mkdir -p "$(dirname "$directory")"
if [ -n "${MEND_SOURCES:-}" ] && [ -d "$MEND_SOURCES/$package/debian/patches" ]; then
  cp -a "$MEND_SOURCES/$package" "$directory"
else
  fetch
fi
cd "$directory"
awk -v count="$count" '!/^#/ && NF && seen++ < count { print $1 }' debian/patches/series | while read -r patch; do
  patch -t -F2 -N -p1 -s --no-backup-if-mismatch -i "debian/patches/$patch"
done
