// MEND_CHECK: a broken invariant ends the process with a sentence that says which. It stays on in
// release builds: going on would run a mix of old and new code. Safe in signal handlers and on the
// poll path: it formats nothing and allocates nothing.
#ifndef MEND_RUNTIME_BASE_CHECK_H_
#define MEND_RUNTIME_BASE_CHECK_H_

namespace mend {

// Writes "mend: broken invariant: MESSAGE (FILE:LINE)" to standard error and aborts.
[[noreturn]] void CheckFailed(const char* message, const char* file, int line) noexcept;

}  // namespace mend

#define MEND_CHECK(condition, message)                    \
  do {                                                    \
    if (!(condition)) [[unlikely]] {                      \
      ::mend::CheckFailed((message), __FILE__, __LINE__); \
    }                                                     \
  } while (false)

#endif  // MEND_RUNTIME_BASE_CHECK_H_
