# Guest modules opened with RTLD_GLOBAL serve those that come later, as natively; what a module was linked with
# in this way stays; patches reach both, and new code of one may call what the other exports, also what the same
# patch adds to it.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >base.c <<'SOURCE'
int base_count = 40;
__attribute__((noinline)) int base_add(int n) { return base_count + n; }
__attribute__((noinline)) int base_double(int n) { return 2 * n; }
__attribute__((visibility("hidden"))) int base_secret(void) { return base_count; }
SOURCE
cat >user.c <<'SOURCE'
extern int base_count;
int base_add(int);
int base_double(int);
int base_unknown(void) __attribute__((weak));
int user_call(void) {
  ++base_count;
  return base_add(1) + (base_unknown ? 1000 : 0);
}
SOURCE
echo 'int base_secret(void); int curious_call(void) { return base_secret(); }' >curious.c
cat >main.c <<'SOURCE'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
static void *opened[8];
static int count;
int main(void) {
  char line[256], name[200];
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    if (sscanf(line, "global %199s", name) == 1 || sscanf(line, "local %199s", name) == 1) {
      void *library = dlopen(name, RTLD_NOW | (line[0] == 'g' ? RTLD_GLOBAL : RTLD_LOCAL));
      puts(library ? "opened" : strstr(dlerror(), "undefined symbol") ? "undefined symbol" : "other");
      if (library) opened[count++] = library;
    } else if (sscanf(line, "call %199s", name) == 1) {
      int (*function)(void) = NULL;
      for (int i = 0; i < count && !function; ++i) {
        if (opened[i]) function = (int (*)(void))dlsym(opened[i], name);
      }
      if (function) printf("%d\n", function());
      else puts("nothing");
    } else if (strcmp(line, "close first\n") == 0) {
      puts(dlclose(opened[0]) == 0 ? "closed" : "open");
      opened[0] = NULL;
    }
    fflush(stdout);
  }
}
SOURCE
mkdir native
for name in base user curious; do
  clang-22 -O2 -fPIC -shared $name.c -o native/$name.so
  "$patchc" cc -O2 -shared $name.c -o $name.so
done
clang-22 -O2 main.c -o native/main
"$patchc" cc -O2 main.c -o main

# outcome FOLDER: what the program there makes of it all, without a patch.
outcome() {
  (cd "$1" && MEND_OPTIONS=--no-socket ./main) <<'LINES'
local ./user.so
local ./base.so
local ./user.so
global ./base.so
local ./curious.so
local ./user.so
call user_call
close first
call user_call
LINES
}
wanted=$(outcome native)
expect_match "what modules do natively" "^42$" "$wanted"
expect "what guest modules do" "$wanted" "$(outcome .)"

sed 's/base_count + n/base_count + n + 100/' base.c >base2.c
sed 's/return base_add(1)/return base_double(base_add(1))/' user.c >user2.c
for name in base user; do
  diff -u --label a/$name.c --label b/$name.c $name.c ${name}2.c >$name.diff || true
done
start ./main
hear
ask "global ./base.so" opened
expect_code 0 "$mend" unload "$hosted_pid" nothing_of_the_kind
ask "local ./user.so" opened
ask "call user_call" 42
expect_code 0 "$patchc" apply --diff base.diff --to "$hosted_pid"
ask "call user_call" 143
# Calls what it did not call before.
expect_code 0 "$patchc" apply --diff user.diff --to "$hosted_pid"
ask "call user_call" 88
expect_code 0 "$mend" disable "$hosted_pid" user
ask "call user_call" 45
ask "close first" closed
ask "call user_call" 46
expect_code 3 "$mend" unload "$hosted_pid" base
expect_match "what another module uses" "EBUSY: .*another module uses it" "$output"
expect "its references" 1 "$("$mend" get "$hosted_pid" module/base/refcnt)"
# A patch knows it still.
expect_code 0 "$patchc" apply --diff base.diff --to "$hosted_pid"
ask "call user_call" 147
finish

# One patch with a new function and a new variable of one module, which another one uses that was opened before it.
echo 'int alone_call(void) { return 7; }' >alone.c
"$patchc" cc -O2 -shared alone.c -o alone.so
mkdir edited
cat >edited/alone.c <<'SOURCE'
extern int base_calls;
int base_new(int);
int alone_call(void) { return base_new(base_calls); }
SOURCE
cat base.c - >edited/base.c <<'SOURCE'
int base_calls = 5;
__attribute__((noinline)) int base_new(int n) { return n * base_add(++base_calls); }
SOURCE
for name in alone base; do
  diff -u --label a/$name.c --label b/$name.c $name.c edited/$name.c || true
done >both.diff
for base in local global; do
  start ./main
  hear
  ask "local ./alone.so" opened
  ask "$base ./base.so" opened
  if [ "$base" = local ]; then
    expect_code 3 "$patchc" apply --diff both.diff --to "$hosted_pid"
    expect_match "a module that is no other one's business" "MEND-E0140.*base_(new|calls)" "$output"
    ask "call alone_call" 7
  else
    expect_code 0 "$patchc" apply --diff both.diff --to "$hosted_pid"
    ask "call alone_call" 230    # 5 * (40 + 6)
    ask "call alone_call" 282    # 6 * (40 + 7)
    expect_code 3 "$mend" unload "$hosted_pid" base
    expect_match "what another module's patch uses" "EBUSY: .*another module uses it" "$output"
    expect_code 0 "$mend" disable "$hosted_pid" both
    ask "call alone_call" 7
    expect_code 0 "$mend" enable "$hosted_pid" both
    ask "call alone_call" 336    # 7 * (40 + 8)
  fi
  finish
done

# A module that was linked with another one, which the program was not (PostgreSQL's libpqwalreceiver with libpq): that
# one is opened first, found by the module's own run path, and stays.
cat >below.c <<'SOURCE'
#include <stdio.h>
int below_count = 11;
__attribute__((constructor)) static void first(void) { puts("below"); }
__attribute__((noinline)) int below_call(int n) { return n + below_count; }
SOURCE
cat >above.c <<'SOURCE'
#include <stdio.h>
int below_call(int);
__attribute__((constructor)) static void second(void) { puts("above"); }
int above_call(void) { return below_call(100); }
SOURCE
build_pair() {  # FOLDER COMPILER...
  local folder=$1
  shift
  mkdir -p "$folder/libs"
  "$@" -O2 -fPIC -shared below.c -Wl,-soname,libbelow.so.1 -o "$folder/libs/libbelow.so.1"
  ln -sf libbelow.so.1 "$folder/libs/libbelow.so"
  "$@" -O2 -fPIC -shared above.c -L"$folder/libs" -lbelow -Wl,-rpath,'$ORIGIN/libs' -o "$folder/above.so"
}
build_pair native clang-22
build_pair . "$patchc" cc
needing() {
  (cd "$1" && MEND_OPTIONS=--no-socket ./main) <<'LINES'
local ./above.so
local ./above.so
call above_call
close first
call above_call
LINES
}
wanted=$(needing native)
expect_match "what a library that is needed does natively" "^111$" "$wanted"
expect "what a guest module that is needed does" "$wanted" "$(needing .)"

sed 's/n + below_count/n + below_count + 1000/' below.c >below2.c
diff -u --label a/below.c --label b/below.c below.c below2.c >below.diff || true
start ./main
hear
ask "local ./above.so" below
hear
hear
ask "call above_call" 111
expect_code 0 "$patchc" apply --diff below.diff --to "$hosted_pid"
ask "call above_call" 1111
expect_code 3 "$mend" unload "$hosted_pid" libbelow
expect_code 0 "$mend" disable "$hosted_pid" below
ask "call above_call" 111
finish
