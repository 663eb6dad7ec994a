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
#define MEND_FAILPOINT(name) (::mend::failpoint::Hit(name))
#else
#define MEND_FAILPOINT(name) (false)
#endif

namespace mend::failpoint {

// At most this many may be armed at a time.
inline constexpr int kArmedMax = 8;

// Makes hits of `name` true: after the first `skip` hits, for `times` hits (for ever if negative).
// False when too many are armed, or the name is too long (63 characters).
// REQUIRES: not called at the same time as another Arm or DisarmAll.
bool Arm(std::string_view name, int64_t skip = 0, int64_t times = -1);
void DisarmAll();

// True when the failpoint is armed and its turn has come.
bool Hit(const char* name) noexcept [[clang::nonblocking]];

}  // namespace mend::failpoint

#endif  // MEND_RUNTIME_BASE_FAILPOINT_H_
