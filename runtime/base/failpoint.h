// Failpoints: named places where a test build can be made to fail, or to leave out a check.
//
//   if (MEND_FAILPOINT("transition/write_entries")) return absl::ResourceExhaustedError(...);
//
// In builds without MEND_FAILPOINTS the macro is the constant false. Hitting one is lock-free and
// async-signal-safe; an unarmed program pays one relaxed load.
#ifndef MEND_RUNTIME_BASE_FAILPOINT_H_
#define MEND_RUNTIME_BASE_FAILPOINT_H_

#include <cstdint>
#include <string_view>

#ifdef MEND_FAILPOINTS
#define MEND_FAILPOINT(name) (::mend::failpoint::Hit(::mend::failpoint::Known(name)))
#else
#define MEND_FAILPOINT(name) (false)
#endif

namespace mend::failpoint {

// At most this many may be armed at a time.
inline constexpr int kArmedMax = 8;

inline constexpr std::string_view kNames[] = {
    "apart_thread/late",         "code_memory/allocate",    "code_memory/protect",
    "host/no_memory_file",       "jit/reuse_text_late",     "runtime_thread/start",
    "safepoint/await_patch",     "safepoint/await_unpatch", "safepoint/poll_always",
    "safepoint/stack_check_off", "transition/add_nops",     "transition/allocate_text",
    "transition/close_entries",  "transition/open_entries", "transition/start_coordinator",
    "transition/write_entries",  "transition/write_text"};

constexpr bool IsKnown(std::string_view name) noexcept [[clang::nonblocking]] {
  for (const std::string_view known : kNames) {
    if (known == name) return true;
  }
  return false;
}

void NameIsNotInKNames() noexcept [[clang::nonblocking]];  // not defined, and never called

// The name; does not compile with one that kNames lacks.
consteval const char* Known(const char* name) noexcept [[clang::nonblocking]] {
  if (!IsKnown(name)) NameIsNotInKNames();
  return name;
}

// Makes hits of `name` true: after the first `skip` hits, for `times` hits (for ever if negative).
// False when too many are armed, or there is no such failpoint.
// REQUIRES: not called at the same time as another Arm or DisarmAll.
bool Arm(std::string_view name, int64_t skip = 0, int64_t times = -1);
void DisarmAll();

// True when the failpoint is armed and its turn has come.
bool Hit(const char* name) noexcept [[clang::nonblocking]];

}  // namespace mend::failpoint

#endif  // MEND_RUNTIME_BASE_FAILPOINT_H_
