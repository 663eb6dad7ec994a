/* Replaces a function of the plugin, whenever that is there; refuses it when told so. */
#include <mend/livepatch.h>

static int answer;
MEND_PARAM_INT(answer);

static int plugin_part(int n) { return n * 1000; }
static int pre_patch(struct mend_object* object) {
  (void)object;
  return answer;
}

static const struct mend_func funcs[] = {MEND_FUNC("plugin_part", plugin_part), MEND_FUNCS_END};
static const struct mend_object_desc objects[] = {
    MEND_OBJECT("plugin", funcs, pre_patch, NULL, NULL, NULL), MEND_OBJECTS_END};
static struct mend_patch patch = {objects, NULL, true};
MEND_LIVEPATCH(patch);
