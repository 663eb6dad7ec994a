#!/usr/bin/env bash
# Debian's redis 7.0.15, built by its own make, with every security fix applied live. redis.sh BUILD
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "needs python3"

if prepare redis 5; then
  make -C "$real/redis/src" -j "${MEND_JOBS:-$(nproc)}" CC="$patchc cc" MALLOC=libc BUILD_TLS=no \
    USE_SYSTEMD=no redis-server redis-benchmark redis-cli >"$real/redis.log" 2>&1 ||
    { tail -n 30 "$real/redis.log"; fail "redis does not build"; }
  built redis
fi
exec python3 "$here/redis_fixes.py" "$build" "$real/redis"
