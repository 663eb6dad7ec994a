#!/usr/bin/env bash
# Debian's mosquitto 2.0.11 by CMake, the compilers named as CMake wants them, with its library, which its
# own clients are linked with; the fixes applied live to a broker with subscribers. mosquitto.sh BUILD
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "needs python3"
[ -f /usr/include/uthash.h ] || skip "needs uthash-dev"

if prepare mosquitto 6; then
  (cmake -S "$real/mosquitto" -B "$real/mosquitto/build" -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_COMPILER="$build/bin/mend-cc" -DCMAKE_CXX_COMPILER="$build/bin/mend-c++" \
    -DWITH_TLS=OFF -DWITH_CJSON=OFF -DDOCUMENTATION=OFF &&
    cmake --build "$real/mosquitto/build" -j "${MEND_JOBS:-$(nproc)}") >"$real/mosquitto.log" 2>&1 ||
    { tail -n 30 "$real/mosquitto.log"; fail "mosquitto does not build"; }
  built mosquitto
fi
exec python3 "$here/mosquitto_fixes.py" "$build" "$real/mosquitto"
