# Native plugins that refer to functions and data of the program that opens them: as natively, and what
# they call is patched with the program. So are callbacks that a library of the program's calls by name.
. "$(dirname "$0")/lib.sh"
sources=$source_root/tests/integration/plugins
cd "$work"
cp "$sources"/* .

clang++-22 -std=c++20 -O2 -fPIC -shared plugin.cc -o plugin.so
clang++-22 -std=c++20 -O2 -rdynamic host.cc -o native
clang++-22 -std=c++20 -O2 host.cc -o native_closed
"$patchc" c++ -std=c++20 -O2 -rdynamic host.cc -o hosted
"$patchc" c++ -std=c++20 -O2 host.cc -o hosted_closed

# outcome PROGRAM: what it answers to everything that needs no patch.
outcome() {
  MEND_OPTIONS=--no-socket "./$1" <<LINES 2>&1
open $work/plugin.so
call plugin_price
call plugin_is_own
call plugin_count
call plugin_shapes
call plugin_wait
a line
call nothing_of_it
next host_price
next puts
LINES
}
wanted=$(outcome native)
expect_match "what plugins do natively" "^101$" "$wanted"
expect "a plugin of an exporting program" "$wanted" "$(outcome hosted)"
wanted=$(outcome native_closed)
expect_match "a program that exports nothing, natively" "undefined symbol: " "$wanted"
# Which of the symbols the loader misses first is its own affair.
expect "a program that exports nothing" "$(sed 's/undefined symbol: .*/undefined symbol/' <<<"$wanted")" \
  "$(outcome hosted_closed | sed 's/undefined symbol: .*/undefined symbol/')"

# What a plugin calls is the newest version; a thread that waits below a plugin is switched there.
sed 's/return amount + 1;/return amount + 2;/' host.cc >edited.cc
diff -u host.cc edited.cc >fix.diff || true
"$patchc" build -o fix.mendpatch --name fix --base hosted --diff fix.diff >build.log
start ./hosted
hear
ask "open $work/plugin.so" opened
ask "call plugin_price" 101
ask "call plugin_wait" waiting
expect_code 0 "$patchc" apply fix.mendpatch --to "$hosted_pid"
# 12 characters, and the newest price of nothing.
ask "twelve chars" 14
ask "call plugin_price" 102
ask "call plugin_is_own" 1
expect_code 0 "$mend" disable "$hosted_pid" fix
ask "call plugin_price" 101
finish

# A library that the program is linked with, and that calls back what every program must define.
cat >callback.c <<'CODE'
int on_event(int);
int fire(int n) { return on_event(n); }
CODE
cat >events.c <<'CODE'
#include <stdio.h>
int fire(int);
int on_event(int n) { return n * 2; }
int main(void) { printf("%d\n", fire(21)); return 0; }
CODE
clang-22 -O2 -fPIC -shared callback.c -o libcallback.so -Wl,-z,lazy -Wl,-soname,libcallback.so
"$patchc" cc -O2 events.c -o events -L. -lcallback -Wl,-rpath,"$work" -Wl,-z,lazy
expect "a callback by name" 42 "$(MEND_OPTIONS=--no-socket ./events)"

# Where the system gives no memory for it, the program runs, and the log says what is missing.
start env MEND_OPTIONS="--log $work/events.log --failpoint host/no_memory_file" ./hosted
hear
say "open $work/plugin.so"
hear
expect_match "a plugin that cannot be had" "^undefined symbol: " "$answer"
expect_match "the reason" "libraries do not see the program's symbols: memfd_create: Too many open files" \
  "$(cat events.log)"
ask "call plugin_price" "no plugin_price"
finish
