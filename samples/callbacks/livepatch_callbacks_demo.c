/* An explicit patch: callbacks for the program and for two guest modules, which may be loaded or
 * not, and a new version of a function of one of them. Each callback says that it ran, and for
 * what. */
#include <mend/livepatch.h>

#define NAME "livepatch_callbacks_demo"

/* What pre_patch answers: 0, or -ERRNO to refuse. */
static int pre_patch_ret;
MEND_PARAM_INT(pre_patch_ret);

static const char* const states[] = {
    [MEND_MODULE_LIVE] = "[MODULE_STATE_LIVE] Normal state",
    [MEND_MODULE_COMING] = "[MODULE_STATE_COMING] Full formed, running module_init",
    [MEND_MODULE_GOING] = "[MODULE_STATE_GOING] Going away",
};

static void say(const char* callback, const struct mend_object* object) {
  const char* name = mend_object_name(object);
  if (name != NULL) {
    mend_log("%s: %s: %s -> %s", NAME, callback, name, states[mend_object_state(object)]);
  } else {
    mend_log("%s: %s: host", NAME, callback);
  }
}

static int pre_patch_callback(struct mend_object* object) {
  say(__func__, object);
  return pre_patch_ret;
}
static void post_patch_callback(struct mend_object* object) { say(__func__, object); }
static void pre_unpatch_callback(struct mend_object* object) { say(__func__, object); }
static void post_unpatch_callback(struct mend_object* object) { say(__func__, object); }

static void* patched_work_func(void* unused) {
  mend_log("%s: %s", NAME, __func__);
  return unused;
}

static const struct mend_func no_funcs[] = {MEND_FUNCS_END};
static const struct mend_func busymod_funcs[] = {MEND_FUNC("busymod_work_func", patched_work_func),
                                                 MEND_FUNCS_END};

static const struct mend_object_desc objects[] = {
    MEND_OBJECT(NULL, no_funcs, pre_patch_callback, post_patch_callback, pre_unpatch_callback,
                post_unpatch_callback),
    MEND_OBJECT("livepatch_callbacks_mod", no_funcs, pre_patch_callback, post_patch_callback,
                pre_unpatch_callback, post_unpatch_callback),
    MEND_OBJECT("livepatch_callbacks_busymod", busymod_funcs, pre_patch_callback,
                post_patch_callback, pre_unpatch_callback, post_unpatch_callback),
    MEND_OBJECTS_END};

static struct mend_patch patch = {objects, NULL, false};
MEND_LIVEPATCH(patch);
