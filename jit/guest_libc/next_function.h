// NextFunction: the definition that an interposed function stands in front of.
//
// All are resolved by a constructor, so that a signal handler never meets an unresolved one (dlsym
// takes the loader's lock). Calls that come before it, from constructors of other libraries,
// resolve theirs on the spot.
//
// Thread safety: all methods are thread-safe.
#ifndef MEND_JIT_GUEST_LIBC_NEXT_FUNCTION_H_
#define MEND_JIT_GUEST_LIBC_NEXT_FUNCTION_H_

#include <atomic>

namespace mend::jit {

// Lives in the section mend_next, which the constructor goes through as an array.
struct NextEntry {
  const char* name;
  const char* version;         // null: the default version
  std::atomic<void*> address;  // written by whoever resolves it first; always the same value

  // Null when no library has the function: a wrapper for a newer libc than this process has.
  void* Resolve();
};

template <typename Signature>
class NextFunction;

template <typename Result, typename... Arguments>
class NextFunction<Result(Arguments...)> {
 public:
  constexpr explicit NextFunction(const char* name, const char* version = nullptr)
      : entry_{name, version, nullptr} {}

  using Pointer = Result (*)(Arguments...);

  Pointer get() {
    // Relaxed: whoever reads null resolves it again and finds the same address.
    void* address = entry_.address.load(std::memory_order_relaxed);
    if (address == nullptr) [[unlikely]] {
      address = entry_.Resolve();
    }
    return reinterpret_cast<Pointer>(address);
  }

  // The pointer's type says that the call may throw: cancellation runs the caller's destructors.
  Result operator()(Arguments... arguments) { return get()(arguments...); }

 private:
  NextEntry entry_;
};

}  // namespace mend::jit

// Declares next_NAME, the next definition of NAME.
#define MEND_NEXT_VERSION(result, name, version, ...)                                              \
  __attribute__((section("mend_next"), used, retain,                                               \
                 no_sanitize("address"))) constinit ::mend::jit::NextFunction<result(__VA_ARGS__)> \
      next_##name(#name, version)
#define MEND_NEXT(result, name, ...) MEND_NEXT_VERSION(result, name, nullptr, __VA_ARGS__)

// Begins the definition that stands in front of NAME. The function has another name in C++, so that
// neither the exception specification of libc's header (cancellation unwinds through functions that
// it calls noexcept) nor its redirections of names apply.
#define MEND_INTERPOSE(result, name, ...)                                          \
  extern "C" __attribute__((visibility("default"), used)) result mend_libc_##name( \
      __VA_ARGS__) __asm__(#name);                                                 \
  result mend_libc_##name(__VA_ARGS__)

#endif  // MEND_JIT_GUEST_LIBC_NEXT_FUNCTION_H_
