#!/usr/bin/env bash
# Debian's memcached 1.6.18 by its own configure and make, with SASL and the proxy, where its fixes are;
# the fixes applied live to a proxy and its server under load. memcached.sh BUILD
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "needs python3"
[ -f /usr/include/event.h ] || skip "needs libevent-dev"
[ -f /usr/include/sasl/sasl.h ] || skip "needs libsasl2-dev"

if prepare memcached 6; then
  # Its vendored parts name gcc; and its -Werror meets a newer compiler's warnings, with clang too.
  (cd "$real/memcached" &&
    ./configure CC="$build/bin/mend-cc" --enable-sasl --enable-sasl-pwdb --enable-proxy &&
    make -j "${MEND_JOBS:-$(nproc)}" -C vendor CC="$build/bin/mend-cc" &&
    make -j "${MEND_JOBS:-$(nproc)}" memcached CFLAGS="-g -O2 -pthread") >"$real/memcached.log" 2>&1 ||
    { tail -n 30 "$real/memcached.log"; fail "memcached does not build"; }
  built memcached
fi
exec python3 "$here/memcached_fixes.py" "$build" "$real/memcached"
