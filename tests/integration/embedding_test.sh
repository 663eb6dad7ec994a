# mend::Runtime in hosts of every kind: built by clang and by g++, a library that is opened by dlopen; a
# runtime after another in one process; hosted code called from 100 of the host's threads at once.
. "$(dirname "$0")/lib.sh"

[ ! -e "$build/lib/libmend-asan.so" ] ||
  { echo "skipped: AddressSanitizer has to be there when the process starts, not to come by dlopen"; exit 77; }

sources=$source_root/tests/integration/embedding
cp "$sources/hosted.cc" "$work/hosted.cc"
sed 's/value \* 10/value * 1000/' "$work/hosted.cc" >"$work/fixed.cc"
(cd "$work" && { diff -u hosted.cc fixed.cc >fix.patch || true; })
read -r -a flags <<<"-std=c++20 -O2 -pthread -I$source_root $(pkg-config --cflags absl_status absl_statusor absl_time)"
read -r -a libraries <<<"-L$build/lib -lmend -Wl,-rpath,$build/lib $(pkg-config --libs absl_status absl_statusor absl_time)"

# one_after_the_other: with the host at descriptors 7 and 8.
one_after_the_other() {
  local round
  for round in 1 2 3; do
    ask create OK
    ask create "the process has a runtime already"
    # Nothing of those before it is there.
    say "step step"
    hear
    expect_match "a function that is not loaded yet" "step" "$answer"
    ask "load $work/hosted.cc" OK
    ask "step step" 10
    ask "step step" 20
    ask "fork step" 30
    ask "give 7" 7
    expect_code 0 "$patchc" build -o "$work/fix.mendpatch" --base "$hosted_pid" --name fix --diff "$work/fix.patch"
    ask "apply $work/fix.mendpatch" fix
    ask "step step" $((3000))
    ask "fork step" $((4000 % 256))
    ask "keep step" OK
    ask "keep per_thread" OK
    ask "end it" ended
  done
  # What they hosted is still there, as it was, each with variables of its own.
  for round in 0 2 4; do
    ask "kept $round" 3001
    # Three steps in this thread, and the one just now.
    ask "kept $((round + 1))" 104
  done
}

# from_threads: 100 threads of the host are in hosted code, all at once; and patches reach them.
from_threads() {
  ask create OK
  ask "load $work/hosted.cc" OK
  ask "threads 100" 100
  expect_code 0 "$patchc" apply --diff "$work/fix.patch" --name fix --to "$hosted_pid"
  # `here` counts on: they need not meet any more.
  ask "threads 100" 10000
}

check_host() {
  start "$@"
  one_after_the_other
  from_threads
  say "end it"
  hear
  # The end of all, each once. Standard output is the host's.
  exec 7>&-
  wait "$hosted_pid" || fail "the host ended with $?"
  local destroyed=0
  while read -r -t 1 -u 8 answer; do [ "$answer" = destroyed ] && destroyed=$((destroyed + 1)); done
  expect "destructors of the four that were hosted" 4 "$destroyed"
  exec 8>&-
}

for compiler in clang++-22 g++; do
  command -v "$compiler" >/dev/null || { echo "skipped: no $compiler"; continue; }
  "$compiler" "${flags[@]}" "$sources/host.cc" "$build/lib/mend/static_pool.o" -o "$work/host" "${libraries[@]}"
  check_host "$work/host"

  "$compiler" "${flags[@]}" -DEMBEDDED_IN_LIBRARY -shared -fPIC "$sources/host.cc" -o "$work/libhost.so" \
    "${libraries[@]}"
  # g++'s has the C++ library and libgcc itself, and they come before libmend.so.
  "$compiler" -x c -O2 "$sources/opener.c" -o "$work/opener"
  [ "$compiler" = g++ ] || clang-22 -O2 "$sources/opener.c" -o "$work/opener"
  check_host "$work/opener" "$work/libhost.so"
done

# perf's map, of two runtimes: what the first one hosted stays in it. Not all of one process may differ.
start "$work/host"
map=/tmp/perf-$hosted_pid.map
remove_map() {
  local code=$?
  rm -f "$map"
  return "$code"
}
trap 'remove_map; on_exit' EXIT
ask "create perf" OK
ask "load $work/hosted.cc" OK
ask "step step" 10
first=$(grep ' scale$' "$map") || fail "no scale in the map: $(cat "$map")"
expect_code 0 "$patchc" apply --diff "$work/fix.patch" --name fix --to "$hosted_pid"
expect_match "the patched version" '^[0-9a-f]+ [0-9a-f]+ scale@fix$' "$(cat "$map")"
ask "end it" ended
say "create it"
hear
expect_match "a runtime without perf after one with it" "debugger and perf must be as for the runtime" "$answer"
ask "create perf" OK
ask "load $work/hosted.cc" OK
ask "step step" 10
expect "functions of that name in the map" 2 "$(grep -c ' scale$' "$map")"
expect_match "the first one's" "^$first\$" "$(cat "$map")"
finish

# There is little room for thread-locals in a library that came late, which is said.
cat >"$work/much.c" <<'C'
static _Thread_local char block[600];
int step(int n) { return block[n]; }
C
start "$work/opener" "$work/libhost.so"
ask create OK
say "load $work/much.c"
hear
expect_match "thread-locals that are too large" "hosted thread-locals exceed 512 bytes" "$answer"
ask "load $work/hosted.cc" OK
ask "step step" 10
finish
# An executable that has the block has room for them.
clang-22 -O2 "$sources/opener.c" "$build/lib/mend/static_pool.o" -Wl,--export-dynamic-symbol=__mend_static_pool \
  -o "$work/opener"
start "$work/opener" "$work/libhost.so"
ask create OK
ask "load $work/much.c" OK
ask "step step" 0
finish
echo ok
