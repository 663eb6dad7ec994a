#!/usr/bin/env bash
# Debian's dnsmasq 2.90 by its own Makefile; the fixes applied live while clients ask it. dnsmasq.sh BUILD
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "needs python3"

if prepare dnsmasq 1; then
  make -j "${MEND_JOBS:-$(nproc)}" -C "$real/dnsmasq" CC="$patchc cc" >"$real/dnsmasq.log" 2>&1 ||
    { tail -n 30 "$real/dnsmasq.log"; fail "dnsmasq does not build"; }
  built dnsmasq
fi
exec python3 "$here/dnsmasq_fixes.py" "$build" "$real/dnsmasq"
