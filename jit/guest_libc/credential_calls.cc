// The calls that change a process's credentials. To the kernel they are a thread's; libc makes them
// for all threads, unless it knows of one only. It does not know of the runtime's threads while
// they sleep (single_thread.h), so it is told of them for the time of the call. What libc leaves to
// the calling thread, the runtime's threads do after the program's first one.
#include "jit/guest_libc/credential_calls.h"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "jit/guest_libc/next_function.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/runtime_thread_call.h"
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

MEND_NEXT(int, capset, cap_user_header_t, cap_user_data_t);

bool ChangesCredentials(const KernelCall& call) {
  switch (call.number) {
    case SYS_capset:
    case SYS_setuid:
    case SYS_setgid:
    case SYS_setreuid:
    case SYS_setregid:
    case SYS_setresuid:
    case SYS_setresgid:
    case SYS_setgroups:
      return true;
    case SYS_prctl:
      switch (call.arguments[0]) {
        case PR_SET_KEEPCAPS:
        case PR_SET_SECUREBITS:
        case PR_CAPBSET_DROP:
        case PR_CAP_AMBIENT:
          return true;
        default:
          return false;
      }
    default:
      return false;
  }
}

}  // namespace

void FollowCredentials(const KernelCall& call) {
  if (!ChangesCredentials(call)) return;
  const AllThreadsCount count;
  if (call.number != SYS_capset) return RepeatInRuntimeThreads(call);
  // The thread that is meant is named by its id or by 0. The kernel writes to the header.
  const auto* const given = reinterpret_cast<const __user_cap_header_struct*>(call.arguments[0]);
  __user_cap_header_struct header = {given->version, 0};
  RepeatInRuntimeThreads(
      {SYS_capset, {reinterpret_cast<long>(&header), call.arguments[1], 0, 0, 0}});
}

}  // namespace mend::jit

MEND_INTERPOSE(int, capset, cap_user_header_t header, const cap_user_data_t data) {
  using namespace mend::jit;
  const int result = next_capset(header, data);
  if (result == 0) {
    FollowCredentials(
        {SYS_capset, {reinterpret_cast<long>(header), reinterpret_cast<long>(data), 0, 0, 0}});
  }
  return result;
}

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
