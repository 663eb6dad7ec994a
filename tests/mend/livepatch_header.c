/* Every declaration and macro of <mend/livepatch.h>, as C11 and as C++17, with clang and gcc: it
 * must compile without a warning. Nothing of it runs. */
#include <mend/livepatch.h>

#ifdef __cplusplus
#define TEST_NULL nullptr
#else
#define TEST_NULL NULL
#endif

static bool flag;
static int number = 3;
static long large;
static const char* text = "text";
MEND_PARAM_BOOL(flag);
MEND_PARAM_INT(number);
MEND_PARAM_LONG(large);
MEND_PARAM_STRING(text);

MEND_UNIT int held(int x);
MEND_UNIT int held(int x) { return x; }

extern int elsewhere MEND_IN_OBJECT("module", "level", 0);
extern int called_elsewhere(int x) MEND_IN_OBJECT("module", "step", 2);

static int replacement(int x) { return called_elsewhere(x) + number + elsewhere; }

static int construct(void* obj, void* data, void* argument) {
  *(int*)data = obj == argument;
  return 0;
}
static void destroy(void* obj, void* data) {
  (void)obj;
  (void)data;
}

static int pre_patch(struct mend_object* object) {
  const char* name = mend_object_name(object);
  mend_log("pre_patch: %s", name != TEST_NULL ? name : "the program");
  return mend_object_state(object) == MEND_MODULE_GOING ? -number : 0;
}
static void post_patch(struct mend_object* object) {
  const struct mend_state* previous = mend_get_prev_state(7);
  void* shadow = mend_shadow_get(object, 1);
  if (previous == TEST_NULL) shadow = mend_shadow_alloc(object, 1, sizeof(int), construct, object);
  if (shadow == TEST_NULL) {
    shadow = mend_shadow_get_or_alloc(object, 1, sizeof(int), construct, object);
  }
  mend_safepoint();
  (void)shadow;
}
static void post_unpatch(struct mend_object* object) {
  mend_shadow_free(object, 1, destroy);
  mend_shadow_free_all(1, TEST_NULL);
}

static const struct mend_func funcs[] = {MEND_FUNC("old", replacement),
                                         MEND_FUNC_AT("older", replacement, 2), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT(TEST_NULL, funcs, pre_patch, post_patch, TEST_NULL, post_unpatch),
    MEND_OBJECT("module", TEST_NULL, TEST_NULL, TEST_NULL, TEST_NULL, TEST_NULL), MEND_OBJECTS_END};
static struct mend_state states[] = {{7, 1, TEST_NULL}, MEND_STATES_END};
static struct mend_patch patch = {objects, states, true};
MEND_LIVEPATCH(patch);

static int setup(struct mend_state* state) { return state->data == TEST_NULL ? 0 : -number; }
static void release(struct mend_state* state) { state->data = TEST_NULL; }
MEND_STATE_CALLBACKS(7, setup, TEST_NULL, TEST_NULL, release);
/* As patchc numbers lines, two may have one number. */
#line 1
MEND_STATE_SHADOW(7, destroy);
#line 1
MEND_STATE_SHADOW(8, TEST_NULL);

static int init(void) {
  return mend_get_state(&patch, 7) != TEST_NULL && flag && large != 0 && text[0] != 't' ? 0 : -1;
}
static void leave(void) { mend_log("%d", held(1)); }
MEND_MODULE_INIT(init);
MEND_MODULE_EXIT(leave);
