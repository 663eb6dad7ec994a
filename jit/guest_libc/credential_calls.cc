// The calls that change a process's credentials. To the kernel they are a thread's; libc makes them
// for all threads, unless it knows of one only. It does not know of the runtime's threads while
// they sleep (single_thread.h), so it is told of them for the time of the call.
#include <grp.h>
#include <sys/types.h>
#include <unistd.h>

#include "jit/guest_libc/next_function.h"
#include "runtime/safepoint/single_thread.h"

namespace mend::jit {
namespace {

class AllThreadsCount {
 public:
  AllThreadsCount() : was_single_(SingleThread::Leave()) {}
  ~AllThreadsCount() {
    if (was_single_) SingleThread::Enter();
  }
  AllThreadsCount(const AllThreadsCount&) = delete;
  AllThreadsCount& operator=(const AllThreadsCount&) = delete;

 private:
  const bool was_single_;
};

}  // namespace
}  // namespace mend::jit

// clang-format off
#define MEND_CREDENTIAL_CALL(name, parameters, arguments, ...) \
  MEND_NEXT(int, name, __VA_ARGS__);                           \
  extern "C" __attribute__((visibility("default"), used)) int mend_libc_##name parameters __asm__(#name); \
  int mend_libc_##name parameters {                            \
    const mend::jit::AllThreadsCount count;                    \
    return next_##name arguments;                              \
  }

MEND_CREDENTIAL_CALL(setuid, (uid_t id), (id), uid_t)
MEND_CREDENTIAL_CALL(setgid, (gid_t id), (id), gid_t)
MEND_CREDENTIAL_CALL(seteuid, (uid_t id), (id), uid_t)
MEND_CREDENTIAL_CALL(setegid, (gid_t id), (id), gid_t)
MEND_CREDENTIAL_CALL(setreuid, (uid_t real, uid_t effective), (real, effective), uid_t, uid_t)
MEND_CREDENTIAL_CALL(setregid, (gid_t real, gid_t effective), (real, effective), gid_t, gid_t)
MEND_CREDENTIAL_CALL(setresuid, (uid_t real, uid_t effective, uid_t saved), (real, effective, saved), uid_t, uid_t, uid_t)
MEND_CREDENTIAL_CALL(setresgid, (gid_t real, gid_t effective, gid_t saved), (real, effective, saved), gid_t, gid_t, gid_t)
MEND_CREDENTIAL_CALL(setgroups, (size_t count_of, const gid_t* groups), (count_of, groups), size_t, const gid_t*)
MEND_CREDENTIAL_CALL(initgroups, (const char* user, gid_t group), (user, group), const char*, gid_t)
