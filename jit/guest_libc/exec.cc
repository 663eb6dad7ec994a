// The exec family: no safepoint signal may be on its way to the thread that becomes the new
// program, which has no handler for it and would die. A thread in a blocked region is sent none.
//
// In the child of a vfork the record is the parent's, who would find itself blocked for ever: there
// the call is made without a region. No signal is sent to that process. For the same reason nothing
// here allocates.
#include "jit/guest_libc/exec.h"

#include <alloca.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "jit/guest_libc/address_limit.h"
#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/next_function.h"
#include "runtime/base/raw_syscall.h"
#include "runtime/safepoint/blocked_region.h"

namespace mend::jit {
namespace {

// Of the process whose memory this is; a vfork child has another.
long process_id = 0;

// What is executed, as execveat has it.
struct Executed {
  int folder;
  const char* path;
  int flags = 0;
};

template <typename Call>
int Exec(const char* function, const Executed& file, Call call) {
  const auto limited_call = [&] {
    const LimitOfExec limit(file.folder, file.path, file.flags);
    return call();
  };
  if (!IsRememberedProcess()) return limited_call();
  const BlockedRegion region(function);
  return limited_call();
}

// What PassToItself was told. Constant afterwards.
struct OwnProgram {
  const char* assignment = nullptr;
  const char* of_child = nullptr;
  long process = 0;
  dev_t device = 0;
  ino_t file = 0;
};
OwnProgram own_program;

// What an exec of `path` (as for execveat) is to have in its environment, or null.
const char* AssignmentFor(int folder, const char* path, int flags) {
  if (own_program.assignment == nullptr && own_program.of_child == nullptr) return nullptr;
  const int saved_errno = errno;
  struct stat status;
  const bool is_itself = fstatat(folder, path, &status, flags) == 0 &&
                         status.st_dev == own_program.device && status.st_ino == own_program.file;
  errno = saved_errno;
  if (!is_itself) return nullptr;
  return RawSyscall(SYS_getpid) == own_program.process ? own_program.assignment
                                                       : own_program.of_child;
}

bool HasName(const char* entry, const char* assignment) {
  const size_t size = static_cast<size_t>(strchr(assignment, '=') - assignment) + 1;
  return strncmp(entry, assignment, size) == 0;
}

// Calls `call` with the environment, and the assignment in it unless the name is there.
template <typename Call>
int WithAssignment(char* const* environment, const char* assignment, Call call) {
  size_t count = 0;
  for (; environment != nullptr && environment[count] != nullptr; ++count) {
    if (assignment != nullptr && HasName(environment[count], assignment)) assignment = nullptr;
  }
  if (assignment == nullptr) return call(environment);
  auto** const extended = static_cast<char**>(alloca((count + 2) * sizeof(char*)));
  for (size_t i = 0; i < count; ++i) extended[i] = environment[i];
  extended[count] = const_cast<char*>(assignment);
  extended[count + 1] = nullptr;
  return call(extended);
}

// What execvp executes by that name: itself if it is a path, else the first such file in $PATH, in
// `path`; empty without one.
const char* FindInPath(const char* name, char (&path)[PATH_MAX]) {
  if (strchr(name, '/') != nullptr) return name;
  const char* folder = getenv("PATH");
  while (folder != nullptr) {
    const char* const end = strchrnul(folder, ':');
    const size_t size = static_cast<size_t>(end - folder);
    if (size + 1 + strlen(name) < sizeof path) {
      memcpy(path, folder, size);
      path[size] = '/';
      strcpy(path + size + 1, name);
      if (size != 0 && access(path, X_OK) == 0) return path;
    }
    folder = *end == ':' ? end + 1 : nullptr;
  }
  path[0] = '\0';
  return path;
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
bool IsRememberedProcess() { return RawSyscall(SYS_getpid) == process_id; }

void PassToItself(const char* assignment, const char* of_child) {
  struct stat status;
  if (stat("/proc/self/exe", &status) != 0) return;
  own_program = {assignment, of_child, RawSyscall(SYS_getpid), status.st_dev, status.st_ino};
}

namespace {

MEND_NEXT(int, execve, const char*, char* const*, char* const*);
MEND_NEXT(int, execveat, int, const char*, char* const*, char* const*, int);
MEND_NEXT(int, fexecve, int, char* const*, char* const*);
MEND_NEXT(int, execvpe, const char*, char* const*, char* const*);

int ExecuteFile(const char* path, char* const* arguments, char* const* environment) {
  return WithAssignment(environment, AssignmentFor(AT_FDCWD, path, 0), [&](char* const* complete) {
    return Exec("execve", {AT_FDCWD, path}, [&] { return next_execve(path, arguments, complete); });
  });
}

int ExecuteInPath(const char* file, char* const* arguments, char* const* environment) {
  char path[PATH_MAX];
  const char* const found = FindInPath(file, path);
  const char* const assignment = AssignmentFor(AT_FDCWD, found, 0);
  return WithAssignment(environment, assignment, [&](char* const* complete) {
    return Exec("execvpe", {AT_FDCWD, found},
                [&] { return next_execvpe(file, arguments, complete); });
  });
}

}  // namespace
}  // namespace mend::jit

MEND_INTERPOSE(int, execve, const char* path, char* const* arguments, char* const* environment) {
  return mend::jit::ExecuteFile(path, arguments, environment);
}
MEND_INTERPOSE(int, execv, const char* path, char* const* arguments) {
  return mend::jit::ExecuteFile(path, arguments, environ);
}
MEND_INTERPOSE(int, execvp, const char* file, char* const* arguments) {
  return mend::jit::ExecuteInPath(file, arguments, environ);
}
MEND_INTERPOSE(int, execvpe, const char* file, char* const* arguments, char* const* environment) {
  return mend::jit::ExecuteInPath(file, arguments, environment);
}
MEND_INTERPOSE(int, execveat, int folder, const char* path, char* const* arguments,
               char* const* environment, int flags) {
  using namespace mend::jit;
  return WithAssignment(
      environment, AssignmentFor(folder, path, flags), [&](char* const* complete) {
        return Exec("execveat", {folder, path, flags},
                    [&] { return next_execveat(folder, path, arguments, complete, flags); });
      });
}
MEND_INTERPOSE(int, fexecve, int fd, char* const* arguments, char* const* environment) {
  using namespace mend::jit;
  return WithAssignment(environment, AssignmentFor(fd, "", AT_EMPTY_PATH),
                        [&](char* const* complete) {
                          return Exec("fexecve", {fd, "", AT_EMPTY_PATH},
                                      [&] { return next_fexecve(fd, arguments, complete); });
                        });
}

// Their child executes what no exec of these does. It has done so when they return.
namespace mend::jit {
namespace {
using Attributes = const posix_spawnattr_t*;
using Actions = const posix_spawn_file_actions_t*;
MEND_NEXT(int, posix_spawn, pid_t*, const char*, Actions, Attributes, char* const*, char* const*);
MEND_NEXT(int, posix_spawnp, pid_t*, const char*, Actions, Attributes, char* const*, char* const*);

// `spawn(child)` is the call, `found` the file that it executes.
template <typename Call>
int Spawn(pid_t* to, const char* found, Call spawn) {
  pid_t child = 0;
  const int result = spawn(to != nullptr ? to : &child);
  if (result == 0) LimitSpawned(to != nullptr ? *to : child, found);
  return result;
}

}  // namespace
}  // namespace mend::jit

MEND_INTERPOSE(int, posix_spawn, pid_t* to, const char* path,
               const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
               char* const* arguments, char* const* environment) {
  using namespace mend::jit;
  return Spawn(to, path, [&](pid_t* child) {
    return next_posix_spawn(child, path, actions, attributes, arguments, environment);
  });
}
MEND_INTERPOSE(int, posix_spawnp, pid_t* to, const char* file,
               const posix_spawn_file_actions_t* actions, const posix_spawnattr_t* attributes,
               char* const* arguments, char* const* environment) {
  using namespace mend::jit;
  char path[PATH_MAX];
  return Spawn(to, FindInPath(file, path), [&](pid_t* child) {
    return next_posix_spawnp(child, file, actions, attributes, arguments, environment);
  });
}

MEND_NEXT(int, system, const char*);
MEND_INTERPOSE(int, system, const char* command) {
  const mend::jit::ShellCommand limited(command);
  const mend::BlockedRegion region("system");
  return next_system(limited.get());
}
MEND_NEXT(FILE*, popen, const char*, const char*);
MEND_INTERPOSE(FILE*, popen, const char* command, const char* type) {
  const mend::jit::ShellCommand limited(command);
  const mend::BlockedRegion region("popen");
  return next_popen(limited.get(), type);
}

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
