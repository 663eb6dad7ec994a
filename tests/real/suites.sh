#!/usr/bin/env bash
# Other people's test suites, hosted: the same tests pass as natively. suites.sh BUILD [SUITE...]
#   lua      scripts of our own (tests/real/suites/lua: Debian's source has no test suite), Debian's lua5.4
#   sqlite   the amalgamation: speedtest1's own verification, and scripts in tests/real/suites/sql
#   leveldb, snappy   their GoogleTest suites, built by their own CMake files
#   redis    its ./runtest: types, scripts, access lists, expiry, transactions, publishing, replication, saving
# A suite whose source cannot be fetched is skipped by name.
. "$(dirname "$0")/lib.sh"
shift
suites=("$@")
[ ${#suites[@]} -gt 0 ] || suites=(lua sqlite leveldb snappy redis)
jobs=${MEND_JOBS:-$(nproc)}
native=(clang-22 clang++-22) hosted=("$build/bin/mend-cc" "$build/bin/mend-c++")
failed=0 skipped=0 passed=0
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
export XDG_RUNTIME_DIR=$run

# same NAME NATIVE-OUTPUT HOSTED-OUTPUT: counts the test.
same() {
  if [ -s "$2" ] && cmp -s "$2" "$3"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    echo "FAILED: $1: hosted is not as native:"
    diff "$2" "$3" | head -n 20 || true
  fi
}

# run_to FILE COMMAND...: both streams and the exit code.
run_to() {
  local file=$1 code=0
  shift
  timeout 900 "$@" >"$file" 2>&1 </dev/null || code=$?
  echo "exit $code" >>"$file"
}

# source_of PACKAGE N: fetched once, unpacked for native and hosted.
source_of() {
  local package=$1 variant
  [ -f "$real/suites/$package.fetched" ] || {
    rm -rf "$real/suites/$package"-*
    "$here/../integration/fetch_source.sh" "$package" "$real/suites/$package-native" "$2" || return $?
    cp -a "$real/suites/$package-native" "$real/suites/$package-hosted"
    touch "$real/suites/$package.fetched"
  }
}

build_failed() { tail -n 30 "$1"; fail "$2 does not build"; }

suite_lua() {
  source_of lua5.4 0 || return $?
  local script name
  make -s -C "$real/suites/lua5.4-native/src" -j "$jobs" a lua CC="${native[0]}" \
    SYSCFLAGS=-DLUA_USE_LINUX SYSLIBS="-Wl,-E -ldl" >"$run/log" 2>&1 || build_failed "$run/log" lua
  make -s -C "$real/suites/lua5.4-hosted/src" -j "$jobs" a lua CC="${hosted[0]}" \
    SYSCFLAGS=-DLUA_USE_LINUX SYSLIBS="-Wl,-E -ldl" >"$run/log" 2>&1 || build_failed "$run/log" lua
  for script in "$here"/suites/lua/*.lua; do
    name=lua:$(basename "$script")
    run_to "$run/native" "$real/suites/lua5.4-native/src/lua" "$script"
    run_to "$run/hosted" "$real/suites/lua5.4-hosted/src/lua" "$script"
    same "$name" "$run/native" "$run/hosted"
  done
}

# build_sqlite VARIANT COMPILER: shell and speed test.
build_sqlite() {
  local source=$real/suites/sqlite3-native into=$real/suites/sqlite3-$1
  mkdir -p "$into"
  "$2" -O2 -I"$source" -DSQLITE_ENABLE_EXPLAIN_COMMENTS -o "$into/mend-shell" "$source/shell.c" \
    "$source/sqlite3.c" -lm -ldl -lpthread >"$run/log" 2>&1 || build_failed "$run/log" "sqlite's shell"
  "$2" -O2 -I"$source" -o "$into/mend-speedtest1" "$source/test/speedtest1.c" "$source/sqlite3.c" -lm \
    -ldl -lpthread >"$run/log" 2>&1 || build_failed "$run/log" speedtest1
}

suite_sqlite() {
  command -v tclsh >/dev/null || { echo "skipped: sqlite: the amalgamation is made with tclsh"; return 77; }
  source_of sqlite3 0 || return $?
  local source=$real/suites/sqlite3-native script variant
  [ -f "$source/shell.c" ] || (cd "$source" && ./configure --disable-tcl --disable-readline CC=clang-22 &&
    make sqlite3.c shell.c) >"$run/log" 2>&1 || build_failed "$run/log" "sqlite's amalgamation"
  build_sqlite native "${native[0]}"
  build_sqlite hosted "${hosted[0]}"
  for script in "$here"/suites/sql/*.sql; do
    for variant in native hosted; do
      timeout 300 "$real/suites/sqlite3-$variant/mend-shell" -batch :memory: <"$script" >"$run/$variant" 2>&1 || true
    done
    same "sqlite:$(basename "$script")" "$run/native" "$run/hosted"
  done
  for variant in native hosted; do
    # The lines that tell times differ; what --verify prints is a hash of all results.
    timeout 900 "$real/suites/sqlite3-$variant/mend-speedtest1" --size 5 --verify :memory: |
      grep -i "hash\|verif" >"$run/$variant" || true
  done
  same sqlite:speedtest1 "$run/native" "$run/hosted"
}

# build_cmake PACKAGE VARIANT CC CXX OPTION...
build_cmake() {
  local package=$1 folder=$real/suites/$1-$2 cc=$3 cxx=$4
  shift 4
  # Last, so that it counts: these sources are older than this compiler's warnings.
  (cmake -G Ninja -S "$folder" -B "$folder/out" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -g -DNDEBUG -Wno-error" \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" "$@" &&
    ninja -C "$folder/out" -j "$jobs") >"$run/log" 2>&1 || build_failed "$run/log" "$package"
}

# verdicts FILE: which tests passed, without how long they took.
verdicts() { grep -E '^\[ +(OK|FAILED|SKIPPED) +\]' "$1" | sed 's/ ([0-9]* ms)$//; s/ ([0-9]* ms total)//' | sort -u; }

# retry_failed NAME FILE: the tests of the run in FILE that failed, each by itself and up to five times.
# Some depend on when a background thread gets its turn: LevelDB's HiddenValuesAreRemoved fails natively
# too on a busy machine. One that passes once has passed.
retry_failed() {
  local name=$1 file=$2 test tries
  for test in $(sed -n 's/^\[  FAILED  \] \([^ ]*\) (.*/\1/p' "$file" | sort -u); do
    for tries in 1 2 3 4 5; do
      run_to "$run/retried" "out/$name" "--gtest_filter=$test"
      [ "$(tail -n 1 "$run/retried")" = "exit 0" ] || continue
      sed -i "s|^\[  FAILED  \] $test (|[       OK ] $test (|; /^\[  FAILED  \] $test\$/d" "$file"
      echo "retried: $name $test passed at try $tries after its failure"
      break
    done
  done
  # What is left of the summary of failures, once none is left.
  grep -q '^\[  FAILED  \] [^ ]* (' "$file" ||
    sed -i '/^\[  FAILED  \] [0-9]* test/d; $s/^exit 1$/exit 0/' "$file"
}

# compare_gtests PACKAGE: every program of the build that is a GoogleTest suite.
compare_gtests() {
  local program name variant
  for program in "$real/suites/$1-native/out"/*; do
    name=$(basename "$program")
    case $name in *test*) ;; *) continue ;; esac
    [ -f "$program" ] && [ -x "$program" ] || continue
    for variant in native hosted; do
      cd "$real/suites/$1-$variant"
      run_to "$run/$variant.all" "out/$name"
      retry_failed "$name" "$run/$variant.all"
      cd "$here"
      verdicts "$run/$variant.all" >"$run/$variant" || true
      tail -n 1 "$run/$variant.all" >>"$run/$variant"
    done
    same "$1:$name ($(grep -c OK "$run/native") tests)" "$run/native" "$run/hosted"
  done
}

suite_leveldb() {
  source_of leveldb 5 || return $?
  build_cmake leveldb native "${native[@]}" -DLEVELDB_BUILD_BENCHMARKS=OFF
  build_cmake leveldb hosted "${hosted[@]}" -DLEVELDB_BUILD_BENCHMARKS=OFF
  compare_gtests leveldb
}

suite_snappy() {
  source_of snappy 7 || return $?
  # As Debian builds it: with the static library alone two of its targets have one name.
  local options=(-DSNAPPY_BUILD_BENCHMARKS=OFF -DBUILD_SHARED_LIBS=ON -DSNAPPY_ENABLE_RTTI=ON
    -DSNAPPY_USE_BUNDLED_GTEST=OFF)
  build_cmake snappy native "${native[@]}" "${options[@]}"
  build_cmake snappy hosted "${hosted[@]}" "${options[@]}"
  compare_gtests snappy
}

redis_units=(unit/type/{string,incr,list,list-2,list-3,set,zset,hash,stream,stream-cgroups}
  unit/{scripting,functions,acl,acl-v2,expire,multi,pubsub,pubsubshard,protocol,keyspace,scan,dump}
  integration/{replication-2,rdb})

# Some of redis' tests wait for so long and no longer, so a unit that fails on a busy machine has a second try.
run_redis_unit() {
  local variant=$1 unit=$2 try
  for try in 1 2; do
    (cd "$real/suites/redis-$variant" &&
      TERM=dumb run_to "$run/$variant.all" ./runtest --single "$unit" --clients 1 --baseport "$((25000 + 200 * try))")
    # Without how long it took, and how many seconds it says to have waited.
    grep -aE '^\[(ok|err|exception|ignore|skip)\]' "$run/$variant.all" | sed -E 's/ \([0-9]+ ms\)//' \
      >"$run/$variant" || true
    tail -n 1 "$run/$variant.all" >>"$run/$variant"
    grep -qE '^\[(err|exception)|^exit [^0]' "$run/$variant" || return 0
  done
}

suite_redis() {
  command -v tclsh >/dev/null || { echo "skipped: redis: its test suite is written in tcl"; return 77; }
  source_of redis 5 || return $?
  local unit
  make -s -C "$real/suites/redis-native/src" -j "$jobs" CC="${native[0]}" MALLOC=libc BUILD_TLS=no \
    USE_SYSTEMD=no >"$run/log" 2>&1 || build_failed "$run/log" redis
  make -s -C "$real/suites/redis-hosted/src" -j "$jobs" CC="$patchc cc" MALLOC=libc BUILD_TLS=no \
    USE_SYSTEMD=no >"$run/log" 2>&1 || build_failed "$run/log" redis
  for unit in "${redis_units[@]}"; do
    run_redis_unit native "$unit"
    run_redis_unit hosted "$unit"
    same "redis:$unit ($(grep -c '^.ok' "$run/native") tests)" "$run/native" "$run/hosted"
  done
}

mkdir -p "$real/suites"
for suite in "${suites[@]}"; do
  code=0
  before=$passed
  "suite_$suite" || code=$?
  [ "$code" -ne 77 ] || skipped=$((skipped + 1))
  [ "$code" -eq 0 ] || [ "$code" -eq 77 ] || fail "$suite"
  echo "$suite: $((passed - before)) as natively"
done
echo "suites: $passed passed, $failed failed, $skipped suites skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
