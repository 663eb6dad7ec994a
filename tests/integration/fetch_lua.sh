#!/usr/bin/env bash
# fetch_lua.sh DIR: unpacks Debian's lua5.4 source into DIR with none of Debian's patches applied (they
# stay in DIR/debian/patches). Nothing of it is part of this repository. Exits 77, after saying why,
# where it cannot be fetched.
#
# MEND_LUA_SOURCE names such a directory that exists already. The system's own package lists are not
# changed: source entries are enabled in a private copy.
set -euo pipefail
directory=$1
skip() { echo "skipped: $*"; exit 77; }

if [ -n "${MEND_LUA_SOURCE:-}" ]; then
  [ -f "$MEND_LUA_SOURCE/src/lparser.c" ] || skip "MEND_LUA_SOURCE has no src/lparser.c"
  rm -rf "$directory"
  mkdir -p "$(dirname "$directory")"
  cp -r "$MEND_LUA_SOURCE" "$directory"
  exit 0
fi
for tool in apt-get dpkg-source make; do
  command -v "$tool" >/dev/null || skip "needs $tool to fetch and build Lua's source"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/download"
for list in /etc/apt/sources.list.d/*.sources; do
  [ -e "$list" ] || continue
  sed 's/^Types: *deb *$/Types: deb-src/' "$list" >"$work/parts/$(basename "$list")"
done
if [ -s /etc/apt/sources.list ]; then
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$work/parts/main.list"
fi
apt=(-o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/parts"
  -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root)
timeout 120 apt-get "${apt[@]}" -qq update >"$work/log" 2>&1 || skip "apt-get update failed: $(tail -n 1 "$work/log")"
(cd "$work/download" && timeout 120 apt-get "${apt[@]}" -qq source --only-source --download-only lua5.4) \
  >"$work/log" 2>&1 || skip "Lua's source could not be fetched: $(tail -n 1 "$work/log")"
rm -rf "$directory"
mkdir -p "$(dirname "$directory")"
dpkg-source --no-check --skip-patches -x "$work"/download/lua5.4_*.dsc "$directory" >/dev/null
