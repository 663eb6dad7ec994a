#include "jit/guest_libc/address_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "jit/guest_libc/exec.h"
#include "jit/guest_libc/executed_file.h"
#include "jit/guest_libc/guest_libc.h"
#include "jit/guest_libc/next_function.h"
#include "runtime/base/raw_syscall.h"

namespace mend::jit {
namespace {

// Children of children keep what libc does not take back from their parents' threads.
constexpr int kGenerationsMax = 2;

// Written in children.
int generation = 0;

constexpr rlim64_t Mebibytes(rlim64_t count) { return count << 20; }

// A limit as the program gave it and as the kernel was told. Who sets it from outside is answered
// as it is. Relaxed: a program whose threads set a limit at the same time gets one or the other.
struct KnownLimit {
  std::atomic<rlim64_t> given{RLIM64_INFINITY};
  std::atomic<rlim64_t> told{RLIM64_INFINITY};

  rlim64_t AsGiven(rlim64_t current) const {
    return current == told.load(std::memory_order_relaxed) ? given.load(std::memory_order_relaxed)
                                                           : current;
  }
  void Note(rlim64_t by_program, rlim64_t by_kernel) {
    given.store(by_program, std::memory_order_relaxed);
    told.store(by_kernel, std::memory_order_relaxed);
  }
};

// One of the limits that what the runtime takes would count for.
struct MemoryLimit {
  // Constant:
  int resource;
  // What a small program has natively when it begins.
  rlim64_t native_at_start;
  // More than the runtime takes until the program begins.
  rlim64_t runtime_at_most;
  // What the runtime may take later, to be operated.
  rlim64_t operating;
  // What six threads take, and what a request wants to find besides.
  rlim64_t threads_of_child;
  int statm_field;     // In /proc/self/statm, from 0.
  char ulimit_option;  // The shell's.
  // 0: there is no program, and nothing is added. Written before the program's code, and in
  // children.
  rlim64_t runtime_bytes = 0;
  KnownLimit soft, hard;

  rlimit64 AsGiven(const rlimit64& current) const {
    return {soft.AsGiven(current.rlim_cur), hard.AsGiven(current.rlim_max)};
  }
  void Note(const rlimit64& given, const rlimit64& told) {
    soft.Note(given.rlim_cur, told.rlim_cur);
    hard.Note(given.rlim_max, told.rlim_max);
  }
  // Whether the kernel was told of another limit than the program gave.
  bool Differs() const {
    const auto relaxed = std::memory_order_relaxed;
    return soft.given.load(relaxed) != soft.told.load(relaxed) ||
           hard.given.load(relaxed) != hard.told.load(relaxed);
  }
};

// Servers that limit their data mean a few megabytes, which leave no room for a patch; a limit to
// addresses is larger.
constinit MemoryLimit addresses = {.resource = RLIMIT_AS,
                                   .native_at_start = Mebibytes(4),
                                   .runtime_at_most = Mebibytes(6144),
                                   .operating = 0,
                                   .threads_of_child = Mebibytes(768),
                                   .statm_field = 0,
                                   .ulimit_option = 'v'};
constinit MemoryLimit data = {.resource = RLIMIT_DATA,
                              .native_at_start = 0,
                              .runtime_at_most = Mebibytes(2048),
                              .operating = Mebibytes(256),
                              .threads_of_child = Mebibytes(256),
                              .statm_field = 5,
                              .ulimit_option = 'd'};
constinit MemoryLimit* const limits[kMemoryLimits] = {&addresses, &data};

// Set once, before the program runs.
void (*thread_limit_hook)() = nullptr;

rlim64_t More(rlim64_t limit, rlim64_t bytes) {
  return limit < RLIM64_INFINITY - bytes ? limit + bytes : RLIM64_INFINITY;
}

// The kernel's call: a sanitizer's runtime asks for limits before libc's functions are resolved.
int KernelLimit(pid_t pid, int resource, const rlimit64* wanted, rlimit64* before) {
  const long result = RawSyscall(SYS_prlimit64, pid, resource, reinterpret_cast<long>(wanted),
                                 reinterpret_cast<long>(before));
  if (result >= 0) return 0;
  errno = static_cast<int>(-result);
  return -1;
}

// prlimit(0, limit.resource, ...).
int LimitMemory(MemoryLimit& limit, const rlimit64* wanted, rlimit64* before) {
  rlimit64 current;
  if (KernelLimit(0, limit.resource, nullptr, &current) != 0) return -1;
  const rlimit64 given = limit.AsGiven(current);
  if (wanted != nullptr) {
    rlimit64 told = {More(wanted->rlim_cur, limit.runtime_bytes),
                     More(wanted->rlim_max, limit.runtime_bytes)};
    if (wanted->rlim_cur <= wanted->rlim_max && wanted->rlim_max <= given.rlim_max) {
      // What the process was given cannot be passed, and need not be asked for more.
      told.rlim_max = std::min(told.rlim_max, current.rlim_max);
      told.rlim_cur = std::min(told.rlim_cur, told.rlim_max);
    }
    if (KernelLimit(0, limit.resource, &told, nullptr) != 0) return -1;
    limit.Note(*wanted, told);
  }
  if (before != nullptr) *before = given;
  return 0;
}

// The same in the child of a vfork, which has the runtime no more as soon as it executes something.
// What is known is its parent's.
int LimitOwnMemory(const MemoryLimit& limit, const rlimit64* wanted, rlimit64* before) {
  rlimit64 current;
  if (KernelLimit(0, limit.resource, nullptr, &current) != 0) return -1;
  if (wanted != nullptr && KernelLimit(0, limit.resource, wanted, nullptr) != 0) return -1;
  if (before != nullptr) *before = limit.AsGiven(current);
  return 0;
}

// What the program gave, if the kernel was told of more, and is told of that still.
bool IsRaised(const MemoryLimit& limit, rlimit64* given, rlimit64* told) {
  // The program may have confined itself to calls that do not include this one.
  if (!limit.Differs() || KernelLimit(0, limit.resource, nullptr, told) != 0) return false;
  *given = limit.AsGiven(*told);
  return given->rlim_cur != told->rlim_cur || given->rlim_max != told->rlim_max;
}

const char* InKilobytes(rlim64_t limit, char (&text)[24]) {
  if (limit == RLIM64_INFINITY) return "unlimited";
  snprintf(text, sizeof text, "%" PRIu64, limit >> 10);
  return text;
}

// A stack cannot grow while the limit is less than what the process has.
[[gnu::noinline]] void TouchStack() {
  volatile char room[8192];
  for (size_t i = 0; i < sizeof room; i += 1024) room[i] = 0;
}

int Limit(pid_t pid, int resource, const rlimit64* wanted, rlimit64* before) {
  if (resource == RLIMIT_NPROC && wanted != nullptr && thread_limit_hook != nullptr) {
    thread_limit_hook();
  }
  for (MemoryLimit* limit : limits) {
    if (resource == limit->resource && limit->runtime_bytes != 0 && (pid == 0 || pid == getpid())) {
      return IsRememberedProcess() ? LimitMemory(*limit, wanted, before)
                                   : LimitOwnMemory(*limit, wanted, before);
    }
  }
  return KernelLimit(pid, resource, wanted, before);
}

// Threads of the runtime would have arenas of malloc of their own, each of 64 MB, and of 128 while
// it is made: the addresses that another thread's stack or a link then lacks.
void LimitArenas(rlim64_t bytes) {
  constexpr rlim64_t kWorthAnArena = rlim64_t{512} << 20;
  if (getenv("MALLOC_ARENA_MAX") != nullptr) return;
  mallopt(M_ARENA_MAX, static_cast<int>(std::max<rlim64_t>(bytes / kWorthAnArena, 1)));
}

void RaiseInherited(MemoryLimit& limit) {
  rlimit64 given;
  if (KernelLimit(0, limit.resource, nullptr, &given) != 0 || given.rlim_cur == RLIM64_INFINITY) {
    return;
  }
  const rlim64_t wanted = More(given.rlim_cur, limit.runtime_at_most);
  rlimit64 told = {wanted, std::max(given.rlim_max, wanted)};
  if (KernelLimit(0, limit.resource, &told, nullptr) != 0) {
    told = {std::min(wanted, given.rlim_max), given.rlim_max};
    if (limit.resource == RLIMIT_AS) LimitArenas(told.rlim_cur);
    if (KernelLimit(0, limit.resource, &told, nullptr) != 0) return;
  }
  limit.Note(given, told);
}

// The bytes that a field of statm counts.
rlim64_t BytesOf(const char* statm, int field) {
  char* end = const_cast<char*>(statm);
  rlim64_t pages = 0;
  for (int i = 0; i <= field; ++i) pages = strtoull(end, &end, 10);
  return pages * static_cast<rlim64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace

void RaiseInheritedLimits() {
  for (MemoryLimit* limit : limits) RaiseInherited(*limit);
}

void RecordRuntimeMemory() {
  const int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (statm < 0) return;
  char text[128];
  const ssize_t size = read(statm, text, sizeof text - 1);
  close(statm);
  if (size <= 0) return;
  text[size] = '\0';
  for (MemoryLimit* limit : limits) {
    const rlim64_t bytes = BytesOf(text, limit->statm_field);
    limit->runtime_bytes =
        bytes > limit->native_at_start ? bytes - limit->native_at_start + limit->operating : 0;
    // What the runtime has not taken of what it may is not the program's.
    rlimit64 given, told;
    if (IsRaised(*limit, &given, &told)) LimitMemory(*limit, &given, nullptr);
  }
}

LimitOfExec::LimitOfExec(int folder, const char* path, int flags) {
  const int saved_errno = errno;
  rlimit64 given[kMemoryLimits], told[kMemoryLimits];
  bool is_any_raised = false;
  for (int i = 0; i < kMemoryLimits; ++i) {
    lowered_[i].is_lowered = IsRaised(*limits[i], &given[i], &told[i]);
    is_any_raised |= lowered_[i].is_lowered;
  }
  const ExecutedFile file = is_any_raised ? LookAtFile(folder, path, flags) : ExecutedFile::kNone;
  if (file != ExecutedFile::kNone) TouchStack();
  for (int i = 0; i < kMemoryLimits; ++i) {
    if (!lowered_[i].is_lowered) continue;
    if (file == ExecutedFile::kHosted) given[i].rlim_max = told[i].rlim_max;
    lowered_[i] = {.is_lowered = file != ExecutedFile::kNone &&
                                 KernelLimit(0, limits[i]->resource, &given[i], nullptr) == 0,
                   .soft = told[i].rlim_cur,
                   .hard = told[i].rlim_max};
  }
  errno = saved_errno;
}

LimitOfExec::~LimitOfExec() {
  const int saved_errno = errno;
  for (int i = 0; i < kMemoryLimits; ++i) {
    const rlimit64 told = {lowered_[i].soft, lowered_[i].hard};
    if (lowered_[i].is_lowered) KernelLimit(0, limits[i]->resource, &told, nullptr);
  }
  errno = saved_errno;
}

void LimitSpawned(int child, const char* path) {
  const int saved_errno = errno;
  rlimit64 given, told;
  for (const MemoryLimit* limit : limits) {
    if (IsRaised(*limit, &given, &told) && LookAtFile(AT_FDCWD, path, 0) == ExecutedFile::kOther) {
      KernelLimit(child, limit->resource, &given, nullptr);
    }
  }
  errno = saved_errno;
}

ShellCommand::ShellCommand(const char* command) : command_(command) {
  const int saved_errno = errno;
  rlimit64 given, told;
  for (const MemoryLimit* limit : limits) {
    if (command == nullptr || !IsRaised(*limit, &given, &told)) continue;
    char soft[24], hard[24];
    char* before = limited_;
    const char option = limit->ulimit_option;
    // On the command's own line, since the shell counts lines in what it complains of.
    if (asprintf(&limited_, "ulimit -S%c %s;ulimit -H%c %s;%s", option,
                 InKilobytes(given.rlim_cur, soft), option, InKilobytes(given.rlim_max, hard),
                 get()) < 0) {
      limited_ = before;
    } else {
      free(before);
    }
  }
  errno = saved_errno;
}

ShellCommand::~ShellCommand() { free(limited_); }

void SetThreadLimitHook(void (*hook)()) { thread_limit_hook = hook; }

void ExpectRuntimeThreads() {
  if (generation++ >= kGenerationsMax) return;
  for (MemoryLimit* limit : limits) {
    if (limit->runtime_bytes != 0) limit->runtime_bytes += limit->threads_of_child;
  }
}

}  // namespace mend::jit

// With 64 bits the two kinds of limits are one.
static_assert(sizeof(rlimit) == sizeof(rlimit64) && RLIM_INFINITY == RLIM64_INFINITY);

MEND_INTERPOSE(int, prlimit64, pid_t pid, int resource, const rlimit64* wanted, rlimit64* before) {
  return mend::jit::Limit(pid, resource, wanted, before);
}

MEND_INTERPOSE(int, prlimit, pid_t pid, int resource, const rlimit64* wanted, rlimit64* before) {
  return mend::jit::Limit(pid, resource, wanted, before);
}

MEND_INTERPOSE(int, setrlimit64, int resource, const rlimit64* limit) {
  return mend::jit::Limit(0, resource, limit, nullptr);
}

MEND_INTERPOSE(int, setrlimit, int resource, const rlimit64* limit) {
  return mend::jit::Limit(0, resource, limit, nullptr);
}

MEND_INTERPOSE(int, getrlimit64, int resource, rlimit64* limit) {
  return mend::jit::Limit(0, resource, nullptr, limit);
}

MEND_INTERPOSE(int, getrlimit, int resource, rlimit64* limit) {
  return mend::jit::Limit(0, resource, nullptr, limit);
}
