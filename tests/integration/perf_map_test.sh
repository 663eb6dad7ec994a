# mend run --perf: the map of generated code that perf reads, /tmp/perf-PID.map. It names hosted
# functions where they are, and versions apart; a forked child has one of its own; and a file that
# somebody has put in its place is neither followed nor written to.
. "$(dirname "$0")/lib.sh"

maps=()
remove_maps() {
  local code=$?
  rm -rf ${maps[@]+"${maps[@]}"}
  return "$code"
}
trap 'remove_maps; on_exit' EXIT

cat >"$work/mapped.cc" <<'C'
#include <unistd.h>
#include <sys/wait.h>
#include <cstdio>
namespace shop {
__attribute__((noinline)) int price(int items) { return items * 10; }
}
extern "C" __attribute__((noinline)) int plain(int n) { return shop::price(n) + 1; }
int main() {
  char text[64];
  setvbuf(stdout, nullptr, _IOLBF, 0);
  while (fgets(text, sizeof text, stdin)) {
    if (text[0] == 'p') printf("%d\n", plain(1));
    if (text[0] == 'a') printf("%lx\n", reinterpret_cast<unsigned long>(&plain));
    if (text[0] == 'f') {
      const int child = fork();
      if (child == 0) _exit(plain(2) == 21 ? 0 : 1);
      int status = 0;
      waitpid(child, &status, 0);
      printf("%d %d\n", child, status);
    }
  }
}
C
sed 's/items \* 10/items * 20/' "$work/mapped.cc" >"$work/fixed.cc"
(cd "$work" && "$patchc" c++ -O1 mapped.cc -o mapped && { diff -u mapped.cc fixed.cc >fix.patch || true; })

# start_mapped PREPARATION [PROGRAM ARGUMENT...]: the program with --perf; its process first runs
# PREPARATION, which finds the map's path in $map.
start_mapped() {
  local preparation=$1
  shift
  [ $# -gt 0 ] || set -- "$work/mapped"
  launch bash -c 'map=/tmp/perf-$$.map; '"$preparation"'; log=$1/events.log; shift
    exec "$0" run --perf --log "$log" "$@"' \
    "$mend" "$work" "$@"
  map=/tmp/perf-$hosted_pid.map
  maps+=("$map")
}

# --- names, addresses, versions ---
start_mapped :
ask p 11
say a
hear
expect "who may read the map" "600 $(id -u)" "$(stat -c '%a %u' "$map")"
expect_match "an address and a name" "^$answer [0-9a-f]+ plain\$" "$(cat "$map")"
expect_match "a C++ function" '^[0-9a-f]+ [0-9a-f]+ shop::price\(int\)$' "$(cat "$map")"
expect_code 0 "$patchc" apply --diff "$work/fix.patch" --name fix --to "$hosted_pid"
ask p 21
expect_match "the patched version" '^[0-9a-f]+ [0-9a-f]+ shop::price\(int\)@fix$' "$(cat "$map")"
expect_match "the original one" '^[0-9a-f]+ [0-9a-f]+ shop::price\(int\)$' "$(cat "$map")"
grep -q 'plain@fix' "$map" && fail "a function is listed that the patch did not bring"
grep -vqE '^[0-9a-f]+ [0-9a-f]+ .' "$map" && fail "a line is none: $(cat "$map")"

# --- a child's map is its own ---
expect_code 0 "$mend" disable "$hosted_pid" fix
say f
hear
read -r child status <<<"$answer"
maps+=("/tmp/perf-$child.map")
expect "the child's exit" 0 "$status"
expect "the child's map" "$(cat "$map")" "$(cat "/tmp/perf-$child.map")"
finish

# --- a guest module ---
cat >"$work/part.c" <<'C'
__attribute__((noinline)) int part_price(int items) { return items * 10; }
int part(int items) { return part_price(items) + 1; }
C
cat >"$work/opener.c" <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char** argv) {
  char text[64];
  int (*part)(int) = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(text, sizeof text, stdin)) {
    if (part == NULL) part = (int (*)(int))dlsym(dlopen(argv[1], RTLD_NOW), "part");
    printf("%d\n", part(1));
  }
}
C
sed 's/items \* 10/items * 20/' "$work/part.c" >"$work/part_fixed.c"
(cd "$work" && "$patchc" cc -O1 opener.c -o opener && "$patchc" cc -O1 -shared part.c -o part.so &&
  { diff -u part.c part_fixed.c >part.patch || true; })
start_mapped : "$work/opener" "$work/part.so"
ask p 11
expect_match "the program" '^[0-9a-f]+ [0-9a-f]+ main$' "$(cat "$map")"
expect_match "the module" '^[0-9a-f]+ [0-9a-f]+ part_price$' "$(cat "$map")"
expect_code 0 "$patchc" apply --diff "$work/part.patch" --name fix --to "$hosted_pid"
ask p 21
expect_match "the module, patched" '^[0-9a-f]+ [0-9a-f]+ part_price@fix$' "$(cat "$map")"
expect_match "the module's original" '^[0-9a-f]+ [0-9a-f]+ part_price$' "$(cat "$map")"
finish

# --- what lies there already ---
echo untouched >"$work/victim"
export victim=$work/victim
start_mapped 'ln -s "$victim" "$map"'
ask p 11
expect "the file that a link led to" untouched "$(cat "$work/victim")"
[ -L "$map" ] && fail "the map is somebody's link"
expect_match "the map" ' plain$' "$(cat "$map")"
# A link that appears later costs the names, and nothing else.
rm "$map"
ln -s "$work/victim" "$map"
expect_code 0 "$patchc" apply --diff "$work/fix.patch" --name fix --to "$hosted_pid"
ask p 21
expect "the file that a later link led to" untouched "$(cat "$work/victim")"
rm "$map"
finish

start_mapped 'mkdir "$map"'
expect_end "the exit code of a program whose map cannot be written" 126
expect_match "why" "--perf: cannot write '$map'" "$(cat "$work/program.err")"

# --- nothing without the option ---
start "$work/mapped"
ask p 11
[ -e "/tmp/perf-$hosted_pid.map" ] && fail "there is a map that nobody asked for"
finish
echo ok
