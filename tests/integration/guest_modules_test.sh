# The hosted program opens, uses and closes guest modules by itself; patches reach them before anything
# of them runs; ordinary libraries are the native loader's.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh" "$1"

sources=$source_root/tests/integration/guest
"$patchc" cc -O2 -rdynamic "$sources/opener.c" -o "$work/opener"
"$patchc" c++ -O2 -shared "$sources/plugin.cc" -o "$work/plugin.so"
"$patchc" build -o "$work/plugin_patch.mendpatch" --explicit "$sources/plugin_patch.c" > "$work/build.log"

# For the outside it is a library like others.
expect_match "what it exports" " T plugin_call$" "$(nm -D "$work/plugin.so")"
expect_match "what it is" "guest module of 1 objects" "$("$patchc" inspect "$work/plugin.so")"
expect_code 1 "$patchc" cc "$sources/opener.c" "$work/plugin.so" -o "$work/linked"
expect_match "a link against it" "plugin.so: has a MEND_MODULE_INIT" "$output"

start "$work/opener"
hear
expect "first line" ready "$answer"
target=$hosted_pid
for round in 1 2; do
  ask "open $work/plugin.so" opened
  # 100 for the exception, 3, 7 of the program, 40 of the thread-local, 1 of cos.
  ask "call plugin_call" 151
  ask "call plugin_call" 152
  ask "call nothing_of_it" "$work/plugin.so: undefined symbol: nothing_of_it"
  # Of a library that the module needs.
  ask "call abs" 3
  ask "close it" closed
done
expect "what the module logged" \
  "$(for round in 1 2; do printf 'plugin: %s\n' constructed init exit destroyed; done)" \
  "$(cat "$work/events.log")"
ask "global only_by_name" 41
ask "open libm.so.6" opened
ask "close it" closed
ask "open $work/missing.so" "$work/missing.so: cannot open shared object file: No such file or directory"

expect_code 3 "$mend" load "$target" "$sources/opener.c"
expect_match "what is no module" "^ENOEXEC: Exec format error .*not a library made by patchc cc -shared" "$output"
expect_code 3 "$mend" load "$target" "$work"
expect_match "a directory" "cannot read '$work': Is a directory" "$output"

# The operator's and the program's loads are one module.
expect_code 0 "$mend" load "$target" "$work/plugin.so"
ask "open $work/plugin.so" opened
expect_code 3 "$mend" unload "$target" plugin
expect_match "unload of a module in use" "EBUSY" "$output"
ask "close it" closed
expect_code 0 "$mend" unload "$target" plugin

# A patch that is there before the module reaches it before its first call; it can refuse it.
expect_code 0 "$patchc" apply "$work/plugin_patch.mendpatch" --to "$target"
ask "open $work/plugin.so" opened
ask "call plugin_call" 3148
ask "close it" closed
expect_code 0 "$mend" set "$target" module/plugin_patch/parameters/answer -19
ask "open $work/plugin.so" "ENODEV: No such device (pre-patch callback failed for object 'plugin')"
expect_code 0 "$mend" set "$target" module/plugin_patch/parameters/answer 0
ask "open $work/plugin.so" opened
expect_code 0 "$mend" disable "$target" plugin_patch
ask "call plugin_call" 151
ask "close it" closed

# The same in mid-transition: main is held, and never returns.
"$patchc" build -o "$work/held.mendpatch" --name held --hold main --explicit "$sources/plugin_patch.c" > "$work/build.log"
expect_code 5 "$patchc" apply "$work/held.mendpatch" --to "$target" --no-wait
ask "open $work/plugin.so" opened
ask "call plugin_call" 151
ask "close it" closed
expect_code 0 "$mend" set "$target" module/held/parameters/answer -19
ask "open $work/plugin.so" "ENODEV: No such device (pre-patch callback failed for object 'plugin')"
expect_code 0 "$mend" set "$target" module/held/parameters/answer 0
ask "open $work/plugin.so" opened
expect "still in transition" 1 "$("$mend" get "$target" livepatch/held/transition)"
expect "applied in it" 1 "$("$mend" get "$target" livepatch/held/plugin/patched)"
expect_code 0 "$mend" disable "$target" held
ask "call plugin_call" 151
expect "what came and went" $'applying\nreverting\napplying\napplying' \
  "$(sed -nE "s/^livepatch: (applying|reverting) patch 'held' .*/\1/p" "$work/events.log")"

# A livepatch callback cannot close it: it stays open.
cat >"$work/closing.c" <<'C'
#include <dlfcn.h>
#include <mend/livepatch.h>
extern void* handle;
static int pre_patch(struct mend_object* object) {
  (void)object;
  int closed = dlclose(handle);
  mend_log("dlclose in a callback: %d, %s", closed, dlerror());
  return 0;
}
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(NULL, NULL, pre_patch, NULL, NULL, NULL), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, NULL, true};
MEND_LIVEPATCH(patch);
C
"$patchc" build -o "$work/closing.mendpatch" --explicit "$work/closing.c" > "$work/build.log"
expect_code 0 "$patchc" apply "$work/closing.mendpatch" --to "$target"
expect_match "what it was told" "^dlclose in a callback: -1, EDEADLK: " "$(cat "$work/events.log")"
ask "call plugin_call" 152
ask "close it" closed
expect_code 0 "$mend" disable "$target" closing

# A patch that refers to what only the module has: statics by name and position, bound each time it comes.
cat >"$work/late_guest.c" <<'C'
static int level = 500;
__attribute__((noinline)) static int hidden(int x) { return x + level; }
__attribute__((noinline)) int late_call(int x) { return hidden(x); }
C
cat >"$work/late_patch.c" <<'C'
#include <mend/livepatch.h>
extern int level MEND_IN_OBJECT("late_guest", "level", 0);
extern int hidden(int) MEND_IN_OBJECT("late_guest", "hidden", 1);
static int late_call(int x) { level += 7; return hidden(x) * 10; }
static const struct mend_func funcs[] = {MEND_FUNC("late_call", late_call), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT("late_guest", funcs, NULL, NULL, NULL, NULL), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, NULL, true};
MEND_LIVEPATCH(patch);
C
"$patchc" cc -O2 -shared -fPIC "$work/late_guest.c" -o "$work/late_guest.so"
"$patchc" build -o "$work/late_patch.mendpatch" --explicit "$work/late_patch.c" > "$work/build.log"
expect_code 0 "$patchc" apply "$work/late_patch.mendpatch" --to "$target"
for round in 1 2; do
  ask "open $work/late_guest.so" opened
  ask "call late_call" 5100
  ask "call late_call" 5170
  ask "close it" closed
done
expect_code 0 "$mend" disable "$target" late_patch
ask "open $work/late_guest.so" opened
ask "call late_call" 503
expect_code 0 "$mend" enable "$target" late_patch
ask "call late_call" 5100
sed -i 's/"level"/"lever"/' "$work/late_patch.c"
"$patchc" build -o "$work/wrong.mendpatch" --explicit "$work/late_patch.c" > "$work/build.log"
expect_code 3 "$patchc" apply "$work/wrong.mendpatch" --to "$target"
expect_match "a symbol that is not there" "EINVAL: .*symbol 'lever' not found in symbol table" "$output"
ask "call late_call" 5170
expect_code 0 "$mend" disable "$target" late_patch
ask "close it" closed

# A program opens any file, also under a name that no module can have: varnish puts a hash of 64 digits
# behind the name. Of two that are cut to the same, the second has a number.
long=$work/plugin.$(printf '%064d' 0)
cp "$work/plugin.so" "${long}1,~"
cp "$work/late_guest.so" "${long}2,~"
ask "open ${long}1,~" opened
ask "call plugin_call" 151
ask "open ${long}2,~" opened
ask "call late_call" 503
name=plugin.$(printf '%044d' 0)
expect "their names" "$name $name-2" \
  "$(echo $("$mend" ls "$target" module | sed 's,/$,,' | grep "^plugin\."))"
finish

# A library of the program's, made by any compiler, opens guest modules for it, as apr does for httpd.
# It still finds what it asks the native loader for: of the libraries behind it, and of one that it opens.
cat > "$work/loader.c" <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
void* my_dlopen(const char* file, int flags) { return dlopen(file, flags); }
void* my_dlsym(void* handle, const char* name) { return dlsym(handle, name); }
int my_dlclose(void* handle) { return dlclose(handle); }
char* my_dlerror(void) { return dlerror(); }
int abs(int value) { return ((int (*)(int))dlsym(RTLD_NEXT, "abs"))(value) + 1000; }
C
clang-22 -O2 -fPIC -fno-builtin -shared "$work/loader.c" -o "$work/libloader.so" -Wl,-z,now -Wl,-z,relro
"$patchc" cc -O2 -fno-builtin -Ddlopen=my_dlopen -Ddlsym=my_dlsym -Ddlclose=my_dlclose -Ddlerror=my_dlerror \
  "$sources/opener.c" -o "$work/by_library" -L"$work" -lloader -Wl,-rpath,"$work"
start "$work/by_library"
hear
target=$hosted_pid
for round in 1 2; do
  ask "open $work/plugin.so" opened
  ask "call plugin_call" 151
  ask "call nothing_of_it" "$work/plugin.so: undefined symbol: nothing_of_it"
  ask "close it" closed
done
ask "open $work/missing.so" "$work/missing.so: cannot open shared object file: No such file or directory"
ask "open libm.so.6" opened
ask "close it" closed
ask "open $work/libloader.so" opened
ask "call abs" 1003
expect_code 0 "$patchc" apply "$work/plugin_patch.mendpatch" --to "$target"
ask "open $work/plugin.so" opened
ask "call plugin_call" 3148
finish

# The linker's symbols of an executable's layout are a program's, not a module's.
echo 'extern char end; void* place(void) { return &end; }' >"$work/layout.c"
cat >"$work/opens_layout.c" <<'CODE'
#include <dlfcn.h>
#include <stdio.h>
int main(void) { puts(dlopen("./layout.so", RTLD_NOW) == NULL ? dlerror() : "opened"); }
CODE
"$patchc" cc -shared "$work/layout.c" -o "$work/layout.so"
"$patchc" cc "$work/opens_layout.c" -o "$work/opens_layout"
output=$(cd "$work" && MEND_OPTIONS=--no-socket ./opens_layout)
expect_match "a module with a symbol of a layout" "undefined symbol: end .*a place in the layout of an executable" "$output"
