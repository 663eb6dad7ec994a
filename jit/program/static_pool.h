/* The block of static TLS in which the thread-locals of hosted code lie. It belongs to the
 * executable, which has room for it in every thread: patchc links it into what it makes, mend::mend
 * into what embeds the runtime. A process that opens the runtime by dlopen may do without; see
 * tls_pool.h. */
#ifndef MEND_JIT_PROGRAM_STATIC_POOL_H_
#define MEND_JIT_PROGRAM_STATIC_POOL_H_

/* All hosted thread-locals together. Every thread's stack is larger by this much. */
#define MEND_STATIC_POOL_SIZE 65536
#define MEND_STATIC_POOL_ALIGNMENT 64

#ifdef __cplusplus
/* Initial-exec: at the same distance from %fs in every thread, which is what generated code needs.
 */
extern "C" __attribute__((weak, visibility("default"),
                          tls_model("initial-exec"))) __thread char __mend_static_pool[];

namespace mend::jit {

/* The calling thread's; null where the executable has none: a weak thread-local that nobody defines
 * is at offset 0, which is no thread-local's. */
inline char* StaticPool() {
  char* const pool = __mend_static_pool;
  return pool == static_cast<char*>(__builtin_thread_pointer()) ? nullptr : pool;
}

}  // namespace mend::jit
#endif

#endif /* MEND_JIT_PROGRAM_STATIC_POOL_H_ */
