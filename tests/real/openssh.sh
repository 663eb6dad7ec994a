#!/usr/bin/env bash
# OpenSSH 9.2p1 by its own configure and make: a server that executes itself for each connection and confines
# an unprivileged child in it, with Debian's fixes applied live. openssh.sh BUILD
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "needs python3"
[ -f /usr/include/openssl/evp.h ] || skip "needs libssl-dev"
[ "$(id -u)" -eq 0 ] || skip "needs root: a server of another user confines nothing"

if prepare openssh 0; then
  (cd "$real/openssh" && ./configure CC="$patchc cc" --with-privsep-user=nobody \
    --with-privsep-path="$real/openssh/empty" --without-pam &&
    make -j "${MEND_JOBS:-$(nproc)}" ssh sshd ssh-keygen ssh-agent) >"$real/openssh.log" 2>&1 ||
    { tail -n 30 "$real/openssh.log"; fail "openssh does not build"; }
  mkdir -p -m 755 "$real/openssh/empty"
  built openssh
fi
exec python3 "$here/openssh_fixes.py" "$build" "$real/openssh"
