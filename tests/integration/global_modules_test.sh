# Guest modules that are opened with RTLD_GLOBAL: native libraries that are opened later find what they
# export, as natively, and keep them loaded as long as they need them.
. "$(dirname "$0")/lib.sh"
cd "$work"

cat >module.cc <<'CODE'
#include <cstdio>
extern "C" {
int module_level = 40;
int module_price(int amount) { return amount + module_level; }
int module_now(void) { return module_level; }
}
struct Widget {
  virtual ~Widget() = default;
  virtual int Size() const;
};
int Widget::Size() const { return 3; }
static struct Life {
  Life() { std::puts("module begins"); }
  ~Life() { std::puts("module ends"); }
} life;
CODE
cat >plugin.cc <<'CODE'
extern "C" {
extern int module_level;
int module_price(int amount);
int plugin_price() { return module_price(2) + ++module_level; }
int plugin_is_price(int (*price)(int)) { return price == module_price; }
}
struct Widget {
  virtual ~Widget() = default;
  virtual int Size() const;
};
struct Large : Widget {
  int Size() const override { return Widget::Size() * 100; }
};
extern "C" int plugin_size() {
  const Large large;
  const Widget& widget = large;
  return widget.Size();
}
CODE
cat >opener.c <<'CODE'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void* handles[10];

static int call(void* handle, const char* name) {
  int (*function)(void) = (int (*)(void))dlsym(handle, name);
  return function != NULL ? function() : -1;
}

int main(void) {
  char word[16], argument[256];
  int number;
  puts("ready");
  fflush(stdout);
  while (scanf("%15s %d %255s", word, &number, argument) == 3) {
    if (strcmp(word, "global") == 0 || strcmp(word, "local") == 0) {
      int flags = strcmp(word, "global") == 0 ? RTLD_NOW | RTLD_GLOBAL : RTLD_NOW;
      handles[number] = dlopen(argument, flags);
      const char* error = handles[number] != NULL ? "opened" : dlerror();
      const char* symbol = strstr(error, "undefined symbol");
      printf("%s\n", symbol != NULL ? "undefined symbol" : error);
    } else if (strcmp(word, "call") == 0) {
      printf("%d\n", call(handles[number], argument));
    } else if (strcmp(word, "compare") == 0) {
      int (*same)(void*) = (int (*)(void*))dlsym(handles[number], "plugin_is_price");
      printf("%d\n", same(dlsym(RTLD_DEFAULT, argument)));
    } else if (strcmp(word, "close") == 0) {
      printf("%d\n", dlclose(handles[number]));
    }
    fflush(stdout);
  }
  puts("end");
  return 0;
}
CODE
clang++-22 -std=c++20 -O2 -fPIC -shared plugin.cc -o plugin.so
mkdir native hosted
clang-22 -O2 opener.c -o native/opener
clang++-22 -std=c++20 -O2 -fPIC -shared module.cc -o native/module.so
"$patchc" cc -O2 opener.c -o hosted/opener
"$patchc" c++ -std=c++20 -O2 -fPIC -shared module.cc -o hosted/module.so

# session LINES: what it answers natively, and hosted the same.
session() {
  local kind
  for kind in native hosted; do
    sed "s#MODULE#$work/$kind/module.so#; s#PLUGIN#$work/plugin.so#" <<<"$1" |
      MEND_OPTIONS=--no-socket "./$kind/opener" >"$kind/outcome" 2>&1 || echo "exit $?" >>"$kind/outcome"
  done
  output=$(cat native/outcome)
  expect "a session" "$output" "$(cat hosted/outcome)"
}

session $'global 0 MODULE\nlocal 1 PLUGIN\ncall 1 plugin_price\ncall 1 plugin_price\ncompare 1 module_price\ncall 1 plugin_size'
expect_match "what the plugin finds" "^300$" "$output"
# Opened for itself, nobody finds it; opened once more, for all.
session $'local 0 MODULE\nlocal 1 PLUGIN\nglobal 0 MODULE\nlocal 1 PLUGIN\ncall 1 plugin_price'
expect_match "a module for itself" "^undefined symbol$" "$output"
# Closed and gone, it is not found any more.
session $'global 0 MODULE\nclose 0 it\nlocal 1 PLUGIN'
expect_match "a module that has gone" "^undefined symbol$" "$output"
# Closed, but needed: it ends with the plugin. Then it can come again.
session $'global 0 MODULE\nlocal 1 PLUGIN\nclose 0 it\ncall 1 plugin_price\nclose 1 it\nlocal 1 PLUGIN\nglobal 0 MODULE\nlocal 1 PLUGIN\ncall 1 plugin_price\nclose 1 it\nclose 0 it'
expect "endings" 2 "$(grep -c '^module ends$' <<<"$output")"
# Needed, and opened anew while it is: one and the same.
session $'global 0 MODULE\nlocal 1 PLUGIN\ncall 1 plugin_price\nclose 0 it\nglobal 0 MODULE\ncall 1 plugin_price\nclose 1 it\ncall 0 module_now\nclose 0 it\nlocal 1 PLUGIN'
expect "beginnings" 1 "$(grep -c '^module begins$' <<<"$output")"

# What the plugin calls is patched with the module.
sed 's/amount + module_level/amount + module_level + 1000/' module.cc >edited.cc
diff -u module.cc edited.cc >fix.diff || true
start ./hosted/opener
hear
ask "global 0 $work/hosted/module.so" "module begins"
hear
ask "local 1 $work/plugin.so" opened
ask "call 1 plugin_price" 83
expect_code 0 "$patchc" apply --diff fix.diff --name fix --to "$hosted_pid"
ask "call 1 plugin_price" 1085
# The operator cannot unload what the plugin needs, after the program has closed it.
ask "close 0 it" 0
expect_code 3 "$mend" unload "$hosted_pid" module
expect_match "a module that is needed" "EBUSY" "$output"
ask "call 1 plugin_price" 1087
say "close 1 it"
hear
expect "the last need of it" "module ends" "$answer"
hear
expect "closed" 0 "$answer"
finish

# Where the system gives no memory for it, the module is there, and the log says what is missing.
start env MEND_OPTIONS="--log $work/events.log --failpoint host/no_memory_file" ./hosted/opener
hear
ask "global 0 $work/hosted/module.so" "module begins"
hear
ask "local 1 $work/plugin.so" "undefined symbol"
expect_match "the reason" "libraries do not see the symbols of module 'module': memfd_create: Too many open files" \
  "$(cat events.log)"
finish

# A module whose init fails after a constructor of it has opened who refers to it stays in memory, as long as they are
# there: a native library, and another guest module.
cat >shaky.c <<'CODE'
#include <dlfcn.h>
#include <errno.h>
#include <mend/livepatch.h>
#include <stdio.h>
#include <stdlib.h>
int shaky_level = 5;
int shaky_call(void) { return shaky_level++; }
__attribute__((constructor)) static void begin(void) {
  puts(dlopen(getenv("OPENS"), RTLD_NOW) != NULL ? "opened" : dlerror());
}
static int start(void) { return -EIO; }
MEND_MODULE_INIT(start);
CODE
echo 'int shaky_call(void); int leaning_call(void) { return shaky_call() + 1; }' >leaning.c
echo 'int shaky_call(void); int resting_call(void) { return shaky_call() + 10; }' >resting.c
clang-22 -O2 -fPIC -shared leaning.c -o leaning.so
"$patchc" cc -O2 -shared resting.c -o resting.so
"$patchc" cc -O2 -shared shaky.c -o shaky.so
for user in leaning resting; do
  OPENS=./$user.so start ./hosted/opener
  hear
  ask "global 0 ./shaky.so" opened
  hear
  expect_match "an init that fails" "^EIO: .*its init failed" "$answer"
  ask "local 1 ./$user.so" opened
  ask "call 1 ${user}_call" "$([ $user = leaning ] && echo 6 || echo 15)"
  say "global 0 ./shaky.so"
  hear
  expect_match "what is left of it" "^EBUSY: .*a library refers to it" "$answer"
  ask "close 1 x" 0
  ask "close 1 x" 0
  if [ $user = leaning ]; then
    ask "global 0 ./shaky.so" opened
    hear
    expect_match "the next try" "^EIO: .*its init failed" "$answer"
  fi
  finish
done
