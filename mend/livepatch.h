/* What hosted C and C++ code says to mend: explicit patches (which function replaces which, with
 * callbacks and states), guest modules (init, exit, parameters), shadow variables, log lines.
 *
 * For programs, guest modules and patches that `patchc` compiles; it finds this header by itself.
 * C11 and C++17, clang and gcc; nothing else is included. The functions are the runtime's own.
 *
 * A patch:
 *
 *   static int fixed(int x) { return x + 1; }
 *   static const struct mend_func funcs[] = {MEND_FUNC("broken", fixed), MEND_FUNCS_END};
 *   static const struct mend_object_desc objects[] = {
 *       MEND_OBJECT(NULL, funcs, NULL, NULL, NULL, NULL), MEND_OBJECTS_END};
 *   static struct mend_patch patch = {objects, NULL, true};
 *   MEND_LIVEPATCH(patch);
 */
#ifndef MEND_LIVEPATCH_H_
#define MEND_LIVEPATCH_H_

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#else
#include <stdbool.h>
#endif

/* --- objects: the program and its guest modules --- */

/* What a callback is told to act on; lives as long as the callback runs. */
struct mend_object;
/* NULL: the program itself. */
const char* mend_object_name(const struct mend_object* object);

enum mend_module_state {
  MEND_MODULE_LIVE,   /* in normal use; the program always is */
  MEND_MODULE_COMING, /* linked, nothing of it has run */
  MEND_MODULE_GOING   /* nothing of it runs any more */
};
enum mend_module_state mend_object_state(const struct mend_object* object);

/* --- patches --- */

typedef void (*mend_function)(void);

/* One function that a patch replaces. */
struct mend_func {
  const char* old_name;     /* its symbol; for C++ the mangled one */
  mend_function new_func;   /* with the same signature */
  unsigned long old_sympos; /* n: the n-th of that name in the object, in link order; 0: the only */
};

/* Called for one object. Any may be NULL. They may block; they must not ask mend for another
 * transition. */
struct mend_callbacks {
  int (*pre_patch)(struct mend_object* object);   /* before it is patched; 0, or -ERRNO to refuse */
  void (*post_patch)(struct mend_object* object); /* every thread runs the new code */
  void (*pre_unpatch)(struct mend_object* object);  /* before it is unpatched */
  void (*post_unpatch)(struct mend_object* object); /* every thread runs the old code; releases what
                                                       a successful pre_patch took */
};

/* What a patch does to one object. */
struct mend_object_desc {
  const char* name;              /* NULL: the program */
  const struct mend_func* funcs; /* ends with MEND_FUNCS_END; NULL: none */
  struct mend_callbacks callbacks;
};

/* A change that patches hand on to one another. A newer patch may take it over if its version is
 * the same or a later one. */
struct mend_state {
  unsigned long id; /* not 0 */
  unsigned int version;
  void* data; /* the author's */
};

struct mend_patch {
  const struct mend_object_desc* objects; /* ends with MEND_OBJECTS_END */
  struct mend_state* states;              /* ends with MEND_STATES_END; NULL: none */
  bool replace;                           /* takes all older patches with it */
};

/* What comes and goes with a state of the patch; see MEND_STATE_CALLBACKS and MEND_STATE_SHADOW. */
struct mend_state_owner {
  unsigned long id;
  int (*setup)(struct mend_state*);
  void (*enable)(struct mend_state*);
  void (*disable)(struct mend_state*);
  void (*release)(struct mend_state*);
  void (*shadow_dtor)(void* obj, void* shadow_data);
  unsigned long owns_shadow;
};

/* What the macros below need of the language. */
#ifdef __cplusplus
#define MEND_NULL nullptr
#define MEND_CAST(type, value) reinterpret_cast<type>(value)
#define MEND_MUTABLE(type, value) const_cast<type>(value)
#define MEND_C_LINKAGE extern "C"
#else
#define MEND_NULL NULL
#define MEND_CAST(type, value) ((type)(value))
#define MEND_MUTABLE(type, value) ((type)(value))
#define MEND_C_LINKAGE extern
#endif

#define MEND_FUNC(old, fn) MEND_FUNC_AT(old, fn, 0)
#define MEND_FUNC_AT(old, fn, position) {old, MEND_CAST(mend_function, fn), position}
#define MEND_FUNCS_END {MEND_NULL, MEND_NULL, 0}
#define MEND_OBJECT(name, funcs, pre_patch, post_patch, pre_unpatch, post_unpatch) \
  {                                                                                \
    name, funcs, { pre_patch, post_patch, pre_unpatch, post_unpatch }              \
  }
/* An entry of nothing but NULL is an object too: the program, with nothing done to it. */
#define MEND_OBJECTS_END                                                                    \
  {                                                                                         \
    MEND_CAST(const char*, ~0UL), MEND_NULL, { MEND_NULL, MEND_NULL, MEND_NULL, MEND_NULL } \
  }
#define MEND_STATES_END {0, 0, MEND_NULL}

/* For a patch: declares something that a guest module has, by its name there, static or not. It is
 * bound when the module is there, and NULL (or a call that crashes) while it is not: for code that
 * runs only when it is, such as the functions that replace the module's. The patch has a
 * MEND_OBJECT for the module. `position` as in MEND_FUNC_AT, a plain number. Not for thread-locals.
 *
 *   extern int plugin_level MEND_IN_OBJECT("plugin", "level", 0);
 */
#define MEND_IN_OBJECT(object, symbol, position) \
  __asm__(".klp.sym." object "." symbol "," #position)

/* The patch's record of that id, or NULL. */
struct mend_state* mend_get_state(struct mend_patch* patch, unsigned long id);
/* The newest record of that id among the patches older than the one in transition, or NULL. For
 * callbacks: without a transition it is always NULL. */
struct mend_state* mend_get_prev_state(unsigned long id);

/* --- shadow variables: data attached to an object that has no room for it --- */

/* Returns 0, or -ERRNO: nothing is attached then. Must not block. */
typedef int (*mend_shadow_ctor)(void* obj, void* shadow_data, void* ctor_data);
/* Must not block. */
typedef void (*mend_shadow_dtor)(void* obj, void* shadow_data);

/* `obj` is a key and is never read; it may be any address. One variable per obj and id. */
void* mend_shadow_get(void* obj, unsigned long id);
/* Zeroed, then constructed; NULL when it exists, or cannot be made. `ctor` may be NULL. */
void* mend_shadow_alloc(void* obj, unsigned long id, size_t size, mend_shadow_ctor ctor,
                        void* ctor_data);
/* The same, or the one that exists already. */
void* mend_shadow_get_or_alloc(void* obj, unsigned long id, size_t size, mend_shadow_ctor ctor,
                               void* ctor_data);
/* `dtor` may be NULL. */
void mend_shadow_free(void* obj, unsigned long id, mend_shadow_dtor dtor);
/* Those of all objects. */
void mend_shadow_free_all(unsigned long id, mend_shadow_dtor dtor);

/* --- log and safepoints --- */

/* A line in the event log, exactly this text. Legal anywhere but in signal handlers. */
void mend_log(const char* format, ...) __attribute__((format(printf, 1, 2)));
/* The calling thread may switch here, if nothing that is being replaced is on its stack. */
void mend_safepoint(void);

/* Before a function: a thread is never switched while it is active, as if by `--hold` in every
 * patch. Needs patchc. */
#ifdef __clang__
#define MEND_UNIT __attribute__((annotate("mend_unit"), noinline))
#else
#define MEND_UNIT
#endif

/* --- declarations at file scope; each is followed by a semicolon --- */

#define MEND_NAMED_POINTER(type, symbol, value)                           \
  MEND_C_LINKAGE __attribute__((visibility("hidden"))) type const symbol; \
  __attribute__((used)) type const symbol = value

/* Names the patch that the module is; `patch_variable` is a struct mend_patch. One per module. */
#define MEND_LIVEPATCH(patch_variable)                     \
  MEND_NAMED_POINTER(struct mend_patch*, __mend_livepatch, \
                     MEND_MUTABLE(struct mend_patch*, &(patch_variable)))

/* What is done when a state appears and when it vanishes, whichever patches bring and take it. `id`
 * is one of the patch's states; each function is called with the patch's record of it, and may be
 * NULL.
 *
 *   setup    no active patch had the state: before any other callback. 0, or -ERRNO to refuse the
 *            patch.
 *   enable   all threads have switched: the state is there. Also when its vanishing is reversed.
 *   disable  no patch will have it any more: the patch is disabled, or replaced by one without the
 *            state. Before any other callback.
 *   release  it is gone, or its appearing was reversed.
 *
 * A newer patch that has the state too takes it over: nothing runs, and if it declares callbacks
 * for the state its record gets the older one's `data`. A patch that replaces others may lack a
 * state that has `disable` or `release`, or owns shadow variables: it vanishes then. */
#define MEND_STATE_CALLBACKS(id, setup, enable, disable, release) \
  MEND_STATE_OWNER(id, setup, enable, disable, release, MEND_NULL, 0)

/* The shadow variables of that id belong to the state: when it is gone they are freed, those of all
 * objects, each with `dtor` (which may be NULL). */
#define MEND_STATE_SHADOW(id, dtor) \
  MEND_STATE_OWNER(id, MEND_NULL, MEND_NULL, MEND_NULL, MEND_NULL, dtor, 1)

/* The name is a number's: two lines of one source may have the same __LINE__, since patchc gives
 * the lines behind an insertion their old numbers back. Not const: with and without addresses in
 * it, it would be in two kinds of one section. */
#if defined(__clang__) && __clang_major__ >= 22
#define MEND_STATE_OWNER(...)                                                               \
  _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Wc2y-extensions\"") \
      MEND_STATE_OWNER_NUMBER(__COUNTER__, __VA_ARGS__) _Pragma("clang diagnostic pop")
#else
#define MEND_STATE_OWNER(...) MEND_STATE_OWNER_NUMBER(__COUNTER__, __VA_ARGS__)
#endif
#define MEND_STATE_OWNER_NUMBER(number, ...) MEND_STATE_OWNER_AT(number, __VA_ARGS__)
#define MEND_STATE_OWNER_AT(number, ...)                   \
  static struct mend_state_owner mend_state_owner_##number \
      __attribute__((used, section("mend_state_owners"), aligned(8))) = {__VA_ARGS__}

/* For guest modules. `int fn(void)` runs after the constructors: 0, or -ERRNO to refuse the load.
 * `void fn(void)` runs before the destructors, when the module is unloaded. */
typedef int (*mend_module_init_function)(void);
typedef void (*mend_module_exit_function)(void);
#define MEND_MODULE_INIT(fn) MEND_NAMED_POINTER(mend_module_init_function, __mend_module_init, fn)
#define MEND_MODULE_EXIT(fn) MEND_NAMED_POINTER(mend_module_exit_function, __mend_module_exit, fn)

/* A parameter of the module or patch: set when it is loaded (--param), then read and written as
 * module/NAME/parameters/VAR. The variable is a bool, int, long or const char *. */
enum mend_parameter_kind {
  MEND_PARAMETER_BOOL = 1,
  MEND_PARAMETER_INT,
  MEND_PARAMETER_LONG,
  MEND_PARAMETER_STRING
};
struct mend_parameter {
  const char* name;
  void* variable;
  unsigned long kind;
  unsigned long size; /* of the variable */
};
#define MEND_PARAM_OF_KIND(var, kind)                                   \
  static const struct mend_parameter mend_parameter_##var               \
      __attribute__((used, section("mend_parameters"), aligned(8))) = { \
          #var, MEND_CAST(void*, &(var)), kind, sizeof(var)}
#define MEND_PARAM_BOOL(var) MEND_PARAM_OF_KIND(var, MEND_PARAMETER_BOOL)
#define MEND_PARAM_INT(var) MEND_PARAM_OF_KIND(var, MEND_PARAMETER_INT)
#define MEND_PARAM_LONG(var) MEND_PARAM_OF_KIND(var, MEND_PARAMETER_LONG)
#define MEND_PARAM_STRING(var) MEND_PARAM_OF_KIND(var, MEND_PARAMETER_STRING)

#ifdef __cplusplus
}
#endif

#endif /* MEND_LIVEPATCH_H_ */
