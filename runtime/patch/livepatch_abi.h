// The C side of <mend/livepatch.h> as the core sees it: the types that hosted code shares with it,
// and the functions that the core defines for hosted code. runtime/ includes nothing of mend/, so
// the declarations stand here once more; tests/conformance checks that both say the same.
#ifndef MEND_RUNTIME_PATCH_LIVEPATCH_ABI_H_
#define MEND_RUNTIME_PATCH_LIVEPATCH_ABI_H_

#include <atomic>
#include <cstddef>
#include <string>

#define MEND_HOSTED_API __attribute__((visibility("default")))

extern "C" {

enum mend_module_state { MEND_MODULE_LIVE, MEND_MODULE_COMING, MEND_MODULE_GOING };

struct mend_state {
  unsigned long id;
  unsigned int version;
  void* data;
};

// What callbacks get: the program (once), or a guest module. Owned by the core; hosted code only
// sees that it exists.
struct mend_object {
  std::string name;  // empty: the program itself
  // Written by the loader's thread, read by any.
  std::atomic<mend_module_state> state{MEND_MODULE_LIVE};
};

// What the author's descriptor begins with; the core reads its states only.
struct mend_object_desc;
struct mend_patch {
  const struct mend_object_desc* objects;
  struct mend_state* states;  // null, or ended by id 0
  bool replace;
};

using mend_shadow_ctor = int (*)(void* obj, void* shadow_data, void* ctor_data);
using mend_shadow_dtor = void (*)(void* obj, void* shadow_data);

MEND_HOSTED_API const char* mend_object_name(const mend_object* object);
MEND_HOSTED_API mend_module_state mend_object_state(const mend_object* object);
MEND_HOSTED_API mend_state* mend_get_state(mend_patch* patch, unsigned long id);
MEND_HOSTED_API mend_state* mend_get_prev_state(unsigned long id);
MEND_HOSTED_API void* mend_shadow_get(void* obj, unsigned long id);
MEND_HOSTED_API void* mend_shadow_alloc(void* obj, unsigned long id, size_t size,
                                        mend_shadow_ctor ctor, void* ctor_data);
MEND_HOSTED_API void* mend_shadow_get_or_alloc(void* obj, unsigned long id, size_t size,
                                               mend_shadow_ctor ctor, void* ctor_data);
MEND_HOSTED_API void mend_shadow_free(void* obj, unsigned long id, mend_shadow_dtor dtor);
MEND_HOSTED_API void mend_shadow_free_all(unsigned long id, mend_shadow_dtor dtor);
MEND_HOSTED_API void mend_log(const char* format, ...) __attribute__((format(printf, 1, 2)));
MEND_HOSTED_API void mend_safepoint(void);

}  // extern "C"

#endif  // MEND_RUNTIME_PATCH_LIVEPATCH_ABI_H_
