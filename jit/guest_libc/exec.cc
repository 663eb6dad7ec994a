// The exec family: no safepoint signal may be on its way to the thread that becomes the new
// program, which has no handler for it and would die. A thread in a blocked region is sent none.
//
// In the child of a vfork the record is the parent's, who would find itself blocked for ever: there
// the call is made without a region. No signal is sent to that process.
#include "jit/guest_libc/exec.h"

#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "jit/guest_libc/blocking.h"
#include "runtime/base/raw_syscall.h"

namespace mend::jit {
namespace {

// Of the process whose memory this is; a vfork child has another.
long process_id = 0;

template <typename Call>
int Exec(const char* function, Call call) {
  if (RawSyscall(SYS_getpid) != process_id) return call();
  const BlockedRegion region(function);
  return call();
}

// The number of arguments up to the null pointer that ends them, itself not counted.
size_t CountArguments(const char* first, va_list rest) {
  size_t count = 0;
  for (const char* argument = first; argument != nullptr; argument = va_arg(rest, const char*)) {
    ++count;
  }
  return count;
}

// Reads `count` arguments and the null pointer.
void ReadArguments(const char* first, va_list rest, size_t count, char** to) {
  to[0] = const_cast<char*>(first);
  for (size_t i = 1; i <= count; ++i) to[i] = va_arg(rest, char*);
}

}  // namespace

void RememberProcess() { process_id = RawSyscall(SYS_getpid); }

}  // namespace mend::jit

#define MEND_EXEC(name, parameters, arguments)                            \
  MEND_NEXT(int, name, MEND_UNWRAP parameters);                           \
  MEND_INTERPOSE(int, name, MEND_UNWRAP parameters) {                     \
    return mend::jit::Exec(#name, [&] { return next_##name arguments; }); \
  }
// clang-format off
MEND_EXEC(execve, (const char* path, char* const* arguments, char* const* environment), (path, arguments, environment))
MEND_EXEC(execveat, (int folder, const char* path, char* const* arguments, char* const* environment, int flags), (folder, path, arguments, environment, flags))
MEND_EXEC(fexecve, (int fd, char* const* arguments, char* const* environment), (fd, arguments, environment))
MEND_EXEC(execv, (const char* path, char* const* arguments), (path, arguments))
MEND_EXEC(execvp, (const char* file, char* const* arguments), (file, arguments))
MEND_EXEC(execvpe, (const char* file, char* const* arguments, char* const* environment), (file, arguments, environment))
// clang-format on

// The variadic ones: on the stack, since the child of a vfork must not allocate.
#define MEND_EXEC_LIST(name, call_with_arguments)                                          \
  MEND_INTERPOSE(int, name, const char* path, const char* first, ...) {                    \
    va_list rest;                                                                          \
    va_start(rest, first);                                                                 \
    const size_t count = mend::jit::CountArguments(first, rest);                           \
    va_end(rest);                                                                          \
    auto** arguments = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*))); \
    va_start(rest, first);                                                                 \
    if (count == 0) {                                                                      \
      arguments[0] = nullptr;                                                              \
    } else {                                                                               \
      mend::jit::ReadArguments(first, rest, count, arguments);                             \
    }                                                                                      \
    [[maybe_unused]] char* const* environment = environ;                                   \
    call_with_arguments                                                                    \
  }
MEND_EXEC_LIST(execl, va_end(rest); return mend_libc_execve(path, arguments, environment);)
MEND_EXEC_LIST(execlp, va_end(rest); return mend_libc_execvp(path, arguments);)
MEND_EXEC_LIST(execle, environment = va_arg(rest, char* const*); va_end(rest);
               return mend_libc_execve(path, arguments, environment);)
