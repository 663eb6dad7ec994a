/* A guest module for a patch to find. */
#include <mend/livepatch.h>

#define NAME "livepatch_callbacks_mod"

static int livepatch_callbacks_mod_init(void) {
  mend_log("%s: %s", NAME, __func__);
  return 0;
}

static void livepatch_callbacks_mod_exit(void) { mend_log("%s: %s", NAME, __func__); }

MEND_MODULE_INIT(livepatch_callbacks_mod_init);
MEND_MODULE_EXIT(livepatch_callbacks_mod_exit);
