# What <mend/livepatch.h> declares in the sources of a source patch: callbacks, states, what belongs to
# them, shadow variables, parameters. Each patch has its own, also where the text is the same as in the
# patch before; ordinary statics are one all along.
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh" "$1"
cd "$work"

cat >counter.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <dlfcn.h>
#include <string.h>
static int total = 100;
__attribute__((noinline)) int value(int n) { return n + 1; }
int main(int argc, char** argv) {
  char line[256];
  void* module = NULL;
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    total += 1;
    if (!strncmp(line, "open", 4)) module = dlopen(argv[1], RTLD_NOW);
    if (!strncmp(line, "close", 5)) dlclose(module);
    printf("%d\n", value(argc > 9 ? 9 : 0));
    fflush(stdout);
  }
  return 0;
}
END
cat >plugin.c <<'END'
int level = 5;
__attribute__((noinline)) int plugin_value(int n) { return n + level; }
int plugin_entry(int n) { return plugin_value(n); }
END
"$patchc" cc -O2 counter.c -ldl -o counter
"$patchc" cc -O2 -shared plugin.c -o plugin.so

# edited DIRECTORY BODY DECLARATIONS: counter.c with another value() and these lines behind it.
edited() {
  mkdir -p "$1"
  sed "s/return n + 1;/$2/" counter.c >"$1/counter.c"
  cat >>"$1/counter.c"
  sed -i '1i #include <mend/livepatch.h>' "$1/counter.c"
}
logged() {
  local all
  all=$(grep -vE '^(livepatch|mend): ' "$work/events.log" || true)
  expect "what was logged" "$1" "$(tail -n +$((seen + 1)) <<<"$all" | tr '\n' ';')"
  seen=$(grep -c . <<<"$all" || true)
}
seen=0

start ./counter "$work/plugin.so"
hear
ask go 1


# --- callbacks, states and statics, across cumulative patches of the same text ---

declarations='
static int applied;
static struct mend_state states[] = {{7, VERSION, NULL}, MEND_STATES_END};
static struct mend_patch patch;
static struct mend_state *const mine = &states[0];
static int pre(struct mend_object *object) {
  struct mend_state *own = mend_get_state(&patch, 7), *older = mend_get_prev_state(7);
  mend_log("pre %s %u own %d data %d older %d data %d", mend_object_name(object) ? "?" : "program",
           own->version, own == mine && own == states, own->data != NULL, older != NULL && older != own,
           older != NULL && older->data != NULL);
  if (!older && !(own->data = malloc(16))) return -12;
  return 0;
}
static void post(struct mend_object *object) {
  struct mend_state *older = mend_get_prev_state(7);
  (void)object;
  if (older) states[0].data = older->data;
  applied += 1;
  mend_log("post %u applied %d total %d", mine->version, applied, total >= 100);
}
static void unpre(struct mend_object *object) {
  (void)object;
  mend_log("unpre %u data %d", mine->version, mine->data != NULL);
}
static void unpost(struct mend_object *object) {
  (void)object;
  if (!mend_get_prev_state(7)) free(states[0].data);
  mend_log("unpost %u", mine->version);
}
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(NULL, NULL, pre, post, unpre, unpost), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, states, true};
MEND_LIVEPATCH(patch);'
edited one 'return n + 2;' <<<"${declarations/VERSION/1}"
edited two 'return n + 3;' <<<"${declarations/VERSION/1}"
edited three 'return n + 4;' <<<"${declarations/VERSION/2}"

expect_code 0 "$patchc" apply one/counter.c --to "$hosted_pid" --name one
logged "pre program 1 own 1 data 0 older 0 data 0;post 1 applied 1 total 1;"
ask go 2
# The same text: the record is its own all the same, the static is the one that was there.
expect_code 0 "$patchc" apply two/counter.c --to "$hosted_pid" --name two
logged "pre program 1 own 1 data 0 older 1 data 1;post 1 applied 2 total 1;"
ask go 3
# Nothing of the patch that is gone is in use.
expect_code 0 "$mend" remove "$hosted_pid" one
ask go 3
expect_code 0 "$patchc" apply three/counter.c --to "$hosted_pid" --name three
logged "pre program 2 own 1 data 0 older 1 data 1;post 2 applied 3 total 1;"
ask go 4
# An older version of the state is not let in.
expect_code 3 "$patchc" apply one/counter.c --to "$hosted_pid" --name one
expect_match "an older state" "EINVAL.*not compatible with the already installed" "$output"
# Back to what was, which has its own record.
expect_code 0 "$mend" revert "$hosted_pid"
logged "unpre 2 data 1;unpost 2;"
ask go 3
expect_code 0 "$mend" disable "$hosted_pid" two
logged "unpre 1 data 1;unpost 1;"
ask go 1
expect_code 0 "$mend" remove "$hosted_pid" two
expect_code 0 "$mend" remove "$hosted_pid" three

# Applied afresh, again and again: its record is as in the source.
for round in 1 2; do
  expect_code 0 "$patchc" apply one/counter.c --to "$hosted_pid" --name one
  logged "pre program 1 own 1 data 0 older 0 data 0;post 1 applied $((round + 3)) total 1;"
  expect_code 0 "$mend" disable "$hosted_pid" one
  expect_code 0 "$mend" remove "$hosted_pid" one
  logged "unpre 1 data 1;unpost 1;"
done

# --- the veto of pre_patch, and a patch that is not cumulative by its descriptor ---

edited veto 'return n + 50;' <<'END'
static int pre(struct mend_object *object) { (void)object; return -19; }
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(NULL, NULL, pre, NULL, NULL, NULL), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, NULL, true};
MEND_LIVEPATCH(patch);
END
expect_code 3 "$patchc" apply veto/counter.c --to "$hosted_pid"  --name veto
expect_match "the callback's refusal" "ENODEV: No such device" "$output"
ask go 1
expect_code 0 "$patchc" apply one/counter.c --to "$hosted_pid" --name one
expect "cumulative" 1 "$("$mend" get "$hosted_pid" livepatch/one/replace)"
edited beside 'return n + 60;' <<'END'
static struct mend_patch patch = {NULL, NULL, false};
MEND_LIVEPATCH(patch);
END
expect_code 0 "$patchc" apply beside/counter.c --to "$hosted_pid" --name beside
expect "not cumulative" 0 "$("$mend" get "$hosted_pid" livepatch/beside/replace)"
expect "both" 2 "$("$mend" get "$hosted_pid" livepatch/beside/stack_order)"
ask go 60
expect_code 0 "$mend" disable "$hosted_pid" beside
expect_code 0 "$mend" disable "$hosted_pid" one
ask go 1
seen=$(grep -vcE '^(livepatch|mend): ' "$work/events.log")

# --- what belongs to a state, and shadow variables ---

owner='
static int key;
static int setup(struct mend_state* state) {
  int *data = mend_shadow_get_or_alloc(&key, 7, sizeof *data, NULL, NULL);
  if (!data) return -12;
  *data = 40;
  mend_log("setup %u", state->version);
  return 0;
}
static void release(struct mend_state* state) { mend_log("release %u", state->version); }
static void destroy(void* object, void* data) { mend_log("destroy %d %d", object == &key, *(int*)data); }
static struct mend_state states[] = {{7, VERSION, NULL}, MEND_STATES_END};
static struct mend_patch patch = {NULL, states, true};
MEND_LIVEPATCH(patch);
MEND_STATE_CALLBACKS(7, setup, NULL, NULL, release);
MEND_STATE_SHADOW(7, destroy);'
shadow_body='int *data = mend_shadow_get((void*)shadow_key(), 7); return n + (data ? ++*data : -1);'
owned() {
  edited "$1" "$shadow_body" <<<"${owner/VERSION/$2} const void* shadow_key(void) { return &key; }"
  sed -i "s|^__attribute__((noinline)) int value|const void* shadow_key(void);\n&|" "$1/counter.c"
}
owned five 1
owned six 2
expect_code 0 "$patchc" apply five/counter.c --to "$hosted_pid" --name five
logged "setup 1;"
ask go 41
expect_code 0 "$patchc" apply six/counter.c --to "$hosted_pid" --name six
expect_code 0 "$mend" remove "$hosted_pid" five
# Handed over: neither set up nor freed, and the key is the same static.
ask go 42
expect_code 0 "$mend" disable "$hosted_pid" six
logged "release 2;destroy 1 42;"
ask go 1

# --- parameters are each patch's own ---

edited params 'return n + step + (name[0] == 97);' <<'END'
int step = 3;
const char* name = "b";
MEND_PARAM_INT(step);
MEND_PARAM_STRING(name);
END
sed -i 's|^__attribute__((noinline)) int value|extern int step; extern const char* name;\n&|' params/counter.c
mkdir -p params_again
sed 's/return n + step/return 1000 + n + step/' params/counter.c >params_again/counter.c
expect_code 0 "$patchc" apply params/counter.c --to "$hosted_pid" --name params --param step=20 --param name=abc
ask go 21
expect_code 0 "$mend" set "$hosted_pid" module/params/parameters/step 30
ask go 31
expect "a parameter" abc "$("$mend" get "$hosted_pid" module/params/parameters/name)"
expect_code 0 "$patchc" apply params_again/counter.c --to "$hosted_pid" --name again
expect_code 0 "$mend" remove "$hosted_pid" params
ask go 1003
expect_code 0 "$mend" disable "$hosted_pid" again
# One of the program's own variables: numbers only, since a string goes with the patch.
edited own 'return n + 1 + (total - total) + 70;' <<<'MEND_PARAM_INT(total);'
expect_code 0 "$patchc" apply own/counter.c --to "$hosted_pid" --name own --param total=7
expect "the running variable" 7 "$("$mend" get "$hosted_pid" module/own/parameters/total)"
expect_code 0 "$mend" disable "$hosted_pid" own

# --- guest modules: callbacks from the program's sources, and from the module's own ---

edited for_module 'return n + 80;' <<'END'
static int pre(struct mend_object *object) {
  mend_log("pre %s %d", mend_object_name(object), mend_object_state(object) == MEND_MODULE_COMING);
  return 0;
}
static void unpost(struct mend_object *object) { mend_log("unpost %s", mend_object_name(object)); }
static const struct mend_object_desc objects[] = {
    MEND_OBJECT("plugin", NULL, pre, NULL, NULL, unpost), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, NULL, true};
MEND_LIVEPATCH(patch);
END
expect_code 0 "$patchc" apply for_module/counter.c --to "$hosted_pid" --name for_module
ask open 80
logged "pre plugin 1;"
ask close 80
logged "unpost plugin;"
expect_code 0 "$mend" disable "$hosted_pid" for_module

mkdir -p of_module
{
  echo '#include <mend/livepatch.h>'
  sed 's/return n + level;/return n + level + 1000;/' plugin.c
  cat <<'END'
static int runs;
static int pre(struct mend_object *object) {
  mend_log("module's pre %s level %d runs %d", mend_object_name(object), level, ++runs);
  return 0;
}
static void post(struct mend_object *object) { mend_log("module's post %s", mend_object_name(object)); }
static void unpost(struct mend_object *object) { mend_log("module's unpost %s", mend_object_name(object)); }
static const struct mend_object_desc objects[] = {
    MEND_OBJECT("plugin", NULL, pre, post, NULL, unpost), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, NULL, true};
MEND_LIVEPATCH(patch);
END
} >of_module/plugin.c
expect_code 0 "$patchc" build -o of_module.mendpatch --name of_module --base counter --base-module plugin=plugin.so of_module/plugin.c
expect_code 0 "$patchc" apply of_module.mendpatch --to "$hosted_pid"
ask open 1
logged "module's pre plugin level 5 runs 1;module's post plugin;"
ask close 1
logged "module's unpost plugin;"
# It comes once more, with new data of its own.
ask open 1
logged "module's pre plugin level 5 runs 1;module's post plugin;"
expect_code 0 "$mend" disable "$hosted_pid" of_module
logged "module's unpost plugin;"
ask close 1

# --- what is refused ---

# refused_build WHAT PATTERN FILE...
refused_build() {
  local what=$1 pattern=$2
  shift 2
  expect_code 3 "$patchc" build -o refused.mendpatch --base counter --base-module plugin=plugin.so "$@"
  expect_match "$what" "$pattern" "$output"
}
edited functions 'return n + 90;' <<'END'
static int other(int n) { return n + 91; }
static const struct mend_func funcs[] = {MEND_FUNC("value", other), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(NULL, funcs, NULL, NULL, NULL, NULL), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, NULL, true};
MEND_LIVEPATCH(patch);
END
expect_code 3 "$patchc" apply functions/counter.c --to "$hosted_pid"
expect_match "a function that is named" "EINVAL.*edit that function instead" "$output"
ask go 1
edited stray 'return n + 90;' <<<'static int setup(struct mend_state* state) { (void)state; return 0; }
MEND_STATE_CALLBACKS(7, setup, NULL, NULL, NULL);'
expect_code 3 "$patchc" apply stray/counter.c --to "$hosted_pid"
expect_match "an owner without states" "EINVAL.*no states: MEND_LIVEPATCH" "$output"
mkdir -p started
sed '1i #include <mend/livepatch.h>' counter.c >started/counter.c
echo 'static int start(void) { return 0; } MEND_MODULE_INIT(start);' >>started/counter.c
refused_build "an init function" "MEND-E0134.*__mend_module_init" started/counter.c
mkdir -p late
{ echo '#include <mend/livepatch.h>'; cat plugin.c; echo 'MEND_PARAM_INT(level);'; } >late/plugin.c
refused_build "a module's parameter" "MEND-E0134.*mend_parameter_level" late/plugin.c
finish

# A function that the edit marks MEND_UNIT is held, one that runs already and one that it adds.
cat >unit.c <<'END'
#include <mend/livepatch.h>
#include <stdio.h>
static char line[64];
__attribute__((noinline)) int value(int n) { return n + 1; }
__attribute__((noinline)) int outer(int n) {
  int before = value(n);
  puts("in");
  fflush(stdout);
  return fgets(line, sizeof line, stdin) ? before * 1000 + value(n) : 0;
}
__attribute__((noinline)) int other(int n) { return value(n); }
int main(void) {
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    printf("%d\n", line[0] == 'o' ? outer(0) : line[0] == 'p' ? other(0) : value(0));
    fflush(stdout);
  }
  return 0;
}
END
"$patchc" cc -O2 unit.c -o unit
mkdir -p marked added
sed 's/return n + 1;/return n + 2;/; s/^__attribute__((noinline)) int outer/MEND_UNIT int outer/' unit.c >marked/unit.c
sed -e 's/int other(int n) {.*/int other(int n) { return added(n); }/' \
  -e 's/^__attribute__((noinline)) int other/MEND_UNIT int added(int n) { return outer(n) + 10; }\n&/' unit.c >added/unit.c
start ./unit
hear
ask outer in
expect_code 4 "$patchc" apply marked/unit.c --to "$hosted_pid" --name marked --timeout 0.5
expect_match "who holds it" "outer" "$output"
ask on 1001
expect_code 0 "$patchc" apply marked/unit.c --to "$hosted_pid" --name marked
ask outer in
ask on 2002
expect_code 0 "$patchc" apply added/unit.c --to "$hosted_pid" --name added
ask p in
expect_code 4 "$mend" disable "$hosted_pid" added --timeout 0.5
expect_match "who holds it" "added" "$output"
ask on 1011
expect_code 0 "$mend" disable "$hosted_pid" added
ask go 1
finish

# The same in a guest module, which was compiled without the mark: it counts as long as the module is there.
cat >opener.c <<'END'
#include <dlfcn.h>
#include <stdio.h>
int main(int argc, char** argv) {
  static char line[64];
  void* module = NULL;
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    if (line[0] == 'c') dlclose(module), module = NULL;
    if (line[0] == 'c') puts("closed");
    if (line[0] != 'c' && module == NULL) module = dlopen(argv[1], RTLD_NOW);
    if (line[0] != 'c') printf("%d\n", ((int (*)(int))dlsym(module, "entry"))(line[0]));
    fflush(stdout);
  }
  return 0;
}
END
sed "/^int main/,\$d" unit.c >holding.c
echo "int entry(int what) { return what == 'o' ? outer(0) : value(0); }" >>holding.c
mkdir -p held
sed 's/return n + 1;/return n + 2;/; s/^__attribute__((noinline)) int outer/MEND_UNIT int outer/' holding.c >held/holding.c
"$patchc" cc -O2 opener.c -ldl -o opener
"$patchc" cc -O2 -shared holding.c -o holding.so
"$patchc" build -o held.mendpatch --name held --base opener --base-module holding.so held/holding.c
start ./opener "$work/holding.so"
hear
ask outer in
expect_code 4 "$patchc" apply held.mendpatch --to "$hosted_pid" --timeout 0.5
expect_match "who holds it" "outer" "$output"
ask on 1001
for round in 1 2; do
  expect_code 0 "$patchc" apply held.mendpatch --to "$hosted_pid"
  ask outer in
  expect_code 4 "$mend" disable "$hosted_pid" held --timeout 0.5
  ask on 2002
  ask close closed
  # It waits for the module, and holds nobody up meanwhile.
  expect_code 0 "$mend" disable "$hosted_pid" held
done
ask go 1
finish

# Macros of two sources, and of one, on lines of one number: patchc gives the lines behind an insertion
# their old numbers back.
cat >twin.c <<'END'
#include <stdio.h>
int left(int n);
__attribute__((noinline)) int right(int n) { return n + 1; }
int main(void) {
  char line[64];
  puts("ready");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    printf("%d %d\n", left(0), right(0));
    fflush(stdout);
  }
  return 0;
}
END
echo '__attribute__((noinline)) int left(int n) { return n + 1; }' >left.c
"$patchc" cc -O2 twin.c left.c -o twin
mkdir -p twins
{
  echo '#include <mend/livepatch.h>'
  echo 'static int set_up(struct mend_state*); static void drop(void*, void*);'
  echo 'MEND_STATE_CALLBACKS(7, set_up, NULL, NULL, NULL);'
  sed -n '1,2p' twin.c
  echo 'MEND_STATE_SHADOW(7, drop);'
  sed '1,2d; s/return n + 1;/return n + 2;/' twin.c
  cat <<'END'
static int key;
static int set_up(struct mend_state* state) {
  mend_log("set up %lu", state->id);
  return mend_shadow_alloc(&key, 7, 8, NULL, NULL) ? 0 : -12;
}
static void drop(void* object, void* data) { mend_log("drop %d", object == &key && data != NULL); }
static struct mend_state states[] = {{7, 1, NULL}, {8, 1, NULL}, MEND_STATES_END};
static struct mend_patch patch = {NULL, states, true};
MEND_LIVEPATCH(patch);
END
} >twins/twin.c
cat >twins/left.c <<'END'
#include <mend/livepatch.h>
static int left_set_up(struct mend_state* state) { mend_log("left's set up %lu", state->id); return 0; }
MEND_STATE_CALLBACKS(8, left_set_up, NULL, NULL, NULL);
__attribute__((noinline)) int left(int n) { return n + 3; }
END
expect "the numbers of the lines" "3 3 3" \
  "$(echo $(grep -n MEND_STATE_C twins/twin.c twins/left.c | cut -d: -f2) $(($(grep -n MEND_STATE_S twins/twin.c | cut -d: -f1) - 3)))"
start ./twin
hear
seen=0
expect_code 0 "$patchc" apply twins/twin.c twins/left.c --to "$hosted_pid" --name twins
logged "set up 7;left's set up 8;"
ask go "3 2"
expect_code 0 "$mend" disable "$hosted_pid" twins
logged "drop 1;"
ask go "1 1"
finish

# What was compiled with declarations keeps them; an edit beside them is an edit like any other.
cp one/counter.c merged.c
"$patchc" cc -O2 merged.c -ldl -o merged
mkdir -p after
sed 's/return n + 2;/return n + 200;/' merged.c >after/merged.c
start ./merged
hear
ask go 2
expect_code 0 "$patchc" apply after/merged.c --to "$hosted_pid" --name after
ask go 200
expect "its callbacks" 0 "$(grep -cE '^(pre|post) ' events.log || true)"
for change in 's/{{7, 1, NULL}/{{7, 2, NULL}/' 's/pre, post, unpre, unpost/pre, post, unpre, NULL/'; do
  sed "$change" merged.c >after/merged.c
  cmp -s merged.c after/merged.c && fail "'$change' changes nothing"
  expect_code 3 "$patchc" check --base "$hosted_pid" after/merged.c
  expect_match "changed declarations" "MEND-E0134.*__mend_livepatch" "$output"
done
finish
