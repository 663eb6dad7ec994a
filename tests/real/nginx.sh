#!/usr/bin/env bash
# Debian's nginx by its own configure and make; the fixes applied live to the master and its workers
# under load. nginx.sh BUILD
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "needs python3"
for needed in pcre2.h:libpcre2-dev openssl/ssl.h:libssl-dev zlib.h:zlib1g-dev; do
  [ -f "/usr/include/${needed%:*}" ] || skip "needs ${needed#*:}"
done

if prepare nginx 5; then
  # Its own -Werror meets warnings that are newer than the source, with clang too.
  (cd "$real/nginx" &&
    ./configure --with-cc="$patchc cc" --with-cc-opt="-g -O2 -Wno-error" --prefix="$real/nginx/run" \
      --with-http_ssl_module --with-http_v2_module --with-http_mp4_module --with-http_dav_module \
      --with-stream --with-stream_ssl_module --with-mail --with-mail_ssl_module --with-threads &&
    make -j "${MEND_JOBS:-$(nproc)}") >"$real/nginx.log" 2>&1 ||
    { tail -n 30 "$real/nginx.log"; fail "nginx does not build"; }
  built nginx
fi
exec python3 "$here/nginx_fixes.py" "$build" "$real/nginx"
