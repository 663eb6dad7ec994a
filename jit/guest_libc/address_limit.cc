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

// What a small program has natively when it begins.
constexpr rlim64_t kNativeAtStart = rlim64_t{4} << 20;

// More than the runtime takes until the program begins.
constexpr rlim64_t kRuntimeAtMost = rlim64_t{6} << 30;

// What six threads take, and what a request wants to find besides.
constexpr rlim64_t kThreadsOfChild = rlim64_t{768} << 20;
// Children of children keep what libc does not take back from their parents' threads.
constexpr int kGenerationsMax = 2;

// 0: there is no program, and nothing is added. Written before the program's code, and in children.
rlim64_t runtime_bytes = 0;
int generation = 0;

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
constinit KnownLimit known_soft;
constinit KnownLimit known_hard;

// Set once, before the program runs.
void (*thread_limit_hook)() = nullptr;

rlim64_t More(rlim64_t limit, rlim64_t bytes) {
  return limit < RLIM64_INFINITY - bytes ? limit + bytes : RLIM64_INFINITY;
}
rlim64_t WithRuntime(rlim64_t limit) { return More(limit, runtime_bytes); }

rlimit64 AsGiven(const rlimit64& current) {
  return {known_soft.AsGiven(current.rlim_cur), known_hard.AsGiven(current.rlim_max)};
}

// The kernel's call: a sanitizer's runtime asks for limits before libc's functions are resolved.
int KernelLimit(pid_t pid, int resource, const rlimit64* wanted, rlimit64* before) {
  const long result = RawSyscall(SYS_prlimit64, pid, resource, reinterpret_cast<long>(wanted),
                                 reinterpret_cast<long>(before));
  if (result >= 0) return 0;
  errno = static_cast<int>(-result);
  return -1;
}

// prlimit(0, RLIMIT_AS, ...).
int LimitAddresses(const rlimit64* wanted, rlimit64* before) {
  rlimit64 current;
  if (KernelLimit(0, RLIMIT_AS, nullptr, &current) != 0) return -1;
  const rlimit64 given = AsGiven(current);
  if (wanted != nullptr) {
    rlimit64 told = {WithRuntime(wanted->rlim_cur), WithRuntime(wanted->rlim_max)};
    if (wanted->rlim_cur <= wanted->rlim_max && wanted->rlim_max <= given.rlim_max) {
      // What the process was given cannot be passed, and need not be asked for more.
      told.rlim_max = std::min(told.rlim_max, current.rlim_max);
      told.rlim_cur = std::min(told.rlim_cur, told.rlim_max);
    }
    if (KernelLimit(0, RLIMIT_AS, &told, nullptr) != 0) return -1;
    known_soft.Note(wanted->rlim_cur, told.rlim_cur);
    known_hard.Note(wanted->rlim_max, told.rlim_max);
  }
  if (before != nullptr) *before = given;
  return 0;
}

// The same in the child of a vfork, which has the runtime no more as soon as it executes something.
// What is known is its parent's.
int LimitOwnAddresses(const rlimit64* wanted, rlimit64* before) {
  rlimit64 current;
  if (KernelLimit(0, RLIMIT_AS, nullptr, &current) != 0) return -1;
  if (wanted != nullptr && KernelLimit(0, RLIMIT_AS, wanted, nullptr) != 0) return -1;
  if (before != nullptr) *before = AsGiven(current);
  return 0;
}

// What the program gave, if the kernel was told of more, and is told of that still.
bool IsRaised(rlimit64* given, rlimit64* told) {
  // The program may have confined itself to calls that do not include this one.
  const auto relaxed = std::memory_order_relaxed;
  if (known_soft.given.load(relaxed) == known_soft.told.load(relaxed) &&
      known_hard.given.load(relaxed) == known_hard.told.load(relaxed)) {
    return false;
  }
  if (KernelLimit(0, RLIMIT_AS, nullptr, told) != 0) return false;
  *given = AsGiven(*told);
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
  if (runtime_bytes != 0 && resource == RLIMIT_AS && (pid == 0 || pid == getpid())) {
    return IsRememberedProcess() ? LimitAddresses(wanted, before)
                                 : LimitOwnAddresses(wanted, before);
  }
  return KernelLimit(pid, resource, wanted, before);
}

// Threads of the runtime would have arenas of malloc of their own, each of 64 MB, and of 128 while
// it is made: the addresses that another thread's stack or a link then lacks.
void LimitArenas(rlim64_t addresses) {
  constexpr rlim64_t kWorthAnArena = rlim64_t{512} << 20;
  if (getenv("MALLOC_ARENA_MAX") != nullptr) return;
  mallopt(M_ARENA_MAX, static_cast<int>(std::max<rlim64_t>(addresses / kWorthAnArena, 1)));
}

}  // namespace

void RaiseInheritedLimit() {
  rlimit64 given;
  if (KernelLimit(0, RLIMIT_AS, nullptr, &given) != 0 || given.rlim_cur == RLIM64_INFINITY) return;
  const rlim64_t wanted = More(given.rlim_cur, kRuntimeAtMost);
  rlimit64 told = {wanted, std::max(given.rlim_max, wanted)};
  if (KernelLimit(0, RLIMIT_AS, &told, nullptr) != 0) {
    told = {std::min(wanted, given.rlim_max), given.rlim_max};
    LimitArenas(told.rlim_cur);
    if (KernelLimit(0, RLIMIT_AS, &told, nullptr) != 0) return;
  }
  known_soft.Note(given.rlim_cur, told.rlim_cur);
  known_hard.Note(given.rlim_max, told.rlim_max);
}

void RecordRuntimeAddresses() {
  const int statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (statm < 0) return;
  char text[64];
  const ssize_t size = read(statm, text, sizeof text - 1);
  close(statm);
  if (size <= 0) return;
  text[size] = '\0';
  const rlim64_t pages = strtoull(text, nullptr, 10);
  const rlim64_t bytes = pages * static_cast<rlim64_t>(sysconf(_SC_PAGESIZE));
  runtime_bytes = bytes > kNativeAtStart ? bytes - kNativeAtStart : 0;
  // What the runtime has not taken of what it may is not the program's.
  rlimit64 given, told;
  if (IsRaised(&given, &told)) LimitAddresses(&given, nullptr);
}

LimitOfExec::LimitOfExec(int folder, const char* path, int flags) {
  const int saved_errno = errno;
  rlimit64 given, told;
  const ExecutedFile file =
      IsRaised(&given, &told) ? LookAtFile(folder, path, flags) : ExecutedFile::kNone;
  if (file != ExecutedFile::kNone) {
    if (file == ExecutedFile::kHosted) given.rlim_max = told.rlim_max;
    told_[0] = told.rlim_cur;
    told_[1] = told.rlim_max;
    TouchStack();
    is_lowered_ = KernelLimit(0, RLIMIT_AS, &given, nullptr) == 0;
  }
  errno = saved_errno;
}

LimitOfExec::~LimitOfExec() {
  if (!is_lowered_) return;
  const int saved_errno = errno;
  const rlimit64 told = {told_[0], told_[1]};
  KernelLimit(0, RLIMIT_AS, &told, nullptr);
  errno = saved_errno;
}

void LimitSpawned(int child, const char* path) {
  const int saved_errno = errno;
  rlimit64 given, told;
  if (IsRaised(&given, &told) && LookAtFile(AT_FDCWD, path, 0) == ExecutedFile::kOther) {
    KernelLimit(child, RLIMIT_AS, &given, nullptr);
  }
  errno = saved_errno;
}

ShellCommand::ShellCommand(const char* command) : command_(command) {
  const int saved_errno = errno;
  rlimit64 given, told;
  if (command != nullptr && IsRaised(&given, &told)) {
    char soft[24], hard[24];
    // On the command's own line, since the shell counts lines in what it complains of.
    if (asprintf(&limited_, "ulimit -Sv %s;ulimit -Hv %s;%s", InKilobytes(given.rlim_cur, soft),
                 InKilobytes(given.rlim_max, hard), command) < 0) {
      limited_ = nullptr;
    }
  }
  errno = saved_errno;
}

ShellCommand::~ShellCommand() { free(limited_); }

void SetThreadLimitHook(void (*hook)()) { thread_limit_hook = hook; }

void ExpectRuntimeThreads() {
  if (runtime_bytes != 0 && generation++ < kGenerationsMax) runtime_bytes += kThreadsOfChild;
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
